"""Matrix products through the convolution's inner loops.

A product is a convolution with one tap: rows are pixels, columns are channels. Stacked
products are groups, or images where the right side is shared. A product of few rows is
one of few outputs: its right side is streamed, and never packed.
"""

from math import prod

import numpy as np

from . import cache, memory
from .convolution import run_taps
from .launch import address, remember
from .recording import Recorder, Recording, StandIn
from .schedules.conv_streamed import CHUNKS, ROWS_A_PATCH
from .schedules.conv_taps import Axis, Taps
from .schedules.streamed_products import Dots, Spread, Tile
from .target import Target, here, threads

#: Below this many multiply-adds NumPy's own product costs less than our launch.
SMALL_PRODUCTS = 32768
#: Sums along vectors pay for at most so many rows, of at least so many terms: above
#: these a packed right side was up to a quarter faster, below it up to half as fast.
DOT_ROWS, DOT_TERMS = 64, 256


def matmul(a: np.ndarray, b: np.ndarray, target: Target | None = None) -> np.ndarray:
    """(…, m, k) @ (…, k, n) -> (…, m, n), batch axes broadcast, any strides.

    float32 or float64, both the same. Products of fewer than SMALL_PRODUCTS
    multiply-adds are left to NumPy; its BLAS computes nothing larger. A result of few
    columns may lie transposed in memory.
    """
    (m, k), n = a.shape[-2:], b.shape[-1]
    if not target and a.ndim == b.ndim == 2 and m * n * k < SMALL_PRODUCTS:
        return np.matmul(a, b)
    assert a.ndim >= 2 and b.ndim >= 2 and k == b.shape[-2]
    assert a.dtype == b.dtype and a.dtype.name in ("float32", "float64")
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    if not target and prod(batch) * m * n * k < SMALL_PRODUCTS:
        return np.matmul(a, b)
    target = target or here()
    if n < target.lanes(a.itemsize) and n < m:
        return matmul(b.mT, a.mT, target).mT if m * n * k else _zeros(batch, m, n, a)
    if not (prod(batch) * m * n * k):
        return _zeros(batch, m, n, a)
    result = memory.empty((*batch, m, n), a.dtype)
    _stacked(_stack(a, batch), _stack(b, batch), result.reshape(-1, m, n), target)
    return result


def _zeros(batch: tuple[int, ...], m: int, n: int, like: np.ndarray) -> np.ndarray:
    """The product over nothing, or of nothing."""
    return memory.zeros((*batch, m, n), like.dtype)


def _stack(array: np.ndarray, batch: tuple[int, ...]) -> np.ndarray:
    """(batch or 1, rows, columns): a view where strides allow."""
    if prod(array.shape[:-2]) == 1:
        return array.reshape(1, *array.shape[-2:])
    full = np.broadcast_to(array, (*batch, *array.shape[-2:]))
    return full.reshape(-1, *array.shape[-2:])


def _strides(array: np.ndarray) -> tuple[int, int, int]:
    """In elements: stack, rows, columns; zero where there is but one."""
    stack, row, column = (
        stride // array.itemsize if size > 1 else 0
        for stride, size in zip(array.strides, array.shape, strict=True)
    )
    return stack, row, column


_recordings: dict[tuple, Recording] = {}


def _stacked(a: np.ndarray, b: np.ndarray, result: np.ndarray, target: Target) -> None:
    """(s, m, k) @ (s, k, n), a stack of one serving all."""
    within = a.itemsize - 1
    if any(x & within for each in (a, b) for x in (address(each), *each.strides)):
        a, b = a.copy(), b.copy()
    arrays = a, b, result
    key = *[(x.shape, x.strides) for x in (a, b)], a.dtype, target.name, threads()
    recording = _recordings.get(key)
    if recording is None:
        recording = remember(_recordings, key, _recorded(arrays, target))
    recording(*arrays)


def _recorded(arrays: tuple[np.ndarray, ...], target: Target) -> Recording:
    """The product as a convolution."""
    recorder = Recorder(target)
    a, b, result = map(recorder.given, arrays)
    stack, m, n = result.shape
    if stack == 1 and _streams(m, b):
        _few_rows(a[0], b[0], result[0])
        return recorder.recording()
    shared = b.shape[0] == 1
    taps = Taps(
        dtype=a.dtype.name,
        batch=stack if shared else 1,
        groups=1 if shared else stack,
        source_channels=a.shape[2],
        channels=n,
        axes=(Axis(count=m, step=1, offsets=(0,), taps=(0,), size=m),),
    )
    by_stack, row, column = _strides(a)
    source = (by_stack, 0, column, row) if shared else (0, by_stack, column, row)
    wide = (m * n, 0, 1, n) if shared else (0, m * n, 1, n)
    weights = b.mT[..., None]  # (groups, n, k, one tap)
    run_taps(taps, a, source, weights, None, result, wide)
    return recorder.recording()


def _streams(rows: int, b: StandIn) -> bool:
    """Whether so few rows by b, a stack of one, cost least if b is never packed."""
    _, k, n = b.shape
    by_columns = b.mT.flags.c_contiguous and rows <= DOT_ROWS and k >= DOT_TERMS
    return rows * ROWS_A_PATCH <= n and (b.flags.c_contiguous or by_columns)


def _few_rows(a: StandIn, b: StandIn, result: StandIn) -> None:
    """Record (m, k) @ (k, n), m few: b is read once, where it lies."""
    recorder, (m, k), n = result.recorder, a.shape, b.shape[1]
    dtype, target = result.dtype, recorder.target
    if a.strides[1] != a.itemsize or a.strides[0] < 0:
        rows = recorder.scratch(a.shape, dtype)
        rows[...] = a
        a = rows
    tile, in_wider = Tile.of(dtype.name, m, target)
    pitch = a.strides[0] // a.itemsize
    if not b.flags.c_contiguous:  # result[p, o] = Σ b.mT[o, c] · a[p, c]
        kernel: Dots | Spread = Dots(tile, bias=False, activation=None)
        share = -(-n // (CHUNKS * tile.long)) * tile.long
        chunks = -(-n // share)
        pointers = (b, result, a, np.arange(m) * n, None)
        most = target.l2 * 3 // 4 // (m * a.itemsize) // tile.columns
        numbers = (k, pitch, m, in_wider, n, share, 1, max(1, most) * tile.columns)
    else:  # result[p, c] = Σ b[o, c] · a[p, o]
        kernel, chunks = Spread(tile), -(-n // tile.columns)
        pointers = (b, a, result, np.arange(m) * pitch, None)
        numbers = (n, n, m, in_wider, k, k, 1, n)
    built = cache.kernel(("conv_streamed", kernel), kernel.build, target)
    recorder.launch(built, pointers, numbers, chunks)
