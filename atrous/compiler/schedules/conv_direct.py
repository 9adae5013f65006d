"""Direct convolution: y and the input gradient, from one loop nest over taps.

A tile of the result, `pixels` neighbours of a row by `vectors` vectors of channels,
stays in registers while all taps and channels of the source are summed into it:

    for run, for j in run:   tile[t][v] += x[run + step·t + j] · w[run][j][v]

A run is what one output reads without a gap (the last axis's taps times the channels,
when they are neighbours). Where a run starts is a table, so rank, dilation and phases
cost the inner loop nothing. x comes from a slab with its border filled in or, where
nothing lies outside, straight from memory.

Registers: pixels·vectors sums, `vectors` weights and one spread x: 4 × 6 on 32
registers, 3 × 4 on 16. Sources: Georganas et al. 2018, arXiv:1808.05567; the sizes are
those of LIBXSMM. Rows are cut into tiles that differ by at most one pixel.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np

from ..emit import ITEMSIZES, Emitter, Kernel, Value
from ..target import Target
from .conv_taps import Taps
from .packing import SlabAxis, SlabSource, pack_slab

#: Chunks that a launch should have at least, so that threads end together.
CHUNKS = 16
#: Arguments: pointers first, then numbers, then these for each axis.
POINTERS = ("source", "weights", "bias", "result", "runs", "workspace", "maps")
NUMBERS = (
    "run_count",
    "groups",
    "parts",
    "blocks_a_part",
    "source_batch",
    "source_group",
    "source_channel",
    "result_batch",
    "result_group",
    "slab_size",
    "tile_remainder",
    "tile_count",
)
AXIS_NUMBERS = (
    "blocks",
    "block",
    "count",
    "step",
    "span",
    "source_stride",
    "slab_stride",
    "result_stride",
    "map",
    "before",
    "size",
)


@dataclass(frozen=True)
class Tile:
    """How many results a kernel holds in registers: pixels × vectors of lanes."""

    lanes: int
    vectors: int
    pixels: int

    @property
    def channels(self) -> int:
        return self.lanes * self.vectors


def choose_tile(channels: int, dtype: str, target: Target) -> Tile:
    """The tile for so many channels of the result.

    Fewer, wider blocks read x less often; spare lanes are wasted work. A result thinner
    than a register takes a shorter vector.
    """
    full = target.lanes(ITEMSIZES[dtype])
    lanes = full
    while lanes > 2 and lanes // 2 >= channels:
        lanes //= 2
    needed = -(-channels // lanes)
    if target.registers >= 32:
        pixels = {1: 28, 2: 14, 3: 9, 4: 6}
        worth = {1: 0.85, 2: 0.95, 3: 1.0, 4: 1.0}
    else:
        pixels = {1: 12, 2: 6, 3: 4}
        worth = {1: 0.8, 2: 0.97, 3: 1.0}
    vectors = max(
        (v for v in pixels if v <= needed),
        key=lambda v: needed / (-(-needed // v) * v) * worth[v],
    )
    return Tile(lanes, vectors, pixels[vectors])


@dataclass(frozen=True)
class Direct:
    """What the code of a kernel depends on; all else is an argument."""

    dtype: str
    rank: int
    lanes: int
    vectors: int
    width: int  # pixels in the narrower tiles of a row
    wider: bool  # whether some tiles have one more
    channels: int  # of the result, in a group
    source_channels: int  # in a group
    channel_block: int  # source channels summed at a time
    run_length: int
    pixel: int  # elements between the sources of neighbouring results
    layout: str  # of the source: "rows", "channels", "strided"; "slabless"
    outside: bool  # whether some source positions are zeros
    bias: bool
    activation: str | None

    @property
    def tile_channels(self) -> int:
        return self.lanes * self.vectors

    @property
    def blocks(self) -> int:
        """Blocks of result channels."""
        return -(-self.channels // self.tile_channels)

    @property
    def channel_blocks(self) -> int:
        return -(-self.source_channels // self.channel_block)

    def build(self, target: Target) -> Kernel:
        return _Writer(self, target).kernel()


class _Writer:
    """Writes the loop nest of one `Direct`."""

    def __init__(self, facts: Direct, target: Target):
        self.facts = facts
        self.e = e = Emitter("convolve", target)
        dtypes = (facts.dtype,) * 4 + ("int64", facts.dtype, "int64")
        for index, (name, dtype) in enumerate(zip(POINTERS, dtypes, strict=True)):
            setattr(self, name, e.pointer(index, dtype, name))
        index = len(POINTERS)
        self.number = {
            name: e.argument(index + i, name) for i, name in enumerate(NUMBERS)
        }
        index += len(NUMBERS)
        self.axes = []
        for axis in range(facts.rank):
            names = [(n, f"{n}{axis}") for n in AXIS_NUMBERS]
            self.axes.append(
                {n: e.argument(index + i, label) for i, (n, label) in enumerate(names)}
            )
            index += len(AXIS_NUMBERS)

    def kernel(self) -> Kernel:
        """Decode the chunk, then block by block of source channels: pack and sum."""
        e, facts, number = self.e, self.facts, self.number
        rest = e.chunk
        part, rest = rest % number["parts"], rest / number["parts"]
        starts: list[
            Value
        ] = []  # of the chunk in each axis: outputs; tiles in the last
        for axis in reversed(self.axes):
            starts.insert(0, rest % axis["blocks"] * axis["block"])
            rest = rest / axis["blocks"]
        group, image = rest % number["groups"], rest / number["groups"]
        self.group, self.starts = group, starts
        self.lengths = [
            e.minimum(axis["block"], axis["count"] - start)
            for axis, start in zip(self.axes[:-1], starts[:-1], strict=True)
        ]
        last = starts[-1]
        self.tiles = (
            last,
            e.minimum(last + self.axes[-1]["block"], number["tile_count"]),
        )
        self.first_pixel = self.tile_start(last)
        self.source = e.at(
            self.source,
            image * number["source_batch"] + group * number["source_group"],
        )
        self.result = e.at(
            self.result,
            image * number["result_batch"] + group * number["result_group"],
        )
        worker = e.worker * number["slab_size"]
        self.slab = e.at(self.workspace, worker, label="slab")
        first = part * number["blocks_a_part"]
        self.block_range = (
            first,
            e.minimum(first + number["blocks_a_part"], facts.blocks),
        )
        if facts.channel_blocks == 1:
            self.channel_block(e.zero("int64"))
        else:
            with e.loop("channels", facts.channel_blocks) as b:
                self.channel_block(b.index)
        return e.finish()

    def tile_start(self, tile: Value) -> Value:
        """The first pixel of a tile: the first `tile_remainder` are one wider."""
        return tile * self.facts.width + self.e.minimum(
            tile, self.number["tile_remainder"]
        )

    # Source --------------------------------------------------------------------

    def channel_block(self, block: Value) -> None:
        """Sum one block of source channels into the chunk's results."""
        e, facts = self.e, self.facts
        source = (
            self.source + block * facts.channel_block * self.number["source_channel"]
        )
        if facts.layout == "slabless":
            for axis, start in zip(self.axes, self.origins(), strict=True):
                source = source + start * axis["step"] * axis["source_stride"]
            strides = [axis["source_stride"] for axis in self.axes]
        else:
            self.pack(source, block)
            source = self.slab
            strides = [axis["slab_stride"] for axis in self.axes]
        blocks = facts.blocks
        per_block = self.number["run_count"] * (facts.run_length * facts.tile_channels)
        weights = self.weights + (
            (self.group * facts.channel_blocks + block) * blocks * per_block
        )
        first, last = self.block_range
        with e.loop("block", last, start=first) as o:
            self.columns(o.index, weights + o.index * per_block, source, strides, block)

    def origins(self) -> list[Value]:
        """The chunk's first output on each axis."""
        return [*self.starts[:-1], self.first_pixel]

    def pack(self, source: Value, block: Value) -> None:
        """Fill the slab from the source."""
        e, facts = self.e, self.facts
        pixels = self.tile_start(self.tiles[1]) - self.first_pixel
        axes = [
            SlabAxis(
                map=self.maps + axis["map"],
                start=start * axis["step"],
                length=(length - 1) * axis["step"] + axis["span"],
                source_stride=axis["source_stride"],
                slab_stride=axis["slab_stride"],
                before=axis["before"],
                size=axis["size"],
            )
            for axis, start, length in zip(
                self.axes, self.origins(), [*self.lengths, pixels], strict=True
            )
        ]
        present: Value | int = facts.channel_block
        if facts.source_channels % facts.channel_block:
            done = block * facts.channel_block
            present = e.minimum(facts.source_channels - done, facts.channel_block)
        pack_slab(
            e,
            source,
            self.slab,
            axes,
            SlabSource(
                facts.layout,
                facts.channel_block,
                present,
                self.number["source_channel"],
                facts.outside,
            ),
        )

    # Tiles ---------------------------------------------------------------------

    def columns(self, block, weights, source, strides, channel_block) -> None:
        """One block of result channels: all rows of the chunk."""
        e, facts = self.e, self.facts
        channel = block * facts.tile_channels
        masks: list[Value | None] = [None] * facts.vectors
        if facts.channels % facts.tile_channels:
            left = facts.channels - channel
            masks = [
                e.mask(left - v * facts.lanes, facts.lanes)
                for v in range(facts.vectors)
            ]
        # Spare lanes of the bias are there: it is padded to whole blocks.
        whole = facts.blocks * facts.tile_channels
        bias = self.bias + (self.group * whole + channel)

        def rows(axis: int, source: Value, result: Value) -> None:
            numbers = self.axes[axis]
            if axis == facts.rank - 1:
                self.row(source, result, weights, bias, masks, channel_block)
                return
            start, length = self.starts[axis], self.lengths[axis]
            with e.loop(f"q{axis}", length) as q:
                rows(
                    axis + 1,
                    source + q.index * numbers["step"] * strides[axis],
                    result + (start + q.index) * numbers["result_stride"],
                )

        rows(0, source, self.result + channel)

    def row(self, source, result, weights, bias, masks, channel_block) -> None:
        """One row: its wider tiles, then its narrower ones."""
        e, facts = self.e, self.facts
        first, last = self.tiles
        remainder = self.number["tile_remainder"]
        ranges = [(facts.width, e.maximum(first, remainder), last)]
        if facts.wider:
            ranges.insert(0, (facts.width + 1, first, e.minimum(last, remainder)))
        stride = self.axes[-1]["result_stride"]
        for width, begin, end in ranges:
            with e.loop("tile", end, start=begin) as tile:
                pixel = self.tile_start(tile.index)
                here = e.opaque(result + pixel * stride)
                self.tile(
                    width,
                    e.opaque(source + (pixel - self.first_pixel) * facts.pixel),
                    [here + stride * t for t in range(width)],
                    weights,
                    bias,
                    masks,
                    channel_block,
                )

    def tile(self, width, source, results, weights, bias, masks, channel_block) -> None:
        """The sums of one tile, from the first tap to the stored result."""
        e, facts = self.e, self.facts
        lanes, vectors = facts.lanes, facts.vectors
        totals = self.initial(results, bias, masks, channel_block)
        with e.loop("run", self.number["run_count"], carry=totals) as run:
            x = source + e.load(self.runs + run.index)
            w = weights + run.index * (facts.run_length * facts.tile_channels)
            run.carry = self.sum_run(width, x, w, run.carry)
        totals = self.activated(run.carry, channel_block)
        for t in range(width):
            for v in range(vectors):
                e.store(totals[t * vectors + v], results[t] + v * lanes, masks[v])

    def sum_run(self, width, x, w, totals):
        """Add a run: unrolled if short, otherwise a few steps a turn."""
        e, facts = self.e, self.facts
        length = facts.run_length
        unrolled = length if length * len(totals) <= 192 else 4
        turns = length // unrolled
        if turns > 1:
            with e.loop("j", turns * unrolled, step=unrolled, carry=totals) as j:
                for step in range(unrolled):
                    j.carry = self.step(
                        width,
                        x + (j.index + step),
                        w + (j.index + step) * facts.tile_channels,
                        j.carry,
                    )
            totals, done = j.carry, turns * unrolled
        else:
            done = 0
        for step in range(done, length):
            totals = self.step(width, x + step, w + step * facts.tile_channels, totals)
        return totals

    def step(self, width, x, w, totals):
        """One value of the run: every pixel's x times every vector of weights."""
        e, facts = self.e, self.facts
        row = [e.load(w + v * facts.lanes, facts.lanes) for v in range(facts.vectors)]
        totals = list(totals)
        for t in range(width):
            spread = e.splat(e.load(x + t * facts.pixel), facts.lanes)
            for v, weight in enumerate(row):
                at = t * facts.vectors + v
                totals[at] = e.fma(spread, weight, totals[at])
        return totals

    def initial(self, results, bias, masks, channel_block) -> list[Value]:
        """Where the sums start: the bias or zero, or what earlier channels gave."""
        e, facts = self.e, self.facts
        start = [
            e.load(bias + v * facts.lanes, facts.lanes)
            if facts.bias
            else e.zero(facts.dtype, facts.lanes)
            for v in range(facts.vectors)
        ]
        if facts.channel_blocks == 1:
            return start * len(results)
        fresh = channel_block < 1
        return [
            e.select(
                fresh, start[v], e.load(result + v * facts.lanes, facts.lanes, masks[v])
            )
            for result in results
            for v in range(facts.vectors)
        ]

    def activated(self, totals, channel_block) -> list[Value]:
        """The activation, once all source channels are in; NaN passes through."""
        e, facts = self.e, self.facts
        if facts.activation is None:
            return totals
        limit = 0.0
        if facts.channel_blocks > 1:  # below nothing, as long as channels are missing
            last = channel_block >= facts.channel_blocks - 1
            zero = e.zero(facts.dtype)
            never = e.constant(float("-inf"), facts.dtype)
            limit = e.splat(e.select(last, zero, never), facts.lanes)
        return [
            e.select(total < limit, e.zero(facts.dtype, facts.lanes), total)
            for total in totals
        ]


