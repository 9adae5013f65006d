"""Losses over categories: cross entropy, negative log likelihood, multi-class margins.

For a target class t of weight w_t, with y = log softmax(x) along the classes:
    loss = -w_t · y_t        ∂loss/∂x = w_t · (exp(y) - one_hot(t))
The one-hot tensor is a comparison within the kernel; it is never in memory. Nor are the
losses of the places where only their sum is asked for.
"""

from __future__ import annotations

import numpy as np

from .. import compiler, dtypes
from ..autograd import is_grad_enabled, record
from ..errors import operands as worded
from ..tensor import Tensor
from .arguments import check_tensor
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


class _Targets:
    """Checked target classes, as they meet the input (batch, classes, …).

    `met` is (batch, 1, …). `index` of this shape is the class, -1 where ignored, and
    `factor` its weight, there 0; it is one number where every place has weight 1.
    """

    def __init__(self, name, input: Tensor, target: Tensor, weight, ignore_index: int):
        shape = input._array.shape
        classes = shape[1]
        index = target._array.astype(np.int64, copy=False)
        wide = input.dtype.compute
        self.met = (shape[0], 1, *shape[2:])
        self.classes = np.arange(classes).reshape(1, classes, *[1] * (len(shape) - 2))
        if weight is None and _ordinary(index, classes, ignore_index):
            self.index = index.reshape(self.met)
            self.factor = np.ones([1] * len(shape), wide)
            return
        valid = index != ignore_index
        wrong = index[valid & ((index < 0) | (index >= classes))]
        if wrong.size:
            raise IndexError(
                f"{name}: Target {wrong.flat[0]} is out of bounds: the input has"
                f" {classes} classes (0 … {classes - 1}), ignore_index={ignore_index}."
            )
        if weight is None:
            factor = valid.astype(wide)
        else:
            weights = weight._values().astype(wide, copy=False)
            factor = weights[np.where(valid, index, 0)] * valid if classes else valid
        self.index = np.where(valid, index, -1).reshape(self.met)
        self.factor = factor.astype(wide, copy=False).reshape(self.met)

    def total(self):
        """The weights summed: what "mean" divides by."""
        if self.factor.size == 1:
            return self.factor.reshape(()) * self.factor.dtype.type(self.index.size)
        return self.factor.sum(dtype=np.float64).astype(self.factor.dtype)

    def share(self, divisor) -> np.ndarray:
        """The part of each place in the result; none where it is ignored."""
        with np.errstate(invalid="ignore", divide="ignore"):
            part = self.factor / divisor
        return np.where(self.factor == 0, 0, part).astype(self.factor.dtype)


def _ordinary(index: np.ndarray, classes: int, ignore_index: int) -> bool:
    """Whether every target is a class, and none is ignored."""
    if not index.size:
        return False
    low, high = index.min(), index.max()
    return low >= 0 and high < classes and not low <= ignore_index <= high


def _check_input(name: str, input: Tensor) -> None:
    if not input.dtype.is_floating_point:
        raise NotImplementedError(
            f"{name}: not implemented for '{input.dtype.alias}' inputs."
        )
    if not input.ndim:
        raise RuntimeError(f"{name}: the input needs an axis for the classes.")


def _check_target(name: str, input: Tensor, target: Tensor, weight) -> None:
    """Do batch and positions of the target match, and has each class a weight?"""
    shapes = {
        "input": (input.shape, "batch, classes, …"),
        "target": (target.shape, "batch, …"),
    }
    if target.dtype not in (dtypes.int64, dtypes.uint8):
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
    if tuple(target.shape) != expected:
        if input.ndim == 2:
            raise RuntimeError(
                worded(
                    f"{name}: 0D or 1D target tensor expected, multi-target not"
                    " supported.",
                    **shapes,
                )
            )
        raise RuntimeError(
            worded(
                f"{name}: Expected target size {list(expected)}, got"
                f" {list(target.shape)}.",
                **shapes,
            )
        )
    if weight is None:
        return
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
    if input.ndim == 1:
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
    targets = _Targets(name, input, target, weight, ignore_index)
    kind, wide = input.dtype, input.dtype.compute
    logs = _logarithms(input) if normalise else input._array
    losses = _losses(logs, targets, kind, reduction)
    divisor = targets.total() if reduction == "mean" else wide.type(1)
    if reduction != "none":
        with np.errstate(invalid="ignore", divide="ignore"):
            losses = np.asarray(losses / divisor, wide)
    out = Tensor._of(losses).to(kind)

    def formula(g, x):
        if is_grad_enabled():
            return (lambda: _composed(g, x, targets, divisor, reduction, normalise),)
        return (lambda: _fused(g, x, targets, divisor, logs, reduction, normalise),)

    node = "NllLossBackward0" if input.ndim == 2 else "NllLoss2DBackward0"
    return record(out, node, (input,), formula, (input,))


