"""Shapes that meet: expand, broadcast, the sum back, and at least so many axes."""

from __future__ import annotations

from ..tensor import Size, Tensor
from .arguments import integers, variadic
from .copying import strided
from .operands import broadcast_shapes as common_shape
from .views import derived_view, reshape, unsqueeze

__all__ = """
    atleast_1d atleast_2d atleast_3d broadcast_shapes broadcast_tensors broadcast_to
""".split()


@variadic("size")
def expand(input: Tensor, size, *, implicit: bool = False) -> Tensor:
    """Axes of size 1 seen as repeated, without a copy; -1 leaves an axis as it is."""
    array = input._array
    missing = len(size) - array.ndim
    if missing < 0:
        raise RuntimeError(
            f"expand({input.type_name()}{{{list(array.shape)}}}, size={list(size)}):"
            f" the number of sizes provided ({len(size)}) must be greater or equal to"
            f" the number of dimensions in the tensor ({array.ndim})"
        )
    shape = _expanded(array.shape, size, missing)
    strides = [0] * missing + [
        0 if old == 1 and new != 1 else step
        for old, new, step in zip(
            array.shape, shape[missing:], array.strides, strict=True
        )
    ]
    before = array.shape
    return derived_view(
        input,
        strided(array, shape, strides),
        lambda base: expand(base, shape),
        "ExpandBackward0",
        lambda g: g.sum_to_size(before),
    )


def _expanded(old: tuple, new: tuple, missing: int) -> tuple[int, ...]:
    shape = []
    for place, size in enumerate(new):
        held = old[place - missing] if place >= missing else None
        if size == -1 and held is None:
            raise RuntimeError(
                "expand: The expanded size of the tensor (-1) isn't allowed in a"
                f" leading, non-existing dimension {place}"
            )
        if size < -1:
            raise RuntimeError(
                f"expand: sizes must be positive or -1, not {size} at {place}"
            )
        if size == -1:
            size = held
        if held not in (None, 1, size):
            raise RuntimeError(
                f"The expanded size of the tensor ({size}) must match the existing size"
                f" ({held}) at non-singleton dimension {place}.  Target sizes:"
                f" {list(new)}.  Tensor sizes: {list(old)}"
            )
        shape.append(size)
    return tuple(shape)


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """`input.expand(other.shape)`."""
    return expand(input, other.shape)


@variadic("size")
def broadcast_to(input: Tensor, size) -> Tensor:
    """`input.expand(size)`."""
    return expand(input, size)


def broadcast_shapes(*shapes) -> Size:
    """The shape to which all broadcast; RuntimeError where two sizes clash."""
    sizes = [
        (shape,)
        if isinstance(shape, int)
        else integers(shape, "broadcast_shapes", "shapes")
        for shape in shapes
    ]
    for size in (each for shape in sizes for each in shape):
        if size < 0:
            raise RuntimeError(
                "Trying to create tensor with negative dimension"
                f" ({size}): {[list(shape) for shape in sizes]}"
            )
    return Size(common_shape(*sizes))


def broadcast_tensors(*tensors) -> tuple[Tensor, ...]:
    """All tensors expanded to their common shape."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    shape = common_shape(*(each._array.shape for each in tensors))
    return tuple(expand(each, shape) for each in tensors)


def sum_to_size(input: Tensor, *size) -> Tensor:
    """Summed over the axes along which `size` broadcasts to the input's shape."""
    if len(size) == 1 and isinstance(size[0], (tuple, list)):
        size = tuple(size[0])
    shape = input._array.shape
    missing = len(shape) - len(size)
    fits = missing >= 0 and all(
        wanted in (1, held) for wanted, held in zip(size, shape[missing:], strict=True)
    )
    if not fits:
        raise RuntimeError(
            f"size {list(size)} is not expandable to size {list(shape)}."
        )
    if not size:
        return input.sum()
    if size == shape:
        return input
    over = [
        i for i, held in enumerate(shape) if i < missing or size[i - missing] != held
    ]
    summed = input.sum(over, keepdim=True)
    return summed.reshape(size) if missing else summed


# At least so many axes


def _each(function, tensors):
    if len(tensors) == 1 and isinstance(tensors[0], Tensor):
        return function(tensors[0])
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tensors[0]
    return tuple(map(function, tensors))


def atleast_1d(*tensors):
    """Tensors with at least one axis."""
    return _each(lambda x: x if x.dim() else reshape(x, (1,)), tensors)


def atleast_2d(*tensors):
    """Tensors with at least two axes; a vector becomes a row."""
    return _each(_row, tensors)


def _row(x: Tensor) -> Tensor:
    if x.dim() == 0:
        return reshape(x, (1, 1))
    return unsqueeze(x, 0) if x.dim() == 1 else x


def atleast_3d(*tensors):
    """Tensors with at least three axes; a new last axis for a matrix."""
    return _each(lambda x: unsqueeze(_row(x), -1) if x.dim() < 3 else x, tensors)
