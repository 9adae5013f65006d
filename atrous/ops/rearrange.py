"""Elements in other places: repeat, flip, roll, shuffles, matrices from diagonals.

Each is a linear map that moves elements; its gradient is the adjoint map.
"""

from __future__ import annotations

import numpy as np

from .. import dtypes
from ..autograd import record
from ..compiler import memory
from ..tensor import Tensor
from .arguments import axes, axis, check_tensor, integers, variadic
from .copying import copied, empty_like, move
from .keys import at
from .operands import with_out
from .parts import diagonal as diagonal_of
from .parts import diagonal_embedded
from .views import unsqueeze

__all__ = """
    channel_shuffle diag diag_embed diagflat flip fliplr flipud kron pixel_shuffle
    pixel_unshuffle repeat_interleave roll rot90 tile tril triu
""".split()


def _moved(input: Tensor, array: np.ndarray, node: str, adjoint) -> Tensor:
    """A fresh result of a linear map, recorded with its adjoint."""
    out = Tensor._of(array, input.dtype)
    return record(out, node, (input,), lambda g: (lambda: adjoint(g),))


# Repeating


@variadic("repeats")
def repeat(input: Tensor, repeats) -> Tensor:
    """The tensor laid `repeats[i]` times along each axis; new axes come first."""
    array = input._array
    missing = len(repeats) - array.ndim
    if missing < 0:
        raise RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of"
            f" dimensions of tensor: repeat {list(repeats)}, tensor {list(array.shape)}"
        )
    if min(repeats, default=0) < 0:
        raise RuntimeError(
            f"Trying to create tensor with negative dimension: repeat {list(repeats)}"
        )
    before = (1,) * missing + array.shape
    shape = [times * size for times, size in zip(repeats, before, strict=True)]
    # Seen as (times, size) an axis, the copy is one broadcast.
    pairs = [n for pair in zip(repeats, before, strict=True) for n in pair]
    fresh = memory.empty(shape, array.dtype)
    source = array.reshape([n for size in before for n in (1, size)])
    move(source, fresh.reshape(pairs), input.dtype)

    def adjoint(g):
        summed = g.reshape(pairs)
        over = tuple(i for i in range(0, len(pairs), 2) if pairs[i] != 1)
        return (summed.sum(over) if over else summed).reshape(array.shape)

    return _moved(input, fresh, "RepeatBackward0", adjoint)


@variadic("dims")
def tile(input: Tensor, dims) -> Tensor:
    """As `repeat`; where `dims` are fewer than the axes, they are the last ones."""
    return repeat(input, (1,) * (input.dim() - len(dims)) + dims)


def repeat_interleave(input, repeats=None, dim=None, *, output_size=None) -> Tensor:
    """Each element repeated, by a number or a tensor of numbers, along `dim`.

    Of one tensor of counts alone: element i of the result's runs is i, count[i] times.
    """
    if repeats is None:
        counts = _counts(input, "repeats")
        return Tensor._of(np.repeat(np.arange(counts.size), counts))
    check_tensor("repeat_interleave", "input", input)
    if dim is None:
        input, dim = input.reshape(-1), 0
    place = axis(dim, input.dim())
    size = input._array.shape[place] if input.dim() else 1
    if not isinstance(repeats, Tensor):
        if repeats < 0:
            raise RuntimeError(f"Repeats must be non-negative, not {repeats}")
        return _interleaved(input, repeats, place)
    counts = _counts(repeats, "repeats")
    if counts.size not in (1, size):
        raise RuntimeError(
            f"repeats must have the same size as input along dim, but got"
            f" repeats.size(0) = {counts.size} and input.size({place}) = {size}"
        )
    if counts.size == 1:
        return _interleaved(input, int(counts.reshape(-1)[0]), place)
    index = Tensor._of(np.repeat(np.arange(size), counts))
    if output_size is not None and output_size != index.numel():
        raise RuntimeError(
            f"repeat_interleave: output_size {output_size} does not match the sum of"
            f" repeats, {index.numel()}"
        )
    return input.index_select(place, index)


def _counts(repeats: Tensor, name: str) -> np.ndarray:
    if repeats.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError(f"{name} has to be Long or Int tensor, not {repeats.dtype}")
    if repeats.dim() > 1:
        raise RuntimeError(
            f"{name} must be 0-dim or 1-dim tensor, not {repeats.dim()}-dim"
        )
    if (repeats._array < 0).any():
        raise RuntimeError(f"{name} can not be negative")
    return repeats._array


def _interleaved(input: Tensor, times: int, place: int) -> Tensor:
    shape = input._array.shape
    if not shape:
        return input.reshape(1).expand(times).clone()
    larger = (*shape[: place + 1], times, *shape[place + 1 :])
    copies = unsqueeze(input, place + 1).expand(larger)
    merged = (*shape[:place], shape[place] * times, *shape[place + 1 :])
    return copies.clone().view(merged)


# Reversing and rolling


