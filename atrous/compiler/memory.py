"""The caching allocator: aligned blocks, huge pages, and reuse instead of page faults.

    empty((2, 16, 32, 32), "float32", order=(0, 2, 3, 1))

A fresh large block costs 5–10 times its own copy in page faults, so a block whose last
array has died waits in a list for the next array of about its size. Small arrays are
NumPy's own. With ATROUS_POISON=1 fresh memory is filled with NaN (0xFF in integers), so
that a kernel which forgets an element, or reads one it should not, is seen.
"""

import ctypes
import mmap
import os
import threading
from collections import deque
from math import prod

import numpy as np

from ..errors import OutOfMemoryError

#: Below this many bytes an array comes from NumPy.
SMALL_BYTES = 64 << 10
#: The size of a huge page; blocks of at least this are aligned to it.
HUGE = 2 << 20
_ALIGNMENT = 64
_PRIVATE = getattr(mmap, "MAP_PRIVATE", 0) | getattr(mmap, "MAP_ANONYMOUS", 0)


class _Block:
    """One mapping. Its `__array_interface__` makes arrays that keep it alive."""

    __slots__ = ("__weakref__", "address", "bytes", "memory")

    def __init__(self, size: int):
        spare = HUGE if size >= HUGE else 0
        self.memory = mmap.mmap(-1, size + spare, flags=_PRIVATE)
        self.bytes = size
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.address = start
        if spare:
            self.address = -(-start // HUGE) * HUGE
            if hasattr(mmap, "MADV_HUGEPAGE"):
                self.memory.madvise(mmap.MADV_HUGEPAGE)


class _Lease:
    """What an array keeps alive; the block goes back when the last array dies."""

    __slots__ = ("__array_interface__", "block")

    def __init__(self, block: _Block, size: int):
        self.block = block
        self.__array_interface__ = {
            "shape": (size,),
            "typestr": "|u1",
            "data": (block.address, False),
            "version": 3,
        }

    def __del__(self):
        _give_back(self.block)


# Appending to a deque and popping from it are atomic, so that `__del__`, which may run
# in any thread at any moment, needs no lock of its own but for the sum of bytes.
_free: dict[int, deque[_Block]] = {}
_cached = _taken = _most = 0
_lock = threading.RLock()


def _physical() -> int:
    """Bytes of memory that this process may have at all."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for name in (
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ):
        try:
            with open(name) as file:
                total = min(total, int(file.read()))
        except (OSError, ValueError):
            continue
    return total


_LIMIT = _physical()
#: At most this many bytes wait for reuse.
CACHE_LIMIT = _LIMIT // 4


def _bucket(size: int) -> int:
    """The block size for a request: eight steps to the doubling, so ≤ 12.5 % unused."""
    step = max(4096, 1 << max(0, (size - 1).bit_length() - 4))
    return -(-size // step) * step


def _give_back(block: _Block) -> None:
    global _cached, _taken
    with _lock:
        _taken -= block.bytes
        if _cached + block.bytes > CACHE_LIMIT:
            return
        _cached += block.bytes
        _free.setdefault(block.bytes, deque()).append(block)


def _take(size: int) -> _Block | None:
    global _cached
    with _lock:
        waiting = _free.get(size)
        if not waiting:
            return None
        _cached -= size
        return waiting.pop()


def empty_cache() -> None:
    """Return all waiting blocks to the system."""
    global _cached
    with _lock:
        _free.clear()
        _cached = 0


def cached_bytes() -> int:
    """How many bytes wait for reuse."""
    return _cached


def taken_bytes() -> int:
    """How many bytes are in blocks that arrays hold."""
    return _taken


def most_bytes() -> int:
    """The most that `taken_bytes` has been since `reset_most`."""
    return _most


def reset_most() -> None:
    """Let `most_bytes` start at what is taken now."""
    global _most
    _most = _taken


def _large(size: int, what: str) -> np.ndarray:
    wanted = _bucket(size)
    block = _take(wanted)
    if block is None:
        try:
            if wanted > _LIMIT:
                raise MemoryError
            block = _Block(wanted)
        except (MemoryError, OSError, OverflowError, ValueError):
            raise _refusal(size, what) from None
    _count(block)
    return np.asarray(_Lease(block, size))


def _count(block: _Block) -> None:
    global _taken, _most
    with _lock:
        _taken += block.bytes
        _most = max(_most, _taken)


def _refusal(size: int, what: str) -> OutOfMemoryError:
    return OutOfMemoryError(
        f"cannot allocate {what}: {size} bytes ({size / 2**30:.1f} GiB), "
        f"this machine has {_LIMIT / 2**30:.1f} GiB"
    )


def require(shape: tuple[int, ...], dtype) -> None:
    """OutOfMemoryError, as of `empty`, for an array that NumPy is about to allocate."""
    dtype = np.dtype(dtype)
    size = prod(shape) * dtype.itemsize
    if size > _LIMIT:
        raise _refusal(size, f"{dtype.name} {shape}")


class Blank:
    """An array that is allocated again and again: what `empty` works out, worked out.

    Called, it gives an array whose values are not set.
    """

    __slots__ = ("_dtype", "_laid", "_size", "_turn", "_what")

    def __init__(self, shape, dtype, order: tuple[int, ...] | None = None):
        shape = tuple([int(size) for size in shape])
        self._dtype = dtype = np.dtype(dtype)
        self._size = prod(shape) * dtype.itemsize
        self._what = f"{dtype.name} {shape}"
        self._laid, self._turn = shape, None
        if order is not None and order != tuple(range(len(order))):
            self._laid = tuple([shape[axis] for axis in order])
            self._turn = tuple([order.index(axis) for axis in range(len(order))])

    def __call__(self) -> np.ndarray:
        if self._size < SMALL_BYTES:
            array = np.empty(self._laid, self._dtype)
        else:
            memory = _large(self._size, self._what)
            array = memory.view(self._dtype).reshape(self._laid)
        if POISON:
            poison(array)
        return array if self._turn is None else array.transpose(self._turn)


def empty(shape, dtype, order: tuple[int, ...] | None = None) -> np.ndarray:
    """An array whose values are not set.

    `order` names the axes from the outermost in memory to the innermost; None is C's
    order. (0, 2, 3, 1) lays (N, C, H, W) out channels-last.

    Raises OutOfMemoryError (a RuntimeError) with the size, if it cannot be had.
    """
    return Blank(shape, dtype, order)()


def zeros(shape, dtype, order: tuple[int, ...] | None = None) -> np.ndarray:
    """As `empty`, filled with zeros."""
    array = empty(shape, dtype, order)
    array.fill(0)
    return array


#: Whether fresh memory is filled with NaN, from the variable ATROUS_POISON.
POISON = os.environ.get("ATROUS_POISON") == "1"


def poison(array: np.ndarray) -> None:
    """Fill a dense array with bytes of ones: NaN in floats, -1 in integers."""
    array.reshape(-1).view(np.uint8).fill(0xFF)


def channels_last(rank: int) -> tuple[int, ...]:
    """The order of (N, C, *spatial) with channels innermost; `rank` counts all axes."""
    return (0, *range(2, rank), 1)


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
