"""Undoing what windows did: max_unpool, and patches as columns (unfold, fold)."""

from __future__ import annotations

import math

import numpy as np

from .. import compiler, dtypes
from ..autograd import record
from ..errors import operands as worded
from ..tensor import Tensor
from .arguments import check_tensor
from .autocast import in_float32
from .operands import stored
from .sizes import SPATIAL, at_least, by, per_axis


def _max_unpool(rank: int):
    name = f"max_unpool{rank}d"

    def max_unpool(
        input, indices, kernel_size, stride=None, padding=0, output_size=None
    ):
        check_tensor(name, "input", input)
        check_tensor(name, "indices", indices)
        kernel = per_axis(name, "kernel_size", kernel_size, rank)
        stride = kernel if stride is None else per_axis(name, "stride", stride, rank)
        padding = per_axis(name, "padding", padding, rank)
        _check_unpool(name, rank, input, indices)
        size = _unpooled_size(name, input, kernel, stride, padding, output_size)
        return _placed(name, rank, input, indices._array, size)

    max_unpool.__name__ = max_unpool.__qualname__ = name
    max_unpool.__doc__ = f"""max_pool{rank}d backwards: maxima in place, the rest 0.

    `input` and `indices` are what max_pool{rank}d gave, (batch, channels,
    {SPATIAL[rank]}); `output_size` settles the size where strides leave it open.
    """
    return max_unpool


max_unpool1d, max_unpool2d, max_unpool3d = (
    in_float32(_max_unpool(rank)) for rank in (1, 2, 3)
)


def _check_unpool(name: str, rank: int, input: Tensor, indices: Tensor) -> None:
    if indices.dtype is not dtypes.int64:
        raise RuntimeError(
            f"{name}: elements in indices should be type int64 but got:"
            f" {indices.dtype.alias}."
        )
    if input.ndim not in (rank + 1, rank + 2):
        raise RuntimeError(
            worded(
                f"{name}: Expected {rank + 1}D or {rank + 2}D (batch mode) tensor.",
                input=(input.shape, f"expected (batch,) channels, {SPATIAL[rank]}"),
            )
        )
    if input.shape != indices.shape:
        raise RuntimeError(
            worded(
                f"{name}: Expected shape of indices to be same as that of the input.",
                input=(input.shape, ""),
                indices=(indices.shape, ""),
            )
        )


def _unpooled_size(name, input, kernel, stride, padding, output_size) -> tuple:
    rank = len(kernel)
    size = tuple(
        (n - 1) * s - 2 * p + k
        for n, s, p, k in zip(input.shape[-rank:], stride, padding, kernel, strict=True)
    )
    if output_size is None:
        return size
    wanted = tuple(output_size)[-rank:]
    if len(tuple(output_size)) not in (rank, rank + 1, rank + 2):
        raise ValueError(
            f"{name}: output_size should be a sequence containing {rank} to {rank + 2}"
            f" elements, but it has a length of {len(tuple(output_size))}."
        )
    for axis, (got, usual, s) in enumerate(zip(wanted, size, stride, strict=True)):
        if not usual - s < got < usual + s:
            raise ValueError(
                f'{name}: invalid output_size "{wanted}" (dim {axis} must be between'
                f" {usual - s} and {usual + s})."
            )
    return wanted


def _placed(name, rank: int, input: Tensor, indices: np.ndarray, size: tuple) -> Tensor:
    """Values at `indices` of the flattened axes `size`, zeros elsewhere."""
    places = math.prod(size)
    wrong = indices[(indices < 0) | (indices >= places)]
    if wrong.size:
        raise RuntimeError(
            f"{name}: Found an invalid max index: {wrong.flat[0]} (output volumes are"
            f" of size {'x'.join(map(str, size))})."
        )
    lead = input._array.shape[: input.ndim - rank]
    flat = compiler.zeros((*lead, places), input._array.dtype)
    rows = (*lead, -1) if input._array.size else (*lead, 0)
    np.put_along_axis(flat, indices.reshape(rows), input._array.reshape(rows), -1)
    out = Tensor._of(flat.reshape(*lead, *size), input.dtype)

    def formula(g):
        return (lambda: _read(name, rank, g, indices),)

    node = f"MaxUnpool{rank}DBackward0" if rank > 1 else "SqueezeBackward1"
    return record(out, node, (input,), formula)


def _read(name: str, rank: int, input: Tensor, indices: np.ndarray) -> Tensor:
    """The values at `indices` of the flattened last axes."""
    size = tuple(input._array.shape[-rank:])
    flat = input._array.reshape(*input._array.shape[: input.ndim - rank], -1)
    rows = (*flat.shape[:-1], -1) if indices.size else (*flat.shape[:-1], 0)
    picked = np.take_along_axis(flat, indices.reshape(rows), -1).reshape(indices.shape)
    return record(
        Tensor._of(picked, input.dtype),
        "MaxUnpoolBackwardBackward0",
        (input,),
        lambda g: (lambda: _placed(name, rank, g, indices, size),),
    )


# Patches


