"""Losses that ask for a margin: between scores, between classes, between distances."""

from __future__ import annotations

import math

import numpy as np

from .. import dtypes
from ..errors import operands as worded
from ..tensor import Tensor
from .activation import logsigmoid
from .arguments import check_tensor
from .autocast import in_float32
from .choice import where
from .derivative import totalled
from .distance import pairwise_distance
from .elementwise import X, Y
from .limits import minimum
from .loss import reduction_of, total
from .operands import result_type


@in_float32
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average=None,
    reduce=None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, margin - target · (input1 - input2)): target 1 wants input1 the larger."""
    name = "margin_ranking_loss"
    reduction = reduction_of(name, reduction, size_average, reduce)
    if not input1.ndim == input2.ndim == target.ndim:
        raise RuntimeError(
            worded(
                f"{name}: All input tensors should have same number of dimensions.",
                input1=(input1.shape, ""),
                input2=(input2.shape, ""),
                target=(target.shape, ""),
            )
        )
    return total((-target * (input1 - input2) + margin).clamp_min(0), reduction)


@in_float32
def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average=None,
    reduce=None,
    reduction: str = "mean",
) -> Tensor:
    """input where target is 1, max(0, margin - input) where it is -1."""
    reduction = reduction_of("hinge_embedding_loss", reduction, size_average, reduce)
    apart = where(target != 1, (margin - input).clamp_min(0), 0.0)
    return total(apart + where(target != -1, input, 0.0), reduction)


@in_float32
def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average=None,
    reduce=None,
    reduction: str = "mean",
) -> Tensor:
    """log(1 + exp(-target · input))."""
    reduction = reduction_of("soft_margin_loss", reduction, size_average, reduce)
    z = ("neg", ("mul", Y, X))
    # log(1 + eᶻ) with an exponent that is never positive.
    expression = (
        *("where", ("gt", z, ("const", 0))),
        ("add", z, ("log1p", ("exp", ("neg", z)))),
        ("log1p", ("exp", z)),
    )
    kind = result_type(input, target)
    return totalled(
        "SoftMarginLossBackward0", expression, (input, target), kind, reduction
    )


@in_float32
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average=None,
    reduce=None,
    reduction: str = "mean",
) -> Tensor:
    """1 - cos where target is 1, max(0, cos - margin) where it is -1, by rows."""
    name = "cosine_embedding_loss"
    reduction = reduction_of(name, reduction, size_average, reduce)
    if target.ndim not in (0, 1) or input1.ndim != input2.ndim != target.ndim + 1:
        raise RuntimeError(
            worded(
                f"{name}: 0D or 1D target tensor expected, inputs with one axis more.",
                input1=(input1.shape, "(batch,) features"),
                input2=(input2.shape, "(batch,) features"),
                target=(target.shape, "(batch)"),
            )
        )
    axis, eps = target.ndim, 1e-12
    lengths = ((input1 * input1).sum(axis) + eps) * ((input2 * input2).sum(axis) + eps)
    cosine = (input1 * input2).sum(axis) / lengths.sqrt()
    together = where(target == 1, 1 - cosine, 0.0)
    apart = where(target == -1, (cosine - margin).clamp_min(0), 0.0)
    return total(together + apart, reduction)


@in_float32
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average=None,
    reduce=None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, |anchor - positive| - |anchor - negative| + margin), p-norms."""
    reduction = reduction_of("triplet_margin_loss", reduction, size_average, reduce)
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise RuntimeError(
            worded(
                "triplet_margin_loss: The anchor, positive, and negative tensors are"
                " expected to have the same number of dimensions.",
                anchor=(anchor.shape, ""),
                positive=(positive.shape, ""),
                negative=(negative.shape, ""),
            )
        )
    return triplet_margin_with_distance_loss(
        *(anchor, positive, negative),
        distance_function=lambda a, b: pairwise_distance(a, b, p, eps),
        margin=margin,
        swap=swap,
        reduction=reduction,
    )


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function=None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """As `triplet_margin_loss`, with any distance; `swap` takes the nearer negative."""
    reduction = reduction_of("triplet_margin_with_distance_loss", reduction)
    if margin <= 0:
        raise ValueError(
            f"triplet_margin_loss: margin must be greater than 0, got {margin}."
        )
    distance = distance_function or pairwise_distance
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return total((near - far + margin).clamp_min(0), reduction)


# Many classes


