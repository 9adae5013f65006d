"""Views: the same memory under another shape or another order of axes.

`view` computes in the logical order (torch's strides); where the physical order that a
kernel wrote cannot express the answer, the storage rewrites itself first.
"""

from __future__ import annotations

import math

import numpy as np

from .. import dtypes
from ..autograd import record
from ..dtypes import dtype
from ..tensor import Tensor
from .arguments import axes, axis, check_tensor, integers, numpy_words, variadic
from .copying import copied
from .keys import at

__all__ = """
    adjoint flatten moveaxis movedim permute ravel reshape squeeze swapaxes swapdims t
    transpose unflatten unsqueeze
""".split()


def derived_view(input: Tensor, array, replay, node: str, adjoint) -> Tensor:
    """A recorded view; `adjoint(g)` is the gradient of the input."""
    out = input._view(array, replay)
    return record(out, node, (input,), lambda g: (lambda: adjoint(g),))


# Another shape


def view(input: Tensor, *shape, dtype: dtype | None = None) -> Tensor:
    """The same elements as `shape`; one size may be -1. Or the same bits as a dtype.

    Never copies. RuntimeError if the strides do not allow it, or the sizes do not fit.
    """
    if len(shape) == 1 and isinstance(shape[0], dtypes.dtype):
        dtype = shape[0]
    if dtype is not None:
        return _view_as_bits(input, dtype)
    spread = len(shape) == 1 and isinstance(shape[0], (tuple, list))
    given = tuple(shape[0]) if spread else shape
    sizes = inferred(integers(given, "view", "size"), input._array.size)
    array = _viewed(input, sizes)
    if array is None:
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least"
            " one dimension spans across two contiguous subspaces). Use .reshape(...)"
            f" instead. Size {list(input.shape)}, stride {list(input.stride())}, wanted"
            f" {list(sizes)}."
        )
    return _reshaped(input, array, "ViewBackward0")


def _reshaped(input: Tensor, array: np.ndarray, node: str) -> Tensor:
    before, after = input._array.shape, array.shape
    return derived_view(
        input, array, lambda base: view(base, after), node, lambda g: g.reshape(before)
    )


