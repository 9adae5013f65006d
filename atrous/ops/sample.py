"""Random tensors: torch's streams, distributions and in-place forms."""

from __future__ import annotations

import numpy as np

from .. import dtypes
from .. import random as streams
from ..autograd import record
from ..compiler import memory
from ..device import contiguous_format, preserve_format, strided, usable
from ..dtypes import dtype
from ..tensor import Tensor
from .arguments import check_tensor, integers
from .copying import order_of
from .create import finished, sizes, with_out_dtype
from .data import checked_dtype
from .operands import broadcast_shapes, check_writable, with_out, write

__all__ = """
    bernoulli multinomial normal poisson rand rand_like randint randint_like randn
    randn_like randperm
""".split()


def _check_generator(name: str, generator) -> None:
    if generator is not None and not isinstance(generator, streams.Generator):
        raise TypeError(
            f"{name}(): argument 'generator' must be torch.Generator, not"
            f" {type(generator).__name__}"
        )


# Of a given size


def _factory(name: str, draw, what: str):
    def create(
        *size,
        generator=None,
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
        _check_generator(name, generator)
        kind = checked_dtype(name, dtype) or dtypes.get_default_dtype()
        _check_room(shape, kind)
        array = draw(shape, dtype=kind.name, generator=generator)
        return finished(array, kind, requires_grad, memory_format)

    create.__name__ = create.__qualname__ = name
    create.__doc__ = f"A tensor of the given sizes, {what}."
    return with_out_dtype(create)


def _check_room(shape, kind: dtype) -> None:
    """Refuse a size beyond memory before a number is drawn."""
    memory.empty(shape, kind.storage)


rand = _factory("rand", streams.uniform, "uniform in [0, 1)")
randn = _factory("randn", streams.normal, "normally distributed")


def _like(name: str, draw):
    def create(
        input: Tensor,
        *,
        dtype: dtype | None = None,
        layout=None,
        device=None,
        requires_grad: bool = False,
        pin_memory: bool = False,
        generator=None,
        memory_format=preserve_format,
    ) -> Tensor:
        check_tensor(name, "input", input)
        usable(device)
        _check_generator(name, generator)
        kind = checked_dtype(name, dtype) or input.dtype
        array = draw(
            input._array.shape,
            dtype=kind.name,
            generator=generator,
            strides=_strides(input),
        )
        return finished(_dense(array), kind, requires_grad, memory_format)

    create.__name__ = create.__qualname__ = name
    create.__doc__ = (
        f"As `{name.removesuffix('_like')}`, of the input's shape and dtype."
    )
    return create


def _strides(tensor: Tensor):
    return None if tensor.is_contiguous() else tensor.stride()


def _dense(array: np.ndarray) -> np.ndarray:
    """Logically contiguous, as every fresh tensor; drawn in the order it was."""
    return array if order_of(array) is None else np.array(array, order="C")


rand_like = _like("rand_like", streams.uniform)
randn_like = _like("randn_like", streams.normal)


@with_out_dtype
def randint(
    *args,
    generator=None,
    dtype: dtype | None = None,
    layout=strided,
    device=None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    **named,
) -> Tensor:
    """`randint(high, size)` or `randint(low, high, size)`: integers in [low, high)."""
    low, high, size = _bounds("randint", "size", args, named)
    usable(device)
    _check_generator("randint", generator)
    if not isinstance(size, (tuple, list)):
        raise TypeError(
            "randint(): argument 'size' must be tuple of ints, not"
            f" {type(size).__name__}"
        )
    kind = checked_dtype("randint", dtype) or dtypes.int64
    shape = sizes("randint", (size,))
    _check_room(shape, kind)
    array = streams.randint(shape, low, high, dtype=kind.name, generator=generator)
    return finished(array, kind, requires_grad)


def _bounds(name: str, last: str, args: tuple, named: dict):
    """low (0 by default), high, and what comes after them."""
    names: tuple[str, ...] = ("low", "high", last) if len(args) == 3 else ("high", last)
    if len(args) == 2 and (last in named or "high" in named):
        names = ("low", "high") if last in named else ("low", last)
    if len(args) == 1 and "high" in named:
        names = ("low",)
    values = {"low": 0, **dict(zip(names, args, strict=False)), **named}
    if len(args) > len(names) or set(values) != {"low", "high", last}:
        raise TypeError(
            f"{name}() takes (high, {last}) or (low, high, {last}), not"
            f" {len(args)} positional arguments and {sorted(named)}"
        )
    bounds = [
        each.item() if isinstance(each, Tensor) else each
        for each in (values["low"], values["high"])
    ]
    for each in bounds:
        integers((each,), name, "high")
    return *bounds, values[last]


def randint_like(
    input: Tensor,
    *args,
    dtype: dtype | None = None,
    layout=None,
    device=None,
    requires_grad: bool = False,
    memory_format=preserve_format,
    generator=None,
    **named,
) -> Tensor:
    """As `randint`, of the input's shape and dtype."""
    check_tensor("randint_like", "input", input)
    usable(device)
    low, high, _ = _bounds("randint_like", "input", (*args, input), named)
    kind = checked_dtype("randint_like", dtype) or input.dtype
    array = streams.randint(
        input._array.shape,
        low,
        high,
        dtype=kind.name,
        generator=generator,
        strides=_strides(input),
    )
    return finished(_dense(array), kind, requires_grad, memory_format)


@with_out_dtype
def randperm(
    n: int,
    *,
    generator=None,
    dtype: dtype | None = None,
    layout=strided,
    device=None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """0 … n − 1 in random order."""
    usable(device)
    _check_generator("randperm", generator)
    (n,) = integers((n,), "randperm", "n")
    kind = checked_dtype("randperm", dtype) or dtypes.int64
    memory.require((n,), kind.storage)
    array = streams.randperm(n, dtype=kind.name, generator=generator)
    return finished(array, kind, requires_grad)


# Of given parameters


@with_out
def normal(
    mean, std=1.0, size=None, *, generator=None, dtype=None, **options
) -> Tensor:
    """Normally distributed: means and deviations are numbers or tensors.

    With two numbers, `size` gives the shape.
    """
    _check_generator("normal", generator)
    if not isinstance(mean, Tensor) and not isinstance(std, Tensor):
        if size is None:
            raise TypeError(
                f"normal(): with numbers for mean ({mean}) and std ({std}), 'size' must"
                " be given"
            )
        kind = dtype or dtypes.get_default_dtype()
        array = streams.normal(
            sizes("normal", (size,)), mean, std, dtype=kind.name, generator=generator
        )
        return finished(array, kind, options.get("requires_grad", False))
    kind = (mean if isinstance(mean, Tensor) else std).dtype
    if isinstance(std, Tensor):
        if not std.is_floating_point() or bool((std < 0).any()):
            raise RuntimeError("normal expects all elements of std >= 0.0")
    elif std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    given = [each for each in (mean, std) if isinstance(each, Tensor)]
    shape = broadcast_shapes(*(each._array.shape for each in given))
    drawn = streams.normal(shape, dtype=kind.name, generator=generator)
    inputs = tuple(
        each.detach() if isinstance(each, Tensor) else each for each in (mean, std)
    )
    out = Tensor._of(drawn, kind) * inputs[1] + inputs[0]
    return record(
        out, "NormalBackward3", given, lambda g: (lambda: g * 0,) * len(given)
    )


@with_out
def bernoulli(input: Tensor, p: float | None = None, *, generator=None) -> Tensor:
    """1 with the probability in each element (or p for all of them), else 0."""
    check_tensor("bernoulli", "input", input)
    _check_generator("bernoulli", generator)
    if p is None and not input.is_floating_point():
        raise NotImplementedError(
            f"bernoulli: probabilities are floating point, not {input.dtype}"
        )
    chance = input._array if p is None else p
    array = streams.bernoulli(
        input._array.shape,
        chance,
        dtype=input.dtype.name,
        p_dtype=input.dtype.name if p is None else "float64",
        generator=generator,
    )
    out = Tensor._of(_dense(array), input.dtype)
    return record(out, "BernoulliBackward0", (input,), lambda g: (lambda: g * 0,))


@with_out
def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator=None
) -> Tensor:
    """Indices of each row of `input`, drawn with chances in proportion to it."""
    check_tensor("multinomial", "input", input)
    _check_generator("multinomial", generator)
    array = streams.multinomial(
        input._array,
        num_samples,
        replacement,
        dtype=input.dtype.name,
        generator=generator,
    )
    return Tensor._of(np.array(array, np.int64))


def poisson(input: Tensor, generator=None) -> Tensor:
    """Poisson distributed with the rate in each element; the stream is not torch's."""
    check_tensor("poisson", "input", input)
    if not input.is_floating_point():
        raise NotImplementedError(
            f"poisson: rates are floating point, not {input.dtype}"
        )
    rates = input.detach().double()._array
    if (rates < 0).any():
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    key = streams.random_full((4,), dtype="int64", generator=generator)
    drawn = np.random.Generator(np.random.PCG64(key.tolist())).poisson(rates)
    out = Tensor._of(np.asarray(drawn, np.float64)).to(input.dtype)
    return record(out, "PoissonBackward0", (input,), lambda g: (lambda: g * 0,))


# In place


def _fill(self: Tensor, draw, *parameters, generator=None) -> Tensor:
    check_writable(self)
    _check_generator(draw.__name__, generator)
    array = draw(
        self._array.shape,
        *parameters,
        dtype=self.dtype.name,
        generator=generator,
        strides=_strides(self),
    )
    return write(self, Tensor._of(_dense(array), self.dtype))


def normal_(self: Tensor, mean=0.0, std=1.0, *, generator=None) -> Tensor:
    """Normally distributed values."""
    return _fill(self, streams.normal, mean, std, generator=generator)


def uniform_(self: Tensor, from_=0.0, to=1.0, *, generator=None, **named) -> Tensor:
    """Values uniform in [from, to)."""
    low = named.pop("from", from_)
    if named:
        raise TypeError(
            f"uniform_() got an unexpected keyword argument '{next(iter(named))}'"
        )
    return _fill(self, streams.uniform, low, to, generator=generator)


def random_(self: Tensor, from_=0, to=None, *, generator=None, **named) -> Tensor:
    """Whole numbers: all that the dtype counts, [0, to), or [from, to)."""
    low = named.pop("from", from_)
    if to is None and low == 0:
        return _fill(self, streams.random_full, generator=generator)
    if to is None and "from" not in named:
        low, to = 0, low
    return _fill(self, streams.randint, low, to, generator=generator)


def bernoulli_(self: Tensor, p=0.5, *, generator=None) -> Tensor:
    """1 with probability p (a number, or a tensor of them), else 0."""
    check_writable(self)
    many = isinstance(p, Tensor)
    array = streams.bernoulli(
        self._array.shape,
        p._array if many else p,
        dtype=self.dtype.name,
        p_dtype=p.dtype.name if many else "float64",
        generator=generator,
        strides=_strides(self),
    )
    return write(self, Tensor._of(_dense(array), self.dtype))


def exponential_(self: Tensor, lambd=1.0, *, generator=None) -> Tensor:
    """Exponentially distributed values of the given rate."""
    return _fill(self, streams.exponential, lambd, generator=generator)


def geometric_(self: Tensor, p, *, generator=None) -> Tensor:
    """The number of the first success in trials of probability p."""
    return _fill(self, streams.geometric, p, generator=generator)


def log_normal_(self: Tensor, mean=1.0, std=2.0, *, generator=None) -> Tensor:
    """exp of normally distributed values."""
    return _fill(self, streams.log_normal, mean, std, generator=generator)


def cauchy_(self: Tensor, median=0.0, sigma=1.0, *, generator=None) -> Tensor:
    """Cauchy distributed values."""
    return _fill(self, streams.cauchy, median, sigma, generator=generator)
