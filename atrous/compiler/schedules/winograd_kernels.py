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

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from ..emit import Emitter, Kernel, Value
from ..target import Target
from .winograd_transforms import Matrix, matrices, transform, transposed

#: Source channels that one chunk of the weights' transforms takes.
WEIGHT_ROWS = 16
#: Source channels (for the gradient: tiles) that are summed before they join a total.
PART, TILES = 16, 32
#: Steps of a sum in one turn of its loop.
UNROLLED = 4


@dataclass(frozen=True)
class Weights:
    """The layout of transformed weights: [position][block][depth tap][row][channel].

    `tile` and `taps` are the outputs and taps of the two transformed axes. `rows` are
    the source channels, of which the last ones may be spare.
    """

    dtype: str
    tile: tuple[int, int]
    taps: tuple[int, int]
    depth: int
    channels: int
    source_channels: int
    rows: int
    lanes: int
    vectors: int

    @property
    def reach(self) -> tuple[int, int]:
        """Inputs of a tile on each axis."""
        y, x = (m + r - 1 for m, r in zip(self.tile, self.taps, strict=True))
        return y, x

    @property
    def positions(self) -> int:
        return prod(self.reach)

    @property
    def block(self) -> int:
        """Channels in a block."""
        return self.lanes * self.vectors

    @property
    def blocks(self) -> int:
        return -(-self.channels // self.block)

    @property
    def pitch(self) -> int:
        """Elements between positions: no multiple of a page, or all of them would
        compete for the same cache sets."""
        return self.blocks * self.depth * self.rows * self.block + 16

    @property
    def size(self) -> int:
        """Elements of all positions."""
        return self.positions * self.pitch

    @property
    def chunks(self) -> int:
        """Chunks of the kernels that transform weights."""
        return self.depth * self.blocks * -(-self.source_channels // WEIGHT_ROWS)

    def matrices(self, which: int) -> tuple[Matrix, Matrix]:
        """Aᵀ (0), G (1) or Bᵀ (2) of both axes."""
        y, x = (
            matrices(m, r)[which] for m, r in zip(self.tile, self.taps, strict=True)
        )
        return y, x


@dataclass(frozen=True)
class WeightTransform:
    """U = G w Gᵀ, or for the gradient w = Gᵀ U G with U the sum of several parts.

    Both in float64: it is little work, and spares the result a part of its error.
    """

    weights: Weights
    gradient: bool

    POINTERS = ("w", "transformed")
    NUMBERS = (
        "w_channel",
        "w_source_channel",
        "w_depth",
        "w_y",
        "w_x",
        "parts",
    )

    def build(self, target: Target) -> Kernel:
        e = Emitter("winograd_weights", target)
        w = self.weights
        pointer = {
            n: e.pointer(i, w.dtype, n) for i, n in enumerate(WeightTransform.POINTERS)
        }
        number = {
            n: e.argument(len(pointer) + i, n)
            for i, n in enumerate(WeightTransform.NUMBERS)
        }
        groups = -(-w.source_channels // WEIGHT_ROWS)
        first, rest = e.chunk % groups * WEIGHT_ROWS, e.chunk / groups
        depth, block = rest % w.depth, rest / w.depth
        last = e.minimum(first + WEIGHT_ROWS, w.source_channels)
        with e.loop("c", last, start=first) as c, e.loop("v", w.vectors) as v:
            channel = block * w.block + v.index * w.lanes
            mask = None
            if w.channels % w.block:
                mask = e.mask(w.channels - channel, w.lanes)
            given = e.at(
                pointer["w"],
                (channel, number["w_channel"]),
                (c.index, number["w_source_channel"]),
                (depth, number["w_depth"]),
            )
            row = (block * w.depth + depth) * w.rows + c.index
            row = row * w.block + v.index * w.lanes
            place = e.opaque(pointer["transformed"] + row)
            steps = e.steps(w.lanes) * e.splat(number["w_channel"], w.lanes)

            def tap(i: int, j: int) -> Value:
                return e.at(given, (number["w_y"], i), (number["w_x"], j))

            def position(i: int, j: int) -> Value:
                return place + (i * w.reach[1] + j) * w.pitch

            if self.gradient:
                self._out(e, tap, place, steps, mask, number["parts"])
            else:
                transform(
                    e,
                    *w.matrices(1),
                    lambda i, j: e.cast(e.gather(tap(i, j), steps, mask), "float64"),
                    lambda i, j, value: e.store(e.cast(value, w.dtype), position(i, j)),
                )
        return e.finish()

    def _out(self, e: Emitter, tap, place: Value, steps, mask, parts: Value) -> None:
        w = self.weights
        left, right = w.matrices(1)
        totals = e.scratch("float64", w.positions * w.lanes, "totals")
        with e.loop("position", w.positions) as p:
            first = place + p.index * w.pitch
            carried = [e.cast(e.load(first, w.lanes), "float64")]
            with e.loop("part", parts, start=1, carry=carried) as part:
                more = e.load(first + part.index * w.size, w.lanes)
                part.carry = [part.carry[0] + e.cast(more, "float64")]
            e.store(part.carry[0], totals + p.index * w.lanes)

        def total(i: int, j: int) -> Value:
            return e.load(totals + (i * w.reach[1] + j) * w.lanes, w.lanes)

        transform(
            e,
            transposed(left),
            transposed(right),
            total,
            lambda i, j, value: e.scatter(
                e.cast(value, w.dtype), tap(i, j), steps, mask
            ),
        )


def _apart(row: int) -> int:
    """A row of so many elements; if it is long, some more: an odd number of lines."""
    return row + 16 if row >= 128 and row % 32 == 0 else row


@dataclass(frozen=True)
class Winograd:
    """What the code of the main kernel depends on; all else is an argument."""

    weights: Weights
    solves_w: bool
    width: int  # pixels (for w: source channels) of a product's tile of registers
    block: int  # tiles that go through the steps together
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
        """Elements of the workspace: V, M, one source tile and one result tile."""
        w = self.weights
        return (
            w.depth * self.slice + 64,
            w.positions * self.result_pitch + 64,
            w.positions * self.source_row,
            prod(w.tile) * self.result_row,
        )

    def build(self, target: Target) -> Kernel:
        return Writer(self, target).kernel()


@dataclass
class Place:
    """Where a tile lies: a pointer, the strides of its two axes, and whether it is
    the copy of a tile that the border cuts."""

    pointer: Value
    strides: tuple[Value, Value]
    cut: Value


class Writer:
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
        if not facts.solves_w:
            self.sums = self.pointer["transformed"]
            self.block(chunk)
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
        start = index / number["tile_blocks"] * number["depth_a_block"]
        depths = e.minimum(number["depth_a_block"], number["depth"] - start)
        before = self.w.depth - 1  # slices that come before the first output
        with e.loop("slice", depths + before) as s:
            slot = s.index % self.w.depth
            self.transform_source(start + s.index, slot)
            if before:
                with e.when(s.index >= before, "the taps' slices are there"):
                    self.finish_slice(start + s.index - before, s.index)
            else:
                self.finish_slice(start + s.index, s.index)

    def finish_slice(self, depth: Value, newest: Value) -> None:
        """One slice of results, from the ring whose newest slice is `newest`."""
        if self.facts.solves_w:
            self.transform_result(depth, inwards=True)
            self.sum_weights(newest, self.fresh & (newest <= self.w.depth - 1))
        else:
            self.sum_results(newest)
            self.transform_result(depth, inwards=False)

    # Tiles -----------------------------------------------------------------------

    def tile(self, index: Value) -> tuple[Value, Value, Value]:
        """A tile's number -> image, and its first output on both axes."""
        y, x = self.number["tiles_y"], self.number["tiles_x"]
        row = index / x
        return row / y, row % y * self.w.tile[0], index % x * self.w.tile[1]

    def place(
        self, cut: Value, scratch: Value, row: int, width: int, there: Place
    ) -> Place:
        """The scratch tile where the border cuts, else the tile itself."""
        e = self.e
        pointer = e.retyped(e.select(cut, scratch, there.pointer), self.w.dtype)
        pointer.label = there.pointer.label
        own = (width * row, row)
        strides = [
            e.select(cut, mine, stride)
            for mine, stride in zip(own, there.strides, strict=True)
        ]
        return Place(pointer, (strides[0], strides[1]), cut)

    def mask(self, channel: Value, channels: int) -> Value | None:
        """The lanes of a vector from `channel` on that exist; None if all do."""
        if channels % self.w.lanes == 0:
            return None
        return self.e.mask(channels - channel, self.w.lanes)

    # x -> V ----------------------------------------------------------------------

    def transform_source(self, depth: Value, slot: Value) -> None:
        """Bᵀ x B of the block's tiles in one slice."""
        e, w, facts = self.e, self.w, self.facts
        z = e.load(self.pointer["maps"] + depth)
        V = self.sections[0] + slot * facts.slice
        with e.loop("tile", self.count) as t:
            place = self.source_tile(self.first + t.index, z)
            row = V + t.index * facts.source_row
            with e.loop("c", w.source_channels, step=w.lanes) as c:
                mask = self.mask(c.index, w.source_channels)
                here, to = e.opaque(place.pointer + c.index), e.opaque(row + c.index)

                def load(i: int, j: int) -> Value:
                    return e.load(e.at(here, *self.steps(place, i, j)), w.lanes, mask)

                def store(i: int, j: int, value: Value) -> None:
                    position = i * w.reach[1] + j
                    e.store(value, to + position * facts.source_pitch)

                transform(e, *w.matrices(2), load, store)

    def source_tile(self, index: Value, z: Value) -> Place:
        """Where a tile is read: in the source or, if the border cuts it, as a copy."""
        e, w, number = self.e, self.w, self.number
        image, y, x = self.tile(index)
        top, left = y - number["before_y"], x - number["before_x"]
        inside = (
            (z >= 0)
            & (top >= 0)
            & (left >= 0)
            & (top + w.reach[0] <= number["size_y"])
            & (left + w.reach[1] <= number["size_x"])
        )
        plane = e.at(
            self.pointer["source"],
            (image, number["source_batch"]),
            (z, number["source_z"]),
        )
        strides = number["source_y"], number["source_x"]
        there = Place(e.at(plane, (top, strides[0]), (left, strides[1])), strides, z)
        scratch, row = self.sections[2], self.facts.source_row
        with e.when(~inside, "the border cuts the tile"):
            self.copy_source(plane, z, y, x, scratch)
        return self.place(~inside, scratch, row, w.reach[1], there)

    def copy_source(self, plane, z, y, x, scratch) -> None:
        """A tile with its border filled in, by the maps."""
        e, w, number, maps = self.e, self.w, self.number, self.pointer["maps"]
        row = self.facts.source_row
        with e.loop("i", w.reach[0]) as i, e.loop("j", w.reach[1]) as j:
            to = scratch + (i.index * w.reach[1] + j.index) * row
            from_y = e.load(maps + (number["map_y"] + y + i.index))
            from_x = e.load(maps + (number["map_x"] + x + j.index))
            there = (z >= 0) & (from_y >= 0) & (from_x >= 0)
            source = e.at(
                plane, (from_y, number["source_y"]), (from_x, number["source_x"])
            )
            with e.when(there, "inside"):
                e.copy(to, source, w.source_channels)
            with e.when(~there, "outside"):
                e.clear(to, w.source_channels)

    # M ↔ y -----------------------------------------------------------------------

    def transform_result(self, depth: Value, inwards: bool) -> None:
        """y = Aᵀ M A of the block's tiles in one slice; inwards M = A y Aᵀ."""
        e, facts, number = self.e, self.facts, self.number
        strides = number["result_y"], number["result_x"]
        strange = [e.zero(self.w.dtype, self.w.lanes)]
        with e.loop("tile", self.count, carry=[] if inwards else strange) as t:
            image, y, x = self.tile(self.first + t.index)
            here = e.at(
                self.pointer["result"],
                (image, number["result_batch"]),
                (depth, number["result_z"]),
                (y, strides[0]),
                (x, strides[1]),
            )
            rows = e.minimum(number["count_y"] - y, self.w.tile[0])
            columns = e.minimum(number["count_x"] - x, self.w.tile[1])
            cut = (rows < self.w.tile[0]) | (columns < self.w.tile[1])
            scratch, row = self.sections[3], facts.result_row
            place = self.place(
                cut, scratch, row, self.w.tile[1], Place(here, strides, cut)
            )
            M = self.sections[1] + t.index * facts.result_row
            if inwards:
                with e.when(cut, "the edge cuts the tile"):
                    e.clear(scratch, prod(self.w.tile) * row)
                    self.copy_result(here, scratch, rows, columns, inwards)
                self.results_in(M, place)
            else:
                t.carry = self.results_out(M, place, t.carry)
                with e.when(cut, "the edge cuts the tile"):
                    self.copy_result(here, scratch, rows, columns, inwards)
        if not inwards:
            total = e.fold(t.carry[0], lambda a, b: a + b)
            with e.when(e.compare("!=", total, total), "NaN or inf came out"):
                e.store(e.constant(1, "int64"), self.pointer["strange"])

    def copy_result(self, there, scratch, rows, columns, inwards: bool) -> None:
        """The part of a cut tile that exists, to or from its place."""
        e, w, number = self.e, self.w, self.number
        with e.loop("i", rows) as i, e.loop("j", columns) as j:
            mine = (i.index * w.tile[1] + j.index) * self.facts.result_row
            outer = e.at(
                there, (i.index, number["result_y"]), (j.index, number["result_x"])
            )
            first, last = self.channels
            ends = [outer + first, scratch + mine + first]
            to, source = reversed(ends) if inwards else ends
            e.copy(to, source, last - first)

    def position(self, base: Value, i: int, j: int) -> Value:
        return base + (i * self.w.reach[1] + j) * self.facts.result_pitch

    def results_in(self, M: Value, place: Place) -> None:
        """A y Aᵀ of one tile."""
        e, w = self.e, self.w
        left, right = w.matrices(0)

        first, last = self.channels
        with e.loop("k", last, start=first, step=w.lanes) as k:
            mask = self.mask(k.index, w.channels)
            here, to = e.opaque(place.pointer + k.index), e.opaque(M + k.index)

            def load(i: int, j: int) -> Value:
                return e.load(e.at(here, *self.steps(place, i, j)), w.lanes, mask)

            def store(i: int, j: int, value: Value) -> None:
                e.store(value, self.position(to, i, j))

            transform(e, transposed(left), transposed(right), load, store)

    def steps(self, place: Place, i: int, j: int):
        return (place.strides[0], i), (place.strides[1], j)

    def results_out(self, M: Value, place: Place, strange: Sequence[Value]):
        """Aᵀ M A of one tile, bias and activation. Returns `strange`, which a NaN or
        an inf in a corner of the tile makes NaN: each comes through one of them."""
        e, w, facts = self.e, self.w, self.facts
        zero = e.zero(w.dtype, w.lanes)
        corners = {(i, j) for i in (0, w.tile[0] - 1) for j in (0, w.tile[1] - 1)}
        first, last = self.channels
        carry = list(strange)
        with e.loop("k", last, start=first, step=w.lanes, carry=carry) as k:
            mask = self.mask(k.index, w.channels)
            bias = e.load(self.pointer["bias"] + k.index, w.lanes)
            here, column = e.opaque(place.pointer + k.index), e.opaque(M + k.index)

            def load(i: int, j: int) -> Value:
                return e.load(self.position(column, i, j), w.lanes)

            def store(i: int, j: int, value: Value) -> None:
                if (i, j) in corners:
                    k.carry = [e.fma(value, zero, k.carry[0])]
                if facts.bias:
                    value = value + bias
                if facts.activation == "relu":
                    value = e.select(value < zero, zero, value)
                e.store(value, e.at(here, *self.steps(place, i, j)), mask)

            transform(e, *w.matrices(0), load, store)
        return k.carry

    # The products ----------------------------------------------------------------

    def sum_results(self, newest: Value) -> None:
        """M[p] = Σ over the ring of V[p] · U[p]: tiles × channels in registers.

        The sum is taken in parts that are added in memory: the rounding error grows
        with the root of a part's length, and Aᵀ makes it larger.
        """
        e, w, facts = self.e, self.w, self.facts
        V, M, _, _ = self.sections
        part = -(-w.source_channels // max(1, round(w.source_channels / PART)))
        whole = w.source_channels // part * part
        with (
            e.loop("position", w.positions) as p,
            e.loop("block", self.k_blocks[1], start=self.k_blocks[0]) as b,
            e.loop("depth_tap", w.depth) as k,
        ):
            u = self.weights_of(p.index, b.index, k.index)
            slot = (newest + 1 + k.index) % w.depth
            x = V + (slot * facts.slice + p.index * facts.source_pitch)
            to = M + (p.index * facts.result_pitch + b.index * w.block)
            with e.loop("part", whole, step=part) as c:
                fresh = (k.index < 1) & (c.index < 1)
                self.sum_part(x + c.index, u + c.index * w.block, part, to, fresh)
            if rest := w.source_channels - whole:
                never = e.constant(False, "truth")
                self.sum_part(x + whole, u + whole * w.block, rest, to, never)

    def weights_of(self, position: Value, block: Value, depth_tap: Value) -> Value:
        """Where these rows of U, or of its sums, start."""
        w = self.w
        number = block * w.depth + depth_tap
        return self.sums + (position * w.pitch + number * (w.rows * w.block))

    def sum_part(self, x: Value, u: Value, terms: int, to: Value, fresh: Value) -> None:
        """Add `terms` source channels to the sums of all tiles and one block."""
        e, w, facts = self.e, self.w, self.facts
        zero = e.zero(w.dtype, w.lanes)
        with e.loop("row", self.count, step=facts.width) as r:
            here = e.opaque(x + r.index * facts.source_row)
            sums = [zero] * (facts.width * w.vectors)
            sums = self.sum_channels(here, e.opaque(u), terms, sums)
            place = e.opaque(to + r.index * facts.result_row)
            places = [
                place + (t * facts.result_row + v * w.lanes)
                for t in range(facts.width)
                for v in range(w.vectors)
            ]
            self.add(sums, places, fresh)

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
            U_p = self.weights_of(p.index, b.index, k.index)
            with e.loop("row", w.rows, step=facts.width) as r:
                x, y = e.opaque(V_p + r.index), e.opaque(M_p)
                to = e.opaque(U_p + r.index * w.block)
                sums = [zero] * (facts.width * w.vectors)
                with e.loop("part", self.count, step=TILES) as part:
                    last = e.minimum(part.index + TILES, self.count)
                    with e.loop("tile", last, start=part.index, carry=sums) as t:
                        t.carry = self.outer(
                            x + t.index * facts.source_row,
                            y + t.index * facts.result_row,
                            t.carry,
                        )
                    places = [to + i * w.lanes for i in range(len(sums))]
                    self.add(t.carry, places, fresh & (part.index < 1))

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
