"""Collecting and scattering single elements along an axis: gather, scatter.

What gathers along an axis and what scatters along it are each other's gradient.
"""

from __future__ import annotations

import numpy as np

from ..autograd import record
from ..tensor import Tensor
from .arguments import axis, check_tensor
from .copying import zeros_of
from .index import numbers_of, within
from .keys import ALL
from .operands import stored, with_out
from .parts import embed

__all__ = "gather scatter scatter_add scatter_reduce take_along_dim".split()


def _elements(name: str, input: Tensor, dim: int, index: Tensor):
    """The axis and the index, checked against the input's shape; and both shapes."""
    check_tensor(name, "input", input)
    place = axis(dim, input.dim())
    check_tensor(name, "index", index)
    numbers = numbers_of(name, index) if index.numel() else index._array
    shape = input._array.shape or (1,)
    numbers = numbers.reshape(numbers.shape or (1,))
    if numbers.size and numbers.ndim != len(shape):
        raise RuntimeError(
            "Index tensor must have the same number of dimensions as input tensor:"
            f" index {tuple(index.shape)}, input {tuple(input.shape)} ({name})"
        )
    return place, numbers, shape


def _check_no_larger(name, numbers, shape, place, source=None) -> None:
    """Index sizes may not exceed the input's but along the axis, nor the source's."""
    if not numbers.size:
        return
    beyond = any(
        size > held and i != place
        for i, (size, held) in enumerate(zip(numbers.shape, shape, strict=True))
    )
    of_source = ""
    if source is not None:
        source = source or (1,)
        if len(source) != numbers.ndim:
            raise RuntimeError(
                "Index tensor must have the same number of dimensions as src tensor:"
                f" index {tuple(numbers.shape)}, src {tuple(source)} ({name})"
            )
        beyond |= any(a > b for a, b in zip(numbers.shape, source, strict=True))
        of_source = f" and to be no larger size than src {list(source)}"
    if beyond:
        raise RuntimeError(
            f"Expected index {list(numbers.shape)} to be no larger than self"
            f" {list(shape)} apart from dimension {place}{of_source}"
        )


@with_out
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad=False) -> Tensor:
    """out[i, j, k] = input[i, index[i, j, k], k], for dim = 1; the index's shape."""
    place, numbers, shape = _elements("gather", input, dim, index)
    if not numbers.size:
        held = input._array.shape
        out = Tensor._of(np.empty(index._array.shape, input._array.dtype), input.dtype)
        return record(
            out,
            "GatherBackward0",
            (input,),
            lambda g: (lambda: zeros_of(held, g.dtype),),
        )
    for i, (size, held) in enumerate(zip(numbers.shape, shape, strict=True)):
        if i != place and size > held:
            raise RuntimeError(
                f"Size does not match at dimension {i} expected index"
                f" {list(numbers.shape)} to be no larger than self {list(shape)} apart"
                f" from dimension {place}"
            )
    within(numbers, shape[place], place)
    array = input._array.reshape(shape)[_corner(numbers.shape, place)]
    picked = np.take_along_axis(array, numbers, place)

    held = input._array.shape
    out = Tensor._of(picked.reshape(index._array.shape), input.dtype)
    return record(
        out,
        "GatherBackward0",
        (input,),
        lambda g: (lambda: zeros_of(held, g.dtype).scatter_add(place, index, g),),
    )


def _corner(sizes: tuple, place: int) -> tuple:
    """The first elements along every axis but one."""
    return tuple(ALL if i == place else slice(size) for i, size in enumerate(sizes))


def _linear(numbers: np.ndarray, shape: tuple, place: int) -> np.ndarray:
    """Where in contiguous memory of `shape` each index points, flattened."""
    total: np.ndarray = np.zeros((), np.int64)
    unit = 1
    for i in reversed(range(len(shape))):
        if i == place:
            total = total + numbers * unit
        else:
            steps = np.arange(numbers.shape[i]) * unit
            total = total + steps.reshape((-1,) + (1,) * (len(shape) - 1 - i))
        unit *= shape[i]
    return np.broadcast_to(total, numbers.shape).reshape(-1)


