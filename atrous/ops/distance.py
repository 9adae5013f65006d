"""Distances and angles between rows."""

from __future__ import annotations

import numpy as np

from ..tensor import Tensor
from .arguments import check_tensor
from .broadcast import broadcast_tensors
from .operands import result_type

__all__ = ["cosine_similarity", "pairwise_distance", "pdist"]


def cosine_similarity(
    x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8
) -> Tensor:
    """The cosine of the angle of x1 and x2 along `dim`; no length is below `eps`."""
    check_tensor("cosine_similarity", "x1", x1)
    check_tensor("cosine_similarity", "x2", x2)
    kind = result_type(x1, x2)
    if not kind.is_floating_point:
        raise RuntimeError(
            f"cosine_similarity: expected common dtype to be floating point, yet it is"
            f" {kind}"
        )
    x1, x2 = broadcast_tensors(x1.to(kind), x2.to(kind))
    first, second = (
        each / each.norm(2, dim, keepdim=True).clamp_min(eps) for each in (x1, x2)
    )
    return (first * second).sum(dim)


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """The p-norm of x1 - x2 + eps along the last axis."""
    check_tensor("pairwise_distance", "x1", x1)
    check_tensor("pairwise_distance", "x2", x2)
    return (x1 - x2 + eps).norm(p, -1, keepdim=keepdim)


def pdist(input: Tensor, p: float = 2) -> Tensor:
    """(rows, features) -> the p-norm between every pair of rows, i < j, in one axis."""
    check_tensor("pdist", "input", input)
    if input.ndim != 2:
        raise RuntimeError(
            f"pdist only supports 2D tensors, got: {input.ndim}D {tuple(input.shape)}"
        )
    if p < 0:
        raise RuntimeError(f"pdist: p must be zero or more, got {p}.")
    first, second = (Tensor._of(index) for index in np.triu_indices(input.shape[0], 1))
    difference = input[first] - input[second]
    if p == 0:
        # How many entries differ: a count, whose gradient is zero.
        return difference.norm(0, -1) + (difference * 0).sum(-1)
    return difference.norm(p, -1)
