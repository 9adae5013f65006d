"""State dicts: what a network remembers, and how it takes it back."""

from __future__ import annotations

import warnings
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Mapping
from typing import Any

from atrous import autograd
from atrous.nn.modules.hooks import RemovableHandle, _register
from atrous.nn.modules.tree import Tree, kind
from atrous.nn.parameter import Parameter
from atrous.tensor import Tensor

EXTRA_STATE = "_extra_state"


class _IncompatibleKeys(
    namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])
):
    """What `load_state_dict` found too little and too much."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()

    __str__ = __repr__


class State(Tree):
    """`state_dict()` and `load_state_dict()`, with their hooks."""

    # The version of a subclass's state layout; it is kept in `_metadata`.
    _version: int = 1

    _state_dict_hooks: OrderedDict[int, Any]
    _state_dict_pre_hooks: OrderedDict[int, Callable]
    _load_state_dict_pre_hooks: OrderedDict[int, tuple[Callable, bool]]
    _load_state_dict_post_hooks: OrderedDict[int, Callable]

    def _start_state_hooks(self) -> None:
        for name in (
            "_state_dict_hooks",
            "_state_dict_pre_hooks",
            "_load_state_dict_pre_hooks",
            "_load_state_dict_post_hooks",
        ):
            object.__setattr__(self, name, OrderedDict())

    # Hooks

    def register_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(module, prefix, keep_vars)` before `state_dict` collects."""
        return _register(self._state_dict_pre_hooks, hook, prepend=False)

    def register_state_dict_post_hook(self, hook: Any) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata)` after collecting."""
        hook._from_public_api = True
        return _register(self._state_dict_hooks, hook, prepend=False)

    def _register_state_dict_hook(self, hook: Callable) -> RemovableHandle:
        """As the post hook, but what it returns may replace the state dict."""
        return _register(self._state_dict_hooks, hook, prepend=False)

    def register_load_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata, strict, missing_keys,
        unexpected_keys, error_msgs)` before the module takes its values."""
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def _register_load_state_dict_pre_hook(
        self, hook: Callable, with_module: bool = False
    ) -> RemovableHandle:
        entry = (hook, with_module)
        return _register(self._load_state_dict_pre_hooks, entry, prepend=False)

    def register_load_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(module, incompatible_keys)` after loading; it may edit them."""
        return _register(self._load_state_dict_post_hooks, hook, prepend=False)

    # Collecting

    def get_extra_state(self) -> Any:
        """State beyond parameters and buffers; a subclass may define it."""
        raise RuntimeError(
            "get_extra_state has no default: define it beside set_extra_state"
        )

    def set_extra_state(self, state: Any) -> None:
        """Take back what `get_extra_state` gave."""
        raise RuntimeError(
            "set_extra_state has no default: define it beside get_extra_state"
        )

    def _has_own(self, method: str) -> bool:
        return getattr(type(self), method) is not getattr(State, method)

    def _save_to_state_dict(
        self, destination: dict, prefix: str, keep_vars: bool
    ) -> None:
        """Put this module's own values, not its children's, into `destination`."""
        for name, value in self._own_state().items():
            if value is not None:
                destination[prefix + name] = value if keep_vars else value.detach()
        if self._has_own("get_extra_state"):
            destination[prefix + EXTRA_STATE] = self.get_extra_state()

    def _own_state(self) -> dict[str, Tensor | None]:
        """Parameters and persistent buffers by name."""
        hidden = self._non_persistent_buffers_set
        own: dict[str, Tensor | None] = dict(self._parameters)
        own.update((n, b) for n, b in self._buffers.items() if n not in hidden)
        return own

    def state_dict(
        self,
        *args: Any,
        destination: Any = None,
        prefix: str = "",
        keep_vars: bool = False,
    ) -> Any:
        """Every parameter and persistent buffer by its path, as an ordered dict.

        The tensors share memory with the module's. `keep_vars` keeps the Parameters
        themselves; otherwise the tensors are detached.
        """
        if args:
            warnings.warn(
                "state_dict: positional arguments are deprecated, name them: "
                "destination=, prefix=, keep_vars=",
                FutureWarning,
                stacklevel=2,
            )
            given = dict(
                zip(("destination", "prefix", "keep_vars"), args, strict=False)
            )
            destination = given["destination"] if destination is None else destination
            prefix = given.get("prefix", "") if prefix == "" else prefix
            keep_vars = keep_vars or given.get("keep_vars", False)
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        local_metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = local_metadata
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(
                    destination=destination,
                    prefix=f"{prefix}{name}.",
                    keep_vars=keep_vars,
                )
        for hook in self._state_dict_hooks.values():
            changed = hook(self, destination, prefix, local_metadata)
            if changed is None:
                continue
            if getattr(hook, "_from_public_api", False):
                raise RuntimeError("a state_dict post-hook must return None")
            destination = changed
        return destination

    # Loading

    def _load_from_state_dict(
        self,
        state_dict: dict,
        prefix: str,
        local_metadata: dict,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Take this module's own values, not its children's, from `state_dict`.

        What does not fit is appended to the lists; nothing is raised here, so that
        `load_state_dict` can report all offenders at once.
        """
        for hook, with_module in self._load_state_dict_pre_hooks.values():
            leading = (self,) if with_module else ()
            hook(
                *leading,
                state_dict,
                prefix,
                local_metadata,
                strict,
                missing_keys,
                unexpected_keys,
                error_msgs,
            )
        assign = local_metadata.get("assign_to_params_buffers", False)
        for name, own in self._own_state().items():
            key = prefix + name
            if own is None:
                continue
            if key in state_dict:
                problem = self._take(name, own, key, state_dict[key], assign)
                if problem:
                    error_msgs.append(problem)
            elif strict:
                missing_keys.append(key)
        self._load_extra_state(state_dict, prefix, strict, missing_keys)
        if strict:
            self._find_unexpected(state_dict, prefix, unexpected_keys)

    def _take(
        self, name: str, own: Tensor, key: str, given: Any, assign: bool
    ) -> str | None:
        """Take one value over; returns what is wrong with it, if anything."""
        if not isinstance(given, Tensor):
            return f"{key}: expected a Tensor, the state dict has {kind(given)}"
        if own.dim() == 0 and given.dim() == 1 and given.numel() == 1:
            given = given[0]  # scalars were once kept with one axis
        if given.shape != own.shape:
            return (
                f"size mismatch for {key}: the state dict has "
                f"{tuple(given.shape)}, the model {tuple(own.shape)}"
            )
        try:
            with autograd.no_grad():
                if not assign:
                    own.copy_(given)
                    return None
                if isinstance(own, Parameter):
                    if not isinstance(given, Parameter):
                        given = Parameter(given, requires_grad=own.requires_grad)
                    else:
                        given.requires_grad_(own.requires_grad)
                setattr(self, name, given)
                return None
        except Exception as error:
            return (
                f"{key}: {tuple(given.shape)} of the state dict could not be copied "
                f"into {tuple(own.shape)} of the model: {error}"
            )

    def _load_extra_state(
        self, state_dict: dict, prefix: str, strict: bool, missing_keys: list[str]
    ) -> None:
        key = prefix + EXTRA_STATE
        if self._has_own("set_extra_state"):
            if key in state_dict:
                self.set_extra_state(state_dict[key])
            elif strict:
                missing_keys.append(key)

    def _find_unexpected(
        self, state_dict: dict, prefix: str, unexpected_keys: list[str]
    ) -> None:
        known = {*self._own_state()}
        if self._has_own("set_extra_state"):
            known.add(EXTRA_STATE)
        for key in state_dict:
            if key.startswith(prefix):
                name, dot, _ = key[len(prefix) :].partition(".")
                if name not in (self._modules if dot else known):
                    unexpected_keys.append(key)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> _IncompatibleKeys:
        """Copy the values of `state_dict` into parameters and buffers.

        `strict` asks that the keys match exactly. `assign` takes the given tensors
        themselves, with their dtype, instead of copying. Returns the missing and the
        unexpected keys.

        Raises TypeError if it is no mapping, and one RuntimeError that lists every
        missing key, unexpected key and shape that does not fit.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(
                f"load_state_dict: expected a dict of tensors, got {kind(state_dict)}"
            )
        missing_keys: list[str] = []
        unexpected_keys: list[str] = []
        error_msgs: list[str] = []
        metadata = getattr(state_dict, "_metadata", None)
        state: Any = OrderedDict(state_dict)
        if metadata is not None:
            state._metadata = metadata

        def load(module: Any, local_state: dict, prefix: str = "") -> None:
            local_metadata = dict((metadata or {}).get(prefix[:-1], {}))
            if assign:
                local_metadata["assign_to_params_buffers"] = True
            module._load_from_state_dict(
                local_state,
                prefix,
                local_metadata,
                True,
                missing_keys,
                unexpected_keys,
                error_msgs,
            )
            for name, child in module._modules.items():
                if child is not None:
                    path = f"{prefix}{name}."
                    below = {k: v for k, v in local_state.items() if k.startswith(path)}
                    load(child, below, path)
            keys = _IncompatibleKeys(missing_keys, unexpected_keys)
            for hook in module._load_state_dict_post_hooks.values():
                if hook(module, keys) is not None:
                    raise AssertionError(
                        "a load_state_dict post-hook must return None: edit the keys "
                        "in place"
                    )

        load(self, state)
        if strict:
            error_msgs[:0] = _listed("unexpected in the state dict", unexpected_keys)
            error_msgs[:0] = _listed("missing from the state dict", missing_keys)
        if error_msgs:
            raise RuntimeError(
                f"load_state_dict: the state dict does not fit {type(self).__name__}:"
                + "".join(f"\n  {message}" for message in error_msgs)
            )
        return _IncompatibleKeys(missing_keys, unexpected_keys)


def _listed(what: str, keys: list[str]) -> list[str]:
    return [f"{what} ({len(keys)}): " + ", ".join(keys)] if keys else []
