"""Pooling and resampling against their definitions and against torch."""

import numpy as np
import pytest

from atrous import compiler
from atrous.compiler import cache, jit, reference
from atrous.compiler.schedules import pool as schedule
from atrous.compiler.spec import PoolSpec, ResampleSpec
from atrous.compiler.target import named, runs_here

TARGETS = [name for name in ("avx512", "avx2", "neon") if runs_here(named(name))]


@pytest.fixture(params=TARGETS)
def on_target(request, monkeypatch):
    """Kernels for one target after another."""
    monkeypatch.setattr(cache, "here", lambda: named(request.param))


def last(x):
    """The same values with axis 1 innermost in memory."""
    return np.moveaxis(np.moveaxis(x, 1, -1).copy(), -1, 1)


def plain(x):
    return x


def spec(kind, x, kernel, stride=None, padding=0, dilation=1, **rest):
    """A PoolSpec for x with the same numbers on every axis."""
    rank = x.ndim - 2
    same = [(n,) * rank for n in (kernel, stride or kernel, padding, dilation)]
    return PoolSpec(kind, x.dtype.name, *x.shape[:2], x.shape[2:], *same, **rest)


def torchs(numbers):
    """The numbers as torch calls them."""
    return {"kernel_size" if k == "kernel" else k: n for k, n in numbers.items()}


PROBLEMS = (
    ((2, 24, 13), dict(kernel=2)),
    ((2, 3, 13), dict(kernel=3, stride=2, padding=1)),
    ((1, 17, 9, 8), dict(kernel=3, stride=2, padding=1, ceil_mode=True)),
    ((2, 16, 6, 7), dict(kernel=3, stride=1, padding=1)),
    ((2, 33, 4, 6, 5), dict(kernel=2)),
    ((1, 1, 5, 4, 6), dict(kernel=3, stride=1, padding=1, ceil_mode=True)),
    ((0, 4, 5, 5), dict(kernel=2)),
)
DILATED = (
    ((2, 5, 17), dict(kernel=3, stride=2, padding=1, dilation=2)),
    ((1, 20, 9, 11), dict(kernel=3, stride=1, padding=1, dilation=3)),
)


@pytest.mark.parametrize("layout", [plain, last])
@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_maxima_and_their_gradient(on_target, layout, dtype):
    rng = np.random.default_rng(1)
    for shape, numbers in (*PROBLEMS, *DILATED):
        x = layout(rng.integers(-5, 5, shape).astype(dtype))  # with ties
        problem = spec("max", x, **numbers)
        y, indices = compiler.pool_forward(problem, x)
        want, where = reference.pool(problem, x)
        np.testing.assert_array_equal(y, want)
        np.testing.assert_array_equal(indices, where)
        np.testing.assert_array_equal(compiler.pool_forward(problem, x, None), want)
        grad = layout(rng.integers(-9, 9, y.shape).astype(dtype))
        narrow = compiler.pool_forward(problem, x, "int32")[1]
        assert narrow.dtype == np.int32
        np.testing.assert_array_equal(narrow, where)
        np.testing.assert_array_equal(
            compiler.pool_gradient(problem, grad, narrow),
            compiler.pool_gradient(problem, grad, indices),
        )
        got = compiler.pool_gradient(problem, grad, indices)
        np.testing.assert_array_equal(
            got, reference.pool_gradient(problem, grad, where)
        )
        np.testing.assert_array_equal(compiler.pool_pick(problem, x, indices), y)


@pytest.mark.parametrize("layout, dtype", [(plain, "float64"), (last, "float32")])
def test_averages_and_their_gradient(on_target, layout, dtype):
    rng = np.random.default_rng(2)
    eps = np.finfo(dtype).eps
    for shape, numbers in PROBLEMS:
        for rest in ({}, {"count_include_pad": False}, {"divisor_override": 5}):
            x = layout(rng.standard_normal(shape).astype(dtype))
            problem = spec("average", x, **numbers, **rest)
            y = compiler.pool_forward(problem, x)
            want, _ = reference.pool(problem, x.astype("f8"))
            assert y.dtype == x.dtype
            np.testing.assert_allclose(y, want, atol=20 * eps)
            grad = rng.standard_normal(y.shape).astype(dtype)
            got = compiler.pool_gradient(problem, grad)
            exact = reference.pool_gradient(problem, grad.astype("f8"), None)
            np.testing.assert_allclose(got, exact, atol=20 * eps)


