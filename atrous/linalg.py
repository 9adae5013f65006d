"""`atrous.linalg`: norms and products by their names in torch.linalg."""

from __future__ import annotations

import math

from .ops import matmul as products
from .ops import reduce

matmul, multi_dot = products.matmul, lambda tensors: products.chain_matmul(*tensors)


def vector_norm(x, ord=2, dim=None, keepdim=False, *, dtype=None, out=None):
    """The norm of order `ord` of the vectors along `dim` (None: of all elements)."""
    return reduce.norm(x, ord, dim, keepdim, dtype, out=out)


def vecdot(x, y, *, dim: int = -1, out=None):
    """Σ x · y along `dim`."""
    if x.shape and y.shape and x.shape[dim] != y.shape[dim]:
        raise RuntimeError(
            f"linalg.vecdot: sizes along dim {dim} differ: {x.shape[dim]} and"
            f" {y.shape[dim]}."
        )
    return reduce.sum(x * y, dim, out=out)


def norm(A, ord=None, dim=None, keepdim=False, *, dtype=None, out=None):
    """The vector norm, or the Frobenius norm of matrices."""
    return reduce.norm(A, "fro" if ord is None else ord, dim, keepdim, dtype, out=out)


def matrix_norm(A, ord="fro", dim=(-2, -1), keepdim=False, *, dtype=None, out=None):
    """The norm of matrices: "fro", 1, −1, inf or −inf."""
    if ord == "fro":
        return reduce.norm(A, 2, dim, keepdim, dtype, out=out)
    rows, columns = (axis % A.dim() for axis in dim)
    if abs(ord) not in (1, math.inf):
        raise ValueError(f"linalg.matrix_norm: order {ord} is not offered.")
    summed, chosen = (rows, columns) if abs(ord) == 1 else (columns, rows)
    totals = reduce.sum(A.abs(), summed, True)
    pick = reduce.amax if ord > 0 else reduce.amin
    result = pick(totals, chosen, True)
    return result if keepdim else result.squeeze((rows, columns))
