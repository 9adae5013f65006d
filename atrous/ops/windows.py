"""Views by strides: any walk over the storage, and sliding windows."""

from __future__ import annotations

import numpy as np

from .. import compiler
from ..autograd import record
from ..tensor import Tensor
from .arguments import axis, integers
from .copying import filled, strided, zeros_of
from .keys import at
from .views import derived_view

__all__ = ["as_strided"]


def as_strided(
    input: Tensor, size, stride, storage_offset: int | None = None
) -> Tensor:
    """A view of the storage by sizes, steps and offset, in elements."""
    size = integers(size, "as_strided", "size")
    stride = integers(stride, "as_strided", "stride")
    if len(size) != len(stride):
        raise RuntimeError(
            f"mismatch in length of strides and shape: {list(stride)} and {list(size)}"
        )
    if min(stride, default=0) < 0:
        raise RuntimeError(
            "as_strided: Negative strides are not supported at the moment, got strides:"
            f" {list(stride)}"
        )
    offset = input.storage_offset() if storage_offset is None else storage_offset
    input._storage.rewrite()
    needed = 0 if 0 in size else 1 + offset + _span(size, stride)
    held = _elements(input._storage.array)
    if needed > held:
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset"
            f" {offset} require {needed} elements, the storage has {held}."
        )
    array = input._storage.strided(size, stride, offset if needed else 0)
    geometry = tuple(input.shape), input.stride(), input.storage_offset()
    return derived_view(
        input,
        array,
        lambda base: as_strided(base, size, stride, offset),
        "AsStridedBackward0",
        lambda g: _scattered(g, (size, stride, offset), geometry, held),
    )


def _span(size, stride) -> int:
    pairs = zip(size, stride, strict=True)
    return sum((length - 1) * step for length, step in pairs)


def _elements(array: np.ndarray) -> int:
    """From the first element of the memory to the last."""
    steps = [step // array.itemsize for step in array.strides]
    return 1 + _span(array.shape, steps) if array.size else 0


def _places(size, stride, offset: int) -> Tensor:
    """The number in the storage of each element of a strided view."""
    total = np.full((), offset, np.int64)
    for length, step in zip(size, stride, strict=True):
        total = total[..., None] + np.arange(length) * step
    return Tensor._of(total.reshape(-1))


def _scattered(g: Tensor, view: tuple, geometry: tuple, held: int) -> Tensor:
    """The storage's gradient, summed where the view overlaps, read as the input."""
    storage = zeros_of((held,), g.dtype)
    storage = storage.index_add(0, _places(*view), g.reshape(-1))
    return storage[_places(*geometry)].reshape(geometry[0])


# Sliding windows


def unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """All windows of `size` elements along an axis, `step` apart; a new last axis."""
    array = input._array
    place = axis(dimension, array.ndim)
    held = array.shape[place] if array.ndim else 1
    if size < 0:
        raise RuntimeError(f"size is {size} but must be >= 0")
    if size > held:
        raise RuntimeError(
            f"maximum size for tensor at dimension {place} is {held} but size is {size}"
        )
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    if not array.ndim:
        return input.reshape(1)[:size]
    shape, strides = list(array.shape), list(array.strides)
    shape[place] = (held - size) // step + 1
    shape.append(size)
    strides.append(strides[place])
    strides[place] *= step
    before = array.shape
    return derived_view(
        input,
        strided(array, shape, strides),
        lambda base: unfold(base, place, size, step),
        "UnfoldBackward0",
        lambda g: unfold_adjoint(g, before, place, size, step),
    )


def unfold_adjoint(g: Tensor, shape, place: int, size: int, step: int) -> Tensor:
    """Every window added at its place, into zeros of `shape`."""
    total = filled(shape, g.dtype)
    for offset in range(size):
        count = g._array.shape[place]
        part = total[at(place, slice(offset, offset + step * (count - 1) + 1, step))]
        compiler.pointwise(
            ("add", ("in", 0), ("in", 1)),
            part,
            g._array[..., offset],
            dtypes=(g.dtype.name,) * 2,
            out=part,
        )
    out = Tensor._of(total, g.dtype)
    return record(
        out,
        "UnfoldBackwardBackward0",
        (g,),
        lambda gg: (lambda: unfold(gg, place, size, step),),
    )
