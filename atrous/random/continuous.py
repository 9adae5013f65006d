"""Distributions over the reals, each number the one torch's CPU kernel would give.

Every function returns an array of `shape` in the storage of `dtype` (bfloat16 as
uint16). `generator` None means the current one; `strides` are those of the tensor that
will hold the values, given only if it is not contiguous: they set the order of filling.
"""

import math

import numpy as np

from . import arithmetic, cephes
from .arithmetic import fma32, scale_shift64, stored
from .filling import in_memory_order, require_float
from .generator import Generator, current_generator

# A block of float32 numbers keeps its temporaries, up to twenty, in the cache.
BLOCK = 1 << 14
_MAXIMUM = {
    "float64": np.finfo(np.float64).max,
    "float32": float(np.finfo(np.float32).max),
    "float16": 65504.0,
    "bfloat16": 3.3895313892515355e38,
}


def unit32(generator: Generator, count: int) -> np.ndarray:
    """(count,) float32 in [0, 1): 24 bits of one word each."""
    bits = generator.words(count) & np.uint32(0xFFFFFF)
    return bits.astype(np.float32) * np.float32(2.0**-24)


def unit64(generator: Generator, count: int) -> np.ndarray:
    """(count,) float64 in [0, 1): 53 bits of two words each."""
    bits = generator.double_words(count) & np.uint64((1 << 53) - 1)
    return bits.astype(np.float64) * 2.0**-53


def uniform(
    shape,
    low: float = 0.0,
    high: float = 1.0,
    *,
    dtype: str = "float32",
    generator: Generator | None = None,
    strides=None,
) -> np.ndarray:
    """Numbers from [low, high).

    Raises RuntimeError if low > high or the dtype cannot hold the range.
    """
    require_float("uniform_", dtype)
    _check_range(low, high, dtype)
    generator = current_generator(generator)
    with generator.lock:
        return in_memory_order(
            shape, strides, lambda count: _uniform(generator, count, low, high, dtype)
        )


def _uniform(generator, count, low, high, dtype):
    if dtype == "float64":
        values = unit64(generator, count)
        if (low, high) == (0.0, 1.0):
            return values
        values = scale_shift64(values, high - low, low)
        return np.where(values == high, low, values)
    values = unit32(generator, count)
    low, high = np.float32(low), np.float32(high)
    if (low, high) != (0.0, 1.0):
        for start in range(0, count, BLOCK):
            block = slice(start, start + BLOCK)
            values[block] = fma32(values[block], high - low, low)
    elif dtype == "float32":
        return values
    values, low, high = (stored(np.asarray(v), dtype) for v in (values, low, high))
    return np.where(values == high, low, values)  # rounding may have reached `high`


def _check_range(low, high, dtype):
    limit = _MAXIMUM[dtype]
    for name, value in (("from", low), ("to", high)):
        if not -limit <= value <= limit:
            raise RuntimeError(
                f"uniform_: {name}={value} is out of bounds for {dtype} (±{limit:.5g})."
            )
    if low > high:
        raise RuntimeError(
            f"uniform_: draws from [from, to), but from={low} is above to={high}."
        )
    if high - low > limit:
        raise RuntimeError(
            f"uniform_: to − from = {high - low:.5g} (from={low}, to={high}) is more "
            f"than {dtype} holds, {limit:.5g}."
        )


def normal(
    shape,
    mean: float = 0.0,
    std: float = 1.0,
    *,
    dtype: str = "float32",
    generator: Generator | None = None,
    strides=None,
) -> np.ndarray:
    """Normally distributed numbers, by Box and Muller.

    As in torch, 16 and more in contiguous memory come sixteen at a time from another
    part of the stream than fewer, or scattered, numbers would.

    Raises RuntimeError if std < 0.
    """
    require_float("normal_", dtype)
    if not std >= 0:
        raise RuntimeError(f"normal_: std is at least 0, got {std}.")
    generator = current_generator(generator)
    with generator.lock:
        if strides is None and math.prod(shape) >= 16:
            draw = _normals_by_sixteen
        else:
            draw = _normals_one_by_one
        return in_memory_order(
            shape, strides, lambda count: draw(generator, count, mean, std, dtype)
        )


def _normals_one_by_one(generator, count, mean, std, dtype):
    return stored(scale_shift64(standard_normals(generator, count), std, mean), dtype)


