"""The weight gradient: the trilinear form solved for w, pixels summed in registers.

For a stretch of taps and channels the sums stay in registers over a whole block of
pixels:

    for row, for pixel:   sum[s][v] += spread[pixel][s] · vector[pixel][v]

One side lies along vectors, the other is spread: usually y's channels are the vectors
and a run of x (see conv_direct) is spread; where y has few channels it is the other way
round. Short runs are taken several at a time, so that there are enough sums to hide the
latency of an addition.

A part of the pixels, small enough to stay in L1 for all taps and channels, has sums of
its own, which are then added to those of the chunk in memory; meanwhile the next part
is asked for. Chunks are a fixed number of stretches of the pixels, added in order at
the end: the bits depend on the problem, never on the threads.
Registers: as conv_direct, spread × vectors sums, 4 × 6 on 32 registers.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from ..emit import ITEMSIZES, Kernel, Value
from ..target import Target
from .conv_blocks import Blocks, BlockWriter, cut, source_layout
from .conv_direct import HALF_WORTH, Tile, choose_tile
from .conv_taps import Taps
from .packing import whole_and_rest

#: Chunks that a launch should have, so that threads end together.
CHUNKS = 32
#: Pixels that are summed before they join a total.
PIXELS = 256
#: Pixels that a part must have to be worth sums of its own.
PIXELS_A_PART = 512
#: Runs taken together: each needs a register for its address.
MOST_RUNS = 9

POINTERS = ("x", "y", "sums", "runs", "workspace")
NUMBERS = (
    "parts",
    "shares",
    "units_a_share",
    "groups",
    "pixel_blocks",
    "x_batch",
    "x_group",
    "x_channel",
    "y_batch",
    "y_group",
    "slab_size",
    "sums_size",
)


@dataclass(frozen=True)
class WeightGradient:
    """What the code of a kernel depends on; all else is an argument."""

    dtype: str
    rank: int
    lanes: int
    vectors: int
    tile: int  # most values that are spread at a time, of one run
    runs_a_tile: int
    run_count: int
    run_length: int  # of x
    channels: int  # of y, in a group
    source_channels: int  # of x, in a group
    channel_block: int
    pixel: int  # elements between neighbouring outputs' sources in x
    layout: str
    border: str
    spread_y: bool  # y is spread and x lies along the vectors
    part_axis: int  # this many outputs of this axis and all of those within it are a
    part_length: int  # part: it stays in L1, and its sums are small

    @property
    def spread(self) -> int:
        """How many values of a run are spread."""
        return self.channels if self.spread_y else self.run_length

    @property
    def along(self) -> int:
        """How many values lie along vectors."""
        return self.run_length if self.spread_y else self.channels

    @property
    def block(self) -> int:
        return self.lanes * self.vectors

    @property
    def blocks(self) -> int:
        return -(-self.along // self.block)

    @property
    def channel_blocks(self) -> int:
        return -(-self.source_channels // self.channel_block)

    @property
    def run_tiles(self) -> int:
        return self.run_count // self.runs_a_tile

    @property
    def units(self) -> int:
        """What can be shared out within a part: blocks × tiles of runs."""
        return self.blocks * self.run_tiles

    @property
    def sums_shape(self) -> tuple[int, ...]:
        """The sums of one part, group and block of source channels."""
        return (self.blocks, self.run_count, self.spread, self.block)

    def build(self, target: Target) -> Kernel:
        return Writer(self, target).kernel()


class Writer(BlockWriter):
    """Writes the loop nest of one `WeightGradient`."""

    def __init__(self, facts, target: Target, name: str = "weight_gradient"):
        super().__init__(name, facts, target, POINTERS, NUMBERS)

    def kernel(self) -> Kernel:
        """Decode the chunk; go through its blocks of pixels."""
        e, facts, number = self.e, self.facts, self.number
        share, rest = e.chunk % number["shares"], e.chunk / number["shares"]
        block, rest = rest % facts.channel_blocks, rest / facts.channel_blocks
        group, part = rest % number["groups"], rest / number["groups"]
        self.group, self.channel_block = group, block
        first = share * number["units_a_share"]
        self.units = first, e.minimum(first + number["units_a_share"], facts.units)
        place = (part * number["groups"] + group) * facts.channel_blocks + block
        self.sums = self.pointer["sums"] + place * number["sums_size"]
        channel = block * facts.channel_block * number["x_channel"]
        self.x = e.at(self.pointer["x"], group * number["x_group"] + channel)
        self.y = e.at(self.pointer["y"], group * number["y_group"])
        blocks, parts = number["pixel_blocks"], number["parts"]
        begin, end = part * blocks / parts, (part + 1) * blocks / parts
        first, last = self.units
        each = facts.runs_a_tile * facts.spread * facts.block
        e.clear(self.sums + first * each, (last - first) * each)
        with e.loop("pixels", end, start=begin) as b:
            self.pixel_block(b.index)
        return e.finish()

    def pixel_block(self, number: Value) -> None:
        """Add one block of pixels to every sum of the chunk, a part at a time."""
        starts, image = self.block_starts(number)
        lengths = [
            self.e.minimum(axis["block"], axis["count"] - start)
            for axis, start in zip(self.axes, starts, strict=True)
        ]
        y = self.y + image * self.number["y_batch"]
        for axis, start in zip(self.axes, starts, strict=True):
            y = y + start * axis["result_stride"]
        x, strides = self.source_of(
            self.x + image * self.number["x_batch"],
            starts,
            lengths,
            self.group,
            self.channel_block,
            self.number["x_channel"],
        )
        numbers = self.axes[self.facts.part_axis]
        step = numbers["step"] * strides[self.facts.part_axis]
        self.ahead = [  # from what a part reads, of x and of y, to what the next does
            stride * self.facts.part_length
            for stride in (step, numbers["result_stride"])
        ]
        self.parts(0, x, y, strides, lengths)

    def parts(self, axis: int, x, y, strides, lengths) -> None:
        """Few outputs at a time, so that what they read is in L1 for all units."""
        e, facts = self.e, self.facts
        if axis < facts.part_axis:
            with e.loop(f"q{axis}", lengths[axis]) as q:
                (moved,), below = self.moved(axis, q.index, [x], y, strides)
                self.parts(axis + 1, moved, below, strides, lengths)
            return
        length = lengths[axis]
        with e.loop("part", length, step=facts.part_length) as part:
            (x,), y = self.moved(axis, part.index, [x], y, strides)
            few = e.minimum(length - part.index, facts.part_length)
            outputs = [*lengths[:axis], few, *lengths[axis + 1 :]]
            first, last = self.units
            with e.loop("unit", last, start=first) as unit:
                self.unit(unit.index, x, y, strides, outputs)

    def first_along(self, first: Value) -> tuple[int, Value]:
        """Of how many values along vectors a block is part, and its first."""
        return self.facts.along, first

    def unit(self, unit, x, y, strides, lengths) -> None:
        """One block of vectors and one tile of runs: all its spread values, tile by
        tile of equal width."""
        e, facts = self.e, self.facts
        block, run = unit / facts.run_tiles, unit % facts.run_tiles * facts.runs_a_tile
        along = block * facts.block
        masks = self.masks(*self.first_along(along))
        sums = self.sums + (block * facts.run_count + run) * (
            facts.spread * facts.block
        )
        sources = [
            x + e.load(self.pointer["runs"] + (run + r))
            for r in range(facts.runs_a_tile)
        ]
        tiles = -(-facts.spread // facts.tile)
        width, wider = divmod(facts.spread, tiles)
        spans = [(width + 1, 0, wider), (width, wider, tiles)]
        for size, begin, end in spans:
            if begin == end:
                continue
            with e.loop("spread", end, start=begin) as tile:
                first = tile.index * width + e.minimum(tile.index, wider)
                self.tile(size, first, along, sources, y, masks, sums, strides, lengths)

    def tile(
        self, width, first, along, sources, y, masks, sums, strides, lengths
    ) -> None:
        """The sums of one tile over a part of the pixels, added to those in memory."""
        e, facts = self.e, self.facts
        lanes, zero = facts.lanes, e.zero(facts.dtype, facts.lanes)
        sources, y = self.tile_origin(first, along, sources, y)
        places = [
            sums
            + ((first + s) * facts.block + (r * facts.spread * facts.block + v * lanes))
            for r in range(facts.runs_a_tile)
            for s in range(width)
            for v in range(facts.vectors)
        ]

        def rows(axis: int, sources, y, totals):
            """Pixels of the axes from `axis` on, summed into `totals`."""
            if axis == facts.rank - 1:
                return self.pixels(width, lengths[axis], sources, y, masks, totals)
            with e.loop(f"q{axis}", lengths[axis], carry=totals) as q:
                inner, y = self.moved(axis, q.index, sources, y, strides)
                q.carry = rows(axis + 1, inner, y, q.carry)
            return q.carry

        totals = rows(facts.part_axis, sources, y, [zero] * len(places))
        for total, place in zip(totals, places, strict=True):
            e.store(e.load(place, lanes) + total, place)

    def moved(self, axis: int, index: Value, sources, y, strides):
        """Runs and y, `index` outputs further along an axis."""
        numbers = self.axes[axis]
        offset = index * numbers["step"] * strides[axis]
        return [x + offset for x in sources], y + index * numbers["result_stride"]

    def tile_origin(self, first, along, sources, y):
        """Where a tile reads the runs and y: `first` of what is spread, from `along`
        of what lies along vectors."""
        if self.facts.spread_y:
            return [x + along for x in sources], y + first
        return [x + first for x in sources], y + along

    def pixels(self, width, count, sources, y, masks, totals):
        """Neighbouring pixels of a row, a few a turn where there are few sums."""
        e = self.e
        unrolled = max(1, 32 // len(totals))
        whole = count / unrolled * unrolled
        with e.loop("pixel", whole, step=unrolled, carry=totals) as q:
            for u in range(unrolled):
                q.carry = self.pixel(width, q.index + u, sources, y, masks, q.carry)
        if unrolled == 1:
            return q.carry
        with e.loop("pixel", count, start=whole, carry=q.carry) as q:
            q.carry = self.pixel(width, q.index, sources, y, masks, q.carry)
        return q.carry

    def pixel(self, width, q, sources, y, masks, totals):
        """One pixel: each spread value times each vector."""
        e, facts = self.e, self.facts
        y = y + q * self.axes[-1]["result_stride"]
        sources = [x + q * facts.pixel for x in sources]
        totals = iter(totals)

        def vectors(first: Value) -> list[Value]:
            return [
                e.load(first + v * facts.lanes, facts.lanes, mask)
                for v, mask in enumerate(masks)
            ]

        for v in range(1 if facts.spread_y else facts.vectors):
            e.prefetch(y + self.ahead[1] + v * facts.lanes, level=2)
        result = []
        if not facts.spread_y:
            row = vectors(y)
        for x in sources:
            e.forget()  # or LLVM would load all of them first, and spill the sums
            if facts.layout == "slabless":
                e.prefetch(x + self.ahead[0], level=2)
            if facts.spread_y:
                row = vectors(x)
            for s in range(width):
                one = e.load((y if facts.spread_y else x) + s)
                spread = e.splat(one, facts.lanes)
                result += [e.fma(spread, vector, next(totals)) for vector in row]
        return result


@dataclass(frozen=True)
class Plan:
    """A launch but for its addresses: the kernel and the numbers it is given.

    `sums_shape` is (parts, groups, blocks of source channels, and the kernel's own).
    """

    kernel: Any  # the facts of the code; they `build` it
    blocks: Blocks
    numbers: tuple[int, ...]
    chunks: int
    sums_shape: tuple[int, ...]


def _channel_block(taps: Taps, itemsize: int, target: Target) -> int:
    """Source channels at a time, so that a row of the slab stays in an eighth of L2."""
    positions = prod(axis.reach(1) for axis in taps.axes[:-1])
    positions *= taps.axes[-1].reach(min(16, taps.count[-1]))
    most = max(16, target.l2 // 8 // (positions * itemsize))
    blocks = -(-taps.source_channels // most)
    return -(-taps.source_channels // blocks)


def _sides(taps: Taps, run_length: int, target: Target) -> tuple[bool, Tile]:
    """Whether y is spread, and the tile: whichever side fills its lanes better."""

    def use(along: int, spread: int) -> tuple[float, Tile]:
        tile = choose_tile(along, taps.dtype, target)
        filled = along / (-(-along // tile.channels) * tile.channels)
        lanes = tile.lanes / target.lanes(ITEMSIZES[taps.dtype])
        if target.halves and lanes < 1:
            lanes *= 2 * HALF_WORTH
        return filled * lanes * min(1.0, spread * tile.vectors / 8), tile

    by_y, tile_y = use(taps.channels, run_length * min(taps.taps, 8))
    by_x, tile_x = use(run_length, taps.channels)
    return (True, tile_x) if by_x > by_y else (False, tile_y)


@lru_cache(maxsize=4096)
def plan(
    taps: Taps, x_strides: tuple[int, ...], y_strides: tuple[int, ...], target: Target
) -> Plan:
    """Choose sides, tile, parts and slab.

    Strides are in elements: batch, group, channel, *spatial. y's channels are
    neighbours.
    """
    channel_block = _channel_block(taps, ITEMSIZES[taps.dtype], target)
    layout = source_layout(taps, x_strides, channel_block)
    row = (taps.count[-1], 1)
    blocks = cut(taps, x_strides, y_strides, layout, channel_block, row, target, PIXELS)
    run_length = channel_block * (len(taps.axes[-1].taps) if blocks.folds else 1)
    spread_y, tile = _sides(taps, run_length, target)
    together = 1
    if not spread_y:
        together = runs_together(len(blocks.runs), run_length, tile.pixels)
    itemsize = ITEMSIZES[taps.dtype]
    part_axis, part_length = part(blocks, tile.channels * itemsize, target)
    kernel = WeightGradient(
        dtype=taps.dtype,
        rank=len(taps.axes),
        lanes=tile.lanes,
        vectors=tile.vectors,
        tile=tile.pixels,
        runs_a_tile=together,
        run_count=len(blocks.runs),
        run_length=run_length,
        channels=taps.channels,
        source_channels=taps.source_channels,
        channel_block=channel_block,
        pixel=taps.axes[-1].step * blocks.pitch,
        layout=blocks.layout,
        border=taps.axes[0].border,
        spread_y=spread_y,
        part_axis=part_axis,
        part_length=part_length,
    )
    return launch_plan(taps, kernel, blocks, taps.groups, x_strides, y_strides)


def turns(taps: Taps, target: Target) -> bool:
    """Whether x and y should change places, few channels of y meeting whole vectors of
    x. At stride 1 the form allows it: y, read as the input gradient reads it, is what
    is spread, and the taps are counted from the last."""
    lanes = target.lanes(ITEMSIZES[taps.dtype])
    return (
        taps.channels <= lanes // 4
        and taps.source_channels >= lanes
        and taps.taps > 1
        and all(axis.step == 1 and axis.border == "zeros" for axis in taps.axes)
    )


def part(blocks: Blocks, vectors: int, target: Target) -> tuple[int, int]:
    """The axis, and how many outputs of it, that make a part: at most PIXELS, of which
    vectors (of so many bytes an output) fill half of L1."""
    most = max(1, min(PIXELS, target.l1 // 2 // vectors))
    axis = len(blocks.pixels) - 1
    within = 1
    while axis > 0 and within * blocks.pixels[axis] <= most:
        within *= blocks.pixels[axis]
        axis -= 1
    return axis, min(blocks.pixels[axis], max(1, most // within))


def runs_together(runs: int, length: int, most: int) -> int:
    """How many runs of `length` fit a tile of `most` sums; it divides `runs`."""
    fitting = range(1, min(MOST_RUNS, most // length) + 1)
    return max((n for n in fitting if runs % n == 0), default=1)


def launch_plan(
    taps: Taps,
    kernel,
    blocks: Blocks,
    groups: int,
    x_strides: tuple[int, ...],
    y_strides: tuple[int, ...],
) -> Plan:
    """Choose parts and shares; the numbers in the order of the kernel's arguments."""
    pixel_blocks = taps.batch * prod(blocks.counts)
    most = max(1, taps.batch * taps.pixels // PIXELS_A_PART)
    outer = groups * kernel.channel_blocks
    parts = min(pixel_blocks, most, -(-CHUNKS // outer))
    shares = min(kernel.units, -(-CHUNKS // (outer * parts)))
    units_a_share = -(-kernel.units // shares)
    shares = -(-kernel.units // units_a_share)
    numbers = (
        parts,
        shares,
        units_a_share,
        groups,
        pixel_blocks,
        *x_strides[:3],
        *y_strides[:2],
        blocks.slab_size,
        prod(kernel.sums_shape),
        *blocks.axis_numbers,
    )
    return Plan(
        kernel=kernel,
        blocks=blocks,
        numbers=numbers,
        chunks=outer * parts * shares,
        sums_shape=(parts, groups, kernel.channel_blocks, *kernel.sums_shape),
    )


def gather_sums(sums: np.ndarray, kernel: WeightGradient, w: np.ndarray) -> None:
    """Add the parts in order and write them as w: (groups, out, in, taps)."""
    total = sums.sum(axis=0)
    groups, blocks = total.shape[0], kernel.channel_blocks
    runs, size = kernel.run_count, kernel.channel_block
    # A run is taps of the last axis times channels; runs and those make all taps.
    taps = runs * kernel.run_length // size
    if kernel.spread_y:  # block, run, out, in -> run, (block, in), out
        shape = (groups, blocks, kernel.blocks, runs, kernel.spread, kernel.block)
        total = total.reshape(shape).transpose(0, 1, 3, 2, 5, 4)
        along = kernel.blocks * kernel.block
        total = total.reshape(groups, blocks, runs, along, kernel.channels)
        total = total[:, :, :, : kernel.run_length]
        total = total.reshape(groups, blocks, 1, taps, size, kernel.channels)
    else:  # block, run, in, out
        total = total.reshape(groups, blocks, kernel.blocks, taps, size, kernel.block)
    out_block = total.shape[-1]
    for i, i_blocks, i_size in whole_and_rest(kernel.source_channels, size):
        for o, o_blocks, o_size in whole_and_rest(kernel.channels, out_block):
            to = w[:, o : o + o_blocks * o_size, i : i + i_blocks * i_size]
            to = to.reshape(groups, o_blocks, o_size, i_blocks, i_size, taps)
            first_i, first_o = i // size, o // out_block
            part = total[:, first_i : first_i + i_blocks, first_o : first_o + o_blocks]
            to[...] = part[..., :i_size, :o_size].transpose(0, 2, 5, 1, 4, 3)
