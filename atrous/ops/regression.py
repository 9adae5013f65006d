"""Losses of pairs of elements: how far a prediction is from its target.

Each is an expression of input and target; its mean or sum is taken in the same pass.
"""

from __future__ import annotations

import math
import warnings

from ..errors import operands as worded
from ..tensor import Tensor
from .arguments import check_tensor
from .autocast import in_float32
from .derivative import totalled
from .elementwise import X, Y, Z, real
from .loss import reduction_of, total
from .operands import result_type

_ONE, _HALF = ("const", 1), ("const", 0.5)
_DIFFERENCE = ("sub", X, Y)
_DISTANCE = ("abs", _DIFFERENCE)
_HALF_SQUARE = ("mul", _HALF, ("mul", _DISTANCE, _DISTANCE))
_SMOOTH_L1 = (
    *("where", ("lt", _DISTANCE, Z)),
    ("div", _HALF_SQUARE, Z),
    ("sub", _DISTANCE, ("mul", _HALF, Z)),
)
_HUBER = (
    *("where", ("le", _DISTANCE, Z)),
    _HALF_SQUARE,
    ("mul", Z, ("sub", _DISTANCE, ("mul", _HALF, Z))),
)


def _pair(name: str, input, target) -> None:
    """Two tensors; a warning where their shapes differ, as they would broadcast."""
    check_tensor(name, "input", input)
    check_tensor(name, "target", target)
    if target.shape != input.shape:
        warnings.warn(
            f"{name}: Using a target size ({target.shape}) that is different to the"
            f" input size ({input.shape}). This will likely lead to incorrect results"
            " due to broadcasting. Please ensure they have the same size.",
            stacklevel=3,
        )


def _float(name: str, *operands):
    """The floating dtype in which tensors meet; NotImplementedError for integers."""
    kind = result_type(*operands)
    if not kind.is_floating_point:
        raise NotImplementedError(
            f"{name}: not implemented for '{kind.alias}' tensors."
        )
    return kind


def _same_shape(name: str, input, target) -> None:
    check_tensor(name, "input", input)
    check_tensor(name, "target", target)
    if target.shape != input.shape:
        raise ValueError(
            worded(
                f"{name}: target and input must have the same size.",
                input=(input.shape, ""),
                target=(target.shape, f"expected {tuple(input.shape)}"),
            )
        )


def _weighted(name: str, loss: Tensor, weight: Tensor, reduction: str) -> Tensor:
    """Each element times its weight; the mean divides by the weights summed."""
    if weight.shape != loss.shape:
        raise ValueError(
            f"{name}: Inputs and weights must have the same size, got"
            f" {tuple(loss.shape)} and {tuple(weight.shape)}."
        )
    product = loss * weight
    if reduction == "none":
        return product
    return product.sum() / weight.sum() if reduction == "mean" else product.sum()


@in_float32
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average=None,
    reduce=None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """(input - target)²."""
    reduction = reduction_of("mse_loss", reduction, size_average, reduce)
    _pair("mse_loss", input, target)
    kind = _float("mse_loss", input, target)
    square = ("mul", _DIFFERENCE, _DIFFERENCE)
    if weight is not None:
        loss = totalled("MseLossBackward0", square, (input, target), kind, "none")
        return _weighted("mse_loss", loss, weight, reduction)
    return totalled("MseLossBackward0", square, (input, target), kind, reduction)


@in_float32
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average=None,
    reduce=None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """|input - target|."""
    reduction = reduction_of("l1_loss", reduction, size_average, reduce)
    _pair("l1_loss", input, target)
    kind = result_type(input, target)
    if not kind.is_floating_point:
        return total((input - target).abs(), reduction)
    if weight is not None:
        loss = totalled("AbsBackward0", _DISTANCE, (input, target), kind, "none")
        return _weighted("l1_loss", loss, weight, reduction)
    node = {"mean": "MeanBackward0", "sum": "SumBackward0", "none": "AbsBackward0"}
    return totalled(node[reduction], _DISTANCE, (input, target), kind, reduction)


