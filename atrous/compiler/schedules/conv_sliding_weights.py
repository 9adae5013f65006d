"""The weight gradient of few channels a group: y's pixels slide over a row of x.

    for row of taps:                                in registers: a sum for each tap
        for row of pixels, for tile, for position of the tile:
            x = the source there                    loaded once
            for each pixel and tap that meet there:
                sum[tap] += x · y[pixel]            y is loaded once, at its first tap

The tiles, columns and borders are those of conv_sliding. Of groups of several channels
the sums of a few source channels are taken together, one value of x spread at a time.

A part of the pixels, small enough to stay in L1 for all rows of taps, has sums of its
own, which are then added to those of the chunk in memory; chunks are parts of the
pixels, in a fixed number, and added in order: bits do not depend on the threads.
Registers: at most `MOST_SUMS` sums, a window of y, and x.
"""

from dataclasses import dataclass, replace
from math import prod

import numpy as np

from ..emit import Kernel, Value
from ..target import Target
from .conv_blocks import cut
from .conv_sliding import (
    Columns,
    after,
    before,
    in_place,
    load_source,
    row_tiles,
    slab_layout,
    tap_spacing,
)
from .conv_taps import Axis, Taps
from .conv_weights import CHUNKS, PIXELS, PIXELS_A_PART, Plan

POINTERS = ("x", "y", "sums", "runs", "workspace")
NUMBERS = (
    "shares",
    "columns",
    "columns_a_share",
    "parts",
    "pixel_blocks",
    "rows_a_part",
    "tiles_a_part",
    "x_batch",
    "x_channel",
    "y_batch",
    "slab_size",
    "tile_count",
    "sums_size",
    "column_sums",
)
#: Of each axis but the last: where in `runs` its `valid_outputs` are, its taps, the
#: distance of their sources, and of their sums.
OUTER = ("table", "taps", "tap_stride", "sums_stride")

#: Sums in registers, by the number of registers.
MOST_SUMS = {32: 20, 16: 8}
#: Sums that are worked on in turn, so that each is ready when it is needed again.
FEWEST_SUMS = 6


