"""Moving elements without computing: copies, through the generated strided copy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import compiler, dtypes
from ..compiler import memory
from ..compiler.layout import broadcast_strides, memory_order
from ..dtypes import dtype
from ..tensor import Tensor


def move(source: np.ndarray, target: np.ndarray, kind: dtype) -> None:
    """target[...] = source, broadcast; both of dtype `kind`."""
    if target.size < compiler.SMALL:
        np.copyto(target, source)
        return
    compiler.pointwise(("in", 0), source, dtypes=(kind.name,), out=target)


def strided(array: np.ndarray, shape, strides) -> np.ndarray:
    """Another walk over the memory of `array` from its start; steps in bytes."""
    if array.flags.c_contiguous:  # NumPy's own function takes ten times as long
        return np.ndarray(shape, array.dtype, array, 0, strides)
    return np.lib.stride_tricks.as_strided(array, shape, strides)


def copied(source: np.ndarray, kind: dtype) -> np.ndarray:
    """A copy in memory of its own, in logical (C) order."""
    target = memory.empty(source.shape, source.dtype)
    move(source, target, kind)
    return target


def order_of(array: np.ndarray) -> tuple[int, ...] | None:
    """The axes from the outermost in memory to the innermost; None for C's order."""
    if array.flags.c_contiguous:
        return None
    steps = broadcast_strides(array, array.shape)
    order = memory_order(array.ndim, (steps,))
    return None if order == tuple(range(array.ndim)) else order


def empty_like(array: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Fresh memory of `shape` in the order of `array`, which has as many axes."""
    return memory.empty(shape, array.dtype, order_of(array))


def filled(shape: Sequence[int], kind: dtype, value=0, order=None) -> np.ndarray:
    """Fresh memory, every element `value`."""
    array = memory.empty(shape, kind.storage, order)
    move(np.asarray(scalar(value, kind)), array, kind)
    return array


def zeros_of(shape: Sequence[int], kind: dtype) -> Tensor:
    """A tensor of zeros, to write into."""
    return Tensor._of(filled(shape, kind), kind)


def scalar(value, kind: dtype):
    """A number as the memory of `kind` holds it; RuntimeError if it does not fit."""
    if kind is dtypes.bfloat16:
        return dtypes.narrow(np.asarray(value, np.float32))[()]
    if kind.is_floating_point:
        with np.errstate(over="ignore"):
            return np.asarray(value, np.float64).astype(kind.storage)[()]
    if kind is dtypes.bool_:
        return bool(value)
    return _integer(value, kind)


def _integer(value, kind: dtype):
    limits = np.iinfo(kind.storage)
    try:
        whole = int(value)
    except (OverflowError, ValueError):  # infinity, NaN
        whole = None
    # As in torch, a negative number wraps around in an unsigned type.
    low = -limits.max - 1 if kind is dtypes.uint8 else limits.min
    if whole is None or not low <= whole <= limits.max:
        raise RuntimeError(
            f"value cannot be converted to type {kind.name} without overflow: {value}"
        )
    return np.asarray(whole, np.int64).astype(kind.storage)[()]
