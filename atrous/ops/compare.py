"""Questions about tensors: one Python value for an answer, or closeness."""

from __future__ import annotations

from .. import dtypes
from ..dtypes import dtype
from ..tensor import Tensor
from ..tensor import is_tensor as is_tensor
from . import operands
from .arguments import check_tensor

__all__ = """
    allclose can_cast equal is_complex is_floating_point is_nonzero is_same_size
    is_tensor isclose numel promote_types result_type
""".split()

can_cast, promote_types = dtypes.can_cast, dtypes.promote_types


def isclose(
    input: Tensor, other: Tensor, rtol=1e-05, atol=1e-08, equal_nan: bool = False
) -> Tensor:
    """|input − other| ≤ atol + rtol · |other|, element by element."""
    check_tensor("isclose", "input", input)
    check_tensor("isclose", "other", other)
    if input.dtype is not other.dtype:
        raise RuntimeError(f"{input.dtype} did not match {other.dtype}")
    if rtol < 0 or atol < 0:
        raise RuntimeError(
            f"isclose: rtol and atol must not be negative, but are {rtol} and {atol}"
        )
    near = input == other
    if equal_nan and input.is_floating_point():
        near = near | (input.isnan() & other.isnan())
    if rtol == 0 and atol == 0:
        return near
    if not input.is_floating_point():
        input, other = input.double(), other.double()
    gap, allowed = (input - other).abs(), (other * rtol).abs() + atol
    return near | (gap.isfinite() & (gap <= allowed))


def allclose(input, other, rtol=1e-05, atol=1e-08, equal_nan: bool = False) -> bool:
    """Is every element close? See `isclose`."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all())


def equal(input: Tensor, other: Tensor) -> bool:
    """The same shape and the same elements?"""
    if input.shape != other.shape:
        return False
    return bool((input == other).all())


def is_same_size(input: Tensor, other: Tensor) -> bool:
    """The same shape?"""
    return input.shape == other.shape


def is_floating_point(input: Tensor) -> bool:
    """Is the dtype a floating point one?"""
    return input.dtype.is_floating_point


def is_complex(input: Tensor) -> bool:
    """Never: there are no complex tensors."""
    return False


def is_nonzero(input: Tensor) -> bool:
    """Is the one element other than zero?"""
    return bool(input)


def numel(input: Tensor) -> int:
    """How many elements."""
    check_tensor("numel", "input", input)
    return input.numel()


def result_type(tensor1, tensor2) -> dtype:
    """The dtype that an operation of these two has."""
    return operands.result_type(tensor1, tensor2)
