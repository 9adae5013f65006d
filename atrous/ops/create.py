"""Tensors of given sizes and one value: `zeros`, `full`, `empty`, `*_like`, `new_*`."""

from __future__ import annotations

import functools
import math

import numpy as np

from .. import dtypes
from ..compiler import memory
from ..device import contiguous_format, preserve_format, strided, usable
from ..dtypes import dtype
from ..storage import contiguous_strides
from ..tensor import Size, Tensor
from .arguments import check_tensor, integers
from .copying import filled, order_of
from .data import as_tensor, checked_dtype, from_data, tensor
from .operands import with_out

__all__ = """
    empty empty_like empty_strided full full_like ones ones_like scalar_tensor zeros
    zeros_like
""".split()


def sizes(name: str, size: tuple, /, **named) -> tuple[int, ...]:
    """The shape of `zeros(2, 3)`, `zeros((2, 3))`, `zeros(size=(2, 3))`.

    Raises TypeError or RuntimeError for what is no size.
    """
    if "size" in named:
        size = (named.pop("size"),)
    if named:
        raise TypeError(
            f"{name}() got an unexpected keyword argument '{next(iter(named))}'"
        )
    if not size:
        raise TypeError(f'{name}() missing 1 required positional arguments: "size"')
    given = size
    if isinstance(size[0], (tuple, list)):
        if len(size) > 1:
            raise TypeError(
                f"{name}() takes 1 positional argument but {len(size)} were given"
            )
        given = tuple(size[0])
    for place, each in enumerate(given):
        if isinstance(each, bool):
            raise TypeError(
                f"{name}(): argument 'size' must be tuple of ints, but found element of"
                f" type bool at pos {place}"
            )
    shape = integers(given, name, "size")
    if min(shape, default=0) < 0:
        raise RuntimeError(
            f"Trying to create tensor with negative dimension {min(shape)}:"
            f" {list(shape)} ({name})"
        )
    if math.prod(shape) >= 2**63:
        raise RuntimeError(
            f"Storage size calculation overflowed with sizes={list(shape)}"
        )
    return shape


def with_out_dtype(function):
    """As `with_out`; what is made has the dtype of `out` unless told otherwise."""
    public = with_out(function)

    @functools.wraps(function)
    def create(*args, out: Tensor | None = None, dtype=None, **options):
        if out is not None and dtype is None:
            dtype = out.dtype
        return public(*args, out=out, dtype=dtype, **options)

    return create


def finished(
    array: np.ndarray, kind: dtype, requires_grad: bool, layout=None
) -> Tensor:
    """A fresh array as a tensor, in a memory format and with the gradient asked for."""
    out = Tensor._of(array, kind)
    if layout not in (None, preserve_format, contiguous_format):
        out = out.contiguous(memory_format=layout)
    return out.requires_grad_() if requires_grad else out


def _uninitialised(shape, kind: dtype, order=None) -> np.ndarray:
    return memory.empty(shape, kind.storage, order)


def _zeros(shape, kind: dtype, order=None) -> np.ndarray:
    return filled(shape, kind, 0, order)


def _ones(shape, kind: dtype, order=None) -> np.ndarray:
    return filled(shape, kind, 1, order)


def _factory(name: str, make, what: str):
    def create(
        *size,
        dtype: dtype | None = None,
        layout=strided,
        device=None,
        requires_grad: bool = False,
        pin_memory: bool = False,
        memory_format=contiguous_format,
        **named,
    ) -> Tensor:
        shape = sizes(name, size, **named)
        usable(device)
        kind = checked_dtype(name, dtype) or dtypes.get_default_dtype()
        return finished(make(shape, kind), kind, requires_grad, memory_format)

    create.__name__ = create.__qualname__ = name
    create.__doc__ = f"A tensor of the given sizes, {what}."
    return with_out_dtype(create)


empty = _factory("empty", _uninitialised, "whose values are not set")
zeros = _factory("zeros", _zeros, "all 0")
ones = _factory("ones", _ones, "all 1")


