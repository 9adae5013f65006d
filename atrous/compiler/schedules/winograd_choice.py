"""Winograd convolution: which problems it can compute, with which tiles, at what cost.

Three taps on the last axes, at step 1: a tile of 4 × 4 results takes 36 products
instead of 144, in one dimension 6 instead of 12. Depth is summed directly (see
winograd_kernels), so that the error stays near the direct schedule's. The tile on each
axis is 4 or, where that would mostly compute what nobody asks for, less. With five taps
2 × 2 results take 36 products instead of 100, in one dimension 3 take 7 instead of 15.
At step 2 the even and the odd taps are two filters: 81 products instead of 144.
Dilated taps make grids of outputs that do not meet, each a problem of its own.
"""

from itertools import pairwise
from math import prod

from ..emit import ITEMSIZES
from .conv_taps import Axis, Taps
from .winograd_transforms import different, filters, matrices

#: Fewest channels on either side: those of a position must lie side by side.
FEW = 8
#: Most bytes of transformed weights, all parts of a gradient together.
WEIGHT_BYTES = 32 << 20
#: The outputs of a tile along one axis, if its filters have more than one tap, and the
#: most spots of one filter.
TILES, SPOTS = (4, 3, 2), 7
#: Most taps of an axis, and of depth, which is summed directly.
TAPS, DEPTH = 64, 5
#: Most positions of one filter in a tile: larger ones save products, and lose digits.
POSITIONS = 36
#: Most positions of all filters, in two dimensions and in one: transforms are unrolled.
IN_PLANE, IN_ROW = 81, 128
#: An axis that is not there: one position, one tap.
_UNIT = Axis(count=1, step=1, offsets=(0,), taps=(0,), size=1)


def handles(taps: Taps) -> bool:
    """Whether the schedule can compute this, one group after another: a few taps on
    each axis, at equal distances if the step is 1, else neighbours; more than one in a
    filter."""
    if len(taps.axes) > 3 or taps.dtype != "float32":
        return False
    if not taps.batch * taps.pixels or min(taps.source_channels, taps.channels) < FEW:
        return False
    z, y, x = three_axes(taps)
    return (
        max(_longest(y), _longest(x)) > 1
        and max(len(y.taps), len(x.taps)) <= TAPS
        and bool(_tiles(taps))
        and z.step <= len(z.taps) <= DEPTH
        and all(
            0 < spacing(axis) <= (axis.count if axis.step == 1 else 1) and axis.size > 0
            for axis in taps.axes
        )
    )


def _longest(axis: Axis) -> int:
    """Most taps of the filters at step 1 that an axis is made of."""
    return max(len(each) for each in filters(len(axis.taps), axis.step))


def spacing(axis: Axis) -> int:
    """How far apart neighbouring taps read; 0 if the distances differ."""
    distances = {b - a for a, b in pairwise(axis.offsets)} or {1}
    return max(0, distances.pop()) if len(distances) == 1 else 0


def phases_of(taps: Taps) -> tuple[int, int, int]:
    """Grids that do not meet, on each axis: taps at a distance d read every d-th place
    of the source, so that every d-th output is a convolution of neighbouring taps."""
    z, y, x = (spacing(axis) for axis in three_axes(taps))
    return z, y, x


# What steps cost, in the time of one lane's multiply-add at its peak (measured on a
# Zen 4): a product of transformed tiles; the transforms of one channel of a tile, and
# of one weight, for each position; a call. For the direct schedule: a product, and to
# pack a weight.
PRODUCT, TILE, WEIGHT, CALL = 1.25, 10, 50, 500_000
DIRECT, PACKED = 1.15, 100
#: How much of the direct schedule's time it must save at least.
GAIN = 0.95


def cost(taps: Taps, tile: tuple[int, int]) -> float:
    """The time it takes."""
    positions, filters = _positions(taps, tile)
    tiles = taps.batch * three_axes(taps)[0].count * prod(grid(taps, tile))
    tiles *= prod(phases_of(taps)[1:])
    pairs = _pairs(taps)
    each = PRODUCT * pairs + TILE * (taps.source_channels + taps.channels)
    return taps.groups * (positions * tiles * each + filters * WEIGHT * pairs + CALL)


def direct_cost(taps: Taps) -> float:
    """The direct schedule's time, in the same unit."""
    weights = taps.groups * taps.taps * taps.source_channels * taps.channels
    return DIRECT * taps.products + PACKED * weights


def fits(taps: Taps) -> bool:
    """Whether the schedule handles the problem, with transformed weights of a bounded
    size."""
    return handles(taps) and _weight_bytes(taps, choose_sizes(taps)) <= WEIGHT_BYTES


def reads_rows(taps: Taps) -> bool:
    """Whether the source may lie channel by channel, each of them in a dense row."""
    return len(taps.axes) == 1 and taps.source_channels % 8 == 0


def three_axes(taps: Taps) -> tuple[Axis, Axis, Axis]:
    """Depth and the two axes that are transformed."""
    z, y, x = (*[_UNIT] * (3 - len(taps.axes)), *taps.axes)
    return z, y, x


def grid(taps: Taps, tile: tuple[int, int]) -> tuple[int, int]:
    """Tiles on the two transformed axes, in one phase."""
    _, *axes = three_axes(taps)
    phases = phases_of(taps)[1:]
    y, x = (
        -(-axis.count // (phase * outputs))
        for axis, phase, outputs in zip(axes, phases, tile, strict=True)
    )
    return y, x


def _positions(taps: Taps, tile: tuple[int, int]) -> tuple[int, int]:
    """Products of a tile, and how many of their weights differ."""
    axes = zip(tile, three_axes(taps)[1:], strict=True)
    facts = [(outputs, len(axis.taps), axis.step) for outputs, axis in axes]
    all_rows = prod(len(matrices(*each)[1]) for each in facts)
    return all_rows, prod(len(different(*each)) for each in facts)


def _pairs(taps: Taps) -> int:
    """Weights of one position."""
    return taps.source_channels * taps.channels * len(three_axes(taps)[0].taps)


def _weight_bytes(taps: Taps, tile: tuple[int, int]) -> int:
    return _positions(taps, tile)[1] * _pairs(taps) * ITEMSIZES[taps.dtype]


def _tiles(taps: Taps) -> list[tuple[int, int]]:
    """The outputs that a tile may have on the two axes."""
    y, x = (_longest(axis) for axis in three_axes(taps)[1:])
    down, across = (
        [m for m in TILES if m + longest - 1 <= SPOTS] if longest > 1 else [1]
        for longest in (y, x)
    )
    tiles = [
        (m, n) for m in down for n in across if (m + y - 1) * (n + x - 1) <= POSITIONS
    ]
    limit = IN_ROW if len(taps.axes) == 1 else IN_PLANE
    return [tile for tile in tiles if _positions(taps, tile)[0] <= limit]


def choose_sizes(taps: Taps) -> tuple[int, int]:
    """The tile's outputs on the two axes: those that cost least, weights permitting."""

    def order(tile: tuple[int, int]) -> tuple[bool, float]:
        return _weight_bytes(taps, tile) > WEIGHT_BYTES, cost(taps, tile)

    return min(_tiles(taps), key=order)
