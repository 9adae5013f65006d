"""Functions of one tensor, element by element: powers, angles, rounding, tests."""

from __future__ import annotations

import math

from .. import dtypes
from ..dtypes import dtype
from ..tensor import Tensor
from .arguments import check_tensor
from .convert import clone
from .elementwise import X, boolean, real, unary
from .operands import with_out

__all__ = """
    abs absolute acos acosh arccos arccosh arcsin arcsinh arctan arctanh asin asinh
    atan atanh bitwise_not ceil cos cosh deg2rad erf erfc exp exp2 expm1 fix floor
    frac isfinite isinf isnan isneginf isposinf log log10 log1p log2 logical_not neg
    negative positive rad2deg reciprocal round rsqrt sgn sigmoid sign signbit sin
    sinh sqrt square tan tanh trunc
""".split()


def _zero(g, _):
    return g * 0


def _counted(kind: dtype) -> dtype:
    return dtypes.int64 if kind is dtypes.bool_ else kind


# One tensor: powers and exponentials

_neg = unary("neg", ("neg", X), lambda g, _: -g, "")


abs = unary("abs", ("abs", X), lambda g, x: g * x.sgn())


square = unary(
    "square", ("square", X), lambda g, x: g * (x * 2), "x", _counted, "PowBackward0"
)


sqrt = unary("sqrt", ("sqrt", X), lambda g, y: g / (y * 2), "y", real)


rsqrt = unary("rsqrt", ("rsqrt", X), lambda g, y: g * y**3 * -0.5, "y", real)


reciprocal = unary("reciprocal", ("reciprocal", X), lambda g, y: -g * y * y, "y", real)


exp = unary("exp", ("exp", X), lambda g, y: g * y, "y", real)


exp2 = unary("exp2", ("exp2", X), lambda g, y: g * y * math.log(2), "y", real)


expm1 = unary("expm1", ("expm1", X), lambda g, y: g * (y + 1), "y", real)


log = unary("log", ("log", X), lambda g, x: g / x, "x", real)


log2 = unary("log2", ("log2", X), lambda g, x: g / (x * math.log(2)), "x", real)


log10 = unary("log10", ("log10", X), lambda g, x: g / (x * math.log(10)), "x", real)


log1p = unary("log1p", ("log1p", X), lambda g, x: g / (x + 1), "x", real)


# One tensor: trigonometry

sin = unary("sin", ("sin", X), lambda g, x: g * x.cos(), "x", real)


cos = unary("cos", ("cos", X), lambda g, x: g * -x.sin(), "x", real)


tan = unary("tan", ("tan", X), lambda g, y: g * (y * y + 1), "y", real)


asin = unary("asin", ("asin", X), lambda g, x: g * (1 - x * x).rsqrt(), "x", real)


acos = unary("acos", ("acos", X), lambda g, x: g * -(1 - x * x).rsqrt(), "x", real)


atan = unary("atan", ("atan", X), lambda g, x: g / (x * x + 1), "x", real)


sinh = unary("sinh", ("sinh", X), lambda g, x: g * x.cosh(), "x", real)


cosh = unary("cosh", ("cosh", X), lambda g, x: g * x.sinh(), "x", real)


tanh = unary("tanh", ("tanh", X), lambda g, y: g * (1 - y * y), "y", real)


sigmoid = unary("sigmoid", ("sigmoid", X), lambda g, y: g * (1 - y) * y, "y", real)


# asinh(x) = sign(x) · log1p(|x| + x² / (1 + √(1 + x²))), which is exact near 0.
_SIZE = ("abs", X)


_HYPOTENUSE = ("sqrt", ("add", ("mul", X, X), ("const", 1.0)))


_FAR = ("add", ("log", _SIZE), ("const", math.log(2)))


_ABOVE = ("div", ("mul", X, X), ("add", _HYPOTENUSE, ("const", 1.0)))


_NEAR = ("log1p", ("add", _SIZE, _ABOVE))


