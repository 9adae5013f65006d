"""Choosing between two tensors, element by element."""

from __future__ import annotations

import math

import numpy as np

from .. import dtypes
from ..autograd import record
from ..dtypes import dtype
from ..tensor import Tensor
from .convert import clone
from .elementwise import X, Y, Z
from .operands import as_tensor, evaluate, result_type, stored, with_out

__all__ = """
    nan_to_num where
""".split()


@with_out
def where(condition: Tensor, input=None, other=None):
    """`input` where `condition`, else `other`; alone: indices, as nonzero."""
    if input is None and other is None:
        return condition.nonzero(as_tuple=True)
    if condition.dtype not in (dtypes.bool_, dtypes.uint8):
        raise RuntimeError(
            "where expected condition to be a boolean tensor, but got a tensor with"
            f" dtype {condition.dtype}"
        )
    kind = result_type(input, other)
    # A number takes the result's dtype before the choice, so nothing is cast twice.
    picked = [
        each
        if isinstance(each, Tensor)
        else Tensor._of(stored(np.asarray(each), kind), kind)
        for each in (input, other)
    ]
    out = _choose(condition, picked, kind)

    def formula(g, condition):
        zero = as_tensor(0.0).to(g.dtype)
        return (
            None,
            (lambda: where(condition, g, zero)),
            (lambda: where(condition, zero, g)),
        )

    return record(out, "WhereBackward0", (condition, *picked), formula, (condition,))


def _choose(condition: Tensor, picked: list[Tensor], kind: dtype) -> Tensor:
    condition = condition if condition.dtype is dtypes.bool_ else condition.bool()
    cast = [each if each.dtype is kind else each.to(kind) for each in picked]
    return evaluate(("where", X, Y, Z), (condition, *cast), None, kind)


@with_out
def nan_to_num(input: Tensor, nan=None, posinf=None, neginf=None) -> Tensor:
    """NaN and infinities replaced by numbers (default: 0, largest, smallest)."""
    if not input.is_floating_point():
        return clone(input)
    limits = dtypes.finfo(input.dtype)
    high = limits.max if posinf is None else posinf
    low = limits.min if neginf is None else neginf
    out = where(input.isnan(), 0.0 if nan is None else float(nan), input)
    return where(out == math.inf, float(high), where(out == -math.inf, float(low), out))
