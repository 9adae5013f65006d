"""Other dtypes and layouts, and values written into tensors that exist."""

from __future__ import annotations

import math

import numpy as np

from .. import dtypes
from ..autograd import record
from ..autograd.modes import modes
from ..compiler import SMALL, memory
from ..device import (
    channels_last,
    channels_last_3d,
    contiguous_format,
    device,
    memory_format,
    preserve_format,
    usable,
)
from ..dtypes import dtype
from ..tensor import Tensor
from .arguments import integers
from .broadcast import expand
from .copying import copied, move, scalar
from .elementwise import X
from .operands import check_writable, evaluate, write

__all__ = "fill fill_ zero_".split()

_RANKS = {channels_last: 4, channels_last_3d: 5}


def to(self: Tensor, *args, **options) -> Tensor:
    """In another dtype, on another device, as another tensor, in a memory format.

    `to(dtype)`, `to(device)`, `to(device, dtype)`, `to(other)`, or by keyword; then
    `non_blocking=False, copy=False, memory_format=preserve_format`. The tensor itself
    where there is nothing to do.
    """
    kind, copy, layout = _wanted(self, args, options)
    out = self
    if kind is not None and kind is not self.dtype:
        out = to_dtype(self, kind)
    elif copy:
        out = clone(self)
    if layout is preserve_format or layout is None:
        return out
    return contiguous(out, layout)


def _wanted(self: Tensor, args: tuple, options: dict):
    """(dtype or None, copy, memory format), after the device is found usable."""
    names = ("non_blocking", "copy", "memory_format")
    where, kind = options.pop("device", None), options.pop("dtype", None)
    kind, *rest = map(dtypes.from_python, (kind, *args))
    if rest and isinstance(rest[0], Tensor):
        kind = rest.pop(0).dtype
    elif "other" in options:
        kind = options.pop("other").dtype
    elif rest and isinstance(rest[0], (dtypes.dtype, type(None))):
        kind = rest.pop(0) or kind
    elif rest and isinstance(rest[0], (device, str, int)):
        where = rest.pop(0)
        if rest and isinstance(rest[0], (dtypes.dtype, type(None))):
            kind = rest.pop(0) or kind
    for name, value in zip(names, rest, strict=False):
        options.setdefault(name, value)
    if (rest and not isinstance(rest[0], bool)) or set(options) - set(names):
        given = ", ".join([type(each).__name__ for each in rest] + list(options))
        raise TypeError(
            f"to() received an invalid combination of arguments: ({given}). It takes a"
            " dtype, a device, or a tensor, then non_blocking, copy, memory_format."
        )
    if kind is not None and not isinstance(kind, dtypes.dtype):
        raise TypeError(
            f"to(): argument 'dtype' must be torch.dtype, not {type(kind).__name__}"
        )
    usable(where)
    return kind, options.get("copy", False), options.get("memory_format")


def cast(name: str, kind: dtype):
    """The method that converts to one dtype: `x.float()`."""

    def method(self: Tensor, memory_format: memory_format = preserve_format) -> Tensor:
        out = to_dtype(self, kind)
        return (
            out if memory_format is preserve_format else contiguous(out, memory_format)
        )

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"The values as {kind}; the tensor itself if it is."
    return method


CASTS = {
    name: cast(name, kind)
    for name, kind in {
        "bool": dtypes.bool_,
        "byte": dtypes.uint8,
        "char": dtypes.int8,
        "short": dtypes.int16,
        "int": dtypes.int32,
        "long": dtypes.int64,
        "half": dtypes.float16,
        "bfloat16": dtypes.bfloat16,
        "float": dtypes.float32,
        "double": dtypes.float64,
    }.items()
}
_OLD_NAMES = {f"torch.{kind.alias}Tensor": kind for kind in dtypes.ALL}


def type_(self: Tensor, dtype=None, non_blocking: bool = False):
    """The old name of the type, `torch.FloatTensor`; or the values in another dtype."""
    if dtype is None:
        return self.type_name()
    if isinstance(dtype, str):
        if dtype not in _OLD_NAMES:
            raise ValueError(f"invalid type: '{dtype}'")
        dtype = _OLD_NAMES[dtype]
    return to_dtype(self, dtype)


def type_as(self: Tensor, other: Tensor) -> Tensor:
    """The values in the dtype of `other`."""
    return to_dtype(self, other.dtype)


def cpu(self: Tensor, memory_format: memory_format = preserve_format) -> Tensor:
    """The tensor itself: it is there already."""
    return to(self, memory_format=memory_format)


def cuda(self: Tensor, device=None, non_blocking: bool = False) -> Tensor:
    """Refused: there are no kernels for it."""
    usable("cuda" if device is None else device)
    return self


def pin_memory(self: Tensor, device=None) -> Tensor:
    """The tensor itself: there is no device to copy it to."""
    return self


def share_memory_(self: Tensor) -> Tensor:
    """The tensor itself: loaders here work in threads, which share all memory."""
    return self


