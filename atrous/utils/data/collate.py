"""From a list of samples to a batch, whatever a sample is made of."""

import copy
import re
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence

import numpy as np

from ...dtypes import float64
from ...ops.data import as_tensor, tensor
from ...ops.join import stack
from ...tensor import Tensor

# dtypes that no tensor has: bytes, text, objects.
_NOT_NUMBERS = re.compile(r"[SaUO]")


def default_convert(data):
    """The same structure, with arrays and NumPy numbers turned into tensors."""
    if isinstance(data, Tensor):
        return data
    if isinstance(data, (np.ndarray, np.generic)):
        return data if _NOT_NUMBERS.search(data.dtype.str) else as_tensor(data)
    if isinstance(data, Mapping):
        return _like_mapping(data, lambda key: default_convert(data[key]))
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*map(default_convert, data))
    if isinstance(data, tuple):
        return [default_convert(item) for item in data]
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _like_sequence(data, [default_convert(item) for item in data])
    return data


def default_collate(batch):
    """Samples of one structure, as that structure of batches.

    Tensors and arrays are stacked on a new first axis; numbers become a tensor (floats
    float64, ints int64); strings stay a list; dicts, named tuples, tuples (as a list)
    and lists are collated item by item.

    Raises TypeError for anything else, RuntimeError for sequences of unequal length.

    >>> default_collate([{"x": 1, "name": "a"}, {"x": 2, "name": "b"}])
    {'x': tensor([1, 2]), 'name': ['a', 'b']}
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)


def collate(batch, *, collate_fn_map: dict[type, Callable] | None = None):
    """As `default_collate`, with the functions of `collate_fn_map` for the leaves.

    Each is called as `function(batch, collate_fn_map=collate_fn_map)`.
    """
    first = batch[0]
    kind = type(first)
    collate_fn_map = collate_fn_map or {}
    for leaf in (kind, *collate_fn_map):
        if leaf in collate_fn_map and isinstance(first, leaf):
            return collate_fn_map[leaf](batch, collate_fn_map=collate_fn_map)

    def together(items):
        return collate(items, collate_fn_map=collate_fn_map)

    if isinstance(first, Mapping):
        return _like_mapping(first, lambda key: together([d[key] for d in batch]))
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return kind(*map(together, zip(*batch, strict=True)))
    if isinstance(first, Sequence):
        lengths = [len(sample) for sample in batch]
        if len(set(lengths)) > 1:
            raise RuntimeError(
                f"default_collate: the samples' {kind.__name__}s have different "
                f"lengths: {_listed(lengths)}."
            )
        columns = [together(items) for items in zip(*batch, strict=True)]
        return columns if isinstance(first, tuple) else _like_sequence(first, columns)
    raise TypeError(
        "default_collate: collates tensors, NumPy arrays, numbers, strings, dicts, "
        f"tuples and lists; the samples hold {_types(batch)}."
    )


def _like_mapping(example, value):
    """A mapping as `example`, its type and further attributes kept where it can be."""
    values = {key: value(key) for key in example}
    try:
        if isinstance(example, MutableMapping):
            twin = copy.copy(example)
            twin.update(values)
            return twin
        return type(example)(values)
    except TypeError:
        return values


def _like_sequence(example, items: list):
    try:
        if isinstance(example, MutableSequence):
            twin = copy.copy(example)
            for place, item in enumerate(items):
                twin[place] = item
            return twin
        return type(example)(items)
    except TypeError:  # for instance a range
        return items


def _types(batch) -> str:
    names = dict.fromkeys(
        f"{type(sample).__module__}.{type(sample).__qualname__}" for sample in batch
    )
    return _listed([*names])


def _listed(items: list) -> str:
    return ", ".join(map(str, items[:8])) + (", …" if len(items) > 8 else "")


def collate_tensor(batch, *, collate_fn_map=None):
    """(batch, *shape), from tensors of one shape."""
    return stack(batch, 0)


def collate_array(batch, *, collate_fn_map=None):
    """(batch, *shape), from arrays of one shape."""
    if _NOT_NUMBERS.search(batch[0].dtype.str):
        raise TypeError(
            f"default_collate: arrays of dtype {batch[0].dtype} cannot become a tensor."
        )
    tensors = [as_tensor(array) for array in batch]
    return collate(tensors, collate_fn_map=collate_fn_map)


def collate_numpy_number(batch, *, collate_fn_map=None):
    """(batch,), of the numbers' own dtype."""
    return as_tensor(np.array(batch))


def collate_float(batch, *, collate_fn_map=None):
    """(batch,) float64."""
    return tensor(batch, dtype=float64)


def collate_int(batch, *, collate_fn_map=None):
    """(batch,) int64, or bool."""
    return tensor(batch)


def collate_text(batch, *, collate_fn_map=None):
    """The strings as they are."""
    return batch


default_collate_fn_map: dict[type, Callable] = {
    Tensor: collate_tensor,
    np.ndarray: collate_array,
    np.bool_: collate_numpy_number,
    np.number: collate_numpy_number,
    float: collate_float,
    int: collate_int,
    str: collate_text,
    bytes: collate_text,
}