def inferred(shape: tuple[int, ...], count: int) -> tuple[int, ...]:
    """`shape` with -1 replaced, so that it has `count` elements."""
    if -1 not in shape and math.prod(shape) == count and min(shape, default=0) >= 0:
        return shape
    for place, size in enumerate(shape):
        if size < -1:
            raise RuntimeError(
                f"invalid shape dimension {size} at index {place} of shape"
                f" {list(shape)}"
            )
    if shape.count(-1) > 1:
        raise RuntimeError(f"only one dimension can be inferred, not in {list(shape)}")
    rest = math.prod(size for size in shape if size != -1)
    if -1 in shape and rest == 0 and count == 0:
        raise RuntimeError(
            f"cannot reshape tensor of 0 elements into shape {list(shape)} because the"
            " unspecified dimension size -1 can be any value and is ambiguous"
        )
    if -1 not in shape or rest == 0 or count % rest:
        raise RuntimeError(
            f"shape '{list(shape)}' is invalid for input of size {count}"
        )
    return tuple(count // rest if size == -1 else size for size in shape)


def _viewed(input: Tensor, shape: tuple[int, ...]) -> np.ndarray | None:
    """The input's memory as `shape`; None if torch's strides would not allow it."""
    storage, array = input._storage, input._array
    if storage.followers is None:
        return _without_copy(array, shape)
    strides = view_strides(array.shape, input.stride(), shape)
    if strides is None:
        return None
    found = _without_copy(array, shape)
    if found is not None and array.size:
        steps = storage.strides(found)
        same = all(
            size == 1 or step == wanted
            for size, step, wanted in zip(shape, steps, strides, strict=True)
        )
        if same:
            return found
    storage.rewrite()
    return _without_copy(input._array, shape)


def _without_copy(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    try:
        return array.reshape(shape, copy=False)
    except ValueError:
        return None


def view_strides(old_shape, old_strides, new_shape) -> tuple[int, ...] | None:
    """The strides of `new_shape` over the same elements; None if there are none.

    Runs of old axes that follow one another evenly in memory are filled, from the last
    one, with new axes; a new axis may not lie across two runs.
    """
    if 0 in old_shape:
        steps, unit = [], 1
        for size in reversed(new_shape):
            steps.append(unit)
            unit *= max(size, 1)
        return tuple(reversed(steps))
    runs: list[tuple[int, int]] = []  # (elements, step of the innermost)
    for size, step in zip(reversed(old_shape), reversed(old_strides), strict=True):
        if size == 1:
            continue
        if runs and step == runs[-1][0] * runs[-1][1]:
            runs[-1] = (runs[-1][0] * size, runs[-1][1])
        else:
            runs.append((size, step))
    steps, filled, run = [], 1, 0
    for size in reversed(new_shape):
        if run < len(runs) and filled == runs[run][0] and size != 1:
            run, filled = run + 1, 1
        step = runs[run][1] * filled if run < len(runs) else 1
        steps.append(step)
        filled *= size
        if run < len(runs) and filled > runs[run][0]:
            return None
    return tuple(reversed(steps))


def _view_as_bits(input: Tensor, kind: dtype) -> Tensor:
    if kind is input.dtype:
        return derived_view(
            input, input._array, lambda base: base, "AliasBackward0", lambda g: g
        )
    if kind.itemsize != input.dtype.itemsize and not input._array.ndim:
        raise RuntimeError(
            f"self.dim() cannot be 0 to view {input.dtype.alias} as {kind.alias}"
            " (different element sizes)"
        )
    input._storage.rewrite()
    try:
        array = input._array.view(kind.storage)
    except ValueError:
        raise RuntimeError(
            f"view: {input.dtype} of shape {tuple(input.shape)} and stride"
            f" {input.stride()} cannot be seen as {kind}: the last axis must be"
            " contiguous, and its bytes must divide evenly."
        ) from None
    out = input._view(array, lambda base: _view_as_bits(base, kind))
    out.dtype = kind
    return out


def view_as(input: Tensor, other: Tensor) -> Tensor:
    """`input.view(other.shape)`."""
    return view(input, other.shape)


@variadic("shape")
def reshape(input: Tensor, shape) -> Tensor:
    """The same elements as `shape`: a view where strides allow it, a copy elsewhere."""
    sizes = inferred(shape, input._array.size)
    array = _viewed(input, sizes)
    if array is not None:
        return _reshaped(input, array, "ViewBackward0")
    before = input._array.shape
    fresh = copied(input._array, input.dtype).reshape(sizes)
    out = Tensor._of(fresh, input.dtype)
    return record(
        out, "UnsafeViewBackward0", (input,), lambda g: (lambda: g.reshape(before),)
    )


def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """`input.reshape(other.shape)`."""
    return reshape(input, other.shape)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Axes start_dim … end_dim made one; the tensor itself if that is one already.

    >>> flatten(zeros(2, 3, 4), 1).shape
    torch.Size([2, 12])
    """
    check_tensor("flatten", "input", input)
    shape = input._array.shape
    first, last = axis(start_dim, len(shape)), axis(end_dim, len(shape))
    if first > last:
        raise RuntimeError(
            "flatten() has invalid args: start_dim cannot come after end_dim, but"
            f" {first} > {last}"
        )
    if not shape:
        return reshape(input, (1,))
    if first == last:
        return input
    size = math.prod(shape[first : last + 1])
    return reshape(input, (*shape[:first], size, *shape[last + 1 :]))


def ravel(input: Tensor) -> Tensor:
    """All elements in one axis."""
    return reshape(input, (-1,))


def unflatten(input: Tensor, dim: int, sizes) -> Tensor:
    """Axis `dim` split into `sizes`, of which one may be -1."""
    shape = input._array.shape
    place, sizes = axis(dim, len(shape)), integers(sizes, "unflatten", "sizes")
    if not sizes:
        raise RuntimeError("unflatten: sizes must be non-empty")
    try:
        sizes = inferred(sizes, shape[place])
    except RuntimeError:
        if sizes.count(-1) > 1:
            raise
        raise RuntimeError(
            f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of"
            f" dim {place} ({shape[place]}) in the input tensor"
        ) from None
    return view(input, (*shape[:place], *sizes, *shape[place + 1 :]))


# Axes of size 1


@numpy_words
def squeeze(input: Tensor, dim=None) -> Tensor:
    """Without the axes of size 1: all of them, or those in `dim`."""
    check_tensor("squeeze", "input", input)
    array = input._array
    chosen: tuple[int, ...]
    if dim is None:
        chosen, node = tuple(range(array.ndim)), "SqueezeBackward0"
    elif isinstance(dim, (tuple, list)):
        chosen, node = axes(dim, array.ndim), "SqueezeBackward2"
    else:
        chosen, node = (axis(dim, array.ndim),), "SqueezeBackward1"
    gone = tuple(i for i in chosen if i < array.ndim and array.shape[i] == 1)
    before = array.shape
    return derived_view(
        input,
        array.squeeze(gone),
        lambda base: squeeze(base, dim),
        node,
        lambda g: g.reshape(before),
    )


@numpy_words
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """A new axis of size 1 at `dim`."""
    check_tensor("unsqueeze", "input", input)
    array = input._array
    place = axis(dim, array.ndim + 1)
    return derived_view(
        input,
        array[at(place, None)],
        lambda base: unsqueeze(base, place),
        "UnsqueezeBackward0",
        lambda g: g.squeeze(place),
    )


# Another order of axes


@variadic("dims")
def permute(input: Tensor, dims) -> Tensor:
    """Axis i of the result is axis `dims[i]` of the input."""
    array = input._array
    if len(dims) != array.ndim:
        raise RuntimeError(
            "permute(): number of dimensions in the tensor input does not match the"
            " length of the desired ordering of dimensions i.e. input.dim() ="
            f" {array.ndim} is not equal to len(dims) = {len(dims)}"
        )
    order = tuple(axis(dim, array.ndim) for dim in dims)
    if len(set(order)) != len(order):
        raise RuntimeError(f"permute(): duplicate dims are not allowed: {list(dims)}.")
    return _permuted(input, order, "PermuteBackward0")


def _permuted(input: Tensor, order: tuple[int, ...], node: str) -> Tensor:
    inverse = tuple(order.index(i) for i in range(len(order)))
    return derived_view(
        input,
        input._array.transpose(order),
        lambda base: _permuted(base, order, node),
        node,
        lambda g: _permuted(g, inverse, node),
    )


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Axes dim0 and dim1 exchanged."""
    check_tensor("transpose", "input", input)
    rank = input._array.ndim
    a, b = axis(dim0, rank), axis(dim1, rank)
    order = list(range(rank))
    if rank:
        order[a], order[b] = b, a
    return _permuted(input, tuple(order), "TransposeBackward0")


swapaxes = swapdims = transpose


def t(input: Tensor) -> Tensor:
    """A matrix transposed; fewer axes stay as they are."""
    check_tensor("t", "input", input)
    rank = input._array.ndim
    if rank > 2:
        raise RuntimeError(
            f"t() expects a tensor with <= 2 dimensions, but self is {rank}D"
        )
    return _permuted(input, tuple(reversed(range(rank))), "TBackward0")


def reversed_axes(input: Tensor) -> Tensor:
    """`x.T`: all axes in reverse order."""
    order = tuple(reversed(range(input._array.ndim)))
    return _permuted(input, order, "PermuteBackward0")


def matrix_transpose(input: Tensor) -> Tensor:
    """`x.mT`: the last two axes exchanged."""
    if input._array.ndim < 2:
        raise RuntimeError(
            "tensor.mT is only supported on matrices or batches of matrices. Got"
            f" {input._array.ndim}-D tensor."
        )
    return transpose(input, -2, -1)


adjoint = matrix_transpose


def hermitian(input: Tensor) -> Tensor:
    """`x.H`: a matrix transposed (values are real)."""
    rank = input._array.ndim
    if rank not in (0, 2):
        raise RuntimeError(
            f"tensor.H is only supported on matrices (2-D tensors). Got {rank}-D"
            " tensor."
        )
    return input if not rank else transpose(input, 0, 1)


def movedim(input: Tensor, source, destination) -> Tensor:
    """Axes `source` moved to the places `destination`; the others keep their order."""
    rank = input._array.ndim
    origins = integers(source, "movedim", "source")
    targets = integers(destination, "movedim", "destination")
    if len(origins) != len(targets):
        raise RuntimeError(
            "movedim: Invalid source or destination dims: source"
            f" ({list(origins)} dims) should contain the same number of dims as"
            f" destination ({list(targets)} dims)"
        )
    found = []
    for name, dims in (("source", origins), ("destination", targets)):
        places = tuple(axis(dim, rank) for dim in dims)
        if len(set(places)) != len(places):
            raise RuntimeError(f"movedim: repeated dim in `{name}` ({list(dims)})")
        found.append(places)
    if not rank:
        return view(input, ())
    moved = dict(zip(found[1], found[0], strict=True))
    rest = iter(i for i in range(rank) if i not in found[0])
    order = tuple(moved[i] if i in moved else next(rest) for i in range(rank))
    return _permuted(input, order, "PermuteBackward0")


moveaxis = movedim


# In place


def in_place(function):
    """`f_` of a view f: the tensor itself takes the shape of its view."""

    def method(self: Tensor, *args, **options) -> Tensor:
        seen = function(self, *args, **options)
        if self._base is not None:
            self._base, self._replay = seen._base, seen._replay
        self._array = seen._array
        if seen._node is not None:
            self._attach(seen._node, seen._index)
        return self

    method.__name__ = method.__qualname__ = f"{function.__name__}_"
    method.__doc__ = f"As `{function.__name__}`, of the tensor itself."
    return method
