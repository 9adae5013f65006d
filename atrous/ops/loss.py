"""Losses over categories: cross entropy, negative log likelihood, multi-class margins.

For a target class t of weight w_t, with y = log softmax(x) along the classes:
    loss = -w_t · y_t        ∂loss/∂x = w_t · (exp(y) - one_hot(t))
One kernel computes the loss, another the gradient, straight from the input: neither
probabilities nor one-hot tensors are in memory, nor the losses of places where only
their sum is asked for.
"""

from __future__ import annotations

import math

import numpy as np

from .. import compiler, dtypes
from ..autograd import is_grad_enabled, link, needs_recording
from ..errors import operands as worded
from ..tensor import Tensor
from .arguments import check_tensor
from .autocast import in_float32
from .softmax import log_softmax

REDUCTIONS = ("none", "mean", "sum")


def reduction_of(name: str, reduction, size_average=None, reduce=None) -> str:
    """The reduction asked for, perhaps in the old way; ValueError if there is none."""
    if size_average is not None or reduce is not None:
        if reduce is False:
            return "none"
        return "sum" if size_average is False else "mean"
    if reduction not in REDUCTIONS:
        raise ValueError(f"{name}: {reduction!r} is not a valid value for reduction.")
    return reduction


def total(loss: Tensor, reduction: str) -> Tensor:
    """Its mean, its sum, or ("none") the loss itself."""
    if reduction == "none":
        return loss
    return loss.mean() if reduction == "mean" else loss.sum()


@in_float32
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Negative log likelihood of `target` under softmax(input) along the classes.

    (batch, classes, …) and classes (batch, …), or (classes) and one class; or targets
    of the input's shape that hold probabilities. "mean" divides by the weights summed.

    Raises IndexError for a class that is not there, RuntimeError or ValueError where
    shapes differ. Source: Szegedy et al. 2016, arXiv:1512.00567 (label smoothing).
    """
    name = "cross_entropy"
    reduction = reduction_of(name, reduction, size_average, reduce)
    check_tensor(name, "input", input)
    check_tensor(name, "target", target)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(
            f"{name}: label_smoothing must be between 0.0 and 1.0, got"
            f" {label_smoothing}."
        )
    _check_input(name, input)
    if target._array.shape == input._array.shape and target.is_floating_point():
        if ignore_index >= 0:
            raise RuntimeError(
                f"{name}: ignore_index is not supported for targets that are"
                " probabilities (floating point)."
            )
        return _of_probabilities(input, target, weight, reduction, label_smoothing)
    if label_smoothing:
        logs = log_softmax(input, 0 if input.ndim == 1 else 1)
        return _smoothed(logs, target, weight, ignore_index, reduction, label_smoothing)
    return _likelihood(
        name, input, target, weight, ignore_index, reduction, normalise=True
    )


@in_float32
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-input at the target class: `cross_entropy` of logarithms of probabilities."""
    reduction = reduction_of("nll_loss", reduction, size_average, reduce)
    check_tensor("nll_loss", "input", input)
    check_tensor("nll_loss", "target", target)
    _check_input("nll_loss", input)
    return _likelihood(
        "nll_loss", input, target, weight, ignore_index, reduction, normalise=False
    )


def _check_input(name: str, input: Tensor) -> None:
    if not input.dtype.is_floating_point:
        raise NotImplementedError(
            f"{name}: not implemented for '{input.dtype.alias}' inputs."
        )
    if not input._array.shape:
        raise RuntimeError(f"{name}: the input needs an axis for the classes.")


#: The dtypes of classes.
_CLASSES = (dtypes.int64, dtypes.uint8)


