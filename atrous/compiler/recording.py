"""Calls that are worked out once: launches over numbered buffers, as data.

A network calls with the same shapes again and again. What a call then does (which
kernels, their numbers, what is copied where, how much scratch memory) depends on
shapes, strides and dtypes alone, so it is recorded the first time and replayed ever
after: addresses are filled in, kernels are run.

    recorder = Recorder(target)
    x, y = recorder.given(x_array), recorder.given(y_array)
    packed = recorder.scratch(x.shape, x.dtype)
    packed[...] = x.swapaxes(0, 1)              an assignment becomes a launch
    recorder.launch(kernel, (packed, y), numbers, chunks)
    recording = recorder.recording()
    recording(x_array, y_array)

What is recorded on are stand-ins: NumPy arrays with shape and strides but no values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import as_strided

from . import memory, pool
from .elementwise import launch_into
from .launch import address, integer_at
from .pool import Step, replayer, workers_of
from .target import Target

#: What stand-ins pretend to begin at. No byte of it, or around it, is read or written.
_ALIGNMENT = 64
_NOWHERE = np.zeros(2 * _ALIGNMENT, np.uint8)
_NOWHERE = _NOWHERE[-address(_NOWHERE) % _ALIGNMENT :][:_ALIGNMENT]
#: Terms that one launch adds.
_TERMS = 8


class StandIn(np.ndarray):
    """An array without values: views of it are stand-ins, and what is assigned to it
    is recorded. Where NumPy would copy to change a shape, so does the recording."""

    recorder: Recorder
    buffer: int
    origin: int  # the address at which the buffer would begin

    def __array_finalize__(self, obj) -> None:
        if isinstance(obj, StandIn):
            self.recorder, self.buffer = obj.recorder, obj.buffer
            self.origin = obj.origin

    def __getitem__(self, index):
        parts = index if isinstance(index, tuple) else (index,)
        for axis, places in enumerate(parts):
            if isinstance(places, np.ndarray):
                return self._taken(places, axis)
        return super().__getitem__(index)

    def _taken(self, places: np.ndarray, axis: int) -> StandIn:
        """A copy of what lies at some places of an axis, a copy for each stretch."""
        shape = (*self.shape[:axis], len(places), *self.shape[axis + 1 :])
        taken = self.recorder.scratch(shape, self.dtype)
        before = (slice(None),) * axis
        ends = [0, *np.flatnonzero(np.diff(places) != 1) + 1, len(places)]
        for start, stop in pairwise(ends):
            first = places[start]
            part = self[*before, first : first + stop - start]
            taken[*before, start:stop] = part
        return taken

    def __setitem__(self, index, value) -> None:
        self.recorder.assign(self[index], value)

    def fill(self, value) -> None:
        self.recorder.assign(self, value)

    def reshape(self, *shape, **options):
        try:
            return super().reshape(*shape, copy=False)
        except ValueError:  # elements are too far apart
            copy = self.recorder.scratch(self.shape, self.dtype)
            copy[...] = self
            return super(StandIn, copy).reshape(*shape)

    def sum(self, axis=0, **options):
        """The sum over the first axis, added in order."""
        assert axis == 0 and not options
        return self.recorder.sum(self)

    @property
    def place(self) -> tuple[int, int]:
        """The buffer, and the byte of it at which the first element lies."""
        return self.buffer, address(self) - self.origin


def _stand_in(recorder, buffer: int, shape, strides, dtype, offset: int) -> StandIn:
    """A stand-in `offset` bytes after the beginning of its buffer."""
    start = np.ndarray((1,), np.uint8, _NOWHERE).view(StandIn)
    start.recorder, start.buffer, start.origin = recorder, buffer, address(start)
    start.origin -= offset
    typed = np.ndarray((), dtype, _NOWHERE)
    found = as_strided(typed, shape, strides).view(StandIn)
    found.__array_finalize__(start)
    return found


class Recorder:
    """Writes down what a call does. Buffers are the arrays given, in their order, then
    the scratch memory; workspace is scratch memory that every launch uses anew."""

    def __init__(self, target: Target):
        self.target = target
        self._given = 0
        self._steps: list[Step] = []
        self._scratch = self._workspace = 0
        self._kept: list[np.ndarray] = []
        self._flag: int | None = None
        self._raised: StandIn | None = None
        self._finite: list[int] = []

    # Memory

    def given(self, array: np.ndarray) -> StandIn:
        """The stand-in of the next array that the recording will be called with."""
        self._given += 1
        number = self._given - 1
        return _stand_in(self, number, array.shape, array.strides, array.dtype, 0)

    def scratch(self, shape, dtype, order: tuple[int, ...] | None = None) -> StandIn:
        """Memory of the call's own, laid out as `memory.empty` does."""
        dtype = np.dtype(dtype)
        order = tuple(range(len(shape))) if order is None else order
        strides, step = [0] * len(shape), dtype.itemsize
        for axis in reversed(order):
            strides[axis] = step
            step *= shape[axis]
        offset = self._scratch
        self._scratch += -(-step // _ALIGNMENT) * _ALIGNMENT
        return _stand_in(self, -1, shape, strides, dtype, offset)

    def workspace(self, elements: int, dtype, chunks: int) -> StandIn:
        """`elements` for each worker of a launch of `chunks`."""
        dtype = np.dtype(dtype)
        count = elements * workers_of(chunks)
        self._workspace = max(self._workspace, count * dtype.itemsize)
        return _stand_in(self, -2, (count,), (dtype.itemsize,), dtype, 0)

    def flag(self) -> StandIn:
        """An integer, zero until a launch sets it to say that the result is wrong: one
        for all launches."""
        if self._raised is None:
            self._raised = self.scratch((1,), np.int64)
            self._raised.fill(0)
            self._flag = self._raised.place[1]
        return self._raised

    # Steps

    def launch(self, kernel: int, pointers: Sequence, numbers, chunks: int) -> None:
        """Run a kernel. Its arguments are addresses and then numbers.

        An address is that of a stand-in, of (stand-in, element) or, for a table that
        stays as it is, of an array; None is for one that is not read.
        """
        values: list[int] = []
        places = []
        for argument, pointer in enumerate(pointers):
            element = 0
            if isinstance(pointer, tuple):
                pointer, element = pointer
            if isinstance(pointer, StandIn):
                buffer, byte = pointer.place
                places.append((argument, buffer, byte + element * pointer.itemsize))
            elif pointer is not None:
                self._kept.append(pointer)
            known = pointer is None or isinstance(pointer, StandIn)
            values.append(0 if known else address(pointer))
        step = Step(kernel, (*values, *numbers), tuple(places), chunks)
        self._steps.append(step)

    def pointwise(self, expr, *arrays: StandIn, out: StandIn, ordered=False) -> None:
        """As `compiler.pointwise`: write an expression's values into `out`. Axes are
        walked as they lie in `out` or, if `ordered`, from the first to the last."""
        if out.size:
            made = launch_into(expr, arrays, out, self.target, ordered)
            self.launch(made.kernel, (*arrays, out), made.numbers, made.chunks)

    def assign(self, to: StandIn, value) -> None:
        """to[...] = value: another stand-in, or a number."""
        if isinstance(value, StandIn):
            self.pointwise(("in", 0), value, out=to)
        else:
            self.pointwise(("const", value), out=to)

    def sum(self, parts: StandIn) -> StandIn:
        """The sum over the first axis, added in order."""
        first, *rest = parts
        if not rest:
            return first
        total = self.scratch(first.shape, first.dtype)
        while rest:
            some, rest = rest[: _TERMS - 1], rest[_TERMS - 1 :]
            expr: tuple = ("in", 0)
            for term in range(1, len(some) + 1):
                expr = ("add", expr, ("in", term))
            self.pointwise(expr, first, *some, out=total)
            first = total
        return total

    def must_be_finite(self, result: StandIn) -> None:
        """Note that a result, one of the arrays given, is wrong if not all of it is."""
        if result.buffer not in self._finite:
            self._finite.append(result.buffer)

    # The end

    def recording(self) -> Recording:
        """What was written down."""
        start = self._scratch
        places = {-1: (self._given, 0), -2: (self._given, start)}
        steps = []
        for step in self._steps:
            pointers = []
            for argument, buffer, byte in step.pointers:
                buffer, offset = places.get(buffer, (buffer, 0))
                pointers.append((argument, buffer, byte + offset))
            steps.append(replace(step, pointers=tuple(pointers)))
        size = start + self._workspace
        return Recording(steps, size, self._kept, self._flag, self._finite)


class Recording:
    """Launches over buffers: the arrays of a call, then scratch memory.

    `kept` are tables that launches read; `flag` is a byte of the scratch memory, and
    `finite` are arrays: what says that the result is wrong.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        scratch: int,
        kept: list[np.ndarray],
        flag: int | None,
        finite: list[int],
    ):
        self._replay = replayer(steps)
        self._scratch = memory.Blank((scratch,), np.uint8) if scratch else None
        self._kept, self._flag, self._finite = kept, flag, finite

    def __call__(self, *arrays: np.ndarray) -> bool:
        """Run on these arrays, which lie as those that it was recorded for. Returns
        whether the result is wrong, and must be computed otherwise."""
        if pool.orphaned:
            pool.rehire()
        if self._scratch is None:
            self._replay(*arrays)
            return False
        scratch = self._scratch()
        self._replay(*arrays, scratch)
        if self._flag is not None and integer_at(address(scratch) + self._flag):
            return True
        return any(not np.isfinite(arrays[place]).all() for place in self._finite)
