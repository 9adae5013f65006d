"""`x[...]`, read and written: integers, slices, None, Ellipsis, masks, lists, tensors.

A key is cut in two. The basic part (integers, slices, None) is a view; what indexes by
value (tensors, lists, masks) then picks from that view, as NumPy picks from an array.
"""

from __future__ import annotations

import numpy as np

from .. import dtypes
from ..autograd import needs_recording, record
from ..tensor import Tensor
from .copying import scalar, zeros_of
from .keys import ALL, parse
from .operands import check_writable, stored, write
from .parts import taken

__all__ = ["index_put"]


# Reading


def getitem(self: Tensor, key) -> Tensor:
    """The part that `key` names: a view where the key is basic, a copy elsewhere."""
    parsed = parse(self._array.shape, key)
    if parsed.picks is None:
        return taken(self, parsed.basic, parsed.node or "AliasBackward0")
    view = taken(self, parsed.basic, parsed.node) if parsed.node else self
    return pick(view, parsed.picks, parsed.distinct)


def iterate(self: Tensor):
    """The elements of the first axis."""
    if not self.dim():
        raise TypeError("iteration over a 0-d tensor")
    return iter(self.unbind(0))


def pick(input: Tensor, picks: tuple, distinct: bool = False) -> Tensor:
    """A fresh tensor of the elements at `picks`; `distinct` if none comes twice."""
    shape = input._array.shape
    _check_picks(picks, shape)
    out = Tensor._of(_picked(input._array, picks), input.dtype)

    def adjoint(g):
        return spread(g, shape, picks, distinct)

    return record(out, "IndexBackward0", (input,), lambda g: (lambda: adjoint(g),))


def _picked(array: np.ndarray, picks: tuple) -> np.ndarray:
    rows = isinstance(picks[0], np.ndarray) and all(each is ALL for each in picks[1:])
    if rows and array.flags.c_contiguous:
        return array.take(picks[0], 0)  # faster than array[...]
    picked = array[picks]
    return picked if isinstance(picked, np.ndarray) else np.asarray(picked)


def spread(g: Tensor, shape, picks: tuple, distinct: bool) -> Tensor:
    """Zeros with `g` added at `picks`: the adjoint of `pick`."""
    total = np.zeros(shape, g.dtype.compute)
    if distinct:
        total[picks] = g._values()
    else:
        add_at(total, picks, g._values())
    out = Tensor._of(stored(total, g.dtype), g.dtype)
    return record(
        out, "IndexPutBackward0", (g,), lambda gg: (lambda: pick(gg, picks, distinct),)
    )


def add_at(array: np.ndarray, picks: tuple, values: np.ndarray) -> None:
    """array[picks] += values, where an element picked twice is added to twice.

    Equal places are brought together by a stable sort and summed first.
    """
    places = [i for i, each in enumerate(picks) if each is not ALL]
    indices = np.broadcast_arrays(*(picks[i] for i in places))
    sizes = tuple(array.shape[i] for i in places)
    wrapped = [
        np.where(index < 0, index + size, index).ravel()
        for index, size in zip(indices, sizes, strict=True)
    ]
    if not wrapped[0].size:
        return
    linear = np.ravel_multi_index(wrapped, sizes)
    adjacent = places == list(range(places[0], places[-1] + 1))
    first, rank = places[0] if adjacent else 0, indices[0].ndim
    rest = [i for i in range(array.ndim - len(places) + rank)]
    front = rest[first : first + rank]
    rest = rest[:first] + rest[first + rank :]
    rows = values.transpose(front + rest)
    rows = rows.reshape(linear.size, *rows.shape[rank:])
    order = np.argsort(linear, kind="stable")
    ordered = linear[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    sums = np.add.reduceat(rows[order], starts, axis=0, dtype=rows.dtype)
    once = list(picks)
    for place, index in zip(
        places, np.unravel_index(ordered[starts], sizes), strict=True
    ):
        once[place] = index
    array[tuple(once)] += np.moveaxis(sums, 0, first)


def _check_picks(picks: tuple, shape: tuple) -> None:
    """IndexError where an index is out of bounds or the indices do not broadcast."""
    arrays = [each for each in picks if each is not ALL]
    try:
        np.broadcast_shapes(*(each.shape for each in arrays))
    except ValueError:
        raise IndexError(
            "shape mismatch: indexing tensors could not be broadcast together with"
            f" shapes {', '.join(str(list(each.shape)) for each in arrays)}"
        ) from None
    for place, each in enumerate(picks):
        if each is ALL or not each.size:
            continue
        size = shape[place]
        for extreme in (int(each.min()), int(each.max())):
            if not -size <= extreme < size:
                raise IndexError(
                    f"index {extreme} is out of bounds for dimension {place} with size"
                    f" {size}"
                )


# Writing


def setitem(self: Tensor, key, value) -> None:
    """Write a number, or a tensor that broadcasts, into the part `key` names."""
    value = _assignable(self, value)
    parsed = parse(self._array.shape, key)
    part = taken(self, parsed.basic, parsed.node) if parsed.node else self
    if parsed.picks is not None:
        put_at(part, parsed.picks, value, distinct=parsed.distinct)
        return
    extra = value.dim() - part.dim()
    if extra > 0 and value._array.shape[:extra] == (1,) * extra:
        value = value.reshape(value._array.shape[extra:])
    part.copy_(value)


def _assignable(self: Tensor, value) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, (bool, int, float, np.number, np.bool_)):
        return Tensor._of(np.asarray(scalar(value, self.dtype)), self.dtype)
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    raise TypeError(
        f"can't assign a {module}{kind.__qualname__} to a {self.type_name()}"
    )


