"""Reading and writing by index tensors along one axis: gather, scatter, index_*.

What collects along an axis and what scatters along it are each other's gradient.
"""

from __future__ import annotations

import numpy as np

from .. import dtypes
from ..autograd import record
from ..tensor import Tensor
from .arguments import axis
from .copying import filled
from .operands import stored, with_out
from .parts import embed
from .pointwise import check_tensor
from .subscript import _ALL, add_at

__all__ = """
    gather index_add index_copy index_fill index_select put scatter scatter_add
    scatter_reduce take take_along_dim
""".split()


def _numbers(name: str, index: Tensor, argument: str = "index") -> np.ndarray:
    check_tensor(name, argument, index)
    if index.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError(
            f"{name}(): Expected dtype int32/int64 for {argument}, not {index.dtype}"
        )
    return index._array


def _within(
    index: np.ndarray, size: int, dim: int, error=RuntimeError, name=""
) -> None:
    """Refuse an index that is negative or beyond an axis."""
    if index.size:
        for extreme in (int(index.min()), int(index.max())):
            if not 0 <= extreme < size:
                raise error(
                    f"{name}index {extreme} is out of bounds for dimension {dim} with"
                    f" size {size}"
                )


def _along(place: int, index) -> tuple:
    return (_ALL,) * place + (index,)


def _zeros(shape, kind) -> Tensor:
    return Tensor._of(filled(shape, kind), kind)


# Whole slices


def _slices(name: str, input: Tensor, dim: int, index: Tensor):
    """The axis, and the index as a vector."""
    check_tensor(name, "input", input)
    place = axis(dim, input.dim())
    numbers = _numbers(name, index)
    if numbers.ndim > 1:
        raise IndexError(
            f"{name}(): Index is supposed to be a vector, not of shape"
            f" {tuple(numbers.shape)}"
        )
    return place, numbers.reshape(-1)


@with_out
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices of axis `dim` that `index` names, in its order."""
    place, numbers = _slices("index_select", input, dim, index)
    array = input._array
    if not array.ndim:
        _within(numbers, 1, 0, IndexError, "index_select(): ")
        return input.clone()
    _within(numbers, array.shape[place], place, IndexError, "index_select(): ")
    out = Tensor._of(array[_along(place, numbers)], input.dtype)
    shape = array.shape

    def adjoint(g):
        return _zeros(shape, g.dtype).index_add(place, index, g)

    return record(
        out, "IndexSelectBackward0", (input,), lambda g: (lambda: adjoint(g),)
    )


def _source(name: str, input: Tensor, place: int, numbers, source: Tensor):
    """The source's array, checked against the input and the index."""
    check_tensor(name, "source", source)
    if source.dtype is not input.dtype:
        raise RuntimeError(
            f"{name}_(): self ({input.dtype.alias}) and source ({source.dtype.alias})"
            " must have the same scalar type"
        )
    count = source._array.shape[place] if source.dim() else 1
    if count != numbers.size:
        error = IndexError if name == "index_copy" else RuntimeError
        raise error(
            f"{name}_(): Number of indices ({numbers.size}) should be equal to"
            f" source.size(dim): ({count}), for dim: {place}"
        )
    wanted = list(input._array.shape)
    if wanted:
        wanted[place] = numbers.size
    if tuple(wanted) != source._array.shape and (input.dim() or source.numel() != 1):
        raise RuntimeError(
            f"{name}: source tensor shape must match self tensor shape, excluding the"
            f" specified dimension. Got self.shape = {list(input.shape)} source.shape ="
            f" {list(source.shape)}"
        )
    return source._array


