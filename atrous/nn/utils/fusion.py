"""A convolution or linear layer and the BatchNorm behind it as one layer."""

from __future__ import annotations

import copy
from typing import Any

from atrous.nn.parameter import Parameter
from atrous.ops import create
from atrous.tensor import Tensor


def fuse_conv_bn_eval(conv: Any, bn: Any, transpose: bool = False) -> Any:
    """One convolution that computes what `bn(conv(x))` does in evaluation.

    Raises AssertionError unless both are in evaluation and `bn` keeps statistics.
    """
    _expect_eval(conv, bn, "fuse_conv_bn_eval")
    fused = copy.deepcopy(conv)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight,
        fused.bias,
        bn.running_mean,
        bn.running_var,
        bn.eps,
        bn.weight,
        bn.bias,
        transpose,
    )
    return fused


def fuse_linear_bn_eval(linear: Any, bn: Any) -> Any:
    """One linear layer that computes what `bn(linear(x))` does in evaluation."""
    _expect_eval(linear, bn, "fuse_linear_bn_eval")
    if bn.num_features not in (1, linear.out_features):
        raise AssertionError(
            f"fuse_linear_bn_eval: {linear.out_features} out_features do not fit "
            f"{bn.num_features} num_features"
        )
    fused = copy.deepcopy(linear)
    fused.weight, fused.bias = fuse_linear_bn_weights(
        fused.weight,
        fused.bias,
        bn.running_mean,
        bn.running_var,
        bn.eps,
        bn.weight,
        bn.bias,
    )
    return fused


def _expect_eval(layer: Any, bn: Any, caller: str) -> None:
    if layer.training or bn.training:
        raise AssertionError(
            f"{caller}: both layers must be in evaluation: call eval()"
        )
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError(
            f"{caller}: {type(bn).__name__} has no running statistics: build it with "
            "track_running_stats=True"
        )


def fuse_conv_bn_weights(
    conv_w: Parameter,
    conv_b: Parameter | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """Weight and bias that do the work of a convolution and of a BatchNorm.

    `transpose`: the weight is (in, out, *kernel).
    """
    if conv_b is None:
        conv_b = create.zeros_like(bn_rm)
    if bn_w is None:
        bn_w = create.ones_like(bn_rm)
    if bn_b is None:
        bn_b = create.zeros_like(bn_rm)
    scale = bn_w * (bn_rv + bn_eps).rsqrt()
    along = [1] * conv_w.dim()
    along[1 if transpose else 0] = -1
    weight = (conv_w * scale.reshape(along)).to(conv_w.dtype)
    bias = ((conv_b - bn_rm) * scale + bn_b).to(conv_b.dtype)
    return (
        Parameter(weight.detach(), conv_w.requires_grad),
        Parameter(bias.detach(), conv_b.requires_grad),
    )


def fuse_linear_bn_weights(
    linear_w: Parameter,
    linear_b: Parameter | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
) -> tuple[Parameter, Parameter]:
    """As `fuse_conv_bn_weights`, for a weight (out, in)."""
    return fuse_conv_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)
