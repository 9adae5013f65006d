"""Arithmetic, comparison and mathematics, element by element.

Each operation is an expression (what is computed), the rule of its dtype, and a formula
(its gradient). Broadcasting and promotion are torch's; `f_` and `out=` are derived.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .. import dtypes
from ..autograd import needs_recording, record, renamed
from ..autograd.modes import modes
from ..dtypes import dtype
from ..tensor import Tensor
from .operands import as_tensor, evaluate, result_type, stored, with_out

__all__ = """
    abs absolute acos acosh asinh atanh arccosh arcsinh arctanh copysign float_power
    heaviside add addcdiv addcmul arccos arcsin arctan arctan2 asin atan atan2
    bitwise_and bitwise_not bitwise_or bitwise_xor ceil clamp clamp_max clamp_min clip
    clone cos cosh deg2rad div divide eq erf erfc exp exp2 expm1 fix floor floor_divide
    fmax fmin fmod frac ge greater greater_equal gt hypot isfinite isinf isnan isneginf
    isposinf le lerp less less_equal log log10 log1p log2 logaddexp logical_and
    logical_not logical_or logical_xor lt maximum minimum mul multiply nan_to_num ne neg
    negative not_equal positive pow rad2deg reciprocal remainder round rsqrt rsub sgn
    sigmoid sign signbit sin sinh sqrt square sub subtract tan tanh true_divide trunc
    where xlogy
""".split()

X, Y, Z = (("operand", i) for i in range(3))


def check_tensor(name: str, argument: str, value) -> None:
    """TypeError unless `value` is a Tensor."""
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{name}(): argument '{argument}' must be Tensor, not"
            f" {type(value).__name__}"
        )


def real(kind: dtype) -> dtype:
    """The dtype of a function of real numbers: integers become the default dtype."""
    return kind if kind.is_floating_point else dtypes.get_default_dtype()


def unary(name, expression, gradient=None, saves="x", dtype_rule=None, node=None):
    """An operation of one tensor.

    `gradient(g, v)` is the formula, with v the input (saves "x"), the result ("y") or
    None (""); `dtype_rule` maps the input's dtype to the result's.
    """
    node = node or f"{name.title().replace('_', '')}Backward0"

    def operation(input: Tensor) -> Tensor:
        check_tensor(name, "input", input)
        kind = dtype_rule(input.dtype) if dtype_rule else input.dtype
        common = kind if kind.is_floating_point else None
        out = evaluate(expression, (input,), common, kind)
        if gradient is None or not needs_recording((input,)):
            return out
        if not saves:
            return record(out, node, (input,), lambda g: (gradient(g, None),))
        saved = (input if saves == "x" else out,)
        return record(out, node, (input,), lambda g, v: (gradient(g, v),), saved)

    operation.__name__ = operation.__qualname__ = name
    operation.__doc__ = f"`{name}` of each element; any shape, the same shape back."
    return with_out(operation)


def _boolean(_: dtype) -> dtype:
    return dtypes.bool_


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
isnan = unary("isnan", ("ne", X, X), dtype_rule=_boolean)
isinf = unary("isinf", ("eq", ("abs", X), _INFINITY), dtype_rule=_boolean)
isfinite = unary("isfinite", ("lt", ("abs", X), _INFINITY), dtype_rule=_boolean)
isposinf = unary("isposinf", ("eq", X, _INFINITY), dtype_rule=_boolean)
isneginf = unary("isneginf", ("eq", X, ("const", -math.inf)), dtype_rule=_boolean)
signbit = unary("signbit", ("lt", X, ("const", 0)), dtype_rule=_boolean)
logical_not = unary("logical_not", ("eq", X, ("const", 0)), dtype_rule=_boolean)
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


# Two operands


OPERANDS = (Tensor, bool, int, float, np.generic, np.ndarray)


def _operand(value):
    """A tensor or a plain number; NumPy numbers are taken as Python's."""
    if isinstance(value, (Tensor, bool, int, float)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return Tensor._sharing(value)
    return NotImplemented


def _operands(name: str, *values, numbers: str = "either"):
    """The operands, checked; which may be a number: either, second, neither."""
    if isinstance(values[0], Tensor) and isinstance(values[1], Tensor):
        return values
    checked = tuple(map(_operand, values))
    tensors = [isinstance(each, Tensor) for each in checked]
    wrong = NotImplemented in [each for each in checked if not isinstance(each, Tensor)]
    if numbers == "neither":
        wrong = wrong or not all(tensors)
    elif numbers == "second":
        wrong = wrong or not tensors[0]
    if wrong or not any(tensors):
        given = ", ".join(type(each).__name__ for each in values)
        takes = {
            "either": "(Tensor, Tensor), (Tensor, Number) or (Number, Tensor)",
            "second": "(Tensor, Tensor) or (Tensor, Number)",
            "neither": "(Tensor, Tensor)",
        }[numbers]
        raise TypeError(f"{name}(): takes {takes}, not ({given})")
    return checked


def _wanted(operand) -> bool:
    return isinstance(operand, Tensor) and operand.requires_grad


_NONE = ((), ())


def binary(
    name,
    expression,
    gradient=None,
    reads=((0, 1), (0, 1)),
    rule=None,
    node=None,
    numbers="either",
):
    """An operation of two operands; `numbers` says which of them may be a number.

    `gradient(g, a, b)` gives a thunk an operand; `reads` says which operands each of
    them reads: what no wanted gradient reads is not kept, and arrives as None. `rule`
    maps the common dtype to the result's.
    """
    node = node or f"{name.title().replace('_', '')}Backward0"
    keeps = {
        wanted: [any(wanted[k] and i in reads[k] for k in (0, 1)) for i in (0, 1)]
        for wanted in ((True, True), (True, False), (False, True))
    }

    def operation(input, other) -> Tensor:
        operands = _operands(name, input, other, numbers=numbers)
        common = result_type(*operands)
        kind = rule(common) if rule else common
        meet = kind if kind.is_floating_point else common
        out = evaluate(expression, operands, meet, kind)
        wanted = _wanted(operands[0]), _wanted(operands[1])
        if gradient is None or not modes.recording or wanted == (False, False):
            return out
        kept = keeps[wanted]
        saved = [each for each, keep in zip(operands, kept, strict=True) if keep]

        def formula(g, *values):
            left = iter(values)
            return gradient(g, *(next(left) if keep else None for keep in kept))

        return record(out, node, operands, formula, saved)

    operation.__name__ = operation.__qualname__ = name
    operation.__doc__ = f"`{name}` of each pair of elements, broadcast."
    return with_out(operation)


_mul = binary(
    "mul",
    ("mul", X, Y),
    lambda g, a, b: ((lambda: g * b), (lambda: g * a)),
    ((1,), (0,)),
)
_add = binary("add", ("add", X, Y), lambda g, a, b: (g, g), _NONE)
_sub = binary("sub", ("sub", X, Y), lambda g, a, b: (g, lambda: -g), _NONE)
_true_divide = binary(
    "div",
    ("div", X, Y),
    lambda g, a, b: ((lambda: g / b), (lambda: -g * ((a / b) / b))),
    ((1,), (0, 1)),
    rule=real,
)


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
    return _add(input, other if alpha == 1 else _scaled("add", other, alpha))


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
    _NONE,
    node="DivBackward1",
)
_quotient = binary(
    "div_trunc",
    ("trunc", ("div", X, Y)),
    lambda g, a, b: ((lambda: g * 0), (lambda: g * 0)),
    _NONE,
    node="DivBackward1",
)


