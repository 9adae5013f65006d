"""Modules that hold modules, and parameters: Sequential, lists and dicts of them."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any

from atrous.nn.modules.module import Module
from atrous.nn.parameter import Parameter
from atrous.tensor import Tensor


def _place(index: Any, length: int, owner: object) -> int:
    """`index` as a place in 0 … length - 1; negative ones count from the end."""
    place = operator.index(index)
    if not -length <= place < length:
        raise IndexError(
            f"{type(owner).__name__} has {length} entries, index {place} is out of "
            "range"
        )
    return place % length


def _grouped_repr(name: str, modules: Iterable[Module]) -> str:
    """The repr of a list of modules, equal neighbours printed once: "(0-2): 3 x …"."""
    runs: list[list] = []
    for place, module in enumerate(modules):
        text = repr(module)
        if runs and runs[-1][2] == text:
            runs[-1][1] = place
        else:
            runs.append([place, place, text])
    if not runs:
        return f"{name}()"
    lines = []
    for first, last, text in runs:
        where = f"({first})" if first == last else f"({first}-{last})"
        times = "" if first == last else f"{last - first + 1} x "
        lines.append(f"{where}: {times}{text}".replace("\n", "\n  "))
    return f"{name}(\n  " + "\n  ".join(lines) + "\n)"


class _ModuleRow(Module):
    """What Sequential and ModuleList share: children under "0", "1", "2" …"""

    def _renumber(self, modules: Iterable[Module]) -> None:
        self._modules = {str(place): m for place, m in enumerate(modules)}

    def _name_at(self, index: Any) -> str:
        return next(islice(self._modules, _place(index, len(self), self), None))

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._name_at(index), module)

    def __delitem__(self, index: int | slice) -> None:
        names = list(self._modules)
        chosen = names[index] if isinstance(index, slice) else [self._name_at(index)]
        self._renumber([self._modules[name] for name in names if name not in chosen])

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name.isdigit()]

    def __getitem__(self, index: int | slice) -> Any:
        return self._modules[self._name_at(index)]

    def append(self, module: Module):
        """Add `module` at the end."""
        self.add_module(str(len(self)), module)
        return self

    def pop(self, index: int | slice = -1) -> Module:
        """Remove the module at `index` and return it."""
        module = self[index]
        del self[index]
        return module

    def insert(self, index: int, module: Module) -> Any:
        """Put `module` before the one at `index`."""
        if not isinstance(module, Module):
            raise AssertionError(
                f"{type(self).__name__}.insert: {module!r} is no Module"
            )
        modules = list(self)
        if not -len(modules) <= index <= len(modules):
            raise IndexError(
                f"{type(self).__name__} has {len(modules)} entries, index {index} is "
                "out of range"
            )
        modules.insert(index, module)
        self._renumber(modules)
        return self

    def extend(self, modules: Iterable[Module]):
        """Add several modules at the end."""
        for module in list(modules):
            self.append(module)
        return self


class Sequential(_ModuleRow):
    """Calls its modules one after another: `Sequential(a, b)(x)` is `b(a(x))`.

    Takes modules, or an OrderedDict of name to module.
    """

    def __init__(self, *args: Any):
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            for place, module in enumerate(args):
                self.add_module(str(place), module)

    def forward(self, input: Any) -> Any:
        for module in self._modules.values():
            input = module(input)
        return input

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            chosen = OrderedDict(list(self._modules.items())[index])
            return type(self)(chosen)
        return super().__getitem__(index)

    def __add__(self, other: Sequential) -> Sequential:
        _expect_sequential(other, "+")
        return Sequential(*self, *other)

    def __iadd__(self, other: Sequential) -> Sequential:
        _expect_sequential(other, "+=")
        return self.extend(other)

    def __mul__(self, other: int) -> Sequential:
        _expect_count(other)
        return Sequential(*chain.from_iterable([list(self)] * other))

    def __rmul__(self, other: int) -> Sequential:
        return self * other

    def __imul__(self, other: int) -> Sequential:
        _expect_count(other)
        modules = list(self)
        for _ in range(other - 1):
            self.extend(modules)
        return self


def _expect_sequential(other: object, sign: str) -> None:
    if not isinstance(other, Sequential):
        raise ValueError(f"Sequential {sign} takes a Sequential, got {type(other)}")


def _expect_count(other: object) -> None:
    if not isinstance(other, int):
        raise TypeError(f"Sequential * takes an int, got {type(other)}")
    if other <= 0:
        raise ValueError(f"Sequential * takes a positive int, got {other}")


class ModuleList(_ModuleRow):
    """A list whose modules are registered. It is not called; loop over it."""

    def __init__(self, modules: Iterable[Module] | None = None):
        super().__init__()
        if modules is not None:
            self += modules

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return super().__getitem__(index)

    def __iadd__(self, modules: Iterable[Module]) -> ModuleList:
        return self.extend(modules)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList(chain(self, other))

    def insert(self, index: int, module: Module) -> None:
        """Put `module` before the one at `index`, as `list.insert` does."""
        modules = list(self)
        modules.insert(index, module)
        self._renumber(modules)

    def extend(self, modules: Iterable[Module]) -> ModuleList:
        """Add several modules at the end."""
        if not isinstance(modules, Iterable):
            raise TypeError(
                f"ModuleList.extend takes an iterable, got {type(modules).__name__}"
            )
        return super().extend(modules)

    def __repr__(self) -> str:
        return _grouped_repr(self._get_name(), self)


class ModuleDict(Module):
    """A dict whose modules are registered; it keeps the order of insertion."""

    def __init__(self, modules: Mapping[str, Module] | Iterable | None = None):
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Module:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Remove everything."""
        self._modules.clear()

    def pop(self, key: str) -> Module:
        """Remove the module under `key` and return it."""
        return self._modules.pop(key)

    def keys(self):
        """The names."""
        return self._modules.keys()

    def items(self):
        """(name, module) pairs."""
        return self._modules.items()

    def values(self):
        """The modules."""
        return self._modules.values()

    def update(self, modules: Mapping[str, Module] | Iterable) -> None:
        """Take the modules of another dict, or of an iterable of pairs."""
        for key, module in _pairs(modules, "ModuleDict.update"):
            self[key] = module


