"""The loop nest of the direct schedule; conv_direct chooses its facts.

A tile of the result, `pixels` neighbours of a row by `vectors` vectors of channels,
stays in registers while all taps and channels of the source are summed into it:

    for run, for j in run:   tile[t][v] += x[run + step·t + j] · w[run][j][v]

A run is what one output reads without a gap (the last axis's taps times the channels,
when they are neighbours). Where a run starts is a table, so rank, dilation and phases
cost the inner loop nothing. x comes from a slab with its border filled in or, where
nothing lies outside, straight from memory; the next tile's x is asked for meanwhile.
"""

from dataclasses import dataclass

from ..emit import ITEMSIZES, Kernel, Value
from ..target import Target
from .conv_blocks import BlockWriter

#: Arguments: pointers first, then numbers, then those of each axis.
POINTERS = ("source", "weights", "bias", "result", "runs", "workspace")
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

#: Terms that are summed before they join a total.
PART = 256
#: Bytes that the memory moves at a time.
LINE = 64


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
    border: str  # of the source
    bias: bool
    activation: str | None
    run_group: int = 0  # runs that are summed before they join the total; 0: all
    streams: bool = False  # whether results are written past the caches
    pieces: int = 1  # in which channels lie in the result

    @property
    def long_runs(self) -> bool:
        """Whether a run is so long that it is summed in parts."""
        return self.run_length >= 2 * PART

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

    @property
    def piece(self) -> int:
        """Channels that lie together in the result."""
        return self.channels // self.pieces

    def build(self, target: Target) -> Kernel:
        return Writer(self, target).kernel()


