"""Normalisation: batch, instance, layer, group, root mean square, neighbours, length.

The first four are one operation over different axes: see `standardise`.
"""

from __future__ import annotations

import math

import numpy as np

from .. import dtypes
from ..autograd import no_grad
from ..errors import operands as worded
from ..tensor import Tensor
from .arguments import check_tensor
from .autocast import in_float32
from .operands import write
from .standardise import Statistics, standardised

__all__ = ["group_norm", "layer_norm", "rms_norm"]


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each channel over the batch and all positions (Ioffe & Szegedy, 2015).

    (batch, channels, …) -> the same. In training the statistics are the batch's, and
    the running ones move towards them by `momentum` (the variance unbiased); otherwise
    the running ones are used.

    Raises ValueError in training with one value per channel, RuntimeError where a
    parameter has not one number a channel.
    """
    _check_input("batch_norm", input)
    if input.shape == (0,):
        return input.clone()
    channels = input.shape[input._axis(1)]
    count = input.numel() // max(channels, 1)
    if training and input.shape[0] * math.prod(input.shape[2:]) == 1:
        raise ValueError(
            "batch_norm: Expected more than 1 value per channel when training, got"
            f" input size {input.shape}."
        )
    if not isinstance(momentum, (int, float)):
        raise TypeError(
            "batch_norm(): argument 'momentum' must be float, not"
            f" {type(momentum).__name__}"
        )
    if not training:
        _check_running("training=False", running_mean, running_var)
    _check_parameters(
        *("batch_norm", input, channels),
        running_mean=running_mean,
        running_var=running_var,
        weight=weight,
        bias=bias,
    )
    per_channel = (1, channels, *[1] * (input.ndim - 2))
    weight, bias = _shaped(weight, per_channel), _shaped(bias, per_channel)
    if not training:
        assert running_mean is not None and running_var is not None
        statistics = _given(running_mean, running_var, eps, per_channel)
        return standardised("NativeBatchNormBackward0", input, statistics, weight, bias)
    axes = (0, *range(2, input.ndim))
    statistics = Statistics.of(input, axes, eps)
    if count:
        _move(running_mean, statistics.mean, momentum)
        _move(running_var, statistics.variance * _unbiased(count), momentum)
    return standardised("NativeBatchNormBackward0", input, statistics, weight, bias)


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each channel of each sample over its positions.

    (batch, channels, …) -> the same. With `use_input_stats=False` the running
    statistics are used, which otherwise move towards the batch's average.
    """
    _check_input("instance_norm", input)
    if use_input_stats and math.prod(input.shape[2:]) == 1:
        raise ValueError(
            "instance_norm: Expected more than 1 spatial element when training, got"
            f" input size {input.shape}."
        )
    channels = input.shape[input._axis(1)]
    if not use_input_stats:
        _check_running("use_input_stats=False", running_mean, running_var)
    _check_parameters(
        *("instance_norm", input, channels),
        running_mean=running_mean,
        running_var=running_var,
        weight=weight,
        bias=bias,
    )
    per_channel = (1, channels, *[1] * (input.ndim - 2))
    weight, bias = _shaped(weight, per_channel), _shaped(bias, per_channel)
    if not use_input_stats:
        assert running_mean is not None and running_var is not None
        statistics = _given(running_mean, running_var, eps, per_channel)
        return standardised("ViewBackward0", input, statistics, weight, bias)
    statistics = Statistics.of(input, tuple(range(2, input.ndim)), eps)
    if input.numel():
        count = math.prod(input.shape[2:])
        _move(running_mean, statistics.mean.mean(0), momentum)
        _move(running_var, statistics.variance.mean(0) * _unbiased(count), momentum)
    return standardised("ViewBackward0", input, statistics, weight, bias)


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each group of channels of each sample (Wu & He, 2018).

    (batch, channels, …) -> the same. Raises RuntimeError if `num_groups` does not
    divide the channels.
    """
    _check_input("group_norm", input)
    if input.ndim < 2:
        raise RuntimeError(
            "group_norm: Expected at least 2 dimensions for input tensor but received"
            f" {input.ndim}"
        )
    batch, channels, *positions = input.shape
    if num_groups <= 0 or channels % num_groups:
        raise RuntimeError(
            "group_norm: Expected number of channels in input to be divisible by"
            f" num_groups, but got input of shape {list(input.shape)} and"
            f" num_groups={num_groups}"
        )
    within = channels // num_groups
    if batch * within * math.prod(positions) == 1:
        raise ValueError(
            "group_norm: Expected more than 1 value per channel when training, got"
            f" input size {list(input.shape)}"
        )
    _check_parameters("group_norm", input, channels, weight=weight, bias=bias)
    grouped = (batch, num_groups, within, *positions)
    shape = (1, num_groups, within, *[1] * len(positions))
    statistics = Statistics.of(
        input.detach().reshape(grouped), tuple(range(2, len(grouped))), eps
    )
    return standardised(
        "NativeGroupNormBackward0",
        input,
        statistics,
        _shaped(weight, shape),
        _shaped(bias, shape),
        grouped,
    )


def layer_norm(
    input: Tensor,
    normalized_shape,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise over the last axes, those of `normalized_shape` (Ba et al., 2016).

    Raises RuntimeError if the input does not end in `normalized_shape`.
    """
    _check_input("layer_norm", input)
    axes = _last_axes("layer_norm", input, normalized_shape, weight=weight, bias=bias)
    statistics = Statistics.of(input, axes, eps)
    return standardised("NativeLayerNormBackward0", input, statistics, weight, bias)


