"""What users write for sizes an axis: one number, or one for each spatial axis."""

from __future__ import annotations

import operator
from collections.abc import Sequence

#: What the spatial axes of an input are called in messages, by their count.
SPATIAL = {1: "length", 2: "height, width", 3: "depth, height, width"}
KERNEL = {1: "kernel", 2: "kh, kw", 3: "kd, kh, kw"}


def per_axis(name: str, argument: str, value, rank: int) -> tuple[int, ...]:
    """`value` as one integer an axis; a single one stands for all.

    Raises TypeError for what is not an integer, RuntimeError for a wrong count.
    """
    entries = tuple(value) if isinstance(value, Sequence) else (value,)
    try:
        sizes = tuple(operator.index(each) for each in entries)
    except TypeError:
        raise TypeError(
            f"{name}(): argument '{argument}' must be an int or a tuple of"
            f" {rank} ints, not {value!r}"
        ) from None
    if len(sizes) == 1:
        return sizes * rank
    if len(sizes) != rank:
        raise RuntimeError(
            f"{name}: {argument} is one int or {rank}, one for each spatial axis"
            f" ({SPATIAL.get(rank, f'{rank} axes')}), not {sizes}."
        )
    return sizes


def at_least(name: str, argument: str, sizes: tuple[int, ...], low: int) -> None:
    """RuntimeError if an entry is below `low`."""
    if min(sizes, default=low) < low:
        kind = "positive" if low == 1 else "zero or more"
        raise RuntimeError(f"{name}: {argument} must be {kind}, got {sizes}.")


def by(sizes: Sequence[int]) -> str:
    """Sizes in words: "(3 × 3)"."""
    return f"({' × '.join(map(str, sizes))})"