@in_float32
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average=None,
    reduce=None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """(input - target)² / (2·beta) where closer than `beta`, else |…| - beta / 2."""
    reduction = reduction_of("smooth_l1_loss", reduction, size_average, reduce)
    _pair("smooth_l1_loss", input, target)
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss: beta must be zero or more, got {beta}.")
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    kind = _float("smooth_l1_loss", input, target)
    operands = (input, target, float(beta))
    return totalled("SmoothL1LossBackward0", _SMOOTH_L1, operands, kind, reduction)


@in_float32
def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """(input - target)² / 2 where closer than `delta`, else δ · (|…| - δ / 2)."""
    reduction = reduction_of("huber_loss", reduction)
    _pair("huber_loss", input, target)
    if delta <= 0:
        raise RuntimeError(f"huber_loss: delta must be positive, got {delta}.")
    kind = _float("huber_loss", input, target)
    operands = (input, target, float(delta))
    if weight is not None:
        loss = totalled("HuberLossBackward0", _HUBER, operands, kind, "none")
        # Unlike the others, and as in torch, its mean divides by the count.
        return total(_weighted("huber_loss", loss, weight, "none"), reduction)
    return totalled("HuberLossBackward0", _HUBER, operands, kind, reduction)


# Probabilities

_BCE = (
    "neg",
    (
        "add",
        ("mul", Y, ("maximum", ("log", X), ("const", -100))),
        ("mul", ("sub", _ONE, Y), ("maximum", ("log1p", ("neg", X)), ("const", -100))),
    ),
)
# (x - t) / (x · (1 - x)); the divisor is kept from zero, as torch does.
_BCE_SLOPE = (
    "div",
    ("sub", X, Y),
    ("maximum", ("mul", ("sub", _ONE, X), X), ("const", 1e-12)),
)
_SOFTPLUS_OF_NEGATIVE = (
    "add",
    ("log1p", ("exp", ("neg", ("abs", X)))),
    ("maximum", ("neg", X), ("const", 0)),
)


@in_float32
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average=None,
    reduce=None,
    reduction: str = "mean",
) -> Tensor:
    """-(t · log x + (1 - t) · log(1 - x)); a logarithm counts as at least -100.

    Raises ValueError where shapes differ, RuntimeError for an input or a target outside
    [0, 1].
    """
    name = "binary_cross_entropy"
    reduction = reduction_of(name, reduction, size_average, reduce)
    _same_shape(name, input, target)
    kind = _float(name, input)
    if target.dtype is not kind:
        raise RuntimeError(
            f"{name}: Found dtype {target.dtype.alias} but expected {kind.alias}"
            " (target)."
        )
    for what, each in (("input", input), ("target", target)):
        values = each._values()
        if values.size and not (values.min() >= 0 and values.max() <= 1):
            raise RuntimeError(
                f"{name}: all elements of {what} should be between 0 and 1, but they"
                f" reach from {values.min():g} to {values.max():g}."
            )
    expression: tuple = _BCE
    slope: tuple = _BCE_SLOPE
    operands: tuple[Tensor, ...] = (input, target)
    if weight is not None:
        expression, slope = ("mul", _BCE, Z), ("mul", _BCE_SLOPE, Z)
        operands = (input, target, weight)
    return totalled(
        *("BinaryCrossEntropyBackward0", expression, operands, kind, reduction),
        slopes={0: slope},
    )


@in_float32
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average=None,
    reduce=None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """binary_cross_entropy of sigmoid(input), without overflow.

    `pos_weight` multiplies the part of the positive targets.
    """
    name = "binary_cross_entropy_with_logits"
    reduction = reduction_of(name, reduction, size_average, reduce)
    _same_shape(name, input, target)
    kind = _float(name, input, target)
    operands = [input, target]
    factor: tuple = _ONE
    if pos_weight is not None:
        operands.append(pos_weight)
        factor = ("add", ("mul", ("sub", Z, _ONE), Y), _ONE)
    first = ("mul", ("sub", _ONE, Y), X)
    expression: tuple = ("add", first, ("mul", factor, _SOFTPLUS_OF_NEGATIVE))
    slope: tuple = (
        *("sub", ("sub", _ONE, Y)),
        ("mul", factor, ("sub", _ONE, ("sigmoid", X))),
    )
    if weight is not None:
        last = ("operand", len(operands))
        operands.append(weight)
        expression, slope = ("mul", expression, last), ("mul", slope, last)
    return totalled(
        "BinaryCrossEntropyWithLogitsBackward0",
        *(expression, tuple(operands), kind, reduction),
        slopes={0: slope},
    )


