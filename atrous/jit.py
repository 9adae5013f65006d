"""`atrous.jit`: model code is written with these marks; they leave it as it is."""

from __future__ import annotations


def is_scripting() -> bool:
    return False


def is_tracing() -> bool:
    return False


def ignore(function=None, **_):
    """The function itself."""
    return function if callable(function) else lambda given: given


unused = export = _overload_method = ignore


class Final:
    """`Final[int]` in annotations."""

    def __class_getitem__(cls, kind):
        return kind
