"""Which dtype an operation runs in under autocast: torch's lists, as decorators.

Under autocast an operation marked `in_lower` takes its floating point tensors in
autocast's dtype, `in_float32` takes those of half types as float32, and `in_widest`
takes all in the widest dtype among them. float64 is left as it is. Within a marked
operation autocast is off: operands are cast once, on its way in; `as_given` only
switches it off. What is not marked computes in whatever dtypes it is given, as do
`out=` and in-place forms.

Where autocast is off, an operation pays for one look at `state.dtype`.
Source of the lists: PyTorch's documentation, "Automatic Mixed Precision package",
and tests/test_autocast.py, which asks the installed torch.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator

from .. import dtypes
from ..autograd.modes import modes
from ..dtypes import dtype as DType
from ..tensor import Tensor


class _State(threading.local):
    """This thread's autocast; `amp.autocast` sets it."""

    dtype: DType | None = None  # what marked operations run in; None: autocast is off
    caching = True
    depth = 0  # of nested contexts: leaving the outermost forgets the casts

    def __init__(self) -> None:
        #: What `dtype` becomes when autocast is switched on, by device type.
        self.preferred = {"cpu": dtypes.bfloat16}
        #: Other types of device for which autocast is on: to no effect.
        self.elsewhere: set[str] = set()
        #: Casts of parameters by identity: (parameter, version, dtype, cast).
        self.casts: dict[int, tuple[Tensor, int, DType, Tensor]] = {}


state = _State()


def _marked(function: Callable, cast: Callable) -> Callable:
    """`function`, its operands cast where autocast is on."""

    @functools.wraps(function)
    def public(*operands, **options):
        active = state.dtype
        if active is None or options.get("out") is not None:
            return function(*operands, **options)
        operands, options = cast(operands, active), cast(options, active)
        state.dtype = None
        try:
            return function(*operands, **options)
        finally:
            state.dtype = active

    public.unmarked = function  # type: ignore[attr-defined]
    return public


def in_lower(function: Callable) -> Callable:
    """Marks an operation that autocast runs in its own, lower dtype."""
    return _marked(function, functools.partial(_each, _lowered))


def in_float32(function: Callable) -> Callable:
    """Marks an operation that autocast runs in float32: half types would lose much."""
    return _marked(function, lambda nest, active: converted(nest, dtypes.float32))


def in_widest(function: Callable) -> Callable:
    """Marks an operation whose operands, of several dtypes, must become of one."""
    return _marked(function, _promoted)


def as_given(function: Callable) -> Callable:
    """Marks an operation within which nothing is cast."""
    return _marked(function, lambda operands, active: operands)


def unmarked(function: Callable) -> Callable:
    """The operation as it is without autocast, from which in-place forms are made."""
    return getattr(function, "unmarked", function)


# Casts


def converted(nest, kind: DType):
    """Every tensor in lists, tuples and dictionaries in a dtype; float64 stays."""
    return _each(lambda tensor, active: tensor.to(active), nest, kind)


def _each(cast: Callable, nest, active: DType):
    """`cast(tensor, active)` of every tensor in lists, tuples and dictionaries."""
    if isinstance(nest, Tensor):
        return cast(nest, active) if _castable(nest) else nest
    if isinstance(nest, dict):
        return {name: _each(cast, each, active) for name, each in nest.items()}
    if type(nest) in (list, tuple):
        return type(nest)([_each(cast, each, active) for each in nest])
    return nest


def _castable(tensor: Tensor) -> bool:
    return tensor.dtype.is_floating_point and tensor.dtype is not dtypes.float64


def _promoted(nest, active: DType):
    kinds = [each.dtype for each in _tensors(nest) if _castable(each)]
    if not kinds:
        return nest
    widest = functools.reduce(dtypes.promote_types, kinds)
    return converted(nest, widest)


def _tensors(nest) -> Iterator[Tensor]:
    if isinstance(nest, Tensor):
        yield nest
    elif isinstance(nest, dict):
        yield from _tensors(list(nest.values()))
    elif type(nest) in (list, tuple):
        for each in nest:
            yield from _tensors(each)


def _lowered(tensor: Tensor, active: DType) -> Tensor:
    """The tensor in autocast's dtype; a parameter is cast once within a context.

    Unlike torch, a cast is made anew when the parameter was written to since, and one
    made while nothing is recorded is not kept.
    """
    if tensor.dtype is active:
        return tensor
    kept = (
        state.caching
        and state.depth > 0
        and modes.recording
        and tensor.requires_grad
        and tensor.is_leaf
    )
    if not kept:
        return tensor.to(active)
    found = state.casts.get(id(tensor))
    if found is None or found[1:3] != (tensor._version, active):
        found = tensor, tensor._version, active, tensor.to(active)
        state.casts[id(tensor)] = found
    return found[3]
