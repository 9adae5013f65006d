"""Reductions: sums, extremes, means, variances, norms, over any axes.

Each is a pre-map and a combination, lowered to `compiler.reduce`. `dim` may be None
(all axes), an axis or several; `keepdim` leaves reduced axes with size 1.
"""

from __future__ import annotations

import math

import numpy as np

from .. import compiler, dtypes
from ..autograd import record, renamed
from ..dtypes import dtype
from ..tensor import Tensor
from . import arguments
from .arguments import check_tensor
from .autocast import in_float32
from .choice import where
from .operands import with_out
from .rounding import rounded_once

__all__ = """
    all any count_nonzero mean nanmean nansum prod std std_mean sum trace var
    var_mean
""".split()


def axes_of(input: Tensor, dim) -> tuple[int, ...]:
    """The axes meant by `dim`, from the front; all of them for None or ().

    A tensor without axes takes 0 and -1 as axes, and reduces over none.
    """
    rank = input._array.ndim
    dims = dim if isinstance(dim, (tuple, list)) else () if dim is None else (dim,)
    axes = arguments.axes(dims, rank) if dims else tuple(range(rank))
    return axes if rank else ()


def kept(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape with `axes` reduced to 1."""
    return tuple(1 if axis in axes else size for axis, size in enumerate(shape))


def reduced(combine, expression, input, axes, keepdim, result: dtype) -> Tensor:
    """A fresh tensor: `expression` of the input combined over `axes`; not recorded."""
    array = compiler.reduce(
        combine,
        expression,
        input._array,
        axes=axes,
        dtypes=(input.dtype.name,),
        dtype=result.name,
    )
    if result is dtypes.bool_:  # sums and products of them are counted in int64
        array = array.astype(bool)
    if keepdim:
        array = array.reshape(kept(input._array.shape, axes))
    return Tensor._of(array, result)


def spread(g: Tensor, shape, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    """A reduced tensor (a gradient, an extreme) back at its elements' places."""
    if not keepdim and axes:
        g = g.reshape(kept(shape, axes))
    return g.expand(shape)


ELEMENT = ("in", 0)


def _summed(kind: dtype, asked: dtype | None) -> dtype:
    if asked is not None:
        return asked
    return kind if kind.is_floating_point else dtypes.int64


@with_out
def sum(input: Tensor, dim=None, keepdim: bool = False, *, dtype=None) -> Tensor:
    """The sum over `dim`; integers sum to int64.

    (…) -> the shape without the axes `dim`. Raises IndexError for an axis that is not.
    """
    check_tensor("sum", "input", input)
    axes = axes_of(input, dim)
    kind = _summed(input.dtype, dtype)
    out = reduced("sum", ("cast", kind.name, ELEMENT), input, axes, keepdim, kind)
    shape = input._array.shape
    name = "SumBackward0" if dim is None else "SumBackward1"
    return record(
        out, name, (input,), lambda g: (lambda: spread(g, shape, axes, keepdim),)
    )


def _count(input: Tensor, axes: tuple[int, ...]) -> int:
    return math.prod(input._array.shape[axis] for axis in axes)


@with_out
def mean(input: Tensor, dim=None, keepdim: bool = False, *, dtype=None) -> Tensor:
    """The mean over `dim`; floating point tensors only."""
    check_tensor("mean", "input", input)
    kind = dtype or input.dtype
    if not kind.is_floating_point:
        raise RuntimeError(
            "mean(): could not infer output dtype. Input dtype must be floating point."
            f" Got: {input.dtype.alias}"
        )
    axes = axes_of(input, dim)
    count = _count(input, axes)
    wide = "float64" if kind is dtypes.float64 else "float32"
    total = reduced(
        "sum", ("cast", wide, ELEMENT), input, axes, keepdim, dtypes.BY_NAME[wide]
    )
    scaled = compiler.pointwise(
        ("cast", kind.name, ("div", ELEMENT, ("scalar", 0))),
        total._array,
        scalars=(float(count),),
        dtypes=(wide,),
    )
    out = Tensor._of(scaled, kind)
    shape = input._array.shape
    name = "MeanBackward0" if dim is None else "MeanBackward1"
    return record(
        out,
        name,
        (input,),
        lambda g: (lambda: spread(g, shape, axes, keepdim) / count,),
    )


@with_out
def nansum(input: Tensor, dim=None, keepdim: bool = False, *, dtype=None) -> Tensor:
    """The sum, NaN counted as zero."""
    zero = where(input.isnan(), 0, input) if input.is_floating_point() else input
    return sum(zero, dim, keepdim, dtype=dtype)


@with_out
def nanmean(input: Tensor, dim=None, keepdim: bool = False, *, dtype=None) -> Tensor:
    """The mean of what is not NaN."""
    if not input.is_floating_point():
        raise RuntimeError(
            f"nanmean(): expected input to have floating point dtype but got"
            f" {input.dtype}"
        )
    counted = sum(input.isnan().logical_not(), dim, keepdim)
    return nansum(input, dim, keepdim, dtype=dtype) / counted


@in_float32
@with_out
def prod(input: Tensor, dim=None, keepdim: bool = False, *, dtype=None) -> Tensor:
    """The product over all axes, or over one."""
    axes = axes_of(input, dim)
    kind = _summed(input.dtype, dtype)
    out = reduced("prod", ("cast", kind.name, ELEMENT), input, axes, keepdim, kind)
    shape = input._array.shape

    def formula(g, x):
        return (lambda: spread(g, shape, axes, keepdim) * _others(x, axes),)

    return record(out, f"ProdBackward{dim is not None:d}", (input,), formula, (input,))


def _others(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """For each element, the product of the others along `axes`, without division."""
    shape = x.shape
    if not x._array.size:
        return x
    moved = x.movedim(axes, tuple(range(len(axes)))) if axes else x
    flat = moved.reshape(math.prod(moved.shape[: len(axes)]), *moved.shape[len(axes) :])
    one = flat.new_ones((1, *flat.shape[1:]))
    before = _cat(one, flat[:-1]).cumprod(0)
    after = _cat(one, flat.flip(0)[:-1]).cumprod(0).flip(0)
    back = (before * after).reshape(moved.shape)
    return back.movedim(tuple(range(len(axes))), axes) if axes else back.reshape(shape)


def _cat(first: Tensor, second: Tensor) -> Tensor:
    from .join import cat

    return cat((first, second), 0)


@with_out
def any(input: Tensor, dim=None, keepdim: bool = False) -> Tensor:
    """Is one element other than zero?"""
    return _logical("any", input, dim, keepdim)


@with_out
def all(input: Tensor, dim=None, keepdim: bool = False) -> Tensor:
    """Are all elements other than zero?"""
    return _logical("all", input, dim, keepdim)


def _logical(combine: str, input: Tensor, dim, keepdim: bool) -> Tensor:
    kind = dtypes.uint8 if input.dtype is dtypes.uint8 else dtypes.bool_
    found = reduced(
        combine,
        ("ne", ELEMENT, ("const", 0)),
        input,
        axes_of(input, dim),
        keepdim,
        dtypes.bool_,
    )
    return found if kind is dtypes.bool_ else found.to(kind)


@with_out
def count_nonzero(input: Tensor, dim=None) -> Tensor:
    """How many elements are not zero."""
    return sum(input != 0, dim)


# Spread


def _correction(unbiased, correction) -> float:
    if correction is not None:
        return correction
    return 1 if unbiased is None or unbiased else 0


def _moments(name, input, dim, unbiased, correction, keepdim):
    """(variance, mean) over `dim`, the variance dividing by count − correction."""
    check_tensor(name, "input", input)
    if isinstance(dim, bool):  # the old form var(input, unbiased)
        dim, unbiased = None, dim
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"{name} only support floating point and complex dtypes")
    axes = axes_of(input, dim)
    center = mean(input, axes, True) if axes else mean(input, None)
    offset = input - center
    divisor = float(
        np.maximum(_count(input, axes) - _correction(unbiased, correction), 0)
    )
    total = sum(offset * offset, axes, keepdim) if axes else sum(offset * offset)
    variance = total / divisor
    if not keepdim and axes:
        center = center.squeeze(axes)
    return variance, center


@with_out
@rounded_once
def var(
    input, dim=None, unbiased=None, keepdim: bool = False, *, correction=None
) -> Tensor:
    """The mean squared distance from the mean, over count − correction."""
    variance = _moments("var", input, dim, unbiased, correction, keepdim)[0]
    return renamed(variance, "VarBackward0")


@with_out
@rounded_once
def std(
    input, dim=None, unbiased=None, keepdim: bool = False, *, correction=None
) -> Tensor:
    """The standard deviation: √var."""
    variance = _moments("std", input, dim, unbiased, correction, keepdim)[0]
    return renamed(variance.sqrt(), "StdBackward0")


@arguments.numpy_words
@rounded_once
def var_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """(variance, mean)."""
    return _moments("var_mean", input, dim, unbiased, correction, keepdim)


@arguments.numpy_words
@rounded_once
def std_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """(standard deviation, mean)."""
    variance, center = _moments("std_mean", input, dim, unbiased, correction, keepdim)
    return variance.sqrt(), center


@in_float32
def trace(input: Tensor) -> Tensor:
    """The sum of the diagonal of a matrix."""
    if input.dim() != 2:
        raise RuntimeError(
            f"trace: expected a matrix, but got tensor with dim {input.dim()}"
        )
    return sum(input.diagonal())
