"""Elements chosen by a mask, and where they are."""

from __future__ import annotations

import numpy as np

from .. import dtypes
from ..autograd import record
from ..tensor import Tensor
from .arguments import check_tensor
from .copying import scalar, zeros_of
from .elementwise import X, Y, Z
from .operands import broadcast_shapes, evaluate, with_out
from .parts import embed

__all__ = "argwhere masked_fill masked_scatter masked_select nonzero".split()


def _check_mask(name: str, mask: Tensor) -> None:
    check_tensor(name, "mask", mask)
    if mask.dtype is not dtypes.bool_:
        raise RuntimeError(
            f"{name}: only supports boolean masks, but got mask with dtype {mask.dtype}"
        )


def masked_fill(input: Tensor, mask: Tensor, value) -> Tensor:
    """`value`, a number or a tensor without axes, where the mask is true."""
    check_tensor("masked_fill", "input", input)
    _check_mask("masked_fill", mask)
    filler = value
    if isinstance(value, Tensor):
        if value.dim():
            raise RuntimeError(
                "masked_fill_ only supports a 0-dimensional value tensor, but got"
                f" tensor with {value.dim()} dimension(s)."
            )
        if not dtypes.can_cast(value.dtype, input.dtype):
            raise RuntimeError(
                f"value cannot be converted to type {input.dtype} without overflow: it"
                f" is {value.dtype}"
            )
        filler = value.detach().to(input.dtype)
    else:
        # Through the dtype's own memory, so that every number arrives exactly.
        held = np.asarray(scalar(value, input.dtype))
        filler = Tensor._of(held, input.dtype)
    chosen = ("where", X, Y, Z)
    out = evaluate(chosen, (mask, filler, input), None, input.dtype)

    def formula(g):
        return (
            lambda: masked_fill(g, mask, 0),
            lambda: (g * mask.to(g.dtype)).sum().to(value.dtype),
        )

    return record(out, "MaskedFillBackward0", (input, value), formula)


@with_out
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """A vector of the elements where the mask is true; the two broadcast."""
    check_tensor("masked_select", "input", input)
    _check_mask("masked_select", mask)
    shape = broadcast_shapes(input._array.shape, mask._array.shape)
    chosen = np.broadcast_to(mask._array, shape)
    array = np.broadcast_to(input._array, shape)[chosen]

    def adjoint(g):
        zeros = zeros_of(shape, g.dtype)
        return zeros.masked_scatter(mask, g)

    out = Tensor._of(array, input.dtype)
    return record(
        out, "MaskedSelectBackward0", (input,), lambda g: (lambda: adjoint(g),)
    )


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """The elements of `source`, in order, where the mask is true."""
    check_tensor("masked_scatter", "input", input)
    _check_mask("masked_scatter", mask)
    check_tensor("masked_scatter", "source", source)
    if source.dtype is not input.dtype:
        raise RuntimeError(
            "masked_scatter: expected self and source to have same dtypes but got"
            f" {input.dtype} and {source.dtype}"
        )
    shape = broadcast_shapes(input._array.shape, mask._array.shape)
    chosen = np.broadcast_to(mask._array, shape)
    count = int(chosen.sum())
    if source.numel() < count:
        raise RuntimeError(
            f"masked_scatter: Number of elements of source ({source.numel()}) < number"
            f" of ones in mask ({count})"
        )
    array = np.array(np.broadcast_to(input._array, shape), order="C")
    array[chosen] = source._array.reshape(-1)[:count]

    def of_source(g):
        part = masked_select(g, mask)
        whole = (source.numel(),)
        return embed(part, whole, (slice(count),)).reshape(source._array.shape)

    out = Tensor._of(array, input.dtype)
    return record(
        out,
        "MaskedScatterBackward0",
        (input, source),
        lambda g: (lambda: masked_fill(g, mask, 0), lambda: of_source(g)),
    )


@with_out
def nonzero(input: Tensor, *, as_tuple: bool = False):
    """(count, axes): the indices of all elements that are not zero, in order.

    With `as_tuple`, a vector an axis, as an index takes them.
    """
    check_tensor("nonzero", "input", input)
    if as_tuple:
        array = input._values()
        return tuple(map(Tensor._of, np.atleast_1d(array).nonzero()))
    return Tensor._of(np.ascontiguousarray(np.argwhere(input._values())))


def argwhere(input: Tensor) -> Tensor:
    """As `nonzero`: (count, axes)."""
    return nonzero(input)
