"""`atrous.cuda`: there is no GPU, and code that asks is told so."""

from __future__ import annotations

from . import amp


def is_available() -> bool:
    return False


def device_count() -> int:
    return 0


def is_initialized() -> bool:
    return False


def manual_seed(seed: int) -> None:
    """Without a GPU there is nothing to seed; torch, too, ignores the call."""


manual_seed_all = manual_seed


def empty_cache() -> None:
    """Nothing is cached."""


def synchronize(device=None) -> None:
    raise AssertionError("Torch not compiled with CUDA enabled")
