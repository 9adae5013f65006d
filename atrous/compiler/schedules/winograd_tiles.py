"""Winograd's tiles: where they lie, and their transforms in and out.

A tile that the border or the edge cuts is transformed from, or to, a copy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from ..emit import Emitter, Value
from .packing import SlabAxis, SlabSource, pack_slab
from .winograd_transforms import transform, transposed, watched
from .winograd_weights import Weights


@dataclass
class Place:
    """Where a tile lies: a pointer, the strides of its two axes, and whether it is
    the copy of a tile that the border cuts."""

    pointer: Value
    strides: tuple[Value, Value]
    cut: Value


class Tiles:
    """The transforms of winograd_kernels.Writer, which says where things lie."""

    e: Emitter
    w: Weights
    facts: Any
    pointer: dict[str, Value]
    number: dict[str, Value]
    sections: list[Value]  # V, M, a source tile, a result tile
    first: Value  # tile of the block
    count: Value  # tiles of the block
    channels: tuple[Value, Value]  # the chunk's

    def tile(self, index: Value) -> tuple[Value, Value, Value]:
        """A tile's number -> image, and its first output on both axes."""
        _, phases_y, phases_x = self.facts.phases
        tiles_y, tiles_x = self.number["tiles_y"], self.number["tiles_x"]
        rows, columns = tiles_y * phases_y, tiles_x * phases_x
        row = index / columns
        y = self.along(row % rows, self.w.tile[0], phases_y)
        x = self.along(index % columns, self.w.tile[1], phases_x)
        return row / rows, y, x

    @staticmethod
    def along(index: Value, outputs: int, phases: int) -> Value:
        """One axis: the first tile of each phase, then the second of each …"""
        if phases == 1:
            return index * outputs
        return index / phases * (outputs * phases) + index % phases

    def apart(self, *names: str) -> tuple[Value, Value]:
        """Strides between the places of a tile, on both axes."""
        _, *phases = self.facts.phases
        y, x = (self.number[n] * p for n, p in zip(names, phases, strict=True))
        return y, x

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
        e = self.e
        V = self.sections[0] + slot * self.facts.slice
        if self.facts.rows:
            self.transform_rows(V)
            return
        z = e.load(self.pointer["maps"] + depth)
        with e.loop("tile", self.count) as t:
            place = self.source_tile(self.first + t.index, z)
            self.source_in(place, V + t.index * self.facts.source_row)

    def source_in(self, place: Place, row: Value) -> None:
        """Bᵀ x B of one tile to its row of V."""
        e, w, facts = self.e, self.w, self.facts
        with e.loop("c", w.source_channels, step=w.lanes) as c:
            mask = self.mask(c.index, w.source_channels)
            here, to = e.opaque(place.pointer + c.index), e.opaque(row + c.index)

            def load(i: int, j: int) -> Value:
                return e.load(e.at(here, *self.steps(place, i, j)), w.lanes, mask)

            def store(i: int, j: int, value: Value) -> None:
                position = i * w.spots[1] + j
                e.store(value, to + position * facts.source_pitch)

            transform(e, *w.matrices(2), load, store)

    def transform_rows(self, V: Value) -> None:
        """The same in one dimension, from rows of one channel each: what the block
        reads of an image is transposed, border included, then cut into tiles."""
        e, w, number = self.e, self.w, self.number
        phases, apart = self.facts.phases[2], w.tile[1] * w.steps[1]
        tiles, end = number["tiles_x"] * phases, self.first + self.count
        channels = w.source_channels
        images = (end + (tiles - 1)) / tiles
        with e.loop("image", images, start=self.first / tiles) as image:
            before = image.index * tiles
            first = e.maximum(self.first - before, 0)
            last = e.minimum(end - before, tiles)
            start = first / phases
            most = (last - 1) / phases + 1 - start  # tiles of one phase
            axis = SlabAxis(
                start=start * (apart * phases),
                length=((most * w.tile[1] - 1) * w.steps[1] + w.taps[1]) * phases,
                source_stride=number["source_x"],
                slab_stride=e.constant(channels, "int64"),
                before=number["before_x"],
                size=number["size_x"],
            )
            lies = SlabSource(
                "planes", channels, channels, number["source_channel"], self.facts.rows
            )
            source = e.at(self.pointer["source"], (image.index, number["source_batch"]))
            pack_slab(e, source, self.sections[2], [axis], lies)
            row = V + (before + first - self.first) * self.facts.source_row
            steps = axis.slab_stride * phases, axis.slab_stride * phases
            with e.loop("tile", last - first) as t:
                at = self.along(first + t.index, apart, phases)
                tile = self.sections[2] + (at - axis.start) * channels
                place = Place(tile, steps, t.index)
                self.source_in(place, row + t.index * self.facts.source_row)

    def source_tile(self, index: Value, z: Value) -> Place:
        """Where a tile is read: in the source or, if the border cuts it, as a copy."""
        e, w, number = self.e, self.w, self.number
        image, y, x = self.tile(index)
        y, x = y * w.steps[0], x * w.steps[1]
        top, left = y - number["before_y"], x - number["before_x"]
        inside = (
            (z >= 0)
            & (top >= 0)
            & (left >= 0)
            & (top + (w.reach[0] - 1) * self.facts.phases[1] < number["size_y"])
            & (left + (w.reach[1] - 1) * self.facts.phases[2] < number["size_x"])
        )
        plane = e.at(
            self.pointer["source"],
            (image, number["source_batch"]),
            (z, number["source_z"]),
        )
        corner = e.at(plane, (top, number["source_y"]), (left, number["source_x"]))
        there = Place(corner, self.apart("source_y", "source_x"), z)
        scratch, row = self.sections[2], self.facts.source_row
        with e.when(~inside, "the border cuts the tile"):
            self.copy_source(plane, z, y, x, scratch)
        return self.place(~inside, scratch, row, w.reach[1], there)

    def copy_source(self, plane, z, y, x, scratch) -> None:
        """A tile with its border filled in, by the maps."""
        e, w, number, maps = self.e, self.w, self.number, self.pointer["maps"]
        row, (_, *phases) = self.facts.source_row, self.facts.phases
        with e.loop("i", w.reach[0]) as i, e.loop("j", w.reach[1]) as j:
            to = scratch + (i.index * w.reach[1] + j.index) * row
            from_y = e.load(maps + (number["map_y"] + y + i.index * phases[0]))
            from_x = e.load(maps + (number["map_x"] + x + j.index * phases[1]))
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
        (_, *phases), strides = facts.phases, self.apart("result_y", "result_x")
        strange = [e.zero(self.w.dtype, self.w.lanes)]
        with e.loop("tile", self.count, carry=[] if inwards else strange) as t:
            image, y, x = self.tile(self.first + t.index)
            here = e.at(
                self.pointer["result"],
                (image, number["result_batch"]),
                (depth, number["result_z"]),
                (y, number["result_y"]),
                (x, number["result_x"]),
            )
            rows, columns = (
                e.minimum((number[n] - first + (p - 1)) / p, outputs)
                for n, first, p, outputs in zip(
                    ("count_y", "count_x"), (y, x), phases, self.w.tile, strict=True
                )
            )
            rows.label, columns.label = "rows that exist", "columns that exist"
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
        e, w = self.e, self.w
        down, right = self.apart("result_y", "result_x")
        with e.loop("i", rows) as i, e.loop("j", columns) as j:
            mine = (i.index * w.tile[1] + j.index) * self.facts.result_row
            outer = e.at(there, (i.index, down), (j.index, right))
            first, last = self.channels
            ends = [outer + first, scratch + mine + first]
            to, source = reversed(ends) if inwards else ends
            e.copy(to, source, last - first)

    def position(self, base: Value, i: int, j: int) -> Value:
        return base + (i * self.w.spots[1] + j) * self.facts.result_pitch

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
        an inf in some outputs, mostly the corners, makes NaN: each of M comes through
        one of them."""
        e, w, facts = self.e, self.w, self.facts
        zero = e.zero(w.dtype, w.lanes)
        down, across = (watched(matrix) for matrix in w.matrices(0))
        first, last = self.channels
        carry = list(strange)
        with e.loop("k", last, start=first, step=w.lanes, carry=carry) as k:
            mask = self.mask(k.index, w.channels)
            bias = e.load(self.pointer["bias"] + k.index, w.lanes)
            here, column = e.opaque(place.pointer + k.index), e.opaque(M + k.index)

            def load(i: int, j: int) -> Value:
                return e.load(self.position(column, i, j), w.lanes)

            def store(i: int, j: int, value: Value) -> None:
                if i in down and j in across:
                    k.carry = [e.fma(value, zero, k.carry[0])]
                if facts.bias:
                    value = value + bias
                if facts.activation == "relu":
                    value = e.select(value < zero, zero, value)
                to = e.at(here, *self.steps(place, i, j))
                if facts.streams:
                    e.stream(value, to)
                else:
                    e.store(value, to, mask)

            transform(e, *w.matrices(0), load, store)
        return k.carry
