"""Convolution in groups of few channels: rows slide, a source channel at a time.

A vector holds results of one group, so that it is no longer than the group is wide: on
a machine that computes halves of vectors at half the cost none of it is lost. Of each
source channel a value is spread over the vector once, for all taps of the row.
"""

from functools import lru_cache

from ..emit import ITEMSIZES
from ..target import Target
from . import conv_direct, conv_sliding, conv_sliding_weights, conv_weights
from .conv_sliding import pack as pack
from .conv_sliding_weights import gather_sums as gather_sums
from .conv_taps import Taps

#: Results of more channels a group are conv_direct's: several vectors share x there.
MOST_VECTORS = 2
#: Pixels of a tile, by the number of registers.
MOST_PIXELS = {32: 22, 16: 10}


def handles(taps: Taps, target: Target) -> bool:
    """Whether groups of few channels fill vectors, and there are rows of taps."""
    lanes = target.lanes(ITEMSIZES[taps.dtype])
    return (
        taps.groups > 1
        and 1 < len(taps.axes[-1].taps) <= conv_sliding.SEGMENT
        and taps.source_channels > 1
        and max(2, lanes // 4) <= taps.channels <= MOST_VECTORS * lanes
    )


def _lanes(taps: Taps, target: Target) -> int:
    """Result channels at a time: what wastes least of the vectors."""
    full = target.lanes(ITEMSIZES[taps.dtype])

    def cost(lanes: int) -> float:
        each = lanes / full if target.halves and lanes * 2 >= full else 1.0
        return -(-taps.channels // lanes) * each

    shorter = (lanes for lanes in (full, full // 2, full // 4) if lanes > 1)
    return min(shorter, key=cost)


@lru_cache(maxsize=4096)
def plan(
    taps: Taps,
    source_strides: tuple[int, ...],
    result_strides: tuple[int, ...],
    target: Target,
) -> conv_direct.Plan:
    """As conv_sliding.plan."""
    lanes, most = _lanes(taps, target), MOST_PIXELS[target.registers]
    strides = source_strides, result_strides
    return conv_sliding.plan(taps, lanes, most, *strides, target, spreads=True)


@lru_cache(maxsize=4096)
def gradient_plan(
    taps: Taps, x_strides: tuple[int, ...], y_strides: tuple[int, ...], target: Target
) -> conv_weights.Plan:
    """As conv_sliding_weights.plan."""
    lanes, most = _lanes(taps, target), MOST_PIXELS[target.registers]
    strides = x_strides, y_strides
    return conv_sliding_weights.plan(taps, lanes, most, *strides, target, spreads=True)
