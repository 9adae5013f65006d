"""What is left to do once a kernel is chosen: addresses in front, scalars behind.

A network calls with the same shapes again and again. A `Launch` keeps the kernel and
the numbers that depend on shapes alone; a call adds what is new to it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .emit import bits
from .layout import Repeat
from .pool import run

#: Launches remembered of one plan; a program of ever new shapes starts over.
REMEMBERED = 1024

_slot = ctypes.c_int64.from_address
_OFFSET = object.__basicsize__


def _by_attribute(array: np.ndarray) -> int:
    return array.ctypes.data


def _by_field(array: np.ndarray) -> int:
    """The address is the first field of NumPy's array, which its C interface fixes."""
    return _slot(id(array) + _OFFSET).value


_probe = np.zeros(3)[1:]
_direct = _by_field(_probe) == _by_attribute(_probe)


def integer_at(place: int) -> int:
    """The 64-bit integer at an address."""
    return _slot(place).value


#: The address of an array's first element, six times as fast as by `ctypes.data`.
address = _by_field if _direct else _by_attribute


@dataclass(frozen=True)
class Launch:
    """A kernel, the numbers between addresses and scalars, and how many chunks."""

    kernel: int
    numbers: list[int]
    chunks: int
    repeats: tuple[Repeat, ...] = ()

    def __call__(
        self,
        arrays: Sequence[np.ndarray],
        results: Sequence[np.ndarray],
        scalars: Sequence[object] = (),
        slots: Sequence[tuple[int, str]] = (),
    ) -> None:
        """Run on these arrays; `slots` say which scalar is wanted as which dtype."""
        if self.repeats:
            arrays = list(arrays)
            for repeat in self.repeats:
                arrays[repeat.index] = repeat.copy(arrays[repeat.index])
        arguments = [*map(address, arrays), *map(address, results), *self.numbers]
        for index, dtype in slots:
            arguments.append(
                bits(scalars[index], "bool" if dtype == "truth" else dtype)
            )
        run(self.kernel, arguments, self.chunks)


def remember(known: dict, key: tuple, value):
    """Keep `value` under `key`, in a dictionary that does not grow without end."""
    if len(known) >= REMEMBERED:
        known.clear()
    known[key] = value
    return value