@with_out_dtype
def full(
    size,
    fill_value,
    *,
    dtype: dtype | None = None,
    layout=strided,
    device=None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor of the given sizes, all `fill_value`, whose kind gives the dtype."""
    usable(device)
    if not isinstance(size, (tuple, list)):
        raise TypeError(
            "full(): argument 'size' (position 1) must be tuple of ints, not"
            f" {type(size).__name__}"
        )
    if isinstance(fill_value, Tensor):
        fill_value = fill_value.item()
    if not isinstance(fill_value, (bool, int, float, np.generic)):
        raise TypeError(
            "full(): argument 'fill_value' (position 2) must be Number, not"
            f" {type(fill_value).__name__}"
        )
    kind = checked_dtype("full", dtype) or dtypes.of_number(fill_value)
    return finished(
        filled(sizes("full", (size,)), kind, fill_value), kind, requires_grad
    )


@with_out_dtype
def scalar_tensor(
    s,
    *,
    dtype: dtype | None = None,
    layout=strided,
    device=None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A number as a tensor without axes, of the default dtype."""
    kind = dtype or dtypes.get_default_dtype()
    return full((), s, dtype=kind, device=device, requires_grad=requires_grad)


def _like(name: str, make):
    def create(
        input: Tensor,
        *,
        dtype: dtype | None = None,
        layout=None,
        device=None,
        requires_grad: bool = False,
        pin_memory: bool = False,
        memory_format=preserve_format,
    ) -> Tensor:
        check_tensor(name, "input", input)
        usable(device)
        kind = checked_dtype(name, dtype) or input.dtype
        array = make(input._array.shape, kind, order_of(input._array))
        return finished(array, kind, requires_grad, memory_format)

    create.__name__ = create.__qualname__ = name
    create.__doc__ = (
        f"As `{name.removesuffix('_like')}`, of the input's shape and dtype."
    )
    return create


empty_like = _like("empty_like", _uninitialised)
zeros_like = _like("zeros_like", _zeros)
ones_like = _like("ones_like", _ones)


def full_like(
    input: Tensor,
    fill_value,
    *,
    dtype: dtype | None = None,
    layout=None,
    device=None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format=preserve_format,
) -> Tensor:
    """A tensor of the input's shape and dtype, all `fill_value`."""
    check_tensor("full_like", "input", input)
    usable(device)
    kind = checked_dtype("full_like", dtype) or input.dtype
    array = filled(input._array.shape, kind, fill_value, order_of(input._array))
    return finished(array, kind, requires_grad, memory_format)


def empty_strided(
    size,
    stride,
    *,
    dtype: dtype | None = None,
    layout=strided,
    device=None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor whose values are not set, with the given steps between elements."""
    usable(device)
    shape = sizes("empty_strided", (size,))
    steps = integers(stride, "empty_strided", "stride")
    if len(shape) != len(steps):
        raise RuntimeError(
            f"mismatch in length of strides and shape: {list(steps)} and {list(shape)}"
        )
    if min(steps, default=0) < 0:
        raise RuntimeError(
            f"empty_strided: strides must not be negative: {list(steps)}"
        )
    kind = dtype or dtypes.get_default_dtype()
    pairs = zip(shape, steps, strict=True)
    count = 0 if 0 in shape else 1 + sum((n - 1) * step for n, step in pairs)
    if steps == contiguous_strides(shape):
        return finished(_uninitialised(shape, kind), kind, requires_grad)
    flat = _uninitialised((count,), kind)
    in_bytes = [step * kind.itemsize for step in steps]
    view = np.lib.stride_tricks.as_strided(flat, shape, in_bytes)
    out = Tensor._sharing(view, kind)
    return out.requires_grad_() if requires_grad else out


# Methods: `x.new_zeros(2, 3)` has the dtype of x


def _new(create):
    def method(self: Tensor, *args, dtype: dtype | None = None, **options) -> Tensor:
        return create(*args, dtype=dtype or self.dtype, **options)

    name = f"new_{create.__name__}"
    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"As `{create.__name__}`, of this tensor's dtype by default."
    return method


NEW = {
    f"new_{create.__name__}": _new(create)
    for create in (tensor, empty, zeros, ones, full, empty_strided)
}


# The old names of the types: `FloatTensor(2, 3)`, `LongTensor([1, 2])`


def _legacy(kind: dtype):
    def create(*args) -> Tensor:
        if len(args) == 1 and isinstance(args[0], (Tensor, np.ndarray)):
            return as_tensor(args[0]).to(kind)
        sized = not args or isinstance(args[0], (int, Size))
        if len(args) == 1 and not sized:
            return from_data(args[0], kind)
        return empty(*(args or (0,)), dtype=kind)

    create.__name__ = create.__qualname__ = f"{kind.alias}Tensor"
    create.__doc__ = (
        f"A tensor of {kind}: of sizes (not set), or of a sequence's values."
    )
    return create


_LEGACY = {f"{kind.alias}Tensor": _legacy(kind) for kind in dtypes.ALL}
globals().update(_LEGACY)
__all__ += _LEGACY
