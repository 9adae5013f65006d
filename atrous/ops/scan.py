"""Running sums, products and extremes along an axis, and differences."""

from __future__ import annotations

import numpy as np

from .. import dtypes
from ..autograd import record
from ..compiler import memory
from ..dtypes import dtype
from ..tensor import Tensor
from .arguments import axis, check_tensor
from .copying import zeros_of
from .join import cat
from .operands import stored, with_out
from .results import named

__all__ = "cummax cummin cumprod cumsum diff logcumsumexp".split()


def _prepared(name: str, input: Tensor, dim: int, kind: dtype | None):
    """The axis and the input in the dtype it accumulates in."""
    check_tensor(name, "input", input)
    place = axis(dim, input.dim())
    if kind is None:
        kind = input.dtype if input.is_floating_point() else dtypes.int64
    return place, input if input.dtype is kind else input.to(kind)


def _accumulated(ufunc, input: Tensor, place: int) -> Tensor:
    """Running combination, in float64 for floating point as in torch."""
    wide = np.float64 if input.is_floating_point() else np.int64
    values = input._values()
    if values.ndim:
        memory.require(values.shape, wide)
        with np.errstate(invalid="ignore", over="ignore"):
            values = ufunc.accumulate(values, place, dtype=wide)
    return Tensor._of(np.array(stored(values, input.dtype), order="C"), input.dtype)


def _from_the_end(x: Tensor, place: int) -> Tensor:
    """The sum of each element and all after it."""
    return x if not x.dim() else x.flip(place).cumsum(place).flip(place)


@with_out
def cumsum(input: Tensor, dim: int, *, dtype: dtype | None = None) -> Tensor:
    """The sum of each element and all before it along `dim`; integers as int64."""
    place, input = _prepared("cumsum", input, dim, dtype)
    out = _accumulated(np.add, input, place)
    return record(
        out, "CumsumBackward0", (input,), lambda g: (lambda: _from_the_end(g, place),)
    )


@with_out
def cumprod(input: Tensor, dim: int, *, dtype: dtype | None = None) -> Tensor:
    """The product of each element and all before it along `dim`."""
    place, input = _prepared("cumprod", input, dim, dtype)
    out = _accumulated(np.multiply, input, place)

    def formula(g, x, y):
        return (lambda: _of_product(g, x, y, place),)

    return record(out, "CumprodBackward0", (input,), formula, (input, out))


def _of_product(g: Tensor, x: Tensor, y: Tensor, place: int) -> Tensor:
    """Σ g[j] · (product of the others up to j), j ≥ i: y[j] / x[i] but at zeros."""
    if not x.dim():
        return g
    if not bool((x == 0).any()):
        return _from_the_end(g * y, place) / x
    last, g = x.movedim(place, -1), g.movedim(place, -1)
    size = last.shape[-1]
    one = Tensor._of(np.eye(size, dtype=bool))
    later = Tensor._of(np.triu(np.ones((size, size), bool)))
    # Row i holds all elements but the i-th, which is 1.
    rows = last.unsqueeze(-2).expand(*last.shape[:-1], size, size).masked_fill(one, 1)
    others = rows.cumprod(-1).masked_fill(~later, 0)
    return (others * g.unsqueeze(-2)).sum(-1).movedim(-1, place)


def _running(name: str, ufunc):
    def operation(input: Tensor, dim: int):
        check_tensor(name, "input", input)
        place = axis(dim, input.dim())
        values = input._values()
        if not values.ndim:
            best, where = values.copy(), np.zeros((), np.int64)
        else:
            best, where = _best_so_far(values, place, ufunc)
        indices = Tensor._of(np.array(where, order="C"))
        shape = input._array.shape

        def adjoint(g):
            zeros = zeros_of(shape, g.dtype)
            return zeros.scatter_add(place, indices, g) if shape else g

        out = Tensor._of(np.array(stored(best, input.dtype), order="C"), input.dtype)
        node = f"{name.title()}Backward0"
        record(out, node, (input,), lambda g: (lambda: adjoint(g),))
        return named(name, "values", "indices")(out, indices)

    operation.__name__ = operation.__qualname__ = name
    operation.__doc__ = (
        "(values, indices) of the extreme so far along `dim`; the latest."
    )
    return with_out(operation)


def _best_so_far(values: np.ndarray, place: int, ufunc):
    best = ufunc.accumulate(values, place)
    new = values == best
    if values.dtype.kind == "f":
        new |= np.isnan(values)
    steps = np.arange(values.shape[place])
    steps = steps.reshape((-1,) + (1,) * (values.ndim - 1 - place))
    return best, np.maximum.accumulate(np.where(new, steps, 0), place)


cummax = _running("cummax", np.maximum)
cummin = _running("cummin", np.minimum)


@with_out
def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """log of the running sum of exp, without leaving the range of numbers."""
    check_tensor("logcumsumexp", "input", input)
    if not input.is_floating_point():
        raise NotImplementedError(f"logcumsumexp: not implemented for {input.dtype}")
    place = axis(dim, input.dim())
    out = _accumulated(np.logaddexp, input, place)

    def formula(g, x, y):
        return (lambda: _of_log_sum(g, x, y, place),)

    return record(out, "LogcumsumexpBackward0", (input,), formula, (input, out))


def _of_log_sum(g: Tensor, x: Tensor, y: Tensor, place: int) -> Tensor:
    """Σ g[j] · exp(x[i] − y[j]) over j ≥ i, each sign through logarithms."""
    if not x.dim():
        return g

    tiny = dtypes.finfo(g.dtype).tiny  # log 0 has no derivative

    def part(g: Tensor) -> Tensor:
        turned = (g.where(g > 0, tiny).log() - y).flip(place)
        return (logcumsumexp(turned, place).flip(place) + x).exp()

    return part(g) - part(-g)


@with_out
def diff(
    input: Tensor,
    n: int = 1,
    dim: int = -1,
    prepend: Tensor | None = None,
    append: Tensor | None = None,
) -> Tensor:
    """Each element less the one before it along `dim`, n times over."""
    check_tensor("diff", "input", input)
    if not input.dim():
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    place = axis(dim, input.dim())
    around = (prepend, input, append) if n else (input,)
    parts = [each for each in around if each is not None]
    out = cat(parts, place) if len(parts) > 1 else input
    for _ in range(n):
        size = out.shape[place]
        later = out.narrow(place, min(1, size), max(size - 1, 0))
        earlier = out.narrow(place, 0, max(size - 1, 0))
        out = later != earlier if out.dtype is dtypes.bool_ else later - earlier
    return out.clone() if out is input else out
