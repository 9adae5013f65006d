"""Reductions against their definition, on every target that runs here."""

import math

import numpy as np
import pytest

from atrous import compiler
from atrous.compiler import cache, jit, reference
from atrous.compiler.elementwise import plan
from atrous.compiler.schedules import reduce as schedule
from atrous.compiler.spec import ReduceSpec
from atrous.compiler.target import named, runs_here

TARGETS = [name for name in ("avx512", "avx2", "neon") if runs_here(named(name))]
IN, OTHER = ("in", 0), ("in", 1)
COMBINES = ("sum", "prod", "min", "max", "any", "all", "argmin", "argmax")


@pytest.fixture
def kernels(monkeypatch):
    """Everything goes through kernels, however small."""
    monkeypatch.setattr(compiler, "SMALL", 0)


@pytest.fixture(params=TARGETS)
def on_target(request, monkeypatch, kernels):
    """And is generated for one target after another."""
    monkeypatch.setattr(cache, "here", lambda: named(request.param))


def last(x):
    """The same values with axis 1 innermost in memory."""
    return np.moveaxis(np.moveaxis(x, 1, -1).copy(), -1, 1) if x.ndim > 1 else x


LAYOUTS = (lambda x: x, last, lambda x: x.T.copy().T, lambda x: np.flip(x, -1))
SHAPES = (
    ((3000,), (0,)),
    ((1,), (0,)),
    ((30, 41), (1,)),
    ((30, 41), (0,)),
    ((5, 3, 7, 9), (0, 2, 3)),
    ((2, 70, 1, 33), (0, 2, 3)),
    ((4, 3, 37), (1,)),
    ((9, 8, 7, 6), (1, 3)),
    ((64, 3, 64), (0, 2)),
)


def expected(combine, x, axes):
    """By the definition, stored as the kernel stores it."""
    name = x.dtype.name
    values = x != 0 if combine in ("any", "all") else x
    found = reference.combine(combine, values, axes)
    if combine in ("sum", "prod"):
        return found.astype(reference.sum_dtype(name))
    return found


CASES = [(combine, dtype) for combine in COMBINES for dtype in ("float32", "int32")]
CASES += [
    (combine, dtype)
    for combine in ("sum", "max", "argmax")
    for dtype in ("float64", "uint8", "bool")
]


@pytest.mark.parametrize("combine, dtype", CASES)
def test_all_dtypes(on_target, combine, dtype):
    rng = np.random.default_rng(1)
    for shape, axes in SHAPES:
        x = rng.integers(0 if dtype in ("uint8", "bool") else -3, 4, shape)
        x = (x * 2).astype(dtype) if dtype != "bool" else x > 2
        got = compiler.reduce(combine, IN, x, axes=axes)
        want = expected(combine, x, axes)
        assert got.shape == want.shape and got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("shape, axes", SHAPES)
def test_all_layouts(kernels, shape, axes):
    rng = np.random.default_rng(2)
    for layout in LAYOUTS:
        x = layout(rng.standard_normal(shape).astype("f4"))
        want = x.astype("f8").sum(axis=axes)
        bound = 1e-7 * np.abs(x).astype("f8").sum(axis=axes)
        assert (np.abs(compiler.reduce("sum", IN, x, axes=axes) - want) <= bound).all()
        np.testing.assert_array_equal(
            compiler.reduce("argmax", IN, x, axes=axes),
            reference.combine("argmax", x, axes),
        )


def test_large_problems_are_cut_into_pieces(kernels):
    rng = np.random.default_rng(3)
    for shape, axes in (
        ((300000,), (0,)),
        ((150000, 3), (0,)),
        ((2, 5, 60000), (0, 2)),
    ):
        x = rng.standard_normal(shape).astype("f4")
        want = x.astype("f8").sum(axis=axes)
        got = compiler.reduce("sum", IN, x, axes=axes)
        np.testing.assert_allclose(got, want, rtol=1e-7, atol=1e-4 * 1e-3)
        values, indices = compiler.reduce("max_index", IN, x, axes=axes)
        np.testing.assert_array_equal(indices, reference.combine("argmax", x, axes))
        np.testing.assert_array_equal(values, x.max(axis=axes))


def test_float32_sums_are_rounded_once(kernels):
    x = np.full(1_000_001, 0.1, "f4")
    assert compiler.reduce("sum", IN, x, axes=(0,)) == np.float32(math.fsum(x.tolist()))


def test_nan_wins_and_the_first_of_equals(on_target):
    x = np.zeros((40, 100), "f4")
    x[:, 70] = x[:, 30] = 1
    x[3, 50] = x[3, 60] = np.nan
    for axes, layout in (((1,), x), ((1,), x.T.copy().T)):
        values, indices = compiler.reduce("max_index", IN, layout, axes=axes)
        assert indices[0] == 30 and indices[3] == 50
        assert values[0] == 1 and np.isnan(values[3])
        _, least = compiler.reduce("min_index", IN, layout, axes=axes)
        assert least[0] == 0 and least[3] == 50
        assert np.isnan(compiler.reduce("min", IN, layout, axes=axes)[3])
    worst = np.full((3, 50), -np.inf, "f4")
    assert (compiler.reduce("argmax", IN, worst, axes=(1,)) == 0).all()
    assert (compiler.reduce("argmax", IN, worst, axes=(0,)) == 0).all()


