"""Tensors from data, and tensors of one value: `tensor`, `zeros`, `full`, `*_like`."""

from __future__ import annotations

import functools
import math
import warnings

import numpy as np

from .. import dtypes
from ..compiler import memory
from ..device import contiguous_format, preserve_format, strided, usable
from ..dtypes import dtype
from ..storage import contiguous_strides
from ..tensor import Size, Tensor
from .arguments import integers
from .copying import filled, order_of, scalar
from .operands import stored, with_out
from .pointwise import check_tensor

__all__ = """
    as_tensor asarray empty empty_like empty_strided from_dlpack from_numpy frombuffer
    full full_like ones ones_like scalar_tensor tensor zeros zeros_like
""".split()


# From data


def tensor(
    data,
    *,
    dtype: dtype | None = None,
    device=None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A new tensor of the values in a number, nested sequences or an array; copies.

    Python floats have the default dtype, integers int64, truth values bool.
    ValueError if the sequences are ragged, RuntimeError if a value does not fit.

    >>> tensor([[1.0, 2.0], [3.0, 4.0]])
    tensor([[1., 2.],
            [3., 4.]])
    """
    usable(device)
    if isinstance(data, Tensor):
        warnings.warn(
            "To copy construct from a tensor, it is recommended to use"
            " sourceTensor.detach().clone() or"
            " sourceTensor.detach().clone().requires_grad_(True), rather than"
            " torch.tensor(sourceTensor).",
            UserWarning,
            stacklevel=2,
        )
        with_kind = data.detach().to(dtype or data.dtype, copy=True)
        return with_kind.requires_grad_(requires_grad)
    return _from_data(data, _checked_dtype("tensor", dtype), requires_grad)


def _from_data(data, kind: dtype | None, requires_grad: bool = False) -> Tensor:
    values, found = _parsed(data)
    kind = kind or found
    _check_range(values, kind)
    array = stored(values, kind)
    # An array of the caller's is copied; one that was made here is taken over.
    taken = isinstance(data, (list, tuple)) or array is not values
    array = np.array(array, order="C", copy=None if taken else True)
    out = Tensor._of(array, kind)
    return out.requires_grad_() if requires_grad else out


def _parsed(data) -> tuple[np.ndarray, dtype]:
    """The values as an array, and the dtype that torch infers for them."""
    if isinstance(data, (np.ndarray, np.generic)):
        return np.asarray(data), dtypes.from_numpy(data.dtype)
    if isinstance(data, str):
        raise TypeError(f"new(): invalid data type '{type(data).__name__}'")
    if not isinstance(data, (bool, int, float, list, tuple, Tensor)):
        if hasattr(data, "__array__") or hasattr(data, "__array_interface__"):
            return _parsed(np.asarray(data))
        if not hasattr(data, "__len__") or isinstance(data, (dict, set, frozenset)):
            raise RuntimeError(f"Could not infer dtype of {type(data).__name__}")
        data = list(data)
    try:
        values = np.array(data)
    except (ValueError, RuntimeError, TypeError, OverflowError):
        values = _by_walking(data)
    if values.dtype.kind not in "biuf":
        values = _by_walking(data)
    return values, _inferred(data, values)


def _inferred(data, values: np.ndarray) -> dtype:
    leaf = data
    while isinstance(leaf, (list, tuple)) and leaf:
        leaf = leaf[0]
    if isinstance(leaf, (np.ndarray, np.generic)):
        return dtypes.from_numpy(values.dtype)
    if isinstance(leaf, Tensor) and leaf.dtype is dtypes.bfloat16:
        return dtypes.bfloat16
    if values.dtype.kind == "b":
        return dtypes.bool_
    if values.dtype.kind in "iu":
        if values.dtype.itemsize == 8 and values.dtype.kind == "u":
            raise ValueError("Overflow when unpacking long long")
        return (
            dtypes.int64 if isinstance(leaf, int) else dtypes.from_numpy(values.dtype)
        )
    if isinstance(leaf, Tensor) and leaf.dtype.is_floating_point:
        return leaf.dtype
    return dtypes.get_default_dtype()


def _by_walking(data) -> np.ndarray:
    """Element by element: what NumPy would not take, with a reason where we do not."""
    shape: list[int] = []
    level = data
    while _is_sequence(level):
        shape.append(len(level))
        if not len(level):
            break
        level = level[0]
    leaves: list = []
    _walk(data, shape, 0, leaves)
    whole = all(isinstance(each, int) for each in leaves)
    if whole and any(not -(2**63) <= each < 2**63 for each in leaves):
        raise ValueError("Overflow when unpacking long long")
    return np.array(leaves).reshape(shape)


def _is_sequence(value) -> bool:
    if isinstance(value, Tensor):
        return value.dim() > 0
    return isinstance(value, (list, tuple)) or (
        isinstance(value, np.ndarray) and value.ndim > 0
    )


def _walk(data, shape: list[int], depth: int, leaves: list) -> None:
    if not _is_sequence(data):
        if depth < len(shape):
            raise TypeError(
                f"tensor: not a sequence at dim {depth}: {data!r}, where the first"
                f" element has length {shape[depth]}"
            )
        leaves.append(_leaf(data))
        return
    if depth == len(shape):
        raise TypeError(
            f"tensor: a sequence of length {len(data)} at dim {depth}, where the first"
            " element is a number"
        )
    if len(data) != shape[depth]:
        raise ValueError(
            f"expected sequence of length {shape[depth]} at dim {depth} (got"
            f" {len(data)})"
        )
    for each in data:
        _walk(each, shape, depth + 1, leaves)


def _leaf(value):
    if isinstance(value, str):
        raise ValueError(f"too many dimensions '{type(value).__name__}'")
    if isinstance(value, (Tensor, np.generic, np.ndarray)):
        return value.item()
    if not isinstance(value, (bool, int, float)):
        raise RuntimeError(f"Could not infer dtype of {type(value).__name__}")
    return value


def _check_range(values: np.ndarray, kind: dtype) -> None:
    """RuntimeError where a value does not fit an integer dtype."""
    if kind.category != 1 or not values.size or values.dtype == kind.storage:
        return
    if values.dtype.kind in "iu" and values.itemsize < kind.itemsize:
        return
    low, high = values.min(), values.max()
    scalar(low.item(), kind)
    scalar(high.item(), kind)


def as_tensor(data, dtype: dtype | None = None, device=None) -> Tensor:
    """As `tensor`, but sharing the memory of a tensor or array where dtypes agree."""
    usable(device)
    _checked_dtype("as_tensor", dtype)
    if isinstance(data, Tensor):
        return data if dtype is None else data.to(dtype)
    if isinstance(data, np.ndarray):
        shared = from_numpy(data)
        return shared if dtype is None else shared.to(dtype)
    return _from_data(data, dtype)


def asarray(
    obj,
    *,
    dtype: dtype | None = None,
    device=None,
    copy: bool | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """As `as_tensor`, for anything with DLPack or a buffer too; `copy` forces one."""
    usable(device)
    if isinstance(obj, (Tensor, np.ndarray)):
        out = as_tensor(obj, dtype)
        held = obj._array if isinstance(obj, Tensor) else obj
        shares = np.may_share_memory(out._array, held)
    elif hasattr(obj, "__dlpack__"):
        out = from_dlpack(obj)
        shares = dtype in (None, out.dtype)
        out = out if dtype is None else out.to(dtype)
    else:
        out, shares = _from_data(obj, dtype), False
    if copy is False and not shares:
        raise ValueError("can't alias arbitrary sequence or another dtype without copy")
    out = out.clone() if copy and shares else out
    return out.detach().requires_grad_() if requires_grad else out


def from_numpy(ndarray: np.ndarray) -> Tensor:
    """A tensor over the array's memory: writing into one is seen in the other."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    kind = dtypes.from_numpy(ndarray.dtype)
    if any(step < 0 for step in ndarray.strides):
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with"
            " negative strides are not currently supported: strides are"
            f" {ndarray.strides}. A copy of the array, array.copy(), has none."
        )
    if not ndarray.dtype.isnative:
        raise ValueError(
            "given numpy array has byte order different from the native byte order."
            " Conversion between byte orders is currently not supported."
        )
    if not ndarray.flags.writeable:
        warnings.warn(
            "The given NumPy array is not writable, and PyTorch does not support"
            " non-writable tensors. This means writing to this tensor will result in"
            " undefined behavior. You may want to copy the array.",
            UserWarning,
            stacklevel=2,
        )
    return Tensor._sharing(ndarray, kind)


