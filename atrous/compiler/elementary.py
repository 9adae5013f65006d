"""Elementary functions of vectors: exp, log, tanh, erf, sin … as straight-line code.

Each takes an Emitter and a float32 or float64 vector and returns one of its type.
Float32 functions are within 2 units in the last place and right for inf, NaN and ±0;
no lane branches. The method is the classical one (Cody & Waite 1980; the reductions
are those of Moshier's Cephes and of SLEEF, Shibata & Petrogalli 2020): reduce the
argument exactly, use a minimax polynomial (fitted for this file by Remez exchange in
50 digits, relative error below 2e-9 for float32), put the scale back.

What is rare is *wide*: computed in float64 lanes and rounded once. In float64, exp,
log and sigmoid are generated; the others call the C library lane by lane.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from .emit import Emitter, Value

INFINITY, NAN = math.inf, math.nan


def polynomial(e: Emitter, x: Value, coefficients: Sequence[float]) -> Value:
    """Σ coefficients[k]·x^k by Horner's rule."""
    total = e.constant(coefficients[-1], x.type)
    for coefficient in reversed(coefficients[:-1]):
        total = e.fma(total, x, e.constant(coefficient, x.type))
    return total


def absolute(e: Emitter, x: Value) -> Value:
    return e.intrinsic("fabs", x)


def with_sign(e: Emitter, x: Value, sign: Value) -> Value:
    return e.intrinsic("copysign", x, sign)


def clamp(e: Emitter, x: Value, low: float, high: float) -> Value:
    """x within [low, high]; NaN stays."""
    x = e.select(x < low, e.constant(low, x.type), x)
    return e.select(x > high, e.constant(high, x.type), x)


def _wide(function: Callable) -> Callable:
    """Compute float32 lanes in float64 and round once."""

    def apply(e: Emitter, *values: Value) -> Value:
        widened = [e.cast(value, "float64") for value in values]
        return e.cast(function(e, *widened), "float32")

    return apply


def _library(name: str) -> Callable:
    """The C library's function of doubles, lane by lane."""

    def apply(e: Emitter, *values: Value) -> Value:
        result = values[0]
        for lane in range(result.type.lanes):
            given = [e.extract(value, lane) for value in values]
            one = e.call(given[0].type, name, *given)
            result = e.insert(result, one, lane)
        return result

    return apply


# ------------------------------------------------------------------ exp and log

#: Adding and subtracting 1.5·2^(mantissa bits) rounds to the nearest integer, and
#: leaves that integer in the low bits.
_MAGIC = {"float32": 12582912.0, "float64": 6755399441055744.0}
_INTEGER = {"float32": "int32", "float64": "int64"}
_MANTISSA = {"float32": 23, "float64": 52}
_BIAS = {"float32": 127, "float64": 1023}
#: ln 2 in two parts; the first has trailing zeros, so that n times it is exact.
_LN2 = {
    "float32": (0.693359375, -0.00021219444005469057),
    "float64": (0.6931471805592082, 7.371002565167799e-13),
}
#: Beyond these exp is 0 or infinite.
_EXP_RANGE = {"float32": (-104.0, 89.0), "float64": (-746.0, 710.0)}
#: (exp(r) - 1 - r) / r² for |r| ≤ ln 2 / 2.
_EXP = {
    "float32": (
        0.5,
        0.1666651964187622,
        0.04166620597243309,
        0.008368882350623608,
        0.0013950472930446267,
    ),
    "float64": (
        0.5000000000000012,
        0.166666666666667,
        0.04166666666651554,
        0.00833333333330724,
        0.0013888888946981142,
        0.0001984126991731182,
        2.480148998103199e-05,
        2.7557216361525395e-06,
        2.763126558427585e-07,
        2.511784294557882e-08,
    ),
}


def _nearest(e: Emitter, x: Value) -> tuple[Value, Value]:
    """x rounded, as float and as integer; |x| is below 2^(mantissa bits - 2)."""
    name = x.type.name
    magic = e.constant(_MAGIC[name], x.type)
    shifted = x + magic
    integer = e.bitcast(shifted, _INTEGER[name]) - e.bitcast(magic, _INTEGER[name])
    return shifted - magic, integer


def _scaled(e: Emitter, x: Value, power: Value) -> Value:
    """x · 2^power in two steps, so that only the last rounds, to a denormal perhaps."""
    name = x.type.name
    half = power >> 1
    for part in (half, power - half):
        bits = (part + _BIAS[name]) << _MANTISSA[name]
        x = x * e.bitcast(bits, name)
    return x


