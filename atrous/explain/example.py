"""Small whole numbers for a layer that has none of its own: sums that one can check."""

from __future__ import annotations

import math

import numpy as np

from .setting import Setting
from .sizes import fault

USUAL = {1: 8, 2: 6, 3: 4}  # cells along an axis, by the number of axes


def numbers(shape: tuple[int, ...], span: int) -> np.ndarray:
    """float32: cell i in C order holds (5·i + ⌊i/3⌋) mod (2·span + 1) − span.

    >>> numbers((2, 3), 3).astype("i4").tolist()
    [[-3, 2, 0], [-1, -3, 2]]
    """
    i = np.arange(math.prod(shape))
    values = (5 * i + i // 3) % (2 * span + 1) - span
    return values.astype(np.float32).reshape(shape)


def example(setting: Setting, size: tuple[int, ...]) -> dict[str, np.ndarray | None]:
    """Input within ±3, weight within ±2, bias within ±1, for an input of spatial size.

    input (in, *size), weight as the setting says, bias (out,) or None.
    """
    return {
        "input": numbers((setting.in_channels, *size), 3),
        "weight": numbers(setting.weight_shape, 2),
        "bias": numbers((setting.out_channels,), 1) if setting.bias else None,
    }


def usual_size(setting: Setting) -> tuple[int, ...]:
    """A size that shows the setting: at least two outputs an axis, if any size does."""
    size = [USUAL[setting.rank]] * setting.rank
    for axis, (before, after) in enumerate(setting.border):
        if setting.transposed:
            size[axis] = max(3, size[axis] // 2)
            continue
        least = setting.spans[axis] + setting.stride[axis] - before - after
        size[axis] = max(size[axis], least, before + 1, after + 1)
    while fault(setting, tuple(size)) and max(size) < 64:
        size = [cells + 1 for cells in size]
    return tuple(size)