def from_dlpack(ext_tensor) -> Tensor:
    """A tensor over the memory of anything that speaks DLPack."""
    return Tensor._sharing(np.from_dlpack(ext_tensor))


def frombuffer(
    buffer,
    *,
    dtype: dtype,
    count: int = -1,
    offset: int = 0,
    requires_grad: bool = False,
) -> Tensor:
    """A vector over the memory of a buffer, from byte `offset` on."""
    length, size = len(memoryview(buffer).cast("B")), dtype.itemsize
    if not length or not count:
        raise ValueError(
            f"both buffer length ({length}) and count ({count}) must not be 0"
        )
    if not 0 <= offset < length:
        raise ValueError(
            f"offset ({offset} bytes) must be non-negative and no greater than buffer"
            f" length ({length} bytes) minus 1"
        )
    if count < 0 and (length - offset) % size:
        raise ValueError(
            f"buffer length ({length - offset} bytes) after offset ({offset} bytes)"
            f" must be a multiple of element size ({size})"
        )
    if count > 0 and offset + count * size > length:
        raise ValueError(
            f"requested buffer length ({count} * {size} bytes) after offset ({offset}"
            f" bytes) must not be greater than actual buffer length ({length} bytes)"
        )
    array = np.frombuffer(buffer, dtype.storage, count, offset)
    if not array.flags.writeable:
        warnings.warn(
            "The given buffer is not writable, and PyTorch does not support"
            " non-writable tensors. You may want to copy the buffer.",
            UserWarning,
            stacklevel=2,
        )
    out = Tensor._sharing(array, dtype)
    return out.requires_grad_() if requires_grad else out