@dataclass(frozen=True)
class SlidingGradient:
    """What the code of a kernel depends on; as Sliding, and:

    `spread` source channels have sums at a time (1 if depthwise), in `sets` that the
    pixels take in turn. A tile asks for `asked` pixels of the next part, each time that
    it is visited.
    """

    dtype: str
    rank: int
    lanes: int
    width: int
    last_width: int
    tiles: int
    step: int
    offsets: tuple[int, ...]
    before: int
    after: int
    channels: int
    source_channels: int
    channel_block: int
    pixel: int
    result_pixel: int
    layout: str
    border: str
    spread: int
    sets: int
    asked: int
    near: bool

    @property
    def vectors(self) -> int:
        """Vectors of the result channels of a group."""
        return -(-self.channels // self.lanes)

    def build(self, target: Target) -> Kernel:
        return Writer(self, target).kernel()


@dataclass(frozen=True)
class Ahead:
    """How far from what a tile reads of x and y lies what the same tile of the next
    part will read first, and how often it was visited."""

    x: Value
    y: Value
    visit: Value


@dataclass(frozen=True)
class Part:
    """Part of the pixels: the first and the last output of each axis but the last, of
    which tiles `first` … `last`."""

    outputs: list[tuple[Value, Value]]
    first: Value
    last: Value
    ahead: Ahead | None


class Writer(Columns):
    """Writes the loop nest of one `SlidingGradient`."""

    def __init__(self, facts: SlidingGradient, target: Target):
        outer = [f"{n}{axis}" for axis in range(facts.rank - 1) for n in OUTER]
        numbers = [*NUMBERS, *outer]
        super().__init__("sliding_gradient", facts, target, POINTERS, numbers)

    def kernel(self) -> Kernel:
        """Decode the chunk; go through its blocks of pixels."""
        e, number = self.e, self.number
        share, part = e.chunk % number["shares"], e.chunk / number["shares"]
        first = share * number["columns_a_share"]
        last = e.minimum(first + number["columns_a_share"], number["columns"])
        self.columns = first, last
        self.mask = self.lanes_mask()
        sums = self.pointer["sums"] + part * number["sums_size"]
        e.clear(
            sums + first * number["column_sums"], (last - first) * number["column_sums"]
        )
        blocks, parts = number["pixel_blocks"], number["parts"]
        begin, end = part * blocks / parts, (part + 1) * blocks / parts
        with e.loop("pixels", end, start=begin) as b:
            self.pixel_block(b.index, sums)
        return e.finish()

    def pixel_block(self, number: Value, sums: Value) -> None:
        """Add one block of pixels to every sum of the chunk."""
        e = self.e
        self.starts, image = self.block_starts(number)
        first, axis = self.starts[-1], self.axes[-1]
        last = e.minimum(first + axis["block"], self.number["tile_count"])
        outer = zip(self.axes[:-1], self.starts[:-1], strict=True)
        self.lengths = [
            e.minimum(axis["block"], axis["count"] - start) for axis, start in outer
        ]
        self.tiles = first, last
        x = self.source_at(
            self.pointer["x"] + image * self.number["x_batch"], self.number["x_channel"]
        )
        y = self.pointer["y"] + image * self.number["y_batch"]
        self.parts(0, x, y, sums, [])

    def parts(self, axis: int, x, y, sums, outputs) -> None:
        """Cut the block into parts: some rows, some tiles of them; of each, all
        columns. `outputs` are the first and the last of each axis."""
        e, facts, number = self.e, self.facts, self.number
        if axis == facts.rank - 1:
            first, last = self.tiles
            with e.loop("tiles", last, start=first, step=number["tiles_a_part"]) as t:
                end = e.minimum(t.index + number["tiles_a_part"], last)
                begin, stop = self.columns
                with e.loop("column", stop, start=begin) as column:
                    self.column_part(column.index, x, y, sums, outputs, t.index, end)
            return
        numbers, start = self.axes[axis], self.starts[axis]
        step = number["rows_a_part"] if axis == facts.rank - 2 else 1
        with e.loop(f"q{axis}", self.lengths[axis], step=step) as q:
            end = e.minimum(q.index + step, self.lengths[axis])
            self.parts(
                axis + 1,
                x + q.index * numbers["step"] * self.strides[axis],
                y + (start + q.index) * numbers["result_stride"],
                sums,
                [*outputs, (start + q.index, start + end)],
            )

    def column_part(self, column, x, y, sums, outputs, first, last) -> None:
        """The sums of one column over one part of the pixels."""
        from_channel, to_channel = self.column(column)
        if self.facts.layout == "slabless":
            x = x + from_channel * self.channel_stride("x_channel")
        place = sums + column * self.number["column_sums"]
        part = Part(outputs, first, last, self.ahead(outputs))
        self.taps(0, x, y + to_channel, place, part)

    def ahead(self, outputs) -> "Ahead | None":
        """From where a part's first row of taps reads to what the next part's last
        does."""
        e, facts, number = self.e, self.facts, self.number
        if not facts.asked:
            return None
        begin, end = outputs[-1]
        numbers, stride = self.axes[facts.rank - 2], self.strides[facts.rank - 2]
        x = (end - begin) * numbers["step"] * stride
        for axis in range(facts.rank - 1):
            x = x + (number[f"taps{axis}"] - 1) * number[f"tap_stride{axis}"]
        return Ahead(x, (end - begin) * numbers["result_stride"], e.zero("int64"))

    def taps(self, axis: int, x, y, sums, part: "Part") -> None:
        """Every tap of the axes from `axis` on; of the pixels, those whose x is in the
        source."""
        e, facts, number = self.e, self.facts, self.number
        if axis == facts.rank - 1:
            self.source_channels(x, y, sums, part)
            return
        with e.loop(f"tap{axis}", number[f"taps{axis}"]) as k:
            valid = self.pointer["runs"] + (number[f"table{axis}"] + k.index * 2)
            outputs = part.outputs
            begin, end = outputs[axis]
            low = e.maximum(begin, e.load(valid))
            high = e.minimum(end, e.load(valid + 1))
            skipped = low - begin
            numbers = self.axes[axis]
            reach = k.index * number[f"tap_stride{axis}"]
            with e.when(low < high, "some of its pixels read the source"):
                self.taps(
                    axis + 1,
                    x + reach + skipped * numbers["step"] * self.strides[axis],
                    y + skipped * numbers["result_stride"],
                    sums + k.index * number[f"sums_stride{axis}"],
                    replace(
                        part,
                        outputs=[*outputs[:axis], (low, high), *outputs[axis + 1 :]],
                        ahead=part.ahead
                        and Ahead(
                            part.ahead.x - reach,
                            part.ahead.y,
                            part.ahead.visit * number[f"taps{axis}"] + k.index,
                        ),
                    ),
                )

    def source_channels(self, x, y, sums, part: "Part") -> None:
        """One row of taps, some source channels at a time."""
        e, facts = self.e, self.facts
        inner = max(facts.source_channels, 1)
        if facts.spread == inner:
            self.add(x, y, sums, part)
            return
        size = len(facts.offsets) * facts.lanes
        stride = self.channel_stride("x_channel")
        with e.loop("channel", inner, step=facts.spread) as i:
            place = sums + i.index * size
            if part.ahead:
                visit = part.ahead.visit * (inner // facts.spread)
                visit = visit + i.index / facts.spread
                x_ahead = part.ahead.x - i.index * stride
                part = replace(part, ahead=Ahead(x_ahead, part.ahead.y, visit))
            self.add(x + i.index * stride, y, place, part)

    def add(self, x, y, sums, part: "Part") -> None:
        """Add the part's pixels to the sums of one row of taps."""
        e, facts = self.e, self.facts
        row = facts.spread * len(facts.offsets)
        zeros = [e.zero(facts.dtype, facts.lanes)] * (row * facts.sets)
        if facts.rank == 1:
            totals = self.row(x, y, part, zeros)
        else:
            axis = facts.rank - 2
            numbers, stride = self.axes[axis], self.strides[axis]
            begin, end = part.outputs[axis]
            with e.loop("row", end - begin, carry=zeros) as q:
                q.carry = self.row(
                    x + q.index * numbers["step"] * stride,
                    y + q.index * numbers["result_stride"],
                    part,
                    q.carry,
                )
            totals = q.carry
        for i in range(row):
            place, total = sums + i * facts.lanes, totals[i]
            for more in range(i + row, len(totals), row):
                total = total + totals[more]
            e.store(e.load(place, facts.lanes) + total, place)

    def row(self, x, y, part: "Part", totals) -> list:
        """The pixels of one row, tile by tile."""
        e, facts = self.e, self.facts
        for span in self.spans(part.first, part.last):
            meetings = self.meetings(span)
            with e.loop("tile", span.end, start=span.begin, carry=totals) as tile:
                place = tile.index
                if facts.layout != "slabless":
                    place = place - self.tiles[0]
                tile.carry = self.tile(
                    x + place * (facts.width * facts.step * facts.pixel),
                    y + tile.index * (facts.width * facts.result_pixel),
                    part.ahead,
                    meetings,
                    tile.carry,
                )
            totals = tile.carry
        return totals

    def ask(self, x, y, ahead: "Ahead") -> None:
        """Ask for some pixels of the next part: other ones at each visit."""
        e, facts = self.e, self.facts
        first = ahead.visit * facts.asked
        x = e.opaque(x + ahead.x + first * (facts.step * facts.pixel))
        y = e.opaque(y + ahead.y + first * facts.result_pixel)
        for pixel in range(facts.asked):
            e.prefetch(y + pixel * facts.result_pixel)
            if facts.near:
                e.prefetch(x + pixel * (facts.step * facts.pixel))

    def tile(self, x, y, ahead, meetings, totals) -> list:
        """Every position of a tile times the pixels that it meets."""
        e, facts = self.e, self.facts
        if ahead:
            self.ask(x, y, ahead)
        stride = self.channel_stride("x_channel")
        sources = [e.opaque(x + s * stride) for s in range(facts.spread)]
        y, totals = e.opaque(y), list(totals)
        taps, loaded = len(facts.offsets), {}
        for position, pairs in meetings.items():
            e.forget()  # or LLVM would load all of them first, and spill the sums
            for pixel, _ in pairs:
                if pixel not in loaded:
                    at = y + pixel * facts.result_pixel
                    loaded[pixel] = e.load(at, facts.lanes, self.mask)
            for s, x in enumerate(sources):
                value = load_source(e, facts, x + position * facts.pixel, self.mask)
                for pixel, tap in pairs:
                    at = (pixel % facts.sets * facts.spread + s) * taps + tap
                    totals[at] = e.fma(value, loaded[pixel], totals[at])
        return totals


def valid_outputs(axis: Axis, slab: bool) -> np.ndarray:
    """For each tap, the range of outputs that read inside the source: (taps, 2). A slab
    has what lies outside as well."""
    if slab:
        return np.tile([0, axis.count], (len(axis.offsets), 1))
    position = np.array(axis.offsets)[:, None] + np.arange(axis.count) * axis.step
    first = np.count_nonzero(position < 0, axis=1)
    last = axis.count - np.count_nonzero(position >= axis.size, axis=1)
    return np.stack([first, last], axis=1)


def plan(
    taps: Taps,
    lanes: int,
    most: int,
    x_strides: tuple[int, ...],
    y_strides: tuple[int, ...],
    target: Target,
    spreads: bool = False,
) -> Plan:
    """Choose tiles, parts and columns, for vectors of `lanes` channels and tiles of at
    most `most` pixels.

    Strides and `spreads` are as for conv_sliding.plan; y's channels are neighbours. The
    sums are (parts, columns, outer taps, source channels, taps, lanes).
    """
    depthwise = taps.source_channels == taps.channels == 1
    channels = taps.groups if depthwise else taps.channels
    vectors = -(-channels // lanes)
    columns = vectors if depthwise else taps.groups * vectors
    axis, rows = taps.axes[-1], taps.axes[:-1]
    tiles = row_tiles(axis, most)
    slab_channels = lanes if depthwise else taps.source_channels
    near = x_strides[2] == 1
    placed = (near or spreads) and in_place(taps, tiles)
    read = slab_channels
    if placed:
        read = taps.groups * taps.source_channels
    blocks = cut(
        replace(taps, groups=1),
        x_strides,
        y_strides,
        "strided",
        read,
        (tiles.tiles, tiles.width),
        target,
    )
    pixel_blocks = taps.batch * prod(blocks.counts)
    most_parts = max(1, taps.batch * taps.pixels // PIXELS_A_PART)
    whole = placed and near
    together = columns if whole else 1 if depthwise else vectors
    parts = min(pixel_blocks, most_parts, -(-CHUNKS // (columns // together)))
    if whole and parts < CHUNKS:
        together = -(-columns // min(columns, -(-CHUNKS // parts)))
    shares = -(-columns // together)
    row = len(axis.taps)
    sums = MOST_SUMS[target.registers]
    spread = next(
        s
        for s in range(max(1, min(taps.source_channels, sums // row)), 0, -1)
        if taps.source_channels % s == 0
    )
    visits = taps.taps // row * (taps.source_channels // spread)
    kernel = SlidingGradient(
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
        source_channels=0 if depthwise else taps.source_channels,
        channel_block=slab_channels,
        pixel=x_strides[-1] if placed else slab_channels,
        result_pixel=y_strides[-1],
        layout="slabless" if placed else slab_layout(taps, x_strides, lanes),
        border=axis.border,
        spread=spread,
        sets=min(-(-FEWEST_SUMS // (row * spread)), tiles.width),
        asked=-(-tiles.width // visits) if placed and rows else 0,
        near=near or not placed,
    )
    strides = x_strides[3:] if placed else blocks.strides
    tables = [valid_outputs(a, not placed).ravel() for a in rows]
    row_sums = taps.source_channels * row * lanes
    outer: list[int] = []
    for number, a in enumerate(rows):
        inside = prod(len(b.taps) for b in rows[number + 1 :])
        table = sum(len(each) for each in tables[:number])
        spacing = tap_spacing(a) * strides[number]
        outer += [table, len(a.taps), spacing, inside * row_sums]
    column_sums = prod(len(a.taps) for a in rows) * row_sums
    numbers = (
        shares,
        columns,
        together,
        parts,
        pixel_blocks,
        max(1, PIXELS // axis.count),
        max(1, PIXELS // tiles.width),
        x_strides[0],
        x_strides[2],
        y_strides[0],
        0 if placed else blocks.slab_size,
        tiles.tiles,
        columns * column_sums,
        column_sums,
        *outer,
        *blocks.axis_numbers,
    )
    offset = 0
    if placed:
        firsts = zip(taps.axes, x_strides[3:], strict=True)
        offset = sum(a.first * stride for a, stride in firsts)
    return Plan(
        kernel=kernel,
        blocks=replace(
            blocks,
            runs=np.concatenate([*tables, np.zeros(0, np.int64)]),
            source_offset=offset,
            slab_size=0 if placed else blocks.slab_size,
        ),
        numbers=numbers,
        chunks=parts * shares,
        sums_shape=(
            parts,
            columns,
            taps.taps // row,
            taps.source_channels,
            row,
            lanes,
        ),
    )


def gather_sums(sums, kernel: SlidingGradient, w) -> None:
    """Add the parts in order and write them as w: (groups, channels, source channels,
    taps)."""
    total = sums.sum(axis=0)
    if not kernel.source_channels:
        w = w.swapaxes(0, 1)
    groups, channels, inner = w.shape[:3]
    row, vectors = len(kernel.offsets), kernel.vectors
    lanes = min(kernel.lanes, channels)
    total = total.reshape(groups, vectors, -1, inner, row, kernel.lanes)
    whole = channels // lanes
    for first, count, at in ((0, whole, 0), (channels - lanes, 1, whole)):
        if at < vectors:
            part = total[:, at : at + count, ..., :lanes].transpose(0, 1, 5, 3, 2, 4)
            to = w[:, first : first + count * lanes]
            to.reshape(groups, count, lanes, inner, -1, row)[...] = part
