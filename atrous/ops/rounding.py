"""Half types through an operation made of several: rounded once, at its end."""

from __future__ import annotations

import functools
from collections.abc import Callable

from .. import dtypes
from ..autograd import renamed
from ..tensor import Tensor

HALF = {dtypes.bfloat16, dtypes.float16}


def rounded_once(function: Callable) -> Callable:
    """Marks an operation that computes with half types in float32.

    The floating point tensors among its operands must be of one half type for that;
    all its results are then rounded to it.
    """

    @functools.wraps(function)
    def public(*operands, **options):
        kinds = {
            each.dtype
            for each in operands
            if isinstance(each, Tensor) and each.is_floating_point()
        }
        if len(kinds) != 1 or not kinds <= HALF:
            return function(*operands, **options)
        (kind,) = kinds
        wide = [_widened(each) for each in operands]
        results = function(*wide, **options)
        if isinstance(results, tuple):
            return tuple(_rounded(each, kind) for each in results)
        return _rounded(results, kind)

    return public


def _widened(operand):
    half = isinstance(operand, Tensor) and operand.dtype in HALF
    return operand.float() if half else operand


def _rounded(result: Tensor, kind: dtypes.dtype) -> Tensor:
    """The result in a half type; its node prints as the operation's own."""
    out = result.to(kind)
    node = result.grad_fn
    return out if node is None else renamed(out, node.name())
