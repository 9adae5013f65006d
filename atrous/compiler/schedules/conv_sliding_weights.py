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
from .conv_taps import Axis, Taps
from .conv_weights import CHUNKS, PIXELS, PIXELS_A_PART, Plan
from .sliding_rows import Columns, RowFacts, Rows, as_one, load_source, tap_spacing

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
#: Products of a tile, about: they are unrolled, and cost time to compile. But its
#: pixels are not fewer than FEWEST_PIXELS, if a row has more.
UNROLLED, FEWEST_PIXELS = 160, 8
#: Sums that are worked on in turn, so that each is ready when it is needed again.
FEWEST_SUMS = 6


@dataclass(frozen=True)
class SlidingGradient(RowFacts):
    """As RowFacts; `spread` source channels have sums at a time (1 if depthwise), in
    `sets` that the pixels take in turn. A tile asks for `asked` pixels of the next
    part, each time that it is visited."""

    spread: int
    sets: int
    asked: int

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
    ahead: Ahead


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
        part = Part(outputs, first, last, self.ahead(outputs, last - first))
        self.taps(0, x, y + to_channel, place, part)

    def ahead(self, outputs, tiles: Value) -> "Ahead":
        """From where a part's first row of taps reads to what the next part's last
        does: the next rows or, if there is one row only, the next tiles."""
        e, facts, number = self.e, self.facts, self.number
        if facts.rank == 1:
            x = tiles * (facts.width * facts.step * facts.pixel)
            return Ahead(x, tiles * (facts.width * facts.result_pixel), e.zero("int64"))
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
                        ahead=Ahead(
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
        """Ask for some pixels of the next part: other ones at each visit. (Signals that
        lie plane by plane are streams that the machine sees by itself.)"""
        e, facts = self.e, self.facts
        first = ahead.visit * facts.asked
        x = e.opaque(x + ahead.x + first * (facts.step * facts.pixel))
        y = e.opaque(y + ahead.y + first * facts.result_pixel)
        for pixel in range(facts.asked):
            e.prefetch(y + pixel * facts.result_pixel)
            if facts.near and facts.layout == "slabless":
                e.prefetch(x + pixel * (facts.step * facts.pixel))

    def tile(self, x, y, ahead, meetings, totals) -> list:
        """Every position of a tile times the pixels that it meets."""
        e, facts = self.e, self.facts
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


def valid_outputs(axis: Axis) -> np.ndarray:
    """For each tap, the range of outputs that read inside the source: (taps, 2)."""
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
    """Choose tiles, parts and columns. `lanes`, `most` and `spreads` as for Rows.

    Strides are in elements: batch, group, channel, *spatial. y's channels are
    neighbours. The sums are (parts, columns, outer taps, source channels, taps, lanes).
    """
    inner, row = taps.source_channels, len(taps.axes[-1].taps)
    spread = _spread(inner, MOST_SUMS[target.registers] // row)
    most = min(most, max(FEWEST_PIXELS, UNROLLED // (row * spread)))
    rows = Rows(taps, lanes, most, x_strides, spreads)
    whole = rows.placed and rows.near
    read = taps.groups * taps.source_channels if whole else rows.slab_channels
    blocks = rows.blocks(1, read, y_strides, target)
    pixel_blocks = taps.batch * prod(blocks.counts)
    parts, together = _parts(rows, pixel_blocks, whole)
    shares = -(-rows.columns // together)
    visits = taps.taps // row * (inner // spread)
    width = rows.tiles.width
    kernel = SlidingGradient(
        **rows.facts(y_strides[-1]),
        spread=spread,
        sets=min(-(-FEWEST_SUMS // (row * spread)), width),
        asked=-(-width // visits) if rows.outer or (whole and inner > 1) else 0,
    )
    table, starts = as_one(rows.tables(valid_outputs))
    sums = (prod(len(a.taps) for a in rows.outer), inner, row, lanes)
    size = prod(sums)
    numbers = [
        shares,
        rows.columns,
        together,
        parts,
        pixel_blocks,
        max(1, PIXELS // taps.count[-1]),
        max(1, PIXELS // width),
        x_strides[0],
        x_strides[2],
        y_strides[0],
        blocks.slab_size,
        rows.tiles.tiles,
        rows.columns * size,
        size,
    ]
    for axis, start, stride in zip(rows.outer, starts, blocks.strides, strict=False):
        size //= len(axis.taps)
        numbers += [start, len(axis.taps), tap_spacing(axis) * stride, size]
    return Plan(
        kernel=kernel,
        blocks=replace(blocks, runs=table),
        numbers=(*numbers, *blocks.axis_numbers),
        chunks=parts * shares,
        sums_shape=(parts, rows.columns, *sums),
    )


def _parts(rows: Rows, pixel_blocks: int, whole: bool) -> tuple[int, int]:
    """Into how many parts pixels are cut, and how many columns a chunk has: all of the
    `whole` source's, if so there are chunks enough."""
    together = rows.columns if whole else rows.together
    pixels = rows.taps.batch * rows.taps.pixels
    most = min(pixel_blocks, max(1, pixels // PIXELS_A_PART))
    parts = min(most, -(-CHUNKS // (rows.columns // together)))
    if whole and parts < CHUNKS:
        together = -(-rows.columns // min(rows.columns, -(-CHUNKS // parts)))
    return parts, together


def _spread(channels: int, most: int) -> int:
    """Source channels whose sums are in registers: at most `most`, and they divide
    `channels`."""
    fitting = range(max(1, min(channels, most)), 0, -1)
    return next(s for s in fitting if channels % s == 0)


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
