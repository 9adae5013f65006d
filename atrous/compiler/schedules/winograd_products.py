"""Winograd's products: a small matrix product for each position of a tile.

The forward one multiplies tiles × source channels by source channels × channels, the
gradient's source channels × tiles by tiles × channels. Registers: as conv_direct, width
× vectors sums, `vectors` of one side and one spread value of the other.
"""

from typing import Any

from ..emit import Emitter, Value
from .winograd_weights import Weights

#: Source channels (for the gradient: tiles) that are summed before they join a total.
PART, TILES = 16, 32
#: Steps of a sum in one turn of its loop.
UNROLLED = 4


class Products:
    """The product loops of winograd_kernels.Writer, which says where things lie."""

    e: Emitter
    w: Weights
    facts: Any
    sections: list[Value]  # V and M first
    sums: Value  # U, or where its sums are
    filters: Value  # twice the filter of each position, and 1 more for its first
    count: Value  # tiles of the block
    k_blocks: tuple[Value, Value]  # the chunk's blocks of channels

    def sum_results(self, newest: Value) -> None:
        """M[p] = Σ over the ring of V[p] · U[p]: tiles × channels in registers.

        The sum is taken in parts that are added in memory: the rounding error grows
        with the root of a part's length, and Aᵀ makes it larger.
        """
        e, w, facts = self.e, self.w, self.facts
        V, M, _, _ = self.sections
        if w.depth > 1 and w.source_channels <= PART:
            self.sum_depth(newest)
            return
        part = -(-w.source_channels // max(1, round(w.source_channels / PART)))
        whole = w.source_channels // part * part
        with (
            e.loop("position", w.positions) as p,
            e.loop("block", self.k_blocks[1], start=self.k_blocks[0]) as b,
            e.loop("depth_tap", w.depth) as k,
        ):
            number, _ = self.filter(p.index)
            u = self.weights_of(number, b.index, k.index)
            slot = (newest + 1 + k.index) % w.depth
            x = V + (slot * facts.slice + p.index * facts.source_pitch)
            to = M + (p.index * facts.result_pitch + b.index * w.block)
            with e.loop("part", whole, step=part) as c:
                fresh = (k.index < 1) & (c.index < 1)
                self.sum_part(x + c.index, u + c.index * w.block, part, to, fresh)
            if rest := w.source_channels - whole:
                never = e.constant(False, "truth")
                self.sum_part(x + whole, u + whole * w.block, rest, to, never)

    def sum_depth(self, newest: Value) -> None:
        """The same where channels are few: all depth taps are one part."""
        e, w, facts = self.e, self.w, self.facts
        V, M, _, _ = self.sections
        with (
            e.loop("position", w.positions) as p,
            e.loop("block", self.k_blocks[1], start=self.k_blocks[0]) as b,
            e.loop("row", self.count, step=facts.width) as r,
        ):
            number, _ = self.filter(p.index)
            place = M + (p.index * facts.result_pitch + b.index * w.block)
            place = e.opaque(place + r.index * facts.result_row)
            row = V + (p.index * facts.source_pitch + r.index * facts.source_row)
            sums = [e.zero(w.dtype, w.lanes)] * (facts.width * w.vectors)
            with e.loop("depth_tap", w.depth, carry=sums) as k:
                slot = (newest + 1 + k.index) % w.depth
                x = e.opaque(row + slot * facts.slice)
                u = e.opaque(self.weights_of(number, b.index, k.index))
                k.carry = self.sum_channels(x, u, w.source_channels, k.carry)
            for total, to in zip(k.carry, self.places(place), strict=True):
                e.store(total, to)

    def places(self, first: Value) -> list[Value]:
        """Where the sums of a tile of registers belong in M."""
        w, facts = self.w, self.facts
        return [
            first + (t * facts.result_row + v * w.lanes)
            for t in range(facts.width)
            for v in range(w.vectors)
        ]

    def filter(self, position: Value) -> tuple[Value, Value | None]:
        """The number of a position's filter, and whether no earlier position has it;
        None if none shares its filter."""
        if self.w.filters == self.w.positions:
            return position, None
        both = self.e.load(self.filters + position)
        return both / 2, both % 2 > 0

    def weights_of(self, number: Value, block: Value, depth_tap: Value) -> Value:
        """Where these rows of U, or of its sums, start."""
        w = self.w
        part = block * w.depth + depth_tap
        return self.sums + (number * w.pitch + part * (w.rows * w.block))

    def sum_part(self, x: Value, u: Value, terms: int, to: Value, fresh: Value) -> None:
        """Add `terms` source channels to the sums of all tiles and one block."""
        e, w, facts = self.e, self.w, self.facts
        zero = e.zero(w.dtype, w.lanes)
        with e.loop("row", self.count, step=facts.width) as r:
            here = e.opaque(x + r.index * facts.source_row)
            sums = [zero] * (facts.width * w.vectors)
            sums = self.sum_channels(here, e.opaque(u), terms, sums)
            place = e.opaque(to + r.index * facts.result_row)
            self.add(sums, self.places(place), fresh)

    def add(self, sums: list[Value], places: list[Value], fresh: Value) -> None:
        """Put a part's sums in memory: on top of earlier ones, if there are."""
        e = self.e
        with e.when(fresh, "the first part"):
            for total, place in zip(sums, places, strict=True):
                e.store(total, place)
        with e.when(~fresh, "a later part"):
            for total, place in zip(sums, places, strict=True):
                e.store(e.load(place, total.type.lanes) + total, place)

    def sum_channels(
        self, x: Value, u: Value, terms: int, sums: list[Value]
    ) -> list[Value]:
        """Add the products of `terms` source channels, some a turn."""
        e, w, facts = self.e, self.w, self.facts
        whole = terms // UNROLLED * UNROLLED

        def step(x: Value, u: Value, sums: list[Value]) -> list[Value]:
            weights = [e.load(u + v * w.lanes, w.lanes) for v in range(w.vectors)]
            result = []
            for t in range(facts.width):
                spread = e.splat(e.load(x + t * facts.source_row), w.lanes)
                for v, weight in enumerate(weights):
                    result.append(e.fma(spread, weight, sums[t * w.vectors + v]))
            return result

        with e.loop("c", whole, step=UNROLLED, carry=sums) as c:
            for i in range(UNROLLED):
                here = u + (c.index + i) * w.block
                for line in range(0, w.block * 4, 64):  # the next part follows this one
                    e.prefetch(here + (terms * w.block + line // 4))
                c.carry = step(x + (c.index + i), here, c.carry)
        sums = c.carry
        for i in range(whole, terms):
            sums = step(x + i, u + i * w.block, sums)
        return sums

    def sum_weights(self, newest: Value, fresh: Value) -> None:
        """U[p] += V[p]ᵀ · M[p]: source channels × channels in registers."""
        e, w, facts = self.e, self.w, self.facts
        V, M, _, _ = self.sections
        zero = e.zero(w.dtype, w.lanes)
        with (
            e.loop("position", w.positions) as p,
            e.loop("block", self.k_blocks[1], start=self.k_blocks[0]) as b,
            e.loop("depth_tap", w.depth) as k,
        ):
            slot = (newest + 1 + k.index) % w.depth
            V_p = V + (slot * facts.slice + p.index * facts.source_pitch)
            M_p = M + (p.index * facts.result_pitch + b.index * w.block)
            number, first = self.filter(p.index)
            begins = fresh if first is None else fresh & first
            U_p = self.weights_of(number, b.index, k.index)
            with e.loop("row", w.rows, step=facts.width) as r:
                x, y = e.opaque(V_p + r.index), e.opaque(M_p)
                to = e.opaque(U_p + r.index * w.block)
                sums = [zero] * (facts.width * w.vectors)
                places = [to + i * w.lanes for i in range(len(sums))]
                for place in places:
                    e.prefetch(place)
                with e.loop("part", self.count, step=TILES) as part:
                    last = e.minimum(part.index + TILES, self.count)
                    with e.loop("tile", last, start=part.index, carry=sums) as t:
                        t.carry = self.outer(
                            x + t.index * facts.source_row,
                            y + t.index * facts.result_row,
                            t.carry,
                        )
                    self.add(t.carry, places, begins & (part.index < 1))

    def outer(self, x: Value, y: Value, sums: list[Value]) -> list[Value]:
        """One tile: each source channel times each vector."""
        e, w = self.e, self.w
        row = [e.load(y + v * w.lanes, w.lanes) for v in range(w.vectors)]
        result = []
        for s in range(self.facts.width):
            spread = e.splat(e.load(x + s), w.lanes)
            for v, vector in enumerate(row):
                result.append(e.fma(spread, vector, sums[s * w.vectors + v]))
        return result
