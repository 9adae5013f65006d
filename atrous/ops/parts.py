"""Parts of a tensor that share its memory: select, narrow, split, diagonal.

Each part is a linear map P; its gradient is the adjoint Pᵀ, which puts the gradient
into zeros at the part's place, and whose own gradient is P again.
"""

from __future__ import annotations

import itertools

import numpy as np

from ..autograd import record
from ..tensor import Tensor
from .arguments import axis, check_tensor, integer, integers, numpy_words
from .copying import filled, move, strided
from .keys import ALL, at
from .views import derived_view

__all__ = """
    chunk diagonal diagonal_scatter dsplit hsplit narrow narrow_copy select
    select_scatter slice_scatter split split_with_sizes tensor_split unbind vsplit
""".split()


def embed(part: Tensor, shape: tuple[int, ...], key: tuple) -> Tensor:
    """Zeros of `shape` with `part` at the basic index `key`: indexing's adjoint."""
    array = filled(shape, part.dtype)
    move(part._array, _at_key(array, key), part.dtype)
    out = Tensor._of(array, part.dtype)
    return record(
        out, "SliceBackwardBackward0", (part,), lambda g: (lambda: taken(g, key),)
    )


def taken(input: Tensor, key: tuple, node: str = "SliceBackward0") -> Tensor:
    """The view at `key`: NumPy's slices, integers, None and Ellipsis, all checked."""
    before = input._array.shape
    return derived_view(
        input,
        _at_key(input._array, key),
        lambda base: taken(base, key, node),
        node,
        lambda g: embed(g, before, key),
    )


def _at_key(array: np.ndarray, key: tuple) -> np.ndarray:
    """A view, even where NumPy would hand out a number."""
    found = array[key]
    return found if isinstance(found, np.ndarray) else array[(*key, ...)]


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """Element `index` of axis `dim`, which vanishes."""
    check_tensor("select", "input", input)
    shape = input._array.shape
    if not shape:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    place, index = axis(dim, len(shape)), integer(index, "select", "index")
    if not -shape[place] <= index < shape[place]:
        raise IndexError(
            f"select(): index {index} out of range for tensor of size {list(shape)} at"
            f" dimension {place}"
        )
    return taken(input, at(place, index), "SelectBackward0")


def narrow(input: Tensor, dim: int, start, length: int) -> Tensor:
    """Elements start … start + length − 1 of axis `dim`."""
    check_tensor("narrow", "input", input)
    shape = input._array.shape
    if not shape:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    place = axis(dim, len(shape))
    if isinstance(start, Tensor) and (start.dim() or start.dtype.category != 1):
        raise RuntimeError(
            "start must be an 0-dim integral Tensor., not"
            f" {start.dtype} of shape {tuple(start.shape)}"
        )
    start, length = (
        integer(start, "narrow", "start"),
        integer(length, "narrow", "length"),
    )
    size = shape[place]
    if length < 0:
        raise RuntimeError(f"narrow(): length must be non-negative, not {length}.")
    if not -size <= start <= size:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-size}, {size}], but"
            f" got {start})"
        )
    first = start + size if start < 0 else start
    if first + length > size:
        raise RuntimeError(
            f"start ({first}) + length ({length}) exceeds dimension size ({size})."
        )
    return taken(input, at(place, slice(first, first + length)))


