"""The length of vectors, and the logarithm of a sum of exponentials."""

from __future__ import annotations

import math

from .. import dtypes
from ..autograd import record
from ..tensor import Tensor
from .choice import where
from .extremes import amax, amin
from .operands import with_out
from .reduce import ELEMENT, axes_of, kept, reduced, spread, sum
from .rounding import rounded_once

__all__ = """
    dist logsumexp norm
""".split()


@with_out
def norm(input: Tensor, p="fro", dim=None, keepdim: bool = False, dtype=None) -> Tensor:
    """The p-norm over `dim`: (Σ|x|ᵖ)^(1/p); "fro" is 2; inf, −inf and 0 as torch's."""
    x = input if dtype is None else input.to(dtype)
    if not x.is_floating_point():
        raise RuntimeError(
            "linalg.vector_norm: Expected a floating point or complex tensor as input."
            f" Got {x.dtype.alias}"
        )
    axes = axes_of(x, dim)
    if p is None or p in ("fro", 2):
        return _euclidean(x, axes, keepdim)
    size = x.abs()
    if p == math.inf:
        return amax(size, axes, keepdim)
    if p == -math.inf:
        return amin(size, axes, keepdim)
    if p == 0:
        return _count_of_others(x, axes, keepdim)
    if p == 1:
        return sum(size, axes, keepdim)
    return _general_norm(x, float(p), axes, keepdim)


def _count_of_others(x: Tensor, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    """How many elements are not 0; piecewise constant, so its gradient is 0."""
    out = sum((x.detach() != 0).to(x.dtype), axes, keepdim)
    shape = x._array.shape
    return record(
        *(out, "LinalgVectorNormBackward0", (x,)),
        lambda g: (lambda: g.new_zeros(shape),),
    )


@rounded_once
def _general_norm(x: Tensor, p: float, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    """(Σ|x|ᵖ)^(1/p); its gradient is 0 where the norm is."""
    out = sum(x.detach().abs() ** p, axes, keepdim) ** (1.0 / p)

    def slope(x, length):
        nothing = (length == 0) | (x == 0) if p < 1 else length == 0
        return where(nothing, 0.0, (x.abs() / length) ** (p - 1)) * x.sgn()

    return _recorded_norm(out, x, axes, keepdim, slope)


@rounded_once
def _euclidean(x: Tensor, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    squared = reduced("sum", ("mul", ELEMENT, ELEMENT), x, axes, keepdim, x.dtype)
    return _recorded_norm(
        *(squared.sqrt(), x, axes, keepdim),
        lambda x, length: where(length == 0, 0.0, x / length),
    )


def _recorded_norm(out: Tensor, x: Tensor, axes, keepdim: bool, slope) -> Tensor:
    """Record `out`, the norm of x; `slope(x, length)` is its derivative."""
    shape = x._array.shape

    def gradient(g, x, y):
        length = spread(y, shape, axes, keepdim)
        return spread(g, shape, axes, keepdim) * slope(x, length)

    return record(
        out,
        "LinalgVectorNormBackward0",
        (x,),
        lambda g, x, y: (lambda: gradient(g, x, y),),
        (x, out),
    )


def dist(input: Tensor, other: Tensor, p=2) -> Tensor:
    """The p-norm of input − other."""
    return norm(input - other, p)


@with_out
def logsumexp(input: Tensor, dim, keepdim: bool = False) -> Tensor:
    """log Σ exp(x) over `dim`, without overflow."""
    axes = axes_of(input, dim)
    x = input if input.is_floating_point() else input.to(dtypes.get_default_dtype())
    if not x._array.size:
        return sum(x.exp(), axes, keepdim).log()
    plain = x.detach()
    top = amax(plain, axes, True)
    top = where(top.isfinite(), top, 0.0)
    out = sum((plain - top).exp(), axes, keepdim).log() + top.reshape(
        kept(x.shape, axes) if keepdim else _without(x.shape, axes)
    )

    def gradient(g, x, y):
        shape = x._array.shape
        peak = spread(y, shape, axes, keepdim)
        return spread(g, shape, axes, keepdim) * (x - peak).exp()

    return record(
        out,
        "LogsumexpBackward0",
        (x,),
        lambda g, x, y: (lambda: gradient(g, x, y),),
        (x, out),
    )


def _without(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for axis, size in enumerate(shape) if axis not in axes)