@with_out
def index_add(
    input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha=1
) -> Tensor:
    """input with alpha · source[…, i, …] added to slice index[i], for every i."""
    place, numbers = _slices("index_add", input, dim, index)
    _source("index_add", input, place, numbers, source)
    shape = input._array.shape or (1,)
    _within(numbers, shape[place], place)
    values = np.array(input._values(), input.dtype.compute, order="C").reshape(shape)
    added = source._values().astype(input.dtype.compute, copy=False)
    added = added.reshape((*shape[:place], numbers.size, *shape[place + 1 :]))
    picks = tuple(numbers if i == place else _ALL for i in range(len(shape)))
    add_at(values, picks, added if alpha == 1 else added * added.dtype.type(alpha))
    out = Tensor._of(stored(values, input.dtype).reshape(input.shape), input.dtype)

    def of_source(g):
        picked = g.index_select(place, index).reshape(source._array.shape)
        return picked if alpha == 1 else picked * alpha

    return record(
        out, "IndexAddBackward0", (input, source), lambda g: (g, lambda: of_source(g))
    )


@with_out
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """input with source[…, i, …] as slice index[i], for every i."""
    place, numbers = _slices("index_copy", input, dim, index)
    values = _source("index_copy", input, place, numbers, source)
    shape = input._array.shape or (1,)
    _within(numbers, shape[place], place, IndexError, "index_copy_(): ")
    array = np.array(input._array, order="C").reshape(shape)
    array[_along(place, numbers)] = values.reshape(
        (*shape[:place], numbers.size, *shape[place + 1 :])
    )

    def formula(g):
        return (
            lambda: g.index_fill(place, index, 0),
            lambda: g.index_select(place, index).reshape(source._array.shape),
        )

    out = Tensor._of(array.reshape(input._array.shape), input.dtype)
    return record(out, "IndexCopyBackward0", (input, source), formula)


def index_fill(input: Tensor, dim: int, index: Tensor, value) -> Tensor:
    """input with all of the slices that `index` names set to `value`."""
    place, numbers = _slices("index_fill", input, dim, index)
    if isinstance(value, Tensor) and value.dim():
        raise RuntimeError(
            "index_fill_ only supports a 0-dimensional value tensor, but got tensor"
            f" with {value.dim()} dimension(s)."
        )
    size = input._array.shape[place] if input.dim() else 1
    wrapped = np.where(numbers < 0, numbers + size, numbers)
    _within(wrapped, size, place, IndexError)
    mask = np.zeros(size, bool)
    mask[wrapped] = True
    mask = mask.reshape((size,) + (1,) * (input.dim() - 1 - place))
    chosen = Tensor._of(mask.reshape(()) if not input.dim() else mask)
    out = input.detach().masked_fill(chosen, value)

    def formula(g):
        return (
            lambda: g.masked_fill(chosen, 0),
            lambda: (g * chosen.to(g.dtype)).sum(),
        )

    return record(out, "IndexFillBackward0", (input, value), formula)


# Single elements


def _elements(name: str, input: Tensor, dim: int, index: Tensor):
    """The axis and the index, checked against the input's shape; and both shapes."""
    check_tensor(name, "input", input)
    place = axis(dim, input.dim())
    check_tensor(name, "index", index)
    numbers = _numbers(name, index) if index.numel() else index._array
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
            lambda g: (lambda: _zeros(held, g.dtype),),
        )
    for i, (size, held) in enumerate(zip(numbers.shape, shape, strict=True)):
        if i != place and size > held:
            raise RuntimeError(
                f"Size does not match at dimension {i} expected index"
                f" {list(numbers.shape)} to be no larger than self {list(shape)} apart"
                f" from dimension {place}"
            )
    _within(numbers, shape[place], place)
    array = input._array.reshape(shape)[_corner(numbers.shape, place)]
    picked = np.take_along_axis(array, numbers, place)

    held = input._array.shape
    out = Tensor._of(picked.reshape(index._array.shape), input.dtype)
    return record(
        out,
        "GatherBackward0",
        (input,),
        lambda g: (lambda: _zeros(held, g.dtype).scatter_add(place, index, g),),
    )


def _corner(sizes: tuple, place: int) -> tuple:
    """The first elements along every axis but one."""
    return tuple(_ALL if i == place else slice(size) for i, size in enumerate(sizes))