def _scattered(name: str, input: Tensor, dim: int, index: Tensor, src: Tensor):
    """What every scatter begins with: axis, places in memory, the source's values."""
    place, numbers, shape = _elements(name, input, dim, index)
    check_tensor(name, "src", src)
    if src.dtype is not input.dtype:
        raise RuntimeError(
            f"{name}(): Expected self.dtype to be equal to src.dtype, but they are"
            f" {input.dtype} and {src.dtype}"
        )
    _check_no_larger(name, numbers, shape, place, src._array.shape)
    within(numbers, shape[place], place)
    if not numbers.size:
        return place, np.empty(0, np.int64), np.empty(0, input.dtype.compute)
    values: np.ndarray = src._values().reshape(src._array.shape or (1,))
    values = values[tuple(map(slice, numbers.shape))]
    values = values.astype(input.dtype.compute, copy=False).reshape(-1)
    return place, _linear(numbers, shape, place), values


def _from_index(g: Tensor, place: int, index: Tensor, shape: tuple) -> Tensor:
    """The gradient of a scatter's source, which may be larger than the index."""
    if not index.numel():
        return zeros_of(shape, g.dtype)
    part = g.gather(place, index)
    if part._array.shape == shape:
        return part
    return embed(part, shape, tuple(map(slice, part._array.shape)))


def _scalar_source(input: Tensor, index: Tensor, value) -> Tensor:
    check_tensor("scatter", "index", index)
    return zeros_of((), input.dtype).fill_(value).expand(index._array.shape)


@with_out
def scatter(
    input: Tensor, dim: int, index: Tensor, src=None, *, value=None, reduce=None
):
    """A copy of input with out[i, index[i, j, k], k] = src[i, j, k], for dim = 1.

    `src` is a tensor or a number (`value`); `reduce` "add" or "multiply" combines.
    """
    src = value if src is None else src
    source = src if isinstance(src, Tensor) else _scalar_source(input, index, src)
    if reduce is not None:
        if reduce not in ("add", "multiply"):
            raise RuntimeError(
                f"reduce argument must be either add or multiply, not {reduce!r}."
            )
        kind = "sum" if reduce == "add" else "prod"
        return scatter_reduce(input, dim, index, source, kind)
    place, linear, values = _scattered("scatter", input, dim, index, source)
    array = np.array(input._array, order="C")
    array.reshape(-1)[linear] = stored(values, input.dtype)
    shape = source._array.shape

    def formula(g):
        return (
            lambda: g.scatter(place, index, 0),
            lambda: _from_index(g, place, index, shape),
        )

    out = Tensor._of(array, input.dtype)
    return record(out, "ScatterBackward0", (input, source), formula)


@with_out
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """A copy of input, src[i, j, k] added to [i, index[i, j, k], k], for dim = 1."""
    check_tensor("scatter_add", "src", src)
    place, linear, values = _scattered("scatter_add", input, dim, index, src)
    total = np.array(input._values(), input.dtype.compute, order="C")
    np.add.at(total.reshape(-1), linear, values)
    shape = src._array.shape
    out = Tensor._of(stored(total, input.dtype), input.dtype)
    return record(
        out,
        "ScatterAddBackward0",
        (input, src),
        lambda g: (g, lambda: _from_index(g, place, index, shape)),
    )


_COMBINE = {
    "sum": (np.add, 0),
    "mean": (np.add, 0),
    "prod": (np.multiply, 1),
    "amax": (np.maximum, None),
    "amin": (np.minimum, None),
}


