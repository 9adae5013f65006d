"""`atrous.cpu`: what torch.cpu offers, for a machine that is always one device."""

from __future__ import annotations

from .. import deferred
from ..compiler import memory
from . import amp


def is_available() -> bool:
    return True


def device_count() -> int:
    return 1


def current_device() -> str:
    return "cpu"


def synchronize(device=None) -> None:
    """Do the pointwise work that is pending; see `deferred`."""
    deferred.synchronize()


def empty_cache() -> None:
    """Give freed memory that is kept for reuse back to the system."""
    memory.empty_cache()


def memory_allocated(device=None) -> int:
    """Bytes that tensors hold; those below 64 KiB, which NumPy keeps, are not counted.

    Source: torch.cuda's function of this name.
    """
    return memory.taken_bytes()


def max_memory_allocated(device=None) -> int:
    """The most bytes that tensors and kernels have held since the start, or since
    `reset_peak_memory_stats`."""
    return memory.most_bytes()


def reset_peak_memory_stats(device=None) -> None:
    """Let `max_memory_allocated` start at what is held now."""
    memory.reset_most()


def memory_reserved(device=None) -> int:
    """Bytes that are held, or kept for reuse."""
    return memory.taken_bytes() + memory.cached_bytes()
