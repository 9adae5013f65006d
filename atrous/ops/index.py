"""Slices of an axis, or elements of the flattened tensor, read and written by index.

What selects and what adds are each other's gradient.
"""

from __future__ import annotations

import numpy as np

from .. import dtypes
from ..autograd import record
from ..tensor import Tensor
from .arguments import axis, check_tensor
from .autocast import in_widest
from .copying import zeros_of
from .keys import ALL, at
from .operands import stored, with_out
from .subscript import add_at

__all__ = "index_add index_copy index_fill index_select put take".split()


def numbers_of(name: str, index: Tensor, argument: str = "index") -> np.ndarray:
    """The array of an index; RuntimeError unless it is int32 or int64."""
    check_tensor(name, argument, index)
    if index.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError(
            f"{name}(): Expected dtype int32/int64 for {argument}, not {index.dtype}"
        )
    return index._array


def within(index: np.ndarray, size: int, dim: int, error=RuntimeError, name="") -> None:
    """Refuse an index that is negative or beyond an axis."""
    if index.size:
        for extreme in (int(index.min()), int(index.max())):
            if not 0 <= extreme < size:
                raise error(
                    f"{name}index {extreme} is out of bounds for dimension {dim} with"
                    f" size {size}"
                )


# Whole slices


def _slices(name: str, input: Tensor, dim: int, index: Tensor):
    """The axis, and the index as a vector."""
    check_tensor(name, "input", input)
    place = axis(dim, input.dim())
    numbers = numbers_of(name, index)
    if numbers.ndim > 1:
        raise IndexError(
            f"{name}(): Index is supposed to be a vector, not of shape"
            f" {tuple(numbers.shape)}"
        )
    return place, numbers.reshape(-1)


@with_out
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices of axis `dim` that `index` names, in its order."""
    place, numbers = _slices("index_select", input, dim, index)
    array = input._array
    if not array.ndim:
        within(numbers, 1, 0, IndexError, "index_select(): ")
        return input.clone()
    within(numbers, array.shape[place], place, IndexError, "index_select(): ")
    out = Tensor._of(array[at(place, numbers)], input.dtype)
    shape = array.shape

    def adjoint(g):
        return zeros_of(shape, g.dtype).index_add(place, index, g)

    return record(
        out, "IndexSelectBackward0", (input,), lambda g: (lambda: adjoint(g),)
    )


def _source(name: str, input: Tensor, place: int, numbers, source: Tensor):
    """The source's array, checked against the input and the index."""
    check_tensor(name, "source", source)
    if source.dtype is not input.dtype:
        raise RuntimeError(
            f"{name}_(): self ({input.dtype.alias}) and source ({source.dtype.alias})"
            " must have the same scalar type"
        )
    count = source._array.shape[place] if source.dim() else 1
    if count != numbers.size:
        error = IndexError if name == "index_copy" else RuntimeError
        raise error(
            f"{name}_(): Number of indices ({numbers.size}) should be equal to"
            f" source.size(dim): ({count}), for dim: {place}"
        )
    wanted = list(input._array.shape)
    if wanted:
        wanted[place] = numbers.size
    if tuple(wanted) != source._array.shape and (input.dim() or source.numel() != 1):
        raise RuntimeError(
            f"{name}: source tensor shape must match self tensor shape, excluding the"
            f" specified dimension. Got self.shape = {list(input.shape)} source.shape ="
            f" {list(source.shape)}"
        )
    return source._array


@with_out
def index_add(
    input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha=1
) -> Tensor:
    """input with alpha · source[…, i, …] added to slice index[i], for every i."""
    place, numbers = _slices("index_add", input, dim, index)
    _source("index_add", input, place, numbers, source)
    shape = input._array.shape or (1,)
    within(numbers, shape[place], place)
    values = np.array(input._values(), input.dtype.compute, order="C").reshape(shape)
    added = source._values().astype(input.dtype.compute, copy=False)
    added = added.reshape((*shape[:place], numbers.size, *shape[place + 1 :]))
    picks = tuple(numbers if i == place else ALL for i in range(len(shape)))
    add_at(values, picks, added if alpha == 1 else added * added.dtype.type(alpha))
    out = Tensor._of(stored(values, input.dtype).reshape(input.shape), input.dtype)

    def of_source(g):
        picked = g.index_select(place, index).reshape(source._array.shape)
        return picked if alpha == 1 else picked * alpha

    return record(
        out, "IndexAddBackward0", (input, source), lambda g: (g, lambda: of_source(g))
    )


