"""Pointwise work that waits until it is read: whole chains in one pass over memory.

    y = relu(batch_norm(x) + skip)

reads x and skip and writes y, once each: the normalised tensor and the sum are only
expressions, until somebody looks at them. A tensor with pending work has a shape and a
dtype; its array is computed the first time that it is asked for. Nothing else can be
told from outside: what would change an operand has the work done first, and where NumPy
sees an operand too, nothing waits.

`synchronize` does whatever is pending.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Sequence
from functools import lru_cache
from math import prod

import numpy as np

from . import compiler
from .dtypes import dtype as DType
from .dtypes import float32, float64
from .storage import Storage

#: Results of fewer elements are computed at once: a pass costs less than the waiting.
FEWEST = 1 << 16
#: Dtypes that wait: half types would have to be rounded between operations.
WAITING = (float32, float64)
#: Arrays as large as the result that one expression may read.
MOST_ARRAYS = 4
#: Operations in one expression.
MOST_OPERATIONS = 48


class Pending:
    """An expression over arrays, as `compiler.pointwise` takes it, and its result.

    `sources` are the storages under those of the arrays that are not copies.
    """

    def __init__(self, expression, arrays, names, scalars, sources, kind: DType, shape):
        self.expression, self.kind = expression, kind
        self.arrays, self.names, self.scalars = arrays, names, scalars
        self.sources = sources
        self.shape, self.ndim, self.size = shape, len(shape), prod(shape)
        self.array: np.ndarray | None = None
        self.storage: Storage | None = None
        self.shared = False  # whether more than one tensor waits for it
        for storage in sources:
            storage.read_by(self)
        _pending.add(self)

    def settle(self) -> None:
        """Compute the array and its storage."""
        with _lock:
            if self.array is None:
                array = compiler.pointwise(
                    self.expression,
                    *self.arrays,
                    scalars=self.scalars,
                    dtypes=self.names,
                )
                self.storage = Storage(array, not array.flags.c_contiguous)
                self.array, self.arrays, self.sources = array, [], []
        _pending.discard(self)


_lock = threading.RLock()
_pending: weakref.WeakSet[Pending] = weakref.WeakSet()


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def synchronize() -> None:
    """Do all work that is pending."""
    if _pending:  # to ask costs less than to list
        for each in list(_pending):
            each.settle()


def postponed(
    expression,
    tensors: Sequence,
    names: tuple[str, ...],
    scalars: Sequence,
    kind: DType,
    shape: tuple[int, ...],
    arrays: Sequence[np.ndarray] = (),
) -> Pending | None:
    """The work over tensors, and then plain arrays; None if it should not wait.

    Inputs ("in", i) are numbered in that order and have the dtypes `names`; the result
    is of dtype `kind` and of `shape`. What is smaller is copied.
    """
    size = prod(shape)
    if size < FEWEST or kind not in WAITING:
        return None
    inputs: list[np.ndarray] = []
    kinds: list[str] = []
    numbers: list = []
    leaves, sources = [], []
    for place, tensor in enumerate((*tensors, *arrays)):
        work = getattr(tensor, "_pending", None)
        if work is not None and work.array is None:
            if work.shape != shape:
                return None
            leaves.append((work.expression, len(inputs), len(numbers)))
            inputs += work.arrays
            kinds += work.names
            numbers += work.scalars
            sources += work.sources
            continue
        array = tensor if place >= len(tensors) else tensor._array
        if array.shape == shape and place < len(tensors):
            if tensor._storage.exported:
                return None
            sources.append(tensor._storage)
        elif array.size > size // 8:
            return None
        else:
            array = array.copy()
        leaves.append((("in", 0), len(inputs), 0))
        inputs.append(array)
        kinds.append(names[place])
    form = joined(expression, tuple(leaves), len(numbers))
    if len(sources) > MOST_ARRAYS or operations(form) > MOST_OPERATIONS:
        return None
    return Pending(
        form, inputs, tuple(kinds), [*numbers, *scalars], sources, kind, tuple(shape)
    )


@lru_cache(maxsize=4096)
def joined(expression, leaves: tuple, scalars: int):
    """The expression with its inputs replaced by (expression, inputs before, scalars
    before); its own scalars come after all of theirs."""

    def moved(part, inputs: int, numbers: int):
        if not isinstance(part, tuple):
            return part
        if part[0] == "in":
            return ("in", part[1] + inputs)
        if part[0] == "scalar":
            return ("scalar", part[1] + numbers)
        return tuple(moved(each, inputs, numbers) for each in part)

    def replaced(part):
        if not isinstance(part, tuple):
            return part
        if part[0] == "in":
            return moved(*leaves[part[1]])
        if part[0] == "scalar":
            return ("scalar", part[1] + scalars)
        return tuple(map(replaced, part))

    return replaced(expression)


@lru_cache(maxsize=4096)
def operations(expression) -> int:
    """How many operations an expression has."""
    if not isinstance(expression, tuple) or expression[0] in ("in", "scalar", "const"):
        return 0
    return 1 + sum(map(operations, expression[1:]))