def _exp_reduced(e: Emitter, r: Value) -> Value:
    """exp(r) for |r| ≤ ln 2 / 2."""
    return _exp_less_one(e, r) + 1.0


def _exp_less_one(e: Emitter, r: Value) -> Value:
    """exp(r) - 1 for |r| ≤ ln 2 / 2."""
    p = polynomial(e, r, _EXP[r.type.name])
    return e.fma(p, r * r, r)


def exp(e: Emitter, x: Value) -> Value:
    name = x.type.name
    x = clamp(e, x, *_EXP_RANGE[name])
    n, power = _nearest(e, x * math.log2(math.e))
    high, low = _LN2[name]
    r = e.fma(n, e.constant(-low, x.type), e.fma(n, e.constant(-high, x.type), x))
    return _scaled(e, _exp_reduced(e, r), power)


#: e to this power is just above the smallest normal number.
_EXP_NORMAL = {"float32": -87.33, "float64": -708.39}


def exp_below(e: Emitter, x: Value) -> Value:
    """exp(x) of x ≤ 0 or NaN, 0 where `exp` would be denormal: half the work."""
    name = x.type.name
    low = _EXP_NORMAL[name]
    n, power = _nearest(e, e.select(x < low, low, x) * math.log2(math.e))
    high, rest = (e.constant(-part, x.type) for part in _LN2[name])
    r = e.fma(n, rest, e.fma(n, high, x))
    scale = e.bitcast((power + _BIAS[name]) << _MANTISSA[name], name)
    value = e.fma(_exp_less_one(e, r), scale, scale)
    return e.select(x < low, e.zero(x.type), value)


def exp_term(e: Emitter, x: Value) -> Value:
    """exp(x) of x ≤ 0 or NaN, in a sum whose greatest term is 1: three quarters of the
    work. As far as it matters there: exp(-20) is exact to 1e-6, and nothing is 0.
    """
    name = x.type.name
    low = _EXP_NORMAL[name]
    x = e.select(x < low, e.constant(low, x.type), x)
    n, power = _nearest(e, x * math.log2(math.e))
    r = e.fma(n, e.constant(-math.log(2), x.type), x)
    scale = e.bitcast((power + _BIAS[name]) << _MANTISSA[name], name)
    return e.fma(_exp_less_one(e, r), scale, scale)


def exp2(e: Emitter, x: Value) -> Value:
    limits = (-151.0, 129.0) if x.type.name == "float32" else (-1076.0, 1025.0)
    x = clamp(e, x, *limits)
    n, power = _nearest(e, x)
    return _scaled(e, _exp_reduced(e, (x - n) * math.log(2)), power)


#: √½ as bits, and the smallest normal number.
_ROOT = {"float32": 0x3F3504F3, "float64": 0x3FE6A09E667F3BCD}
_SMALLEST = {"float32": 2.0**-126, "float64": 2.0**-1022}
#: (log(1 + f) - f + f²/2) / f³ for √½ ≤ 1 + f < √2.
_LOG32 = (
    0.3333331048488617,
    -0.24999986588954926,
    0.20002217590808868,
    -0.16669248044490814,
    0.14218802750110626,
    -0.12384458631277084,
    0.11872129887342453,
    -0.11788929253816605,
    0.06916097551584244,
)
#: (log((1 + s)/(1 - s)) - 2s) / s³ in s².
_LOG64 = (
    0.6666666666666698,
    0.39999999999614405,
    0.2857142870315885,
    0.22222202224962387,
    0.18183389128499813,
    0.1531823944277817,
    0.14756423460841447,
)


def _split(e: Emitter, x: Value) -> tuple[Value, Value]:
    """Positive x as (1 + f)·2^n, √½ ≤ 1 + f < √2: returns f and n, as floats."""
    name = x.type.name
    bits = _MANTISSA[name]
    tiny = x < _SMALLEST[name]
    x = e.select(tiny, x * 2.0**bits, x)
    whole = e.bitcast(x, _INTEGER[name])
    power = (whole - _ROOT[name]) >> bits
    mantissa = e.bitcast(whole - (power << bits), name)
    magic = e.constant(_MAGIC[name], x.type)
    n = e.bitcast(power + e.bitcast(magic, _INTEGER[name]), name) - magic
    n = e.select(tiny, n - float(bits), n)
    return mantissa - 1.0, n


def log(e: Emitter, x: Value) -> Value:
    return _log_limits(e, x, _log_reduced(e, *_split(e, x)))


