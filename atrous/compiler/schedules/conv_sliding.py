"""Convolution of few channels a group: the taps of a row slide over a tile of pixels.

    for row of taps, for position of the row:
        x = the source there                      loaded once
        for each pixel and tap that meet there:
            total[pixel] += x · w[tap]

so that a value is loaded once for all taps of a row, not once a tap. Groups of one
channel lie along vectors, as x does (conv_depthwise); of a group of several, one value
of x is spread over its results' channels, one source channel after the other
(conv_grouped). Of tiles, columns and borders see sliding_rows.

Registers: a sum for each pixel of the tile, the weights of at most `SEGMENT` taps,
and x.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from ..emit import ITEMSIZES, Kernel, Value
from ..target import Target
from .conv_direct import LINE, STREAMED, Plan
from .conv_taps import Axis, Taps
from .sliding_rows import Columns, RowFacts, Rows, as_one, load_source, tap_spacing

#: Arguments: pointers, numbers, and of each axis but the last OUTER, then those of
#: BlockWriter. `runs` holds `valid_taps` of each axis but the last.
POINTERS = ("source", "weights", "bias", "result", "runs", "workspace")
NUMBERS = (
    "shares",
    "columns",
    "columns_a_share",
    "column_weights",
    "source_batch",
    "source_channel",
    "result_batch",
    "slab_size",
    "tile_count",
    "ahead",
)
OUTER = ("table", "tap_stride", "weights_stride")

#: Taps of a row whose weights are in registers together.
SEGMENT = 8
#: Products of a tile, about: they are unrolled, and cost time to compile. But its
#: pixels are not fewer than FEWEST_PIXELS, if a row has more.
UNROLLED, FEWEST_PIXELS = 256, 8
#: Pixels of a row that are reckoned with when what it reads should stay in cache.
LONGEST = 256
#: Terms that are summed before they join a total.
PART = 128


@dataclass(frozen=True)
class Sliding(RowFacts):
    """As RowFacts; `part` taps of `part_axis` make a part of the sum, 0 if all do. The
    last axis stands for the source channels there."""

    bias: bool
    activation: str | None
    part_axis: int = -1
    part: int = 0
    streams: bool = False  # the result outgrows the caches

    def build(self, target: Target) -> Kernel:
        return Writer(self, target, "sliding").kernel()


class Writer(Columns):
    """Writes the loop nest of one `Sliding`."""

    def __init__(self, facts: Sliding, target: Target, name: str):
        outer = [f"{n}{axis}" for axis in range(facts.rank - 1) for n in OUTER]
        super().__init__(name, facts, target, POINTERS, [*NUMBERS, *outer])

    def kernel(self) -> Kernel:
        """Decode the chunk, pack its slab, and go through its tiles."""
        e, facts, number = self.e, self.facts, self.number
        share, rest = e.chunk % number["shares"], e.chunk / number["shares"]
        self.starts, image = self.block_starts(rest)
        first = share * number["columns_a_share"]
        self.columns = (
            first,
            e.minimum(first + number["columns_a_share"], number["columns"]),
        )
        self.mask = self.lanes_mask()
        if facts.part:
            self.stack = e.scratch(facts.dtype, facts.width * facts.lanes, "totals")
        first, axis = self.starts[-1], self.axes[-1]
        last = e.minimum(first + axis["block"], number["tile_count"])
        outer = zip(self.axes[:-1], self.starts[:-1], strict=True)
        self.lengths = [
            e.minimum(axis["block"], axis["count"] - start) for axis, start in outer
        ]
        self.tiles = first, last
        source = self.source_at(
            self.pointer["source"] + image * number["source_batch"],
            number["source_channel"],
        )
        result = self.pointer["result"] + image * number["result_batch"]
        self.rows(0, source, result, [])
        if facts.streams:
            e.settle()
        return e.finish()

    def rows(self, axis: int, source, result, valid) -> None:
        """All outputs of the chunk; `valid` are the ranges of taps that a row has."""
        e, facts, number = self.e, self.facts, self.number
        if axis == facts.rank - 1:
            self.row(source, result, valid)
            return
        start, numbers = self.starts[axis], self.axes[axis]
        with e.loop(f"q{axis}", self.lengths[axis]) as q:
            output = start + q.index
            entry = self.pointer["runs"] + (number[f"table{axis}"] + output * 2)
            self.rows(
                axis + 1,
                source + q.index * numbers["step"] * self.strides[axis],
                result + output * numbers["result_stride"],
                [*valid, (e.load(entry), e.load(entry + 1))],
            )

    def row(self, source, result, valid) -> None:
        """One row, tile by tile, of every column."""
        e, facts = self.e, self.facts
        first, last = self.tiles
        for span in self.spans(first, last):
            meetings = self.meetings(span)
            with e.loop("tile", span.end, start=span.begin) as tile:
                place = tile.index if facts.layout == "slabless" else tile.index - first
                x = source + place * (facts.width * facts.step * facts.pixel)
                y = result + tile.index * (facts.width * facts.result_pixel)
                begin, stop = self.columns
                with e.loop("column", stop, start=begin) as column:
                    self.tile(column.index, span.width, x, y, meetings, valid)

    def tile(self, column: Value, width, source, result, meetings, valid) -> None:
        """The sums of one tile, from the first tap to the stored result."""
        e, facts = self.e, self.facts
        from_channel, to_channel = self.column(column)
        if facts.layout == "slabless":
            source = source + from_channel * self.channel_stride("source_channel")
        weights = self.pointer["weights"] + column * self.number["column_weights"]
        result = e.opaque(result + to_channel)
        if facts.layout == "slabless" and facts.near:
            self.ask(e.opaque(source + self.number["ahead"]), width)
        totals = self.first_totals(width, to_channel)
        totals = self.taps(0, source, weights, meetings, valid, totals)
        self.store(totals, result)

    def ask(self, ahead: Value, width: int) -> None:
        """Ask for what the tile of the next row, or the next tile, reads first."""
        for pixel in range(width):
            self.e.prefetch(ahead + pixel * self.facts.step * self.facts.pixel)

    def first_totals(self, width: int, to_channel: Value) -> list[Value]:
        """Where the sums start: the bias, or zero."""
        total = self.e.zero(self.facts.dtype, self.facts.lanes)
        if self.facts.bias:
            bias = self.pointer["bias"] + to_channel
            total = self.e.load(bias, self.facts.lanes, self.mask)
        return [total] * width

    def store(self, totals: list[Value], result: Value) -> None:
        """Activate the sums and store them; NaN passes through."""
        e, facts = self.e, self.facts
        for pixel, total in enumerate(totals):
            if facts.activation is not None:
                total = e.select(total < 0.0, e.zero(facts.dtype, facts.lanes), total)
            place = result + pixel * facts.result_pixel
            if facts.streams:
                e.stream(total, place)
            else:
                e.store(total, place, self.mask)

    def taps(self, axis: int, source, weights, meetings, valid, totals) -> list:
        """Add the taps of the axes from `axis` on, and those within them."""
        e, facts, number = self.e, self.facts, self.number
        steps: tuple[Value | int, Value | int]
        if axis < facts.rank - 1:
            steps = number[f"tap_stride{axis}"], number[f"weights_stride{axis}"]
            first, last = valid[axis]
            name = f"tap{axis}"
        else:
            if not facts.source_channels:
                return self.slide(source, weights, meetings, totals)
            step = self.channel_stride("source_channel")
            steps = step, len(facts.offsets) * facts.lanes
            first, last, name = e.zero("int64"), facts.source_channels, "channel"

        def some(first, last, totals) -> list:
            with e.loop(name, last, start=first, carry=totals) as k:
                x, w = source + k.index * steps[0], weights + k.index * steps[1]
                if axis < facts.rank - 1:
                    k.carry = self.taps(axis + 1, x, w, meetings, valid, k.carry)
                else:
                    k.carry = self.slide(x, w, meetings, k.carry)
            return k.carry

        if axis != facts.part_axis:
            return some(first, last, totals)
        self.keep(totals)
        with e.loop("part", last, start=first, step=facts.part) as part:
            end = e.minimum(part.index + facts.part, last)
            zeros = [e.zero(facts.dtype, facts.lanes)] * len(totals)
            more = some(part.index, end, zeros)
            kept = self.kept(len(more))
            self.keep([a + b for a, b in zip(kept, more, strict=True)])
        return self.kept(len(totals))

    # A long sum is taken in parts: its rounding error grows with the root of a part's
    # length. What the parts add up to waits on the stack meanwhile.

    def keep(self, totals: Sequence[Value]) -> None:
        """Put the totals on the stack."""
        for i, total in enumerate(totals):
            self.e.store(total, self.stack + i * self.facts.lanes)

    def kept(self, count: int) -> list[Value]:
        """The totals from the stack."""
        lanes = self.facts.lanes
        return [self.e.load(self.stack + i * lanes, lanes) for i in range(count)]

    def slide(self, source, weights, meetings, totals) -> list:
        """Add one row of taps, of one source channel, to every pixel of the tile."""
        e, facts = self.e, self.facts
        source, weights = e.opaque(source), e.opaque(weights)
        totals = list(totals)
        for first in range(0, len(facts.offsets), SEGMENT):
            taps = range(first, min(first + SEGMENT, len(facts.offsets)))
            e.forget()  # or LLVM would load later rows first, and spill the sums
            loaded = {k: e.load(weights + k * facts.lanes, facts.lanes) for k in taps}
            for position, pairs in meetings.items():
                pairs = [(pixel, k) for pixel, k in pairs if k in loaded]
                if pairs:
                    x = load_source(
                        e, facts, source + position * facts.pixel, self.mask
                    )
                for pixel, k in pairs:
                    totals[pixel] = e.fma(x, loaded[k], totals[pixel])
        return totals


def valid_taps(axis: Axis) -> np.ndarray:
    """For each output, the range of taps that read inside the source: (count, 2)."""
    outputs = np.arange(axis.count)[:, None] * axis.step
    position = outputs + np.array(axis.offsets)
    first = np.count_nonzero(position < 0, axis=1)
    last = len(axis.offsets) - np.count_nonzero(position >= axis.size, axis=1)
    return np.stack([first, np.maximum(first, last)], axis=1)


def plan(
    taps: Taps,
    lanes: int,
    most: int,
    source_strides: tuple[int, ...],
    result_strides: tuple[int, ...],
    target: Target,
    spreads: bool = False,
) -> Plan:
    """Choose tiles, blocks and columns. `lanes`, `most` and `spreads` as for Rows.

    Strides are in elements: batch, group, channel, *spatial. The result's channels are
    neighbours. The weights are (columns, outer taps, source channels, taps, lanes).
    """
    most = min(most, max(FEWEST_PIXELS, UNROLLED // len(taps.axes[-1].taps)))
    rows = Rows(taps, lanes, most, source_strides, spreads)
    together = columns_a_share(rows, target)
    shares = -(-rows.columns // together)
    read = max(1, rows.slab_channels * together // rows.together)
    blocks = rows.blocks(shares, read, result_strides, target)
    part_axis, part = _part(taps)
    kernel = Sliding(
        **rows.facts(result_strides[-1] * taps.axes[-1].stride),
        bias=taps.bias,
        activation=taps.activation,
        part_axis=part_axis,
        part=part,
        streams=_streams(taps, lanes, result_strides, target),
    )
    table, starts = as_one(rows.tables(valid_taps))
    weights = (prod(len(a.taps) for a in rows.outer), taps.source_channels, rows.row)
    size = prod(weights) * lanes
    numbers = [
        shares,
        rows.columns,
        together,
        size,
        source_strides[0],
        source_strides[2],
        result_strides[0],
        blocks.slab_size,
        rows.tiles.tiles,
        _ahead(rows),
    ]
    each = zip(rows.outer, starts, blocks.strides, strict=False)
    for axis, start, stride in each:
        size //= len(axis.taps)
        numbers += [start, tap_spacing(axis) * stride, size]
    phases = zip(taps.axes, result_strides[3:], strict=True)
    return Plan(
        kernel=kernel,
        blocks=replace(blocks, runs=table),
        numbers=(*numbers, *blocks.axis_numbers),
        result_offset=sum(a.phase * stride for a, stride in phases),
        chunks=taps.batch * shares * prod(blocks.counts),
        bias_shape=(1 if rows.depthwise else taps.groups, rows.channels),
        weights_shape=(rows.columns, *weights, lanes),
    )


def columns_a_share(rows: Rows, target: Target) -> int:
    """Columns that a chunk goes through together, tile by tile, so that it reads what
    is neighbours in memory: all of them, if what a row of results reads stays in half
    of L2."""
    if not (rows.placed and rows.near):
        return rows.together
    taps = rows.taps
    row = taps.axes[-1].reach(min(taps.count[-1], LONGEST))
    positions = prod(len(axis.taps) for axis in rows.outer) * row
    each = positions * rows.slab_channels * ITEMSIZES[taps.dtype]
    most = target.l2 // 2 * rows.together // each
    shares = -(-rows.columns // max(1, most))
    return -(-rows.columns // shares)


def _streams(taps: Taps, lanes: int, strides: tuple[int, ...], target: Target) -> bool:
    """Whether the result outgrows the caches, and vectors are whole lines of it."""
    itemsize = ITEMSIZES[taps.dtype]
    channels = taps.groups * taps.channels
    steps = (strides[0], *strides[3:], channels)
    return (
        lanes * itemsize == LINE
        and taps.batch * channels * taps.pixels * itemsize >= STREAMED * target.l2
        and all(step * itemsize % LINE == 0 for step in steps)
    )


def _ahead(rows: Rows) -> int:
    """From a tile's source to what the tile of the next row reads as the first; where
    there is only one row, to the next tile's."""
    axis, strides = rows.taps.axes[-1], rows.strides[3:]
    if not rows.outer:
        return rows.tiles.width * axis.step * strides[-1]
    outer = list(zip(rows.outer, strides, strict=False))
    last = sum((a.offsets[-1] - a.first) * stride for a, stride in outer)
    axis, stride = outer[-1]
    return last + axis.step * stride