def test_adaptive_windows():
    rng = np.random.default_rng(3)
    for size, output in (((9,), (4,)), ((7, 5), (3, 5)), ((4, 6, 5), (1, 1, 1))):
        x = last(rng.standard_normal((2, 19, *size)).astype("f4"))
        for kind in ("max", "average"):
            problem = PoolSpec(kind, "float32", 2, 19, size, adaptive=output)
            want, where = reference.pool(problem, x)
            found = compiler.pool_forward(problem, x)
            y, indices = found if kind == "max" else (found, None)
            np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-6)
            if kind == "max":
                np.testing.assert_array_equal(indices, where)
            grad = rng.standard_normal(y.shape).astype("f4")
            got = compiler.pool_gradient(problem, grad, indices)
            exact = reference.pool_gradient(problem, grad, where)
            np.testing.assert_allclose(got, exact, rtol=1e-5, atol=1e-6)


def test_half_types_and_nan():
    x = np.arange(64, dtype=np.float16).reshape(1, 16, 4)
    x[0, 3, 2:] = np.nan
    y, indices = compiler.pool_forward(spec("max", x, 4), x)
    assert np.isnan(y[0, 3, 0]) and indices[0, 3, 0] == 3  # the last NaN, as in torch
    assert y[0, 4, 0] == 19
    alone = compiler.pool_forward(spec("max", x, 4), x, None)
    np.testing.assert_array_equal(alone, y)
    mean = compiler.pool_forward(spec("average", x, 4), x)
    assert mean.dtype == np.float16 and mean[0, 4, 0] == 17.5


def test_a_shape_that_the_spec_does_not_say():
    x = np.zeros((1, 2, 8), "f4")
    with pytest.raises(ValueError, match=r"spec says \(1, 2, 8\), .* is \(1, 2, 9\)"):
        compiler.pool_forward(spec("max", x, 2), np.zeros((1, 2, 9), "f4"))


def test_as_torch_pools():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    rng = np.random.default_rng(4)
    pools = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)
    for shape, numbers in (*PROBLEMS[:-1], *DILATED):
        x = rng.standard_normal(shape).astype("f4")
        want, where = pools[len(shape) - 3](
            torch.from_numpy(x), return_indices=True, **torchs(numbers)
        )
        y, indices = compiler.pool_forward(spec("max", x, **numbers), x)
        np.testing.assert_array_equal(y, want.numpy())
        np.testing.assert_array_equal(indices, where.numpy())
    averages = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)
    for shape, numbers in PROBLEMS[:-1]:
        for include in (True, False):
            x = rng.standard_normal(shape).astype("f4")
            want = averages[len(shape) - 3](
                torch.from_numpy(x), count_include_pad=include, **torchs(numbers)
            )
            problem = spec("average", x, **numbers, count_include_pad=include)
            np.testing.assert_allclose(
                compiler.pool_forward(problem, x), want.numpy(), atol=1e-6
            )