@in_widest
@with_out
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """input with source[…, i, …] as slice index[i], for every i."""
    place, numbers = _slices("index_copy", input, dim, index)
    values = _source("index_copy", input, place, numbers, source)
    shape = input._array.shape or (1,)
    within(numbers, shape[place], place, IndexError, "index_copy_(): ")
    array = np.array(input._array, order="C").reshape(shape)
    array[at(place, numbers)] = values.reshape(
        (*shape[:place], numbers.size, *shape[place + 1 :])
    )

    def formula(g):
        return (
            lambda: g.index_fill(place, index, 0),
            lambda: g.index_select(place, index).reshape(source._array.shape),
        )

    out = Tensor._of(array.reshape(input._array.shape), input.dtype)
    return record(out, "IndexCopyBackward0", (input, source), formula)


def index_fill(input: Tensor, dim: int, index: Tensor, value) -> Tensor:
    """input with all of the slices that `index` names set to `value`."""
    place, numbers = _slices("index_fill", input, dim, index)
    if isinstance(value, Tensor) and value.dim():
        raise RuntimeError(
            "index_fill_ only supports a 0-dimensional value tensor, but got tensor"
            f" with {value.dim()} dimension(s)."
        )
    size = input._array.shape[place] if input.dim() else 1
    wrapped = np.where(numbers < 0, numbers + size, numbers)
    within(wrapped, size, place, IndexError)
    mask = np.zeros(size, bool)
    mask[wrapped] = True
    mask = mask.reshape((size,) + (1,) * (input.dim() - 1 - place))
    chosen = Tensor._of(mask.reshape(()) if not input.dim() else mask)
    out = input.detach().masked_fill(chosen, value)

    def formula(g):
        return (
            lambda: g.masked_fill(chosen, 0),
            lambda: (g * chosen.to(g.dtype)).sum(),
        )

    return record(out, "IndexFillBackward0", (input, value), formula)


# By position in the flattened tensor


@with_out
def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements at positions of the flattened tensor, in the index's shape."""
    check_tensor("take", "input", input)
    numbers = _positions("take", input, index)
    out = Tensor._of(input._array.reshape(-1)[numbers], input.dtype)
    shape = input._array.shape

    def adjoint(g):
        return zeros_of(shape, g.dtype).put(index, g, accumulate=True)

    return record(out, "TakeBackward0", (input,), lambda g: (lambda: adjoint(g),))


def _positions(name: str, input: Tensor, index: Tensor) -> np.ndarray:
    check_tensor(name, "index", index)
    if index.dtype is not dtypes.int64:
        raise RuntimeError(
            f"{name}(): Expected a long tensor for index, but got {index.dtype.alias}"
        )
    numbers, count = index._array, input.numel()
    if numbers.size and not count:
        raise IndexError(f"{name}(): tried to take from an empty tensor")
    for extreme in (numbers.min(), numbers.max()) if numbers.size else ():
        if not -count <= extreme < count:
            raise IndexError(
                f"out of range: tried to access index {extreme} on a tensor of {count}"
                " elements."
            )
    return numbers


@with_out
def put(input: Tensor, index: Tensor, source: Tensor, accumulate=False) -> Tensor:
    """A copy with source's elements at, or added at, positions of the flat tensor."""
    numbers = _positions("put", input, index).reshape(-1)
    check_tensor("put", "source", source)
    if source.dtype is not input.dtype:
        raise RuntimeError(
            f"put_(): self and source expected to have the same dtype, but got"
            f" self.dtype = {input.dtype} and source.dtype = {source.dtype}"
        )
    if source.numel() != numbers.size:
        raise IndexError(
            "put_(): Expected source and index to have the same number of elements, but"
            f" got source.numel() = {source.numel()}, index.numel() = {numbers.size}"
        )
    total = np.array(input._values(), input.dtype.compute, order="C")
    flat, values = total.reshape(-1), source._values().reshape(-1)
    if accumulate:
        np.add.at(flat, numbers, values.astype(flat.dtype, copy=False))
    else:
        flat[numbers] = values
    out = Tensor._of(stored(total, input.dtype), input.dtype)

    def formula(g):
        def of_input():
            if accumulate:
                return g
            return put(g, index, zeros_of(index._array.shape, g.dtype))

        return of_input, lambda: g.take(index).reshape(source._array.shape)

    return record(out, "PutBackward0", (input, source), formula)
