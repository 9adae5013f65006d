"""Optimizer: parameter groups, state, state dicts and hooks; subclasses do the step."""

from __future__ import annotations

import copy
import functools
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from atrous import autograd
from atrous.autograd.graph import Handle
from atrous.ops import data, optimise
from atrous.tensor import Tensor


class _Required:
    """Stands for an option that every group must give."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


def _between_hooks(step: Callable) -> Callable:
    """`step` with the optimiser's hooks around it, once however the calls nest."""

    @functools.wraps(step)
    def hooked(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        if self._stepping:
            return step(self, *args, **kwargs)
        self._stepping = True
        try:
            for hook in tuple(self._optimizer_step_pre_hooks.values()):
                changed = hook(self, args, kwargs)
                if changed is not None:
                    args, kwargs = _arguments(changed)
            result = step(self, *args, **kwargs)
            self._opt_called = True
            for hook in tuple(self._optimizer_step_post_hooks.values()):
                hook(self, args, kwargs)
            return result
        finally:
            self._stepping = False

    return hooked


def _arguments(changed: Any) -> tuple[tuple, dict]:
    if isinstance(changed, tuple) and len(changed) == 2:
        return changed
    raise RuntimeError(
        f"a step pre-hook must return None or a tuple (args, kwargs), got {changed!r}"
    )


class Optimizer:
    """The base of every optimiser.

    params: the Parameters to optimise, (name, Parameter) pairs, or dicts: groups with a
        "params" entry and options of their own
    defaults: the options of groups that do not give them

    `state[parameter]` is what the optimiser remembers of a parameter. A subclass
    defines `_update(group)`, or `step` itself.

    Raises TypeError for what is no Tensor, ValueError for an empty list, a tensor that
    is no leaf, or a parameter in two groups.
    """

    param_groups: list[dict[str, Any]]
    state: defaultdict[Tensor, dict[str, Any]]
    _optimizer_step_pre_hooks: OrderedDict[int, Callable]
    _optimizer_step_post_hooks: OrderedDict[int, Callable]
    _optimizer_state_dict_pre_hooks: OrderedDict[int, Callable]
    _optimizer_state_dict_post_hooks: OrderedDict[int, Callable]
    _optimizer_load_state_dict_pre_hooks: OrderedDict[int, Callable]
    _optimizer_load_state_dict_post_hooks: OrderedDict[int, Callable]
    _stepping = False
    _opt_called = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in cls.__dict__:
            cls.step = _between_hooks(cls.step)  # type: ignore[method-assign]

    def __init__(self, params: Iterable, defaults: dict[str, Any]):
        self.defaults = defaults
        self._start_hooks()
        if isinstance(params, Tensor):
            raise TypeError(
                f"{type(self).__name__}: params should be an iterable of Tensors or "
                f"dicts, got one Tensor {tuple(params.shape)}: write [tensor]"
            )
        self.state = defaultdict(dict)
        self.param_groups = []
        groups = list(params)
        if not groups:
            raise ValueError(f"{type(self).__name__}: got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(dict(group) if isinstance(group, dict) else group)

    def _start_hooks(self) -> None:
        for name in (
            "_optimizer_step_pre_hooks",
            "_optimizer_step_post_hooks",
            "_optimizer_state_dict_pre_hooks",
            "_optimizer_state_dict_post_hooks",
            "_optimizer_load_state_dict_pre_hooks",
            "_optimizer_load_state_dict_post_hooks",
        ):
            setattr(self, name, OrderedDict())

    def __getstate__(self) -> dict[str, Any]:
        return {
            "defaults": self.defaults,
            "state": self.state,
            "param_groups": self.param_groups,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if "_optimizer_step_pre_hooks" not in self.__dict__:
            self._start_hooks()
        for group in self.param_groups:
            for name, default in self.defaults.items():
                group.setdefault(name, default)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for place, group in enumerate(self.param_groups):
            lines += [""] * (place > 0) + [f"Parameter Group {place}"]
            lines += [f"    {name}: {group[name]}" for name in sorted(group)
                      if name != "params"]  # fmt: skip
        return "\n".join([*lines, ")"])

    # Groups

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add Parameters, perhaps with options of their own: for layers unfrozen later.

        param_group: a dict with "params", and options that differ from the defaults.
        """
        name = type(self).__name__
        if not isinstance(param_group, dict):
            raise TypeError(
                f"{name}: a parameter group must be a dict, got {type(param_group)}"
            )
        params = param_group["params"]
        if isinstance(params, Tensor):
            params = [params]
        elif isinstance(params, set):
            raise TypeError(
                f"{name}: parameters need a fixed order, and a set has none: use a list"
            )
        params = list(params)
        named = [isinstance(entry, tuple) for entry in params]
        if any(named):
            if not all(named):
                raise ValueError(
                    f"{name}: give names for all parameters of a group, or for none; "
                    f"parameter {named.index(False)} has no name"
                )
            param_group["param_names"] = [entry[0] for entry in params]
            params = [entry[1] for entry in params]
        param_group["params"] = params
        self._check_params(params)
        for option, default in self.defaults.items():
            if default is required and option not in param_group:
                raise ValueError(f"{name}: the group gives no value for '{option}'")
            param_group.setdefault(option, default)
        known = {
            id(parameter)
            for group in self.param_groups
            for parameter in group["params"]
        }
        twice = [place for place, p in enumerate(params) if id(p) in known]
        if twice:
            raise ValueError(
                f"{name}: some parameters appear in more than one parameter group: "
                f"{', '.join(_described(params[place], place) for place in twice)}"
            )
        named = ["param_names" in group for group in (*self.param_groups, param_group)]
        if any(named) and not all(named):
            raise ValueError(
                f"{name}: give names for the parameters of all groups, or of none"
            )
        self.param_groups.append(param_group)

    def _check_params(self, params: list) -> None:
        name = type(self).__name__
        for place, parameter in enumerate(params):
            if not isinstance(parameter, Tensor):
                raise TypeError(
                    f"{name} optimises Tensors, parameter {place} is "
                    f"{type(parameter).__name__}"
                )
            if not (parameter.is_leaf or parameter.retains_grad):
                raise ValueError(
                    f"{name}: can't optimize a non-leaf Tensor: "
                    f"{_described(parameter, place)} was computed by "
                    f"{type(parameter.grad_fn).__name__}"
                )
        if len({id(parameter) for parameter in params}) != len(params):
            warnings.warn(
                f"{name}: a parameter group contains duplicate parameters; in a future "
                "release this will be an error",
                stacklevel=4,
            )

    # The step

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget every gradient, or fill it with zeros."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if set_to_none:
                    parameter.grad = None
                else:
                    parameter.grad = parameter.grad.detach().zero_()

    @_between_hooks
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change every parameter that has a gradient; returns what `closure` returns.

        `closure` computes the loss anew, gradients included, before the step.
        """
        loss = None
        if closure is not None:
            with autograd.enable_grad():
                loss = closure()
        with autograd.no_grad():
            for group in self.param_groups:
                with optimise.together():
                    self._update(group)
        return loss

    def _update(self, group: dict[str, Any]) -> None:
        raise NotImplementedError(
            f"{type(self).__name__} defines neither step nor _update"
        )

    def _each(self, group: dict[str, Any]) -> Iterable[tuple[Tensor, Tensor]]:
        """(parameter, gradient) where there is a gradient."""
        for parameter in group["params"]:
            gradient = parameter.grad
            if gradient is not None:
                yield parameter, gradient

    # State dicts

    def state_dict(self) -> dict[str, Any]:
        """{"state": {number: state}, "param_groups": [options, "params": numbers]}.

        Parameters are numbered in the order in which the groups hold them.
        """
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for parameter in group["params"]:
                numbers.setdefault(id(parameter), len(numbers))
            packed = {k: v for k, v in group.items() if k != "params"}
            packed["params"] = [numbers[id(p)] for p in group["params"]]
            groups.append(packed)
        state = {
            numbers[id(key)] if isinstance(key, Tensor) else key: value
            for key, value in self.state.items()
        }
        result: dict[str, Any] = {"state": state, "param_groups": groups}
        for hook in self._optimizer_state_dict_post_hooks.values():
            changed = hook(self, result)
            result = result if changed is None else changed
        return result

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take options and state from what `state_dict` gave.

        State tensors take the dtype of their parameter, except step counts.

        Raises ValueError if the groups do not have the same number of parameters.
        """
        state_dict = dict(state_dict)
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            changed = hook(self, state_dict)
            state_dict = state_dict if changed is None else changed
        saved = copy.deepcopy(state_dict["param_groups"])
        self._check_groups(saved)
        parameters: dict[Any, Tensor] = {}
        for group, old in zip(self.param_groups, saved, strict=True):
            parameters.update(zip(old["params"], group["params"], strict=True))
            names = group.get("param_names")
            group_params = group["params"]
            group.clear()
            group.update(old, params=group_params)
            if names is not None:
                group.setdefault("param_names", names)
        state: defaultdict[Any, dict] = defaultdict(dict)
        for key, value in state_dict["state"].items():
            if key in parameters:
                parameter = parameters[key]
                state[parameter] = _taken_over(parameter, value)
            else:
                state[key] = value
        self.__setstate__({"state": state, "param_groups": self.param_groups})
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)

    def _check_groups(self, saved: list[dict[str, Any]]) -> None:
        name = type(self).__name__
        sizes = [len(group["params"]) for group in self.param_groups]
        given = [len(group["params"]) for group in saved]
        if len(sizes) != len(given):
            raise ValueError(
                f"{name}: the state dict has {len(given)} parameter groups, the "
                f"optimizer {len(sizes)}"
            )
        if sizes != given:
            raise ValueError(
                f"{name}: the state dict's parameter groups have {given} parameters, "
                f"the optimizer's {sizes}"
            )

    # Hooks

    def register_step_pre_hook(self, hook: Callable) -> Handle:
        """Call `hook(optimizer, args, kwargs)` before each step."""
        return _register(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable) -> Handle:
        """Call `hook(optimizer, args, kwargs)` after each step."""
        return _register(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(
        self, hook: Callable, prepend: bool = False
    ) -> Handle:
        """Call `hook(optimizer)` before `state_dict` collects."""
        return _register(self._optimizer_state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(
        self, hook: Callable, prepend: bool = False
    ) -> Handle:
        """Call `hook(optimizer, state_dict)`; what it returns replaces the dict."""
        return _register(self._optimizer_state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Callable, prepend: bool = False
    ) -> Handle:
        """Call `hook(optimizer, state_dict)`; what it returns replaces the dict."""
        return _register(self._optimizer_load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(
        self, hook: Callable, prepend: bool = False
    ) -> Handle:
        """Call `hook(optimizer)` after loading."""
        return _register(self._optimizer_load_state_dict_post_hooks, hook, prepend)


def _register(hooks: OrderedDict, hook: Callable, prepend: bool = False) -> Handle:
    handle = Handle(hooks, hook)
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle


def _described(parameter: Tensor, place: int) -> str:
    return f"parameter {place} {tuple(parameter.shape)}"


def _taken_over(parameter: Tensor, value: Any, key: str | None = None) -> Any:
    """A copy of saved state in the dtype of its parameter."""
    if isinstance(value, Tensor):
        if key == "step" or not parameter.is_floating_point():
            return value.detach().clone()
        return value.detach().to(parameter.dtype, copy=True)
    if isinstance(value, dict):
        return {k: _taken_over(parameter, v, k) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_taken_over(parameter, v) for v in value)
    return value


def count() -> Tensor:
    """A step count before the first step: a float32 scalar, as torch keeps it."""
    return data.tensor(0.0)


def at_least_zero(owner: str, **options: Any) -> None:
    """Raise ValueError, with the number, for a negative option."""
    for name, value in options.items():
        if isinstance(value, Tensor) and value.numel() != 1:
            raise ValueError(
                f"{owner}: {name} as a Tensor must have one element, got "
                f"{tuple(value.shape)}"
            )
        if not value >= 0.0:  # nan too
            raise ValueError(f"{owner}: {name} must be at least 0, got {value}")


def below_one(owner: str, **options: Any) -> None:
    """Raise ValueError, with the number, unless each option is in 0 … 1, 1 excluded."""
    for name, value in options.items():
        if not 0.0 <= value < 1.0:
            raise ValueError(f"{owner}: {name} must be in [0, 1), got {value}")


def check_forms(owner: str, differentiable: bool, capturable: bool = False) -> None:
    """Refuse the two forms of a step that a single kernel cannot take."""
    if differentiable:
        raise NotImplementedError(
            f"{owner}: differentiable=True is not offered, the step is one kernel"
        )
    if capturable:
        raise NotImplementedError(
            f"{owner}: capturable=True is for CUDA graphs, and there is no CUDA here"
        )
