"""Process-wide settings: threads, precision, determinism."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

from . import compiler


def set_num_threads(count: int) -> None:
    """How many threads kernels run on; results do not depend on it."""
    if not isinstance(count, int):
        given = type(count).__name__
        raise TypeError(f"set_num_threads expects an int, but got {given}")
    if count < 1:
        raise RuntimeError(f"set_num_threads expects a positive integer, not {count}")
    compiler.set_num_threads(count)


def get_num_threads() -> int:
    """How many threads kernels run on."""
    return compiler.threads()


def set_num_interop_threads(count: int) -> None:
    """Accepted as torch accepts it; operations run one after another here."""


def get_num_interop_threads() -> int:
    return 1


_PRECISIONS = ("highest", "high", "medium")
_precision = "highest"


def set_float32_matmul_precision(precision: str) -> None:
    """The least exactness of float32 products and convolutions, in all threads.

    "highest" is float32; "high" may be a few parts in 10⁶ off, "medium" as bfloat16,
    a few in 10³. Both are permissions, for processors with units that compute faster
    so; elsewhere, and where no kernel uses them, all is computed at "highest".
    docs/precision.md tells more.

    Warns, and does nothing, for another word; RuntimeError for what is no str.
    """
    global _precision
    if not isinstance(precision, str):
        raise RuntimeError(
            "set_float32_matmul_precision expects a str, but got"
            f" {type(precision).__name__}"
        )
    if precision in _PRECISIONS:
        _precision = precision
        return
    warnings.warn(
        f"set_float32_matmul_precision: '{precision}' is not one of"
        f" {', '.join(_PRECISIONS)}; nothing is changed.",
        stacklevel=2,
    )


def get_float32_matmul_precision() -> str:
    """The word that `set_float32_matmul_precision` was given; "highest" at first."""
    return _precision


@contextlib.contextmanager
def float32_matmul_precision(precision: str) -> Iterator[None]:
    """`set_float32_matmul_precision` for a `with` block, or for a function.

    >>> with float32_matmul_precision("high"):
    ...     get_float32_matmul_precision()
    'high'
    >>> get_float32_matmul_precision()
    'highest'

    Source: jax.default_matmul_precision; torch has no such context.
    """
    before = get_float32_matmul_precision()
    set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        set_float32_matmul_precision(before)


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Whether machines with the same instructions must give the same bits.

    On one machine every run gives the same, always. Where a convolution's fastest
    schedule is measured (see compiler/choice.py) another machine may take another; with
    `mode` nothing is measured.
    """
    from .compiler import choice

    choice.measured = not mode


def are_deterministic_algorithms_enabled() -> bool:
    """Whether `use_deterministic_algorithms(True)` is in force."""
    from .compiler import choice

    return not choice.measured