asinh = unary(
    "asinh",
    ("mul", ("sign", X), ("where", ("lt", _SIZE, ("const", 1e9)), _NEAR, _FAR)),
    lambda g, x: g * (x * x + 1).rsqrt(),
    "x",
    real,
)


_PAST_ONE = ("sub", X, ("const", 1.0))


_ROOT = ("sqrt", ("mul", _PAST_ONE, ("add", X, ("const", 1.0))))


acosh = unary(
    "acosh",
    ("log1p", ("add", _PAST_ONE, _ROOT)),
    lambda g, x: g * (x * x - 1).rsqrt(),
    "x",
    real,
)


_RATIO = ("div", ("mul", X, ("const", 2.0)), ("sub", ("const", 1.0), X))


atanh = unary(
    "atanh",
    ("mul", ("log1p", _RATIO), ("const", 0.5)),
    lambda g, x: g / (1 - x * x),
    "x",
    real,
)


_TWO_OVER_ROOT_PI = 2 / math.sqrt(math.pi)


erf = unary(
    "erf", ("erf", X), lambda g, x: g * (-x * x).exp() * _TWO_OVER_ROOT_PI, "x", real
)


erfc = unary(
    "erfc", ("erfc", X), lambda g, x: g * (-x * x).exp() * -_TWO_OVER_ROOT_PI, "x", real
)


# One tensor: rounding and tests

ceil = unary("ceil", ("ceil", X), _zero, "")


floor = unary("floor", ("floor", X), _zero, "")


trunc = fix = unary("trunc", ("trunc", X), _zero, "")


_round = unary("round", ("round", X), _zero, "")


_sign = unary("sign", ("sign", X), _zero, "")


frac = unary("frac", ("sub", X, ("trunc", X)), lambda g, _: g, "")


deg2rad = unary(
    "deg2rad",
    ("mul", X, ("const", math.pi / 180)),
    lambda g, _: g * (math.pi / 180),
    "",
    real,
)


rad2deg = unary(
    "rad2deg",
    ("mul", X, ("const", 180 / math.pi)),
    lambda g, _: g * (180 / math.pi),
    "",
    real,
)


_INFINITY = ("const", math.inf)


isnan = unary("isnan", ("ne", X, X), dtype_rule=boolean)


isinf = unary("isinf", ("eq", ("abs", X), _INFINITY), dtype_rule=boolean)


isfinite = unary("isfinite", ("lt", ("abs", X), _INFINITY), dtype_rule=boolean)


isposinf = unary("isposinf", ("eq", X, _INFINITY), dtype_rule=boolean)


isneginf = unary("isneginf", ("eq", X, ("const", -math.inf)), dtype_rule=boolean)


signbit = unary("signbit", ("lt", X, ("const", 0)), dtype_rule=boolean)


logical_not = unary("logical_not", ("eq", X, ("const", 0)), dtype_rule=boolean)


bitwise_not = unary("bitwise_not", ("not", X))


@with_out
def neg(input: Tensor) -> Tensor:
    """−input; refused for bool tensors."""
    check_tensor("neg", "input", input)
    if input.dtype is dtypes.bool_:
        raise RuntimeError(
            "Negation, the `-` operator, on a bool tensor is not supported. If you are"
            " trying to invert a mask, use the `~` or `logical_not()` operator instead."
        )
    return _neg(input)


@with_out
def sign(input: Tensor) -> Tensor:
    """−1, 0 or 1; a bool tensor as it is."""
    return clone(input) if input.dtype is dtypes.bool_ else _sign(input)


sgn = sign


absolute, negative, arcsin, arccos, arctan = abs, neg, asin, acos, atan


arcsinh, arccosh, arctanh = asinh, acosh, atanh


@with_out
def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """To the nearest integer, halves to even; or to `decimals` digits."""
    if not decimals:
        return _round(input)
    scale = 10.0 ** math.fabs(decimals)
    if decimals > 0:
        return _round(input * scale) / scale
    return _round(input / scale) * scale


def positive(input: Tensor) -> Tensor:
    """The tensor itself."""
    if input.dtype is dtypes.bool_:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input
