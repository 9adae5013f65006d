"""Views, joins and rearrangements: values, node names and refusals as in torch."""

import numpy as np
import pytest
from same import assert_refused, assert_same, lines

import atrous
from atrous.compiler import memory
from atrous.tensor import Tensor

VALUES = lines("""
x.reshape(4, 3)
x.t().reshape(12)
x.flatten()
x.t().flatten()
x.ravel()
x.unflatten(1, (2, 2))
x.squeeze()
x[:1].squeeze(0)
x.squeeze((0, 1))
x.unsqueeze(-1)
x.view(2, -1)
x.detach().view(T.int32)
x.detach().view(T.float64).shape
x.view_as(L([[0] * 6] * 2))
x.t()
x.T
x.mT
x.H
x.permute(1, 0)
x.permute((1, 0))
T.permute(x, dims=(1, 0))
x.transpose(0, 1)
x.swapaxes(0, 1)
x.movedim(0, 1)
x.moveaxis(0, 1)
y.movedim((0, 1), (-1, 0)).shape
x.expand(2, 3, 4)
x.expand(2, -1, -1).shape
x.broadcast_to(2, 3, 4).shape
T.broadcast_to(x, (2, 3, 4)).shape
T.broadcast_tensors(x, x[:1])[1]
T.broadcast_shapes((2, 1), (3,), 1)
T.atleast_1d(L(1.0), x)
T.atleast_2d(x[0])
T.atleast_3d(x).shape
T.atleast_3d(x[0]).shape
x.chunk(2)
x.chunk(3, 1)
x.split(2)
x.split([1, 2])
x.tensor_split(2)
x.tensor_split((1, 2), 1)
x.hsplit(2)
T.vsplit(x, 3)
x.unbind(1)
x.narrow(0, 0, 1)
x.narrow(0, L(1), 1)
x.narrow_copy(0, 0, 1).shape
x.select(1, -1)
x.select_scatter(x[0], 0, 1).shape
x.slice_scatter(x[:1], 0, 1, 2).shape
x.diagonal(1)
x.diagonal(-1)
y.diagonal(0, 1, 3)
x.unfold(1, 2, 2)
x.unfold(0, 2, 1)
x.as_strided((2, 2), (1, 1))
x.as_strided((2, 2), (4, 1), 1)
x.t().stride(), x[1:, ::2].stride(), x[1:].storage_offset()
x.t().is_contiguous(), x.t().contiguous().is_contiguous()
T.cat([x, x])
T.cat([x, x.double()], 1).dtype
T.cat([L([]), x.detach()])
T.cat([x, x], axis=-1).shape
T.concat((x, x)).shape
T.stack([x, x])
T.stack([x, x], -1)
T.hstack([x, x])
T.vstack([x[0], x[1]])
T.dstack([x, x])
T.column_stack([x[0], x[1]])
T.block_diag(x, x[0])
x.repeat(2, 1)
x.repeat(2, 1, 2).shape
x.tile(2)
x.repeat_interleave(2)
x.repeat_interleave(2, 0)
x.repeat_interleave(L([1, 2, 0]), 0)
T.repeat_interleave(L([2, 0, 1]))
x.flip(0)
x.flip(0, 1)
x.flip((-1,))
x.fliplr()
x.flipud()
x.roll(1)
x.roll(1, 0)
x.roll((1, -2), (0, 1))
x.rot90()
x.rot90(-1)
x.rot90(2)
x.diag()
x[0].diag(1)
T.diag_embed(x)
T.diag_embed(x, 1, 0, 2).shape
T.diagflat(x[:2, :2])
x.tril()
x.triu(1)
T.nn.functional.pixel_shuffle(x.reshape(1, 12, 1, 1), 2)
T.nn.functional.pixel_unshuffle(x.reshape(1, 1, 4, 3)[..., :2], 2)
T.channel_shuffle(y, 2).shape
x.sum_to_size(1, 4)
x.detach().clone().resize_(2, 2)
x.detach().clone().resize_(5, 3).shape
x.clone().unsqueeze_(0).shape
x.to(T.float64)
x.to("cpu") is x
x.to(T.int64)
x.to(x.double(), copy=True).dtype
x.to(device="cpu", dtype=T.float16).dtype
x.type()
x.type("torch.DoubleTensor").dtype
x.type(T.int32).dtype
x.type_as(L(1)).dtype
x.long().dtype, x.half().dtype, x.bool().dtype, x.bfloat16().dtype
y.contiguous(memory_format=T.channels_last).stride()
y.to(memory_format=T.channels_last).is_contiguous(memory_format=T.channels_last)
x.clone().zero_()
T.zeros(3).copy_(L([1, 2, 3]))
after("t.t().copy_(L([1., 2., 3.]))")
after("t[1].fill_(7)")
after("t.t_().add_(1)")
""")