@in_float32
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average=None,
    reduce=None,
    reduction: str = "mean",
) -> Tensor:
    """Σ over the other classes of max(0, margin - x_t + x_j)ᵖ · w_t / classes."""
    name = "multi_margin_loss"
    reduction = reduction_of(name, reduction, size_average, reduce)
    if p not in (1, 2):
        raise ValueError(f"{name}: only p == 1 and p == 2 are supported, got {p}.")
    if weight is not None and weight.ndim != 1:
        raise ValueError(
            f"{name}: weight must be one-dimensional, not {tuple(weight.shape)}."
        )
    rows = input if input.ndim == 2 else input.reshape(1, -1)
    _check_rows(name, input, target, rows, (rows.shape[0],))
    classes = rows.shape[1]
    index = target.reshape(-1)
    wrong = index._array[(index._array < 0) | (index._array >= classes)]
    if wrong.size:
        raise RuntimeError(
            f"{name}: target out of range: {wrong[0]} of {classes} classes."
        )
    chosen = rows.gather(1, index.unsqueeze(1))
    loss = (margin - chosen + rows).clamp_min(0)
    if p == 2:
        loss = loss * loss
    if weight is not None:
        if tuple(weight.shape) != (classes,):
            raise RuntimeError(
                f"{name}: inconsistent weight size, expected {classes} but got"
                f" {list(weight.shape)}"
            )
        loss = loss * weight[index].unsqueeze(1)
    others = Tensor._of(np.arange(classes)) != index.unsqueeze(1)
    each = (loss * others.to(loss.dtype)).sum(1) / classes
    if reduction == "none" and input.ndim < 2:
        return each.reshape(target.shape)
    return total(each, reduction)


def _check_rows(name: str, input: Tensor, target: Tensor, rows, shape) -> None:
    if input.ndim > 2 or not input.numel() or target.numel() != math.prod(shape):
        raise RuntimeError(
            worded(
                f"{name}: takes rows of classes and as many targets as rows.",
                input=(input.shape, "(batch,) classes"),
                target=(target.shape, f"expected {shape}"),
            )
        )
    if target.dtype is not dtypes.int64:
        raise RuntimeError(
            f"{name}: expected scalar type Long but found {target.dtype.alias}"
            " (target)."
        )


@in_float32
def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average=None,
    reduce=None,
    reduction: str = "mean",
) -> Tensor:
    """Σ over labels t and other classes j of max(0, 1 - x_t + x_j) / classes.

    Each row of `target` lists its labels, ended by -1.
    """
    name = "multilabel_margin_loss"
    reduction = reduction_of(name, reduction, size_average, reduce)
    check_tensor(name, "input", input)
    if input.ndim > 2 or target.shape != input.shape:
        raise RuntimeError(
            worded(
                f"{name}: inconsistent target size.",
                input=(input.shape, "(batch,) classes"),
                target=(target.shape, f"expected {tuple(input.shape)}"),
            )
        )
    rows = input.reshape(-1, input.shape[-1] if input.ndim else 1)
    labels = target._array.reshape(rows.shape)
    classes = rows.shape[1]
    if labels.size and (labels.min() < -1 or labels.max() >= classes):
        raise RuntimeError(
            f"{name}: target out of range: {labels.min()} … {labels.max()}, of"
            f" {classes} classes (-1 ends a row)."
        )
    listed = np.cumprod(labels >= 0, 1).astype(bool)
    is_label = np.zeros(labels.shape, bool)
    row, column = np.nonzero(listed)
    is_label[row, labels[row, column]] = True
    chosen = rows.gather(1, Tensor._of(np.where(listed, labels, 0)))
    loss = (1 - chosen.unsqueeze(2) + rows.unsqueeze(1)).clamp_min(0)
    counted = Tensor._of(listed[:, :, None] & ~is_label[:, None, :])
    each = (loss * counted.to(loss.dtype)).sum((1, 2)) / max(classes, 1)
    if reduction == "none" and input.ndim < 2:
        return each.reshape(())
    return total(each, reduction)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average=None,
    reduce=None,
    reduction: str = "mean",
) -> Tensor:
    """Binary cross entropy of each class, averaged over the classes."""
    name = "multilabel_soft_margin_loss"
    reduction = reduction_of(name, reduction, size_average, reduce)
    loss = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    if weight is not None:
        loss = loss * weight
    axis = input.ndim - 1
    return total(loss.sum(axis) / input.shape[axis], reduction)
