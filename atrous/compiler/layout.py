"""Where the elements lie: the order of dimensions, their merging, and chunks.

Strides here count elements, not bytes. An operand is a tuple of strides, one a
dimension, 0 where it is broadcast.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

Strides = tuple[int, ...]
#: A chunk has about this many elements: enough work to be worth a thread's turn.
CHUNK = 1 << 15
#: And there are at most so many chunks of one problem.
CHUNKS = 512


def element_strides(array: np.ndarray) -> Strides:
    """Strides in elements. Raises ValueError for a view between elements."""
    size = array.itemsize
    if any(stride % size for stride in array.strides):
        raise ValueError(f"layout: strides {array.strides} do not fit {size} bytes")
    return tuple(stride // size for stride in array.strides)


def broadcast_strides(array: np.ndarray, shape: tuple[int, ...]) -> Strides:
    """Element strides of `array` seen as `shape`; 0 where it is repeated or alone."""
    strides = element_strides(array)
    if array.shape == shape:
        return tuple(0 if n == 1 else s for n, s in zip(shape, strides, strict=True))
    missing = len(shape) - array.ndim
    return (0,) * missing + tuple(
        0 if n == 1 else s for n, s in zip(array.shape, strides, strict=True)
    )


def _before(outer: Sequence[int], inner: Sequence[int]) -> int:
    """1 if these dimensions should swap, -1 if they should not, 0 if none can tell."""
    for a, b in zip(outer, inner, strict=True):
        if a and b and abs(a) != abs(b):
            return 1 if abs(a) < abs(b) else -1
    return 0


@lru_cache(maxsize=4096)
def memory_order(rank: int, operands: tuple[Strides, ...]) -> tuple[int, ...]:
    """The dimensions from the largest stride to the smallest.

    The first operand that tells two dimensions apart decides; where none does they
    stay as they are. (The insertion sort is stable, as NumPy's order 'K' is.)
    """
    order: list[int] = []
    for axis in range(rank):
        column = [strides[axis] for strides in operands]
        place = len(order)
        for position in range(len(order) - 1, -1, -1):
            found = _before([s[order[position]] for s in operands], column)
            if found > 0:
                place = position
            elif found < 0:
                break
        order.insert(place, axis)
    return tuple(order)


def dense(shape: tuple[int, ...], order: Sequence[int]) -> Strides:
    """Strides of a dense array whose axes lie in memory in this order."""
    strides = [0] * len(shape)
    step = 1
    for axis in reversed(order):
        strides[axis] = step
        step *= max(shape[axis], 1)
    return tuple(strides)


@lru_cache(maxsize=4096)
def collapse(
    sizes: tuple[int, ...], operands: tuple[Strides, ...]
) -> tuple[tuple[int, ...], tuple[Strides, ...]]:
    """Merge neighbouring dimensions over which every operand walks evenly.

    Sizes of 1 vanish. The order stays; what is left may be of rank 0.
    """
    kept: list[int] = []
    walks: list[list[int]] = []
    for axis, size in enumerate(sizes):
        if size == 1:
            continue
        column = [strides[axis] for strides in operands]
        if kept and all(
            outer == inner * size
            for outer, inner in zip(walks[-1], column, strict=True)
        ):
            kept[-1] *= size
            walks[-1] = column
        else:
            kept.append(size)
            walks.append(column)
    merged = tuple(tuple(column[i] for column in walks) for i in range(len(operands)))
    return tuple(kept), merged


@lru_cache(maxsize=4096)
def blocks(sizes: tuple[int, ...], grain: int = CHUNK, unit: int = 64) -> Strides:
    """How long a block of each dimension is, for chunks of about `grain` elements.

    Outer dimensions are cut first; the last one only into multiples of `unit`. The
    cut depends on the sizes alone, never on threads.
    """
    total = 1
    for size in sizes:
        total *= size
    needed = min(-(-total // grain), CHUNKS)
    lengths = []
    for axis, size in enumerate(sizes):
        length = -(-size // min(size, needed)) if size else 1
        if axis == len(sizes) - 1:
            length = -(-length // unit) * unit
        needed = -(-needed // max(-(-size // length), 1))
        lengths.append(length)
    return tuple(lengths)


def tiles(sizes: tuple[int, ...], side: int = 64) -> Strides:
    """As `blocks`, where the last two dimensions are walked in tiles of `side`²."""
    rows = min(sizes[-2], side)
    columns = min(-(-max(CHUNK // rows, 1) // side) * side, sizes[-1])
    outer = sizes[:-2]
    lengths = blocks(outer, max(CHUNK // (rows * columns), 1), 1) if outer else ()
    return (*lengths, rows, columns)


def pieces(sizes: Sequence[int], lengths: Sequence[int]) -> tuple[int, ...]:
    """How many blocks each dimension has."""
    return tuple(
        -(-size // length) for size, length in zip(sizes, lengths, strict=True)
    )


#: Results of so many bytes are written past the caches, in lines of so many: else each
#: line is read from memory only to be overwritten.
STREAMED, LINE = 16 << 20, 64


def streams(size: int, itemsize: int, walk: Sequence[int]) -> bool:
    """Whether a result, elements in all, outgrows the caches, and its rows fill whole
    lines: `walk` are its strides, those of neighbours last."""
    return (
        size * itemsize >= STREAMED
        and itemsize >= 4
        and walk[-1] == 1
        and not any([stride * itemsize % LINE for stride in walk[:-1]])
    )


def overlaps(out: np.ndarray, array: np.ndarray) -> bool:
    """Whether writing `out` might change elements of `array` not yet read.

    The very same elements at the same indices are safe: each is read, then written.
    """
    if not np.may_share_memory(out, array):
        return False
    return (
        out.ctypes.data != array.ctypes.data
        or out.shape != array.shape
        or out.strides != array.strides
    )


def _repeats(rows: int, columns: int) -> int:
    """How many rows to see as one: whole vectors if possible, and not too many."""
    wanted = 64 // math.gcd(64, columns)
    if rows % wanted == 0 and wanted * columns <= 1024:
        return wanted
    largest = max(1, 256 // columns)
    return next(m for m in range(min(largest, rows), 0, -1) if rows % m == 0)


@dataclass(frozen=True)
class Repeat:
    """Input `index` is to be copied so that its channels stand several times in a row.

    `sizes` and `strides` (in elements) describe the repeated view that is copied.
    """

    index: int
    sizes: tuple[int, ...]
    strides: Strides

    def copy(self, array: np.ndarray) -> np.ndarray:
        rows, columns = self.sizes[-2:]
        if array.size == columns and self.strides[-1] == 1:  # one number a channel
            copy = np.empty((rows, columns), array.dtype)
            copy[...] = array.reshape(columns)
            return copy
        strides = [stride * array.itemsize for stride in self.strides]
        view = np.lib.stride_tricks.as_strided(array, self.sizes, strides)
        return np.ascontiguousarray(view)


def widen(
    sizes: tuple[int, ...], walks: Sequence[Strides], inputs: int, row: int, column: int
) -> tuple[int, tuple[int, ...], tuple[Strides, ...], tuple[Repeat, ...]]:
    """See several rows of few channels as one long row, so that lanes are full.

    Operands are dense over both axes, or the same in every row; of these (one number a
    channel, say) a repeated copy is to be made. Only the first `inputs` operands may
    be. Returns how many rows became one (1: nothing is changed), sizes, strides and
    the copies.
    """
    rows, columns = sizes[row], sizes[column]
    unchanged = 1, sizes, tuple(walks), ()
    if columns >= 64 or rows == 1:
        return unchanged
    for i, walk in enumerate(walks):
        dense_rows = walk[column] == 1 and walk[row] == columns
        if not dense_rows and (walk[row] != 0 or i >= inputs):
            return unchanged
    times = _repeats(rows, columns)
    if times == 1:
        return unchanged
    new_sizes = list(sizes)
    new_sizes[row], new_sizes[column] = rows // times, columns * times
    new_walks, repeats = [], []
    for i, walk in enumerate(walks):
        changed = list(walk)
        changed[row] = columns * times
        if walk[row] == 0:
            repeat, changed = _repeated(i, sizes, walk, row, column, times)
            repeats.append(repeat)
        new_walks.append(tuple(changed))
    return times, tuple(new_sizes), tuple(new_walks), tuple(repeats)


def _repeated(
    index: int, sizes: Strides, walk: Strides, row: int, column: int, times: int
) -> tuple[Repeat, list[int]]:
    """The copy of an operand that is the same in every row, and how it walks."""
    outer = [a for a in range(len(sizes)) if a not in (row, column) and walk[a] != 0]
    shape = (*[sizes[a] for a in outer], times, sizes[column])
    strides = (*[walk[a] for a in outer], 0, walk[column])
    changed = [0] * len(sizes)
    step = times * sizes[column]
    for axis in reversed(outer):
        changed[axis] = step
        step *= sizes[axis]
    changed[column] = 1
    return Repeat(index, shape, strides), changed