@with_out
def scatter_reduce(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
) -> Tensor:
    """As `scatter`, where what meets is combined: sum, prod, mean, amax or amin.

    Without `include_self` the elements written to forget what they were.
    """
    if reduce not in _COMBINE:
        raise RuntimeError(
            "reduce argument must be either sum, prod, mean, amax or amin, got"
            f" {reduce}."
        )
    place, linear, values = _scattered("scatter_reduce", input, dim, index, src)
    total = np.array(input._values(), input.dtype.compute, order="C")
    flat = total.reshape(-1)
    combine, start = _COMBINE[reduce]
    if not include_self:
        flat[linear] = values if start is None else start
    combine.at(flat, linear, values)
    if reduce == "mean":
        counts = np.zeros(flat.size, np.int64)
        np.add.at(counts, linear, 1)
        counts = np.maximum(counts + include_self, 1)
        whole = not input.dtype.is_floating_point
        flat[:] = flat // counts if whole else flat / counts
    out = Tensor._of(stored(total, input.dtype), input.dtype)

    def formula(g, input, src, result):
        case = _Reduced(g, input, src, result, place, index, include_self)
        return getattr(case, reduce)()

    saved = (input, src, out)
    return record(out, "ScatterReduceBackward0", (input, src), formula, saved)


class _Reduced:
    """The gradients of `scatter_reduce`, a method a reduction: (input's, source's)."""

    def __init__(self, g, input, src, result, place, index, include_self):
        self.g, self.input, self.src, self.result = g, input, src, result
        self.place, self.index, self.include_self = place, index, include_self

    def _gathered(self, x: Tensor) -> Tensor:
        return _from_index(x, self.place, self.index, self.src._array.shape)

    def _kept(self, x: Tensor) -> Tensor:
        """Zero where the input was forgotten."""
        if self.include_self or not self.index.numel():
            return x
        return x.scatter(self.place, self.index, 0)

    def _added(self, x: Tensor) -> Tensor:
        zeros = zeros_of(self.input._array.shape, x.dtype)
        return zeros.scatter_add(self.place, self.index, x)

    def sum(self):
        return (lambda: self._kept(self.g)), (lambda: self._gathered(self.g))

    def mean(self):
        ones = zeros_of(self.src._array.shape, self.g.dtype) + 1
        count = self._added(ones) + float(self.include_self)
        share = self.g / count.clamp(min=1)
        return (lambda: self._kept(share)), (lambda: self._gathered(share))

    def amax(self):
        """The gradient is shared evenly by all that attain the extreme."""
        kind = self.g.dtype
        own = self._kept((self.input == self.result).to(kind))
        theirs = (self.src == self._gathered(self.result)).to(kind)
        share = self.g / (own + self._added(theirs)).clamp(min=1)
        return (lambda: share * own), (lambda: self._gathered(share) * theirs)

    amin = amax

    def prod(self):
        """The product of all others; by division but for a single zero among them."""
        return self._of_input, self._of_source

    def _product(self, input: Tensor, src: Tensor) -> Tensor:
        return scatter_reduce(
            input, self.place, self.index, src, "prod", include_self=self.include_self
        )

    def _of_input(self):
        ones = self.input.masked_fill(self.input == 0, 1)
        return self._kept(self.g * self._product(ones, self.src) / ones)

    def _of_source(self):
        zero = self.src == 0
        alone = zero & (self._gathered(self._added(zero.to(self.g.dtype))) == 1)
        others = self._product(self.input, self.src.masked_fill(alone, 1))
        of_zero = self._gathered(self.g * others)
        divided = self._gathered(self.g * self.result) / self.src.masked_fill(zero, 1)
        return of_zero.where(alone, divided)


@with_out
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """As `gather`, where the other axes of input and indices broadcast."""
    check_tensor("take_along_dim", "input", input)
    numbers = numbers_of("torch.take_along_dim", indices, "indices")
    if dim is None:
        return gather(input.reshape(-1), 0, indices.reshape(-1))
    if numbers.ndim != input.dim():
        raise RuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of"
            f" dimensions, but got {input.dim()} dimensions for input, and"
            f" {numbers.ndim} dimensions for indices"
        )
    place = axis(dim, input.dim())
    held, wanted = list(input._array.shape), list(numbers.shape)
    common = [
        max(a, b) if 0 not in (a, b) else 0 for a, b in zip(held, wanted, strict=True)
    ]
    held_size, wanted_size = held[place], wanted[place]
    common[place] = held_size
    source = input.expand(common)
    common[place] = wanted_size
    size = held_size
    index = Tensor._of(np.where(numbers < 0, numbers + size, numbers).astype(np.int64))
    return gather(source, place, index.expand(common))