def _pairs(entries: Any, caller: str) -> list[tuple[str, Any]]:
    """The (key, value) pairs of a mapping or of an iterable of pairs."""
    if not isinstance(entries, Iterable):
        raise TypeError(
            f"{caller} takes a mapping or an iterable of pairs, got "
            f"{type(entries).__name__}"
        )
    if isinstance(entries, (Mapping, ModuleDict, ParameterDict)):
        return list(entries.items())
    pairs = []
    for place, entry in enumerate(entries):
        if not isinstance(entry, Iterable):
            raise TypeError(
                f"{caller}: entry {place} should be a pair, got {type(entry).__name__}"
            )
        pair = tuple(entry)
        if len(pair) != 2:
            raise ValueError(f"{caller}: entry {place} has {len(pair)} values, not 2")
        pairs.append(pair)
    return pairs


def _as_parameter(value: Any) -> Any:
    """Tensors that are not Parameters become Parameters."""
    if isinstance(value, Tensor) and not isinstance(value, Parameter):
        return Parameter(value)
    return value


def _describe(name: str, value: Any, type_name: object) -> str:
    """One line of a ParameterList's or ParameterDict's repr."""
    if not isinstance(value, Tensor):
        return f"  ({name}): Object of type: {type(value).__name__}"
    sort = "Parameter" if isinstance(value, Parameter) else "Tensor"
    size = "x".join(map(str, value.shape))
    return f"  ({name}): {sort} containing: [{type_name} of size {size}]"


