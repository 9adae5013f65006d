"""Softmax along an axis, its logarithm, and their gradients.

With m the largest entry and s = Σ exp(x - m) along the axis:
    softmax = exp(x - m) / s        log_softmax = x - m - log s
No entry overflows, as no exponent is positive.
"""

from __future__ import annotations

import warnings

from .. import compiler, dtypes, random
from ..autograd import is_grad_enabled, record
from ..tensor import Tensor
from .arguments import check_tensor, numpy_words
from .derivative import elementwise
from .elementwise import X, Y, Z

__all__ = ["log_softmax", "softmax"]


def _values(input: Tensor, axis: int, log: bool) -> Tensor:
    """The values of a form, not recorded."""
    array = compiler.softmax(input._array, axis, log=log, dtype=input.dtype.name)
    return Tensor._of(array, input.dtype)


def _gradient(g: Tensor, y: Tensor, axis: int, log: bool) -> Tensor:
    """The gradient for the input, in one pass, without a graph."""
    kind = y.dtype
    g = g if g.dtype is kind else g.to(kind)
    array = compiler.softmax_gradient(
        g._array, y._array, axis, log=log, dtype=kind.name
    )
    return Tensor._of(array, kind)


def _prepared(name: str, input, dim, level, kind) -> tuple[Tensor, int]:
    """The input in its dtype, and the axis. `level` is a dtype where the caller wrote
    one in third place, as torch.softmax and Tensor.softmax take it."""
    check_tensor(name, "input", input)
    if dim is None:
        warnings.warn(
            f"Implicit dimension choice for {name} has been deprecated. Change the call"
            " to include dim=X as an argument.",
            stacklevel=4,
        )
        dim = 0 if input.ndim in (0, 1, 3) else 1
    kind = level if isinstance(level, dtypes.dtype) else kind
    if kind is not None:
        input = input.to(kind)
    if not input.dtype.is_floating_point:
        raise NotImplementedError(
            f"{name}: not implemented for '{input.dtype.alias}' tensors."
        )
    return input, input._axis(dim)


@numpy_words
def softmax(input: Tensor, dim: int | None = None, _stacklevel=3, dtype=None) -> Tensor:
    """exp(input), divided by its sum along `dim`."""
    input, axis = _prepared("softmax", input, dim, _stacklevel, dtype)
    out = _values(input, axis, log=False)

    def formula(g, y):
        def gradient():
            if not is_grad_enabled():
                return _gradient(g, y, axis, log=False)
            inner = (g * y).sum(axis, True)
            form = ("mul", Y, ("sub", X, Z))
            return elementwise(
                "SoftmaxBackwardDataBackward0", form, (g, y, inner), g.dtype
            )

        return (gradient,)

    return record(out, "SoftmaxBackward0", (input,), formula, (out,))


@numpy_words
def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel=3, dtype=None
) -> Tensor:
    """The logarithm of softmax, exact where softmax would round to 0 or 1."""
    input, axis = _prepared("log_softmax", input, dim, _stacklevel, dtype)
    out = _values(input, axis, log=True)

    def formula(g, y):
        def gradient():
            if not is_grad_enabled():
                return _gradient(g, y, axis, log=True)
            form = ("sub", X, ("mul", ("exp", Y), Z))
            operands = (g, y, g.sum(axis, True))
            return elementwise(
                "LogSoftmaxBackwardDataBackward0", form, operands, g.dtype
            )

        return (gradient,)

    return record(out, "LogSoftmaxBackward0", (input,), formula, (out,))


def softmin(input: Tensor, dim: int | None = None, _stacklevel=3, dtype=None) -> Tensor:
    """softmax of -input."""
    return softmax(-input, dim, _stacklevel, dtype)


def gumbel_softmax(
    logits: Tensor,
    tau: float = 1,
    hard: bool = False,
    eps: float = 1e-10,
    dim: int = -1,
) -> Tensor:
    """A sample of the categories, softened by `tau` (Jang et al., 2017).

    `hard=True`: one-hot, with the gradient of the soft sample.
    """
    check_tensor("gumbel_softmax", "logits", logits)
    waiting = random.exponential(tuple(logits.shape), dtype=logits.dtype.name)
    noise = -Tensor._of(waiting, logits.dtype).log()
    soft = softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    chosen = soft.argmax(dim, keepdim=True)
    one_hot = (soft * 0).detach().scatter(dim, chosen, 1.0)
    return one_hot - soft.detach() + soft
