"""Winograd's loop nests: weights in, blocks of tiles, weight gradient out.

A chunk takes a block of tiles through all three steps, so that what lies between them
stays in cache. Positions p are those of a transformed tile:

    for slice of depth:
        V[p][tile][c] = Bᵀ x B                           input tiles, border by the map
        M[p][tile][k] = Σ over depth taps, c: V · U[p]   one matrix product a position
        y = Aᵀ M A                                       bias, activation, edges cut

A slice of depth is transformed once and kept in a ring until the last output that needs
it is done: depth is summed directly, as in the direct schedule. The weight gradient has
the same nest with the two other operands: M = A dy Aᵀ, and U[p] += Vᵀ · M.

Registers of the products: as conv_direct, width × vectors sums. Sources: Lavin & Gray
2016, arXiv:1509.09308; Gelashvili et al. 2019, arXiv:1912.02165 (fusion in the cache).
"""

from dataclasses import dataclass
from math import prod

from ..emit import Emitter, Kernel, Value
from ..target import Target
from .winograd_products import Products
from .winograd_tiles import Tiles
from .winograd_weights import Weights


def _apart(row: int) -> int:
    """A row of so many elements; if it is long, some more: an odd number of lines."""
    return row + 16 if row >= 128 and row % 32 == 0 else row


