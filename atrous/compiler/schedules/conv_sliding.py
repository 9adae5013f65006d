"""Convolution of few channels a group: the taps of a row slide over a tile of pixels.

    for row of taps, for position of the row:
        x = the source there                      loaded once
        for each pixel and tap that meet there:
            total[pixel] += x · w[tap]

so that a value is loaded once for all taps of a row, not once a tap. Groups of one
channel lie along vectors, as x does (conv_depthwise); of a group of several, one value
of x is spread over its results' channels, one source channel after the other
(conv_grouped).

Where the source's channels are neighbours it is read in place. Tiles are of one width,
and the first and the last of a row know which positions are padding: those products
are left out, as are rows of taps that lie outside. Other sources, and borders that are
not zeros, come from a slab. The last vector of channels begins early enough to be
whole; what is computed twice is the same.

Registers: a sum for each pixel of the tile, the weights of at most `SEGMENT` taps,
and x.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from ..emit import ITEMSIZES, Emitter, Kernel, Value
from ..target import Target
from .conv_blocks import BlockWriter, cut, source_layout
from .conv_direct import LINE, STREAMED, Plan
from .conv_taps import Axis, Taps

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
#: Pixels of a row that are reckoned with when what it reads should stay in cache.
LONGEST = 256
#: Terms that are summed before they join a total.
PART = 128


@dataclass(frozen=True)
class Sliding:
    """What the code of a kernel depends on; all else is an argument.

    A column is a vector of result channels. `source_channels` are summed to one
    result; 0 means that source and result share the column's lanes (depthwise), and
    `channels` are those of a group or, then, all of them.
    """

    dtype: str
    rank: int
    lanes: int
    width: int  # pixels of a tile
    last_width: int  # of the last tile of a row
    tiles: int  # of a row: 1, 2, or 3 for more
    step: int  # positions between neighbouring pixels
    offsets: tuple[int, ...]  # positions that the taps of a row read, from the first
    before: int  # positions outside the source at the start of a row
    after: int  # and at its end
    channels: int
    source_channels: int
    channel_block: int  # channels of a slab
    pixel: int  # elements between neighbouring positions
    result_pixel: int  # elements between neighbouring results
    layout: str  # of the source: as SlabSource, or "slabless"
    border: str
    bias: bool
    activation: str | None
    part_axis: int = -1  # so many taps of this axis make a part of the sum; the last
    part: int = 0  # axis stands for the source channels; 0: all
    streams: bool = False  # the result outgrows the caches
    near: bool = True  # the source's channels are neighbours, or in a slab

    @property
    def vectors(self) -> int:
        """Vectors of the result channels of a group."""
        return -(-self.channels // self.lanes)

    def build(self, target: Target) -> Kernel:
        return Writer(self, target, "sliding").kernel()


class Columns(BlockWriter):
    """What the kernels of y, x and w share: chunks of columns, tiles of a row."""

    def column(self, column: Value) -> tuple[Value, Value]:
        """A column's first channel in the source, and in the result."""
        facts = self.facts
        last = max(facts.channels - facts.lanes, 0)
        if not facts.source_channels:
            first = self.e.minimum(column * facts.lanes, last)
            return first, first
        group, vector = column / facts.vectors, column % facts.vectors
        first = self.e.minimum(vector * facts.lanes, last)
        return group * facts.source_channels, group * facts.channels + first

    def channel_stride(self, name: str) -> Value | int:
        """Between neighbouring channels as the loops read them; `name` is the
        source's."""
        return 1 if self.facts.near else self.number[name]

    def lanes_mask(self) -> Value | None:
        """The lanes that are channels, if there are fewer channels than lanes."""
        facts = self.facts
        if facts.channels >= facts.lanes:
            return None
        return self.e.mask(facts.channels, facts.lanes)

    def present(self, group: Value, block: Value) -> int:
        facts = self.facts
        return min(facts.channel_block, facts.source_channels or facts.channels)

    def source_at(self, source: Value, channel_stride: Value) -> Value:
        """Where the chunk's first row reads, in an image of the source or in a slab;
        sets `strides`, those of what is read."""
        e, facts, (first, last) = self.e, self.facts, self.tiles
        if facts.layout == "slabless":
            self.strides = [axis["source_stride"] for axis in self.axes]
            for axis, start in zip(self.axes[:-1], self.starts[:-1], strict=True):
                source = source + start * axis["step"] * axis["source_stride"]
            return source
        channel, _ = self.column(self.columns[0])
        begin = first * facts.width
        length = e.minimum(last * facts.width, self.axes[-1]["count"]) - begin
        slab, self.strides = self.source_of(
            e.at(source, channel * channel_stride),
            [*self.starts[:-1], begin],
            [*self.lengths, length],
            channel,
            channel,
            channel_stride,
        )
        return slab

    def spans(self, first: Value, last: Value) -> list["Span"]:
        """The tiles first … last in ranges of one code each."""
        e, facts, count = self.e, self.facts, self.number["tile_count"]
        if facts.tiles == 1:
            return [Span(facts.last_width, True, True, first, last)]
        if not facts.before and not facts.after and facts.width == facts.last_width:
            return [Span(facts.width, False, False, first, last)]
        rest = first
        spans = []
        if facts.before:
            spans.append(Span(facts.width, True, False, first, e.minimum(last, 1)))
            rest = e.maximum(first, 1)
        if facts.tiles > 2 or not facts.before:
            end = e.minimum(last, count - 1)
            spans.append(Span(facts.width, False, False, rest, end))
        rest = e.maximum(first, count - 1)
        return [*spans, Span(facts.last_width, False, True, rest, last)]

    def meetings(self, span: "Span") -> dict[int, list[tuple[int, int]]]:
        """For each position that a tile reads, in order, the pixels and taps that meet
        there. Positions count from the first pixel's first."""
        facts = self.facts
        found = defaultdict(list)
        first = facts.before if span.first else 0
        last = (span.width - 1) * facts.step + facts.offsets[-1]
        last -= facts.after if span.last else 0
        for pixel in range(span.width):
            for tap, offset in enumerate(facts.offsets):
                position = pixel * facts.step + offset
                if first <= position <= last:
                    found[position].append((pixel, tap))
        return dict(sorted(found.items()))


