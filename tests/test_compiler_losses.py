"""Likelihood kernels against their definition, on every target that runs here."""

import numpy as np
import pytest

from atrous import compiler
from atrous.compiler import cache, jit, reference
from atrous.compiler.schedules import likelihood as schedule
from atrous.compiler.spec import LikelihoodSpec
from atrous.compiler.target import named, runs_here

TARGETS = [name for name in ("avx512", "avx2", "neon") if runs_here(named(name))]
SHAPES = [
    (8, 100),
    (70, 9),
    (5, 3),
    (2, 4, 5, 11),
    (2, 3, 5, 11),
    (1, 1, 4),
    (3, 9, 40),
]


@pytest.fixture(params=TARGETS)
def on_target(request, monkeypatch):
    monkeypatch.setattr(cache, "here", lambda: named(request.param))


def last(x):
    """The same values with axis 1 innermost in memory."""
    return np.moveaxis(np.moveaxis(x, 1, -1).copy(), -1, 1)


def operands(shape, dtype="float32"):
    rng = np.random.default_rng(3)
    x = (rng.standard_normal(shape) * 9).astype(dtype)
    classes = rng.integers(0, shape[1], (shape[0], *shape[2:]))
    classes.flat[1] = -7
    return x, classes, np.linspace(0, 2, shape[1]).astype(dtype)


def defined(x, classes, weights, normalised):
    """Losses, weights of the places and the slope, by their definition."""
    x = x.astype("f8")
    logs = x if normalised else reference.softmax(x, 1, True)
    safe = np.where(classes < 0, 0, classes)
    factor = np.where(classes < 0, 0, weights[safe].astype("f8"))
    hit = np.arange(x.shape[1]).reshape(-1, *[1] * (x.ndim - 2)) == safe[:, None]
    losses = -factor * (logs * hit).sum(1)
    slope = (0 if normalised else np.exp(logs)) - hit
    return losses, factor, slope * factor[:, None]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("layout", [lambda x: x, last])
def test_losses_and_their_gradient(on_target, dtype, normalised, layout):
    eps = np.finfo(dtype).eps
    plain = dtype == "float32" and not normalised
    for shape in SHAPES if plain else SHAPES[::3]:
        x, classes, weights = operands(shape, dtype)
        losses, factor, slope = defined(x, classes, weights, normalised)
        given = layout(x), classes, weights
        options = {"ignored": -7, "normalised": normalised}
        got, sums = compiler.likelihood(*given, each=True, **options)
        near = {"rtol": 40 * eps, "atol": 200 * eps}
        np.testing.assert_allclose(got, losses, **near)
        np.testing.assert_allclose(sums, (losses.sum(), factor.sum(), 0), **near)
        assert compiler.likelihood(*given, **options) == (None, sums)
        grad = np.linspace(-1, 1, classes.size).astype(dtype).reshape(classes.shape)
        for g in (grad, np.array(0.5, dtype)):
            wide = np.broadcast_to(g.astype("f8"), classes.shape)[:, None]
            back = compiler.likelihood_gradient(
                *given, g, divisor=np.array(3.0), **options
            )
            np.testing.assert_allclose(back, slope * wide / 3, **near)


def test_classes_that_do_not_exist_are_counted(on_target):
    for shape in SHAPES:
        x, classes, _ = operands(shape)
        classes.flat[0], classes.flat[2] = shape[1], -1
        _, (_, weight, wrong) = compiler.likelihood(x, classes, None, ignored=-7)
        assert (weight, wrong) == (classes.size - 3, 2)
    x = np.zeros((3, 0), "f4")
    assert compiler.likelihood(x, np.zeros(3, "i8"), None, ignored=0)[1] == (0, 0, 0)
    assert compiler.likelihood(x, np.zeros(3, "i8"), None, ignored=1)[1] == (0, 0, 3)


def test_threads_do_not_change_bits(monkeypatch):
    x, classes, weights = operands((2, 4, 64, 300))
    results = []
    for count in (1, 2, 4):
        monkeypatch.setattr("atrous.compiler.target._threads", count)
        results.append(compiler.likelihood(x, classes, weights, ignored=-7))
    assert results[0] == results[1] == results[2]


def test_every_target_compiles():
    for name in ("avx512", "avx2", "sse2", "neon"):
        for along, walks, held in (
            ("axis", ("unit",) * 4, 0),
            ("kept", ("rows",) * 4, 4),
        ):
            for gradient in (False, True):
                spec = LikelihoodSpec(
                    *(gradient, False, True, False, "float32", "int64", 1, along),
                    *(walks[: 2 + 2 * gradient], held),
                )
                made = schedule.build(spec, named(name))
                assert len(jit.assemble(made.ir, named(name))) > 500
