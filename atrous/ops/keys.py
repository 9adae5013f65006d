"""What stands in `x[...]`, cut into a basic part and one that picks by value."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from .. import dtypes
from ..tensor import Tensor

ALL = slice(None)


def at(place: int, *index) -> tuple:
    """The key of an index (and what follows it) at one axis."""
    return (ALL,) * place + index


@dataclass
class Key:
    """A parsed key; `picks` is None where all of it is basic.

    `picks` holds, for each axis of the view, an array of integers or slice(None).
    """

    basic: tuple
    node: str | None  # of the view; None where the basic part takes everything
    picks: tuple | None = None
    distinct: bool = False  # no element is picked twice: a single mask


def parse(shape: tuple[int, ...], key) -> Key:
    """The basic and the picking part of a key; torch's IndexError for what is none."""
    items = _items(key)
    consumed = sum(map(_consumed, items))
    if consumed > len(shape):
        if not shape:
            raise IndexError(
                "invalid index of a 0-dim tensor. Use `tensor.item()` to convert a"
                " 0-dim tensor to a number"
            )
        raise IndexError(f"too many indices for tensor of dimension {len(shape)}")
    basic: list = []
    picks: dict[int, np.ndarray] = {}
    node, axis, masks, out = None, 0, 0, 0
    rest = len(shape) - consumed
    for item in items:
        if item is Ellipsis:
            basic.extend([ALL] * rest)
            axis, out, rest = axis + rest, out + rest, 0
        elif item is None:
            basic.append(None)
            out, node = out + 1, "UnsqueezeBackward0"
        elif isinstance(item, slice):
            basic.append(_checked_slice(item))
            if (
                item != ALL and item.indices(shape[axis]) != (0, shape[axis], 1)
            ) or len(items) == 1:
                node = "SliceBackward0"
            axis, out = axis + 1, out + 1
        elif isinstance(item, int) and not isinstance(item, bool):
            basic.append(_checked_integer(item, shape, axis))
            axis, node = axis + 1, "SelectBackward0"
        elif isinstance(item, (bool, np.bool_)):
            basic.append(None)
            picks[out] = np.flatnonzero(np.array([item]))
            masks, node, out = masks + 1, node or "UnsqueezeBackward0", out + 1
        elif item.dtype == bool:
            _check_mask(item, shape, axis, out)
            basic.extend([ALL] * item.ndim)
            for place, index in enumerate(item.nonzero()):
                picks[out + place] = index
            masks += 1
            axis, out = axis + item.ndim, out + item.ndim
        else:
            basic.append(ALL)
            picks[out] = item
            axis, out = axis + 1, out + 1
    if not picks:
        return Key(tuple(basic) if basic else (...,), node)
    rank = out + len(shape) - axis
    chosen = tuple(picks.get(i, ALL) for i in range(rank))
    distinct = masks == 1 and len([i for i in items if _picks(i)]) == 1
    return Key(tuple(basic), node, chosen, distinct)


def _picks(item) -> bool:
    return isinstance(item, (np.ndarray, bool, np.bool_))


def _consumed(item) -> int:
    """How many axes an item of a key takes."""
    if item is None or item is Ellipsis or isinstance(item, (bool, np.bool_)):
        return 0
    if isinstance(item, np.ndarray) and item.dtype == bool:
        return item.ndim
    return 1


def _items(key) -> list:
    """The key as a list of integers, slices, None, Ellipsis, bools and arrays."""
    if isinstance(key, list) and _is_old_tuple(key):
        warnings.warn(
            "Using a non-tuple sequence for multidimensional indexing is deprecated;"
            " use x[tuple(seq)] instead of x[seq].",
            UserWarning,
            stacklevel=4,
        )
        key = tuple(key)
    return list(map(_item, key if isinstance(key, tuple) else (key,)))


def _is_old_tuple(key: list) -> bool:
    return len(key) < 32 and any(
        each is None
        or each is Ellipsis
        or isinstance(each, (Tensor, slice, list, tuple, str))
        for each in key
    )


def _item(item):
    if item is None or item is Ellipsis or isinstance(item, (bool, slice, np.bool_)):
        return item
    if isinstance(item, int):
        return item
    if isinstance(item, np.integer):
        return int(item)
    if isinstance(item, (list, range, tuple)):
        item = np.array(item) if len(item) else np.zeros(0, np.int64)
    if isinstance(item, str):
        raise TypeError("new(): invalid data type 'str'")
    if isinstance(item, Tensor):
        item = item._array if item.dtype is not dtypes.bfloat16 else item._values()
    elif not isinstance(item, np.ndarray):
        raise IndexError(
            "only integers, slices (`:`), ellipsis (`...`), None and long or byte"
            f" Variables are valid indices (got {type(item).__name__})"
        )
    return _index_array(item)


def _index_array(item: np.ndarray):
    if item.dtype == np.uint8:
        warnings.warn(
            "indexing with dtype torch.uint8 is now deprecated, please use a dtype"
            " torch.bool instead.",
            UserWarning,
            stacklevel=5,
        )
        item = item.astype(bool)
    if item.dtype == bool:
        return item if item.ndim else bool(item)
    if item.dtype not in (np.int64, np.int32):
        raise IndexError(
            "tensors used as indices must be long, int, byte or bool tensors, not"
            f" {item.dtype}"
        )
    return item.astype(np.int64, copy=False) if item.ndim else int(item)


def _checked_integer(item: int, shape: tuple, axis: int) -> int:
    if not -shape[axis] <= item < shape[axis]:
        raise IndexError(
            f"index {item} is out of bounds for dimension {axis} with size"
            f" {shape[axis]}"
        )
    return item


def _checked_slice(item: slice) -> slice:
    bounds = [
        each
        if each is None
        else each.__index__()
        if hasattr(each, "__index__")
        else None
        for each in (item.start, item.stop, item.step)
    ]
    for given, found in zip((item.start, item.stop, item.step), bounds, strict=True):
        if found is None and given is not None:
            raise TypeError(
                "slice indices must be integers or None or have an __index__ method,"
                f" not {type(given).__name__}"
            )
    if bounds[2] == 0:
        raise ValueError("slice step cannot be zero")
    if bounds[2] is not None and bounds[2] < 0:
        raise ValueError(f"step must be greater than zero, not {bounds[2]}")
    return slice(*bounds)


def _check_mask(mask: np.ndarray, shape: tuple, axis: int, place: int) -> None:
    if mask.shape != shape[axis : axis + mask.ndim]:
        raise IndexError(
            f"The shape of the mask {list(mask.shape)} at index {place} does not match"
            f" the shape of the indexed tensor {list(shape)} at index {axis}"
        )