@dataclass(frozen=True)
class Span:
    """Tiles `begin` … `end` of a row: how wide they are, and whether they are the row's
    first or last, so that some of what they read is padding."""

    width: int
    first: bool
    last: bool
    begin: Value
    end: Value


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
                begin, end = self.columns
                with e.loop("column", end, start=begin) as column:
                    self.tile(column.index, span.width, x, y, meetings, valid)

    def tile(self, column: Value, width, source, result, meetings, valid) -> None:
        """The sums of one tile, from the first tap to the stored result."""
        e, facts = self.e, self.facts
        from_channel, to_channel = self.column(column)
        if facts.layout == "slabless":
            source = source + from_channel * self.channel_stride("source_channel")
        weights = self.pointer["weights"] + column * self.number["column_weights"]
        result = e.opaque(result + to_channel)
        if facts.layout == "slabless" and facts.rank > 1 and facts.near:
            self.ask(e.opaque(source + self.number["ahead"]), width)
        totals = self.first_totals(width, to_channel)
        totals = self.taps(0, source, weights, meetings, valid, totals)
        self.store(totals, result)

    def ask(self, ahead: Value, width: int) -> None:
        """Ask for what the tile of the next row reads as the first."""
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
        if axis < facts.rank - 1:
            steps = number[f"tap_stride{axis}"], number[f"weights_stride{axis}"]
            first, last = valid[axis]
            name = f"tap{axis}"
        else:
            if not facts.source_channels:
                return self.slide(source, weights, meetings, totals)
            steps = (
                self.channel_stride("source_channel"),
                len(facts.offsets) * facts.lanes,
            )
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


def load_source(e: Emitter, facts, at: Value, mask: Value | None) -> Value:
    """The source's values for a column: its lanes, or one value for all of them."""
    if facts.source_channels:
        return e.splat(e.load(at), facts.lanes)
    return e.load(at, facts.lanes, mask if facts.layout == "slabless" else None)


