"""Arguments many operations take: sizes, axes, sequences that may be spread out."""

from __future__ import annotations

import functools
import operator

from ..tensor import Tensor, from_front


def integer(value, name: str, argument: str) -> int:
    """`value` as an int; TypeError names the function and the argument."""
    if isinstance(value, bool):
        return int(value)
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(
            f"{name}(): argument '{argument}' must be int, not {type(value).__name__}"
        ) from None


def integers(values, name: str, argument: str) -> tuple[int, ...]:
    """An int or a sequence of ints, as a tuple."""
    if not isinstance(values, (tuple, list)):
        try:
            return (operator.index(values),)
        except TypeError:
            raise TypeError(
                f"{name}(): argument '{argument}' must be tuple of ints, not"
                f" {type(values).__name__}"
            ) from None
    try:
        return tuple(map(operator.index, values))
    except TypeError:
        place, wrong = next(
            (i, each) for i, each in enumerate(values) if not hasattr(each, "__index__")
        )
        raise TypeError(
            f"{name}(): argument '{argument}' must be tuple of ints, but found element"
            f" of type {type(wrong).__name__} at pos {place}"
        ) from None


def variadic(argument: str):
    """Lets `f(x, (2, 3))` be called as `f(x, 2, 3)` too; the function gets a tuple."""

    def decorate(function):
        name = function.__name__

        @functools.wraps(function)
        def public(input, *values, **named):
            if argument in named:
                values = (named.pop(argument),)
            if len(values) == 1 and isinstance(values[0], (tuple, list)):
                values = values[0]
            return function(input, integers(tuple(values), name, argument), **named)

        return public

    return decorate


def translated(named: dict) -> dict:
    """Keyword arguments in torch's words: dim for axis, keepdim for keepdims."""
    for theirs, ours in (("axis", "dim"), ("keepdims", "keepdim")):
        if theirs in named and ours not in named:
            named = {**named, ours: named[theirs]}
            del named[theirs]
    return named


def numpy_words(function):
    """Takes NumPy's words axis and keepdims for dim and keepdim, as torch does."""

    @functools.wraps(function)
    def public(*args, **named):
        return function(*args, **translated(named))

    return public


def axis(dim, rank: int) -> int:
    """`dim` counted from the front; IndexError if this rank has no such axis."""
    return from_front(integer(dim, "operation", "dim"), rank)


def axes(dims, rank: int) -> tuple[int, ...]:
    """Several axes counted from the front; RuntimeError if one comes twice."""
    found = tuple(axis(dim, rank) for dim in dims)
    for each in found:
        if found.count(each) > 1:
            raise RuntimeError(f"dim {each} appears multiple times in the list of dims")
    return found


def tensors(sequence, name: str) -> list[Tensor]:
    """A sequence of tensors; TypeError names the first element that is none."""
    if isinstance(sequence, Tensor) or not hasattr(sequence, "__iter__"):
        raise TypeError(
            f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not"
            f" {type(sequence).__name__}"
        )
    found = list(sequence)
    for place, each in enumerate(found):
        if not isinstance(each, Tensor):
            raise TypeError(
                f"expected Tensor as element {place} in argument 0, but got"
                f" {type(each).__name__}"
            )
    return found


def check_tensor(name: str, argument: str, value) -> None:
    """TypeError unless `value` is a Tensor."""
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{name}(): argument '{argument}' must be Tensor, not"
            f" {type(value).__name__}"
        )
