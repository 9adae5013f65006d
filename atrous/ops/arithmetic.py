"""Arithmetic of two operands, element by element, broadcast as torch does."""

from __future__ import annotations

from collections.abc import Callable

from .. import dtypes
from ..autograd import renamed
from ..dtypes import dtype
from ..tensor import Tensor
from .arguments import check_tensor
from .choice import where
from .elementwise import (
    NOTHING,
    X,
    Y,
    binary,
    checked_operands,
    real,
    zeros_like,
)
from .limits import maximum
from .mathematics import sign, square
from .operands import as_tensor, result_type, with_out
from .rounding import rounded_once

__all__ = """
    add addcdiv addcmul arctan2 atan2 copysign div divide float_power floor_divide
    fmod heaviside hypot lerp logaddexp mul multiply pow remainder rsub sub subtract
    true_divide xlogy
""".split()

_mul = binary(
    "mul",
    ("mul", X, Y),
    lambda g, a, b: ((lambda: g * b), (lambda: g * a)),
    ((1,), (0,)),
)


_add = binary("add", ("add", X, Y), lambda g, a, b: (g, g), NOTHING)


_sub = binary("sub", ("sub", X, Y), lambda g, a, b: (g, lambda: -g), NOTHING)


_true_divide = binary(
    "div",
    ("div", X, Y),
    lambda g, a, b: ((lambda: g / b), (lambda: -g * ((a / b) / b))),
    ((1,), (0, 1)),
    rule=real,
)


_plus = _add.__wrapped__  # without out=, which add takes


def _scaled(name: str, other, alpha):
    """`other · alpha`, with torch's refusals of a float alpha for integers."""
    if alpha == 1:
        return other
    whole = isinstance(other, Tensor) and not other.dtype.is_floating_point
    if whole and isinstance(alpha, float):
        raise RuntimeError(
            f"{name}: for integral input tensors, argument alpha must not be a floating"
            f" point number, got alpha={alpha}."
        )
    return other * alpha


@with_out
def add(input, other, *, alpha=1) -> Tensor:
    """input + alpha · other, broadcast."""
    return _plus(input, other if alpha == 1 else _scaled("add", other, alpha))


@with_out
def sub(input, other, *, alpha=1) -> Tensor:
    """input − alpha · other, broadcast."""
    for each in (input, other):
        if isinstance(each, bool) or (
            isinstance(each, Tensor) and each.dtype is dtypes.bool_
        ):
            raise RuntimeError(
                "Subtraction, the `-` operator, with a bool tensor is not supported. If"
                " you are trying to invert a mask, use the `~` or `logical_not()`"
                " operator instead."
            )
    return _sub(input, other if alpha == 1 else _scaled("sub", other, alpha))


def rsub(input, other, *, alpha=1) -> Tensor:
    """other − alpha · input."""
    check_tensor("rsub", "input", input)
    return sub(as_tensor(other, input), input, alpha=alpha)


mul = multiply = _mul


@with_out
def div(input, other, *, rounding_mode: str | None = None) -> Tensor:
    """input / other; `rounding_mode` "trunc" or "floor" rounds the quotient."""
    if rounding_mode is None:
        return _true_divide(input, other)
    if rounding_mode == "trunc":
        return _divide_trunc(input, other)
    if rounding_mode == "floor":
        return floor_divide(input, other)
    raise RuntimeError(
        "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found"
        f" '{rounding_mode}'"
    )


def true_divide(input, other, *, out=None) -> Tensor:
    """input / other, never rounded."""
    return div(input, other, out=out)


divide, subtract = div, sub


def _check_divisor(name: str, other, kind: dtype) -> None:
    if kind.is_floating_point:
        return
    zero = (other._array == 0).any() if isinstance(other, Tensor) else other == 0
    if zero:
        raise RuntimeError(f"ZeroDivisionError: {name} of integers by zero")


_floor = binary(
    "floor_divide",
    ("floordiv", X, Y),
    lambda g, a, b: ((lambda: g * 0), (lambda: g * 0)),
    NOTHING,
    node="DivBackward1",
)


_quotient = binary(
    "div_trunc",
    ("trunc", ("div", X, Y)),
    lambda g, a, b: ((lambda: g * 0), (lambda: g * 0)),
    NOTHING,
    node="DivBackward1",
)


@with_out
def floor_divide(input, other) -> Tensor:
    """⌊input / other⌋; ZeroDivisionError (as RuntimeError) for integers by zero."""
    kind = result_type(*checked_operands("floor_divide", input, other))
    _check_divisor("floor_divide", other, kind)
    return _floor(input, other)


def _divide_trunc(input, other) -> Tensor:
    kind = result_type(*checked_operands("div", input, other))
    _check_divisor("div", other, kind)
    if kind.is_floating_point:
        return _quotient(input, other)
    # Truncated quotient of integers, exact: (a − fmod(a, b)) / b without rounding.
    return _floor(input - fmod(input, other), other)


_fmod = binary(
    "fmod",
    ("fmod", X, Y),
    lambda g, a, b: (g, lambda: -g * div(a, b, rounding_mode="trunc")),
    ((), (0, 1)),
    numbers="second",
)


_remainder = binary(
    "remainder",
    ("mod", X, Y),
    lambda g, a, b: (g, lambda: -g * div(a, b, rounding_mode="floor")),
    ((), (0, 1)),
)