def put_at(
    target: Tensor, picks: tuple, value: Tensor, accumulate=False, distinct=False
) -> Tensor:
    """target[picks] = value (or += value), in place."""
    check_writable(target)
    if distinct and value.numel() == 1 and value.dtype is not target.dtype:
        value = value.to(target.dtype)
    if needs_recording((target, value)):
        return write(target, _put(target, picks, value, accumulate))
    _check_put(target, picks, value)
    _assign(target._array, picks, value, accumulate)
    target._bump()
    return target


def _put(input: Tensor, picks: tuple, value: Tensor, accumulate: bool) -> Tensor:
    """A copy of `input` with `value` at `picks`."""
    _check_put(input, picks, value)
    array = np.array(input._array, order="C")
    _assign(array, picks, value, accumulate)

    def formula(g):
        def of_input():
            if accumulate:
                return g
            zero = zeros_of((), g.dtype)
            return _put(g, picks, zero, False)

        return of_input, lambda: pick(g, picks).sum_to_size(value._array.shape)

    out = Tensor._of(array, input.dtype)
    return record(out, "IndexPutBackward0", (input, value), formula)


def _check_put(target: Tensor, picks: tuple, value: Tensor) -> None:
    if value.dtype is not target.dtype:
        raise RuntimeError(
            "Index put requires the source and destination dtypes match, got"
            f" {target.dtype.alias} for the destination and {value.dtype.alias} for the"
            " source."
        )
    _check_picks(picks, target._array.shape)
    shape = _shape_of(picks, target._array.shape)
    try:
        fits = np.broadcast_shapes(shape, value._array.shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(value.shape)} cannot be"
            f" broadcast to indexing result of shape {list(shape)}"
        )


def _shape_of(picks: tuple, shape: tuple) -> tuple[int, ...]:
    """The shape of what is picked."""
    places = [i for i, each in enumerate(picks) if each is not ALL]
    common = np.broadcast_shapes(*(picks[i].shape for i in places))
    rest = [size for i, size in enumerate(shape) if i not in places]
    adjacent = places == list(range(places[0], places[-1] + 1))
    first = places[0] if adjacent else 0
    return (*rest[:first], *common, *rest[first:])


def _assign(array: np.ndarray, picks: tuple, value: Tensor, accumulate: bool) -> None:
    if not accumulate:
        array[picks] = value._array
        return
    kind = value.dtype
    shape = _shape_of(picks, array.shape)
    values = np.broadcast_to(value._values(), shape).astype(kind.compute, copy=False)
    if kind.compute == array.dtype:
        add_at(array, picks, values)
        return
    wide = (
        dtypes.widen(array) if kind is dtypes.bfloat16 else array.astype(kind.compute)
    )
    add_at(wide, picks, values)
    array[...] = stored(wide, kind)


def index_put(
    input: Tensor, indices, values: Tensor, accumulate: bool = False
) -> Tensor:
    """A copy of `input` with `values` at, or added at, `input[indices]`."""
    basic, picks = _picks_of(input, indices)
    return _put(basic, picks, values, accumulate)


def index_put_(
    self: Tensor, indices, values: Tensor, accumulate: bool = False
) -> Tensor:
    """self[indices] = values, or += values."""
    _, picks = _picks_of(self, indices)
    return put_at(self, picks, values, accumulate)


def _picks_of(input: Tensor, indices) -> tuple[Tensor, tuple]:
    if not isinstance(indices, (tuple, list)):
        raise TypeError(
            "index_put(): argument 'indices' (position 1) must be tuple of Tensors, not"
            f" {type(indices).__name__}"
        )
    key = tuple(ALL if each is None else each for each in indices)
    parsed = parse(input._array.shape, _tensors(key))
    picks = parsed.picks or (np.arange(input._array.shape[0]),)
    return input, picks


def _tensors(key: tuple) -> tuple:
    """Integers without axes index as vectors here: nothing is a basic index."""
    return tuple(
        each.reshape(1) if isinstance(each, Tensor) and not each.dim() else each
        for each in key
    )
