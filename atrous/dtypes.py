"""Element types, and what two of them make together: torch's names and torch's rules.

bfloat16 is not known to NumPy: such values are stored as uint16 (the upper half of a
float32) and widened to float32 to be computed with.
Source of the promotion rules: PyTorch's documentation, "Tensor Attributes".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class dtype:
    """An element type. `storage` is the NumPy type that holds it in memory."""

    name: str
    storage: np.dtype
    category: int  # 0 bool, 1 integer, 2 floating point: the higher one wins
    itemsize: int
    alias: str  # the word torch's messages use: "Float", "Long"

    is_complex = False

    @property
    def is_floating_point(self) -> bool:
        return self.category == 2

    @property
    def is_signed(self) -> bool:
        return self.name not in ("bool", "uint8", "uint16", "uint32", "uint64")

    @property
    def compute(self) -> np.dtype:
        """The NumPy type its values are computed in: float32 for the half types."""
        return _FLOAT32 if self.name in ("bfloat16", "float16") else self.storage

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self):
        return _named, (self.name,)


_FLOAT32 = np.dtype("float32")


def _named(name: str) -> dtype:
    return BY_NAME[name]


def _make(name: str, storage: str, category: int, alias: str) -> dtype:
    held = np.dtype(storage)
    return dtype(name, held, category, held.itemsize, alias)


bool_ = _make("bool", "bool", 0, "Bool")
uint8 = _make("uint8", "uint8", 1, "Byte")
int8 = _make("int8", "int8", 1, "Char")
int16 = short = _make("int16", "int16", 1, "Short")
int32 = int_ = _make("int32", "int32", 1, "Int")
int64 = long = _make("int64", "int64", 1, "Long")
float16 = half = _make("float16", "float16", 2, "Half")
bfloat16 = _make("bfloat16", "uint16", 2, "BFloat16")
float32 = float_ = _make("float32", "float32", 2, "Float")
float64 = double = _make("float64", "float64", 2, "Double")

ALL = (bool_, uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64)
BY_NAME = {each.name: each for each in ALL}
_OF_PYTHON = {bool: bool_, int: int64, float: float64}
BY_STORAGE = {each.storage: each for each in ALL if each is not bfloat16}

#: The floating point type of new tensors made from Python numbers.
default = float32


def set_default_dtype(d: dtype) -> None:
    """The floating point type of new tensors made from Python numbers."""
    global default
    if not isinstance(d, dtype) or not d.is_floating_point:
        raise TypeError(
            f"set_default_dtype: takes a floating point dtype, as float32, not {d}."
        )
    default = d


def get_default_dtype() -> dtype:
    """The floating point type of new tensors made from Python numbers."""
    return default


def from_numpy(numpy_dtype: np.dtype) -> dtype:
    """The dtype that holds a NumPy type; TypeError for one that there is not."""
    try:
        return BY_STORAGE[np.dtype(numpy_dtype).newbyteorder("=")]
    except KeyError:
        raise TypeError(
            f"can't convert np.ndarray of type {numpy_dtype}. The only supported types "
            f"are: {', '.join(str(each) for each in BY_STORAGE)}."
        ) from None


def from_python(kind: Any) -> Any:
    """float64 for `float`, as in `dtype=float`, and so on; else what was given."""
    return _OF_PYTHON.get(kind, kind) if isinstance(kind, type) else kind


def of_number(value) -> dtype:
    """The dtype of a Python (or NumPy) number."""
    if isinstance(value, (bool, np.bool_)):
        return bool_
    if isinstance(value, (int, np.integer)):
        return int64
    return default


_INTEGER_ORDER = (int8, int16, int32, int64)


def promote_types(type1: dtype, type2: dtype) -> dtype:
    """The smallest type that both fit, by torch's table.

    >>> promote_types(uint8, int8)
    torch.int16
    """
    if type1 is type2:
        return type1
    low, high = sorted((type1, type2), key=lambda d: d.category)
    if low.category != high.category:
        return high
    if high.is_floating_point:
        if type1.itemsize == type2.itemsize:  # float16 and bfloat16
            return float32
        return max(type1, type2, key=lambda d: d.itemsize)
    if uint8 in (type1, type2):
        other = type2 if type1 is uint8 else type1
        return int16 if other is int8 else other
    return max(type1, type2, key=_INTEGER_ORDER.index)


def can_cast(from_: dtype, to: dtype) -> bool:
    """May a result of type `from_` be written into a tensor of type `to`?"""
    return from_.category <= to.category


def widen(stored: np.ndarray) -> np.ndarray:
    """bfloat16 bits -> float32 values."""
    return (stored.astype(np.uint32) << 16).view(np.float32)


def narrow(values: np.ndarray) -> np.ndarray:
    """float32 values -> bfloat16 bits, rounded to nearest, ties to even."""
    bits = np.asarray(values, np.float32, order="C").view(np.uint32)
    rounded = (bits + (np.uint32(0x7FFF) + ((bits >> 16) & 1))) >> 16
    return np.where(np.isnan(values), 0x7FC0, rounded).astype(np.uint16)


class finfo:
    """The limits of a floating point type (default: the default dtype)."""

    def __init__(self, type: dtype | None = None):
        type = type or default
        if not type.is_floating_point:
            raise TypeError(
                f"torch.finfo() requires a floating point input type, not {type}. "
                "Use torch.iinfo to handle 'torch.finfo'"
            )
        self.dtype = type.name
        self.bits = 8 * type.itemsize
        if type is bfloat16:
            self.eps, self.resolution = 2.0**-7, 0.01
            self.max, self.tiny = 3.3895313892515355e38, 2.0**-126
        else:
            facts = np.finfo(type.storage)
            self.eps, self.max = float(facts.eps), float(facts.max)
            self.tiny, self.resolution = float(facts.tiny), float(facts.resolution)
        self.min, self.smallest_normal = -self.max, self.tiny

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g},"
            f" eps={self.eps:g}, smallest_normal={self.tiny:g}, tiny={self.tiny:g},"
            f" dtype={self.dtype})"
        )


class iinfo:
    """The limits of an integer type."""

    def __init__(self, type: dtype):
        if type.category != 1:
            raise TypeError(
                f"torch.iinfo() requires an integer input type, not {type}. "
                "Use torch.finfo to handle 'torch.iinfo'"
            )
        facts = np.iinfo(type.storage)
        self.dtype, self.bits = type.name, facts.bits
        self.min, self.max = int(facts.min), int(facts.max)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"