def rms_norm(
    input: Tensor,
    normalized_shape,
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """Divide by the root mean square over the last axes; `eps` None: the dtype's.

    Raises RuntimeError if the input does not end in `normalized_shape`.
    """
    _check_input("rms_norm", input)
    axes = _last_axes("rms_norm", input, normalized_shape, weight=weight)
    wide = dtypes.from_numpy(input.dtype.compute)
    eps = dtypes.finfo(wide).eps if eps is None else eps
    x = input.to(wide)
    out = x * ((x * x).mean(axes, True) + eps).rsqrt()
    return (out if weight is None else out * weight).to(input.dtype)


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """Divide by (k + alpha · mean of squares over `size` channels) ** beta."""
    from .pad import pad
    from .pool import avg_pool2d

    check_tensor("local_response_norm", "input", input)
    if input.ndim < 3:
        raise ValueError(
            "local_response_norm: Expected 3D or higher dimensionality input (got"
            f" {input.ndim} dimensions)"
        )
    if not input.numel():
        return input
    square = (input * input).reshape(input.shape[0], 1, input.shape[1], -1)
    square = pad(square, (0, 0, size // 2, (size - 1) // 2))
    pool = avg_pool2d if input.ndim == 3 else in_float32(avg_pool2d)
    average = pool(square, (size, 1), 1).reshape(input.shape)
    return input / (average * alpha + k) ** beta


def normalize(
    input: Tensor, p: float = 2.0, dim=1, eps: float = 1e-12, out: Tensor | None = None
) -> Tensor:
    """Divide by the p-norm along `dim`, which counts as at least `eps`."""
    length = input.norm(p, dim, keepdim=True).clamp_min(eps)
    if out is None:
        return input / length.expand_as(input)
    from .arithmetic import div

    return div(input, length.expand_as(input), out=out)


# Parts


def _check_input(name: str, input) -> None:
    check_tensor(name, "input", input)
    if not input.dtype.is_floating_point:
        raise NotImplementedError(
            f"{name}: not implemented for '{input.dtype.alias}' tensors."
        )


def _check_running(when: str, running_mean, running_var) -> None:
    for name, each in (("running_mean", running_mean), ("running_var", running_var)):
        if each is None:
            raise RuntimeError(f"{name} must be defined with {when}.")


def _check_parameters(
    name: str, input: Tensor, channels: int, **parameters: Tensor | None
) -> None:
    """One number a channel each, of the input's dtype (or float32 with half inputs)."""
    half = input.dtype in (dtypes.float16, dtypes.bfloat16)
    for argument, each in parameters.items():
        if each is None:
            continue
        check_tensor(name, argument, each)
        if each._array.shape != (channels,):
            raise RuntimeError(
                worded(
                    f"{name}: {argument} needs one number for each of the {channels}"
                    " channels.",
                    input=(input.shape, "batch, channels, …"),
                    **{argument: (each.shape, f"expected ({channels},)")},
                )
            )
        if each.dtype is not input.dtype and not (
            half and each.dtype is dtypes.float32
        ):
            raise RuntimeError(
                f"{name}: mixed dtype: input is {input.dtype}, {argument} {each.dtype}."
            )


def _shaped(parameter: Tensor | None, shape) -> Tensor | None:
    return None if parameter is None else parameter.reshape(shape)


def _given(mean: Tensor, variance: Tensor, eps: float, shape) -> Statistics:
    """Running statistics, as they broadcast to the input."""
    wide = mean.dtype.compute
    means, variances = (
        each._values().astype(wide).reshape(shape) for each in (mean, variance)
    )
    return Statistics(means, variances, eps, None)


def _unbiased(count: int) -> float:
    """Population variance -> sample variance."""
    return count / max(count - 1, 1)


def _move(running: Tensor | None, value: np.ndarray, momentum: float) -> None:
    """running = (1 - momentum) · running + momentum · value, in place."""
    if running is None:
        return
    old = running._values().astype(value.dtype)
    new = old * (1 - momentum) + value.reshape(old.shape) * momentum
    with no_grad():
        write(running, Tensor._of(new.astype(value.dtype)))


def _last_axes(name, input, normalized_shape, **parameters) -> tuple[int, ...]:
    """The axes of `normalized_shape`; RuntimeError where input or parameters differ."""
    if isinstance(normalized_shape, int):
        normalized_shape = (normalized_shape,)
    shape = tuple(normalized_shape)
    if not shape:
        raise RuntimeError(
            f"{name}: Expected normalized_shape to be at least 1-dimensional, i.e.,"
            " containing at least one element, but got normalized_shape = []"
        )
    for argument, each in parameters.items():
        if each is not None and tuple(each.shape) != shape:
            raise RuntimeError(
                f"{name}: Expected {argument} to be of same shape as normalized_shape,"
                f" but got {argument} of shape {list(each.shape)} and normalized_shape"
                f" = {list(shape)}"
            )
    if tuple(input.shape[-len(shape) :]) != shape or input.ndim < len(shape):
        raise RuntimeError(
            f"{name}: Given normalized_shape={list(shape)}, expected input with shape"
            f" [*, {', '.join(map(str, shape))}], but got input of size"
            f" {list(input.shape)}"
        )
    half = input.dtype in (dtypes.float16, dtypes.bfloat16)
    for argument, each in parameters.items():
        if each is None or each.dtype is input.dtype:
            continue
        if not (half and each.dtype is dtypes.float32):
            raise RuntimeError(
                f"{name}: mixed dtype: input is {input.dtype}, {argument} {each.dtype}."
            )
    return tuple(range(input.ndim - len(shape), input.ndim))
