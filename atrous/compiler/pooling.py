"""Pooling of NumPy arrays, and its gradients.

    y, indices = pool_forward(spec, x)          indices of maxima, int64, as torch's
    y = pool_forward(spec, x, None)             maxima alone, without indices
    gx = pool_gradient(spec, grad, indices)     indices only of maxima
    y = pool_pick(spec, x, indices)             the gradient's gradient

Results lie channels-last.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod

import numpy as np

from . import cache, memory
from .elementwise import dtype_name, pointwise, walk_of
from .expression import storage
from .launch import Launch, remember
from .layout import blocks, broadcast_strides, pieces, streams
from .schedules.pool import PoolKernel
from .spec import PoolSpec

#: Windows of at most so many elements are unrolled.
UNROLLED = 16
#: From so many channels on, an array that lies otherwise is first laid channels-last:
#: the copy (tiled) costs half of what reading single lanes does.
REORDERED = 8


def pool_forward(spec: PoolSpec, x: np.ndarray, indices: str | None = "int64"):
    """The maxima of windows and their indices, or the averages.

    (batch, channels, *size) -> (batch, channels, *output_size). An index is the flat
    place in the input's spatial axes. NaN is a maximum, the last one's index is given.
    `indices` is their dtype, or None for the maxima alone.
    """
    _check(spec, x, "x")
    x = _channels_last(x, spec.dtype)
    y = _empty(spec.shapes["y"], x.dtype)
    if spec.kind == "average":
        _launch(spec, "average", (x, y), _tables(spec))
        return y
    if indices is None:
        _launch(spec, "max_alone", (x, y), _tables(spec))
        return y
    where = _empty(y.shape, indices)
    _launch(spec, "max", (x, y, where), _tables(spec))
    return y, where


def pool_gradient(spec: PoolSpec, grad: np.ndarray, indices: np.ndarray | None = None):
    """The gradient of x from that of y: (batch, channels, *output_size) -> size."""
    _check(spec, grad, "y")
    grad = _channels_last(grad, spec.dtype)
    out = _empty(spec.shapes["x"], grad.dtype)
    if spec.kind == "average":
        _launch(spec, "average_gradient", (grad, out), _holders(spec))
    else:
        _launch(spec, "max_gradient", (grad, indices, out), _holders(spec))
    return out


def pool_pick(spec: PoolSpec, x: np.ndarray, indices: np.ndarray):
    """x at each window's index: what the gradient of `pool_gradient` is."""
    _check(spec, x, "x")
    x = _channels_last(x, spec.dtype)
    y = _empty(spec.shapes["y"], x.dtype)
    _launch(spec, "pick", (x, indices, y), _tables(spec))
    return y


def _check(spec: PoolSpec, array: np.ndarray, name: str) -> None:
    wanted = spec.shapes[name]
    if array.shape != wanted:
        raise ValueError(f"pool: the spec says {wanted}, the array is {array.shape}")


def _channels_last(array: np.ndarray, dtype: str) -> np.ndarray:
    """The array, or a copy of it in which neighbours in memory are channels."""
    if array.shape[1] < REORDERED or array.strides[1] == array.itemsize:
        return array
    copy = _empty(array.shape, array.dtype)
    pointwise(("in", 0), array, dtypes=(dtype,), out=copy)
    return copy


def _empty(shape: tuple[int, ...], dtype) -> np.ndarray:
    return memory.empty(shape, dtype, memory.channels_last(len(shape)))


@lru_cache(maxsize=256)
def _tables(spec: PoolSpec) -> tuple[np.ndarray, ...]:
    """The windows of each axis: first element, how many, the divisor's part."""
    rank = len(spec.size)
    tables = [np.array(spec.windows(axis), np.int64) for axis in range(rank)]
    return tuple(table.reshape(-1, 3) for table in tables)


@lru_cache(maxsize=256)
def _holders(spec: PoolSpec) -> tuple[np.ndarray, ...]:
    """Of each element along each axis: the first window that may hold it, how many.

    Windows start and stop in order, so those that hold an element are neighbours, with
    dilation among others which skip it and whose index is another's.
    """
    found = []
    for axis, table in enumerate(_tables(spec)):
        first, last = table[:, 0], table[:, 0] + table[:, 1] - 1
        if spec.adaptive is None:  # as if nothing were cut off: in order
            reach = spec.dilation[axis] * (spec.kernel[axis] - 1)
            first = np.arange(len(table)) * spec.stride[axis] - spec.padding[axis]
            last = first + reach
        places = np.arange(spec.size[axis])
        begin = np.searchsorted(last, places, "left")
        end = np.searchsorted(first, places, "right")
        count = np.maximum(end - begin, 0)
        found.append(np.stack([begin, count, count], axis=1).astype(np.int64))
    return tuple(found)


@lru_cache(maxsize=256)
def _divisors(spec: PoolSpec) -> tuple[np.ndarray, ...]:
    return tuple(np.ascontiguousarray(table[:, 2]) for table in _tables(spec))


def _launch(spec: PoolSpec, form: str, operands, tables) -> None:
    """Run a form's kernel; the last operand's places are the loops'."""
    out = operands[-1]
    if out.size == 0:
        return
    strides = tuple([broadcast_strides(each, each.shape) for each in operands])
    index = _index_dtype(form, operands)
    key = spec, form, strides, index, cache.here().name
    launch = _launches.get(key)
    if launch is None:
        taps = _taps(tables)
        launch = _launch_of(spec, form, out.shape, strides, index, taps)
        remember(_launches, key, launch)
    launch(operands, (*tables, *_divisors(spec)), (spec.divisor_override or 1,), _SLOT)


#: Launches of problems met before.
_launches: dict[tuple, Launch] = {}
#: The divisor travels behind the numbers, as a scalar.
_SLOT = ((0, "int64"),)


def _index_dtype(form: str, operands) -> str:
    """The dtype of the indices among a form's operands, int64 if it has none."""
    place = {"max": 2, "max_gradient": 1, "pick": 1}.get(form)
    return "int64" if place is None else dtype_name(operands[place])


def _taps(tables) -> tuple[int, ...] | None:
    """How many taps all windows have along each axis, if all alike and few."""
    counts = tuple([int(table[0, 1]) for table in tables])
    alike = all(
        [(table[:, 1] == n).all() for table, n in zip(tables, counts, strict=True)]
    )
    return counts if alike and 0 < prod(counts) <= UNROLLED else None


def _launch_of(spec: PoolSpec, form: str, shape, strides, index, taps) -> Launch:
    """Loops over batch, places and channels of the result."""
    rank = len(spec.size)
    axes = (0, *range(2, rank + 2), 1)
    walks = [tuple([each[axis] for axis in axes]) for each in strides]
    sizes = tuple([shape[axis] for axis in axes])
    lengths = blocks(sizes)
    counts = pieces(sizes, lengths)
    dilations = (1,) * rank if spec.adaptive is not None else spec.dilation
    key = PoolKernel(
        form,
        spec.dtype,
        rank,
        tuple([walk_of(walk[-1]) for walk in walks]),
        index,
        taps,
        spec.divisor_override is not None,
        streams(prod(shape), storage(spec.dtype).itemsize, walks[-1]),
    )
    numbers = [*sizes, *lengths, *counts]
    for walk in walks:
        numbers += walk
    numbers += [*dilations, *spec.size]
    return Launch(_kernel(key), numbers, prod(counts))


def _kernel(key: PoolKernel) -> int:
    """The address of a form's kernel."""

    def build(target):
        from .schedules import pool as schedule

        return schedule.build(key, target)

    return cache.kernel(("pool", key), build)
