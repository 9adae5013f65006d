"""The products of conv_streamed: three kernels that read or write w once, in order.

Each keeps a tile of sums in registers: `long` of one side by `short` of the other, six
by four, or five by two where registers are few.

    Dots      y[o, p]         short rows of w × long patches, each sum a vector along c
    Outer     w[o, c]         long rows × short vectors, for each p: splat(y) · patch
    Spread    patches[p, c]   long patches × short vectors, for each o: splat(y) · w
"""

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

    def each_row_tile(self, rows: int, body) -> None:
        """`body(row)` for tiles of so many rows of w; the last may repeat some."""
        with self.loop("row", self.last, start=self.first, step=rows) as row:
            body(self.minimum(row.index, self.rows - rows))

    def each_column_tile(self, body) -> None:
        """`body(column, masks)` for tiles of columns of w, the last of them short."""
        size = self.tile.columns
        whole = self.terms // size * size
        with self.loop("column", whole, step=size) as column:
            body(column.index, [None] * self.tile.short)
        with self.loop("column", self.terms, start=whole, step=size) as column:
            body(column.index, self.masks(self.terms - column.index))

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
        e.each_row_tile(
            self.tile.short,
            lambda row: e.each_tile(
                lambda patch, width: self._sums(e, row, patch, width)
            ),
        )
        return e.finish()

    def _sums(self, e: _Writer, row: Value, patch: Value, width: int) -> None:
        tile, lanes = self.tile, self.tile.lanes
        rows = [e.opaque(e.w + (row + r) * e.terms) for r in range(tile.short)]
        patches = [e.opaque(e.patches + (patch + s) * e.pitch) for s in range(width)]

        def products(at: Value, mask, totals) -> list[Value]:
            weights = [e.load(w + at, lanes, mask) for w in rows]
            before, result = iter(totals), []
            for each in patches:
                value = e.load(each + at, lanes, mask)
                result += [e.fma(value, w, next(before)) for w in weights]
            return result

        totals = [e.zero(tile.dtype, lanes)] * (tile.short * width)
        whole = e.terms // lanes * lanes
        with e.loop("c", whole, step=lanes, carry=totals) as c:
            c.carry = products(c.index, None, c.carry)
        with e.loop("c", e.terms, start=whole, step=lanes, carry=c.carry) as c:
            c.carry = products(c.index, e.mask(e.terms - c.index, lanes), c.carry)
        sums = iter(_scalars(e, c.carry))
        for s in range(width):
            y = e.y + e.load(e.places + (patch + s))
            for r in range(tile.short):
                total = next(sums)
                if self.bias:
                    total = total + e.load(e.bias + (row + r))
                total = finished(e, total, self.activation)
                e.store(total, y + (row + r) * e.y_channel)


@dataclass(frozen=True)
class Outer:
    """w; a chunk is a share of its rows."""

    tile: Tile

    def build(self, target: Target) -> Kernel:
        e = _Writer("streamed_outer", self.tile, target)
        e.each_row_tile(
            self.tile.long,
            lambda row: e.each_column_tile(
                lambda column, masks: self._sums(e, row, column, masks)
            ),
        )
        return e.finish()

    def _sums(self, e: _Writer, row: Value, column: Value, masks) -> None:
        tile, size = self.tile, len(masks)
        y = [e.opaque(e.y + (row + r) * e.y_channel) for r in range(tile.long)]
        patches = e.patches + column
        zeros = [e.zero(tile.dtype, tile.lanes)] * (tile.long * size)
        with e.loop("patch", e.count, carry=zeros) as patch:
            vectors = e.vectors(patches + patch.index * e.pitch, masks)
            place = e.load(e.places + patch.index)
            patch.carry = e.outer([each + place for each in y], vectors, patch.carry)
        for r in range(tile.long):
            totals = patch.carry[r * size : (r + 1) * size]
            e.keep(totals, e.w + (row + r) * e.terms + column, masks)


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
