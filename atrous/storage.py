"""The memory under a tensor and all its views.

Logically a fresh tensor is contiguous. Physically a kernel may have written it in
another dense order (convolutions write channels-last); `Storage` hides that. Strides
are reported in the logical order. When a view is asked for that the physical order
cannot express, the storage rewrites itself in logical order, and all live tensors
follow.
"""

from __future__ import annotations

import weakref

import numpy as np


class Writes:
    """Counts writes in place, apart from a storage's own count."""

    __slots__ = ("version",)

    def __init__(self) -> None:
        self.version = 0


class Storage:
    """`array` has the base tensor's logical shape; `version` counts writes in place.

    `followers` are the tensors to tell of a rewrite; None where physical order is
    logical order, so that there never is one. `readers` is pending work that reads the
    memory (see deferred); `exported` says that others than tensors may write to it.
    """

    __slots__ = ("__weakref__", "array", "exported", "followers", "readers", "version")

    def __init__(self, array: np.ndarray, hidden_order: bool):
        self.array = array
        self.version = 0
        self.followers: list[weakref.ref] | None = [] if hidden_order else None
        self.readers: list[weakref.ref] | None = None
        self.exported = False

    def read_by(self, work) -> None:
        """Note that `work` is to be settled before the memory changes."""
        living = [each for each in self.readers or () if each() is not None]
        self.readers = [*living, weakref.ref(work)]

    def settle_readers(self) -> None:
        """Do the pending work that reads the memory: it is about to change."""
        readers, self.readers = self.readers, None
        for reference in readers or ():
            work = reference()
            if work is not None:
                work.settle()

    def export(self) -> None:
        """Others may write to the memory from now on, unseen."""
        self.settle_readers()
        self.exported = True

    def logical_steps(self, steps: int) -> int:
        """Physical bytes from one element to another -> elements in logical order.

        Writes the distance in the mixed radix of the physical strides and reads the
        digits in that of the logical ones.
        """
        logical, unit = [], 1
        for size in reversed(self.array.shape):
            logical.append(unit)
            unit *= size
        axes = zip(self.array.strides, reversed(logical), self.array.shape, strict=True)
        total = 0
        for physical, step, size in sorted(axes, reverse=True):
            if size > 1:
                digit, steps = divmod(steps, physical)
                total += digit * step
        return total

    def strides(self, view: np.ndarray) -> tuple[int, ...]:
        """The strides of `view`, in elements of the logical order."""
        if self.followers is None:
            return tuple(step // view.itemsize for step in view.strides)
        if view is self.array or view.shape == self.array.shape == ():
            return contiguous_strides(view.shape)
        return tuple(map(self.logical_steps, view.strides))

    def offset(self, view: np.ndarray) -> int:
        """How many elements before the first one of `view`, in logical order."""
        if not view.size:
            return 0
        distance = address(view) - address(self.array)
        if self.followers is None:
            return distance // view.itemsize
        return self.logical_steps(distance)

    def rewrite(self) -> bool:
        """Put the memory into logical order; False if it is already."""
        if self.followers is None:
            return False
        places = [
            (tensor, self.strides(tensor._array), self.offset(tensor._array))
            for tensor in (reference() for reference in self.followers)
            if tensor is not None and tensor._storage is self
        ]
        self.array = np.ascontiguousarray(self.array)
        self.followers = None
        for tensor, strides, offset in places:
            tensor._array = self.strided(tensor._array.shape, strides, offset)
        return True

    def strided(self, shape, strides, offset: int) -> np.ndarray:
        """A view by sizes, steps and offset, in elements of the logical order."""
        item = self.array.itemsize
        flat = (
            np.lib.stride_tricks.as_strided(self.array, (1,), (item,), subok=False)
            if offset == 0
            else _from(self.array, offset)
        )
        return np.lib.stride_tricks.as_strided(
            flat, shape, [step * item for step in strides]
        )


def _from(array: np.ndarray, offset: int) -> np.ndarray:
    """One element of contiguous memory, `offset` elements after its start."""
    run = np.lib.stride_tricks.as_strided(array, (offset + 1,), (array.itemsize,))
    return run[offset:]


def address(array: np.ndarray) -> int:
    """Where the first element lies, in bytes."""
    return array.__array_interface__["data"][0]


def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The steps of a contiguous tensor, in elements; torch counts an empty axis as 1.

    >>> contiguous_strides((2, 3, 4))
    (12, 4, 1)
    """
    strides, unit = [], 1
    for size in reversed(shape):
        strides.append(unit)
        unit *= max(size, 1)
    return tuple(reversed(strides))
