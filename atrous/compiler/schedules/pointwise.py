"""One pass over elements: loops over what is left of the dimensions, lanes in the last.

A chunk is a box: each dimension is cut into blocks, and the number of the chunk, read
as digits, says which. Within it the last dimension runs in vectors, whose remainder is
a masked vector, or single elements where masks would cost a branch each. Registers: one
vector an operand and what the expression needs.

    for d0 … in its block
      for i in last block by lanes: results[i] = expressions(inputs[i])

Where some input lies the other way round ("turned": dense along the last dimension but
one) the last two are walked in tiles of 64 × 64, so that the lines which either side
touches stay in the first cache until each is used up (Lam, Rothberg & Wolf 1991), and
in them squares of 16 × 16 are transposed in registers: 64 shuffles for 256 elements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..emit import Emitter, Kernel, Value
from ..expression import Program
from ..spec import PointwiseSpec
from ..target import Target
from .expressions import (
    compute,
    has_masks,
    narrowed,
    scalar_arguments,
    stored,
    widened,
    width,
)

#: Elements of a tile's side.
TILE = 64


@dataclass
class Operand:
    """An input or a result: where it is, its dtype, and how it walks along `axis`."""

    pointer: Value
    dtype: str
    strides: Sequence[Value]
    walk: str
    axis: int = -1

    def moved(self, e: Emitter, index: Value, axis: int) -> Operand:
        """The operand at `index` of `axis`."""
        pointer = e.at(self.pointer, (index, self.strides[axis]))
        return replace(self, pointer=pointer)


def load(
    e: Emitter, operand: Operand, index: Value, lanes: int, count: Value | None
) -> Value:
    """`lanes` elements from `index` on along the axis, of which `count` exist."""
    stride = operand.strides[operand.axis]
    if operand.walk == "same":
        return widened(e, e.splat(e.load(operand.pointer), lanes), operand.dtype)
    if operand.walk == "unit":
        place = e.at(operand.pointer, index)
        if lanes == 1:
            value = e.load(place, 1)
        else:
            mask = None if count is None else e.mask(count, lanes)
            value = e.load(place, lanes, mask)
        return widened(e, value, operand.dtype)
    value = e.zero(stored(operand.dtype), lanes)
    for lane in range(lanes):
        place = index + lane
        if count is not None and lane:  # beyond the end: the first once more
            place = e.select(count > lane, place, index)
        one = e.load(e.at(operand.pointer, (place, stride)))
        value = e.insert(value, one, lane)
    return widened(e, value, operand.dtype)


def store(e: Emitter, value: Value, operand: Operand, index: Value, count) -> None:
    """Write lanes from `index` on along the axis, `count` of them if given."""
    value = narrowed(e, value, operand.dtype)
    if operand.walk == "unit":
        mask = None if count is None else e.mask(count, value.type.lanes)
        e.store(value, e.at(operand.pointer, index), mask)
        return
    if operand.walk == "place":
        e.store(e.extract(value, 0), operand.pointer)
        return
    for lane in range(value.type.lanes):
        place = e.at(operand.pointer, (index + lane, operand.strides[operand.axis]))
        e.store(e.extract(value, lane), place)


def box(e: Emitter, first: int, rank: int) -> list[tuple[Value, Value]]:
    """Start and stop of each dimension in this chunk.

    Arguments from `first` on: the sizes, the lengths of blocks, the numbers of blocks.
    """
    sizes, lengths, counts = (
        [
            e.argument(first + part * rank + axis, f"{name}{axis}")
            for axis in range(rank)
        ]
        for part, name in enumerate(("size", "block", "blocks"))
    )
    left, spans = e.chunk, []
    for axis in reversed(range(rank)):
        start = left % counts[axis] * lengths[axis]
        spans.append((start, e.minimum(start + lengths[axis], sizes[axis])))
        left = left // counts[axis]
    return spans[::-1]


def along(
    e: Emitter,
    span: tuple[Value, Value],
    lanes: int,
    masked: bool,
    body: Callable[[Value, int, Value | None], None],
) -> None:
    """The last axis in vectors, then its remainder, masked or one by one."""
    start, stop = span
    whole = stop - (stop - start) % lanes
    with e.loop("i", whole, start=start, step=lanes) as i:
        body(i.index, lanes, None)
    if lanes == 1:
        return
    if masked:
        with e.when(whole < stop, "some lanes are left"):
            body(whole, lanes, stop - whole)
    else:
        with e.loop("i", stop, start=whole) as i:
            body(i.index, 1, None)


def build(spec: PointwiseSpec, program: Program, target: Target) -> Kernel:
    """The kernel of a spec whose program is given.

    Arguments: addresses of inputs and results; sizes, lengths and numbers of blocks;
    strides, operand by operand; scalars.
    """
    e = Emitter("pointwise", target)
    e.note(spec.text)
    dtypes = (*spec.dtypes, *spec.results)
    count, rank = len(dtypes), spec.rank
    first = count + 3 * rank
    operands = [
        Operand(
            e.pointer(i, stored(dtype), _name(i, len(spec.dtypes))),
            dtype,
            [e.argument(first + i * rank + axis) for axis in range(rank)],
            spec.walks[i],
        )
        for i, dtype in enumerate(dtypes)
    ]
    scalars = scalar_arguments(e, program, first + count * rank)
    spans = box(e, count, rank)
    innermost = _innermost(e, spec, program, scalars)
    _nest(e, operands, spans, 0, spec.tiled, innermost)
    if spec.streams:
        e.settle()
    return e.finish()


def build_each(spec: PointwiseSpec, program: Program, target: Target) -> Kernel:
    """The kernel of a spec of one dense dimension, for many problems in one launch.

    Arguments: address of a table; scalars. A chunk is a row of the table: addresses of
    inputs and results, then how many elements.
    """
    e = Emitter("pointwise_each", target)
    e.note(spec.text)
    dtypes = (*spec.dtypes, *spec.results)
    row = e.at(e.pointer(0, "int64", "table"), (e.chunk, len(dtypes) + 1))
    one = [e.constant(1, "int64")]
    operands = [
        Operand(
            e.address(e.load(e.at(row, i)), stored(dtype), _name(i, len(spec.dtypes))),
            dtype,
            one,
            "unit",
        )
        for i, dtype in enumerate(dtypes)
    ]
    scalars = scalar_arguments(e, program, 1)
    count = e.load(e.at(row, len(dtypes)))
    span = e.constant(0, "int64"), count
    _innermost(e, spec, program, scalars)(operands, span)
    return e.finish()


def _innermost(e: Emitter, spec: PointwiseSpec, program: Program, scalars) -> Callable:
    """What walks the last axis: innermost(operands, span)."""
    dtypes = (*spec.dtypes, *spec.results)
    lanes = whole = width(program, e.target)
    strided = "strided" in spec.walks[-len(spec.results) :]
    masked = has_masks(e.target, dtypes) and not strided

    def innermost(here: list[Operand], span: tuple[Value, Value]) -> None:
        inputs, results = here[: len(spec.dtypes)], here[len(spec.dtypes) :]
        same = {
            i: e.load(operand.pointer)
            for i, operand in enumerate(inputs)
            if operand.walk == "same"
        }

        def body(index: Value, lanes: int, left: Value | None) -> None:
            given = [
                widened(e, e.splat(same[i], lanes), operand.dtype)
                if i in same
                else load(e, operand, index, lanes, left)
                for i, operand in enumerate(inputs)
            ]
            values = compute(e, program, given, scalars, lanes)
            for value, result in zip(values, results, strict=True):
                if spec.streams and left is None and lanes == whole:
                    place = e.at(result.pointer, index)
                    e.stream(narrowed(e, value, result.dtype), place)
                else:
                    store(e, value, result, index, left)

        along(e, span, lanes, masked, body)

    return innermost


def _name(i: int, inputs: int) -> str:
    return f"in{i}" if i < inputs else f"out{i - inputs}"


def _nest(e: Emitter, operands, spans, axis: int, tiled: bool, innermost) -> None:
    """Loops over the axes from `axis` on; the last belongs to `innermost`."""
    if axis == len(spans) - 1:
        innermost(operands, spans[axis])
    elif tiled and axis == len(spans) - 2:
        _tiles(e, operands, spans[axis], spans[axis + 1], axis, innermost)
    else:
        start, stop = spans[axis]
        with e.loop(f"d{axis}", stop, start=start) as d:
            moved = [operand.moved(e, d.index, axis) for operand in operands]
            _nest(e, moved, spans, axis + 1, tiled, innermost)


def _tiles(e: Emitter, operands, rows, columns, axis: int, innermost) -> None:
    """The last two axes in tiles; operands that lie the other way are turned."""
    side = _side(e, operands)
    with e.loop("rows", rows[1], start=rows[0], step=TILE) as j:
        last = e.minimum(j.index + TILE, rows[1])
        with e.loop("columns", columns[1], start=columns[0], step=TILE) as i:
            end = e.minimum(i.index + TILE, columns[1])
            whole_rows = last - (last - j.index) % side
            whole = end - (end - i.index) % side

            def plain(first: Value, stop: Value, span: tuple[Value, Value]) -> None:
                with e.loop(f"d{axis}", stop, start=first) as d:
                    moved = [operand.moved(e, d.index, axis) for operand in operands]
                    innermost(moved, span)

            with (
                e.loop("blocks", whole_rows, start=j.index, step=side) as block,
                e.loop("block", whole, start=i.index, step=side) as k,
            ):
                _block(e, operands, (block.index, k.index), axis, side, innermost)
            plain(j.index, whole_rows, (whole, end))
            plain(whole_rows, last, (i.index, end))


def _side(e: Emitter, operands) -> int:
    """A square block's side: a vector of the widest operand, at most 16 of them."""
    widest = max(e.type(stored(operand.dtype)).itemsize for operand in operands)
    return min(16, e.target.lanes(widest))


