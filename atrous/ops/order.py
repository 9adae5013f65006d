"""Sorting and what follows from an order: topk, kthvalue, unique, isin, search."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from .. import dtypes
from ..autograd import record
from ..compiler import memory
from ..tensor import Tensor
from .arguments import axis, check_tensor
from .copying import zeros_of
from .keys import at
from .operands import as_tensor, stored, with_out
from .results import named

__all__ = """
    argsort bincount bucketize histc isin kthvalue msort searchsorted sort topk unique
    unique_consecutive
""".split()


# Sorting


def _order(values: np.ndarray, place: int, descending: bool) -> np.ndarray:
    """The indices that sort, equal elements in their order; NaN counts as largest."""
    memory.require(values.shape, np.int64)
    if not descending:
        return np.argsort(values, place, kind="stable")
    turned = np.flip(values, place)
    backwards = np.argsort(turned, place, kind="stable")
    return values.shape[place] - 1 - np.flip(backwards, place)


def _picked(
    input: Tensor, place: int, indices: np.ndarray, name: str, gone=False
) -> tuple[Tensor, Tensor]:
    """The values at `indices` along an axis, recorded; `gone` removes that axis."""
    array = input._array
    if not array.ndim:
        values, indices = array.copy(), np.zeros((), np.int64)
    else:
        values = np.take_along_axis(array, indices, place)
        if gone:
            values, indices = values.squeeze(place), indices.squeeze(place)
    where = Tensor._of(np.array(indices, np.int64, order="C"))
    shape = array.shape

    def adjoint(g):
        if not shape:
            return g
        index, g = (each.unsqueeze(place) if gone else each for each in (where, g))
        zeros = zeros_of(shape, g.dtype)
        return zeros.scatter_add(place, index, g)

    out = Tensor._of(np.array(values, order="C"), input.dtype)
    record(out, f"{name.title()}Backward0", (input,), lambda g: (lambda: adjoint(g),))
    return out, where


@with_out
def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False):
    """(values, indices) sorted along `dim`; always stable."""
    check_tensor("sort", "input", input)
    place = axis(dim, input.dim())
    values = np.atleast_1d(input._values())
    indices = _order(values, place, descending)
    return named("sort", "values", "indices")(*_picked(input, place, indices, "sort"))


@with_out
def argsort(
    input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False
) -> Tensor:
    """The indices that sort along `dim`."""
    return sort(input.detach(), dim, descending)[1]


@with_out
def msort(input: Tensor) -> Tensor:
    """The values sorted along the first axis."""
    return sort(input, 0)[0]


@with_out
def topk(
    input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
):
    """(values, indices) of the k largest (or smallest) along `dim`, in their order."""
    check_tensor("topk", "input", input)
    place = axis(dim, input.dim())
    values = np.atleast_1d(input._values())
    if not 0 <= k <= values.shape[place]:
        raise RuntimeError(
            f"selected index k out of range: k={k}, dimension {place} has size"
            f" {values.shape[place]}"
        )
    indices = _order(values, place, largest)
    out = _picked(input, place, indices[at(place, slice(k))], "topk")
    return named("topk", "values", "indices")(*out)


@with_out
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False):
    """(values, indices) of the k-th smallest element along `dim`, counted from 1."""
    check_tensor("kthvalue", "input", input)
    place = axis(dim, input.dim())
    values = np.atleast_1d(input._values())
    if not 1 <= k <= values.shape[place]:
        raise RuntimeError(
            f"kthvalue(): selected number k out of range for dimension {place}: k={k},"
            f" size {values.shape[place]}"
        )
    indices = _order(values, place, False)
    chosen = indices[at(place, slice(k - 1, k))]
    out = _picked(input, place, chosen, "kthvalue", gone=not keepdim)
    return named("kthvalue", "values", "indices")(*out)


# Distinct values


def _asked(out: tuple, inverse: bool, counts: bool):
    chosen = [out[0]] + [out[1]] * inverse + [out[2]] * counts
    return tuple(chosen) if len(chosen) > 1 else chosen[0]


def _long(array) -> Tensor:
    return Tensor._of(np.array(array, np.int64, order="C"))


def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
):
    """The distinct values (or slices along `dim`), sorted.

    `return_inverse` adds where each element went, `return_counts` how many there were.
    """
    check_tensor("unique", "input", input)
    place = None if dim is None else axis(dim, input.dim())
    held = input._values()
    values, inverse, counts = np.unique(
        held, return_inverse=True, return_counts=True, axis=place, equal_nan=False
    )
    shape = input._array.shape if dim is None else (inverse.size,)
    found = Tensor._of(np.array(stored(values, input.dtype), order="C"), input.dtype)
    out = found, _long(inverse.reshape(shape)), _long(counts)
    return _asked(out, return_inverse, return_counts)


def unique_consecutive(
    input: Tensor,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
):
    """The values (or slices along `dim`) without immediate repetitions."""
    check_tensor("unique_consecutive", "input", input)
    array = input._values()
    flat = (
        array.reshape(-1)
        if dim is None
        else np.moveaxis(array, axis(dim, array.ndim), 0)
    )
    rows = flat.reshape(len(flat), math.prod(flat.shape[1:]))
    new = np.ones(len(flat), bool)
    new[1:] = (rows[1:] != rows[:-1]).any(1)
    starts = np.flatnonzero(new)
    kept = (
        flat[new] if dim is None else np.moveaxis(flat[new], 0, axis(dim, array.ndim))
    )
    inverse = np.cumsum(new) - 1
    counts = np.diff(np.r_[starts, len(flat)])
    values = Tensor._of(np.array(stored(kept, input.dtype), order="C"), input.dtype)
    shape = array.shape if dim is None else inverse.shape
    out = values, _long(inverse.reshape(shape)), _long(counts)
    return _asked(out, return_inverse, return_counts)


def isin(
    elements, test_elements, *, assume_unique: bool = False, invert: bool = False
) -> Tensor:
    """Is each element among `test_elements`?"""
    first, second = as_tensor(elements), as_tensor(test_elements)
    found = np.isin(first._values(), second._values(), invert=invert)
    return Tensor._of(np.array(found, bool))


# Searching


def _side(right: bool, side: str | None) -> Literal["left", "right"]:
    if side not in (None, "left", "right"):
        raise RuntimeError(
            f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}"
        )
    if right and side == "left":
        raise RuntimeError(
            "torch.searchsorted(): side and right can't be set to opposites, got side"
            " of left while right was True"
        )
    return "right" if right or side == "right" else "left"


@with_out
def searchsorted(
    sorted_sequence: Tensor,
    input,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Where each value would be inserted to keep the last axis sorted."""
    check_tensor("searchsorted", "sorted_sequence", sorted_sequence)
    way = _side(right, side)
    edges, values = sorted_sequence._values(), as_tensor(input)._values()
    if not edges.ndim or (edges.ndim > 1 and edges.shape[:-1] != values.shape[:-1]):
        raise RuntimeError(
            "torch.searchsorted(): boundaries tensor should be 1 dimension or the first"
            " N-1 dimensions of boundaries tensor and input value tensor must match,"
            f" but we got boundaries tensor {list(edges.shape)} and input value tensor"
            f" {list(values.shape)}"
        )
    if sorter is not None:
        if sorter._array.shape != edges.shape:
            raise RuntimeError(
                "torch.searchsorted(): boundary and sorter must have the same size, but"
                f" got boundary tensor {list(edges.shape)} and got sorter tensor"
                f" {list(sorter.shape)}"
            )
        if sorter.dtype is not dtypes.int64:
            raise RuntimeError(
                "torch.searchsorted(): sorter must be a tensor of long dtype but got"
                f" dtype {sorter.dtype}"
            )
        edges = np.take_along_axis(edges, sorter._array, -1)
    if edges.ndim == 1:
        found = np.searchsorted(edges, values, way)
    else:
        found = np.empty(values.shape, np.int64)
        for row in np.ndindex(edges.shape[:-1]):
            found[row] = np.searchsorted(edges[row], values[row], way)
    return Tensor._of(np.array(found, np.int32 if out_int32 else np.int64, order="C"))


