"""Few channels on both sides: pixels lie along vectors, and no lane is spare.

A few channels of the result would fill part of a vector. Here a vector is a row's
neighbouring pixels of one channel, of which the slab makes planes:

    for row of taps, source channel and tap:
        for each vector of pixels:   x = the source there
        for each result channel:     total[channel][vector] += spread w · x

At the end squares are transposed in registers, so that the result lies channels-last.
The last tile of a row begins early enough to be whole; what it computes twice is the
same.
Registers: channels × vectors totals, `vectors` of x and one spread weight: 24 + 3 of 32
with eight channels.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod

import numpy as np

from ..emit import ITEMSIZES, Kernel, Value
from ..target import Target
from .conv_blocks import AXIS_NUMBERS, Blocks, BlockWriter, cut
from .conv_direct import Plan
from .conv_taps import Taps
from .packing import SlabSource, pack_slab
from .pointwise import transposed
from .rows import joined

#: Source channels, at most: planes are made of them one by one.
MOST_SOURCE = 4
#: Taps along a row that are unrolled at most.
MOST_TAPS = 32
#: Products that a result must have to be worth the transposing.
FEWEST_TERMS = 6
#: Vectors of a tile at most.
MOST_VECTORS = 6

POINTERS = ("source", "weights", "bias", "result", "runs", "workspace")
NUMBERS = (
    "run_count",
    "groups",
    "tile_count",
    "source_batch",
    "source_group",
    "source_channel",
    "result_batch",
    "result_group",
    "slab_size",
    "plane",
)


def handles(taps: Taps, target: Target) -> bool:
    """Whether few channels are made of few, along rows of at least a vector."""
    axis, lanes = taps.axes[-1], target.lanes(ITEMSIZES[taps.dtype])
    return (
        taps.source_channels <= MOST_SOURCE
        and taps.channels < lanes
        and axis.step == 1
        and axis.count >= lanes
        and len(axis.taps) <= MOST_TAPS
        and taps.source_channels * taps.taps >= FEWEST_TERMS
    )


@dataclass(frozen=True)
class Thin:
    """What the code of a kernel depends on; all else is an argument."""

    dtype: str
    rank: int
    lanes: int
    vectors: int
    row_taps: int
    tap: int  # positions between neighbouring taps of a row
    channels: int  # of the result, in a group
    source_channels: int
    layout: str  # of a channel of the source: "rows" or "strided"
    border: str
    pixel: int  # elements between neighbouring results
    bias: bool
    activation: str | None

    @property
    def width(self) -> int:
        """Pixels of a tile."""
        return self.lanes * self.vectors

    def build(self, target: Target) -> Kernel:
        return _Writer("thin", self, target, POINTERS, NUMBERS).kernel()


class _Writer(BlockWriter):
    """Writes the loop nest of one `Thin`."""

    def kernel(self) -> Kernel:
        """Decode the chunk, pack its planes, and go through its rows."""
        e, number = self.e, self.number
        starts, rest = self.block_starts(e.chunk)
        group, image = rest % number["groups"], rest / number["groups"]
        first = starts[-1]
        self.tiles = first, e.minimum(first + self.axes[-1]["block"], self.last_tile())
        self.first_pixel = self.tile_start(first)
        end = self.tile_start(self.tiles[1] - 1) + self.facts.width
        self.lengths = [
            *(
                e.minimum(axis["block"], axis["count"] - start)
                for axis, start in zip(self.axes[:-1], starts[:-1], strict=True)
            ),
            end - self.first_pixel,
        ]
        self.starts = [*starts[:-1], self.first_pixel]
        source, result = (
            e.at(
                self.pointer[name],
                image * number[f"{name}_batch"] + group * number[f"{name}_group"],
            )
            for name in ("source", "result")
        )
        self.pack(source)
        size = number["run_count"] * (self.facts.row_taps * self.facts.channels)
        self.weights = self.pointer["weights"] + group * size
        self.bias = self.pointer["bias"] + group * self.facts.channels
        self.rows(0, self.slab, result)
        return e.finish()

    def last_tile(self) -> Value:
        return self.number["tile_count"]

    def tile_start(self, tile: Value) -> Value:
        """The first pixel of a tile."""
        last = self.axes[-1]["count"] - self.facts.width
        return self.e.minimum(tile * self.facts.width, last)

    def pack(self, source: Value) -> None:
        """Copy each source channel of the block into a plane of its own."""
        e, facts = self.e, self.facts
        axes = self.slab_axes(self.starts, self.lengths)
        channel = self.number["source_channel"]
        layout = SlabSource(facts.layout, 1, 1, channel, facts.border)
        with e.loop("channel", facts.source_channels) as c:
            plane = self.slab + c.index * self.number["plane"]
            pack_slab(e, source + c.index * channel, plane, axes, layout)

    def rows(self, axis: int, source: Value, result: Value) -> None:
        """All outputs of the chunk from this axis on."""
        e, numbers = self.e, self.axes[axis]
        if axis == self.facts.rank - 1:
            first, last = self.tiles
            with e.loop("tile", last, start=first) as tile:
                pixel = self.tile_start(tile.index)
                here = e.opaque(result + pixel * self.facts.pixel)
                self.tile(source + (pixel - self.first_pixel), here)
            return
        with e.loop(f"q{axis}", self.lengths[axis]) as q:
            output = self.starts[axis] + q.index
            self.rows(
                axis + 1,
                source + q.index * numbers["step"] * numbers["slab_stride"],
                result + output * numbers["result_stride"],
            )

    def tile(self, source: Value, result: Value) -> None:
        """The sums of one tile, from the first tap to the stored result."""
        e, facts = self.e, self.facts
        totals = []
        for c in range(facts.channels):
            total = e.zero(facts.dtype, facts.lanes)
            if facts.bias:
                total = e.splat(e.load(self.bias + c), facts.lanes)
            totals += [total] * facts.vectors
        each = facts.row_taps * facts.channels
        with e.loop("run", self.number["run_count"], carry=totals) as run:
            x = e.opaque(source + e.load(self.pointer["runs"] + run.index))
            w = e.opaque(self.weights + run.index * each)
            for k in range(facts.row_taps):
                e.forget()  # or LLVM would load what comes later first, and spill
                here = x + k * facts.tap, w + k * facts.channels
                run.carry = self.products(*here, run.carry)
        self.store(run.carry, result)

    def products(self, x: Value, w: Value, totals: list[Value]) -> list[Value]:
        """One tap of one source channel: every weight times every vector."""
        e, facts = self.e, self.facts
        lanes, before, after = facts.lanes, iter(totals), []
        row = [e.load(x + v * lanes, lanes) for v in range(facts.vectors)]
        for c in range(facts.channels):
            weight = e.splat(e.load(w + c), lanes)
            after += [e.fma(weight, vector, next(before)) for vector in row]
        return after

    def store(self, totals: list[Value], result: Value) -> None:
        """Activate, transpose and store: of each pixel its channels."""
        e, facts = self.e, self.facts
        lanes, vectors = facts.lanes, facts.vectors
        side = 1 << (facts.channels - 1).bit_length()
        if facts.activation is not None:
            zero = e.zero(facts.dtype, lanes)
            totals = [e.select(total < 0.0, zero, total) for total in totals]
        for v in range(vectors):
            rows = totals[v::vectors]
            here = result + v * lanes * facts.pixel
            if side == facts.pixel:
                for place, whole in enumerate(joined(e, rows)):
                    e.store(whole, here + place * lanes)
            else:
                self.store_pixels(rows + rows[:1] * (side - len(rows)), here)

    def store_pixels(self, rows: list[Value], result: Value) -> None:
        """As `store`, one pixel at a time, squares of as many lanes as rows."""
        e, facts, side = self.e, self.facts, len(rows)
        mask = e.mask(facts.channels, side) if facts.channels < side else None
        for first in range(0, facts.lanes, side):
            some = [e.shuffle(r, None, range(first, first + side)) for r in rows]
            for place, channels in enumerate(transposed(e, some), first):
                e.store(channels, result + place * facts.pixel, mask)


def _vectors(taps: Taps, target: Target) -> int:
    """Vectors of a tile: those that cover a row with the fewest computed twice; of
    equals the most, since a weight is spread once for all of them."""
    lanes = target.lanes(ITEMSIZES[taps.dtype])
    most = min(MOST_VECTORS, (target.registers - 1) // (taps.channels + 1))
    fitting = range(1, max(1, min(most, taps.axes[-1].count // lanes)) + 1)

    def computed(vectors: int) -> int:
        return -(-taps.axes[-1].count // (vectors * lanes)) * vectors

    return min(fitting, key=lambda vectors: (computed(vectors), -vectors))


def _planes(taps: Taps, blocks: Blocks, width: int) -> tuple[Blocks, int]:
    """The blocks with a slab of planes, and the elements of a plane."""
    pixels = [*blocks.pixels[:-1], min(blocks.pixels[-1], taps.count[-1])]
    reach = [a.reach(n) for a, n in zip(taps.axes, pixels, strict=True)]
    strides = tuple(prod(reach[a + 1 :]) for a in range(len(reach)))
    plane = reach[0] * strides[0]
    place = AXIS_NUMBERS.index("slab_stride")
    numbers = list(blocks.axis_numbers)
    numbers[place :: len(AXIS_NUMBERS)] = strides
    each = taps.run_offsets(strides, True)
    runs = np.arange(taps.source_channels)[:, None] * plane + each
    return (
        replace(
            blocks,
            strides=strides,
            runs=runs.ravel(),
            source_offset=0,
            slab_size=-(-taps.source_channels * plane // 16) * 16,
            axis_numbers=tuple(numbers),
        ),
        plane,
    )


@lru_cache(maxsize=4096)
def plan(
    taps: Taps,
    source_strides: tuple[int, ...],
    result_strides: tuple[int, ...],
    target: Target,
) -> Plan:
    """As conv_direct.plan; weights are (groups, source channels, taps, channels)."""
    axis, lanes = taps.axes[-1], target.lanes(ITEMSIZES[taps.dtype])
    vectors = _vectors(taps, target)
    kernel = Thin(
        dtype=taps.dtype,
        rank=len(taps.axes),
        lanes=lanes,
        vectors=vectors,
        row_taps=len(axis.taps),
        tap=axis.offsets[1] - axis.offsets[0] if len(axis.taps) > 1 else 0,
        channels=taps.channels,
        source_channels=taps.source_channels,
        layout="rows" if source_strides[-1] == 1 else "strided",
        border=axis.border,
        pixel=result_strides[-1] * axis.stride,
        bias=taps.bias,
        activation=taps.activation,
    )
    tiles = -(-axis.count // kernel.width)
    found = cut(
        taps,
        source_strides,
        result_strides,
        "strided",
        taps.source_channels,
        (tiles, kernel.width),
        target,
    )
    blocks, plane = _planes(taps, found, kernel.width)
    numbers = (
        len(blocks.runs),
        taps.groups,
        tiles,
        *source_strides[:3],
        *result_strides[:2],
        blocks.slab_size,
        plane,
        *blocks.axis_numbers,
    )
    phases = zip(taps.axes, result_strides[3:], strict=True)
    return Plan(
        kernel=kernel,
        blocks=blocks,
        numbers=numbers,
        result_offset=sum(a.phase * stride for a, stride in phases),
        chunks=taps.batch * taps.groups * prod(blocks.counts),
        bias_shape=(taps.groups, taps.channels),
        weights_shape=(taps.groups, taps.source_channels, taps.taps, taps.channels),
    )


def pack(w: np.ndarray, kernel: Thin, out: np.ndarray) -> None:
    """`w`, (groups, channels out, channels in, *taps), with channels out innermost."""
    groups, channels, inputs, *taps = w.shape
    out.reshape(groups, inputs, *taps, channels)[...] = np.moveaxis(w, 1, -1)