class _Patches:
    """The geometry of sliding blocks over (height, width)."""

    def __init__(self, name, size, kernel_size, dilation, padding, stride):
        self.size = tuple(size)
        self.kernel = per_axis(name, "kernel_size", kernel_size, 2)
        self.dilation = per_axis(name, "dilation", dilation, 2)
        self.padding = per_axis(name, "padding", padding, 2)
        self.stride = per_axis(name, "stride", stride, 2)
        at_least(name, "kernel_size", self.kernel, 1)
        at_least(name, "dilation", self.dilation, 1)
        at_least(name, "padding", self.padding, 0)
        at_least(name, "stride", self.stride, 1)
        self.blocks = tuple(
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, d, p, s in zip(
                *(self.size, self.kernel, self.dilation, self.padding, self.stride),
                strict=True,
            )
        )
        if min(self.blocks) < 1:
            raise RuntimeError(
                f"{name}: Given input with spatial size {self.size},"
                f" kernel_size={self.kernel}, dilation={self.dilation},"
                f" padding={self.padding}, calculated shape of the array of sliding"
                f" blocks as {self.blocks}, but its components must be at least one."
            )

    def taps(self):
        """For each kernel entry, its number and what it reads of the padded input."""
        for number, place in enumerate(np.ndindex(self.kernel)):
            yield (
                number,
                tuple(
                    slice(d * i, d * i + s * (b - 1) + 1, s)
                    for i, d, s, b in zip(
                        place, self.dilation, self.stride, self.blocks, strict=True
                    )
                ),
            )

    def columns(self, array: np.ndarray) -> np.ndarray:
        """(batch, channels, height, width) -> (batch, channels · kernel, blocks)."""
        (before, left) = self.padding
        batch, channels, height, width = array.shape
        padded = compiler.zeros(
            (batch, channels, height + 2 * before, width + 2 * left), array.dtype
        )
        padded[:, :, before : before + height, left : left + width] = array
        out = compiler.empty(
            (batch, channels, math.prod(self.kernel), *self.blocks), array.dtype
        )
        for number, reads in self.taps():
            out[:, :, number] = padded[(..., *reads)]
        columns = channels * math.prod(self.kernel)
        return out.reshape(batch, columns, math.prod(self.blocks))

    def image(self, columns: np.ndarray) -> np.ndarray:
        """The adjoint: every block added where it was read."""
        taps = math.prod(self.kernel)
        batch, channels = columns.shape[0], columns.shape[1] // taps
        blocks = columns.reshape(batch, channels, taps, *self.blocks)
        padded = compiler.zeros(
            (
                batch,
                channels,
                *(n + 2 * p for n, p in zip(self.size, self.padding, strict=True)),
            ),
            columns.dtype,
        )
        for number, reads in self.taps():
            padded[(..., *reads)] += blocks[:, :, number]
        (before, left), (height, width) = self.padding, self.size
        return np.ascontiguousarray(
            padded[:, :, before : before + height, left : left + width]
        )


def unfold(input: Tensor, kernel_size, dilation=1, padding=0, stride=1) -> Tensor:
    """Sliding blocks as columns (im2col).

    (batch, channels, height, width) -> (batch, channels · kh · kw, blocks); the batch
    is optional. Raises RuntimeError if no block fits.
    """
    check_tensor("unfold", "input", input)
    if input.ndim not in (3, 4) or 0 in input.shape[-3:]:
        raise RuntimeError(
            worded(
                "unfold: Expected 3D or 4D (batch mode) tensor, of which only the batch"
                " may be empty.",
                input=(input.shape, "expected (batch,) channels, height, width"),
            )
        )
    if input.ndim == 3:
        single = input.unsqueeze(0)
        return unfold(single, kernel_size, dilation, padding, stride).squeeze(0)
    patches = _Patches(
        "unfold", input.shape[2:], kernel_size, dilation, padding, stride
    )
    return _columns(input, patches)


def fold(
    input: Tensor, output_size, kernel_size, dilation=1, padding=0, stride=1
) -> Tensor:
    """Columns back to an image, overlaps added (col2im): the adjoint of `unfold`.

    (batch, channels · kh · kw, blocks) -> (batch, channels, *output_size); the batch is
    optional. Raises RuntimeError where the sizes do not fit.
    """
    check_tensor("fold", "input", input)
    if input.ndim not in (2, 3) or 0 in input.shape[-2:]:
        raise RuntimeError(
            worded(
                "fold: Expected 2D or 3D (batch mode) tensor, of which only the batch"
                " may be empty.",
                input=(input.shape, "expected (batch,) channels · kernel, blocks"),
            )
        )
    if input.ndim == 2:
        single = input.unsqueeze(0)
        return fold(
            single, output_size, kernel_size, dilation, padding, stride
        ).squeeze(0)
    size = per_axis("fold", "output_size", output_size, 2)
    at_least("fold", "output_size", size, 1)
    patches = _Patches("fold", size, kernel_size, dilation, padding, stride)
    taps, blocks = math.prod(patches.kernel), math.prod(patches.blocks)
    if input.shape[1] % taps:
        raise RuntimeError(
            "fold: Expected size of input's dimension 1 to be divisible by the product"
            f" of kernel_size, but got input.size(1)={input.shape[1]} and"
            f" kernel_size={patches.kernel}."
        )
    if input.shape[2] != blocks:
        raise RuntimeError(
            f"fold: output_size={size}, kernel_size={patches.kernel} give"
            f" {by(patches.blocks)} = {blocks} blocks, but got"
            f" input.size(2)={input.shape[2]}."
        )
    return _image(input, patches)


def _columns(input: Tensor, patches: _Patches) -> Tensor:
    out = Tensor._of(patches.columns(input._array), input.dtype)
    return record(
        out, "Im2ColBackward0", (input,), lambda g: (lambda: _image(g, patches),)
    )


def _image(input: Tensor, patches: _Patches) -> Tensor:
    values = patches.image(input._values().astype(input.dtype.compute, copy=False))
    out = Tensor._of(stored(values, input.dtype), input.dtype)
    return record(
        out, "Col2ImBackward0", (input,), lambda g: (lambda: _columns(g, patches),)
    )
