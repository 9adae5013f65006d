"""Winograd's weights: how the transformed ones lie, and the kernels that make them.

The gradient's kernel goes the other way: from sums for each filter back to taps.
"""

from dataclasses import dataclass
from math import prod

from ..emit import Emitter, Kernel, Value
from ..target import Target
from .pointwise import transposed as in_squares
from .winograd_transforms import Matrix, different, matrices, transform, transposed

#: Source channels that one chunk of these kernels takes, and of many taps.
WEIGHT_ROWS, FEW_ROWS, MANY_TAPS = 16, 8, 32
#: Rows of channels that are asked for ahead: filters are far apart in memory.
AHEAD = 3


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
            [rank[row] for row in matrix]
            for matrix, rank in zip(
                self.matrices(1),
                ({row: i for i, row in enumerate(g)} for g in self.filter_matrices()),
                strict=True,
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
    def all_taps(self) -> int:
        return self.depth * prod(self.taps)

    @property
    def group(self) -> int:
        """Source channels that a chunk of the weights' kernels takes, at least."""
        return WEIGHT_ROWS if self.all_taps <= MANY_TAPS else FEW_ROWS

    @property
    def groups(self) -> int:
        """The last one takes what is left over."""
        return max(1, self.source_channels // self.group)

    @property
    def chunks(self) -> int:
        """Chunks of the kernels that transform weights."""
        return self.blocks * self.groups

    def matrices(self, which: int) -> tuple[Matrix, Matrix]:
        """Aᵀ (0), G (1) or Bᵀ (2) of both axes."""
        axes = zip(self.tile, self.taps, self.steps, strict=True)
        y, x = (matrices(m, r, s)[which] for m, r, s in axes)
        return y, x

    def filter_matrices(self) -> tuple[Matrix, Matrix]:
        """G of both axes, each of its rows once."""
        y, x = (
            different(m, r, s)
            for m, r, s in zip(self.tile, self.taps, self.steps, strict=True)
        )
        return y, x


@dataclass(frozen=True)
class WeightTransform:
    """U = G w Gᵀ, or for the gradient w = Gᵀ U G with U the sum of several parts.

    U is made in float64: it is little work, and spares the result a part of its error.
    The gradient's w is contiguous; it is made lanes of channels at a time, in scratch
    memory, and then transposed to where it belongs.
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
        return _Writer(self.weights, target).kernel(self.gradient)


class _Writer:
    """Writes the kernel of one `WeightTransform`."""

    def __init__(self, weights: Weights, target: Target):
        self.w = weights
        self.e = e = Emitter("winograd_weights", target)
        self.pointer = {
            n: e.pointer(i, weights.dtype, n)
            for i, n in enumerate(WeightTransform.POINTERS)
        }
        self.number = {
            n: e.argument(len(self.pointer) + i, n)
            for i, n in enumerate(WeightTransform.NUMBERS)
        }

    def kernel(self, gradient: bool) -> Kernel:
        """Decode the chunk: a group of source channels and a block of channels."""
        e, w = self.e, self.w
        group, block = e.chunk % w.groups, e.chunk / w.groups
        first = group * w.group
        last = e.select(group + 1 < w.groups, first + w.group, w.source_channels)
        first.label, last.label = "first source channel", "end of source channels"
        if not gradient:
            self.filters_of(block, first, last)
            return e.finish()
        with e.loop("v", w.vectors) as v:
            channel = block * w.block + v.index * w.lanes
            channel.label = "channel"
            rows = self.taps_of(block, v.index, first, last)
            self.spread(rows, (last - first) * w.all_taps, channel, first)
        return e.finish()

    def row(self, block: Value, depth: Value, c: Value, v: Value) -> Value:
        """Where the first filter has these channels."""
        w = self.w
        row = (block * w.depth + depth) * w.rows + c
        place = self.pointer["transformed"] + (row * w.block + v * w.lanes)
        return self.e.opaque(place)

    def filter(self, place: Value, i: int, j: int) -> Value:
        return place + (i * self.w.different[1] + j) * self.w.pitch

    def filters_of(self, block, first, last) -> None:
        """U of a block of channels."""
        e, w, number = self.e, self.w, self.number
        steps = e.steps(w.lanes) * e.splat(number["w_channel"], w.lanes)
        with (
            e.loop("c", last, start=first) as c,
            e.loop("depth", w.depth) as depth,
            e.loop("v", w.vectors) as v,
        ):
            channel = block * w.block + v.index * w.lanes
            mask = None
            if w.channels % w.block:
                mask = e.mask(w.channels - channel, w.lanes)
            given = e.at(
                self.pointer["w"],
                (channel, number["w_channel"]),
                (c.index, number["w_source_channel"]),
                (depth.index, number["w_depth"]),
            )
            place = self.row(block, depth.index, c.index, v.index)

            def load(i: int, j: int) -> Value:
                tap = e.at(given, (number["w_y"], i), (number["w_x"], j))
                return e.cast(e.gather(tap, steps, mask), "float64")

            def store(i: int, j: int, value: Value) -> None:
                to = self.filter(place, i, j)
                e.prefetch(to + AHEAD * w.block)
                e.store(e.cast(value, w.dtype), to)

            transform(e, *w.filter_matrices(), load, store)

    def taps_of(self, block, v, first, last) -> Value:
        """The gradient's taps of some lanes of channels, row after row: the scratch
        memory that has them."""
        e, w = self.e, self.w
        most = w.source_channels if w.groups == 1 else 2 * w.group - 1
        rows = e.scratch(w.dtype, most * w.all_taps * w.lanes, "taps")
        totals = e.scratch(w.dtype, w.filters * w.lanes, "totals")
        left, right = w.filter_matrices()
        with e.loop("c", last, start=first) as c, e.loop("depth", w.depth) as depth:
            place = self.row(block, depth.index, c.index, v)
            self.add_parts(place, totals)
            row = (c.index - first) * w.depth + depth.index
            to = e.opaque(rows + row * (prod(w.taps) * w.lanes))

            def load(i: int, j: int) -> Value:
                return e.load(totals + (i * w.different[1] + j) * w.lanes, w.lanes)

            def store(i: int, j: int, value: Value) -> None:
                e.store(value, to + (i * w.taps[1] + j) * w.lanes)

            transform(e, transposed(left), transposed(right), load, store)
        return rows

    def add_parts(self, place: Value, totals: Value) -> None:
        """All parts of each filter's sums, for some lanes of one source channel."""
        e, w = self.e, self.w
        with e.loop("filter", w.filters) as p:
            first = place + p.index * w.pitch
            e.prefetch(first + AHEAD * w.block)
            sums = [e.load(first, w.lanes)]
            with e.loop("part", self.number["parts"], start=1, carry=sums) as part:
                here = first + part.index * w.size
                e.prefetch(here + AHEAD * w.block)
                more = e.load(here, w.lanes)
                part.carry = [part.carry[0] + more]
            e.store(part.carry[0], totals + p.index * w.lanes)

    def spread(self, rows: Value, count: Value, channel: Value, first: Value) -> None:
        """Squares of rows by lanes, transposed to w; the last one overlaps another."""
        e, w, number = self.e, self.w, self.number
        to = e.at(
            self.pointer["w"],
            (channel, number["w_channel"]),
            (first, number["w_source_channel"]),
        )
        with e.loop("square", count, step=w.lanes) as p:
            at = e.minimum(p.index, count - w.lanes)
            here, there = e.opaque(rows + at * w.lanes), e.opaque(to + at)
            given = [e.load(here + i * w.lanes, w.lanes) for i in range(w.lanes)]
            for i, vector in enumerate(in_squares(e, given)):
                place = there + number["w_channel"] * i
                if w.channels % w.block == 0:
                    e.store(vector, place)
                    continue
                with e.when(channel + i < w.channels, "the channel exists"):
                    e.store(vector, place)
