"""Order statistics: median, mode, quantiles. Rarely hot: NumPy finds the element."""

from __future__ import annotations

import math

import numpy as np

from ..tensor import Tensor
from .autocast import in_float32
from .choice import where
from .extremes import chosen
from .operands import stored, with_out
from .reduce import axes_of, kept

__all__ = """
    median mode nanmedian nanquantile quantile
""".split()


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
        return chosen(name, input, dim, keepdim, _middle(ignore_nan))
    if not input._array.size:
        return Tensor._of(stored(np.asarray(math.nan), input.dtype), input.dtype)
    return chosen(name, input.reshape(-1), 0, False, _middle(ignore_nan))[0]


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
    return chosen("mode", input, dim, keepdim, _most_common)


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


@in_float32
@with_out
def quantile(input, q, dim=None, keepdim=False, *, interpolation="linear") -> Tensor:
    """The q-th quantiles (0 … 1) over one axis or all."""
    return _quantile("quantile", input, q, dim, keepdim, interpolation, False)


@in_float32
@with_out
def nanquantile(input, q, dim=None, keepdim=False, *, interpolation="linear") -> Tensor:
    """As `quantile`, of what is not NaN."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)
