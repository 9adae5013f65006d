"""The largest and the smallest, and where they are."""

from __future__ import annotations

from .. import compiler, dtypes
from ..autograd import record
from ..tensor import Tensor
from .arguments import check_tensor
from .choice import where
from .limits import maximum, minimum
from .operands import with_out
from .reduce import ELEMENT, axes_of, kept, reduced, spread, sum
from .results import named

__all__ = """
    amax amin aminmax argmax argmin max min
""".split()


def refuse_empty(name: str, input: Tensor, axes: tuple[int, ...]) -> None:
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
    refuse_empty(name, input, axes)
    out = reduced(combine, ELEMENT, input, axes, keepdim, input.dtype)
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


def chosen(name: str, input: Tensor, dim: int, keepdim: bool, pick):
    """(values, indices) along one axis, the gradient going to the chosen element."""
    axis = input._axis(dim)
    refuse_empty(name, input, (axis,) if input._array.ndim else ())
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
        return chosen(name, input, dim, keepdim, pick)

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
    refuse_empty(combine, input, axes)
    if input.dtype is dtypes.bool_:
        raise RuntimeError(f"\"{combine}_cpu\" not implemented for 'Bool'")
    array = compiler.reduce(
        combine, ELEMENT, input._array, axes=axes, dtypes=(input.dtype.name,)
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
