"""Sorting, running sums, counting, padding: values, gradients, refusals as torch's."""

import numpy as np
import pytest
from same import assert_refused, assert_same, lines

import atrous

VALUES = lines("""
x.sum(axis=1), x.mean(0, keepdims=True), x.max(axis=1), T.softmax(x, axis=0)
T.var_mean(x.detach(), axis=0), x.squeeze(axis=0).shape, x.unsqueeze(axis=1).shape
T.zeros(0, 3).argmax(1), T.zeros(0, 3).max(1), T.equal(x, x.double())
x.sort()
x.sort(descending=True)
x.sort(0, True)
T.sort(L([float("nan"), 1.0, float("inf")]), descending=True)
L([2, 1, 2, 1]).sort(stable=True)
L([2, 1, 2, 1]).sort(stable=True, descending=True)
L(3.0).sort()
x.argsort(dim=0, descending=True)
x.flip(0).msort()
x.topk(2)
x.topk(2, largest=False)
x.topk(2, 0)
L(3.0).topk(1)
L([float("nan"), 1.0, float("inf")]).topk(2)
x.kthvalue(2)
x.kthvalue(1, 0, keepdim=True)
T.unique(L([3, 1, 2, 1]))
T.unique(L([3, 1, 2, 1]), return_inverse=True, return_counts=True)
T.unique(x, dim=0)
T.unique(L([[1, 2], [1, 2], [0, 5]]), dim=0, return_inverse=True, return_counts=True)
T.unique(L([float("nan"), float("nan"), 1.0]))
L([1, 1, 2, 1]).unique_consecutive(return_counts=True, return_inverse=True)
T.unique_consecutive(L([[1, 1, 2], [3, 3, 4]]), dim=1)
T.isin(x, L([1.0, 2.0]))
T.isin(x, L([1.0]), invert=True).sum()
T.searchsorted(x.detach()[0], L([1.5, 2]), right=True)
T.searchsorted(x.detach()[0], 1.5)
T.searchsorted(x.detach(), x.detach()[:, :2].contiguous())
T.searchsorted(L([3, 1, 2]), L([2]), sorter=L([1, 2, 0]), out_int32=True)
T.bucketize(x.detach(), L([1.0, 3.0]))
T.bincount(L([1, 2, 2]), minlength=5)
T.bincount(L([1, 2]), weights=L([0.5, 1.0]))
T.histc(x.detach(), 4)
T.histc(x.detach(), 3, min=2, max=7)
x.cumsum(0)
x.detach().int().cumsum(1).dtype, x.detach().bool().cumsum(1)
x.cumsum(0, dtype=T.float64).dtype
x.cumprod(1)
x.cummax(0)
L([3, 1, 3, 5, 2]).cummax(0)
L([3.0, float("nan"), 1.0]).cummin(0)
T.logcumsumexp(x, 1)
x.diff()
x.diff(2, 0)
x.diff(prepend=x[:, :1])
L([True, False, False]).diff()
F.pad(x, (1, 2))
F.pad(x, (1, 0, 0, 2), value=7)
F.pad(x, (-1, -2))
F.pad(x, (-1, 2))
F.pad(x.detach().long(), (1, 1), value=1.5)
F.pad(x.detach().bool(), (1, 1), value=True)
F.pad(x, (2, 1), "reflect")
F.pad(x, (2, 5), "replicate")
F.pad(y, (1, 1, 2, 0), "reflect")
F.pad(y, (1, 1, 2, 0), "replicate")
F.pad(y, (4, 1, 2, 0), "circular")
F.pad(y, (-1, 1, 2, -1), "circular")
F.pad(y, (-1, 1, 2, -1), "reflect")
F.pad(y, (-1, 3, 2, -1), "replicate")
F.pad(y, (1, 1, 1, 1, 1, 1), "reflect")
F.pad(y[:0], (1, 1, 1, 1), "reflect").shape
""")