def contiguous(
    self: Tensor, memory_format: memory_format = contiguous_format
) -> Tensor:
    """Elements one after another in the order of the format; itself if they are."""
    if memory_format is preserve_format:
        raise RuntimeError(
            "preserve memory format is unsupported by the contiguous operator"
        )
    rank = _RANKS.get(memory_format)
    if rank is not None and self.dim() != rank:
        raise RuntimeError(
            f"required rank {rank} tensor to use {memory_format.name} format, not rank"
            f" {self.dim()}"
        )
    if self.is_contiguous(memory_format):
        return self
    if rank is None:
        out = Tensor._of(copied(self._array, self.dtype), self.dtype)
    else:
        order = memory.channels_last(rank)
        array = memory.empty(self._array.shape, self._array.dtype, order)
        move(self._array, array, self.dtype)
        # Asked for by the user, this order shows in the strides.
        out = Tensor._sharing(array, self.dtype)
    return record(out, "CloneBackward0", (self,), lambda g: (g,))


# Writing


def copy_(self: Tensor, src: Tensor, non_blocking: bool = False) -> Tensor:
    """The values of `src`, broadcast and converted, written into this tensor."""
    if not isinstance(src, Tensor):
        raise TypeError(
            f"copy_(): argument 'other' (position 1) must be Tensor, not"
            f" {type(src).__name__}"
        )
    check_writable(self)
    if src is self:
        return self
    if src._array.shape != self._array.shape:
        src = expand(src, tuple(self.shape))
    if modes.recording and src.requires_grad and self.dtype.is_floating_point:
        source = src.dtype
        copy = src._alias()
        src = record(
            copy, "CopyBackwards", (src,), lambda g: (lambda: to_dtype(g, source),)
        )
    return write(self, src)


def fill_(self: Tensor, value) -> Tensor:
    """Every element `value`, a number or a tensor without axes."""
    check_writable(self)
    if isinstance(value, Tensor):
        if value.dim():
            raise RuntimeError(
                "fill_ only supports 0-dimension value tensor but got tensor with"
                f" {value.dim()} dimensions."
            )
        if value.requires_grad:
            return copy_(self, value)
        value = value.item()
    if not isinstance(value, (bool, int, float, np.number, np.bool_)):
        raise TypeError(
            f"fill_(): argument 'value' must be Number, not {type(value).__name__}"
        )
    repeated = [step == 0 and size > 1 for step, size in _walks(self._array)]
    if any(repeated):
        # Writing one value several times into a place does no harm.
        fill_(
            self[tuple(slice(1) if again else slice(None) for again in repeated)], value
        )
        return self
    held = scalar(value, self.dtype)
    if self._array.size < SMALL and not (modes.recording and self.requires_grad):
        self._array.fill(held)
        self._bump()
        return self
    return write(self, Tensor._of(np.asarray(held), self.dtype))


def _walks(array: np.ndarray):
    return zip(array.strides, array.shape, strict=True)


def fill(input: Tensor, value) -> Tensor:
    """A copy of the tensor, every element `value`."""
    return fill_(clone(input), value)


def resize_(self: Tensor, *sizes, memory_format=contiguous_format) -> Tensor:
    """Another shape over the same memory, or over more; what is new has no value."""
    if self.requires_grad:
        raise RuntimeError("cannot resize variables that require grad")
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = tuple(sizes[0])
    shape = integers(tuple(sizes), "resize_", "size")
    if min(shape, default=0) < 0:
        raise RuntimeError(f"resize_: sizes must not be negative: {list(shape)}")
    held = self._array.reshape(-1)
    array = memory.empty((math.prod(shape),), held.dtype)
    if array.size > held.size or not self.is_contiguous():
        array[: held.size] = held[: array.size]
        self.data = Tensor._of(array.reshape(shape), self.dtype)
    else:
        self._array = held[: array.size].reshape(shape)
    return self


def resize_as_(self: Tensor, other: Tensor) -> Tensor:
    """`resize_` to the shape of another tensor."""
    return resize_(self, tuple(other.shape))


def zero_(self: Tensor) -> Tensor:
    """Every element 0."""
    return fill_(self, 0)


def apply_(self: Tensor, function) -> Tensor:
    """`function(number)` of every element, written in its place: slow, in Python."""
    if self.requires_grad:
        raise RuntimeError("Can't apply_() on a Variable that requires grad.")
    results = [function(each) for each in self._values().ravel().tolist()]
    return _put_all(self, results)


def map_(self: Tensor, other: Tensor, function) -> Tensor:
    """`function(a, b)` of every pair of elements, written in place of the first."""
    if self.requires_grad or other.requires_grad:
        raise RuntimeError("Can't call map_() on Variable that requires grad.")
    others = expand(other, tuple(self.shape))
    pairs = zip(
        self._values().ravel().tolist(), others._values().ravel().tolist(), strict=True
    )
    return _put_all(self, [function(*pair) for pair in pairs])


def _put_all(self: Tensor, results: list) -> Tensor:
    values = np.asarray(results).reshape(self._array.shape)
    held = [scalar(each, self.dtype) for each in values.ravel()]
    array = np.asarray(held, self._array.dtype).reshape(values.shape)
    return write(self, Tensor._of(array, self.dtype))


def to_dtype(input: Tensor, kind: dtype, copy: bool = False) -> Tensor:
    """The values in another dtype; the tensor itself if it has it already."""
    if input.dtype is kind:
        return clone(input) if copy else input
    source = input.dtype
    out = evaluate(X, (input,), None, kind)
    if not kind.is_floating_point:
        return out
    return record(out, "ToCopyBackward0", (input,), lambda g: (lambda: g.to(source),))


def clone(input: Tensor, *, memory_format=None) -> Tensor:
    """A copy in memory of its own."""
    out = evaluate(X, (input,), None, input.dtype)
    return record(out, "CloneBackward0", (input,), lambda g: (g,))
