"""Pointwise work that waits: it saves passes, and nothing else can be told."""

import copy
import gc
import pickle
import threading

import numpy as np
import pytest

import atrous
from atrous import compiler, deferred
from atrous.nn import functional as F

SHAPE = (2, 8, 20, 16, 16)


@pytest.fixture
def x():
    atrous.manual_seed(0)
    return atrous.randn(SHAPE) * 2 + 1


@pytest.fixture
def norm():
    layer = atrous.nn.BatchNorm3d(8)
    atrous.nn.init.normal_(layer.weight)
    atrous.nn.init.normal_(layer.bias)
    return layer


@pytest.fixture
def passes(monkeypatch):
    """The large results that `compiler.pointwise` computes."""
    seen, plain = [], compiler.pointwise

    def counted(*args, **options):
        result = plain(*args, **options)
        if result.shape == SHAPE:
            seen.append(result.shape)
        return result

    monkeypatch.setattr(compiler, "pointwise", counted)
    return seen


def at_once(monkeypatch, compute):
    """What `compute` gives where nothing waits."""
    with monkeypatch.context() as patch:
        patch.setattr(deferred, "FEWEST", 1 << 60)
        return compute()


def test_a_chain_is_one_pass(x, norm, passes):
    skip = atrous.randn(SHAPE)
    del passes[:]
    y = F.relu(norm(x) + skip) * 2
    assert passes == []
    assert y.shape == SHAPE and y.dim() == 5 and y.numel() == x.numel()
    assert y.dtype is atrous.float32 and y.size(1) == 8 and len(y.shape) == 5
    assert passes == []
    y.sum()
    assert passes == [SHAPE]


def test_values_and_gradients_have_the_same_bits(x, norm, monkeypatch):
    skip = atrous.randn(SHAPE)

    def compute():
        a, b = (each.clone().requires_grad_() for each in (x, skip))
        norm.zero_grad()
        y = F.relu(norm(a) + b)
        z = F.leaky_relu(norm(y) * 0.5)
        (z * z).sum().backward()
        found = (y, z, a.grad, b.grad, norm.weight.grad, norm.bias.grad)
        return [each.detach().numpy().copy() for each in found]

    for waited, plain in zip(compute(), at_once(monkeypatch, compute), strict=True):
        assert np.array_equal(waited, plain)


def test_half_types_round_as_they_would(x, norm, monkeypatch):
    def compute():
        layer = copy.deepcopy(norm).bfloat16()
        return (F.relu(layer(x.bfloat16())) + 1).detach().float().numpy().copy()

    assert np.array_equal(compute(), at_once(monkeypatch, compute))


def test_synchronize(x, norm, passes):
    waiting = [norm(x), F.relu(norm(x))]
    del passes[:]
    atrous.cpu.synchronize()
    assert passes == [SHAPE] * 2
    assert all(each.isfinite().all() for each in waiting)
    del passes[:]
    atrous.cpu.synchronize()
    assert passes == []


def test_what_is_dropped_is_never_computed(x, norm, passes):
    norm(x)
    gc.collect()
    del passes[:]
    atrous.cpu.synchronize()
    assert passes == []


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.zero_(),
        lambda x: x.add_(1),
        lambda x: x[0].mul_(3),
        lambda x: x.__setitem__((0, 1), 7.0),
        lambda x: x.data.fill_(3),
        lambda x: x.detach().copy_(x * 2),
        lambda x: x.normal_(),
        lambda x: x.numpy().__setitem__(..., 0),
        lambda x: np.asarray(x).fill(0),
        lambda x: F.relu_(x),
        lambda x: atrous.mul(x, 2, out=x),
    ],
)
def test_an_operand_changes_afterwards(change, x, norm):
    want = norm(x).clone()
    y = norm(x)
    change(x)
    assert atrous.equal(y, want)


def test_an_operand_that_numpy_sees(norm):
    array = np.ones(SHAPE, np.float32)
    array[0] = 2
    y = norm(atrous.from_numpy(array))
    want = y.clone()
    array[...] = 0
    assert atrous.equal(y, want)
    x = atrous.ones(SHAPE)
    seen = x.numpy()
    y = norm(x)
    seen[...] = 5
    assert atrous.equal(y, norm(atrous.ones(SHAPE)))


def test_parameters_change_afterwards(x, norm):
    want = norm(x).clone()
    y = norm(x)
    optimizer = atrous.optim.SGD(norm.parameters(), lr=1.0)
    norm.weight.grad = atrous.ones(8)
    optimizer.step()
    assert atrous.equal(y, want)
    evaluated = norm.eval()(x)
    want = evaluated.clone()
    norm.train()(x)  # moves the running statistics
    assert atrous.equal(evaluated, want)


def test_written_in_place_before_it_was_computed(x, norm, monkeypatch, passes):
    skip = atrous.randn(SHAPE)

    def compute():
        a = x.clone().requires_grad_()
        y = norm(a)
        y += skip
        y = F.relu(y, inplace=True)
        assert y._version == 2
        (y * y).sum().backward()
        return y.detach().numpy().copy(), a.grad.numpy().copy()

    for waited, plain in zip(compute(), at_once(monkeypatch, compute), strict=True):
        assert np.array_equal(waited, plain)


def test_an_alias_sees_what_is_written(x, norm):
    y = norm(x)
    alias = y.detach()
    F.relu_(y)
    assert atrous.equal(alias, y) and alias.min() == 0
    y = norm(x)
    before = y.detach()
    y[0] = 0
    assert before[0].abs().sum() == 0


def test_saved_values_that_changed_are_refused(x, norm):
    y = F.relu(norm(x.requires_grad_()))
    y += 1  # relu reads its result
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
    y = norm(x)
    product = y * y
    F.relu_(y)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.sum().backward()


def test_shapes_are_refused_at_the_call(x, norm):
    with pytest.raises(RuntimeError, match="must match the size"):
        norm(x) + atrous.ones(2, 9, 20, 16, 16)


def test_more_arrays_than_one_pass_may_read(x, norm, monkeypatch):
    def compute():
        total = norm(x)
        for number in range(8):
            total = total + (x + number)
        return total.detach().numpy().copy()

    assert np.array_equal(compute(), at_once(monkeypatch, compute))


def test_a_result_of_another_shape(x, norm, monkeypatch):
    def compute():
        return (norm(x[:1]) + x).detach().numpy().copy()

    assert np.array_equal(compute(), at_once(monkeypatch, compute))


def test_copies_pickles_and_views(x, norm):
    want = norm(x).clone().detach()
    assert atrous.equal(copy.deepcopy(norm(x).detach()), want)
    assert atrous.equal(pickle.loads(pickle.dumps(norm(x).detach())), want)
    assert atrous.equal(norm(x).flatten(), want.flatten())
    assert norm(x).stride() == want.stride()
    assert "tensor" in repr(norm(x))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        norm(x).nothing  # noqa: B018


def test_several_threads_ask_at_once(x, norm):
    want = norm(x).detach().clone()
    y = norm(x).detach()
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(atrous.equal(y, want)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 4