@with_out
def fmod(input, other) -> Tensor:
    """The remainder with the sign of `input`."""
    kind = result_type(*checked_operands("fmod", input, other, numbers="second"))
    _check_divisor("fmod", other, kind)
    return _fmod(input, other)


@with_out
def remainder(input, other) -> Tensor:
    """The remainder with the sign of `other`, as Python's %."""
    kind = result_type(*checked_operands("remainder", input, other))
    _check_divisor("remainder", other, kind)
    return _remainder(input, other)


def _pow_of_base(g, base, exponent):
    if isinstance(exponent, Tensor):
        slope = exponent * base ** (exponent - 1)
        return g * where(exponent == 0, zeros_like(slope), slope)
    return g * 0 if exponent == 0 else g * (base ** (exponent - 1) * exponent)


def _pow_of_exponent(g, base, exponent):
    base = as_tensor(base, exponent)
    power = base**exponent
    flat = (base == 0) & (exponent >= 0)
    return g * where(flat, zeros_like(power), power * base.log())


_pow = binary(
    "pow",
    ("pow", X, Y),
    lambda g, a, b: (
        (lambda: _pow_of_base(g, a, b)),
        (lambda: _pow_of_exponent(g, a, b)),
    ),
)


@with_out
def pow(input, exponent) -> Tensor:
    """input ** exponent, broadcast; integers to negative powers are refused."""
    if not isinstance(exponent, Tensor) and isinstance(input, Tensor):
        counted = input.dtype.category == 1 and isinstance(exponent, int)
        if counted and exponent < 0:
            raise RuntimeError(
                "Integers to negative integer powers are not allowed: exponent is"
                f" {exponent}."
            )
        if input.dtype.is_floating_point and exponent == 2:
            return square(input)
    out = _pow(input, exponent)
    if not isinstance(exponent, Tensor):
        return out
    return renamed(out, f"PowBackward{1 if isinstance(input, Tensor) else 2}")


atan2 = arctan2 = binary(
    "atan2",
    ("atan2", X, Y),
    lambda g, a, b: (
        (lambda: g * b / (a * a + b * b)),
        (lambda: g * -a / (a * a + b * b)),
    ),
    rule=real,
    numbers="neither",
)


hypot: Callable[..., Tensor] = binary(
    "hypot",
    ("sqrt", ("add", ("mul", X, X), ("mul", Y, Y))),
    lambda g, a, b: (
        (lambda: g * a / hypot(a, b)),
        (lambda: g * b / hypot(a, b)),
    ),
    numbers="neither",
)


def _negative(operand):
    """True where the sign bit is set: below zero, or −0, whose reciprocal is below."""
    zero = ("const", 0.0)
    return ("or", ("lt", operand, zero), ("lt", ("reciprocal", operand), zero))


copysign: Callable[..., Tensor] = binary(
    "copysign",
    ("where", _negative(Y), ("neg", ("abs", X)), ("abs", X)),
    lambda g, a, b: (
        (lambda: g * sign(a) * copysign(sign(a).abs(), b)),
        (lambda: zeros_like(g)),
    ),
    rule=real,
    numbers="second",
)


heaviside = binary(
    "heaviside",
    (
        "where",
        ("eq", X, ("const", 0)),
        Y,
        ("where", ("gt", X, ("const", 0)), ("const", 1), ("const", 0)),
    ),
    numbers="neither",
)


@with_out
def float_power(input, exponent) -> Tensor:
    """input ** exponent in float64."""
    base, power = (
        each.double() if isinstance(each, Tensor) else float(each)
        for each in checked_operands("float_power", input, exponent)
    )
    return pow(base, power)


@with_out
def lerp(input: Tensor, end: Tensor, weight) -> Tensor:
    """input + weight · (end − input)."""
    node = f"LerpBackward{isinstance(weight, Tensor):d}"
    return renamed(input + (end - input) * weight, node)


@with_out
@rounded_once
def addcmul(input: Tensor, tensor1, tensor2, *, value=1) -> Tensor:
    """input + value · tensor1 · tensor2."""
    product = tensor1 * tensor2
    out = input + (product if value == 1 else product * value)
    return renamed(out, "AddcmulBackward0")


@with_out
@rounded_once
def addcdiv(input: Tensor, tensor1, tensor2, *, value=1) -> Tensor:
    """input + value · tensor1 / tensor2."""
    quotient = tensor1 / tensor2
    out = input + (quotient if value == 1 else quotient * value)
    return renamed(out, "AddcdivBackward0")


@with_out
def logaddexp(input: Tensor, other: Tensor) -> Tensor:
    """log(exp(input) + exp(other)), without overflow."""
    checked_operands("logaddexp", input, other, numbers="neither")
    top = maximum(input, other).detach()
    top = where(top.isfinite(), top, 0.0)
    return ((input - top).exp() + (other - top).exp()).log() + top


@with_out
def xlogy(input, other) -> Tensor:
    """input · log(other), and 0 where input is 0 (unless other is NaN)."""
    input, other = map(as_tensor, checked_operands("xlogy", input, other))
    nothing = (input == 0) & other.isnan().logical_not()
    return where(nothing, 0.0, input * where(nothing, 1.0, other).log())
