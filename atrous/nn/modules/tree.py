"""The tree of a network: what a Module owns, and how it is walked.

Assigning a Parameter, a Buffer or a Module to an attribute registers it; everything
that walks a network (optimisers, state dicts, `apply`) starts from these registries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from atrous.nn.parameter import Buffer, Parameter
from atrous.tensor import Tensor

REGISTRIES = ("_parameters", "_buffers", "_modules")


def kind(value: object) -> str:
    """The full name of a value's type, for messages."""
    return f"{type(value).__module__}.{type(value).__qualname__}"


class Tree:
    """Registries for parameters, buffers and children, and the walks over them."""

    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Any]
    _non_persistent_buffers_set: set[str]

    def _start_registries(self) -> None:
        start = super().__setattr__
        for registry in REGISTRIES:
            start(registry, {})
        start("_non_persistent_buffers_set", set())

    # Attributes

    def __getattr__(self, name: str) -> Any:
        attributes = self.__dict__
        for registry in REGISTRIES:
            entries = attributes.get(registry)
            if entries is not None and name in entries:
                return entries[name]
        raise AttributeError(
            f"'{type(self).__name__}' object has no attribute '{name}'",
            name=name,
            obj=self,
        )

    def __setattr__(self, name: str, value: Any) -> None:
        registered = self.__dict__
        if isinstance(value, Parameter):
            self._make_room(name, "_parameters")
            self.register_parameter(name, value)
        elif name in registered.get("_parameters", ()):
            self._replace("_parameters", name, value)
        elif isinstance(value, Tree):
            self._make_room(name, "_modules")
            self._modules[name] = value
        elif name in registered.get("_modules", ()):
            self._replace("_modules", name, value)
        elif isinstance(value, Buffer):
            self._make_room(name, "_buffers")
            tensor: Any = value
            self.register_buffer(name, tensor, value.persistent)
        elif name in registered.get("_buffers", ()):
            self._replace("_buffers", name, value)
        else:
            super().__setattr__(name, value)

    def _make_room(self, name: str, registry: str) -> None:
        """Forget what `name` was, so that it is found in one registry only."""
        if registry not in self.__dict__:
            raise AttributeError(
                f"cannot assign {registry[1:]} before {type(self).__name__} has "
                "called super().__init__()"
            )
        self.__dict__.pop(name, None)
        for other in REGISTRIES:
            if other != registry:
                self.__dict__[other].pop(name, None)
        if registry != "_buffers":
            self._non_persistent_buffers_set.discard(name)

    def _replace(self, registry: str, name: str, value: Any) -> None:
        """Assign what is not a Parameter, Module or Buffer to a registered name."""
        fits = value is None or (registry == "_buffers" and isinstance(value, Tensor))
        if not fits:
            what, wanted = {
                "_parameters": ("parameter", "Parameter or None"),
                "_modules": ("child module", "Module or None"),
                "_buffers": ("buffer", "Buffer, Tensor or None"),
            }[registry]
            raise TypeError(
                f"cannot assign {kind(value)} as {what} '{name}' of "
                f"{type(self).__name__} ({wanted} expected)"
            )
        self.__dict__[registry][name] = value

    def __delattr__(self, name: str) -> None:
        for registry in REGISTRIES:
            if name in self.__dict__.get(registry, ()):
                del self.__dict__[registry][name]
                self._non_persistent_buffers_set.discard(name)
                return
        super().__delattr__(name)

    def __dir__(self) -> list[str]:
        names = {*dir(type(self)), *self.__dict__}
        for registry in REGISTRIES:
            names.update(self.__dict__.get(registry, ()))
        return sorted(name for name in names if not name[0].isdigit())

    # Registration

    def _check_name(self, name: object, registry: str, what: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{what} name should be a string, got {kind(name)}")
        if "." in name:
            raise KeyError(f"{what} name can't contain '.', got '{name}'")
        if name == "":
            raise KeyError(f"{what} name can't be an empty string")
        if hasattr(self, name) and name not in self.__dict__[registry]:
            raise KeyError(f"{type(self).__name__} already has attribute '{name}'")

    def register_buffer(
        self, name: str, tensor: Tensor | None, persistent: bool = True
    ) -> None:
        """Register state that is no weight: BatchNorm's running mean, a mask.

        It follows `to()` and, when `persistent`, is in `state_dict()`.
        """
        if "_buffers" not in self.__dict__:
            raise AttributeError(
                f"cannot assign buffers before {type(self).__name__} has called "
                "super().__init__()"
            )
        self._check_name(name, "_buffers", "buffer")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign {kind(tensor)} as buffer '{name}' (Tensor or None "
                "expected)"
            )
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Register a weight under `name`; None keeps the name without a value."""
        if "_parameters" not in self.__dict__:
            raise AttributeError(
                f"cannot assign parameters before {type(self).__name__} has called "
                "super().__init__()"
            )
        self._check_name(name, "_parameters", "parameter")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign {kind(param)} as parameter '{name}' (Parameter or "
                "None expected)"
            )
        if param is not None and param.grad_fn is not None:
            raise ValueError(
                f"parameter '{name}' was computed from other tensors "
                f"({type(param.grad_fn).__name__}); a weight must be a leaf. To "
                "express one weight by another, compute it in forward()"
            )
        self._parameters[name] = param

    def add_module(self, name: str, module: Any) -> None:
        """Add a child under `name`; then `self.name` is the child."""
        if module is not None and not isinstance(module, Tree):
            raise TypeError(f"{kind(module)} is not a Module subclass")
        self._check_name(name, "_modules", "module")
        self._modules[name] = module

    def register_module(self, name: str, module: Any) -> None:
        """Alias of `add_module`."""
        self.add_module(name, module)

    # Look-up by path

    def get_submodule(self, target: str) -> Any:
        """The descendant at a dotted path; "" is the module itself."""
        module = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise AttributeError(
                    f"{type(module).__name__} has no attribute '{name}' (looking for "
                    f"'{target}' in {type(self).__name__})"
                )
            module = getattr(module, name)
            if not isinstance(module, Tree):
                raise AttributeError(
                    f"'{name}' of '{target}' is {kind(module)}, not a Module"
                )
        return module

    def set_submodule(self, target: str, module: Any, strict: bool = False) -> None:
        """Replace the descendant at a dotted path, or add one unless `strict`."""
        if target == "":
            raise ValueError("set_submodule: the path of a submodule can't be empty")
        if not isinstance(module, Tree):
            raise ValueError(f"set_submodule: {kind(module)} is not a Module")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{type(parent).__name__} has no attribute '{name}'")
        if hasattr(parent, name) and not isinstance(getattr(parent, name), Tree):
            raise AttributeError(
                f"'{name}' of '{target}' is {kind(getattr(parent, name))}, not a Module"
            )
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path."""
        return self._get_registered(target, "_parameters", "Parameter")

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path."""
        return self._get_registered(target, "_buffers", "buffer")

    def _get_registered(self, target: str, registry: str, what: str) -> Any:
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        if not hasattr(owner, name):
            raise AttributeError(f"{type(owner).__name__} has no attribute '{name}'")
        if name not in owner.__dict__[registry]:
            raise AttributeError(f"'{target}' is not a {what}")
        return getattr(owner, name)

    # Walks

    def named_modules(
        self,
        memo: set | None = None,
        prefix: str = "",
        remove_duplicate: bool = True,
    ) -> Iterator[tuple[str, Any]]:
        """(path, module) for this module and all below it, parents first.

        A module that occurs twice comes once, unless `remove_duplicate` is False.
        """
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield from module.named_modules(memo, path, remove_duplicate)

    def modules(self) -> Iterator[Any]:
        """This module and all below it, each once."""
        for _, module in self.named_modules():
            yield module

    def named_children(self) -> Iterator[tuple[str, Any]]:
        """(name, module) for the direct children, each once."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Any]:
        """The direct children, each once."""
        for _, module in self.named_children():
            yield module

    def _named_members(
        self,
        get_members_fn: Callable,
        prefix: str = "",
        recurse: bool = True,
        remove_duplicate: bool = True,
    ) -> Iterator[tuple[str, Any]]:
        seen = set()
        owners = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        for path, owner in owners:
            for name, value in get_members_fn(owner):
                if value is None or value in seen:
                    continue
                if remove_duplicate:
                    seen.add(value)
                yield f"{path}.{name}" if path else name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """(path, parameter) for every weight, each once."""
        yield from self._named_members(
            lambda module: module._parameters.items(), prefix, recurse, remove_duplicate
        )

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Every weight, each once: what an optimiser takes."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """(path, buffer) for every buffer, each once."""
        yield from self._named_members(
            lambda module: module._buffers.items(), prefix, recurse, remove_duplicate
        )

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Every buffer, each once."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer
