"""Padding: constants, or the tensor's own values reflected, replicated or wrapped.

A mode is an index map an axis: which source element each element of the result shows.
The map falls into runs that walk evenly (forwards, backwards, or standing still), so
the result is a few strided copies, and its gradient the same copies added back.
"""

from __future__ import annotations

import itertools

import numpy as np

from .. import compiler
from ..autograd import record
from ..tensor import Tensor
from .arguments import check_tensor, integers
from .autocast import in_float32
from .copying import empty_like, filled, move, order_of

__all__ = ["constant_pad_nd"]

_NODES = {"reflect": "Reflection", "replicate": "Replication", "circular": "Circular"}


def pad(
    input: Tensor, pad, mode: str = "constant", value: float | None = None
) -> Tensor:
    """`pad` holds two sizes an axis, before and after, from the last axis on.

    Modes: constant (with `value`, 0), reflect (without the border element), replicate
    (the border element), circular. Negative sizes cut off. RuntimeError or
    NotImplementedError, as torch, where sizes or rank do not fit.

    >>> pad(tensor([1, 2, 3]), (2, 1)).tolist()
    [0, 0, 1, 2, 3, 0]
    """
    check_tensor("pad", "input", input)
    sizes = integers(pad, "pad", "pad")
    if mode == "constant":
        return constant_pad_nd(input, sizes, 0 if value is None else value)
    if mode not in _NODES:
        raise NotImplementedError(
            f"Unrecognised padding mode {mode}: there are constant, reflect, replicate"
            " and circular."
        )
    if value:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    _check_rank(input, sizes, mode)
    if mode == "replicate" or (mode == "reflect" and len(sizes) < 6):
        return _mapped_in_float32(input, sizes, mode)
    return _mapped(input, sizes, mode)


# Constants


def constant_pad_nd(input: Tensor, pad, value=0) -> Tensor:
    """As `pad` with mode "constant"."""
    sizes = integers(pad, "pad", "pad")
    if len(sizes) % 2:
        raise RuntimeError(f"Padding length must be divisible by 2, not {len(sizes)}")
    if len(sizes) > 2 * input.dim():
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input"
            f" dimension but got padding length {len(sizes)} and input of dimension"
            f" {input.dim()}"
        )
    array = input._array
    pairs = _pairs(sizes, array.ndim)
    shape, source, place = [], [], []
    for axis, (size, (before, after)) in enumerate(
        zip(array.shape, pairs, strict=True)
    ):
        if size + before + after < 0:
            raise RuntimeError(
                f"The input size {size}, plus negative padding {before} and {after},"
                " resulted in a negative output size, which is invalid. Check dimension"
                f" {axis} of your input."
            )
        shape.append(size + before + after)
        source.append(slice(max(-before, 0), size - max(-after, 0)))
        place.append(slice(max(before, 0), shape[-1] - max(after, 0)))
    result = filled(shape, input.dtype, value, order_of(array))
    if all(sizes_ > 0 for sizes_ in shape):
        part = array[tuple(source)]
        if part.size:
            move(part, result[tuple(place)], input.dtype)
    back = tuple(-size for size in sizes)
    out = Tensor._of(result, input.dtype)
    return record(
        out,
        "ConstantPadNdBackward0",
        (input,),
        lambda g: (lambda: constant_pad_nd(g, back),),
    )


def _pairs(sizes: tuple, rank: int) -> list[tuple[int, int]]:
    """(before, after) of every axis, from the first on."""
    pairs = [(sizes[i], sizes[i + 1]) for i in range(0, len(sizes), 2)]
    return [(0, 0)] * (rank - len(pairs)) + pairs[::-1]


# The tensor's own values


def _check_rank(input: Tensor, sizes: tuple, mode: str) -> None:
    if len(sizes) % 2:
        raise RuntimeError(f"Padding length must be divisible by 2, not {len(sizes)}")
    rank, axes = input.dim(), len(sizes) // 2
    if axes not in (1, 2, 3) or rank - axes not in (1, 2):
        raise NotImplementedError(
            f"Padding size {len(sizes)} is not supported for {rank}D input tensor: mode"
            f" {mode} pads the last 1 to 3 dimensions of a tensor with one or two more."
        )
    spatial = input._array.shape[rank - axes :]
    if 0 in input._array.shape[-axes - 1 :] and mode != "circular":
        raise RuntimeError(
            f"Expected {axes + 1}D or {axes + 2}D (batch mode) tensor with possibly 0"
            " batch size and other non-zero dimensions for input, but got:"
            f" {list(input.shape)}"
        )
    pairs = _pairs(sizes, rank)[rank - axes :]
    for axis, (size, pair) in enumerate(zip(spatial, pairs, strict=True), rank - axes):
        _check_width(input, mode, size, pair, axis)