def valid_taps(axis: Axis, slab: bool) -> np.ndarray:
    """For each output, the range of taps that read inside the source: (count, 2). A
    slab has what lies outside as well."""
    taps = len(axis.offsets)
    if slab:
        return np.tile([0, taps], (axis.count, 1))
    outputs = np.arange(axis.count)[:, None] * axis.step
    position = outputs + np.array(axis.offsets)
    first = np.count_nonzero(position < 0, axis=1)
    last = taps - np.count_nonzero(position >= axis.size, axis=1)
    return np.stack([first, np.maximum(first, last)], axis=1)


@dataclass(frozen=True)
class RowTiles:
    """How a row of pixels is cut: `tiles` of `width`, the last of `last_width`."""

    tiles: int
    width: int
    last_width: int

    def know_borders(self, axis: Axis) -> bool:
        """Whether only the first tile reads before the source, and only the last
        after it."""
        first, last = self.width * axis.step, self.last_width * axis.step
        return self.tiles == 1 or (first >= before(axis) and last >= after(axis))


def row_tiles(axis: Axis, most: int) -> RowTiles:
    """The row in tiles of at most `most` pixels, as equal as can be; a little narrower
    if then they know their borders."""

    def cut_by(width: int) -> RowTiles:
        tiles = -(-axis.count // width)
        return RowTiles(tiles, width, axis.count - (tiles - 1) * width)

    equal = -(-axis.count // -(-axis.count // most))
    known = (cut_by(width) for width in range(equal, equal // 2, -1))
    return next((t for t in known if t.know_borders(axis)), cut_by(equal))


def tap_spacing(axis: Axis) -> int:
    """Positions between neighbouring taps."""
    return axis.offsets[1] - axis.offsets[0] if len(axis.offsets) > 1 else 0


def before(axis: Axis) -> int:
    """Positions read before the source's first."""
    return max(0, -axis.first)


def after(axis: Axis) -> int:
    """Positions read after the source's last."""
    return max(0, axis.first + axis.reach(axis.count) - axis.size)


def in_place(taps: Taps, tiles: RowTiles) -> bool:
    """Whether the code can know what lies beyond the source's edges."""
    zeros = taps.interior or taps.axes[0].border == "zeros"
    return zeros and tiles.know_borders(taps.axes[-1])


def columns_a_share(taps: Taps, columns: int, channels: float, target: Target) -> int:
    """Columns of `channels` source channels each that a chunk goes through together,
    tile by tile, so that it reads what is neighbours in memory: all of them, if what a
    row of results reads stays in half of L2."""
    row = taps.axes[-1].reach(min(taps.count[-1], LONGEST))
    positions = prod(len(axis.taps) for axis in taps.axes[:-1]) * row
    each = positions * channels * ITEMSIZES[taps.dtype]
    shares = -(-columns // max(1, int(target.l2 // 2 // each)))
    return -(-columns // shares)


def plan(
    taps: Taps,
    lanes: int,
    most: int,
    source_strides: tuple[int, ...],
    result_strides: tuple[int, ...],
    target: Target,
    spreads: bool = False,
) -> Plan:
    """Choose tiles, blocks and columns, for vectors of `lanes` channels and tiles of
    at most `most` pixels.

    Strides are in elements: batch, group, channel, *spatial. The result's channels are
    neighbours; those of a source whose values are spread (`spreads`) may lie anywhere,
    otherwise they are packed unless they are neighbours. The weights are (columns,
    outer taps, source channels, taps, lanes).
    """
    depthwise = taps.source_channels == taps.channels == 1
    channels = taps.groups if depthwise else taps.channels
    source_channels = 0 if depthwise else taps.source_channels
    vectors = -(-channels // lanes)
    columns = vectors if depthwise else taps.groups * vectors
    axis = taps.axes[-1]
    tiles = row_tiles(axis, most)
    slab_channels = lanes if depthwise else taps.source_channels
    near = source_strides[2] == 1
    if placed := (near or spreads) and in_place(taps, tiles):
        layout = "slabless"
        each = slab_channels / (1 if depthwise else vectors)
        together = columns_a_share(taps, columns, each, target) if near else vectors
        read = max(1, int(each * together))
    else:
        layout = slab_layout(taps, source_strides, lanes)
        together, read = 1 if depthwise else vectors, slab_channels
    shares = -(-columns // together)
    blocks = cut(
        replace(taps, groups=shares),
        source_strides,
        result_strides,
        "strided",
        read,
        (tiles.tiles, tiles.width),
        target,
    )
    pitch = source_strides[-1] if placed else slab_channels
    strides = source_strides[3:] if placed else blocks.strides
    row = taps.source_channels * len(axis.taps) * lanes
    part_axis, part = _part(taps)
    kernel = Sliding(
        dtype=taps.dtype,
        rank=len(taps.axes),
        lanes=lanes,
        width=tiles.width,
        last_width=tiles.last_width,
        tiles=min(tiles.tiles, 3),
        step=axis.step,
        offsets=tuple(offset - axis.first for offset in axis.offsets),
        before=before(axis) if placed else 0,
        after=after(axis) if placed else 0,
        channels=channels,
        source_channels=source_channels,
        channel_block=slab_channels,
        pixel=pitch,
        result_pixel=result_strides[-1] * axis.stride,
        layout=layout,
        border=taps.axes[0].border,
        bias=taps.bias,
        activation=taps.activation,
        part_axis=part_axis,
        part=part,
        streams=_streams(taps, lanes, result_strides, target),
        near=near or not placed,
    )
    tables = [valid_taps(a, not placed).ravel() for a in taps.axes[:-1]]
    outer: list[int] = []
    for number, a in enumerate(taps.axes[:-1]):
        inside = prod(len(b.taps) for b in taps.axes[number + 1 : -1])
        table = sum(len(each) for each in tables[:number])
        outer += [table, tap_spacing(a) * strides[number], inside * row]
    numbers = (
        shares,
        columns,
        together,
        prod(len(a.taps) for a in taps.axes[:-1]) * row,
        source_strides[0],
        source_strides[2],
        result_strides[0],
        0 if placed else blocks.slab_size,
        tiles.tiles,
        _ahead(taps, source_strides),
        *outer,
        *blocks.axis_numbers,
    )
    offset = 0
    if placed:
        firsts = zip(taps.axes, source_strides[3:], strict=True)
        offset = sum(a.first * stride for a, stride in firsts)
    phases = zip(taps.axes, result_strides[3:], strict=True)
    return Plan(
        kernel=kernel,
        blocks=replace(
            blocks,
            layout=layout,
            runs=np.concatenate([*tables, np.zeros(0, np.int64)]),
            source_offset=offset,
            slab_size=0 if placed else blocks.slab_size,
        ),
        numbers=numbers,
        result_offset=sum(a.phase * stride for a, stride in phases),
        chunks=taps.batch * shares * prod(blocks.counts),
        bias_shape=(1 if depthwise else taps.groups, channels),
        weights_shape=(
            columns,
            taps.taps // len(axis.taps),
            taps.source_channels,
            len(axis.taps),
            lanes,
        ),
    )


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


def _ahead(taps: Taps, strides: tuple[int, ...]) -> int:
    """From a tile's source to what the tile of the next row reads as the first."""
    if len(taps.axes) == 1:
        return 0
    outer = list(zip(taps.axes[:-1], strides[3:], strict=False))
    last = sum((a.offsets[-1] - a.first) * stride for a, stride in outer)
    axis, stride = outer[-1]
    return last + axis.step * stride


def slab_layout(taps: Taps, strides: tuple[int, ...], lanes: int) -> str:
    """How a source that is packed lies."""
    if taps.source_channels > 1:
        found = source_layout(taps, strides, taps.source_channels)
        return "channels" if found == "rows" else found
    if strides[2] == 1:
        return "channels"
    squares = taps.groups >= lanes and lanes % 4 == 0 and strides[-1] == 1
    return "planes" if squares else "strided"


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
