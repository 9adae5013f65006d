"""`atrous.cpu`: what torch.cpu offers, for a machine that is always one device."""

from __future__ import annotations


def is_available() -> bool:
    return True


def device_count() -> int:
    return 1


def current_device() -> str:
    return "cpu"


def synchronize(device=None) -> None:
    """Wait for pending work; operations are done when they return."""


def empty_cache() -> None:
    """Give freed memory that is kept for reuse back to the system."""
    from .compiler import empty_cache as release

    release()