# Torch names the node of these otherwise.
VALUES_ALONE = lines("""
T.kron(x[:2, :1], x[:1])
x.clone().t_()
x.clone().fill_(1)
""")

REFUSALS = lines("""
x.view(-1, -1)
x.view(5, -1)
x.view(-2)
x.t().view(12)
T.zeros(0).view(-1, 0)
x.permute(0, 0)
x.permute(0)
x.transpose(0, 5)
y.t()
y[0, 0, 0].mT
x.expand(5, 4)
x.expand(4)
x.expand(-1, -1, -1)
x.squeeze(4)
x.unsqueeze(4)
x.flatten(1, 0)
x.unflatten(1, (3, -1))
x.movedim((0, 1), (0, 0))
T.cat([])
T.cat(x)
T.cat([x, 1])
T.cat([x, T.ones(2, 2)])
T.cat([x, T.ones(2)])
T.cat([x, L(1.0)])
T.stack([x, x[0]])
T.stack([])
x.chunk(0)
x.split(-1)
x.split(0)
x.split([1, 1])
x.narrow(0, 2, 2)
x.narrow(0, 0, -1)
x.select(0, 4)
x.repeat(2)
x.flip(0, 0)
x.roll(1, (0, 1))
x.rot90(1, (0, 0))
x.unfold(0, 4, 1)
x.unfold(0, 2, 0)
x.diagonal(0, 0, 0)
x.as_strided((20,), (1,))
x.to("cuda")
x.to("foo")
x.to(T.int64, T.float32)
x.cuda()
x.copy_(T.ones(5))
x.copy_([1])
x.fill_("a")
x.fill_(T.ones(2))
T.ones(3, dtype=T.uint8).fill_(300)
x.contiguous(memory_format=T.channels_last)
T.zeros(3).expand(2, 3).add_(1)
x.reshape(1.5)
T.broadcast_shapes((2,), (3,))
x.repeat_interleave(L([1, 2]), 0)
""")

TEXTS = [
    (
        "x.view(5, -1)",
        RuntimeError,
        "shape '[5, -1]' is invalid for input of size 12",
    ),
    (
        "x.t().view(12)",
        RuntimeError,
        "view size is not compatible with input tensor's size and stride (at least one"
        " dimension spans across two contiguous subspaces). Use .reshape(...) instead."
        " Size [4, 3], stride [1, 4], wanted [12].",
    ),
    (
        "T.cat([x, T.ones(2, 2)])",
        RuntimeError,
        "Sizes of tensors must match except in dimension 0. Expected size 4 but got"
        " size 2 for tensor number 1 in the list: shapes (3, 4), (2, 2).",
    ),
    (
        "T.stack([x, x[0]])",
        RuntimeError,
        "stack expects each tensor to be equal size, but got [3, 4] at entry 0 and [4]"
        " at entry 1",
    ),
    (
        "x.expand(5, 4)",
        RuntimeError,
        "The expanded size of the tensor (5) must match the existing size (3) at"
        " non-singleton dimension 0.  Target sizes: [5, 4].  Tensor sizes: [3, 4]",
    ),
    (
        "x.transpose(0, 5)",
        IndexError,
        "Dimension out of range (expected to be in range of [-2, 1], but got 5)",
    ),
    (
        "x.split([1, 1])",
        RuntimeError,
        "split_with_sizes expects split_sizes to sum exactly to 3 (input tensor's size"
        " at dimension 0), but got split_sizes=[1, 1]",
    ),
    (
        "T.broadcast_shapes((2,), (3,))",
        RuntimeError,
        "The size of tensor a (2) must match the size of tensor b (3) at non-singleton"
        " dimension 0: shapes (2,), (3,) do not broadcast.",
    ),
]


@pytest.mark.parametrize("expression", VALUES + VALUES_ALONE)
def test_value(expression):
    assert_same(expression)


@pytest.mark.parametrize("expression", VALUES)
def test_value_and_node(expression):
    assert_same(expression, gradient=True)


@pytest.mark.parametrize("expression", REFUSALS)
def test_refusal(expression):
    assert_same(expression)


@pytest.mark.parametrize("expression, error, text", TEXTS)
def test_text(expression, error, text):
    assert_refused(expression, error, text)


def hidden(*shape):
    """0, 1, 2 … as a kernel leaves them: channels-last in memory, contiguous to see."""
    array = memory.empty(shape, "float32", memory.channels_last(len(shape)))
    array[...] = np.arange(array.size).reshape(shape)
    return Tensor._of(array)


