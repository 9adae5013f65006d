"""Parametrizations: a weight that is computed from others each time it is read.

`register_parametrization(layer, "weight", Symmetric())` makes `layer.weight` the output
of `Symmetric`; what it is computed from is `layer.parametrizations.weight.original`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from atrous import autograd
from atrous.nn.modules.container import ModuleDict, ModuleList
from atrous.nn.modules.module import Module
from atrous.nn.parameter import Parameter
from atrous.tensor import Tensor

_depth = 0
_cache: dict[tuple[int, str], Tensor] = {}


@contextmanager
def cached() -> Iterator[None]:
    """Inside, each parametrized weight is computed once."""
    global _depth
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        if not _depth:
            _cache.clear()


class ParametrizationList(ModuleList):
    """The parametrizations of one weight, and what it is computed from.

    A module may define `right_inverse`, which turns a weight into what the module
    computes it from: one tensor (`original`), or several (`original0`, `original1` …).
    """

    def __init__(
        self, modules: Sequence[Module], original: Tensor, unsafe: bool = False
    ):
        super().__init__(modules)
        self.unsafe = unsafe
        source = self._inverted(original)
        self.is_tensor = isinstance(source, Tensor)
        self.ntensors = 1 if self.is_tensor else len(source)
        for name, tensor in zip(
            self._names(), [source] if self.is_tensor else source, strict=True
        ):
            kept = tensor.detach()
            if isinstance(original, Parameter):
                self.register_parameter(name, Parameter(kept, original.requires_grad))
            else:
                self.register_buffer(name, kept)
        if not unsafe:
            _check_fit(self(), original)

    def _names(self) -> list[str]:
        if self.is_tensor:
            return ["original"]
        return [f"original{place}" for place in range(self.ntensors)]

    def _inverted(self, value: Tensor) -> Any:
        source: Any = value
        with autograd.no_grad():
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    source = module.right_inverse(source)
        return source

    def right_inverse(self, value: Tensor) -> None:
        """Set what the weight is computed from, so that the weight becomes `value`."""
        source = self._inverted(value)
        sources = [source] if self.is_tensor else source
        with autograd.no_grad():
            for name, tensor in zip(self._names(), sources, strict=True):
                getattr(self, name).copy_(tensor)

    def forward(self) -> Tensor:
        modules = iter(self)
        value = next(modules)(*[getattr(self, name) for name in self._names()])
        for module in modules:
            value = module(value)
        return value


def _check_fit(made: Tensor, weight: Tensor) -> None:
    """Raise ValueError if a parametrization changes a weight's dtype or shape."""
    if made.dtype != weight.dtype or made.shape != weight.shape:
        raise ValueError(
            f"a parametrization makes {made.dtype} {tuple(made.shape)} of a weight "
            f"that is {weight.dtype} {tuple(weight.shape)}; unsafe=True allows that"
        )


def _reader(name: str) -> property:
    """The property that computes a parametrized weight."""

    def read(self: Module) -> Tensor:
        if not _depth:
            return self.parametrizations[name]()
        key = id(self), name
        if key not in _cache:
            _cache[key] = self.parametrizations[name]()
        return _cache[key]

    def write(self: Module, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    return property(read, write)


def _parametrized(kind: type, names: Sequence[str]) -> type:
    """A subclass of `kind` whose weights `names` are computed."""

    def reduce(self: Module, protocol: int) -> tuple:
        return _rebuilt, (kind, tuple(self.parametrizations)), self.__dict__

    body: dict[str, Any] = {name: _reader(name) for name in names}
    body["__reduce_ex__"] = reduce
    return type(f"Parametrized{kind.__name__}", (kind,), body)


def _rebuilt(kind: type, names: tuple[str, ...]) -> Module:
    return object.__new__(_parametrized(kind, names))


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Is any weight of the module, or the one named, computed?"""
    found = getattr(module, "parametrizations", None)
    if not isinstance(found, ModuleDict):
        return False
    return len(found) > 0 if tensor_name is None else tensor_name in found


def type_before_parametrizations(module: Module) -> type:
    """The class that the module had before."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Compute `module.tensor_name` by `parametrization` from now on.

    A weight that is computed already gets one more step.

    Raises ValueError if there is no such weight, or if the dtype or shape changes and
    `unsafe` is not set.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        steps = module.parametrizations[tensor_name]
        if not unsafe:
            before = getattr(module, tensor_name)
            _check_fit(parametrization(before), before)
        steps.append(parametrization)
        return module
    if tensor_name not in module._parameters and tensor_name not in module._buffers:
        raise ValueError(
            f"{type(module).__name__} has no parameter or buffer '{tensor_name}' to "
            "parametrize"
        )
    original = getattr(module, tensor_name)
    steps = ParametrizationList([parametrization], original, unsafe)
    delattr(module, tensor_name)
    names = [tensor_name]
    kind = type(module)
    if is_parametrized(module):
        kind = type_before_parametrizations(module)
        names += list(module.parametrizations)
    else:
        module.parametrizations = ModuleDict()
    module.__class__ = _parametrized(kind, names)
    module.parametrizations[tensor_name] = steps
    return module


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Make a computed weight a plain one again: as it is, or as its original is.

    Raises ValueError if it is not computed, or if it is made of several tensors and
    `leave_parametrized` is False.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(
            f"{type(module).__name__} has no parametrization of '{tensor_name}'"
        )
    steps = module.parametrizations[tensor_name]
    if not leave_parametrized and not steps.is_tensor:
        raise ValueError(
            f"'{tensor_name}' is computed from {steps.ntensors} tensors, so that "
            "leave_parametrized must be True"
        )
    first = getattr(steps, steps._names()[0])
    value = steps().detach() if leave_parametrized else first.detach()
    kind = type_before_parametrizations(module)
    del module.parametrizations[tensor_name]
    names = list(module.parametrizations)
    if names:
        module.__class__ = _parametrized(kind, names)
    else:
        del module.parametrizations
        module.__class__ = kind
    if isinstance(first, Parameter):
        module.register_parameter(tensor_name, Parameter(value, first.requires_grad))
    else:
        module.register_buffer(tensor_name, value)
    return module
