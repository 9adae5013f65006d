"""Numbers below the normal range are kept, as torch keeps them, in every kernel."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import atrous  # noqa: E402
from atrous import compiler  # noqa: E402

TINY = np.finfo("float32").tiny


@pytest.fixture(autouse=True)
def kernels(monkeypatch):
    """Everything goes through kernels, however small."""
    monkeypatch.setattr(compiler, "SMALL", 0)


def denormals(*shape):
    """Values below the least normal number, each a whole multiple of the smallest."""
    steps = np.random.default_rng(0).integers(-4000, 4000, shape)
    return (steps * float(np.finfo("float32").smallest_subnormal)).astype("float32")


def whole(*shape):
    """Small whole numbers, with which products and sums of denormals are exact."""
    return np.random.default_rng(1).integers(-3, 4, shape).astype("float32")


#: x, w and arguments for the schedules that sum as the definition does. Winograd's
#: transforms weigh with fractions, so that it rounds denormals as it does others.
CONVOLUTIONS = {
    "direct": ((2, 9, 7, 8), (20, 9, 3, 3), {"dilation": 2, "padding": 2}),
    "depthwise": ((2, 20, 7, 8), (20, 1, 3, 3), {"groups": 20}),
    "few out": ((1, 40, 7, 8), (2, 40, 3, 3), {}),
    "first layer": ((1, 1, 7, 8), (16, 1, 3, 3), {"stride": 2}),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name):
    x_shape, w_shape, options = CONVOLUTIONS[name]
    found = []
    for T in (atrous, torch):
        x = T.from_numpy(denormals(*x_shape)).requires_grad_()
        w = T.from_numpy(whole(*w_shape)).requires_grad_()
        y = T.nn.functional.conv2d(x, w, **options)
        y.backward(T.ones_like(y))
        found.append([each.detach().numpy() for each in (y, x.grad, w.grad)])
    for got, want in zip(*found, strict=True):
        np.testing.assert_array_equal(got, want)
    for values in (found[0][0], found[0][2]):  # and they are denormal themselves
        assert 0 < np.abs(values).max() < TINY


POINTWISE = {
    "copy": lambda T, x: x.clone(),
    "product": lambda T, x: x * 3 - x,
    "half": lambda T, x: x * 0.5,
    "relu": lambda T, x: T.relu(x),
    "comparison": lambda T, x: x > 0,
    "maximum": lambda T, x: x.amax(1),
    "sum": lambda T, x: x.sum(1),
    "made normal": lambda T, x: x * 2.0**60,
    "made double": lambda T, x: x.double(),
    "max_pool": lambda T, x: T.nn.functional.max_pool1d(x[None], 2),
    "quotient": lambda T, x: x / x.abs().amax(),
}


@pytest.mark.parametrize("name", POINTWISE)
def test_pointwise(name):
    x = denormals(40, 50)
    got = POINTWISE[name](atrous, atrous.from_numpy(x)).numpy()
    want = POINTWISE[name](torch, torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(got, want)
    assert np.abs(want.astype("float64")).max() > 0