def _linear(numbers: np.ndarray, shape: tuple, place: int) -> np.ndarray:
    """Where in contiguous memory of `shape` each index points, flattened."""
    total, unit = np.zeros((), np.int64), 1
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
    _within(numbers, shape[place], place)
    if not numbers.size:
        return place, np.zeros(0, np.int64), np.zeros(0, input.dtype.compute)
    values = src._values().reshape(src._array.shape or (1,))
    values = values[tuple(map(slice, numbers.shape))]
    values = values.astype(input.dtype.compute, copy=False).reshape(-1)
    return place, _linear(numbers, shape, place), values


def _from_index(g: Tensor, place: int, index: Tensor, shape: tuple) -> Tensor:
    """The gradient of a scatter's source, which may be larger than the index."""
    if not index.numel():
        return _zeros(shape, g.dtype)
    part = g.gather(place, index)
    if part._array.shape == shape:
        return part
    return embed(part, shape, tuple(map(slice, part._array.shape)))


def _scalar_source(input: Tensor, index: Tensor, value) -> Tensor:
    check_tensor("scatter", "index", index)
    return _zeros((), input.dtype).fill_(value).expand(index._array.shape)


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
        zeros = _zeros(self.input._array.shape, x.dtype)
        return zeros.scatter_add(self.place, self.index, x)

    def sum(self):
        return (lambda: self._kept(self.g)), (lambda: self._gathered(self.g))

    def mean(self):
        ones = _zeros(self.src._array.shape, self.g.dtype) + 1
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


# By position in the flattened tensor


@with_out
def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements at positions of the flattened tensor, in the index's shape."""
    check_tensor("take", "input", input)
    numbers = _positions("take", input, index)
    out = Tensor._of(input._array.reshape(-1)[numbers], input.dtype)
    shape = input._array.shape

    def adjoint(g):
        return _zeros(shape, g.dtype).put(index, g, accumulate=True)

    return record(out, "TakeBackward0", (input,), lambda g: (lambda: adjoint(g),))


def _positions(name: str, input: Tensor, index: Tensor) -> np.ndarray:
    check_tensor(name, "index", index)
    if index.dtype is not dtypes.int64:
        raise RuntimeError(
            f"{name}(): Expected a long tensor for index, but got {index.dtype.alias}"
        )
    numbers, count = index._array, input.numel()
    if numbers.size and not count:
        raise IndexError(f"{name}(): tried to take from an empty tensor")
    for extreme in (numbers.min(), numbers.max()) if numbers.size else ():
        if not -count <= extreme < count:
            raise IndexError(
                f"out of range: tried to access index {extreme} on a tensor of {count}"
                " elements."
            )
    return numbers


@with_out
def put(input: Tensor, index: Tensor, source: Tensor, accumulate=False) -> Tensor:
    """A copy with source's elements at, or added at, positions of the flat tensor."""
    numbers = _positions("put", input, index).reshape(-1)
    check_tensor("put", "source", source)
    if source.dtype is not input.dtype:
        raise RuntimeError(
            f"put_(): self and source expected to have the same dtype, but got"
            f" self.dtype = {input.dtype} and source.dtype = {source.dtype}"
        )
    if source.numel() != numbers.size:
        raise IndexError(
            "put_(): Expected source and index to have the same number of elements, but"
            f" got source.numel() = {source.numel()}, index.numel() = {numbers.size}"
        )
    total = np.array(input._values(), input.dtype.compute, order="C")
    flat, values = total.reshape(-1), source._values().reshape(-1)
    if accumulate:
        np.add.at(flat, numbers, values.astype(flat.dtype, copy=False))
    else:
        flat[numbers] = values
    out = Tensor._of(stored(total, input.dtype), input.dtype)

    def formula(g):
        def of_input():
            if accumulate:
                return g
            return put(g, index, _zeros(index._array.shape, g.dtype))

        return of_input, lambda: g.take(index).reshape(source._array.shape)

    return record(out, "PutBackward0", (input, source), formula)


@with_out
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """As `gather`, where the other axes of input and indices broadcast."""
    check_tensor("take_along_dim", "input", input)
    numbers = _numbers("torch.take_along_dim", indices, "indices")
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
