"""Interpolation of NumPy arrays, and its gradient: a banded matrix along each axis.

    y = resample(spec, x)                   and resample_gradient(spec, grad)

A result o lies at a real place in the input,

    s·(o + ½) - ½   (s: elements of the input a step; clamped at 0, but for cubic)
    o·(n - 1)/(m - 1)   with align_corners

and is a weighted sum of its neighbours: one (nearest), two (linear) or four (cubic:
Keys 1981, a = -0.75, as torch's).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod

import numpy as np

from . import cache, memory
from .elementwise import dtype_name, pointwise
from .expression import register
from .launch import Launch, remember
from .layout import (
    CHUNK,
    LINE,
    blocks,
    broadcast_strides,
    collapse,
    pieces,
    streams,
)
from .pool import workers_of
from .schedules.resample import ResampleKernel
from .spec import ResampleSpec

#: Rows of x that a row of results may be made of at once; else axis after axis.
ROWS = 16
#: From so many channels on, larger results are made with channels innermost.
REORDERED = 8


@dataclass(frozen=True, eq=False)
class Band:
    """Rows of a sparse matrix: row o has weights[o, :count] from column `first` on."""

    table: np.ndarray  # (rows, 2): first, count
    weights: np.ndarray  # (rows, most taps), float64
    columns: int

    @property
    def rows(self) -> int:
        return len(self.table)

    def entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Row, column and weight of everything stored."""
        taps = np.arange(self.weights.shape[1])
        used = taps < self.table[:, 1:]
        rows = np.broadcast_to(np.arange(self.rows)[:, None], used.shape)
        columns = self.table[:, :1] + taps
        return rows[used], columns[used], self.weights[used]

    def tables(self, dtype: str) -> tuple[np.ndarray, np.ndarray]:
        """Columns and weights (rows, taps), as many taps in every row.

        The last tap of a shorter row is shared out among copies of itself. A row
        without taps has columns of -1.
        """
        count = self.table[:, 1:]
        taps = np.arange(max(1, count.max(initial=0)))
        last = np.maximum(count - 1, 0)
        place = np.minimum(taps, last)
        weights = np.take_along_axis(self.weights, place, axis=1)
        weights = np.where(taps >= last, weights / (len(taps) - last), weights)
        columns = np.where(count > 0, self.table[:, :1] + place, -1)
        return np.ascontiguousarray(columns), weights.astype(dtype)

    def transposed(self) -> Band:
        rows, columns, weights = self.entries()
        return _band(columns, rows, weights, self.columns, self.rows)


def _band(rows, columns, weights, count: int, width: int) -> Band:
    """A Band of entries; those of one place are added."""
    first = np.full(count, width, np.int64)
    last = np.full(count, -1, np.int64)
    np.minimum.at(first, rows, columns)
    np.maximum.at(last, rows, columns)
    taps = np.maximum(last - first + 1, 0)
    stored = np.zeros((count, max(1, int(taps.max(initial=0)))), np.float64)
    np.add.at(stored, (rows, columns - first[rows]), weights)
    table = np.stack([np.where(taps > 0, first, 0), taps], axis=1)
    return Band(np.ascontiguousarray(table), stored, width)


@lru_cache(maxsize=256)
def bands(spec: ResampleSpec) -> tuple[Band, ...]:
    """The matrix of each spatial axis."""
    scales = spec.scale or (None,) * len(spec.size)
    return tuple(
        _axis(spec.mode, n, m, spec.align_corners, scale)
        for n, m, scale in zip(spec.size, spec.output, scales, strict=True)
    )


def _axis(mode: str, n: int, m: int, align_corners: bool, scale: float | None) -> Band:
    step = n / m if scale is None else scale
    o = np.arange(m)
    if mode.startswith("nearest"):
        # torch places these in float32
        shift = 0.5 if mode == "nearest-exact" else 0.0
        place = (o + np.float32(shift)).astype(np.float32) * np.float32(step)
        near = np.minimum(np.floor(place).astype(np.int64), n - 1)
        return _band(o, near, np.ones(m), m, n)
    if align_corners:
        place = o * ((n - 1) / (m - 1) if m > 1 else 0.0)
    else:
        place = step * (o + 0.5) - 0.5
    offsets: tuple[int, ...] = (-1, 0, 1, 2)
    weigh = _cubic
    if mode == "linear":
        place = np.clip(place, 0, n - 1)
        offsets, weigh = (0, 1), _linear
    low = np.floor(place).astype(np.int64)
    rows, columns, weights = [], [], []
    for offset in offsets:
        weight = weigh(place - (low + offset))
        rows.append(o)
        columns.append(np.clip(low + offset, 0, n - 1))
        weights.append(weight)
    joined = [np.concatenate(part) for part in (rows, columns, weights)]
    return _band(joined[0], joined[1], joined[2], m, n)


def _linear(t: np.ndarray) -> np.ndarray:
    """The triangle, of distance t."""
    return np.maximum(0, 1 - np.abs(t))


def _cubic(t: np.ndarray) -> np.ndarray:
    """Keys' kernel of distance t."""
    t, a = np.abs(t), -0.75
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0.0))


# ------------------------------------------------------------------ one pass


@dataclass(frozen=True, eq=False)
class _Matrices:
    """The tables of the axes from `first` on, and what a kernel knows of them."""

    first: int
    columns: tuple[np.ndarray, ...]
    weights: tuple[np.ndarray, ...]
    plain: bool
    holes: bool
    launches: dict = field(default_factory=dict)  # of arrays that came before

    @property
    def output(self) -> tuple[int, ...]:
        return tuple(map(len, self.columns))