def _part(taps: Taps) -> tuple[int, int]:
    """The axis whose taps are summed in parts, and how many; -1 if none are. The last
    axis stands for the source channels."""
    terms = taps.source_channels * taps.taps
    if terms < 2 * PART:
        return -1, 0
    counts = [len(axis.taps) for axis in taps.axes[:-1]] + [taps.source_channels]
    for axis, count in enumerate(counts):
        terms //= count
        if terms <= PART and count > 1:
            return axis, max(1, PART // terms)
    return -1, 0


def pack(w: np.ndarray, kernel: Sliding, out: np.ndarray) -> None:
    """Weights as the kernel reads them; `w` is (groups, channels, source channels,
    *taps), `out` has the plan's weights_shape."""
    if not kernel.source_channels:
        w = w.swapaxes(0, 1)
    groups, channels, inner, *taps = w.shape
    lanes = min(kernel.lanes, channels)
    out = out.reshape(groups, kernel.vectors, *taps[:-1], inner, taps[-1], kernel.lanes)
    if lanes < kernel.lanes:
        out.fill(0)
    order = (0, 1, *range(4, 3 + len(taps)), 3, 3 + len(taps), 2)
    whole = channels // lanes
    for first, vectors, to in ((0, whole, 0), (channels - lanes, 1, whole)):
        if to < kernel.vectors:
            part = w[:, first : first + vectors * lanes]
            part = part.reshape(groups, vectors, lanes, inner, *taps)
            out[:, to : to + vectors, ..., :lanes] = part.transpose(order)
