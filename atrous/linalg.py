"""`atrous.linalg`: norms and products by their names in torch.linalg."""

from __future__ import annotations

import math

from .ops import extremes, reduce, vector_norms
from .ops import matmul as products
from .ops.autocast import in_lower

matmul, multi_dot = products.matmul, lambda tensors: products.chain_matmul(*tensors)


def vector_norm(x, ord=2, dim=None, keepdim=False, *, dtype=None, out=None):
    """The norm of order `ord` of the vectors along `dim` (None: of all elements)."""
    return vector_norms.norm(x, ord, dim, keepdim, dtype, out=out)


@in_lower
def vecdot(x, y, *, dim: int = -1, out=None):
    """Σ x · y along `dim`."""
    if x.shape and y.shape and x.shape[dim] != y.shape[dim]:
        raise RuntimeError(
            f"linalg.vecdot: sizes along dim {dim} differ: {x.shape[dim]} and"
            f" {y.shape[dim]}."
        )
    return reduce.sum(x * y, dim, out=out)


def norm(A, ord=None, dim=None, keepdim=False, *, dtype=None, out=None):
    """A vector norm, or a matrix norm where `ord` is given for two axes."""
    axes = () if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    if ord is not None and (len(axes) == 2 or (dim is None and A.dim() == 2)):
        return matrix_norm(A, ord, axes or (-2, -1), keepdim, dtype=dtype, out=out)
    if isinstance(ord, str):
        raise RuntimeError(
            f"linalg.norm: order '{ord}' is for two axes, not dim={dim}."
        )
    order = 2 if ord is None else ord
    return vector_norms.norm(A, order, dim, keepdim, dtype, out=out)


def matrix_norm(A, ord="fro", dim=(-2, -1), keepdim=False, *, dtype=None, out=None):
    """The norm of matrices: "fro", 1, −1, inf or −inf; not those of singular values."""
    if ord == "fro":
        return vector_norms.norm(A, 2, dim, keepdim, dtype, out=out)
    if isinstance(ord, str) or abs(ord) not in (1, math.inf):
        raise NotImplementedError(
            f"linalg.matrix_norm: order {ord!r} takes singular values, which are not"
            " offered; 'fro', 1, -1, inf and -inf are."
        )
    rows, columns = (axis % A.dim() for axis in dim)
    summed, chosen = (rows, columns) if abs(ord) == 1 else (columns, rows)
    totals = reduce.sum(A.abs(), summed, True, dtype=dtype)
    pick = extremes.amax if ord > 0 else extremes.amin
    if ord > 0 and not totals.shape[chosen]:
        pick = reduce.sum  # of nothing: the norm of an empty matrix is 0
    result = pick(totals, chosen, True)
    return result if keepdim else result.squeeze((rows, columns))
