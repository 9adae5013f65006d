"""The tape: accumulation, modes, second derivatives, views, hooks, refusals."""

import copy
import gc
import pickle
import weakref

import pytest

import atrous as torch
from atrous.autograd import Function, gradcheck, gradgradcheck


def leaf(*values):
    return torch.tensor(list(values), requires_grad=True)


def test_gradients_accumulate_and_reset():
    x = leaf(1.0, 2.0)
    (x * x).sum().backward()
    (x * x).sum().backward()
    assert x.grad.tolist() == [4.0, 8.0]
    x.grad = None
    (x * 3).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_two_leaves_never_share_a_gradient():
    x, y = leaf(1.0), leaf(2.0)
    (x + y).sum().backward()
    x.grad.zero_()
    assert y.grad.tolist() == [1.0]


def test_a_given_gradient_is_copied():
    x, g = leaf(1.0, 2.0), torch.tensor([3.0, 4.0])
    x.backward(g)
    g.zero_()
    assert x.grad.tolist() == [3.0, 4.0]


def test_broadcast_operands_get_gradients_of_their_shape():
    x = torch.ones(2, 3, requires_grad=True)
    b = torch.ones(3, requires_grad=True)
    ((x + b) * 2).sum().backward()
    assert b.grad.tolist() == [4.0, 4.0, 4.0]


def test_modes():
    x = leaf(1.0)
    with torch.no_grad():
        assert not (x * 2).requires_grad
        with torch.enable_grad():
            assert (x * 2).requires_grad
    assert not x.detach().requires_grad
    with torch.set_grad_enabled(False):
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad

    @torch.no_grad()
    def double(value):
        return value * 2

    assert not double(x).requires_grad
    with torch.inference_mode():
        made = x * 2
    assert made.is_inference()
    with pytest.raises(RuntimeError, match="Inference tensors cannot be saved"):
        made * x


def test_second_and_third_derivatives():
    x = leaf(2.0)
    y = x**4
    (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x, create_graph=True)
    (third,) = torch.autograd.grad(second.sum(), x)
    assert [first.item(), second.item(), third.item()] == [32.0, 48.0, 48.0]