def standard_normals(generator: Generator, count: int) -> np.ndarray:
    """(count,) float64, two from each pair of uniform numbers.

    An odd one left over stays in the generator, for whoever draws next.
    """
    kept = generator.cached_normal
    ready = [] if kept is None or count == 0 else [kept]
    pairs = (count - len(ready) + 1) // 2
    turns, distances = unit64(generator, 2 * pairs).reshape(pairs, 2).T
    radius = np.sqrt(-2.0 * arithmetic.log1p(-distances))
    cosine, sine = arithmetic.cos_sin(2 * np.pi * turns)
    fresh = np.stack([radius * cosine, radius * sine], axis=1).ravel()
    if count:
        odd = 2 * pairs + len(ready) > count
        generator.cached_normal = float(fresh[-1]) if odd else None
    return np.concatenate([ready, fresh])[:count]


def _normals_by_sixteen(generator, count, mean, std, dtype):
    """Groups of 8 distances and 8 angles; the last 16 afresh where 16 does not divide.

    float16 and bfloat16 leave the words of the last, incomplete group undrawn.
    """
    whole, rest = divmod(count, 16)
    unit, transform = unit32, _box_muller32
    if dtype == "float64":
        unit, transform = unit64, _box_muller64
    values = transform(unit(generator, 16 * whole), mean, std)
    if rest:
        if dtype in ("float32", "float64"):
            generator.words(rest * (1 if dtype == "float32" else 2))
        last = transform(unit(generator, 16), mean, std)
        values = np.concatenate([values[: count - 16], last])
    return stored(values, dtype)


def _box_muller64(uniform, mean, std):
    groups = uniform.reshape(-1, 2, 8)
    radius = np.sqrt(-2.0 * arithmetic.log(1.0 - groups[:, 0]))
    cosine, sine = arithmetic.cos_sin(2 * np.pi * groups[:, 1])
    values = np.stack([radius * cosine, radius * sine], axis=1).ravel()
    return scale_shift64(values, std, mean)


def _box_muller32(uniform, mean, std):
    mean, std = np.float32(mean), np.float32(std)
    result = np.empty_like(uniform)
    for start in range(0, uniform.size, BLOCK):
        block = slice(start, start + BLOCK)
        groups = uniform[block].reshape(-1, 2, 8)
        logarithm = cephes.log(np.float32(1) - groups[:, 0])
        radius = np.sqrt(np.float32(-2) * logarithm)
        cosine, sine = cephes.cos_sin(np.float32(2 * np.pi) * groups[:, 1])
        values = np.stack([radius * cosine, radius * sine], axis=1).ravel()
        if (mean, std) != (0, 1):
            values = fma32(values, std, mean)
        result[block] = values
    return result


def log_normal(
    shape,
    mean: float = 1.0,
    std: float = 2.0,
    *,
    dtype: str = "float32",
    generator: Generator | None = None,
    strides=None,
) -> np.ndarray:
    """exp of normally distributed numbers.

    Raises RuntimeError unless std > 0.
    """
    require_float("log_normal_", dtype)
    if not std > 0:
        raise RuntimeError(f"log_normal_: std is above 0, got {std}.")
    generator = current_generator(generator)

    def draw(count):
        normals = scale_shift64(standard_normals(generator, count), std, mean)
        return stored(arithmetic.by_libm(_exp, normals), dtype)

    with generator.lock:
        return in_memory_order(shape, strides, draw)


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def exponential(
    shape,
    rate: float = 1.0,
    *,
    dtype: str = "float32",
    generator: Generator | None = None,
    strides=None,
) -> np.ndarray:
    """Waiting times: −log(1 − u) / rate. On Intel's CPUs torch takes MKL's stream.

    Raises RuntimeError unless rate > 0.
    """
    require_float("exponential_", dtype)
    if not rate > 0:
        raise RuntimeError(f"exponential_: lambd is above 0, got {rate}.")
    generator = current_generator(generator)

    def draw(count):
        logarithm = arithmetic.log1p(-unit64(generator, count))
        return stored(-1.0 / rate * logarithm, dtype)

    with generator.lock:
        return in_memory_order(shape, strides, draw)


def cauchy(
    shape,
    median: float = 0.0,
    sigma: float = 1.0,
    *,
    dtype: str = "float32",
    generator: Generator | None = None,
    strides=None,
) -> np.ndarray:
    """median + sigma · tan(π · (u − ½)).

    Raises RuntimeError unless sigma > 0.
    """
    require_float("cauchy_", dtype)
    if not sigma > 0:
        raise RuntimeError(f"cauchy_: sigma is above 0, got {sigma}.")
    generator = current_generator(generator)

    def draw(count):
        angle = np.pi * (unit64(generator, count) - 0.5)
        tangent = arithmetic.by_libm(math.tan, angle)
        return stored(scale_shift64(tangent, sigma, median), dtype)

    with generator.lock:
        return in_memory_order(shape, strides, draw)