def _log_reduced(e: Emitter, f: Value, n: Value) -> Value:
    """log((1 + f)·2^n) for √½ ≤ 1 + f < √2."""
    name = f.type.name
    high, low = (e.constant(part, f.type) for part in _LN2[name])
    if name == "float32":
        square = f * f
        y = polynomial(e, f, _LOG32) * (square * f)
        y = e.fma(n, low, y)
        y = e.fma(square, e.constant(-0.5, f.type), y)
        return e.fma(n, high, f + y)
    # log(1 + f) = f - h + s·(h + R), s = f/(2 + f), h = f²/2, as in fdlibm.
    s = f / (f + 2.0)
    z = s * s
    rest = polynomial(e, z, _LOG64) * z
    h = f * f * 0.5
    inner = e.fma(s, h + rest, n * low)
    return e.fma(n, high, f - (h - inner))


def log1p_above(e: Emitter, x: Value) -> Value:
    """log(1 + x) of finite x ≥ 0 or NaN, to the last places however small x is.

    With 1 + x = (1 + f)·2^n, f = x·2^-n + (2^-n - 1) is rounded once; where n is 0 it
    is x itself.
    """
    name = x.type.name
    bits = _MANTISSA[name]
    power = (e.bitcast(x + 1.0, _INTEGER[name]) - _ROOT[name]) >> bits
    scale = e.bitcast((-power + _BIAS[name]) << bits, name)
    magic = e.constant(_MAGIC[name], x.type)
    n = e.bitcast(power + e.bitcast(magic, _INTEGER[name]), name) - magic
    return _log_reduced(e, e.fma(x, scale, scale - 1.0), n)


def _log_limits(e: Emitter, x: Value, result: Value) -> Value:
    """-inf at 0, NaN below and of NaN, inf at infinity."""
    outside = e.select(e.compare("==", x, 0.0), e.constant(-INFINITY, x.type), NAN)
    result = e.select(x > 0.0, result, outside)
    return e.select(e.compare("==", x, INFINITY), x, result)


def _near_zero(limit: float, near: Callable, function: Callable) -> Callable:
    """`near` where |x| < limit, where `function` would cancel."""

    def apply(e: Emitter, x: Value) -> Value:
        return e.select(absolute(e, x) < limit, near(e, x), function(e, x))

    return apply


# Taylor's first terms: relative errors below 1e-9 within the limit.
_expm1_wide = _near_zero(
    1e-4,
    lambda e, x: x * polynomial(e, x, (1.0, 0.5, 1 / 6)),
    lambda e, x: exp(e, x) - 1.0,
)
_log1p_wide = _near_zero(
    1e-4,
    lambda e, x: x * polynomial(e, x, (1.0, -0.5, 1 / 3)),
    lambda e, x: log(e, x + 1.0),
)
_sinh_wide = _near_zero(
    1e-2,
    lambda e, x: x * polynomial(e, x * x, (1.0, 1 / 6, 1 / 120)),
    lambda e, x: (exp(e, x) - exp(e, -x)) * 0.5,
)


def _cosh_wide(e: Emitter, x: Value) -> Value:
    return (exp(e, x) + exp(e, -x)) * 0.5


def _power_wide(e: Emitter, x: Value, y: Value) -> Value:
    """x^y = exp(y·log|x|) with the sign that an odd y gives; C's special cases."""
    size = absolute(e, x)
    result = exp(e, y * log(e, size))
    whole = e.compare("==", e.intrinsic("floor", y), y)
    half = y * 0.5
    odd = whole & e.compare("!=", e.intrinsic("floor", half), half)
    result = e.select(odd, with_sign(e, result, x), result)
    infinite = e.compare("==", absolute(e, y), INFINITY)
    undefined = (x < 0.0) & ~whole & e.compare("!=", size, INFINITY)
    result = e.select(undefined, e.constant(NAN, x.type), result)
    one = e.compare("==", y, 0.0) | e.compare("==", x, 1.0)
    one = one | (e.compare("==", size, 1.0) & infinite)
    return e.select(one, e.constant(1.0, x.type), result)


# ------------------------------------------------------------------ sigmoid, tanh, erf