class _ParameterRows(Module):
    """What ParameterList and ParameterDict share."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(f"{type(self).__name__} should not be called.")


class ParameterList(_ParameterRows):
    """A list whose tensors are registered as Parameters."""

    def __init__(self, values: Iterable | None = None):
        super().__init__()
        self._size = 0
        if values is not None:
            self += values

    def extra_repr(self) -> str:
        return "\n".join(
            _describe(str(place), value, getattr(value, "dtype", None))
            for place, value in enumerate(self)
        )

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)([self[i] for i in range(*index.indices(len(self)))])
        return getattr(self, str(_place(index, len(self), self)))

    def __setitem__(self, index: int, value: Any) -> None:
        setattr(self, str(_place(index, len(self), self)), _as_parameter(value))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return (self[place] for place in range(len(self)))

    def __iadd__(self, values: Iterable) -> ParameterList:
        return self.extend(values)

    def append(self, value: Any) -> ParameterList:
        """Add `value` at the end."""
        self._size += 1
        self[self._size - 1] = value
        return self

    def extend(self, values: Iterable) -> ParameterList:
        """Add several values at the end."""
        if not isinstance(values, Iterable) or isinstance(values, Tensor):
            raise TypeError(
                f"ParameterList.extend takes an iterable, got {type(values).__name__}"
            )
        for value in list(values):
            self.append(value)
        return self


class ParameterDict(_ParameterRows):
    """A dict whose tensors are registered as Parameters; it keeps the order."""

    def __init__(self, parameters: Any = None):
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def extra_repr(self) -> str:
        return "\n".join(
            _describe(name, value, value.type() if isinstance(value, Tensor) else None)
            for name, value in self.items()
        )

    @staticmethod
    def _attribute(key: Any) -> str:
        if not isinstance(key, str):
            raise TypeError(f"ParameterDict keys are strings, got {type(key).__name__}")
        return key

    def __getitem__(self, key: str) -> Any:
        if key not in self._keys:
            raise KeyError(key)
        return getattr(self, self._attribute(key))

    def __setitem__(self, key: str, value: Any) -> None:
        setattr(self, self._attribute(key), _as_parameter(value))
        self._keys[key] = None

    def __delitem__(self, key: str) -> None:
        del self._keys[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __reversed__(self) -> Iterator[str]:
        return reversed(list(self._keys))

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def __or__(self, other: ParameterDict) -> ParameterDict:
        joined = self.copy()
        joined.update(other)
        return joined

    def __ror__(self, other: ParameterDict) -> ParameterDict:
        joined = ParameterDict(other)
        joined.update(self)
        return joined

    def __ior__(self, other: ParameterDict) -> ParameterDict:
        self.update(other)
        return self

    def copy(self) -> ParameterDict:
        """Another dict with the same parameters."""
        return ParameterDict(OrderedDict(self.items()))

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The value under `key`, which becomes `default` if there is none."""
        if key not in self:
            self[key] = default
        return self[key]

    def clear(self) -> None:
        """Remove everything."""
        for key in list(self._keys):
            del self[key]

    def pop(self, key: str) -> Any:
        """Remove the value under `key` and return it."""
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Remove the newest (key, value) and return it."""
        key = next(reversed(self))
        return key, self.pop(key)

    def get(self, key: str, default: Any = None) -> Any:
        """The value under `key`, or `default`."""
        try:
            return self[key]
        except KeyError:
            return default

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """A dict with `default` under each key."""
        return ParameterDict((key, default) for key in keys)

    def keys(self):
        """The names."""
        return self._keys.keys()

    def items(self) -> Iterator[tuple[str, Any]]:
        """(name, value) pairs."""
        return ((key, self[key]) for key in self._keys)

    def values(self) -> Iterator[Any]:
        """The values."""
        return (self[key] for key in self._keys)

    def update(self, parameters: Any) -> None:
        """Take the values of another dict, or of an iterable of pairs."""
        for key, value in _pairs(parameters, "ParameterDict.update"):
            self[key] = value