@dataclass(frozen=True)
class Plan:
    """A launch but for its addresses: the kernel and the numbers it is given."""

    kernel: Direct
    numbers: tuple[int, ...]
    runs: np.ndarray
    maps: np.ndarray
    source_offset: int  # elements from the source's first to the first that is read
    result_offset: int
    slab_size: int
    chunks: int
    weights_shape: tuple[int, ...]


def _channel_block(taps: Taps, tile: Tile, itemsize: int, target: Target) -> int:
    """Source channels at a time, so that a block of weights stays in half the L2."""
    each = taps.taps * tile.channels * itemsize
    most = max(8, target.l2 // 2 // each)
    blocks = -(-taps.source_channels // most)
    return -(-taps.source_channels // blocks)


def blocking(
    taps: Taps, tiles: int, width: int, channels: int, itemsize: int, target: Target
) -> list[int]:
    """Outputs (in the last axis: tiles) of a chunk on each axis.

    The slab fills up to a quarter of L2, growing from the last axis outwards, as long
    as there are enough chunks.
    """
    limit = target.l2 // 4 // (channels * itemsize)  # positions
    outer = taps.batch * taps.groups
    sizes = [*taps.count[:-1], tiles]
    block = [1] * len(sizes)

    def positions() -> int:
        pixels = [*block[:-1], min(block[-1] * width, taps.count[-1])]
        return prod(a.reach(n) for a, n in zip(taps.axes, pixels, strict=True))

    def chunks() -> int:
        return outer * prod(-(-n // b) for n, b in zip(sizes, block, strict=True))

    for axis in reversed(range(len(sizes))):
        for size in range(2, sizes[axis] + 1):
            before, block[axis] = block[axis], size
            inner_row = axis == len(sizes) - 1 and len(sizes) > 1
            if positions() > limit or (chunks() < CHUNKS and not inner_row):
                block[axis] = before
                break
        count = -(-sizes[axis] // block[axis])
        block[axis] = -(-sizes[axis] // count)  # blocks of equal size
    return block


def source_layout(taps: Taps, strides: tuple[int, ...], block: int) -> str:
    """How the source lies, from its strides in elements (as for `plan`)."""
    channel, last = strides[2], strides[-1]
    if taps.source_channels == 1:
        return "rows" if last == 1 else "channels"
    if channel != 1:
        return "strided"
    whole = taps.groups == 1 and block == taps.source_channels
    return "rows" if whole and last == taps.source_channels else "channels"


@lru_cache(maxsize=4096)
def plan(
    taps: Taps,
    source_strides: tuple[int, ...],
    result_strides: tuple[int, ...],
    target: Target,
) -> Plan:
    """Choose tile, blocks and slab.

    Strides are in elements: batch, group, channel, *spatial. The result's channels are
    neighbours.
    """
    itemsize = ITEMSIZES[taps.dtype]
    tile = choose_tile(taps.channels, taps.dtype, target)
    tiles = -(-taps.count[-1] // tile.pixels)
    width, remainder = divmod(taps.count[-1], tiles)
    channel_block = _channel_block(taps, tile, itemsize, target)
    layout = source_layout(taps, source_strides, channel_block)
    folds = taps.contiguous
    pitch = channel_block
    if (
        taps.interior
        and layout != "strided"
        and taps.source_channels % channel_block == 0
    ):
        layout, pitch = "slabless", source_strides[-1]
        folds = folds and pitch == channel_block
    block = blocking(taps, tiles, width + 1, channel_block, itemsize, target)
    pixels = [*block[:-1], min(block[-1] * (width + 1), taps.count[-1])]
    reach = [a.reach(n) for a, n in zip(taps.axes, pixels, strict=True)]
    slab_strides = [prod(reach[a + 1 :]) * channel_block for a in range(len(reach))]
    slab_size = -(-reach[0] * slab_strides[0] // 16) * 16
    spatial = source_strides[3:]
    runs = taps.run_offsets(
        spatial if layout == "slabless" else tuple(slab_strides), folds
    )
    kernel = Direct(
        dtype=taps.dtype,
        rank=len(taps.axes),
        lanes=tile.lanes,
        vectors=tile.vectors,
        width=width,
        wider=remainder > 0,
        channels=taps.channels,
        source_channels=taps.source_channels,
        channel_block=channel_block,
        run_length=channel_block * (len(taps.axes[-1].taps) if folds else 1),
        pixel=taps.axes[-1].step * pitch,
        layout=layout,
        outside=not taps.interior and taps.axes[0].border == "zeros",
        bias=taps.bias,
        activation=taps.activation,
    )
    counts = [-(-n // b) for n, b in zip([*taps.count[:-1], tiles], block, strict=True)]
    outer = taps.batch * taps.groups * prod(counts)
    parts = min(kernel.blocks, -(-CHUNKS // outer))
    blocks_a_part = -(-kernel.blocks // parts)
    parts = -(-kernel.blocks // blocks_a_part)
    maps = [axis.index() for axis in taps.axes]
    numbers = [
        len(runs),
        taps.groups,
        parts,
        blocks_a_part,
        source_strides[0],
        source_strides[1],
        source_strides[2],
        result_strides[0],
        result_strides[1],
        slab_size,
        remainder,
        tiles,
    ]
    for a, axis in enumerate(taps.axes):
        numbers += [
            counts[a],
            block[a],
            axis.count,
            axis.step,
            axis.reach(1),
            spatial[a],
            slab_strides[a],
            result_strides[3 + a] * axis.stride,
            sum(len(m) for m in maps[:a]),
            -axis.first,
            axis.size,
        ]
    return Plan(
        kernel=kernel,
        numbers=tuple(numbers),
        runs=runs,
        maps=np.concatenate(maps).astype(np.int64),
        source_offset=sum(
            axis.first * stride for axis, stride in zip(taps.axes, spatial, strict=True)
        )
        if layout == "slabless"
        else 0,
        result_offset=sum(
            axis.phase * stride
            for axis, stride in zip(taps.axes, result_strides[3:], strict=True)
        ),
        slab_size=0 if layout == "slabless" else slab_size,
        chunks=outer * parts,
        weights_shape=(
            taps.groups,
            kernel.channel_blocks,
            kernel.blocks,
            taps.taps,
            channel_block,
            tile.channels,
        ),
    )
