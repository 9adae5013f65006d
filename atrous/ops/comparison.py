"""Comparison, logic and bits of two operands, element by element."""

from __future__ import annotations

from ..tensor import Tensor
from .elementwise import X, Y, binary, boolean, checked_operands
from .operands import result_type, with_out

__all__ = """
    bitwise_and bitwise_or bitwise_xor eq ge greater greater_equal gt le less
    less_equal logical_and logical_or logical_xor lt ne not_equal
""".split()


def _comparison(name: str):
    return binary(name, (name, X, Y), rule=boolean, numbers="second")


eq = _comparison("eq")


ne = not_equal = _comparison("ne")


lt = less = _comparison("lt")


le = less_equal = _comparison("le")


gt = greater = _comparison("gt")


ge = greater_equal = _comparison("ge")


_TRUE_X, _TRUE_Y = ("ne", X, ("const", 0)), ("ne", Y, ("const", 0))


def _logical(name: str):
    form = (name, _TRUE_X, _TRUE_Y)
    return binary(f"logical_{name}", form, rule=boolean, numbers="neither")


logical_and = _logical("and")


logical_or = _logical("or")


logical_xor = _logical("xor")


def _bits(name: str):
    operation = binary(f"bitwise_{name}", (name, X, Y))

    def checked(input, other) -> Tensor:
        if result_type(*checked_operands(name, input, other)).is_floating_point:
            raise RuntimeError(
                f"bitwise_{name}: takes integer or bool tensors, not floating point."
            )
        return operation(input, other)

    checked.__name__ = checked.__qualname__ = f"bitwise_{name}"
    checked.__doc__ = operation.__doc__
    return with_out(checked)


bitwise_and, bitwise_or, bitwise_xor = map(_bits, ("and", "or", "xor"))