@lru_cache(maxsize=256)
def _matrices(spec: ResampleSpec, adjoint: bool, dtype: str) -> list[_Matrices]:
    """The passes of a problem: one, or where rows would be made of many, one an axis.

    `adjoint`: of the transposed matrices, the last axis first.
    """
    found = [band.transposed() if adjoint else band for band in bands(spec)]
    tables = [band.tables(dtype) for band in found]
    rows = prod(columns.shape[1] for columns, _ in tables[:-1])
    if rows <= ROWS:
        return [_together(2, tables)]
    passes = [_together(2 + axis, [table]) for axis, table in enumerate(tables)]
    return passes[::-1] if adjoint else passes


def _together(first: int, tables) -> _Matrices:
    columns, weights = zip(*tables, strict=True)
    plain = all((each == 1).all() for each in weights)
    holes = any((each < 0).any() for each in columns)
    return _Matrices(first, columns, weights, plain, holes)


def resample(spec: ResampleSpec, x: np.ndarray, dtype: str | None = None):
    """Interpolate (batch, channels, *size) to (batch, channels, *output)."""
    return _solve(spec, False, x, dtype)


def resample_gradient(spec: ResampleSpec, grad: np.ndarray, dtype: str | None = None):
    """The transpose: (batch, channels, *output) -> (batch, channels, *size)."""
    return _solve(spec, True, grad, dtype)


def _solve(spec: ResampleSpec, adjoint: bool, x: np.ndarray, dtype: str | None):
    dtype = dtype or dtype_name(x)
    for matrices in _matrices(spec, adjoint, register(dtype)):
        x = _applied(matrices, x, dtype)
    return x


def _applied(matrices: _Matrices, x: np.ndarray, dtype: str) -> np.ndarray:
    """One pass."""
    first, output = matrices.first, matrices.output
    shape = (*x.shape[:first], *output, *x.shape[first + len(output) :])
    x, order = _prepared(x, prod(shape), first + len(output) - 1, dtype)
    y = memory.empty(shape, x.dtype, order)
    if not y.size:
        return y
    key = x.shape, x.strides, order, dtype, cache.here().name
    found = matrices.launches.get(key)
    if found is None:
        found = _launch(matrices, x, y, order, dtype)
        remember(matrices.launches, key, found)
    launch, row = found
    rows = memory.empty((row * workers_of(launch.chunks),), register(dtype))
    launch((x, y, rows, *matrices.columns, *matrices.weights), ())
    return y


Order = tuple[int, ...] | None


def _prepared(
    x: np.ndarray, size: int, last: int, dtype: str
) -> tuple[np.ndarray, Order]:
    """x, or a copy, dense from the axis `last` on; and the order in which it lies."""
    inner = memory.channels_last(x.ndim)
    if _dense(x, inner, last):
        return x, inner
    few = x.shape[1] < REORDERED
    if (few or size <= x.size) and _dense(x, range(x.ndim), last):
        return x, None
    order = None if few else inner
    copy = memory.empty(x.shape, x.dtype, order)
    pointwise(("in", 0), x, dtypes=(dtype,), out=copy)
    return copy, order


def _dense(x: np.ndarray, order: Sequence[int], last: int) -> bool:
    """Whether elements are neighbours from the axis `last` on, in this order."""
    step = x.itemsize
    for axis in reversed(order):
        if x.shape[axis] != 1 and x.strides[axis] != step:
            return False
        if axis == last:
            return True
        step *= x.shape[axis]
    return True


def _launch(
    matrices: _Matrices, x: np.ndarray, y: np.ndarray, order: Order, dtype: str
) -> tuple[Launch, int]:
    """The launch, and how many elements of workspace a worker needs."""
    order = order or tuple(range(x.ndim))
    output = matrices.output
    at = order.index(matrices.first)
    ahead, axes = order[:at], order[at : at + len(output)]
    inner = prod(x.shape[axis] for axis in order[at + len(output) :])
    walks = broadcast_strides(x, x.shape), broadcast_strides(y, y.shape)
    kept, kept_walks = collapse(
        tuple([x.shape[axis] for axis in ahead]),
        tuple([tuple([walk[axis] for axis in ahead]) for walk in walks]),
    )
    itemsize = y.itemsize
    # each place of a row is whole lines of channels
    whole = inner > 1 and inner * itemsize % LINE == 0 and register(dtype) == dtype
    walk = (*kept_walks[1], *[walks[1][axis] for axis in axes], 1)
    kernel = ResampleKernel(
        dtype,
        len(kept),
        tuple([columns.shape[1] for columns in matrices.columns]),
        matrices.plain,
        matrices.holes,
        channels=inner > 1,
        streams=whole and streams(y.size, itemsize, walk),
    )
    row = x.shape[axes[-1]] * inner
    outer, last = (*kept, *output[:-1]), output[-1]
    if len(output) == 1:
        lengths = (*blocks((*kept, last), max(1, CHUNK // inner), 1), inner)
    else:
        grain = max(1, CHUNK // (last * inner))
        lengths = (*blocks(outer, grain, 1), last, inner)
    sizes = (*outer, last, inner)
    counts = pieces(sizes, lengths)
    numbers = [*sizes, *lengths, *counts]
    for kept_walk, walk in zip(kept_walks, walks, strict=True):
        numbers += (*kept_walk, *[walk[axis] for axis in axes], 1)
    launch = Launch(_kernel(kernel), [*numbers, row], prod(counts))
    return launch, 1 if kernel.direct else row


def _kernel(key: ResampleKernel) -> int:
    """The address of a kernel."""

    def build(target):
        from .schedules import resample as schedule

        return schedule.build(key, target)

    return cache.kernel(("resample", key), build)
