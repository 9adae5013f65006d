"""In which order a tensor is filled, and which dtypes a distribution takes."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from .arithmetic import FLOATS


def in_memory_order(
    shape: Sequence[int],
    strides: Sequence[int] | None,
    draw: Callable[[int], np.ndarray],
) -> np.ndarray:
    """An array of `shape` whose values were drawn in the order of memory.

    torch fills a tensor that is not contiguous in the order of its strides (largest
    first), so the n-th number goes to the n-th place in memory. `strides` None means
    contiguous; bytes or elements, only their order counts.
    """
    shape = tuple(shape)
    count = math.prod(shape)
    if strides is None:
        return draw(count).reshape(shape)
    axes = sorted(range(len(shape)), key=lambda axis: -strides[axis])
    values = draw(count).reshape([shape[axis] for axis in axes])
    return values.transpose(np.argsort(axes)) if axes else values


def require_float(name: str, dtype: str) -> None:
    """Refuse a distribution over the reals for an integer dtype, as torch does."""
    if dtype not in FLOATS:
        raise NotImplementedError(
            f"{name}: draws from {', '.join(FLOATS)}, not from {dtype}."
        )