REFUSED = lines("""
x.sort(dim=3)
x.topk(5)
x.topk(-1)
x.kthvalue(5)
x.kthvalue(0)
T.searchsorted(x, x[:2])
T.searchsorted(x[0], x, side="foo")
T.searchsorted(x[0], x, side="left", right=True)
T.bucketize(x, x)
T.bincount(L([-1]))
T.bincount(L([1.0]))
T.bincount(L([1, 2]), weights=L([0.5]))
T.histc(x, 4, min=3, max=1)
T.histc(x.long())
T.diff(x, -1)
T.diff(L(1.0))
T.logcumsumexp(x.long(), 0)
x.cumsum(3)
F.pad(x, (1,))
F.pad(x, (1, 1, 1, 1, 1, 1))
F.pad(x, (-2, -3))
F.pad(x, (1, 1, 1, 1), "reflect")
F.pad(y, (4, 1), "reflect")
F.pad(y, (4, 1, 1, 1), "reflect")
F.pad(y, (1, 1, 1, 1), "foo")
F.pad(y, (1, 1, 1, 1), "reflect", value=2)
F.pad(y, (5, 1, 1, 1), "circular")
F.pad(x[0], (1, 1), "reflect")
F.pad(y, (1.5, 1))
F.pad(T.ones(1, 2, 0), (1, 1), "reflect")
""")

TEXTS = [
    (
        "x.topk(5)",
        RuntimeError,
        "selected index k out of range: k=5, dimension 1 has size 4",
    ),
    (
        "F.pad(y, (4, 1, 1, 1), 'reflect')",
        RuntimeError,
        "Padding size should be less than the corresponding input dimension, but got:"
        " padding (4, 1) at dimension 3 of input [1, 2, 3, 4]",
    ),
    (
        "F.pad(y, (5, 1, 1, 1), 'circular')",
        RuntimeError,
        "Padding value causes wrapping around more than once: padding (5, 1) at"
        " dimension 3 of input [1, 2, 3, 4]",
    ),
    (
        "F.pad(y, (1, 1), 'foo')",
        NotImplementedError,
        "Unrecognised padding mode foo: there are constant, reflect, replicate and"
        " circular.",
    ),
]

# Torch has a node of another name for these.
ALONE = ("circular", "cummax(0)", "cummin(0)", "isin", "value=True", "dim=0)")


@pytest.mark.parametrize("expression", VALUES)
def test_value_and_node(expression):
    assert_same(expression, gradient=not any(each in expression for each in ALONE))


@pytest.mark.parametrize("expression", REFUSED)
def test_refusal(expression):
    assert_same(expression)


@pytest.mark.parametrize("expression, error, text", TEXTS)
def test_text(expression, error, text):
    assert_refused(expression, error, text)


DIFFERENTIATED = lines("""
x.sort(-1)[0]
x.topk(2, 2, largest=False)[0]
x.kthvalue(2, 1).values
x.cumsum(1)
x.cumprod(2)
(x * (x > 0)).cumprod(2)
x.cummax(1).values
x.logcumsumexp(1)
x.diff(2, 2)
F.pad(x, (1, -1, 2, 1), value=3.0)
F.pad(x, (3, 2), "reflect")
F.pad(x, (3, 2, 1, 2), "reflect")
F.pad(x, (3, 5), "replicate")
F.pad(x, (5, -1, 2, 3), "replicate")
F.pad(x, (4, 2, -1, 2), "circular")
F.pad(x[None], (1, 2, 2, 1, 1, 0), "circular")
""")


@pytest.mark.parametrize("expression", DIFFERENTIATED)
def test_gradient_and_second_gradient(expression):
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(0).standard_normal((2, 3, 5))
    results = []
    for T in (torch, atrous):
        x = T.tensor(values, requires_grad=True)
        out = eval(expression, {"F": T.nn.functional, "x": x})
        (first,) = T.autograd.grad((out**3).sum(), x, create_graph=True)
        (second,) = T.autograd.grad((first * first).sum(), x)
        results.append((out.detach(), first.detach(), second))
    for expected, actual in zip(*results, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_a_large_volume_is_padded(mode):
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(0).standard_normal((2, 3, 8, 9, 10)).astype("f4")
    results = []
    for T in (torch, atrous):
        x = T.tensor(values, requires_grad=True)
        out = T.nn.functional.pad(x, (1, 2, 3, 1, 2, 2), mode)
        (out * out).sum().backward()
        results.append((out.detach().numpy(), x.grad.numpy()))
    (expected, first), (actual, own) = results
    np.testing.assert_array_equal(actual, expected)
    np.testing.assert_allclose(own, first, rtol=1e-6)