@dataclass(frozen=True)
class Winograd:
    """What the code of the main kernel depends on; all else is an argument."""

    weights: Weights
    phases: tuple[int, int, int]  # grids on each axis, as far apart as the taps read
    depth_step: int
    solves_w: bool
    width: int  # pixels (for w: source channels) of a product's tile of registers
    block: int  # tiles that go through the steps together
    rows: str | None  # the border, if the rows of one channel are read as they lie
    streams: bool  # whether results are written past the caches, in whole tiles
    bias: bool
    activation: str | None

    POINTERS = (
        "source",
        "transformed",
        "bias",
        "result",
        "workspace",
        "maps",
        "strange",
    )
    NUMBERS = (
        "tiles",
        "tiles_y",
        "tiles_x",
        "tile_blocks",
        "depth",
        "depth_a_block",
        "depth_blocks",
        "parts",
        "shares",
        "source_batch",
        "source_z",
        "source_y",
        "source_x",
        "source_channel",
        "result_batch",
        "result_z",
        "result_y",
        "result_x",
        "size_y",
        "size_x",
        "before_y",
        "before_x",
        "count_y",
        "count_x",
        "map_y",
        "map_x",
        "map_filters",
        "workspace_size",
    )

    # Pitches are no multiples of a page: neighbours are in different cache sets.

    @property
    def source_row(self) -> int:
        """Elements between the rows of V."""
        lanes = self.weights.lanes
        return _apart(-(-self.weights.source_channels // lanes) * lanes)

    @property
    def result_row(self) -> int:
        """Elements between the rows of M."""
        return _apart(self.weights.blocks * self.weights.block)

    @property
    def source_pitch(self) -> int:
        return self.block * self.source_row + 16

    @property
    def result_pitch(self) -> int:
        return self.block * self.result_row + 16

    @property
    def slice(self) -> int:
        """Elements of V in one slice of depth."""
        return self.weights.positions * self.source_pitch

    @property
    def sections(self) -> tuple[int, int, int, int]:
        """Elements of the workspace: V, M, one source tile or row of all tiles, and
        one result tile."""
        w = self.weights
        phases = self.phases[2]
        most = -(-(self.block + phases - 1) // phases)  # tiles of one phase
        row = phases * (most * w.tile[1] * w.steps[1] + w.taps[1]) * w.source_channels
        return (
            w.depth * self.slice + 64,
            w.positions * self.result_pitch + 64,
            row if self.rows else prod(w.reach) * self.source_row,
            prod(w.tile) * self.result_row,
        )

    def build(self, target: Target) -> Kernel:
        return Writer(self, target).kernel()


class Writer(Tiles, Products):
    """Writes the loop nest of one `Winograd`."""

    def __init__(self, facts: Winograd, target: Target):
        self.facts = facts
        self.w = facts.weights
        name = "winograd_gradient" if facts.solves_w else "winograd"
        self.e = e = Emitter(name, target)
        integers = ("maps", "strange")
        self.pointer = {
            n: e.pointer(i, "int64" if n in integers else self.w.dtype, n)
            for i, n in enumerate(Winograd.POINTERS)
        }
        self.number = {
            n: e.argument(len(self.pointer) + i, n)
            for i, n in enumerate(Winograd.NUMBERS)
        }
        place = self.pointer["workspace"] + e.worker * self.number["workspace_size"]
        self.filters = self.pointer["maps"] + self.number["map_filters"]
        self.sections = []
        for name, size in zip("VMxy", facts.sections, strict=True):
            section = e.retyped(place, self.w.dtype)
            section.label = name
            self.sections.append(section)
            place = place + size

    def kernel(self) -> Kernel:
        """Decode the chunk: a share of the channels of one block of tiles, or for the
        gradient of a part of all blocks."""
        e, facts, number = self.e, self.facts, self.number
        shares, k_blocks = number["shares"], self.w.blocks
        share, chunk = e.chunk % shares, e.chunk / shares
        self.k_blocks = share * k_blocks / shares, (share + 1) * k_blocks / shares
        begin, end = (b * self.w.block for b in self.k_blocks)
        self.channels = begin, e.minimum(end, self.w.channels)
        for pair, what in ((self.k_blocks, "block"), (self.channels, "channel")):
            pair[0].label, pair[1].label = f"first {what}", f"end of {what}s"
        if not facts.solves_w:
            self.sums = self.pointer["transformed"]
            self.block(chunk)
            if facts.streams:
                e.settle()
            return e.finish()
        self.sums = self.pointer["transformed"] + chunk * self.w.size
        blocks, parts = number["tile_blocks"] * number["depth_blocks"], number["parts"]
        first, last = chunk * blocks / parts, (chunk + 1) * blocks / parts
        with e.loop("block", last, start=first) as b:
            self.fresh = b.index <= first
            self.block(b.index)
        return e.finish()

    def block(self, index: Value) -> None:
        """All steps of one block of tiles and depths."""
        e, facts, number = self.e, self.facts, self.number
        self.first = index % number["tile_blocks"] * facts.block
        self.count = e.minimum(facts.block, number["tiles"] - self.first)
        self.count.label = "tiles of the block"
        phases, which = facts.phases[0], index / number["tile_blocks"]
        start = which / phases * (number["depth_a_block"] * phases) + which % phases
        left = (number["depth"] - start + (phases - 1)) / phases
        depths = e.minimum(number["depth_a_block"], left)
        before = self.w.depth - 1  # slices that come before the first output
        step = facts.depth_step
        slices = (depths - 1) * step + (1 + before)
        slices.label = "slices that are read"
        with e.loop("slice", slices) as s:
            slot = s.index % self.w.depth
            self.transform_source(start * step + s.index * phases, slot)
            if before or step > 1:
                past = s.index - before
                there = past >= 0
                if step > 1:
                    there = there & e.compare("==", past % step, 0)
                with e.when(there, "the taps' slices are there"):
                    self.finish_slice(start + past / step * phases, s.index)
            else:
                self.finish_slice(start + s.index * phases, s.index)

    def finish_slice(self, depth: Value, newest: Value) -> None:
        """One slice of results, from the ring whose newest slice is `newest`."""
        if self.facts.solves_w:
            self.transform_result(depth, inwards=True)
            self.sum_weights(newest, self.fresh & (newest <= self.w.depth - 1))
        else:
            self.sum_results(newest)
            self.transform_result(depth, inwards=False)
