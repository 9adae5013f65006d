"""Whole numbers, coins and choices; arguments as in `continuous`."""

import math

import numpy as np

from . import arithmetic
from .arithmetic import INTEGER_BITS, SIGNIFICAND_BITS, stored, widened
from .continuous import exponential, unit32, unit64
from .filling import in_memory_order
from .generator import Generator, current_generator

# From here on torch reads two words a number, or the remainder would be uneven.
WIDE_RANGE = 1 << 28
# From here on randperm reads two words a number.
LONG_PERMUTATION = (2**32 - 1) // 20
_UNSIGNED = ("uint8", "bool")


def random_full(
    shape, *, dtype: str, generator: Generator | None = None, strides=None
) -> np.ndarray:
    """Non-negative whole numbers, as far as `dtype` counts: `Tensor.random_()`.

    Up to the largest integer for an integer dtype, 2**significand bits for floats.
    """
    _, limit = _bounds("random_", dtype)
    generator = current_generator(generator)

    def draw(count):
        if dtype in ("int64", "float64"):
            return stored(generator.double_words(count) % np.uint64(limit + 1), dtype)
        return stored(generator.words(count) % np.uint32(limit + 1), dtype)

    with generator.lock:
        return in_memory_order(shape, strides, draw)


def randint(
    shape,
    low: int,
    high: int | None,
    *,
    dtype: str = "int64",
    generator: Generator | None = None,
    strides=None,
) -> np.ndarray:
    """Whole numbers from [low, high); `high` None means up to the largest of `dtype`.

    Raises RuntimeError if the interval is empty or leaves the dtype's range.
    """
    smallest, largest = _bounds("random_", dtype)
    if high is None:
        high = largest + 1
    if low >= high:
        raise RuntimeError(
            f"random_: draws from [from, to), but from={low} is not below to={high}."
        )
    for name, value in (("from", low), ("to - 1", high - 1)):
        if not smallest <= value <= largest:
            raise RuntimeError(
                f"random_: {name} = {value} is out of bounds for {dtype} "
                f"({smallest} … {largest})."
            )
    generator = current_generator(generator)

    def draw(count):
        if high - low < WIDE_RANGE:
            numbers = generator.words(count) % np.uint32(high - low)
            return stored(numbers.astype(np.int64) + np.int64(low), dtype)
        numbers = generator.double_words(count)
        if high - low < 2**64:
            # Modulo 2**64, this is the sum with a negative `low` too.
            numbers = numbers % np.uint64(high - low) + np.uint64(low % 2**64)
        return stored(numbers.view(np.int64), dtype)

    with generator.lock:
        return in_memory_order(shape, strides, draw)


def _bounds(name, dtype):
    if dtype == "bool":
        return 0, 1
    if dtype in INTEGER_BITS:
        largest = 2 ** INTEGER_BITS[dtype] - 1
        return (0 if dtype in _UNSIGNED else -largest - 1), largest
    if dtype in SIGNIFICAND_BITS:
        return -(2 ** SIGNIFICAND_BITS[dtype]), 2 ** SIGNIFICAND_BITS[dtype]
    raise NotImplementedError(f"{name}: does not draw numbers of dtype {dtype}.")


def randperm(
    n: int, *, dtype: str = "int64", generator: Generator | None = None
) -> np.ndarray:
    """A random order of 0 … n − 1: (n,).

    Raises RuntimeError if n < 0 or `dtype` cannot count to n.
    """
    if n < 0:
        raise RuntimeError(f"randperm: n is at least 0, got {n}.")
    _, largest = _bounds("randperm", dtype)
    if n > largest + 1:
        raise RuntimeError(f"randperm: n={n} is more than {dtype} counts, {largest}.")
    generator = current_generator(generator)
    with generator.lock:
        if n < LONG_PERMUTATION:
            order = _swap_forwards(n, generator)
        else:
            order = _insert_anywhere(n, generator)
    return stored(np.array(order, np.int64), dtype)


def _swap_forwards(n, generator):
    """Fisher and Yates: exchange each with one at or after it."""
    order = list(range(n))
    steps = max(n - 1, 0)
    left = np.arange(n, n - steps, -1, dtype=np.uint32)
    chosen = (generator.words(steps) % left).astype(np.int64) + np.arange(steps)
    for place, other in enumerate(chosen.tolist()):
        order[place], order[other] = order[other], order[place]
    return order


def _insert_anywhere(n, generator, block=1 << 20):
    """Fisher and Yates from inside out: each takes a random place among the first."""
    order = np.empty(n, np.int64)
    for start in range(0, n, block):
        places = np.arange(start, min(start + block, n), dtype=np.uint64)
        chosen = generator.double_words(places.size) % (places + np.uint64(1))
        for number, place in enumerate(chosen.tolist(), start):
            order[number] = order[place] if place != number else number
            order[place] = number
    return order