def test_backward_twice_is_refused():
    x = leaf(2.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        y.backward()


def test_a_changed_saved_tensor_is_refused():
    x = leaf(2.0, 3.0)
    y = x * 1
    z = y * y
    y.add_(1)
    with pytest.raises(
        RuntimeError,
        match=r"modified by an inplace operation: \[torch.FloatTensor \[2\]\], which is"
        r" output 0 of AddBackward0, is at version 1; expected version 0 instead",
    ):
        z.sum().backward()


def test_a_changed_saved_result_is_refused():
    y = leaf(1.0).exp()
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_writing_to_a_leaf_is_refused():
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        x.add_(1)
    with pytest.raises(RuntimeError, match="a view of a leaf Variable"):
        x[0] = 5.0
    with torch.no_grad():
        x.add_(1)
    assert x.tolist() == [2.0, 3.0]


def test_writing_through_a_view_reaches_the_graph_of_its_base():
    w = leaf(5.0)
    x = torch.zeros(3)
    x[1] = w[0] * 2
    (x * torch.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert w.grad.tolist() == [20.0]

    a = leaf(1.0, 2.0, 3.0)
    b = a * 1
    view = b[1:]
    view.mul_(10)
    assert view.grad_fn is not None
    (b * b).sum().backward()
    assert a.grad.tolist() == [2.0, 400.0, 600.0]


def test_an_older_view_follows_a_write_to_its_base():
    a = leaf(1.0, 2.0)
    b = a * 1
    view = b[:1]
    b.mul_(3)
    view.sum().backward()
    assert a.grad.tolist() == [3.0, 0.0]


def test_gradients_of_chosen_inputs():
    x, y = leaf(2.0), leaf(3.0)
    z = x * y
    assert [g.item() for g in torch.autograd.grad(z.sum(), (x, y))] == [3.0, 2.0]
    assert x.grad is None
    with pytest.raises(RuntimeError, match="not have been used in the graph"):
        torch.autograd.grad((x * 2).sum(), y)
    unused = torch.autograd.grad((x * 2).sum(), y, allow_unused=True)
    assert unused == (None,)
    middle = x * 2
    (g,) = torch.autograd.grad((middle * middle).sum(), middle)
    assert g.item() == 8.0


def test_roots_are_checked():
    with pytest.raises(
        RuntimeError, match="element 0 of tensors does not require grad"
    ):
        torch.ones(1).backward()
    with pytest.raises(RuntimeError, match="only for scalar outputs"):
        (leaf(1.0, 2.0) * 2).backward()
    with pytest.raises(RuntimeError, match="Mismatch in shape"):
        (leaf(1.0, 2.0) * 2).backward(torch.ones(3))


def test_hooks():
    x = leaf(1.0)
    seen = []
    y = x * 2
    handle = y.register_hook(lambda g: seen.append(g.item()) or g * 10)
    y.sum().backward()
    assert (x.grad.item(), seen) == (20.0, [1.0])
    handle.remove()
    x.grad = None
    x.register_hook(lambda g: g + 1)
    (x * 2).sum().backward()
    assert x.grad.item() == 3.0
    z = x * 2
    z.retain_grad()
    (z * 3).sum().backward()
    assert z.grad.item() == 3.0
    calls = []
    w = leaf(1.0)
    w.register_post_accumulate_grad_hook(lambda t: calls.append(t.grad.item()))
    (w * 4).sum().backward()
    assert calls == [4.0]


def test_a_function_of_ones_own():
    class Cube(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * 3 * x * x

    x = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
    y = Cube.apply(x)
    assert type(y.grad_fn).__name__ == "CubeBackward"
    assert gradcheck(Cube.apply, (x,)) and gradgradcheck(Cube.apply, (x,))


def test_gradcheck_finds_a_wrong_gradient():
    class Wrong(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 3

    x = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
    with pytest.raises(RuntimeError, match="Jacobian mismatch for output 0"):
        gradcheck(Wrong.apply, (x,))


def test_a_graph_is_freed_without_the_garbage_collector():
    gc.disable()
    try:
        x = leaf(1.0)
        y = (x.exp() * 2).tanh()
        gone = weakref.ref(y)
        del y
        assert gone() is None
    finally:
        gc.enable()


def test_a_deep_graph_needs_no_recursion():
    x = leaf(1.0)
    y = x
    for _ in range(5000):
        y = y + 1
    y.sum().backward()
    assert x.grad.item() == 1.0
    del y


def test_copies_and_pickles():
    x = leaf(1.0, 2.0)
    again = pickle.loads(pickle.dumps(x))
    assert again.requires_grad and again.tolist() == [1.0, 2.0]
    twin = copy.deepcopy(x)
    twin.detach().zero_()
    assert x.tolist() == [1.0, 2.0]
    with pytest.raises(RuntimeError, match="graph leaves"):
        copy.deepcopy(x * 2)


def test_views_after_a_hidden_order():
    image = torch.arange(24.0).reshape(1, 2, 3, 4)
    out = torch.nn.functional.conv2d(image, torch.eye(2).reshape(2, 2, 1, 1))
    assert out.is_contiguous() and out.stride() == (24, 12, 4, 1)
    row = out[0, 1]
    flat = out.view(1, -1)
    assert flat.tolist() == image.view(1, -1).tolist()
    flat.zero_()
    assert row.sum().item() == 0.0 and out.sum().item() == 0.0


def test_writes_through_data_go_unnoticed():
    """As torch's: `.data` counts its writes apart, `detach()` does not."""
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    x.data[0] = 7.0
    assert x._version == 0
    y.backward()
    assert x.grad.tolist() == [14.0, 4.0]
    x.detach().add_(1)
    assert x._version == 1


def test_a_tensor_of_inference_mode_is_not_written_outside():
    with torch.inference_mode():
        x = torch.ones(2).add_(1)
    with pytest.raises(RuntimeError) as caught:
        x.add_(1)
    assert str(caught.value) == (
        "Inplace update to inference tensor outside InferenceMode is not allowed. You"
        " can make a clone to get a normal tensor before doing inplace update."
    )


def test_anomaly_detection_finds_nan_and_where_it_comes_from():
    x = leaf(-1.0)
    with (
        torch.autograd.set_detect_anomaly(True),
        pytest.warns(UserWarning, match=r"(?s)in SqrtBackward0.*test_autograd"),
        pytest.raises(RuntimeError) as caught,
    ):
        x.sqrt().sum().backward()
    assert str(caught.value) == (
        "Function 'SqrtBackward0' returned nan values in its 0th output."
    )
    with pytest.warns(UserWarning, match="only be enabled for debugging"):
        detecting = torch.autograd.detect_anomaly(check_nan=False)
    with detecting:
        x.sqrt().sum().backward()
    assert x.grad.isnan().all()


def test_an_output_without_gradient_has_no_history():
    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, mask):
            ctx.mark_non_differentiable(mask)
            return x * 2, mask

        @staticmethod
        def backward(ctx, g, _):
            return g * 2, None

    doubled, mask = Twice.apply(leaf(1.0), torch.ones(1))
    assert doubled.requires_grad and not mask.requires_grad


def test_only_inputs_is_taken_and_told_to_be_without_effect():
    x = leaf(2.0)
    (slope,) = torch.autograd.grad((x * x).sum(), x, only_inputs=True)
    assert slope.tolist() == [4.0]
    with pytest.warns(FutureWarning, match="only_inputs argument is deprecated"):
        torch.autograd.grad((x * x).sum(), x, only_inputs=False)


def test_the_third_derivative_of_batch_norm_is_that_of_finite_differences():
    """PyTorch's own is not: it takes the batch's statistics for constants there."""
    torch.manual_seed(0)
    x = torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
    norm = torch.nn.functional.batch_norm

    def second(x):
        out = (norm(x, None, None, training=True) ** 3).mean((0, 2)).exp().sum()
        (g,) = torch.autograd.grad(out, x, create_graph=True)
        (h,) = torch.autograd.grad((g * g).sum(), x, create_graph=True)
        return h

    assert gradcheck(second, (x,))
