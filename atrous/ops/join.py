"""Tensors put side by side or on top of one another, and matrices made of blocks."""

from __future__ import annotations

from ..autograd import record
from ..dtypes import get_default_dtype, promote_types
from ..tensor import Tensor
from .arguments import axis
from .arguments import tensors as checked
from .broadcast import atleast_1d, atleast_2d, atleast_3d
from .copying import empty_like, filled, move
from .keys import at
from .operands import with_out

__all__ = """
    block_diag cat column_stack concat concatenate dstack hstack row_stack stack vstack
""".split()


def _together(found: list[Tensor]) -> list[Tensor]:
    """All in their common dtype."""
    kind = found[0].dtype
    for each in found[1:]:
        kind = promote_types(kind, each.dtype)
    return [each if each.dtype is kind else each.to(kind) for each in found]


@with_out
def cat(tensors, dim: int = 0) -> Tensor:
    """The tensors one after another along `dim`; their other sizes must agree.

    A one-dimensional tensor without elements is passed over, as in torch.
    """
    given = checked(tensors, "cat")
    if not given:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    given = _together(given)
    place, shape = _joined(given, dim)
    parts = [i for i, each in enumerate(given) if each._array.shape != (0,)]
    first = given[parts[0] if parts else 0]._array
    array = empty_like(first, shape)
    kind, start, bounds = given[0].dtype, 0, {}
    for i in parts:
        size = given[i]._array.shape[place]
        bounds[i] = (start, size)
        if size:
            part = array[at(place, slice(start, start + size))]
            move(given[i]._array, part, kind)
        start += size

    def formula(g):
        return tuple(
            (lambda i=i: g.narrow(place, *bounds[i])) if i in bounds else None
            for i in range(len(given))
        )

    return record(Tensor._of(array, kind), "CatBackward0", given, formula)


def _joined(given: list[Tensor], dim: int) -> tuple[int, list[int]]:
    """The axis counted from the front and the shape of the result."""
    for i, each in enumerate(given):
        shape = each._array.shape
        if not shape:
            raise RuntimeError(
                f"zero-dimensional tensor (at position {i}) cannot be concatenated"
            )
    shapes = {
        i: each._array.shape
        for i, each in enumerate(given)
        if each._array.shape != (0,)
    }
    if not shapes:
        return axis(dim, 1), [0]
    first = next(iter(shapes.values()))
    place = axis(dim, len(first))
    total = 0
    for i, shape in shapes.items():
        if len(shape) != len(first):
            raise RuntimeError(
                f"Tensors must have same number of dimensions: got {len(first)} and"
                f" {len(shape)} (shapes {tuple(first)} and {tuple(shape)})"
            )
        for j, (size, wanted) in enumerate(zip(shape, first, strict=True)):
            if j != place and size != wanted:
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {place}. Expected"
                    f" size {wanted} but got size {size} for tensor number {i} in the"
                    f" list: shapes {', '.join(str(each) for each in shapes.values())}."
                )
        total += shape[place]
    return place, [*first[:place], total, *first[place + 1 :]]


concat = concatenate = cat


@with_out
def stack(tensors, dim: int = 0) -> Tensor:
    """Tensors of one shape along a new axis `dim`."""
    given = checked(tensors, "stack")
    if not given:
        raise RuntimeError("stack expects a non-empty TensorList")
    shape = given[0]._array.shape
    for i, each in enumerate(given):
        if each._array.shape != shape:
            raise RuntimeError(
                "stack expects each tensor to be equal size, but got"
                f" {list(shape)} at entry 0 and {list(each.shape)} at entry {i}"
            )
    given = _together(given)
    place = axis(dim, len(shape) + 1)
    kind = given[0].dtype
    larger = (*shape[:place], len(given), *shape[place:])
    array = empty_like(given[0]._array[at(place, None)], larger)
    for i, each in enumerate(given):
        move(each._array, array[at(place, i, ...)], kind)

    def formula(g):
        return tuple((lambda i=i: g.select(place, i)) for i in range(len(given)))

    return record(Tensor._of(array, kind), "StackBackward0", given, formula)


@with_out
def hstack(tensors) -> Tensor:
    """Side by side: along axis 1, or axis 0 for vectors."""
    given = atleast_1d(checked(tensors, "hstack"))
    if not given:
        raise RuntimeError("hstack expects a non-empty TensorList")
    return cat(given, 0 if given[0].dim() == 1 else 1)


@with_out
def vstack(tensors) -> Tensor:
    """On top of one another: along axis 0; a vector is a row."""
    given = atleast_2d(checked(tensors, "vstack"))
    if not given:
        raise RuntimeError("vstack expects a non-empty TensorList")
    return cat(given, 0)


row_stack = vstack


@with_out
def dstack(tensors) -> Tensor:
    """Behind one another: along axis 2."""
    given = atleast_3d(checked(tensors, "dstack"))
    if not given:
        raise RuntimeError("dstack expects a non-empty TensorList")
    return cat(given, 2)


@with_out
def column_stack(tensors) -> Tensor:
    """Side by side, a vector as a column."""
    given = checked(tensors, "column_stack")
    if not given:
        raise RuntimeError("column_stack expects a non-empty TensorList")
    return cat([_column(each) for each in given], 1)


def _column(each: Tensor) -> Tensor:
    return each.reshape(each.numel(), 1) if each.dim() <= 1 else each


def block_diag(*tensors) -> Tensor:
    """Matrices along the diagonal of a matrix that is zero elsewhere."""
    given = checked(tensors, "block_diag")
    for i, each in enumerate(given):
        if each.dim() > 2:
            raise RuntimeError(
                "torch.block_diag: Input tensors must have 2 or fewer dimensions. Input"
                f" {i} has {each.dim()} dimensions"
            )
    if not given:
        return Tensor._of(filled((1, 0), get_default_dtype()))
    blocks = _together([atleast_2d(each) for each in given])
    keys, row, column = [], 0, 0
    for each in blocks:
        rows, columns = each._array.shape
        keys.append((slice(row, row + rows), slice(column, column + columns)))
        row, column = row + rows, column + columns
    kind = blocks[0].dtype
    array = filled((row, column), kind)
    for each, key in zip(blocks, keys, strict=True):
        move(each._array, array[key], kind)
    out = Tensor._of(array, kind)
    return record(
        out,
        "BlockDiagBackward0",
        blocks,
        lambda g: tuple((lambda key=key: g[key]) for key in keys),
    )
