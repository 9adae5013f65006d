"""The direct schedule's own choices: long rows, results in pieces, streamed results."""

from dataclasses import replace

import numpy as np
import pytest

from atrous.compiler import matrix, memory, reference, target
from atrous.compiler.convolution import convolve
from atrous.compiler.schedules import conv_direct, conv_taps
from atrous.compiler.spec import ConvSpec

TARGETS = [t for t in target.NAMED.values() if target.runs_here(t)]


@pytest.fixture(autouse=True)
def poisoned(monkeypatch):
    """Fresh memory is NaN: an element that is forgotten, or wrongly read, shows."""
    monkeypatch.setattr(memory, "POISON", True)


def spec(batch, channels, out, size, kernel, stride, solves="y", **more):
    return ConvSpec(
        solves=solves,
        dtype=more.pop("dtype", "float32"),
        batch=batch,
        groups=1,
        in_channels=channels,
        out_channels=out,
        size=size,
        kernel=kernel,
        stride=stride,
        dilation=(1,) * len(size),
        padding=((0, 0),) * len(size),
        border="zeros",
        **more,
    )


def last(values):
    """The same values, channels last in memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(values, 1, -1)), -1, 1)


def check(problem: ConvSpec, on: target.Target) -> None:
    """The compiled result against the definition."""
    values = np.random.default_rng(0)
    known = {
        name: values.standard_normal(shape).astype(problem.dtype)
        for name, shape in problem.shapes.items()
        if name != problem.solves
    }
    if problem.bias:
        channels = problem.shapes[problem.solves][1]
        known["bias"] = values.standard_normal(channels).astype(problem.dtype)
    want = reference.convolve(problem, **known)
    bound = 50 * np.finfo(problem.dtype).eps * np.abs(want).max()
    for layout in (np.asarray, last):
        laid = {k: v if k in ("w", "bias") else layout(v) for k, v in known.items()}
        got = convolve(problem, **laid, target=on)
        np.testing.assert_allclose(got, want, rtol=0, atol=bound)


@pytest.mark.parametrize("on", TARGETS, ids=lambda t: t.name)
@pytest.mark.parametrize("channels", [1, 3, 5, 12, 32, 48, 80])
def test_phases_of_a_tiling_kernel_are_one_product(channels, on):
    """Rows of an output's patch lie apart in x, and may cut across vectors."""
    for kernel in ((4, 4), (2, 2, 2), (3, 1), (2, 5)):
        size = tuple(n * k for n, k in zip((3, 5, 2), kernel, strict=False))
        how = {"bias": True, "activation": "relu" if channels == 12 else None}
        check(spec(2, channels, 7, size, kernel, kernel, "x", **how), on)


@pytest.mark.parametrize(
    ("channels", "pieces", "tile"),
    [
        (64, 1, 64),
        (256, 4, 64),  # a piece is a block
        (48, 4, 48),  # a block is four pieces
        (24, 4, 32),  # one block holds all
        (384, 4, 48),  # not 64, which would cut a piece of 96
    ],
)
def test_tile_of_pieces(channels, pieces, tile):
    on = target.named("avx512")
    assert conv_direct.piece_tile(channels, pieces, "float32", on).channels == tile


@pytest.mark.parametrize("solves", ["y", "x"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_streamed_results(solves, dtype):
    """What a large result is written by, on a machine whose caches are tiny: large is
    still more than NumPy would allocate itself, and so aligned."""
    for on in TARGETS:
        small = replace(on, l2=memory.SMALL_BYTES // conv_direct.STREAMED)
        for size, kernel in (((19, 17), 1), ((30, 38), 2), ((5, 11, 7), 1)):
            pair = (kernel,) * len(size)
            problem = spec(3, 32, 64, size, pair, pair, solves, dtype=dtype)
            check(problem, small)


def test_which_results_are_streamed():
    on = target.named("avx512")

    def streams(pixels: int, channels: int) -> bool:
        axis = conv_taps.Axis(pixels, 1, (0,), (0,), pixels)
        taps = conv_taps.Taps("float32", 1, 1, 16, channels, (axis,))
        plan = conv_direct.plan(taps, (0, 0, 1, 16), (0, 0, 1, channels), on)
        return plan.kernel.streams

    assert streams(1 << 15, 64)
    assert not streams((1 << 15) - 1, 64)  # smaller than eight times L2
    assert not streams(1 << 16, 40)  # 160 bytes a pixel: parts of lines


def test_rows_over_all_images():
    """A channels-last 1x1 convolution is one row; rows apart stay apart."""
    problem = spec(2, 8, 8, (4, 5, 6), (1, 1, 1), (1, 1, 1))
    taps = conv_taps.forward(problem)
    dense = (8 * 120, 0, 1, 8 * 30, 8 * 6, 8)
    merged, source, result = conv_taps.merged(taps, dense, dense)
    assert (merged.batch, merged.count) == (1, (240,))
    assert source == result == (0, 0, 1, 8)
    wide = (
        8 * 480,
        0,
        1,
        8 * 120,
        8 * 12,
        8,
    )  # as if rows and planes were twice as long
    merged, source, _ = conv_taps.merged(taps, wide, dense)
    assert (merged.batch, merged.count) == (1, (8, 5, 6))
    assert source == (0, 0, 1, 8 * 120, 8 * 12, 8)


@pytest.mark.parametrize("on", TARGETS, ids=lambda t: t.name)
def test_long_sums_are_taken_in_parts(on):
    """Parts of 256 terms: in one run of many, and over many short runs."""
    values = np.random.default_rng(0)
    a, b = (values.standard_normal(s).astype("f") for s in ((9, 1100), (1100, 40)))
    want = a.astype(float) @ b.astype(float)
    np.testing.assert_allclose(matrix.matmul(a, b, on), want, rtol=0, atol=1e-4)
    check(spec(1, 20, 24, (9, 8), (6, 6), (2, 1)), on)


@pytest.mark.parametrize("on", TARGETS, ids=lambda t: t.name)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_of_few_rows(dtype, on):
    """The right side is streamed where it lies dense, by rows or by columns."""
    values = np.random.default_rng(0)
    for m, k, n in ((1, 300, 129), (7, 260, 100), (20, 33, 41), (6, 1, 500)):
        a = values.standard_normal((m, k)).astype(dtype)
        b = values.standard_normal((k, n)).astype(dtype)
        want = a.astype(np.longdouble) @ b.astype(np.longdouble)
        bound = 20 * np.finfo(dtype).eps * np.abs(want).max()
        lefts = a, a.T.copy().T, np.repeat(a, 2, 1)[:, ::2], a[::-1].copy()[::-1]
        for left in lefts:
            for right in (b, b.T.copy().T, np.repeat(b, 2, 1)[:, ::2]):
                got = matrix.matmul(left, right, on)
                np.testing.assert_allclose(got, want, rtol=0, atol=bound)