def test_the_physical_order_is_never_seen():
    x = hidden(2, 3, 4, 5)
    assert x.is_contiguous() and x.stride() == (60, 20, 5, 1)
    part = x[:, 1:, ::2]
    assert part.stride() == (60, 20, 10, 1) and part.storage_offset() == 20
    row = part[1]
    flat = x.view(2, -1)
    assert flat[1, :3].tolist() == [60.0, 61.0, 62.0]
    flat[0, 0] = -1
    assert x[0, 0, 0, 0] == -1 and part.is_contiguous() is False
    row[0, 0, 0] = -2
    assert x[1, 1, 0, 0] == -2 and flat[1, 20] == -2


def test_a_view_that_torch_refuses_is_refused_in_any_physical_order():
    permuted = hidden(2, 3, 4, 5).permute(0, 2, 3, 1)
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        permuted.view(-1)
    assert permuted.reshape(-1)[:3].tolist() == [0.0, 20.0, 40.0]


def test_a_view_needs_no_rewriting_where_the_order_allows_it():
    x = hidden(2, 3, 1, 1)
    before = x.data_ptr()
    assert x.view(2, 3).tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert x.data_ptr() == before


@pytest.mark.parametrize("join", [lambda x: atrous.cat([x, x], 1), lambda x: x.flip(3)])
def test_moved_elements_stay_channels_last(join):
    out = join(hidden(2, 3, 40, 50))
    assert out._array.strides[1] == 4 and out.is_contiguous()


SIZE = 70  # beyond what NumPy computes: the generated copies run

LARGE = lines("""
T.cat([x, x.flip(0)], 1)
T.stack([x, x * 2], 1)
x.t().contiguous()
x.t().reshape(-1)
x.repeat(2, 3)
x.flip(0, 1)
x.roll((3, -5), (0, 1))
x.rot90()
x.unfold(1, 5, 3).clone()
x.diagonal(3).clone()
x[::3, 5:60:2].clone()
x[:, None].expand(70, 3, 70).clone()
x.tril(-2)
x.half().float()
x.bfloat16().t().contiguous()
T.nn.functional.pixel_shuffle(x.view(1, 4, 35, 35), 2)
""")


@pytest.mark.parametrize("expression", LARGE)
def test_large(expression):
    torch = pytest.importorskip("torch")
    generator = np.random.default_rng(0)
    values = generator.standard_normal((SIZE, SIZE)).astype("float32")
    results = []
    for T in (torch, atrous):
        x = T.tensor(values, requires_grad=True)
        out = eval(expression, {"T": T, "x": x})
        (out * out).sum().backward()
        results.append((out.detach().float().numpy(), x.grad.numpy()))
    (expected, first), (actual, own) = results
    np.testing.assert_array_equal(actual, expected)
    np.testing.assert_allclose(own, first, rtol=1e-6)


VIEWS = lines("""
t.view(12)
t.t()
t[1:, ::2]
t.unfold(0, 2, 1)
t.diagonal()
t.expand(2, 3, 4)
t.as_strided((2, 3), (4, 1), 1)
t.chunk(2, 1)[1]
t.unbind()[2]
t.squeeze().unsqueeze(1).movedim(0, 2)
t.unflatten(1, (2, 2)).flatten(1)
""")


@pytest.mark.parametrize("expression", VIEWS)
def test_a_view_shares_memory_and_versions(expression):
    t = atrous.arange(12.0).reshape(3, 4).clone()
    view = eval(expression, {"t": t})
    t.add_(100)
    assert (view >= 100).all()
    assert view._version == t._version


# Torch refuses to write where one place is seen twice, and into one of several views.
WRITABLE = [
    each
    for each in VIEWS
    if not any(word in each for word in ("expand", "unfold", "chunk", "unbind"))
]


@pytest.mark.parametrize("expression", WRITABLE)
def test_a_write_through_a_view_is_differentiated(expression):
    torch = pytest.importorskip("torch")
    gradients = []
    for T in (torch, atrous):
        x = T.arange(12.0).reshape(3, 4).requires_grad_()
        t = x * 2
        eval(expression, {"t": t}).mul_(5)
        (t * t).sum().backward()
        gradients.append(x.grad.tolist())
    assert gradients[0] == gradients[1]


def test_a_write_into_one_of_several_views_is_differentiated():
    x = atrous.arange(6.0).requires_grad_()
    t = x * 2
    first, second = t.chunk(2)
    first.mul_(5)
    (t.sum() + second.sum()).backward()
    assert x.grad.tolist() == [10.0, 10.0, 10.0, 4.0, 4.0, 4.0]