def _check_width(input: Tensor, mode: str, size: int, pair: tuple, axis: int) -> None:
    if mode == "reflect" and max(pair) >= size:
        raise RuntimeError(
            "Padding size should be less than the corresponding input dimension, but"
            f" got: padding {pair} at dimension {axis} of input {list(input.shape)}"
        )
    if mode == "circular" and max(pair) > size:
        raise RuntimeError(
            "Padding value causes wrapping around more than once: padding"
            f" {pair} at dimension {axis} of input {list(input.shape)}"
        )
    least = 0 if mode == "replicate" else 1
    if size and size + sum(pair) < least:
        raise RuntimeError(
            f"Negative padding value is resulting in an empty dimension: padding {pair}"
            f" at dimension {axis} of input {list(input.shape)}"
        )


def index_map(mode: str, size: int, before: int, after: int) -> np.ndarray:
    """The source index of each element of a padded axis.

    >>> index_map("reflect", 3, 2, 1)
    array([2, 1, 0, 1, 2, 1])
    """
    i = np.arange(-before, size + after)
    if mode == "circular":
        # What is cut off first is not there to be wrapped around, as in torch.
        first, last = max(-before, 0), size - max(-after, 0)
        return first + (i - first) % max(last - first, 1)
    if mode == "replicate":
        return i.clip(0, size - 1)
    return (size - 1) - np.abs((size - 1) - np.abs(i))


def _runs(index: np.ndarray) -> list[tuple[slice, slice, bool]]:
    """(part of the result, part of the source, does the source stand still?)."""
    runs, start, count = [], 0, len(index)
    while start < count:
        step = int(index[start + 1] - index[start]) if start + 1 < count else 1
        if step not in (-1, 0, 1):
            step = 1
        stop = start + 1
        while stop < count and index[stop] - index[stop - 1] == step:
            stop += 1
        first, last = int(index[start]), int(index[stop - 1])
        if step < 0:
            source = slice(first, last - 1 if last else None, -1)
        else:
            source = slice(first, last + 1)
        runs.append((slice(start, stop), source, step == 0))
        start = stop
    return runs


def _pieces(shape: tuple, sizes: tuple, mode: str):
    """(key of the result, key of the source, axes that stand still) of each copy."""
    runs = [
        _runs(index_map(mode, size, *pair))
        if pair != (0, 0)
        else [(slice(None), slice(None), False)]
        for size, pair in zip(shape, _pairs(sizes, len(shape)), strict=True)
    ]
    for choice in itertools.product(*runs):
        still = tuple(axis for axis, run in enumerate(choice) if run[2])
        yield tuple(run[0] for run in choice), tuple(run[1] for run in choice), still


def _mapped(input: Tensor, sizes: tuple, mode: str) -> Tensor:
    array = input._array
    pairs = _pairs(sizes, array.ndim)
    shape = [size + sum(pair) for size, pair in zip(array.shape, pairs, strict=True)]
    result = empty_like(array, shape)
    for to, source, _ in _pieces(array.shape, sizes, mode):
        if array[source].size:
            move(array[source], result[to], input.dtype)
    before = array.shape
    out = Tensor._of(result, input.dtype)
    return record(
        out,
        f"{_NODES[mode]}Pad{len(sizes) // 2}DBackward0",
        (input,),
        lambda g: (lambda: _folded(g, before, sizes, mode),),
    )


#: Autocast's list has reflect and replicate, but not reflect in three dimensions.
_mapped_in_float32 = in_float32(_mapped)


def _folded(g: Tensor, shape: tuple, sizes: tuple, mode: str) -> Tensor:
    """Every element of the padded gradient added where it came from."""
    kind = g.dtype
    total = filled(shape, kind, order=order_of(g._array))
    for place, source, still in _pieces(shape, sizes, mode):
        part = g._array[place]
        if still and part.size:
            part = _summed(Tensor._sharing(part, kind), still)
        if part.size:
            target = total[source]
            compiler.pointwise(
                ("add", ("in", 0), ("in", 1)),
                target,
                part,
                dtypes=(kind.name, kind.name),
                out=target,
            )
    out = Tensor._of(total, kind)
    return record(
        out,
        f"{_NODES[mode]}PadBackwardBackward0",
        (g,),
        lambda gg: (lambda: _mapped(gg, sizes, mode),),
    )


def _summed(part: Tensor, axes: tuple) -> np.ndarray:
    return part.sum(axes, keepdim=True)._array