@with_out
def bucketize(
    input, boundaries: Tensor, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """The number of the interval between sorted boundaries that each value is in."""
    check_tensor("bucketize", "boundaries", boundaries)
    if boundaries.dim() != 1:
        raise RuntimeError(
            f"boundaries tensor must be 1 dimension, but got dim({boundaries.dim()})"
        )
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


# Counting


def bincount(
    input: Tensor, weights: Tensor | None = None, minlength: int = 0
) -> Tensor:
    """How often each number from 0 on occurs, or the sum of its weights."""
    check_tensor("bincount", "input", input)
    if input.is_floating_point() or input.dtype is dtypes.bool_:
        raise NotImplementedError(f"bincount: not implemented for {input.dtype}")
    if minlength < 0:
        raise RuntimeError(f"minlength should be >= 0, not {minlength}")
    array = input._array
    if array.ndim != 1 or (array.size and array.min() < 0):
        least = f", smallest {array.min()}" if array.size else ""
        raise RuntimeError(
            "bincount only supports 1-d non-negative integral inputs: shape"
            f" {tuple(array.shape)}{least}."
        )
    memory.require((max(int(array.max(initial=0)) + 1, minlength),), np.int64)
    if weights is None:
        return Tensor._of(np.bincount(array, minlength=minlength).astype(np.int64))
    if weights._array.shape != array.shape:
        raise RuntimeError(
            "weights should be 1-d and have the same length as input, not"
            f" {tuple(weights.shape)} and {tuple(array.shape)}"
        )
    held = weights.detach()._values()
    sums = np.bincount(array, held.astype(np.float64), minlength)
    kind = weights.dtype if weights.dtype is dtypes.float32 else dtypes.float64
    return Tensor._of(sums.astype(kind.storage), kind)


@with_out
def histc(input: Tensor, bins: int = 100, min=0, max=0) -> Tensor:
    """How many elements fall into each of `bins` equal parts of [min, max].

    With min = max, the range is that of the elements.
    """
    check_tensor("histc", "input", input)
    if not input.is_floating_point():
        raise NotImplementedError(f"histc: not implemented for {input.dtype}")
    if bins <= 0:
        raise RuntimeError(f"bins must be > 0, not {bins}")
    values = input._values().astype(np.float64).reshape(-1)
    low, high = float(min), float(max)
    if low == high and values.size:
        low, high = float(values.min()), float(values.max())
    if low == high:
        low, high = low - 1, high + 1
    if not (np.isfinite(low) and np.isfinite(high)):
        raise RuntimeError(f"range of [{low}, {high}] is not finite")
    if low > high:
        raise RuntimeError(f"max must be larger than min, but min={low}, max={high}")
    counts = np.histogram(values, bins, (low, high))[0]
    return Tensor._of(stored(counts.astype(np.float64), input.dtype), input.dtype)
