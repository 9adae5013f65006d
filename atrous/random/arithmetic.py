"""Rounding, step by step, where NumPy would round differently from torch's kernels."""

import math
from collections.abc import Callable, Iterable

import numpy as np

INTEGER_BITS = {"uint8": 8, "int8": 7, "int16": 15, "int32": 31, "int64": 63}
SIGNIFICAND_BITS = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}
FLOATS = tuple(SIGNIFICAND_BITS)


def fma32(a, b, c) -> np.ndarray:
    """a · b + c rounded once to float32; each argument a float32 array or scalar."""
    product = np.multiply(a, b, dtype=np.float64)  # exact: 24 + 24 bits fit in 53
    total = np.asarray(product + c)
    # Rounding again, to float32, errs only where the first rounding made a tie.
    ties = np.nonzero((total.view(np.int64) & 0x1FFFFFFF) == 0x10000000)
    if ties[0].size:
        c = np.broadcast_to(np.asarray(c, np.float64), total.shape)[ties]
        tied = total[ties]
        lost = _lost_in_sum(np.broadcast_to(product, total.shape)[ties], c, tied)
        tied = np.where(lost > 0, np.nextafter(tied, np.inf), tied)
        total[ties] = np.where(lost < 0, np.nextafter(tied, -np.inf), tied)
    return total.astype(np.float32)


def fma64(a: np.ndarray, b: float, c: float | np.ndarray) -> np.ndarray:
    """a · b + c rounded once to float64.

    Source: Boldo & Melquiond 2008, "Emulation of a FMA and correctly rounded sums:
    proved algorithms using rounding to odd", algorithm 5.
    """
    high, low = _exact_product(a, np.float64(b))
    middle = low + c
    middle_low = _lost_in_sum(low, c, middle)
    total = high + middle
    total_low = _lost_in_sum(high, middle, total)
    return total + _sum_to_odd(middle_low, total_low)


def _lost_in_sum(a, b, total):
    """What rounding took from a + b = total (Knuth's two-sum), exactly."""
    back = total - a
    return (a - (total - back)) + (b - back)


def _exact_product(a, b):
    """a · b as an unevaluated sum of two float64 (Dekker's product)."""
    product = a * b
    a_high, a_low = _halves(a)
    b_high, b_low = _halves(b)
    rest = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + (
        a_low * b_low
    )
    return product, rest


def _halves(a):
    scaled = a * 134217729.0  # 2**27 + 1, Veltkamp's constant
    high = scaled - (scaled - a)
    return high, a - high


def _sum_to_odd(a, b):
    """a + b; where inexact, the neighbour whose last bit is odd."""
    total = np.asarray(a + b)
    lost = _lost_in_sum(a, b, total)
    even = (total.view(np.int64) & 1) == 0
    total = np.where(even & (lost > 0), np.nextafter(total, np.inf), total)
    return np.where(even & (lost < 0), np.nextafter(total, -np.inf), total)


def scale_shift64(values: np.ndarray, scale: float, shift: float) -> np.ndarray:
    """values · scale + shift rounded once, sparing the work where it is plain."""
    if shift == 0:
        return values * scale
    if scale == 1:
        return values + shift
    return fma64(values, scale, shift)


def by_libm(function: Callable[[float], float], values: np.ndarray) -> np.ndarray:
    """`function` of the C library at each value.

    NumPy's own vector versions differ from it, and so from torch, in the last bit.
    """
    results: Iterable[float] = map(function, values.ravel().tolist())
    return np.fromiter(results, np.float64, values.size).reshape(values.shape)


def cos_sin(angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine by the C library, which complex exp calls for every element."""
    turns = np.zeros(angles.shape, np.complex128)
    turns.imag = angles
    turns = np.exp(turns)
    return turns.real, turns.imag


def log(values: np.ndarray) -> np.ndarray:
    """The C library's natural logarithm."""
    return by_libm(math.log, values)


def log1p(values: np.ndarray) -> np.ndarray:
    """The C library's log(1 + value)."""
    return by_libm(math.log1p, values)


def stored(values: np.ndarray, dtype: str) -> np.ndarray:
    """`values` as a tensor of `dtype` keeps them; bfloat16 as uint16, its upper half.

    As in torch, a float64 becomes float16 or bfloat16 by way of float32.
    """
    if dtype == "bfloat16":
        bits = values.astype(np.float32).view(np.uint32)
        nearest_even = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & 1)
        return (nearest_even >> np.uint32(16)).astype(np.uint16)
    if dtype == "float16":
        with np.errstate(over="ignore"):
            return values.astype(np.float32).astype(np.float16)
    return values.astype(dtype, copy=False)


def widened(values: np.ndarray, dtype: str) -> np.ndarray:
    """What `stored` made of numbers of `dtype`, as float32 or float64."""
    if dtype == "bfloat16":
        return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return values.astype(np.float64 if dtype == "float64" else np.float32, copy=False)