#: (tanh(x)/x - 1) / x² in x², |x| < 0.625.
_TANH = (
    -0.3333328366279602,
    0.13331514596939087,
    -0.053745146840810776,
    0.020655222237110138,
    -0.005721633788198233,
)
#: erf(x)/x - 1 in x², |x| < 1.
_ERF = (
    0.12837916612625122,
    -0.3761262595653534,
    0.11283600330352783,
    -0.026854444295167923,
    0.005189535673707724,
    -0.0008020845125429332,
    7.889132393756881e-05,
)
#: log(erfc(x)) for 0.9 < x < 4, weighted by erfc.
_ERF_TAIL = (
    0.0001705504400888458,
    -1.1294951438903809,
    -0.6333866715431213,
    -0.10823660343885422,
    0.02509148418903351,
    -0.004160522483289242,
    0.00043230204028077424,
    -2.0909470549668185e-05,
)
#: erfc(x)·exp(x²) in (x - 2.5)/(x + 2.5), 0 ≤ x < 10.3.
_ERFC = (
    0.21080636406070283,
    -0.37173673383977646,
    0.2517131931174455,
    -0.1250330580506754,
    0.039922543832074935,
    -0.003993616254858261,
    -0.0026424123832889616,
    0.0008753511107116872,
    0.000228494789864562,
    -0.000126965584198141,
    -3.391324058687988e-05,
    1.5342667726477744e-05,
    6.0499017395948254e-06,
)


def sigmoid(e: Emitter, x: Value) -> Value:
    """1 / (1 + exp(-x)), from exp(-|x|), which cannot overflow."""
    z = exp(e, -absolute(e, x))
    return e.select(x < 0.0, z, e.constant(1.0, x.type)) / (z + 1.0)


def _tanh(e: Emitter, x: Value) -> Value:
    size = absolute(e, x)
    square = x * x
    near = e.fma(polynomial(e, square, _TANH) * square, size, size)
    far = e.constant(1.0, x.type) - e.constant(2.0, x.type) / (
        exp(e, size + size) + 1.0
    )
    return with_sign(e, e.select(size < 0.625, near, far), x)


def _erf(e: Emitter, x: Value) -> Value:
    size = absolute(e, x)
    near = e.fma(polynomial(e, x * x, _ERF), x, x)
    tail = exp(e, polynomial(e, clamp(e, size, 0.0, 4.0), _ERF_TAIL))
    far = with_sign(e, e.constant(1.0, x.type) - tail, x)
    return e.select(size < 1.0, near, far)


def _erfc_wide(e: Emitter, x: Value) -> Value:
    size = clamp(e, absolute(e, x), 0.0, 10.3)
    t = (size - 2.5) / (size + 2.5)
    tail = polynomial(e, t, _ERFC) * exp(e, -(size * size))
    tail = e.select(absolute(e, x) > 10.3, e.constant(0.0, x.type), tail)
    return e.select(x < 0.0, e.constant(2.0, x.type) - tail, tail)


# ------------------------------------------------------------------ angles

_SIN = (
    -0.1666666666663038,
    0.008333333325020533,
    -0.0001984126367406759,
    2.755532435598959e-06,
    -2.475913332662863e-08,
)
_COS = (
    0.041666666666603604,
    -0.0013888888878325443,
    2.4801580957172274e-05,
    -2.755555960877556e-07,
    2.06470136412328e-09,
)
#: (atan(x)/x - 1) / x² in x², |x| < √2 - 1.
_ATAN = (
    -0.33333333333268744,
    0.19999999983675296,
    -0.14285712910234613,
    0.11111054955044665,
    -0.0908961578813536,
    0.0767425085069197,
    -0.06509461465983145,
    0.05033831994893256,
    -0.025413824072728127,
)
_HALF_PI = (1.5707963267948966, 6.123233995736766e-17)


def _quadrant(e: Emitter, x: Value) -> tuple[Value, Value, Value]:
    """sin and cos of x less the nearest multiple n of π/2, and n.

    The first product is exact where multiply-adds are fused, so float32 arguments up
    to 2^49 are reduced to the last place.
    """
    n, quarter = _nearest(e, x * (2 / math.pi))
    r = e.fma(n, e.constant(-_HALF_PI[0], x.type), x)
    r = e.fma(n, e.constant(-_HALF_PI[1], x.type), r)
    r = e.select(e.compare("==", x, 0.0), x, r)
    z = r * r
    sine = r * e.fma(polynomial(e, z, _SIN), z, _one(e, z))  # keeps -0
    cosine = e.fma(polynomial(e, z, _COS) * z, z, e.fma(z, _half(e, z), _one(e, z)))
    return sine, cosine, quarter


def _one(e: Emitter, like: Value) -> Value:
    return e.constant(1.0, like.type)


def _half(e: Emitter, like: Value) -> Value:
    return e.constant(-0.5, like.type)


def _turned(e: Emitter, x: Value, quarters: int) -> Value:
    """sin(x + quarters·π/2)."""
    sine, cosine, quarter = _quadrant(e, x)
    quarter = quarter + quarters
    value = e.select(e.compare("==", quarter & 1, 0), sine, cosine)
    return e.select(e.compare("==", quarter & 2, 0), value, -value)