def narrow_copy(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """As `narrow`, in memory of its own."""
    return narrow(input, dim, start, length).clone()


def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """A copy of `input` with `src` as element `index` of axis `dim`."""
    out = input.clone()
    select(out, dim, index).copy_(src)
    return out


def slice_scatter(
    input: Tensor, src: Tensor, dim: int = 0, start=None, end=None, step: int = 1
) -> Tensor:
    """A copy of `input` with `src` at start:end:step of axis `dim`."""
    out = input.clone()
    place = axis(dim, input.dim())
    part = taken(out, at(place, slice(start, end, step)))
    if part.shape != src.shape:
        raise RuntimeError(
            f"expected src to have a size equal to the slice of self. src size ="
            f" {list(src.shape)}, slice size = {list(part.shape)}"
        )
    part.copy_(src)
    return out


def diagonal_scatter(
    input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Tensor:
    """A copy of `input` with `src` as a diagonal."""
    out = input.clone()
    part = diagonal(out, offset, dim1, dim2)
    if part.shape != src.shape:
        raise RuntimeError(
            "expected src to have a size equal to the slice of self. src size ="
            f" {list(src.shape)}, slice size = {list(part.shape)}"
        )
    part.copy_(src)
    return out


def fill_diagonal_(self: Tensor, fill_value, wrap: bool = False) -> Tensor:
    """`fill_value` at all (i, i, …); `wrap` starts anew below in a tall matrix."""
    shape = self._array.shape
    if len(shape) < 2:
        raise RuntimeError(f"dimensions must larger than 1, but are {len(shape)}")
    if len(shape) > 2 and len(set(shape)) > 1:
        raise RuntimeError(
            f"all dimensions of input must be of equal length, but are {list(shape)}"
        )
    steps = self.stride()
    count = min(shape)
    self.as_strided((count,), (sum(steps),)).fill_(fill_value)
    rows, columns = shape[0], shape[1]
    if wrap and len(shape) == 2 and rows > columns + 1:
        fill_diagonal_(self[columns + 1 :], fill_value, wrap)
    return self


# Several parts


def _parts(input: Tensor, keys: list[tuple], node: str, join) -> tuple[Tensor, ...]:
    """Views at all `keys`, outputs of one node; `join(gradients)` is its adjoint."""
    outs = tuple(
        input._view(input._array[key], lambda base, key=key: taken(base, key))
        for key in keys
    )
    return record(outs, node, (input,), lambda *grads: (lambda: join(grads),))


def split(tensor: Tensor, split_size_or_sections, dim: int = 0) -> tuple[Tensor, ...]:
    """Parts of a size along `dim` (the last may be smaller), or of the sizes given."""
    check_tensor("split", "tensor", tensor)
    sections = split_size_or_sections
    if isinstance(sections, (tuple, list)):
        return split_with_sizes(tensor, sections, dim)
    length = integer(sections, "split", "split_size_or_sections")
    size = _split_size("split", tensor, dim)
    if length < 0:
        raise RuntimeError(
            f"split expects split_size be non-negative, but got split_size={length}"
        )
    if length == 0 and size:
        raise RuntimeError(
            "split_size can only be 0 if dimension size is 0, but got dimension size of"
            f" {size}"
        )
    starts = range(0, size, length) if size else (0,)
    bounds = [(start, min(start + length, size)) for start in starts]
    return _split_at(tensor, axis(dim, tensor.dim()), bounds, "SplitBackward0")


def _split_size(name: str, tensor: Tensor, dim: int) -> int:
    if not tensor.dim() and name == "unbind":
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    if not tensor.dim():
        raise RuntimeError(f"{name} expects at least a 1-dimensional tensor")
    return tensor._array.shape[axis(dim, tensor.dim())]


def _split_at(tensor: Tensor, place: int, bounds: list, node: str):
    from .join import cat

    keys = [at(place, slice(*bound)) for bound in bounds]
    return _parts(tensor, keys, node, lambda grads: cat(grads, place))


def split_with_sizes(input: Tensor, split_sizes, dim: int = 0) -> tuple[Tensor, ...]:
    """Parts of the sizes given, which sum to the size of axis `dim`."""
    sizes = integers(split_sizes, "split", "split_size")
    size = _split_size("split", input, dim)
    if min(sizes, default=0) < 0:
        raise RuntimeError(
            "split_with_sizes expects split_sizes have only non-negative entries, but"
            f" got split_sizes={list(sizes)}"
        )
    if sum(sizes) != size:
        raise RuntimeError(
            f"split_with_sizes expects split_sizes to sum exactly to {size} (input"
            f" tensor's size at dimension {axis(dim, input.dim())}), but got"
            f" split_sizes={list(sizes)}"
        )
    bounds, start = [], 0
    for length in sizes:
        bounds.append((start, start + length))
        start += length
    place = axis(dim, input.dim())
    return _split_at(input, place, bounds, "SplitWithSizesBackward0")


@numpy_words
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` parts of one size along `dim`; the last may be smaller."""
    check_tensor("chunk", "input", input)
    size = _split_size("chunk", input, dim)
    if chunks <= 0:
        raise RuntimeError(
            f"chunk expects `chunks` to be greater than 0, got: {chunks}"
        )
    length = -(-size // chunks)
    if length == 0:
        return split_with_sizes(input, [0] * chunks, dim)
    return split(input, length, dim)


def tensor_split(
    input: Tensor, indices_or_sections, dim: int = 0
) -> tuple[Tensor, ...]:
    """That many parts of nearly one size, or parts that begin at the indices."""
    check_tensor("tensor_split", "input", input)
    size = _split_size("tensor_split", input, dim)
    where = indices_or_sections
    if isinstance(where, Tensor):
        where = where.tolist()
    if isinstance(where, (tuple, list)):
        cuts = [0, *integers(where, "tensor_split", "indices"), size]
    else:
        if where <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {where}")
        small, larger = divmod(size, where)
        cuts = [0]
        for i in range(where):
            cuts.append(cuts[-1] + small + (i < larger))
    place = axis(dim, input.dim())
    return tuple(
        taken(input, at(place, slice(*pair))) for pair in itertools.pairwise(cuts)
    )


def _split_along(name: str, least: int, place):
    def operation(input: Tensor, indices_or_sections) -> tuple[Tensor, ...]:
        rank = input.dim()
        if rank < least:
            raise RuntimeError(
                f"torch.{name} requires a tensor with at least {least} dimension, but"
                f" got a tensor with {rank} dimensions!"
            )
        along, sections = place(rank), indices_or_sections
        if isinstance(sections, int):
            size = input._array.shape[along]
            if sections <= 0 or size % sections:
                raise RuntimeError(
                    f"torch.{name} attempted to split along dimension {along}, but the"
                    f" size of the dimension {size} is not divisible by the split_size"
                    f" {sections}!"
                )
        return tensor_split(input, sections, along)

    operation.__name__ = operation.__qualname__ = name
    operation.__doc__ = (
        "As `tensor_split` into equal parts, or at indices, of one axis."
    )
    return operation


hsplit = _split_along("hsplit", 1, lambda rank: 0 if rank == 1 else 1)
vsplit = _split_along("vsplit", 2, lambda rank: 0)
dsplit = _split_along("dsplit", 3, lambda rank: 2)


@numpy_words
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Every element of axis `dim`, as a tuple."""
    check_tensor("unbind", "input", input)
    size = _split_size("unbind", input, dim)
    place = axis(dim, input.dim())
    keys = [at(place, i, ...) for i in range(size)]
    if not keys:
        return ()
    from .join import stack

    return _parts(input, keys, "UnbindBackward0", lambda grads: stack(grads, place))


# The diagonal


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """Elements (i, i + offset) of axes dim1 and dim2, as a new last axis."""
    check_tensor("diagonal", "input", input)
    array = input._array
    a, b = axis(dim1, array.ndim), axis(dim2, array.ndim)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    before = array.shape
    return derived_view(
        input,
        _diagonal_of(array, offset, a, b),
        lambda base: diagonal(base, offset, a, b),
        "DiagonalBackward0",
        lambda g: diagonal_embedded(g, before, offset, a, b),
    )


def _diagonal_of(array: np.ndarray, offset: int, a: int, b: int) -> np.ndarray:
    """As ndarray.diagonal, which gives a view that cannot be written to."""
    rows, columns = array.shape[a], array.shape[b]
    row, column = (-offset, 0) if offset < 0 else (0, offset)
    length = max(0, min(rows - row, columns - column))
    rest = [i for i in range(array.ndim) if i not in (a, b)]
    first = [ALL] * array.ndim
    first[a] = slice(min(row, rows), None)
    first[b] = slice(min(column, columns), None)
    shape = [array.shape[i] for i in rest] + [length]
    steps = [array.strides[i] for i in rest] + [array.strides[a] + array.strides[b]]
    return strided(array[tuple(first)], shape, steps)


def diagonal_embedded(part: Tensor, shape, offset: int, a: int, b: int) -> Tensor:
    """Zeros of `shape` with `part` on a diagonal: the adjoint of `diagonal`."""
    array = filled(shape, part.dtype)
    move(part._array, _diagonal_of(array, offset, a, b), part.dtype)
    out = Tensor._of(array, part.dtype)
    return record(
        out,
        "DiagEmbedBackward0",
        (part,),
        lambda g: (lambda: diagonal(g, offset, a, b),),
    )
