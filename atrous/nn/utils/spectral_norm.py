"""Spectral normalisation by a hook, as older networks keep it in their state dicts.

Source: Miyato et al. 2018, arXiv:1802.05957.
"""

from __future__ import annotations

from typing import Any

from atrous import autograd
from atrous.nn import functional as F
from atrous.nn.modules.module import Module
from atrous.nn.parameter import Parameter
from atrous.tensor import Tensor


class SpectralNorm:
    """The hook that divides the weight by its largest singular value."""

    def __init__(self, name: str, n_power_iterations: int, dim: int, eps: float):
        if n_power_iterations <= 0:
            raise ValueError(
                "spectral_norm: n_power_iterations must be at least 1, got "
                f"{n_power_iterations}"
            )
        self.name = name
        self.n_power_iterations = n_power_iterations
        self.dim = dim
        self.eps = eps

    def _matrix(self, weight: Tensor) -> Tensor:
        return weight.movedim(self.dim, 0).flatten(1)

    def compute_weight(self, module: Module, do_power_iteration: bool) -> Tensor:
        """The weight, from `name_orig` and the vectors `name_u`, `name_v`."""
        weight = getattr(module, self.name + "_orig")
        u, v = getattr(module, self.name + "_u"), getattr(module, self.name + "_v")
        matrix = self._matrix(weight)
        if do_power_iteration:
            with autograd.no_grad():
                for _ in range(self.n_power_iterations):
                    v.copy_(F.normalize(matrix.t().mv(u), dim=0, eps=self.eps))
                    u.copy_(F.normalize(matrix.mv(v), dim=0, eps=self.eps))
                u, v = u.clone(), v.clone()
        return weight / u.dot(matrix.mv(v))

    def attach(self, module: Module) -> None:
        """Replace the weight of `module` by what it is computed from."""
        weight: Parameter = getattr(module, self.name)
        matrix = self._matrix(weight.detach())
        rows, columns = matrix.shape
        start = [matrix.new_empty(size).normal_(0, 1) for size in (rows, columns)]
        u, v = (F.normalize(vector, dim=0, eps=self.eps) for vector in start)
        del module._parameters[self.name]
        module.register_parameter(self.name + "_orig", weight)
        setattr(module, self.name, weight.detach())
        module.register_buffer(self.name + "_u", u)
        module.register_buffer(self.name + "_v", v)
        module.register_forward_pre_hook(self)

    def __call__(self, module: Module, inputs: Any) -> None:
        weight = self.compute_weight(module, do_power_iteration=module.training)
        setattr(module, self.name, weight)


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divide weight `name` by its largest singular value before each call.

    dim: the axis of the outputs; by default 1 for transposed convolutions, else 0.
    """
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, SpectralNorm) and hook.name == name:
            raise RuntimeError(
                f"spectral_norm: parameter '{name}' of {type(module).__name__} has a "
                "spectral norm already"
            )
    if dim is None:
        dim = 1 if getattr(module, "transposed", False) else 0
    SpectralNorm(name, n_power_iterations, dim, eps).attach(module)
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Make weight `name` a plain one again. Raises ValueError if it is one."""
    for number, hook in module._forward_pre_hooks.items():
        if isinstance(hook, SpectralNorm) and hook.name == name:
            with autograd.no_grad():
                weight = hook.compute_weight(module, do_power_iteration=False)
            delattr(module, name)
            for ending in ("_u", "_v", "_orig"):
                delattr(module, name + ending)
            module.register_parameter(name, Parameter(weight.detach()))
            del module._forward_pre_hooks[number]
            return module
    raise ValueError(f"spectral_norm of '{name}' not found in {module!r}")