@in_float32
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average=None,
    reduce=None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """t · (log t - input), input being a logarithm; "batchmean" divides by the batch.

    With `log_target` the target is a logarithm too.
    """
    batch_mean = reduction == "batchmean" and size_average is None and reduce is None
    if batch_mean:
        reduction = "sum"
    reduction = reduction_of("kl_div", reduction, size_average, reduce)
    if reduction == "mean":
        warnings.warn(
            "kl_div: reduction='mean' divides the total loss by both the batch size and"
            " the support size. 'batchmean' divides only by the batch size, and aligns"
            " with the KL math definition.",
            stacklevel=2,
        )
    check_tensor("kl_div", "input", input)
    check_tensor("kl_div", "target", target)
    kind = _float("kl_div", input, target)
    expression: tuple
    if log_target:
        expression = ("mul", ("exp", Y), ("sub", Y, X))
    else:
        own = ("where", ("eq", Y, ("const", 0)), ("const", 0), ("mul", Y, ("log", Y)))
        expression = ("sub", own, ("mul", Y, X))
    node = {"mean": "MeanBackward0", "sum": "SumBackward0"}.get(
        reduction, "MulBackward0" if log_target else "SubBackward0"
    )
    loss = totalled(node, expression, (input, target), kind, reduction)
    return loss / input.shape[0] if batch_mean and input.ndim else loss


# Likelihoods


@in_float32
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average=None,
    eps: float = 1e-8,
    reduce=None,
    reduction: str = "mean",
) -> Tensor:
    """exp(x) - t · x, or x - t · log(x + eps); `full` adds Stirling's log t!."""
    reduction = reduction_of("poisson_nll_loss", reduction, size_average, reduce)
    kind = real(result_type(input, target))
    expression: tuple
    if log_input:
        expression = ("sub", ("exp", X), ("mul", Y, X))
    else:
        expression = ("sub", X, ("mul", Y, ("log", ("add", X, Z))))
    if full:
        stirling = (
            "add",
            ("sub", ("mul", Y, ("log", Y)), Y),
            ("mul", _HALF, ("log", ("mul", ("const", 2 * math.pi), Y))),
        )
        chosen = ("where", ("le", Y, _ONE), ("const", 0), stirling)
        expression = ("add", expression, chosen)
    node = {"mean": "MeanBackward0", "sum": "SumBackward0", "none": "SubBackward0"}
    operands = (input, target, float(eps))
    return totalled(node[reduction], expression, operands, kind, reduction)


def _mismatched(a: Tensor, b: Tensor) -> list[int]:
    """The sizes of `a` on the axes where `b`, of as many axes, has another."""
    return [own for own, size in zip(a.shape, b.shape, strict=True) if own != size]


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """(log v + (x - t)² / v) / 2 with v = max(var, eps); `full` adds log(2π) / 2.

    Raises ValueError for a negative variance or one whose shape does not fit.
    """
    name = "gaussian_nll_loss"
    if isinstance(var, Tensor):
        variance = var
    elif var < 0:
        raise ValueError(f"{name}: var has negative entry/entries: {var}.")
    else:
        variance = input * 0 + var
    if variance.shape != input.shape:
        if tuple(input.shape[:-1]) == tuple(variance.shape):
            variance = variance.unsqueeze(-1)
        elif variance.ndim != input.ndim or _mismatched(variance, input) != [1]:
            raise ValueError(
                worded(
                    f"{name}: var is of incorrect size.",
                    input=(input.shape, ""),
                    var=(
                        variance.shape,
                        "the input's, with one axis 1, or no last axis",
                    ),
                )
            )
    reduction = reduction_of(name, reduction)
    if bool((variance < 0).any()):
        raise ValueError(f"{name}: var has negative entry/entries.")
    # The floor is not seen by the gradient.
    variance = variance + (variance.clamp_min(eps) - variance).detach()
    loss = (variance.log() + (input - target) ** 2 / variance) * 0.5
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return total(loss, reduction)