@with_out
def floor_divide(input, other) -> Tensor:
    """⌊input / other⌋; ZeroDivisionError (as RuntimeError) for integers by zero."""
    _check_divisor("floor_divide", other, result_type(*_operands("div", input, other)))
    return _floor(input, other)


def _divide_trunc(input, other) -> Tensor:
    kind = result_type(*_operands("div", input, other))
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
    kind = result_type(*_operands("fmod", input, other, numbers="second"))
    _check_divisor("fmod", other, kind)
    return _fmod(input, other)


@with_out
def remainder(input, other) -> Tensor:
    """The remainder with the sign of `other`, as Python's %."""
    kind = result_type(*_operands("remainder", input, other))
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


def zeros_like(tensor: Tensor) -> Tensor:
    return Tensor._of(np.zeros(tensor._array.shape, tensor._array.dtype), tensor.dtype)


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


def _share(g, beaten, tied):
    """g where not beaten, half of it where tied: torch's gradient of maximum."""
    return where(beaten, 0, where(tied, g * 0.5, g))


maximum = binary(
    "maximum",
    ("maximum", X, Y),
    lambda g, a, b: (
        (lambda: _share(g, a < b, a == b)),
        (lambda: _share(g, a > b, a == b)),
    ),
    numbers="neither",
)
minimum = binary(
    "minimum",
    ("minimum", X, Y),
    lambda g, a, b: (
        (lambda: _share(g, a > b, a == b)),
        (lambda: _share(g, a < b, a == b)),
    ),
    numbers="neither",
)
_FMAX = ("where", ("isnan", X), Y, ("where", ("isnan", Y), X, ("maximum", X, Y)))
_FMIN = ("where", ("isnan", X), Y, ("where", ("isnan", Y), X, ("minimum", X, Y)))
fmax = binary(
    "fmax",
    _FMAX,
    lambda g, a, b: (
        (lambda: where((a >= b) | b.isnan(), g, 0)),
        (lambda: where((a < b) | a.isnan(), g, 0)),
    ),
    numbers="neither",
)
fmin = binary(
    "fmin",
    _FMIN,
    lambda g, a, b: (
        (lambda: where((a <= b) | b.isnan(), g, 0)),
        (lambda: where((a > b) | a.isnan(), g, 0)),
    ),
    numbers="neither",
)
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
        for each in _operands("float_power", input, exponent)
    )
    return pow(base, power)