@variadic("dims")
def flip(input: Tensor, dims) -> Tensor:
    """The order of elements reversed along each of `dims`; a copy."""
    array = input._array
    chosen = axes(dims, array.ndim)
    fresh = empty_like(array, array.shape)
    key = tuple(
        slice(None, None, -1) if i in chosen else slice(None) for i in range(array.ndim)
    )
    move(array[key], fresh, input.dtype)
    return _moved(input, fresh, "FlipBackward0", lambda g: flip(g, chosen))


def fliplr(input: Tensor) -> Tensor:
    """Columns in reverse order."""
    if input.dim() < 2:
        raise RuntimeError(f"Input must be >= 2-d, not {input.dim()}-d.")
    return flip(input, (1,))


def flipud(input: Tensor) -> Tensor:
    """Rows in reverse order."""
    if input.dim() < 1:
        raise RuntimeError("Input must be >= 1-d, not 0-d.")
    return flip(input, (0,))


def roll(input: Tensor, shifts, dims=None) -> Tensor:
    """Elements moved by `shifts` along `dims`; what leaves comes in again."""
    check_tensor("roll", "input", input)
    shifts = integers(shifts, "roll", "shifts")
    dims = () if dims is None else integers(dims, "roll", "dims")
    if not shifts:
        raise RuntimeError("`shifts` required")
    if not dims and len(shifts) == 1:
        flat = _rolled(input.reshape(-1)._array, shifts, (0,), input.dtype)
        shape = input._array.shape
        return _moved(
            input, flat.reshape(shape), "RollBackward0", lambda g: roll(g, -shifts[0])
        )
    if len(shifts) != len(dims):
        raise RuntimeError(
            f"shifts and dimensions must align. shifts: {len(shifts)}, dims:{len(dims)}"
        )
    if not input.dim():
        raise IndexError(
            f"Dimension specified as {dims[0]} but tensor has no dimensions"
        )
    places = [axis(dim, input.dim()) for dim in dims]
    back = tuple(-shift for shift in shifts)
    fresh = _rolled(input._array, shifts, places, input.dtype)
    return _moved(input, fresh, "RollBackward0", lambda g: roll(g, back, dims))


def _rolled(array: np.ndarray, shifts, places, kind) -> np.ndarray:
    for shift, place in zip(shifts, places, strict=True):
        fresh = empty_like(array, array.shape)
        size = array.shape[place]
        cut = shift % size if size else 0
        for to, source in (
            (slice(cut, None), slice(0, size - cut)),
            (slice(0, cut), slice(size - cut, None)),
        ):
            part = array[at(place, source)]
            if part.size:
                move(part, fresh[at(place, to)], kind)
        array = fresh
    return array


def rot90(input: Tensor, k: int = 1, dims=(0, 1)) -> Tensor:
    """Turned by k quarter turns, from the first of two axes to the second."""
    dims = integers(dims, "rot90", "dims")
    if len(dims) != 2:
        raise RuntimeError(
            f"expected total rotation dims == 2, but got dims = {len(dims)}"
        )
    if input.dim() < 2:
        raise RuntimeError(
            f"expected total dims >= 2, but got total dims = {input.dim()}"
        )
    if dims[0] == dims[1] or abs(dims[0] - dims[1]) == input.dim():
        raise RuntimeError(
            f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1"
            f" = {dims[1]}"
        )
    first, second = (_plane_axis(dim, input.dim()) for dim in dims)
    turned = _turned(input._array, k % 4, first, second)
    return _moved(
        input,
        copied(turned, input.dtype),
        "Rot90Backward0",
        lambda g: rot90(g, -k, dims),
    )


def _turned(array: np.ndarray, turns: int, first: int, second: int) -> np.ndarray:
    """A view turned in a plane; as NumPy's rot90."""
    if turns == 0:
        return array
    if turns == 2:
        return np.flip(array, (first, second))
    return np.flip(array, second if turns == 1 else first).swapaxes(first, second)


def _plane_axis(dim: int, rank: int) -> int:
    if not -rank <= dim < rank:
        raise RuntimeError(
            f"Rotation dim out of range, dim = {dim}, tensor is {rank}-d"
        )
    return dim % rank


# Space to channels and back


