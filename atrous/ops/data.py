"""Tensors from data: numbers, nested sequences, arrays, buffers, DLPack."""

from __future__ import annotations

import warnings

import numpy as np

from .. import dtypes
from ..device import usable
from ..dtypes import dtype
from ..tensor import Tensor
from .copying import scalar
from .operands import stored

__all__ = """
    as_tensor asarray from_dlpack from_numpy frombuffer tensor
""".split()


def checked_dtype(name: str, kind) -> dtype | None:
    """A dtype or None; float, int and bool are Python's; TypeError otherwise."""
    kind = dtypes.from_python(kind)
    if kind is not None and not isinstance(kind, dtypes.dtype):
        raise TypeError(
            f"{name}(): argument 'dtype' must be torch.dtype, not {type(kind).__name__}"
        )
    return kind


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
    return from_data(data, checked_dtype("tensor", dtype), requires_grad)


def from_data(data, kind: dtype | None, requires_grad: bool = False) -> Tensor:
    """A new tensor of plain values, in the dtype asked for or inferred."""
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
    dtype = checked_dtype("as_tensor", dtype)
    if isinstance(data, Tensor):
        return data if dtype is None else data.to(dtype)
    if isinstance(data, np.ndarray):
        shared = from_numpy(data)
        return shared if dtype is None else shared.to(dtype)
    return from_data(data, dtype)


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
        out, shares = from_data(obj, dtype), False
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
    """A tensor over the memory of anything that speaks DLPack, or of its capsule."""
    if type(ext_tensor).__name__ == "PyCapsule":
        return Tensor._sharing(np.asarray(_OfCapsule(ext_tensor)))
    return Tensor._sharing(np.from_dlpack(ext_tensor))


class _OfCapsule:
    """A bare capsule, dressed as the object that NumPy asks for one.

    NumPy takes the memory of an old capsule for read-only, which in torch it is not.
    """

    def __init__(self, capsule):
        self.capsule = capsule
        self.array = np.from_dlpack(self)
        place = self.array.__array_interface__["data"][0]
        self.__array_interface__ = {
            **self.array.__array_interface__,
            "data": (place, False),
        }

    def __dlpack__(self, **options):
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0  # a CPU's memory


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
