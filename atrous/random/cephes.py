"""Logarithm, sine and cosine in float32, rounded where torch's AVX2 kernel rounds.

Polynomials and constants are those of Cephes (Moshier, netlib `logf.c`, `sinf.c`). Each
multiplication that feeds an addition is fused with it, as torch's compiler chose to;
which do was found by comparing every bit of millions of samples.
"""

import numpy as np

from .arithmetic import fma32

_single = np.float32
_LOG = [
    *(7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1),
    *(1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1),
    3.3333331174e-1,
]
_LN2_LOW, _LN2_HIGH = _single(-2.12194440e-4), _single(0.693359375)
_SQRT_HALF = _single(0.707106781186547524)
_COS = [2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2]
_SIN = [-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1]
_FOUR_OVER_PI = _single(1.27323954473516)
# π/4 in three parts, so that reducing the angle loses nothing.
_QUARTER_TURN = [0.78515625, 2.4187564849853515625e-4, 3.77489497744594108e-8]


def _polynomial(coefficients, x):
    value = _single(coefficients[0])
    for coefficient in coefficients[1:]:
        value = fma32(value, x, _single(coefficient))
    return value


def log(x: np.ndarray) -> np.ndarray:
    """Natural logarithm of positive, normal float32.

    With x = 2**e · (1 + t), √½ ≤ 1 + t < √2:
    log x = t − t²/2 + t³ · polynomial(t) + e · ln 2.
    """
    bits = x.view(np.int32)
    exponent = ((bits >> 23) - 126).astype(np.float32)
    fraction = ((bits & 0x007FFFFF) | 0x3F000000).view(np.float32)
    small = fraction < _SQRT_HALF
    exponent -= small
    t = (fraction - _single(1)) + np.where(small, fraction, _single(0))
    square = t * t
    tail = _polynomial(_LOG, t) * t
    tail = fma32(tail, square, exponent * _LN2_LOW)
    tail = fma32(square, _single(-0.5), tail)
    return fma32(exponent, _LN2_HIGH, t + tail)


def cos_sin(angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine of float32 angles, 0 ≤ angle ≤ 2π."""
    octant = ((angle * _FOUR_OVER_PI).astype(np.int32) + 1) & ~1
    eighths = octant.astype(np.float32)
    x = angle
    for part in _QUARTER_TURN:
        x = fma32(eighths, _single(-part), x)
    square = x * x
    cosine = _polynomial(_COS, square) * square
    cosine = fma32(cosine, square, square * _single(-0.5)) + _single(1)
    sine = fma32(_polynomial(_SIN, square) * square, x, x)

    swapped = (octant & 2) != 0
    cosine, sine = np.where(swapped, sine, cosine), np.where(swapped, cosine, sine)
    cosine_negative = ((octant - 2) & 4) == 0
    sine_negative = (octant & 4) != 0
    return (
        np.where(cosine_negative, -cosine, cosine),
        np.where(sine_negative, -sine, sine),
    )