def _huge(name: str, function: Callable) -> Callable:
    """`function`, but the C library where an argument is beyond the reduction."""

    def apply(e: Emitter, x: Value) -> Value:
        value = function(e, x)
        huge = ~(absolute(e, x) < (2.0**49 if e.target.fused else 2.0**12))
        if_any = e.cast(e.fold(huge, lambda a, b: a | b), "int64")
        # A loop of one turn or none: the branch that almost no vector takes.
        with e.loop(
            "huge", e.select(if_any > 0, 1, e.zero("int64")), carry=[value]
        ) as one:
            one.carry = [e.select(huge, _library(name)(e, x), value)]
        return one.carry[0]

    return apply


def _tan_wide(e: Emitter, x: Value) -> Value:
    sine, cosine, quarter = _quadrant(e, x)
    even = e.compare("==", quarter & 1, 0)
    return e.select(even, sine, -cosine) / e.select(even, cosine, sine)


def _atan_wide(e: Emitter, x: Value) -> Value:
    """Reciprocal beyond 1, then a turn by π/4 beyond √2 - 1."""
    size = absolute(e, x)
    beyond = size > 1.0
    a = e.select(beyond, e.constant(1.0, x.type) / size, size)
    turned = a > math.sqrt(2) - 1
    t = e.select(turned, (a - 1.0) / (a + 1.0), a)
    square = t * t
    angle = e.fma(polynomial(e, square, _ATAN) * square, t, t)
    angle = e.select(turned, angle + math.pi / 4, angle)
    angle = e.select(beyond, e.constant(math.pi / 2, x.type) - angle, angle)
    return with_sign(e, angle, x)


def _atan2_wide(e: Emitter, y: Value, x: Value) -> Value:
    """The angle of (x, y): atan of the lesser over the greater, unfolded."""
    rise, run = absolute(e, y), absolute(e, x)
    steep = rise > run
    top, bottom = e.select(steep, run, rise), e.select(steep, rise, run)
    ratio = top / bottom
    # 0/0 lies on the axis, inf/inf on the diagonal.
    same = e.compare("==", rise, run)
    corner = e.select(e.compare("==", rise, 0.0), e.constant(0.0, x.type), 1.0)
    ratio = e.select(same, corner, ratio)
    angle = _atan_wide(e, ratio)
    angle = e.select(steep, e.constant(math.pi / 2, x.type) - angle, angle)
    behind = with_sign(e, _one(e, x), x) < 0.0
    angle = e.select(behind, e.constant(math.pi, x.type) - angle, angle)
    unknown = e.compare("!=", x, x) | e.compare("!=", y, y)
    angle = e.select(unknown, e.constant(NAN, x.type), angle)
    return with_sign(e, angle, y)


def _cofactor(e: Emitter, x: Value) -> Value:
    """√(1 - x²) without cancellation; NaN outside [-1, 1]."""
    one = _one(e, x)
    return e.intrinsic("sqrt", (one - x) * (one + x))


FUNCTIONS32: dict[str, Callable] = {
    "exp": exp,
    "exp2": exp2,
    "expm1": _wide(_expm1_wide),
    "log": log,
    "log2": _wide(lambda e, x: log(e, x) * math.log2(math.e)),
    "log10": _wide(lambda e, x: log(e, x) * math.log10(math.e)),
    "log1p": _wide(_log1p_wide),
    "sigmoid": sigmoid,
    "tanh": _tanh,
    "sinh": _wide(_sinh_wide),
    "cosh": _wide(_cosh_wide),
    "erf": _erf,
    "erfc": _wide(_erfc_wide),
    "sin": _wide(_huge("sin", lambda e, x: _turned(e, x, 0))),
    "cos": _wide(_huge("cos", lambda e, x: _turned(e, x, 1))),
    "tan": _wide(_huge("tan", _tan_wide)),
    "asin": _wide(lambda e, x: _atan2_wide(e, x, _cofactor(e, x))),
    "acos": _wide(lambda e, x: _atan2_wide(e, _cofactor(e, x), x)),
    "atan": _wide(_atan_wide),
    "atan2": _wide(_atan2_wide),
    "pow": _wide(_power_wide),
}
FUNCTIONS64: dict[str, Callable] = {
    "exp": exp,
    "log": log,
    "sigmoid": sigmoid,
    **{
        name: _library(name)
        for name in FUNCTIONS32
        if name not in ("exp", "log", "sigmoid")
    },
}


def function(name: str, dtype: str) -> Callable:
    """The generator of `name` for float32 or float64."""
    return (FUNCTIONS32 if dtype == "float32" else FUNCTIONS64)[name]