def _check_target(name: str, input: Tensor, target: Tensor, weight) -> None:
    """Do batch and positions of the target match, and has each class a weight?"""
    shape = input._array.shape
    if target._array.shape == (shape[0], *shape[2:]) and target.dtype in _CLASSES:
        if weight is not None:
            _check_weight(name, input, weight)
        return
    shapes = {
        "input": (input.shape, "batch, classes, …"),
        "target": (target.shape, "batch, …"),
    }
    if target.dtype not in _CLASSES:
        raise RuntimeError(
            f"{name}: expected target dtype to be Long or Byte, but got"
            f" {target.dtype.alias} (classes), or the input's shape (probabilities)."
        )
    expected = (input.shape[0], *input.shape[2:])
    if target.ndim and target.shape[0] != input.shape[0] and input.ndim > 1:
        raise ValueError(
            worded(
                f"{name}: Expected input batch_size ({input.shape[0]}) to match target"
                f" batch_size ({target.shape[0]}).",
                **shapes,
            )
        )
    if input.ndim == 2:
        raise RuntimeError(
            worded(
                f"{name}: 0D or 1D target tensor expected, multi-target not supported.",
                **shapes,
            )
        )
    raise RuntimeError(
        worded(
            f"{name}: Expected target size {list(expected)}, got {list(target.shape)}.",
            **shapes,
        )
    )


def _check_weight(name: str, input: Tensor, weight) -> None:
    check_tensor(name, "weight", weight)
    if weight._array.shape != (input.shape[1],):
        raise RuntimeError(
            f"{name}: weight tensor should be defined either for all {input.shape[1]}"
            f" classes or no classes but got weight tensor of shape:"
            f" {list(weight.shape)}"
        )
    if weight.dtype is not input.dtype:
        raise RuntimeError(
            f"{name}: expected scalar type {input.dtype.alias} but found"
            f" {weight.dtype.alias} (weight)."
        )


def _likelihood(
    name, input, target, weight, ignore_index, reduction, normalise: bool
) -> Tensor:
    """-w_t · y_t, or -w_t · x_t where the input is normalised already."""
    array, kind = input._array, input.dtype
    if array.ndim == 1:
        if target.ndim == 1 and target.shape[0] == 1:
            target = target.squeeze(0)
        if target.ndim:
            raise ValueError(
                f"{name}: one row of classes {tuple(input.shape)} takes one target, not"
                f" {tuple(target.shape)}."
            )
        out = _likelihood(
            name,
            input.unsqueeze(0),
            target.unsqueeze(0),
            *(weight, ignore_index, reduction, normalise),
        )
        return out.squeeze(0) if reduction == "none" else out
    _check_target(name, input, target, weight)
    weights = None if weight is None else np.ascontiguousarray(weight._array)
    losses, (total, divisor, wrong) = compiler.likelihood(
        *(array, target._array, weights),
        ignored=ignore_index,
        normalised=not normalise,
        each=reduction == "none",
        dtype=kind.name,
    )
    if wrong:
        _refuse_class(name, target._array, array.shape[1], ignore_index)
    if reduction != "mean":
        divisor = 1.0
    out = _number(total, divisor, kind) if losses is None else Tensor._of(losses, kind)
    if not needs_recording((input,)):
        return out
    classes = _Classes(target._array, weights, ignore_index, not normalise, divisor)
    node = "NllLossBackward0" if array.ndim == 2 else "NllLoss2DBackward0"
    saved = (input, target) if weight is None else (input, target, weight)
    link(out, node, (input,), classes.gradient, saved)
    return out