# Comparison and logic: bool results, no gradient


def _comparison(name: str):
    return binary(name, (name, X, Y), rule=_boolean, numbers="second")


eq = _comparison("eq")
ne = not_equal = _comparison("ne")
lt = less = _comparison("lt")
le = less_equal = _comparison("le")
gt = greater = _comparison("gt")
ge = greater_equal = _comparison("ge")
_TRUE_X, _TRUE_Y = ("ne", X, ("const", 0)), ("ne", Y, ("const", 0))


def _logical(name: str):
    form = (name, _TRUE_X, _TRUE_Y)
    return binary(f"logical_{name}", form, rule=_boolean, numbers="neither")


logical_and = _logical("and")
logical_or = _logical("or")
logical_xor = _logical("xor")


def _bits(name: str):
    operation = binary(f"bitwise_{name}", (name, X, Y))

    def checked(input, other) -> Tensor:
        if result_type(*_operands(name, input, other)).is_floating_point:
            raise RuntimeError(
                f"bitwise_{name}: takes integer or bool tensors, not floating point."
            )
        return operation(input, other)

    checked.__name__ = checked.__qualname__ = f"bitwise_{name}"
    checked.__doc__ = operation.__doc__
    return with_out(checked)


bitwise_and, bitwise_or, bitwise_xor = map(_bits, ("and", "or", "xor"))


# Three operands


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
def clamp(input: Tensor, min=None, max=None) -> Tensor:
    """Each element limited to [min, max]; numbers or tensors, one may be None."""
    if min is None and max is None:
        raise RuntimeError(
            "torch.clamp: At least one of 'min' or 'max' must not be None"
        )
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        out = input if min is None else maximum(input, min)
        return out if max is None else minimum(out, max)
    limits = [each for each in (min, max) if each is not None]
    kind = result_type(input, *limits)
    expression: tuple = X
    if min is not None:
        expression = ("maximum", expression, Y)
    if max is not None:
        expression = ("minimum", expression, Z if min is not None else Y)
    out = evaluate(expression, (input, *limits), kind, kind)

    def formula(g, x):
        inside = None
        if min is not None:
            inside = x >= min
        if max is not None:
            inside = x <= max if inside is None else inside & (x <= max)
        return (lambda: where(inside, g, 0),)

    return record(out, "ClampBackward1", (input,), formula, (input,))


clip = clamp


def clamp_min(input: Tensor, min) -> Tensor:
    """Each element at least `min`."""
    check_tensor("clamp_min", "input", input)
    return clamp(input, min)


def clamp_max(input: Tensor, max) -> Tensor:
    """Each element at most `max`."""
    check_tensor("clamp_max", "input", input)
    return clamp(input, None, max)


@with_out
def lerp(input: Tensor, end: Tensor, weight) -> Tensor:
    """input + weight · (end − input)."""
    node = f"LerpBackward{isinstance(weight, Tensor):d}"
    return renamed(input + (end - input) * weight, node)


@with_out
def addcmul(input: Tensor, tensor1, tensor2, *, value=1) -> Tensor:
    """input + value · tensor1 · tensor2."""
    product = tensor1 * tensor2
    out = input + (product if value == 1 else product * value)
    return renamed(out, "AddcmulBackward0")


@with_out
def addcdiv(input: Tensor, tensor1, tensor2, *, value=1) -> Tensor:
    """input + value · tensor1 / tensor2."""
    quotient = tensor1 / tensor2
    out = input + (quotient if value == 1 else quotient * value)
    return renamed(out, "AddcdivBackward0")


@with_out
def logaddexp(input: Tensor, other: Tensor) -> Tensor:
    """log(exp(input) + exp(other)), without overflow."""
    _operands("logaddexp", input, other, numbers="neither")
    top = maximum(input, other).detach()
    top = where(top.isfinite(), top, 0.0)
    return ((input - top).exp() + (other - top).exp()).log() + top


@with_out
def xlogy(input, other) -> Tensor:
    """input · log(other), and 0 where input is 0 (unless other is NaN)."""
    input, other = map(as_tensor, _operands("xlogy", input, other))
    nothing = (input == 0) & other.isnan().logical_not()
    return where(nothing, 0.0, input * where(nothing, 1.0, other).log())


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


# Conversion


def to_dtype(input: Tensor, kind: dtype, copy: bool = False) -> Tensor:
    """The values in another dtype; the tensor itself if it has it already."""
    if input.dtype is kind:
        return clone(input) if copy else input
    source = input.dtype
    out = evaluate(X, (input,), None, kind)
    if not kind.is_floating_point:
        return out
    return record(out, "ToCopyBackward0", (input,), lambda g: (lambda: g.to(source),))


def clone(input: Tensor, *, memory_format=None) -> Tensor:
    """A copy in memory of its own."""
    out = evaluate(X, (input,), None, input.dtype)
    return record(out, "CloneBackward0", (input,), lambda g: (g,))