# Of one value


def _checked_dtype(name: str, kind) -> dtype | None:
    if kind is not None and not isinstance(kind, dtypes.dtype):
        raise TypeError(
            f"{name}(): argument 'dtype' must be torch.dtype, not {type(kind).__name__}"
        )
    return kind


def sizes(name: str, size: tuple) -> tuple[int, ...]:
    """The shape of `zeros(2, 3)` and of `zeros((2, 3))`; refuses what is no size."""
    if not size:
        raise TypeError(f'{name}() missing 1 required positional arguments: "size"')
    if isinstance(size[0], (tuple, list)):
        if len(size) > 1:
            raise TypeError(
                f"{name}() takes 1 positional argument but {len(size)} were given"
            )
        size = size[0]
    for place, each in enumerate(size):
        if isinstance(each, bool):
            raise TypeError(
                f"{name}(): argument 'size' must be tuple of ints, but found element of"
                f" type bool at pos {place}"
            )
    shape = integers(tuple(size), name, "size")
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
        if "size" in named:
            size = (named.pop("size"),)
        if named:
            raise TypeError(
                f"{name}() got an unexpected keyword argument '{next(iter(named))}'"
            )
        usable(device)
        kind = _checked_dtype(name, dtype) or dtypes.get_default_dtype()
        array = make(sizes(name, size), kind)
        return finished(array, kind, requires_grad, memory_format)

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
    kind = _checked_dtype("full", dtype) or dtypes.of_number(fill_value)
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
        kind = _checked_dtype(name, dtype) or input.dtype
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
    kind = _checked_dtype("full_like", dtype) or input.dtype
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
            return _from_data(args[0], kind)
        return empty(*(args or (0,)), dtype=kind)

    create.__name__ = create.__qualname__ = f"{kind.alias}Tensor"
    create.__doc__ = (
        f"A tensor of {kind}: of sizes (not set), or of a sequence's values."
    )
    return create


_LEGACY = {f"{kind.alias}Tensor": _legacy(kind) for kind in dtypes.ALL}
globals().update(_LEGACY)
__all__ += _LEGACY