class _Classes:
    """What the gradient of a likelihood needs beside the input and what arrives."""

    __slots__ = ("divisor", "ignored", "normalised", "target", "weights")

    def __init__(self, target, weights, ignored: int, normalised: bool, divisor: float):
        self.target, self.weights = target, weights
        self.ignored, self.normalised, self.divisor = ignored, normalised, divisor

    def gradient(self, g: Tensor, x: Tensor, *_: Tensor):
        """w_t · (softmax(x) - one_hot) · g / divisor, in one pass."""
        if is_grad_enabled():
            return (lambda: self._composed(g, x),)
        return (lambda: self._fused(g, x),)

    def _fused(self, g: Tensor, x: Tensor) -> Tensor:
        array = compiler.likelihood_gradient(
            *(x._array, self.target, self.weights, g._array),
            divisor=np.array(self.divisor),
            ignored=self.ignored,
            normalised=self.normalised,
            dtype=x.dtype.name,
        )
        return Tensor._of(array, x.dtype)

    def _composed(self, g: Tensor, x: Tensor) -> Tensor:
        """The same gradient, as differentiable operations of g and x."""
        wide = x.dtype.compute
        met = np.expand_dims(self.target, 1)
        valid = met != self.ignored
        classes = np.arange(x.shape[1]).reshape(-1, *[1] * (x.ndim - 2))
        hit = Tensor._of((valid & (classes == met)).astype(wide))
        share = valid.astype(wide)
        if self.weights is not None:
            weights = Tensor._of(self.weights.copy(), x.dtype)._values().astype(wide)
            share = np.where(valid, weights[np.where(valid, met, 0)], 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(valid, share / self.divisor, 0).astype(wide)
        if g.ndim:
            g = g.unsqueeze(1)
        scale = g * Tensor._of(share)
        if self.normalised:
            return -hit * scale
        return (log_softmax(x, 1).exp() - hit) * scale


def _number(total: float, divisor: float, kind: dtypes.dtype) -> Tensor:
    """total / divisor, a tensor without axes."""
    value = total / divisor if divisor else total * math.inf if total else math.nan
    if kind.compute is kind.storage:
        return Tensor._of(np.array(value, kind.storage), kind)
    return Tensor._of(np.array(value, kind.compute)).to(kind)


def _refuse_class(name: str, target: np.ndarray, count: int, ignored: int) -> None:
    """IndexError for the first class that does not exist."""
    index = target.astype(np.int64, copy=False)
    wrong = index[(index != ignored) & ((index < 0) | (index >= count))]
    raise IndexError(
        f"{name}: Target {wrong.flat[0]} is out of bounds: the input has {count}"
        f" classes (0 … {count - 1}), ignore_index={ignored}."
    )


# Soft targets


def _of_probabilities(input, target, weight, reduction, smoothing: float) -> Tensor:
    """-Σ w · p · log softmax(x) over the classes, averaged over the rest."""
    axis = 0 if input.ndim == 1 else 1
    classes = input.shape[axis]
    if smoothing:
        target = target * (1 - smoothing) + smoothing / classes
    product = log_softmax(input, axis) * target
    if weight is not None:
        _check_shares(weight, classes)
        product = product * weight.reshape(-1, *[1] * (input.ndim - 1 - axis))
    if reduction == "none":
        return -product.sum(axis)
    total = -product.sum()
    if reduction == "sum":
        return total
    places = input.numel() // max(classes, 1) if input.ndim > 1 else 1
    return total / places


def _check_shares(weight: Tensor, classes: int) -> None:
    if weight._array.shape != (classes,):
        raise RuntimeError(
            f"cross_entropy: weight tensor should be defined either for all {classes}"
            f" classes or no classes but got weight tensor of shape:"
            f" {list(weight.shape)}"
        )


def _smoothed(logs, target, weight, ignore_index, reduction, smoothing) -> Tensor:
    """(1 - ε) · likelihood of the target + ε · the mean over all classes."""
    name = "cross_entropy"
    hard = _likelihood(
        name, logs, target, weight, ignore_index, reduction, normalise=False
    )
    axis = 0 if logs.ndim == 1 else 1
    classes = logs.shape[axis]
    spread = logs
    if weight is not None:
        spread = logs * weight.reshape(-1, *[1] * (logs.ndim - 1 - axis))
    ignored = (target == ignore_index).reshape(
        (*logs.shape[:axis], *logs.shape[axis + 1 :])
    )
    soft = (-spread.sum(axis)).masked_fill(ignored, 0.0)
    if reduction != "none":
        soft = soft.sum()
    if reduction == "mean":
        flat = target.reshape(-1)
        kept = flat[flat != ignore_index]
        soft = soft / (kept.numel() if weight is None else weight[kept].sum())
    return hard * (1 - smoothing) + soft * (smoothing / classes)