def _logarithms(input: Tensor) -> np.ndarray:
    """log softmax(input) along the classes, in the dtype of computation."""
    array, wide = input._array, input.dtype.compute.name
    if input.dtype.name != wide:
        cast = ("cast", wide, ("in", 0))
        array = compiler.pointwise(cast, array, dtypes=(input.dtype.name,))
    return compiler.softmax(array, 1, log=True)


_HIT = ("eq", ("in", 1), ("in", 2))


def _losses(logs, targets: _Targets, kind, reduction: str) -> np.ndarray:
    """-w_t · y_t of each place (batch, …), or the sum of all.

    y_t is a sum over the classes that hit. `kind` is the dtype of the input; `logs` are
    of its dtype of computation or as the input lies.
    """
    wide = kind.compute.name
    name = wide if logs.dtype == kind.compute else kind.name
    axes = (1,) if reduction == "none" else tuple(range(logs.ndim))
    if not logs.size:
        kept = [n for axis, n in enumerate(logs.shape) if axis not in axes]
        return np.zeros(kept, wide)
    weight = ("in", 3)
    # A weight of 0 makes a loss of 0, even where the input is infinite.
    loss = (
        "where",
        ("and", _HIT, ("ne", weight, ("const", 0.0))),
        ("mul", ("neg", ("cast", wide, ("in", 0))), weight),
        ("const", 0.0),
    )
    return compiler.reduce(
        *("sum", loss, logs, targets.classes, targets.index, targets.factor),
        axes=axes,
        dtypes=(name, "int64", "int64", wide),
        dtype=wide,
    )


def _fused(g, x, targets, divisor, logs, reduction, normalise) -> Tensor:
    """w_t · (softmax(x) - one_hot) · g, in one pass."""
    scale = _at_places(g, reduction, targets) * targets.share(divisor)
    wide = x.dtype.compute.name
    one, zero = ("const", 1.0), ("const", 0.0)
    slope: tuple
    if normalise:
        slope = ("sub", ("exp", ("in", 0)), ("where", _HIT, one, zero))
    else:
        slope = ("where", _HIT, ("const", -1.0), zero)
    array = compiler.pointwise(
        ("cast", x.dtype.name, ("mul", slope, ("in", 3))),
        *(logs, targets.classes, targets.index, scale.astype(wide, copy=False)),
        dtypes=(wide if normalise else x.dtype.name, "int64", "int64", wide),
    )
    return Tensor._of(array, x.dtype)


def _at_places(g: Tensor, reduction: str, targets: _Targets) -> np.ndarray:
    """The gradient that arrived, as it meets (batch, 1, …)."""
    values = g._values()
    return values.reshape(targets.met) if reduction == "none" else values


def _composed(g, x, targets, divisor, reduction, normalise) -> Tensor:
    """The same gradient, as differentiable operations of g and x."""
    hit = Tensor._of((targets.classes == targets.index).astype(x.dtype.compute))
    if reduction == "none":
        g = g.unsqueeze(1)
    scale = g * Tensor._of(targets.share(divisor))
    if not normalise:
        return -hit * scale
    return (log_softmax(x, 1).exp() - hit) * scale


# Soft targets


def _of_probabilities(input, target, weight, reduction, smoothing: float) -> Tensor:
    """-Σ w · p · log softmax(x) over the classes, averaged over the rest."""
    axis = 0 if input.ndim == 1 else 1
    classes = input.shape[axis]
    if smoothing:
        target = target * (1 - smoothing) + smoothing / classes
    product = log_softmax(input, axis) * target
    if weight is not None:
        _check_weight(weight, classes)
        product = product * weight.reshape(-1, *[1] * (input.ndim - 1 - axis))
    if reduction == "none":
        return -product.sum(axis)
    total = -product.sum()
    if reduction == "sum":
        return total
    places = input.numel() // max(classes, 1) if input.ndim > 1 else 1
    return total / places


def _check_weight(weight: Tensor, classes: int) -> None:
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
