"""Clipping gradients: by their norm taken together, or each value by itself."""

from __future__ import annotations

from collections.abc import Iterable

from atrous import autograd
from atrous.ops import data, join, vector_norms
from atrous.tensor import Tensor

Tensors = Tensor | Iterable[Tensor]


def _listed(tensors: Tensors) -> list[Tensor]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _gradients(parameters: Tensors) -> list[Tensor]:
    return [p.grad for p in _listed(parameters) if p.grad is not None]


@autograd.no_grad()
def get_total_norm(
    tensors: Tensors,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all values of all tensors, as if they were one vector.

    Raises RuntimeError if it is not finite and `error_if_nonfinite` is set.
    """
    norm_type = float(norm_type)
    norms = [vector_norms.norm(tensor, norm_type) for tensor in _listed(tensors)]
    if not norms:
        return data.tensor(0.0)
    total = vector_norms.norm(join.stack(norms), norm_type)
    if error_if_nonfinite and not total.isfinite():
        raise RuntimeError(
            f"the total norm of order {norm_type} is {total.item()}, and cannot be "
            "clipped to; error_if_nonfinite=False scales by it all the same"
        )
    return total


@autograd.no_grad()
def clip_grads_with_norm_(
    parameters: Tensors,
    max_norm: float,
    total_norm: Tensor,
    foreach: bool | None = None,
) -> None:
    """Shrink the gradients by max_norm / total_norm, where that is below 1."""
    share = (float(max_norm) / (total_norm + 1e-6)).clamp(max=1.0)
    for gradient in _gradients(parameters):
        gradient.mul_(share.to(gradient.dtype))


def clip_grad_norm_(
    parameters: Tensors,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Shrink the gradients so that their norm, taken together, is at most `max_norm`.

    Returns the norm before. Raises RuntimeError if it is not finite and
    `error_if_nonfinite` is set.
    """
    parameters = _listed(parameters)
    total = get_total_norm(_gradients(parameters), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(parameters, max_norm, total)
    return total


@autograd.no_grad()
def clip_grad_value_(
    parameters: Tensors, clip_value: float, foreach: bool | None = None
) -> None:
    """Hold every value of the gradients between -clip_value and clip_value."""
    bound = float(clip_value)
    for gradient in _gradients(parameters):
        gradient.clamp_(min=-bound, max=bound)
