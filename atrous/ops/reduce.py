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
from .operands import stored, with_out
from .pointwise import check_tensor, maximum, minimum, where
from .results import named

__all__ = """
    sum nansum mean nanmean prod max min amax amin aminmax argmax argmin any all var std
    var_mean std_mean norm logsumexp median nanmedian mode quantile nanquantile
    count_nonzero dist trace
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


_IN = ("in", 0)


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
    out = reduced("sum", ("cast", kind.name, _IN), input, axes, keepdim, kind)
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
        "sum", ("cast", wide, _IN), input, axes, keepdim, dtypes.BY_NAME[wide]
    )
    scaled = compiler.pointwise(
        ("cast", kind.name, ("div", _IN, ("scalar", 0))),
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


@with_out
def prod(input: Tensor, dim=None, keepdim: bool = False, *, dtype=None) -> Tensor:
    """The product over all axes, or over one."""
    axes = axes_of(input, dim)
    kind = _summed(input.dtype, dtype)
    out = reduced("prod", ("cast", kind.name, _IN), input, axes, keepdim, kind)
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


# Extremes


def _refuse_empty(name: str, input: Tensor, axes: tuple[int, ...]) -> None:
    for axis in axes:
        if input._array.shape[axis] == 0:
            raise IndexError(
                f"{name}(): Expected reduction dim {axis} to have non-zero size, the"
                f" tensor is {tuple(input.shape)}."
            )


def _refuse_all_empty(name: str, input: Tensor) -> None:
    if not input._array.size:
        raise RuntimeError(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0."
            " Specify the reduction dim with the 'dim' argument."
        )


def _extreme(name: str, combine: str, input: Tensor, dim, keepdim: bool) -> Tensor:
    """amax, amin, and max, min of everything: the gradient is shared among equals."""
    axes = axes_of(input, dim)
    if dim is None or dim == ():
        _refuse_all_empty(name, input)
    _refuse_empty(name, input, axes)
    out = reduced(combine, _IN, input, axes, keepdim, input.dtype)
    shape = input._array.shape

    def gradient(g, x, y):
        reached = x == spread(y, shape, axes, keepdim)
        shares = sum(reached, axes, True) if axes else sum(reached)
        if name in ("max", "min"):
            return where(reached, spread(g / shares, shape, axes, keepdim), 0)
        return spread(g, shape, axes, keepdim) * reached.to(g.dtype) / shares

    node = f"{name.title()}Backward{1 if name in ('max', 'min') else 0}"
    return record(
        out, node, (input,), lambda g, x, y: (lambda: gradient(g, x, y),), (input, out)
    )


@with_out
def amax(input: Tensor, dim=(), keepdim: bool = False) -> Tensor:
    """The largest over `dim`; the gradient is shared among equals."""
    return _extreme("amax", "max", input, dim, keepdim)


@with_out
def amin(input: Tensor, dim=(), keepdim: bool = False) -> Tensor:
    """The smallest over `dim`; the gradient is shared among equals."""
    return _extreme("amin", "min", input, dim, keepdim)


@with_out
def aminmax(input: Tensor, *, dim=None, keepdim: bool = False):
    """(smallest, largest) over one axis or all."""
    if dim is None:
        _refuse_all_empty("aminmax", input)
    return named("aminmax", "min", "max")(
        amin(input, () if dim is None else dim, keepdim),
        amax(input, () if dim is None else dim, keepdim),
    )


def at_axis(input: Tensor, index: Tensor, axis: int, keepdim: bool) -> Tensor:
    """The elements at `index` (reduced shape, or kept) along `axis`; differentiable."""
    if not input._array.ndim:
        return input.clone()
    chosen = index if keepdim else index.unsqueeze(axis)
    taken = input.gather(axis, chosen)
    return taken if keepdim else taken.squeeze(axis)


def _chosen(name: str, input: Tensor, dim: int, keepdim: bool, pick):
    """(values, indices) along one axis, the gradient going to the chosen element."""
    axis = input._axis(dim)
    _refuse_empty(name, input, (axis,) if input._array.ndim else ())
    indices = pick(input, axis, keepdim)
    source = input.detach()
    values = at_axis(source, indices, axis, keepdim)
    shape = input._array.shape

    def gradient(g, index):
        if not shape:
            return g
        zero = g.new_zeros(shape)
        if not keepdim:
            g, index = g.unsqueeze(axis), index.unsqueeze(axis)
        return zero.scatter(axis, index, g)

    record(
        values,
        f"{name.title()}Backward0",
        (input,),
        lambda g, index: (lambda: gradient(g, index),),
        (indices,),
    )
    return named(name, "values", "indices")(values, indices)


def _extreme_or_pair(name, combine, pick, larger):
    def operation(input, dim=None, keepdim: bool = False, *, other=None):
        check_tensor(name, "input", input)
        if isinstance(dim, Tensor) or other is not None:
            return larger(input, dim if other is None else other)
        if dim is None:
            return _extreme(name, combine, input, (), False)
        return _chosen(name, input, dim, keepdim, pick)

    operation.__name__ = operation.__qualname__ = name
    operation.__doc__ = (
        f"The {name} of everything; (values, indices) over one axis; or elementwise"
        " against `other`."
    )
    return with_out(operation)


def _argument(combine: str, input: Tensor, dim, keepdim: bool) -> Tensor:
    if not input._array.size and dim is None:
        raise IndexError(
            f"{combine}(): Expected reduction dim to be specified for input.numel() =="
            " 0. Specify the reduction dim with the 'dim' argument."
        )
    axes = axes_of(input, dim)
    _refuse_empty(combine, input, axes)
    if input.dtype is dtypes.bool_:
        raise RuntimeError(f"\"{combine}_cpu\" not implemented for 'Bool'")
    array = compiler.reduce(
        combine, _IN, input._array, axes=axes, dtypes=(input.dtype.name,)
    )
    if keepdim:
        array = array.reshape(kept(input._array.shape, axes))
    return Tensor._of(array, dtypes.int64)


@with_out
def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the largest is; the first of equals; NaN counts as largest."""
    return _argument("argmax", input, dim, keepdim)