def test_expressions_share_a_pass(kernels):
    rng = np.random.default_rng(4)
    x = last(rng.standard_normal((2, 24, 9, 16)).astype("f4"))
    mean = rng.standard_normal((1, 24, 1, 1)).astype("f4")
    centred = ("sub", IN, OTHER)
    first, second = compiler.reduce(
        "sum", (centred, ("mul", centred, centred)), x, mean, axes=(0, 2, 3)
    )
    np.testing.assert_allclose(first, (x - mean).sum((0, 2, 3)), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(second, ((x - mean) ** 2).sum((0, 2, 3)), rtol=1e-5)


def test_a_loss_over_few_channels(kernels):
    """Σ -log p[n, target] without a gather: the class is compared with its number."""
    rng = np.random.default_rng(5)
    scores = last(rng.standard_normal((2, 3, 8, 8)).astype("f4"))
    target = rng.integers(0, 3, (2, 1, 8, 8))
    number = np.arange(3).reshape(1, 3, 1, 1)
    picked = ("where", ("eq", OTHER, ("in", 2)), ("neg", IN), ("const", 0.0))
    got = compiler.reduce("sum", picked, scores, target, number, axes=(0, 1, 2, 3))
    want = -np.take_along_axis(scores, target, 1).sum()
    np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_mean_and_variance(on_target, dtype):
    rng = np.random.default_rng(6)
    for shape, axes in SHAPES:
        x = last((rng.standard_normal(shape) + 500).astype(dtype))
        mean, variance = compiler.reduce("mean_variance", IN, x, axes=axes)
        want_mean, want_variance = reference.mean_variance(x, axes)
        eps = np.finfo(mean.dtype).eps
        np.testing.assert_allclose(mean, want_mean, rtol=max(2 * eps, 1e-14))
        tolerance = max(2 * eps, 1e-12)
        np.testing.assert_allclose(variance, want_variance, rtol=tolerance, atol=1e-30)


def test_half_types_are_summed_wide(kernels):
    x = np.full(5000, 0.1, np.float16)
    assert compiler.reduce("sum", IN, x, axes=(0,)) == np.float16(x.astype("f8").sum())
    bits = reference.narrow_bfloat16(np.linspace(0, 1, 999, dtype="f4"))
    got = compiler.reduce("max", IN, bits, axes=(0,), dtypes=("bfloat16",))
    assert got.dtype == np.uint16 and got == bits.max()


def test_threads_do_not_change_bits(kernels, monkeypatch):
    x = np.random.default_rng(7).standard_normal((40, 11, 999)).astype("f4")
    results = []
    for count in (1, 2, 4):
        monkeypatch.setattr("atrous.compiler.target._threads", count)
        found = [
            compiler.reduce("sum", IN, x, axes=a) for a in ((0, 1, 2), (0, 2), (1,))
        ]
        results.append([r.tobytes() for r in found])
    assert results[0] == results[1] == results[2]


def test_nothing_to_reduce():
    empty = np.zeros((3, 0), "f4")
    assert compiler.reduce("sum", IN, empty, axes=(1,)).tolist() == [0, 0, 0]
    assert compiler.reduce("prod", IN, empty, axes=(1,)).tolist() == [1, 1, 1]
    assert compiler.reduce("all", IN, empty, axes=(1,)).all()
    assert compiler.reduce("sum", IN, empty, axes=(0,)).shape == (0,)
    with pytest.raises(ValueError, match="zero-size array to reduction operation"):
        compiler.reduce("max", IN, empty, axes=(1,))


def test_small_and_large_agree(monkeypatch):
    x = np.random.default_rng(8).standard_normal((30, 40)).astype("f4")
    small = [compiler.reduce(name, IN, x, axes=(1,)) for name in COMBINES[2:]]
    monkeypatch.setattr(compiler, "SMALL", 0)
    for name, want in zip(COMBINES[2:], small, strict=True):
        got = compiler.reduce(name, IN, x, axes=(1,))
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)


def test_a_sum_in_another_dtype(kernels):
    x = np.full((3, 100), 3, "int32")
    got = compiler.reduce("sum", IN, x, axes=(1,), dtype="float32")
    assert got.dtype == np.float32 and got.tolist() == [300, 300, 300]


@pytest.mark.parametrize("along", ["kept", "reduced"])
def test_every_target_compiles(along):
    found = plan((("exp", IN),), ("float32",), (), (None,))
    walks = ("unit", "unit" if along == "kept" else "same")
    spec = ReduceSpec(
        "sum", found.text, ("float32",), (), ("float32",), 1, 1, along, walks
    )
    for name in ("avx512", "avx2", "sse2", "neon"):
        made = schedule.build(spec, found.program, named(name))
        assert made.listing.startswith(f"kernel reduce_sum for {name}\n")
        assert len(jit.assemble(made.ir, named(name))) > 500