RESAMPLED = (
    ((2, 5, 7), (14,)),
    ((2, 3, 6, 9), (11, 4)),
    ((1, 32, 4, 5, 3), (8, 10, 6)),
    ((2, 18, 1, 4), (3, 1)),
)
MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "linear", "cubic"])
@pytest.mark.parametrize("align_corners", [False, True])
def test_as_torch_interpolates(mode, align_corners):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    for shape, output in RESAMPLED:
        rank = len(output)
        if mode == "cubic" and rank != 2:
            continue
        for layout in (plain, last):
            x = layout(rng.standard_normal(shape).astype("f4"))
            name = {"linear": MODES[rank], "cubic": "bicubic"}.get(mode, mode)
            corners = None if mode.startswith("nearest") else align_corners
            given = torch.from_numpy(x).requires_grad_()
            want = torch.nn.functional.interpolate(
                given, output, mode=name, align_corners=corners
            )
            problem = ResampleSpec(mode, shape[2:], output, align_corners)
            y = compiler.resample(problem, x)
            np.testing.assert_allclose(y, want.detach().numpy(), atol=3e-6)
            np.testing.assert_allclose(y, reference.resample(problem, x), atol=1e-6)
            grad = rng.standard_normal(y.shape).astype("f4")
            want.backward(torch.from_numpy(grad))
            got = compiler.resample_gradient(problem, grad)
            np.testing.assert_allclose(got, given.grad.numpy(), atol=2e-5)


def test_resampling_on_targets(on_target):
    x = np.random.default_rng(6).standard_normal((2, 21, 6, 5))
    for dtype in ("float32", "float64", "float16"):
        problem = ResampleSpec("linear", (6, 5), (13, 8))
        got = compiler.resample(problem, x.astype(dtype))
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(got, reference.resample(problem, x), atol=9 * eps)


def test_threads_do_not_change_bits(monkeypatch):
    x = last(np.random.default_rng(7).standard_normal((2, 16, 48, 96)).astype("f4"))
    results = []
    for count in (1, 2, 4):
        monkeypatch.setattr("atrous.compiler.target._threads", count)
        y = compiler.pool_forward(spec("average", x, 3, 1, 1), x)
        up = compiler.resample(ResampleSpec("linear", (48, 96), (96, 50)), y)
        results.append(up.tobytes())
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("form", schedule.FORMS)
def test_every_target_compiles(form):
    walks = ("unit",) * len(schedule.OPERANDS[form][0])
    key = schedule.PoolKernel(form, "float32", 2, walks)
    for name in ("avx512", "avx2", "sse2", "neon"):
        made = schedule.build(key, named(name))
        assert made.listing.startswith(f"kernel pool_{form} for {name}\n")
        assert len(jit.assemble(made.ir, named(name))) > 500


def test_bfloat16_in_either_layout():
    x = np.random.default_rng(9).standard_normal((1, 24, 6, 6)).astype("f4")
    bits = reference.narrow_bfloat16(x)
    problem = PoolSpec("max", "bfloat16", 1, 24, (6, 6), (2,) * 2, (2,) * 2, (0,) * 2,
                       (1,) * 2)  # fmt: skip
    want = compiler.pool_forward(problem, last(bits), None)
    np.testing.assert_array_equal(compiler.pool_forward(problem, bits, None), want)
    exact = reference.widen_bfloat16(bits).reshape(1, 24, 3, 2, 3, 2).max((3, 5))
    np.testing.assert_array_equal(reference.widen_bfloat16(want), exact)


def test_large_results_are_written_past_the_caches(on_target, monkeypatch):
    monkeypatch.setattr("atrous.compiler.layout.STREAMED", 1 << 16)
    x = last(np.random.default_rng(8).standard_normal((2, 32, 24, 22)).astype("f4"))
    for kind in ("max", "average"):
        problem = spec(kind, x, 3, 1, 1)
        found = compiler.pool_forward(problem, x)
        y, indices = found if kind == "max" else (found, None)
        np.testing.assert_allclose(y, reference.pool(problem, x)[0], atol=1e-6)
        back = compiler.pool_gradient(problem, y, indices)
        want = reference.pool_gradient(problem, y, indices)
        np.testing.assert_allclose(back, want, atol=1e-5)
    for mode in ("nearest", "linear"):
        problem = ResampleSpec(mode, (24, 22), (50, 44))
        want = reference.resample(problem, x)
        np.testing.assert_allclose(compiler.resample(problem, x), want, atol=1e-5)