@with_out
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the smallest is; the first of equals; NaN counts as smallest."""
    return _argument("argmin", input, dim, keepdim)


def _pick(argument: str):
    def pick(input: Tensor, axis: int, keepdim: bool) -> Tensor:
        plain = input.to(dtypes.uint8) if input.dtype is dtypes.bool_ else input
        return _argument(argument, plain.detach(), axis, keepdim)

    return pick


max = _extreme_or_pair("max", "max", _pick("argmax"), maximum)
min = _extreme_or_pair("min", "min", _pick("argmin"), minimum)


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
        ("ne", _IN, ("const", 0)),
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
def var(
    input, dim=None, unbiased=None, keepdim: bool = False, *, correction=None
) -> Tensor:
    """The mean squared distance from the mean, over count − correction."""
    variance = _moments("var", input, dim, unbiased, correction, keepdim)[0]
    return renamed(variance, "VarBackward0")


@with_out
def std(
    input, dim=None, unbiased=None, keepdim: bool = False, *, correction=None
) -> Tensor:
    """The standard deviation: √var."""
    variance = _moments("std", input, dim, unbiased, correction, keepdim)[0]
    return renamed(variance.sqrt(), "StdBackward0")


@arguments.numpy_words
def var_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """(variance, mean)."""
    return _moments("var_mean", input, dim, unbiased, correction, keepdim)


@arguments.numpy_words
def std_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """(standard deviation, mean)."""
    variance, center = _moments("std_mean", input, dim, unbiased, correction, keepdim)
    return variance.sqrt(), center


# Norms and logarithms of sums


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


def _general_norm(x: Tensor, p: float, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    """(Σ|x|ᵖ)^(1/p); its gradient is 0 where the norm is."""
    out = sum(x.detach().abs() ** p, axes, keepdim) ** (1.0 / p)

    def slope(x, length):
        nothing = (length == 0) | (x == 0) if p < 1 else length == 0
        return where(nothing, 0.0, (x.abs() / length) ** (p - 1)) * x.sgn()

    return _recorded_norm(out, x, axes, keepdim, slope)


def _euclidean(x: Tensor, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    squared = reduced("sum", ("mul", _IN, _IN), x, axes, keepdim, x.dtype)
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


# Order statistics: rarely hot, NumPy finds the element


def _middle(ignore_nan: bool):
    def pick(input: Tensor, axis: int, keepdim: bool) -> Tensor:
        values = input.detach()._values()
        if not values.ndim:
            return Tensor._of(np.zeros((), np.int64))
        order = np.argsort(values, axis=axis, kind="stable")
        nans = np.isnan(values).sum(axis, keepdims=True)
        count = values.shape[axis]
        place = np.maximum(count - nans - 1, 0) // 2
        if not ignore_nan:
            place = np.where(nans > 0, count - nans, place)
        index = np.take_along_axis(order, place, axis)
        return Tensor._of(
            np.array(index if keepdim else index.squeeze(axis), order="C")
        )

    return pick


def _median(name: str, input: Tensor, dim, keepdim: bool, ignore_nan: bool):
    if dim is not None:
        return _chosen(name, input, dim, keepdim, _middle(ignore_nan))
    if not input._array.size:
        return Tensor._of(stored(np.asarray(math.nan), input.dtype), input.dtype)
    return _chosen(name, input.reshape(-1), 0, False, _middle(ignore_nan))[0]


@with_out
def median(input: Tensor, dim: int | None = None, keepdim: bool = False):
    """The middle value (the lower of two); with `dim`, (values, indices)."""
    return _median("median", input, dim, keepdim, False)


@with_out
def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False):
    """The middle of what is not NaN."""
    return _median("nanmedian", input, dim, keepdim, True)


def _most_common(input: Tensor, axis: int, keepdim: bool) -> Tensor:
    values = input.detach()._values()
    if not values.ndim:
        return Tensor._of(np.zeros((), np.int64))

    def of_row(row):
        found, counts = np.unique(row, return_counts=True)
        return np.flatnonzero(row == found[counts.argmax()])[-1]

    index = np.apply_along_axis(of_row, axis, values)
    index = np.expand_dims(index, axis) if keepdim else index
    return Tensor._of(np.array(index, np.int64, order="C"))


@with_out
def mode(input: Tensor, dim: int = -1, keepdim: bool = False):
    """The most frequent value (the smallest of equals), and the last place it has."""
    return _chosen("mode", input, dim, keepdim, _most_common)


_ROUNDINGS = {
    "linear": lambda place: place,
    "lower": lambda place: place.floor(),
    "higher": lambda place: place.ceil(),
    "nearest": lambda place: place.round(),
    "midpoint": lambda place: (place.floor() + place.ceil()) / 2,
}


def _quantile(name, input, q, dim, keepdim, interpolation, ignore_nan):
    from .join import stack

    levels = q if isinstance(q, Tensor) else input.new_tensor(q)
    if interpolation not in _ROUNDINGS:
        raise RuntimeError(
            f"{name}() interpolation must be one of {', '.join(_ROUNDINGS)}, but got"
            f" {interpolation}"
        )
    if levels.dim() > 1 or levels.dtype is not input.dtype:
        raise RuntimeError(
            f"{name}() q must be a scalar or 1D tensor of dtype {input.dtype}, but it"
            f" is {tuple(levels.shape)} of {levels.dtype}"
        )
    if not input._array.size:
        raise RuntimeError(f"{name}() input tensor must be non-empty")
    if not ((levels >= 0) & (levels <= 1)).all():
        raise RuntimeError(f"{name}() q values must be in the range [0, 1]")
    rank = input.dim()
    flat = input.movedim(dim, -1) if dim is not None and rank else input.reshape(-1)
    order = flat.sort(-1)[0]
    nans = order.detach().isnan().sum(-1, keepdim=True)
    results = []
    for level in levels.reshape(-1).unbind():
        last = flat.shape[-1] - 1
        place = level * (last - nans * ignore_nan).clamp(min=0)
        if not ignore_nan:  # a NaN anywhere is the answer: it is sorted last
            place = where(nans > 0, float(last), place)
        results.append(_between(order, _ROUNDINGS[interpolation](place)))
    if keepdim:
        shape = kept(
            input.shape, tuple(range(rank)) if dim is None else axes_of(input, dim)
        )
        results = [each.reshape(shape) for each in results]
    return stack(results) if levels.dim() else results[0]


def _between(order: Tensor, place: Tensor) -> Tensor:
    """The sorted values at fractional places (…, 1) along the last axis."""
    low = place.detach().floor().long()
    high = (low + 1).clamp(max=order.shape[-1] - 1)
    below, above = order.gather(-1, low), order.gather(-1, high)
    return below.lerp(above, place - low).squeeze(-1)


@with_out
def quantile(input, q, dim=None, keepdim=False, *, interpolation="linear") -> Tensor:
    """The q-th quantiles (0 … 1) over one axis or all."""
    return _quantile("quantile", input, q, dim, keepdim, interpolation, False)


@with_out
def nanquantile(input, q, dim=None, keepdim=False, *, interpolation="linear") -> Tensor:
    """As `quantile`, of what is not NaN."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)


def trace(input: Tensor) -> Tensor:
    """The sum of the diagonal of a matrix."""
    if input.dim() != 2:
        raise RuntimeError(
            f"trace: expected a matrix, but got tensor with dim {input.dim()}"
        )
    return sum(input.diagonal())
