"""Softmax kernels against their definition, on every target that runs here."""

import numpy as np
import pytest

from atrous import compiler
from atrous.compiler import cache, jit, reference
from atrous.compiler.schedules import softmax as schedule
from atrous.compiler.spec import SoftmaxSpec
from atrous.compiler.target import named, runs_here

TARGETS = [name for name in ("avx512", "avx2", "neon") if runs_here(named(name))]


@pytest.fixture(params=TARGETS)
def on_target(request, monkeypatch):
    """Kernels for one target after another, however small the problem."""
    monkeypatch.setattr(compiler, "SMALL", 0)
    monkeypatch.setattr(cache, "here", lambda: named(request.param))


def last(x):
    """The same values with axis 1 innermost in memory."""
    return np.moveaxis(np.moveaxis(x, 1, -1).copy(), -1, 1)


PROBLEMS = (
    ((2, 3, 5, 11), 1, last),
    ((2, 3, 5, 11), 1, lambda x: x),
    ((40, 100), 1, lambda x: x),
    ((40, 100), 0, lambda x: x),
    ((7,), 0, lambda x: x),
    ((2, 4, 5, 11), 1, last),
    ((2, 4, 5, 11), 1, lambda x: x),
    ((2, 2, 41), 1, last),
    ((45, 8), 1, lambda x: x),
    ((5, 9, 33), -1, lambda x: x),
    ((5, 40, 3), 1, lambda x: x.T.copy().T),
)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_and_its_gradient(on_target, log, dtype):
    rng = np.random.default_rng(1)
    eps = np.finfo(dtype).eps
    for shape, axis, layout in PROBLEMS:
        x = layout((rng.standard_normal(shape) * 9).astype(dtype))
        grad = rng.standard_normal(shape).astype(dtype)
        want = reference.softmax(x.astype("f8"), axis, log)
        got = compiler.softmax(x, axis, log=log)
        assert got.dtype == x.dtype and got.strides == x.strides
        np.testing.assert_allclose(got, want, rtol=40 * eps, atol=40 * eps)
        back = compiler.softmax_gradient(grad, got, axis, log=log)
        exact = reference.softmax_gradient(grad.astype("f8"), want, axis, log)
        np.testing.assert_allclose(back, exact, rtol=200 * eps, atol=200 * eps)


def test_extremes(on_target):
    x = np.array([[1e4, -1e4, 0], [-np.inf, 0, 0], [np.nan, 0, 1]], "f4")
    got = compiler.softmax(x, 1, log=True)
    assert got[0].tolist() == [0, -2e4, -1e4]
    assert got[1, 0] == -np.inf and np.isnan(got[2]).all()
    np.testing.assert_allclose(compiler.softmax(x, 1)[1], [0, 0.5, 0.5])


def test_the_certain_class_keeps_its_last_places(on_target):
    x = np.zeros((40, 4), "f4")
    x[:, 1] = np.linspace(1, 18, 40)
    got = compiler.softmax(x, 1, log=True)[:, 1]
    want = -np.log1p(3 * np.exp(-x[:, 1].astype("f8")))
    np.testing.assert_allclose(got, want, rtol=6e-7)


def test_half_types(on_target):
    x = np.linspace(-3, 3, 120, dtype=np.float16).reshape(4, 30)
    want = reference.softmax(x.astype("f4"), 1, False).astype(np.float16)
    np.testing.assert_allclose(compiler.softmax(x, 1), want, rtol=1e-3)
    bits = reference.narrow_bfloat16(x.astype("f4"))
    got = compiler.softmax(bits, 1, dtype="bfloat16")
    np.testing.assert_allclose(reference.widen_bfloat16(got), want, rtol=2e-2)


def test_small_and_empty():
    assert compiler.softmax(np.zeros((0, 3), "f4"), 1).shape == (0, 3)
    assert compiler.softmax(np.zeros((3, 0), "f4"), 1, log=True).shape == (3, 0)
    assert compiler.softmax(np.array(3.0, "f4"), 0) == 1
    assert compiler.softmax(np.zeros(4, "f4"), 0).tolist() == [0.25] * 4


def test_threads_do_not_change_bits(monkeypatch):
    x = last(np.random.default_rng(2).standard_normal((2, 3, 64, 128)).astype("f4"))
    results = []
    for count in (1, 2, 4):
        monkeypatch.setattr("atrous.compiler.target._threads", count)
        results.append(compiler.softmax(x, 1, log=True).tobytes())
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("along", ["kept", "axis"])
def test_every_target_compiles(along):
    walks = ("strided", "unit") if along == "kept" else ("unit", "unit")
    for name in ("avx512", "avx2", "sse2", "neon"):
        for gradient in (False, True):
            walk = (*walks, "unit")[-2 - gradient :]
            spec = SoftmaxSpec(True, gradient, "float32", 1, along, walk)
            made = schedule.build(spec, named(name))
            assert len(jit.assemble(made.ir, named(name))) > 500
    spec = SoftmaxSpec(True, False, "float32", 1, "kept", ("rows", "rows"), 4)
    made = schedule.build(spec, named("neon"))
    assert len(jit.assemble(made.ir, named("neon"))) > 500
