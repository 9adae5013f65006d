"""Winograd's weights: how the transformed ones lie, and the kernels that make them.

The gradient's kernel goes the other way: from sums for each position back to taps.
"""

from dataclasses import dataclass
from math import prod

from ..emit import Emitter, Kernel, Value
from ..target import Target
from .winograd_transforms import Matrix, matrices, transform, transposed

#: Source channels that one chunk of these kernels takes.
WEIGHT_ROWS = 16


@dataclass(frozen=True)
class Weights:
    """The layout of transformed weights: [filter][block][depth tap][row][channel].

    `tile`, `taps` and `steps` are the outputs, taps and steps of the two transformed
    axes. `rows` are the source channels, of which the last ones may be spare. A filter
    is one position's weights; several positions may share it.
    """

    dtype: str
    tile: tuple[int, int]
    taps: tuple[int, int]
    steps: tuple[int, int]
    depth: int
    channels: int
    source_channels: int
    rows: int
    lanes: int
    vectors: int

    @property
    def reach(self) -> tuple[int, int]:
        """Inputs of a tile on each axis."""
        y, x = (len(matrix[0]) for matrix in self.matrices(2))
        return y, x

    @property
    def spots(self) -> tuple[int, int]:
        """Positions of a transformed tile on each axis."""
        y, x = (len(matrix) for matrix in self.matrices(2))
        return y, x

    @property
    def positions(self) -> int:
        return prod(self.spots)

    @property
    def different(self) -> tuple[int, int]:
        """Filters on each axis."""
        y, x = (len(matrix) for matrix in self.filter_matrices())
        return y, x

    @property
    def filters(self) -> int:
        return prod(self.different)

    def filter_of_position(self) -> list[int]:
        """The filter of each position."""
        y, x = (
            [unique.index(row) for row in matrix]
            for matrix, unique in zip(
                self.matrices(1), self.filter_matrices(), strict=True
            )
        )
        return [i * self.different[1] + j for i in y for j in x]

    @property
    def block(self) -> int:
        """Channels in a block."""
        return self.lanes * self.vectors

    @property
    def blocks(self) -> int:
        return -(-self.channels // self.block)

    @property
    def pitch(self) -> int:
        """Elements between filters: no multiple of a page, or all of them would
        compete for the same cache sets."""
        return self.blocks * self.depth * self.rows * self.block + 16

    @property
    def size(self) -> int:
        """Elements of all filters."""
        return self.filters * self.pitch

    @property
    def chunks(self) -> int:
        """Chunks of the kernels that transform weights."""
        return self.depth * self.blocks * -(-self.source_channels // WEIGHT_ROWS)

    def matrices(self, which: int) -> tuple[Matrix, Matrix]:
        """Aᵀ (0), G (1) or Bᵀ (2) of both axes."""
        axes = zip(self.tile, self.taps, self.steps, strict=True)
        y, x = (matrices(m, r, s)[which] for m, r, s in axes)
        return y, x

    def filter_matrices(self) -> tuple[Matrix, Matrix]:
        """G of both axes, each of its rows once."""
        y, x = (tuple(dict.fromkeys(matrix)) for matrix in self.matrices(1))
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

            def place_of(i: int, j: int) -> Value:
                return place + (i * w.different[1] + j) * w.pitch

            if self.gradient:
                self._out(e, tap, place, steps, mask, number["parts"])
            else:
                transform(
                    e,
                    *w.filter_matrices(),
                    lambda i, j: e.cast(e.gather(tap(i, j), steps, mask), "float64"),
                    lambda i, j, value: e.store(e.cast(value, w.dtype), place_of(i, j)),
                )
        return e.finish()

    def _out(self, e: Emitter, tap, place: Value, steps, mask, parts: Value) -> None:
        w = self.weights
        left, right = w.filter_matrices()
        totals = e.scratch("float64", w.filters * w.lanes, "totals")
        with e.loop("filter", w.filters) as p:
            first = place + p.index * w.pitch
            carried = [e.cast(e.load(first, w.lanes), "float64")]
            with e.loop("part", parts, start=1, carry=carried) as part:
                more = e.load(first + part.index * w.size, w.lanes)
                part.carry = [part.carry[0] + e.cast(more, "float64")]
            e.store(part.carry[0], totals + p.index * w.lanes)

        def total(i: int, j: int) -> Value:
            return e.load(totals + (i * w.different[1] + j) * w.lanes, w.lanes)

        transform(
            e,
            transposed(left),
            transposed(right),
            total,
            lambda i, j, value: e.scatter(
                e.cast(value, w.dtype), tap(i, j), steps, mask
            ),
        )