def _check_shuffle(name: str, input: Tensor, argument: str, factor: int) -> None:
    check_tensor(name, "input", input)
    if input.dim() < 3:
        raise RuntimeError(
            f"{name} expects input to have at least 3 dimensions, but got input with"
            f" {input.dim()} dimension(s)"
        )
    if factor <= 0:
        raise RuntimeError(f"{name} expects a positive {argument}, but got {factor}")


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(…, C·r², H, W) -> (…, C, H·r, W·r)."""
    r = upscale_factor
    _check_shuffle("pixel_shuffle", input, "upscale_factor", r)
    *rest, channels, height, width = input._array.shape
    if channels % (r * r):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by"
            f" the square of upscale_factor, but input.size(-3)={channels} is not"
            f" divisible by {r * r}"
        )
    array = input._array.reshape(*rest, channels // (r * r), r, r, height, width)
    n = len(rest)
    array = array.transpose(*range(n), n, n + 3, n + 1, n + 4, n + 2)
    fresh = copied(array, input.dtype)
    fresh = fresh.reshape(*rest, channels // (r * r), height * r, width * r)
    return _moved(
        input, fresh, "PixelShuffleBackward0", lambda g: pixel_unshuffle(g, r)
    )


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(…, C, H·r, W·r) -> (…, C·r², H, W)."""
    r = downscale_factor
    _check_shuffle("pixel_unshuffle", input, "downscale_factor", r)
    *rest, channels, height, width = input._array.shape
    for name, size in (("height", height), ("width", width)):
        if size % r:
            raise RuntimeError(
                f"pixel_unshuffle expects {name} to be divisible by downscale_factor,"
                f" but input.size({'-2' if name == 'height' else '-1'})={size} is not"
                f" divisible by {r}"
            )
    array = input._array.reshape(*rest, channels, height // r, r, width // r, r)
    n = len(rest)
    array = array.transpose(*range(n), n, n + 2, n + 4, n + 1, n + 3)
    fresh = copied(array, input.dtype)
    fresh = fresh.reshape(*rest, channels * r * r, height // r, width // r)
    return _moved(
        input, fresh, "PixelUnshuffleBackward0", lambda g: pixel_shuffle(g, r)
    )


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Channels of (N, C, …) dealt out: (groups, C / groups) transposed."""
    check_tensor("channel_shuffle", "input", input)
    if input.dim() < 3:
        raise RuntimeError(
            "channel_shuffle expects input with > 2 dims, but got input with sizes"
            f" {list(input.shape)}"
        )
    channels = input._array.shape[1]
    if groups <= 0 or channels % groups:
        raise RuntimeError(
            f"Number of channels must be divisible by groups. Got {channels} channels"
            f" and {groups} groups."
        )
    if not input.numel():
        return input
    array = input._array
    batch, _, *space = array.shape
    dealt = array.reshape(batch, groups, channels // groups, *space).swapaxes(1, 2)
    fresh = copied(dealt, input.dtype).reshape(array.shape)
    return _moved(
        input,
        fresh,
        "ChannelShuffleBackward0",
        lambda g: channel_shuffle(g, channels // groups),
    )


# Diagonals and triangles


@with_out
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """A matrix with the vector on its diagonal; of a matrix, a copy of its diagonal."""
    check_tensor("diag", "input", input)
    if input.dim() == 1:
        return diag_embed(input, diagonal)
    if input.dim() == 2:
        view = diagonal_of(input.detach(), diagonal)
        shape = tuple(input.shape)
        return _moved(
            input,
            copied(view._array, input.dtype),
            "DiagonalBackward0_copy",
            lambda g: diagonal_embedded(g, shape, diagonal, 0, 1),
        )
    raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.dim()}D")


def diag_embed(
    input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1
) -> Tensor:
    """The last axis laid on the diagonal of the axes dim1 and dim2 of the result."""
    check_tensor("diag_embed", "input", input)
    rank = input.dim() + 1
    a, b = axis(dim1, rank), axis(dim2, rank)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    *rest, length = input._array.shape
    side = length + abs(offset)
    sizes = iter(rest)
    shape = tuple(side if i in (a, b) else next(sizes) for i in range(rank))
    return diagonal_embedded(input, shape, offset, a, b)


def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """All elements on the diagonal of a matrix."""
    return diag_embed(input.reshape(-1), offset)


def _triangle(name: str, keep):
    node = f"{name.title()}Backward0"

    def operation(input: Tensor, diagonal: int = 0) -> Tensor:
        check_tensor(name, "input", input)
        if input.dim() < 2:
            raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
        fresh = copied(input._array, input.dtype)
        rows, columns = fresh.shape[-2:]
        mask = np.tri(rows, columns, keep(diagonal), dtype=bool)
        fresh[..., mask if name == "triu" else ~mask] = 0
        return _moved(input, fresh, node, lambda g: operation(g, diagonal))

    operation.__name__ = operation.__qualname__ = name
    return with_out(operation)


#: The elements on and below (tril) or above (triu) a diagonal; zeros elsewhere.
tril = _triangle("tril", lambda diagonal: diagonal)
triu = _triangle("triu", lambda diagonal: diagonal - 1)


@with_out
def kron(input: Tensor, other: Tensor) -> Tensor:
    """Each element of `input` times the whole of `other`: the Kronecker product."""
    rank = max(input.dim(), other.dim())
    a = (1,) * (rank - input.dim()) + tuple(input.shape)
    b = (1,) * (rank - other.dim()) + tuple(other.shape)
    left = input.reshape([n for size in a for n in (size, 1)])
    right = other.reshape([n for size in b for n in (1, size)])
    return (left * right).reshape([x * y for x, y in zip(a, b, strict=True)])
