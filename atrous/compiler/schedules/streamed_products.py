"""The products of conv_streamed: three kernels that read or write w once, in order.

Each keeps a tile of sums in registers: `long` of one side by `short` of the other, six
by four, or five by two where registers are few.

    Dots      y[o, p]         short rows of w × long patches, each sum a vector along c
    Outer     w[o, c]         long rows × short vectors, for each p: splat(y) · patch
    Spread    patches[p, c]   long patches × short vectors, for each o: splat(y) · w
"""

from contextlib import nullcontext
from dataclasses import dataclass

from ..emit import ITEMSIZES, Emitter, Kernel, Value
from ..target import Target
from .conv_dots import sums_of_lanes

#: Rows of w in one running sum (0002, exactness).
PART = 128


@dataclass(frozen=True)
class Tile:
    """The shape of a tile. Of patches it has `width`, or one more in the first tiles if
    some are `wider`."""

    dtype: str
    lanes: int
    long: int
    short: int
    width: int
    wider: bool

    @classmethod
    def of(cls, dtype: str, patches: int, target: Target) -> tuple["Tile", int]:
        """The tile for so many patches, and how many of them lie in wider tiles."""
        long, short = (6, 4) if target.registers >= 32 else (5, 2)
        width, wider = divmod(patches, -(-patches // long))
        lanes = target.lanes(ITEMSIZES[dtype])
        return cls(dtype, lanes, long, short, width, wider > 0), wider * (width + 1)

    @property
    def columns(self) -> int:
        """Columns of w in a tile that has vectors for its short side."""
        return self.short * self.lanes


class _Writer(Emitter):
    """The arguments that the kernels share, and walks over what they tile."""

    def __init__(self, name: str, tile: Tile, target: Target):
        super().__init__(name, target)
        self.tile, dtype = tile, tile.dtype
        self.w, self.y = self.pointer(0, dtype, "w"), self.pointer(1, dtype, "y")
        self.patches = self.pointer(2, dtype, "patches")
        self.places = self.pointer(3, "int64", "places")
        self.bias = self.pointer(4, dtype, "bias")
        self.terms, self.pitch = self.argument(5, "terms"), self.argument(6, "pitch")
        self.count = self.argument(7, "patches")
        self.in_wider = self.argument(8, "wider")
        self.rows, share = self.argument(9, "rows"), self.argument(10, "share")
        self.y_channel = self.argument(11, "y channel")
        self.block = self.argument(12, "block")
        self.first = self.chunk * share
        self.last = self.minimum(self.first + share, self.rows)

    def each_tile(self, body) -> None:
        """`body(patch, width)` for tiles that cover all patches once."""
        tile = self.tile
        spans: list[tuple] = [(tile.width, self.in_wider, self.count)]
        if tile.wider:
            spans.insert(0, (tile.width + 1, 0, self.in_wider))
        for width, start, stop in spans:
            with self.loop("patch", stop, start=start, step=width) as patch:
                body(patch.index, width)

    def each_block(self, body) -> None:
        """`body(first, last)` for blocks of columns of w: their patches stay in L2."""
        with self.loop("block", self.terms, step=self.block) as block:
            last = self.minimum(block.index + self.block, self.terms)
            body(block.index, last)

    def each_row_tile(self, count: int, body) -> None:
        """`body(rows)` for tiles of so many rows of w; the last may repeat its own."""
        with self.loop("row", self.last, start=self.first, step=count) as row:
            body([self.minimum(row.index + r, self.last - 1) for r in range(count)])

    def each_column_tile(self, first: Value, last: Value, body) -> None:
        """`body(column, masks)` for tiles of columns of w, the last of them short."""
        size = self.tile.columns
        whole = first + (last - first) // size * size
        with self.loop("column", whole, start=first, step=size) as column:
            body(column.index, [None] * self.tile.short)
        with self.loop("column", last, start=whole, step=size) as column:
            body(column.index, self.masks(last - column.index))

    def masks(self, left: Value) -> list[Value]:
        """For a tile's vectors, the lanes that are among the `left` next columns."""
        lanes = self.tile.lanes
        return [self.mask(left - v * lanes, lanes) for v in range(self.tile.short)]

    def vectors(self, place: Value, masks) -> list[Value]:
        """Neighbouring vectors from memory, each under its mask."""
        lanes = self.tile.lanes
        return [self.load(place + v * lanes, lanes, m) for v, m in enumerate(masks)]

    def keep(self, totals: list[Value], place: Value, masks) -> None:
        """Store neighbouring vectors."""
        for v, (total, mask) in enumerate(zip(totals, masks, strict=True)):
            self.store(total, place + v * self.tile.lanes, mask)

    def outer(self, scalars: list[Value], vectors: list[Value], totals) -> list[Value]:
        """totals + each scalar · each vector."""
        before, result = iter(totals), []
        for scalar in scalars:
            spread = self.splat(self.load(scalar), self.tile.lanes)
            result += [self.fma(spread, vector, next(before)) for vector in vectors]
        return result


@dataclass(frozen=True)
class Dots:
    """y, with its bias and activation; a chunk is a share of the rows of w."""

    tile: Tile
    bias: bool
    activation: str | None

    def build(self, target: Target) -> Kernel:
        e = _Writer("streamed_dots", self.tile, target)
        e.each_block(
            lambda first, last: e.each_row_tile(
                self.tile.short,
                lambda rows: e.each_tile(
                    lambda patch, width: self._sums(e, first, last, rows, patch, width)
                ),
            )
        )
        return e.finish()

    def _sums(self, e: _Writer, first, last, rows, patch: Value, width: int) -> None:
        """Add the products of a block of columns to the sums in y."""
        tile, lanes = self.tile, self.tile.lanes
        weights = [e.opaque(e.w + row * e.terms) for row in rows]
        patches = [e.opaque(e.patches + (patch + s) * e.pitch) for s in range(width)]

        def products(at: Value, mask, totals) -> list[Value]:
            vectors = [e.load(w + at, lanes, mask) for w in weights]
            before, result = iter(totals), []
            for each in patches:
                value = e.load(each + at, lanes, mask)
                result += [e.fma(value, w, next(before)) for w in vectors]
            return result

        totals = [e.zero(tile.dtype, lanes)] * (tile.short * width)
        whole = first + (last - first) // lanes * lanes
        with e.loop("c", whole, start=first, step=lanes, carry=totals) as c:
            c.carry = products(c.index, None, c.carry)
        with e.loop("c", last, start=whole, step=lanes, carry=c.carry) as c:
            c.carry = products(c.index, e.mask(last - c.index, lanes), c.carry)
        sums = _scalars(e, c.carry)
        fresh, done = first <= 0, last >= e.terms
        places = [e.y + e.load(e.places + (patch + s)) for s in range(width)]
        for r, row in enumerate(rows):
            with e.when(row > rows[r - 1]) if r else nullcontext():
                begin = e.load(e.bias + row) if self.bias else e.zero(tile.dtype)
                for s, place in enumerate(places):
                    y = place + row * e.y_channel
                    total = e.select(fresh, begin, e.load(y)) + sums[s * len(rows) + r]
                    under = finished(e, total, self.activation)
                    e.store(e.select(done, under, total), y)


@dataclass(frozen=True)
class Outer:
    """w; a chunk is a share of its rows."""

    tile: Tile

    def build(self, target: Target) -> Kernel:
        e = _Writer("streamed_outer", self.tile, target)
        e.each_block(
            lambda first, last: e.each_row_tile(
                self.tile.long,
                lambda rows: e.each_column_tile(
                    first,
                    last,
                    lambda column, masks: self._sums(e, rows, column, masks),
                ),
            )
        )
        return e.finish()

    def _sums(self, e: _Writer, rows, column: Value, masks) -> None:
        tile, size = self.tile, len(masks)
        y = [e.opaque(e.y + row * e.y_channel) for row in rows]
        patches = e.patches + column
        zeros = [e.zero(tile.dtype, tile.lanes)] * (tile.long * size)
        with e.loop("patch", e.count, carry=zeros) as patch:
            vectors = e.vectors(patches + patch.index * e.pitch, masks)
            place = e.load(e.places + patch.index)
            patch.carry = e.outer([each + place for each in y], vectors, patch.carry)
        for r, row in enumerate(rows):
            totals = patch.carry[r * size : (r + 1) * size]
            e.keep(totals, e.w + row * e.terms + column, masks)


@dataclass(frozen=True)
class Spread:
    """The patches of x; a chunk is a tile of their columns."""

    tile: Tile

    def build(self, target: Target) -> Kernel:
        e = _Writer("streamed_spread", self.tile, target)
        column = e.chunk * self.tile.columns
        left = e.terms - column
        whole = left >= self.tile.columns
        for all_or_some, masks in (
            (whole, [None] * self.tile.short),
            (~whole, e.masks(left)),
        ):
            with e.when(all_or_some):
                self._columns(e, column, masks)
        return e.finish()

    def _columns(self, e: _Writer, column: Value, masks) -> None:
        """A tile of columns of every patch: PART rows of w at a time, from L1."""
        zeros = [e.zero(self.tile.dtype, self.tile.lanes)] * self.tile.short
        with e.loop("patch", e.count) as patch:
            e.keep(zeros, e.patches + patch.index * e.pitch + column, masks)
        with e.loop("part", e.rows, step=PART) as part:
            last = e.minimum(part.index + PART, e.rows)
            e.each_tile(
                lambda patch, width: self._add(
                    e, part.index, last, column, masks, patch, width
                )
            )

    def _add(self, e: _Writer, first, last, column, masks, patch, width: int) -> None:
        tile, size = self.tile, len(masks)
        y = [e.opaque(e.y + e.load(e.places + (patch + s))) for s in range(width)]
        zeros = [e.zero(tile.dtype, tile.lanes)] * (width * size)
        with e.loop("row", last, start=first, carry=zeros) as row:
            weights = e.vectors(e.w + row.index * e.terms + column, masks)
            channel = row.index * e.y_channel
            row.carry = e.outer([each + channel for each in y], weights, row.carry)
        for s in range(width):
            place = e.patches + (patch + s) * e.pitch + column
            totals = row.carry[s * size : (s + 1) * size]
            kept = e.vectors(place, masks)
            e.keep([a + b for a, b in zip(kept, totals, strict=True)], place, masks)


def _scalars(e: Emitter, totals: list[Value]) -> list[Value]:
    """The sum of each vector's lanes."""
    lanes, sums = totals[0].type.lanes, []
    for first in range(0, len(totals), lanes):
        some = totals[first : first + lanes]
        together = sums_of_lanes(e, some)
        sums += [e.extract(together, lane) for lane in range(len(some))]
    return sums


def finished(e: Emitter, total: Value, activation: str | None) -> Value:
    """A sum under the activation; NaN stays NaN."""
    return e.select(total < 0, e.zero(total.type), total) if activation else total
