"""Sizes along the spatial axes: one number, or one for each axis."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def spread(value: Any, axes: int) -> tuple:
    """One number, or a sequence of one, for every axis; a longer sequence as it is.

    >>> spread(3, 2)
    (3, 3)
    """
    values = tuple(value) if isinstance(value, Iterable) else (value,)
    return values * axes if len(values) == 1 else values
