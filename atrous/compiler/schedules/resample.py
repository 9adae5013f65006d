"""Interpolation along all axes in one pass: each axis is a banded matrix.

    y[…, o1, o2, o3] = Σ w1[o1, t1] · w2[o2, t2] · w3[o3, t3] · x[…, c1, c2, c3]

with c = columns[o, t] by a table an axis. A row of results (o1 and o2 are fixed) needs
few rows of x; their weighted sum is formed first, in the first cache, and then taken
apart along the last axis:

    for n, o1, o2: for i by lanes: row[i] = Σ weights · rows of x[i]
                   for o3: for channel by lanes: y = Σ w3[o3, t] · row[columns[o3, t]]

Lanes run over neighbours in memory, channels where these are innermost. Where a result
is one row of x (nearest) there is no sum, and nothing is copied twice. Rows of the
matrix may be empty (`holes`): their results are 0, whatever x holds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

from ..emit import Emitter, Kernel, Value
from ..expression import register
from ..target import Target
from .expressions import has_masks, stored
from .pointwise import Operand, along, box, load, store

#: From so many taps of the last axis on, they are a loop.
UNROLLED = 16


@dataclass(frozen=True)
class ResampleKernel:
    """What a kernel depends on: `taps` an axis, dimensions before the axes.

    `plain`: every weight is 1. `channels`: lanes run over channels, which lie inside
    the last axis; else results are written one by one. `streams`: results are written
    past the caches.
    """

    dtype: str
    before: int
    taps: tuple[int, ...]
    plain: bool
    holes: bool
    channels: bool
    streams: bool

    @property
    def direct(self) -> bool:
        """Whether a row of x is what a row of results is made of, as it lies."""
        outer = self.taps[:-1]
        return not outer or (self.plain and set(outer) == {1})


class _Builder:
    """Operands, tables and loops of one kernel.

    Arguments: addresses of x, of y, of the rows' workspace, of each axis's columns
    (int64) and of each one's weights; sizes, lengths and numbers of blocks of the
    dimensions before, of the axes of y, and of channels; strides of x and of y alike;
    elements in a row of x.
    """

    def __init__(self, key: ResampleKernel, target: Target) -> None:
        self.key = key
        self.e = e = Emitter("resample", target)
        self.wide = register(key.dtype)
        axes = len(key.taps)
        dims, head = key.before + axes + 1, 3 + 2 * axes
        first = head + 3 * dims
        self.x, self.y = (
            Operand(
                e.pointer(i, stored(key.dtype), "xy"[i]),
                key.dtype,
                [e.argument(first + i * dims + a) for a in range(dims)],
                "unit",
            )
            for i in range(2)
        )
        self.columns = [e.pointer(3 + a, "int64", f"columns{a}") for a in range(axes)]
        self.weights = [
            e.pointer(3 + axes + a, self.wide, f"weights{a}") for a in range(axes)
        ]
        self.length = e.argument(first + 2 * dims, "row")
        self.row = e.at(e.pointer(2, self.wide, "rows"), (e.worker, self.length))
        self.spans = box(e, head, dims)
        self.lanes = target.lanes(e.type(self.wide).itemsize)
        self.masked = has_masks(target, [key.dtype])

    def table(self, axis: int, place: Value, taps: int) -> tuple[list, list]:
        """Of one row of an axis's matrix, the first columns and weights."""
        e, width = self.e, self.key.taps[axis]
        columns = e.at(self.columns[axis], (place, width))
        weights = e.at(self.weights[axis], (place, width))
        return (
            [e.load(e.at(columns, tap)) for tap in range(taps)],
            [e.load(e.at(weights, tap)) for tap in range(taps)],
        )

    def _added(self, total: Value | None, value: Value, weight: Value) -> Value:
        """total + weight · value."""
        if self.key.plain:
            return value if total is None else total + value
        factor = self.e.splat(weight, value.type.lanes)
        return factor * value if total is None else self.e.fma(factor, value, total)

    def _sum(self, sources, weights, index, lanes: int, left) -> Value:
        """Σ weight · source of a vector."""
        total = None
        for source, weight in zip(sources, weights, strict=True):
            value = load(self.e, source, index, lanes, left)
            total = self._added(total, value, weight)
        assert total is not None
        return total

    def filled(self, columns: list[Value]) -> Value:
        """Whether a row of the matrix has taps at all: else its column is -1."""
        return columns[0] >= 0

    def rows(self) -> None:
        """Loops over all but the last axis and channels."""
        self._before(self.x, self.y, 0)

    def _before(self, x: Operand, y: Operand, dim: int) -> None:
        if dim == self.key.before:
            self._outer(x, y, [], 0)
            return
        start, stop = self.spans[dim]
        with self.e.loop(f"n{dim}", stop, start=start) as n:
            x, y = (each.moved(self.e, n.index, dim) for each in (x, y))
            self._before(x, y, dim + 1)

    def _outer(self, x: Operand, y: Operand, tables: list, axis: int) -> None:
        if axis == len(self.key.taps) - 1:
            self._row(x, y, tables)
            return
        dim = self.key.before + axis
        start, stop = self.spans[dim]
        with self.e.loop(f"o{axis}", stop, start=start) as o:
            entry = self.table(axis, o.index, self.key.taps[axis])
            self._outer(x, y.moved(self.e, o.index, dim), [*tables, entry], axis + 1)

    def _row(self, x: Operand, y: Operand, tables: list) -> None:
        e, key = self.e, self.key
        full = None
        if key.holes:
            for columns, _ in tables:
                here = self.filled(columns)
                full = here if full is None else full & here
        pointers, weights = self._combined(x, tables)
        if key.direct:
            self._results(replace(x, pointer=pointers[0]), y, full)
            return
        rows = [replace(x, pointer=pointer) for pointer in pointers]

        def summed(index: Value, lanes: int, left: Value | None) -> None:
            total = self._sum(rows, weights, index, lanes, left)
            mask = None if left is None else e.mask(left, lanes)
            e.store(total, e.at(self.row, index), mask)

        span = e.constant(0, "int64"), self.length
        along(e, span, self.lanes, self.masked, summed)
        self._results(replace(x, pointer=self.row, dtype=self.wide), y, full)

    def _combined(self, x: Operand, tables: list) -> tuple[list[Value], list[Value]]:
        """Where the rows of x begin, and their weights: products over the axes."""
        e, pointers, weights = self.e, [], []
        for taps in product(*[range(n) for n in self.key.taps[:-1]]):
            pointer, weight = x.pointer, e.constant(1.0, self.wide)
            for axis, (tap, (columns, factors)) in enumerate(
                zip(taps, tables, strict=True)
            ):
                column = columns[tap]
                if self.key.holes:
                    column = e.maximum(column, 0)
                stride = x.strides[self.key.before + axis]
                pointer = e.at(pointer, (column, stride))
                weight = factors[tap] if axis == 0 else weight * factors[tap]
            pointers.append(pointer)
            weights.append(weight)
        return pointers, weights

    def _results(self, row: Operand, y: Operand, full: Value | None) -> None:
        """One row of results; where `full` is false they are 0."""
        e, key = self.e, self.key
        axis = len(key.taps) - 1
        dim = key.before + axis
        start, stop = self.spans[dim]
        with e.loop(f"o{axis}", stop, start=start) as o:
            taps = 1 if key.taps[-1] >= UNROLLED else key.taps[-1]
            columns, weights = self.table(axis, o.index, taps)
            some = full
            if key.holes:
                here = self.filled(columns)
                some = here if full is None else full & here
                columns = [e.maximum(column, 0) for column in columns]
            target = y.moved(e, o.index, dim)

            def body(index: Value, lanes: int, left: Value | None) -> None:
                if key.taps[-1] >= UNROLLED:
                    total = self._looped(row, o.index, index, lanes, left)
                else:
                    sources = [row.moved(e, column, dim) for column in columns]
                    total = self._sum(sources, weights, index, lanes, left)
                if some is not None:
                    mask = e.splat(some, lanes)
                    total = e.select(mask, total, e.zero(total.type))
                if key.streams:
                    e.stream(total, e.at(target.pointer, index))
                else:
                    store(e, total, target, index, left)

            if key.channels:
                along(e, self.spans[-1], self.lanes, self.masked, body)
            else:
                body(e.constant(0, "int64"), 1, None)

    def _looped(self, row: Operand, place: Value, index, lanes: int, left) -> Value:
        """The sum over the taps of the last axis, a loop."""
        e, axis = self.e, len(self.key.taps) - 1
        width = self.key.taps[axis]
        start = (place, width)
        with e.loop("tap", width, carry=[e.zero(self.wide, lanes)]) as tap:
            column = e.load(e.at(self.columns[axis], start, tap.index))
            if self.key.holes:
                column = e.maximum(column, 0)
            source = row.moved(e, column, self.key.before + axis)
            weight = e.load(e.at(self.weights[axis], start, tap.index))
            value = load(e, source, index, lanes, left)
            tap.carry = [self._added(tap.carry[0], value, weight)]
        return tap.carry[0]


def build(key: ResampleKernel, target: Target) -> Kernel:
    """The kernel of a key."""
    builder = _Builder(key, target)
    builder.rows()
    if key.streams:
        builder.e.settle()
    return builder.e.finish()
