"""Weight normalisation: direction and length of a weight as two parameters.

Source: Salimans & Kingma 2016, arXiv:1602.07868.
"""

from __future__ import annotations

import warnings
from typing import Any

from atrous.nn.modules.module import Module
from atrous.nn.parameter import Parameter
from atrous.ops import vector_norms
from atrous.tensor import Tensor


def length(v: Tensor, dim: int) -> Tensor:
    """The norm of `v` for each index of axis `dim`; -1 is the norm of the whole."""
    if dim == -1:
        return vector_norms.norm(v)
    axes = [axis for axis in range(v.dim()) if axis != dim % v.dim()]
    return vector_norms.norm(v, 2, axes, keepdim=True) if axes else v.abs()


def joined(v: Tensor, g: Tensor, dim: int) -> Tensor:
    """The weight of direction `v` and length `g`."""
    return v * (g / length(v, dim))


class WeightNorm:
    """The hook that computes the weight before each call."""

    def __init__(self, name: str, dim: int):
        self.name = name
        self.dim = dim

    def compute_weight(self, module: Module) -> Any:
        """The weight, from `name_g` and `name_v`."""
        g = getattr(module, self.name + "_g")
        return joined(getattr(module, self.name + "_v"), g, self.dim)

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module))


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Replace parameter `name` by its length `name_g` and its direction `name_v`.

    One length for each index of axis `dim`; None: one length.
    """
    warnings.warn(
        "`torch.nn.utils.weight_norm` is deprecated in favor of "
        "`torch.nn.utils.parametrizations.weight_norm`.",
        FutureWarning,
        stacklevel=2,
    )
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, WeightNorm) and hook.name == name:
            raise RuntimeError(
                f"weight_norm: parameter '{name}' of {type(module).__name__} has a "
                "weight norm already"
            )
    hook = WeightNorm(name, -1 if dim is None else dim)
    weight = getattr(module, name)
    del module._parameters[name]
    module.register_parameter(
        name + "_g", Parameter(length(weight.detach(), hook.dim).clone())
    )
    module.register_parameter(name + "_v", Parameter(weight.detach()))
    setattr(module, name, hook.compute_weight(module))
    module.register_forward_pre_hook(hook)
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Make parameter `name` a plain one again. Raises ValueError if it is one."""
    for number, hook in module._forward_pre_hooks.items():
        if isinstance(hook, WeightNorm) and hook.name == name:
            weight = hook.compute_weight(module)
            delattr(module, name)
            del module._parameters[name + "_g"], module._parameters[name + "_v"]
            setattr(module, name, Parameter(weight.detach()))
            del module._forward_pre_hooks[number]
            return module
    raise ValueError(f"weight_norm of '{name}' not found in {module!r}")
