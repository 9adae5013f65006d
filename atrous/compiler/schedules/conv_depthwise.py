"""Depthwise convolution: one channel of x to one of y, so channels lie along vectors.

The taps of a row slide over a tile of pixels (see conv_sliding), so that a position is
loaded once, not once a tap, and the loads do not bind.
"""

from functools import lru_cache

from ..emit import ITEMSIZES
from ..target import Target
from . import conv_direct, conv_sliding, conv_sliding_weights, conv_weights
from .conv_sliding import pack as pack
from .conv_sliding_weights import gather_sums as gather_sums
from .conv_taps import Taps

#: Taps along a row that are unrolled at most; more are left to conv_direct.
MOST_TAPS = 32
#: Pixels of a tile, by the number of registers.
MOST_PIXELS = {32: 16, 16: 8}


def handles(taps: Taps, target: Target) -> bool:
    """Whether every group has one channel on both sides."""
    return (
        taps.source_channels == taps.channels == 1
        and taps.groups > 1
        and len(taps.axes[-1].taps) <= MOST_TAPS
    )


def _lanes(taps: Taps, target: Target) -> int:
    """Channels at a time: a register, or less where there are few."""
    lanes = target.lanes(ITEMSIZES[taps.dtype])
    while lanes > 2 and lanes // 2 >= taps.groups:
        lanes //= 2
    return lanes


@lru_cache(maxsize=4096)
def plan(
    taps: Taps,
    source_strides: tuple[int, ...],
    result_strides: tuple[int, ...],
    target: Target,
) -> conv_direct.Plan:
    """As conv_sliding.plan."""
    lanes, most = _lanes(taps, target), MOST_PIXELS[target.registers]
    return conv_sliding.plan(taps, lanes, most, source_strides, result_strides, target)


@lru_cache(maxsize=4096)
def gradient_plan(
    taps: Taps, x_strides: tuple[int, ...], y_strides: tuple[int, ...], target: Target
) -> conv_weights.Plan:
    """As conv_sliding_weights.plan."""
    lanes, most = _lanes(taps, target), MOST_PIXELS[target.registers]
    return conv_sliding_weights.plan(taps, lanes, most, x_strides, y_strides, target)