def bernoulli(
    shape,
    p,
    *,
    dtype: str = "float32",
    p_dtype: str = "float64",
    generator: Generator | None = None,
    strides=None,
) -> np.ndarray:
    """Ones with probability `p`, zeros otherwise.

    `p` is a number, or an array that broadcasts to `shape`, stored as `p_dtype`: unless
    that is float64, each number then costs one word of the stream instead of two.
    With a number `p`, torch takes MKL's stream on Intel's CPUs; this is the stream
    it has on every other one.

    Raises RuntimeError unless 0 ≤ p ≤ 1.
    """
    chance = np.asarray(p)
    if isinstance(p, np.ndarray):
        chance = widened(p, p_dtype)
    outside = ~((chance >= 0) & (chance <= 1))
    if np.any(outside):
        wrong = float(chance[outside][0])
        raise RuntimeError(f"bernoulli: p is between 0 and 1, got {wrong:g}.")
    _bounds("bernoulli", dtype)
    alone = not isinstance(p, np.ndarray)
    unit = unit64 if alone or p_dtype == "float64" else unit32
    generator = current_generator(generator)
    with generator.lock:
        draws = in_memory_order(shape, strides, lambda count: unit(generator, count))
    return stored(draws < chance, dtype)


def geometric(
    shape,
    p: float,
    *,
    dtype: str = "float32",
    generator: Generator | None = None,
    strides=None,
) -> np.ndarray:
    """How many throws until the first success, each with probability `p`: 1, 2, ….

    Raises RuntimeError unless 0 < p < 1.
    """
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_: p is between 0 and 1, exclusive, got {p}.")
    _bounds("geometric_", dtype)
    generator = current_generator(generator)

    def draw(count):
        with np.errstate(divide="ignore"):
            logarithm = arithmetic.by_libm(_log, unit64(generator, count))
        return stored(np.ceil(logarithm / math.log1p(-p)), dtype)

    with generator.lock:
        return in_memory_order(shape, strides, draw)


def _log(value: float) -> float:
    return math.log(value) if value else -math.inf


def multinomial(
    weights: np.ndarray,
    num_samples: int,
    replacement: bool = False,
    *,
    dtype: str = "float32",
    generator: Generator | None = None,
) -> np.ndarray:
    """Indices drawn with chances in proportion to `weights`, stored as `dtype`.

    (categories,) -> (num_samples,); (rows, categories) -> (rows, num_samples); int64.
    One sample, or several without replacement, are decided by a race of exponential
    waiting times; several with replacement, by the cumulative distribution.

    Raises RuntimeError for weights that are negative, not finite or sum to 0, and for
    more samples without replacement than categories.
    """
    if dtype not in SIGNIFICAND_BITS:
        raise RuntimeError(f"multinomial: weights are floating point, not {dtype}.")
    chances = widened(np.asarray(weights), dtype)
    if chances.ndim not in (1, 2):
        raise RuntimeError(
            f"multinomial: weights have one or two axes, got shape {chances.shape}."
        )
    _check_draws(chances, num_samples, replacement)
    rows = np.atleast_2d(chances)
    generator = current_generator(generator)
    with generator.lock:
        if replacement and num_samples > 1:
            picks = _by_cumulation(rows, num_samples, generator)
        else:
            picks = _by_race(rows, num_samples, dtype, generator)
    return picks if chances.ndim == 2 else picks[0]


def _check_draws(chances, num_samples, replacement):
    categories = chances.shape[-1]
    if num_samples <= 0:
        raise RuntimeError(f"multinomial: num_samples is above 0, got {num_samples}.")
    if not replacement and num_samples > categories:
        raise RuntimeError(
            f"multinomial: {num_samples} samples without replacement from "
            f"{categories} categories."
        )
    if not np.all(np.isfinite(chances) & (chances >= 0)):
        raise RuntimeError(
            "multinomial: a weight is negative, infinite or not a number."
        )
    if np.any(chances.sum(axis=-1) == 0):
        raise RuntimeError("multinomial: the weights of a row sum to 0.")


def _by_cumulation(rows, num_samples, generator):
    reached = np.cumsum(rows, axis=1)
    reached /= reached[:, -1:]
    reached[:, -1] = 1
    draws = unit64(generator, rows.shape[0] * num_samples).reshape(-1, num_samples)
    picks = [
        np.searchsorted(r.astype(np.float64), d)
        for r, d in zip(reached, draws, strict=True)
    ]
    return np.array(picks, np.int64).reshape(rows.shape[0], num_samples)


def _by_race(rows, num_samples, dtype, generator):
    """Shortest exponential waiting time, divided by its weight, comes first."""
    waiting = widened(exponential(rows.shape, dtype=dtype, generator=generator), dtype)
    with np.errstate(divide="ignore", invalid="ignore"):
        speed = widened(stored(rows / waiting, dtype), dtype)
    order = np.argsort(-speed, axis=1, kind="stable")
    return order[:, :num_samples].astype(np.int64)