class Writer(BlockWriter):
    """Writes the loop nest of one `Direct`."""

    def __init__(self, facts: "Direct", target: Target, name: str = "convolve"):
        super().__init__(name, facts, target, POINTERS, NUMBERS)

    def kernel(self) -> Kernel:
        """Decode the chunk, then block by block of source channels: pack and sum."""
        e, facts, number = self.e, self.facts, self.number
        part, rest = e.chunk % number["parts"], e.chunk / number["parts"]
        self.starts, rest = self.block_starts(rest)
        self.group, image = rest % number["groups"], rest / number["groups"]
        if facts.run_group or facts.long_runs:
            most = (facts.width + facts.wider) * facts.tile_channels
            self.stack = e.opaque(e.scratch(facts.dtype, most, "totals"))
        first, axis = self.starts[-1], self.axes[-1]
        self.tiles = first, e.minimum(first + axis["block"], number["tile_count"])
        self.first_pixel = self.tile_start(first)
        outer = zip(self.axes[:-1], self.starts[:-1], strict=True)
        self.lengths = [
            *(e.minimum(axis["block"], axis["count"] - start) for axis, start in outer),
            self.tile_start(self.tiles[1]) - self.first_pixel,
        ]
        self.source, self.result = (
            e.at(
                self.pointer[name],
                image * number[f"{name}_batch"] + self.group * number[f"{name}_group"],
            )
            for name in ("source", "result")
        )
        begin = part * number["blocks_a_part"]
        self.block_range = (
            begin,
            e.minimum(begin + number["blocks_a_part"], facts.blocks),
        )
        if facts.channel_blocks == 1:
            self.channel_block(e.zero("int64"))
        else:
            with e.loop("channels", facts.channel_blocks) as b:
                self.channel_block(b.index)
        if facts.streams:
            e.settle()
        return e.finish()

    def tile_start(self, tile: Value) -> Value:
        """The first pixel of a tile: the first `tile_remainder` are one wider."""
        return tile * self.facts.width + self.e.minimum(
            tile, self.number["tile_remainder"]
        )

    def channel_block(self, block: Value) -> None:
        """Sum one block of source channels into the chunk's results."""
        e, facts = self.e, self.facts
        channel = self.number["source_channel"]
        source, strides = self.source_of(
            self.source + block * facts.channel_block * channel,
            [*self.starts[:-1], self.first_pixel],
            self.lengths,
            self.group,
            block,
            channel,
        )
        per_block = self.number["run_count"] * (facts.run_length * facts.tile_channels)
        number = (self.group * facts.channel_blocks + block) * facts.blocks
        weights = self.pointer["weights"] + number * per_block
        first, last = self.block_range
        with e.loop("block", last, start=first) as o:
            self.columns(o.index, weights + o.index * per_block, source, strides, block)

    def first_channel(self, block: Value) -> tuple[int, Value]:
        """Of how many channels a block of the result is part, and its first."""
        return self.facts.channels, block * self.facts.tile_channels

    def columns(self, block, weights, source, strides, channel_block) -> None:
        """One block of result channels: all rows of the chunk."""
        e, facts = self.e, self.facts
        channel = block * facts.tile_channels
        masks = self.masks(*self.first_channel(block))
        # Spare lanes of the bias are there: it is padded to whole blocks.
        whole = facts.blocks * facts.tile_channels
        bias = self.pointer["bias"] + (self.group * whole + channel)

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

        whole_piece = facts.piece % facts.tile_channels == 0
        self.places = [
            [(v * facts.lanes, mask)] if whole_piece or facts.pieces == 1 else []
            for v, mask in enumerate(masks)
        ]
        if facts.pieces == 1:
            rows(0, source, self.result + channel)
        elif whole_piece:
            piece, within = channel / facts.piece, channel % facts.piece
            rows(0, source, self.result + (self.piece_offset(piece) + within))
        else:
            self.split(block)
            rows(0, source, self.result)

    def piece_offset(self, piece: Value) -> Value:
        """Where a piece of the channels lies: the table of runs goes on with that."""
        return self.e.load(self.pointer["runs"] + (self.number["run_count"] + piece))

    def split(self, block: Value) -> None:
        """Find the places of a block's vectors: its pieces cut across them."""
        e, facts = self.e, self.facts
        pieces = min(facts.pieces, facts.tile_channels // facts.piece)
        for piece in range(pieces):
            offset = self.piece_offset(block * pieces + piece)
            first, end = piece * facts.piece, (piece + 1) * facts.piece
            for v in range(first // facts.lanes, -(-end // facts.lanes)):
                lane = v * facts.lanes
                mask = None
                if first > lane or end < lane + facts.lanes:
                    mask = e.mask(end - lane, facts.lanes)
                    mask = mask & ~e.mask(first - lane, facts.lanes)
                self.places[v].append((offset + (lane - first), mask))

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
        vectors, count = facts.vectors, self.number["run_count"]
        totals = self.initial(results, bias, masks, channel_block)

        def runs(first, last, totals):
            with e.loop("run", last, start=first, carry=totals) as run:
                x = source + e.load(self.pointer["runs"] + run.index)
                w = weights + run.index * (facts.run_length * facts.tile_channels)
                run.carry = self.sum_run(width, x, w, masks, run.carry)
            return run.carry

        if facts.run_group:
            with e.loop("group", count, step=facts.run_group, carry=totals) as group:
                last = e.minimum(group.index + facts.run_group, count)
                group.carry = self.in_part(
                    group.carry, lambda zeros: runs(group.index, last, zeros)
                )
            totals = group.carry
        else:
            totals = runs(0, count, totals)
        totals = self.activated(totals, channel_block)
        for t in range(width):
            for v in range(vectors):
                total = totals[t * vectors + v]
                for offset, mask in self.places[v]:
                    if facts.streams:
                        e.stream(total, results[t] + offset)
                    else:
                        e.store(total, results[t] + offset, mask)

    def in_part(self, totals: list[Value], add) -> list[Value]:
        """The totals and what `add` makes of zeros.

        A long sum is taken in parts: its rounding error grows with the root of a part's
        length. The totals wait on the stack meanwhile.
        """
        e, lanes = self.e, self.facts.lanes
        for i, total in enumerate(totals):
            e.store(total, self.stack + i * lanes)
        part = add([e.zero(self.facts.dtype, lanes)] * len(totals))
        return [e.load(self.stack + i * lanes, lanes) + p for i, p in enumerate(part)]

    def sum_run(self, width, x, w, masks, totals):
        """Add a run, a long one in parts."""
        e, length, lanes = self.e, self.facts.run_length, self.facts.tile_channels
        if not self.facts.long_runs:
            return self.sum_part(width, length, x, w, totals)
        whole = length // PART * PART
        with e.loop("part", whole, step=PART, carry=totals) as part:
            here = x + part.index, w + part.index * lanes
            part.carry = self.in_part(
                part.carry, lambda zeros: self.sum_part(width, PART, *here, zeros)
            )
        rest = x + whole, w + whole * lanes
        return self.sum_part(width, length - whole, *rest, part.carry)

    def sum_part(self, width, length, x, w, totals):
        """Add part of a run: unrolled if short, otherwise a few steps a turn."""
        e, facts = self.e, self.facts
        unrolled = length if length * len(totals) <= 192 else 4
        turns = length // unrolled if unrolled else 0
        done = turns * unrolled if turns > 1 else 0
        if done:
            with e.loop("j", done, step=unrolled, carry=totals) as j:
                here, weights = x + j.index, w + j.index * facts.tile_channels
                self.ask(width, 0, unrolled, here)
                j.carry = self.steps(width, 0, unrolled, here, weights, j.carry)
            totals = j.carry
        self.ask(width, done, length, x)
        return self.steps(width, done, length, x, w, totals)

    def ask(self, width, first, last, x) -> None:
        """Ask for what the next tile reads in these steps, a little each time."""
        facts = self.facts
        line = LINE // ITEMSIZES[facts.dtype]
        begins = (t * facts.pixel for t in range(width, 2 * width))
        lines = (range(t + first, t + last, line) for t in begins)
        for at in sorted({at // line * line for each in lines for at in each}):
            self.e.prefetch(x + at)

    def steps(self, width, first, last, x, w, totals):
        """Some values of the run, one after the other: LLVM would load for several
        steps at once, keep what overlapping runs share, and spill the sums."""
        for step in range(first, last):
            if step > first:
                self.e.forget()
            weights = w + step * self.facts.tile_channels
            totals = self.step(width, x + step, weights, totals)
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
        limit = e.zero(facts.dtype, facts.lanes)
        if facts.channel_blocks > 1:  # below nothing, as long as channels are missing
            last = channel_block >= facts.channel_blocks - 1
            zero = e.zero(facts.dtype)
            never = e.constant(float("-inf"), facts.dtype)
            limit = e.splat(e.select(last, zero, never), facts.lanes)
        return [
            e.select(total < limit, e.zero(facts.dtype, facts.lanes), total)
            for total in totals
        ]