def _block(e: Emitter, operands, corner, axis: int, side: int, innermost) -> None:
    """A square block, in which operands of walk "turned" are transposed beforehand.

    Their rows run along `axis`: `side` of these are read, transposed in registers and
    laid down on the stack as the rows that the others have.
    """
    first, start = corner
    here = []
    for operand in operands:
        if operand.walk != "turned":
            here.append(operand)
            continue
        rows = [
            e.load(
                e.at(
                    operand.pointer, first, (start + row, operand.strides[operand.axis])
                ),
                side,
            )
            for row in range(side)
        ]
        scratch = e.scratch(stored(operand.dtype), side * side)
        for row, vector in enumerate(transposed(e, rows)):
            e.store(vector, e.at(scratch, row * side))
        here.append((operand, scratch))
    with e.loop(f"d{axis}", side) as d:
        moved = []
        for operand in here:
            if isinstance(operand, tuple):
                operand, scratch = operand
                place = e.at(scratch, (d.index, side), start * -1)
                moved.append(replace(operand, pointer=place, walk="unit"))
            else:
                moved.append(operand.moved(e, first + d.index, axis))
        innermost(moved, (start, start + side))


def transposed(e: Emitter, rows: list[Value]) -> list[Value]:
    """A square of vectors, its rows become columns: log2(n) rounds of interleaving."""
    n = len(rows)
    low = [lane // 2 + (lane % 2) * n for lane in range(n)]
    high = [lane + n // 2 for lane in low]
    for _ in range(n.bit_length() - 1):
        rows = [
            e.shuffle(rows[i], rows[i + n // 2], order)
            for i in range(n // 2)
            for order in (low, high)
        ]
    return rows
