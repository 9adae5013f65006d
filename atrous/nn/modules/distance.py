"""Distances between vectors: PairwiseDistance, CosineSimilarity."""

from __future__ import annotations

from atrous.nn import functional as F
from atrous.nn.modules.module import Module
from atrous.tensor import Tensor


class PairwiseDistance(Module):
    """(Σ |x1 - x2 + eps|^p)^(1/p) along the last axis."""

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False):
        super().__init__()
        self.norm = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)


class CosineSimilarity(Module):
    """x1·x2 / max(|x1|·|x2|, eps) along `dim`."""

    def __init__(self, dim: int = 1, eps: float = 1e-8):
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.cosine_similarity(x1, x2, self.dim, self.eps)
