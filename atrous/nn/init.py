"""Filling tensors with starting values: torch's distributions, drawn in torch's order.

Every function fills its tensor in place, unrecorded, and returns it.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from atrous import autograd
from atrous.dtypes import bool_
from atrous.ops import create, data, sample
from atrous.tensor import Tensor

LINEAR = (
    "linear",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "sigmoid",
)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance through a nonlinearity.

    1 for linear layers and sigmoid, 5/3 for tanh, √2 for relu, 3/4 for selu,
    √(2 / (1 + slope²)) for leaky_relu, whose slope is `param` (0.01).

    Raises ValueError for an unknown name or a slope that is no number.
    """
    if nonlinearity in LINEAR:
        return 1
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(
                f"calculate_gain: the slope must be a number, got {param!r}"
            )
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity == "selu":
        return 3.0 / 4  # found by trial, not derived
    raise ValueError(
        f"calculate_gain: unknown nonlinearity {nonlinearity!r}; known are "
        f"{', '.join((*LINEAR, 'tanh', 'relu', 'leaky_relu', 'selu'))}"
    )


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """How many values one output sums, and how many outputs one value enters.

    weight (out, in, *kernel): in · taps, and out · taps.
    """
    if tensor.dim() < 2:
        raise ValueError(
            "fan in and fan out need a weight of at least 2 axes, got "
            f"{tuple(tensor.shape)}"
        )
    taps = math.prod(tensor.shape[2:])
    return tensor.size(1) * taps, tensor.size(0) * taps


def _calculate_correct_fan(tensor: Tensor, mode: str) -> int:
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode must be 'fan_in' or 'fan_out', got {mode!r}")
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    return fan_in if mode == "fan_in" else fan_out


def _nothing_to_fill(tensor: Tensor) -> bool:
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
        return True
    return False


@autograd.no_grad()
def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None
) -> Tensor:
    """Uniform from `a` to `b`."""
    return tensor.uniform_(a, b, generator=generator)


@autograd.no_grad()
def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None
) -> Tensor:
    """Normal around `mean` with standard deviation `std`."""
    return tensor.normal_(mean, std, generator=generator)


@autograd.no_grad()
def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Any = None,
) -> Tensor:
    """Normal, but never outside `a` … `b`: values outside are drawn again."""
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            f"mean {mean} is more than 2 std from [{a}, {b}] in nn.init.trunc_normal_. "
            "The distribution of values may be incorrect.",
            stacklevel=2,
        )
    below = [
        (1.0 + math.erf((end - mean) / std / math.sqrt(2.0))) / 2 for end in (a, b)
    ]
    within = below[1] - below[0]
    if within > 0.3:
        return _redraw_outside(tensor, mean, std, a, b, generator)
    return _redraw_unlikely(tensor, mean, std, a, b, generator)


def _redraw_outside(
    tensor: Tensor, mean: float, std: float, a: float, b: float, generator: Any
) -> Tensor:
    """Normal values; those outside `a` … `b` are drawn again, until none is left."""
    low, high = tensor.new_tensor(a).item(), tensor.new_tensor(b).item()
    tensor.normal_(mean, std, generator=generator)
    outside = (tensor < low) | (tensor > high)
    while outside.any():
        again = create.empty_like(tensor).normal_(mean, std, generator=generator)
        tensor.copy_(again.where(outside, tensor))
        outside = (tensor < low) | (tensor > high)
    return tensor


def _redraw_unlikely(
    tensor: Tensor, mean: float, std: float, a: float, b: float, generator: Any
) -> Tensor:
    """Uniform values in `a` … `b`, each kept with the probability of its density.

    Where little of the normal lies in the range, few normal draws would fall into it.
    """
    peak = -0.5 * ((max(a, min(mean, b)) - mean) / std) ** 2
    pending = create.ones_like(tensor, dtype=bool_)
    chance = create.empty_like(tensor)
    while pending.any():
        drawn = create.empty_like(tensor).uniform_(a, b, generator=generator)
        tensor.copy_(drawn.where(pending, tensor))
        density = drawn.sub_(mean).div_(std).pow_(2).mul_(-0.5).sub_(peak)
        pending &= chance.uniform_(generator=generator).log_().gt(density)
    return tensor


@autograd.no_grad()
def constant_(tensor: Tensor, val: float) -> Tensor:
    """Every value becomes `val`."""
    return tensor.fill_(val)


@autograd.no_grad()
def ones_(tensor: Tensor) -> Tensor:
    """Every value becomes 1."""
    return tensor.fill_(1.0)


@autograd.no_grad()
def zeros_(tensor: Tensor) -> Tensor:
    """Every value becomes 0."""
    return tensor.zero_()


@autograd.no_grad()
def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix, as far as it fits: a Linear layer that passes through."""
    if tensor.dim() != 2:
        raise ValueError(f"eye_: 2 axes expected, got {tuple(tensor.shape)}")
    tensor.zero_()
    for place in range(min(tensor.shape)):
        tensor[place, place] = 1
    return tensor


@autograd.no_grad()
def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A 1 in the middle of the kernel: convolutions start by passing channels through.

    Raises ValueError unless the weight has 3 to 5 axes and `groups` divides its first.
    """
    if tensor.dim() not in (3, 4, 5):
        raise ValueError(f"dirac_: 3 to 5 axes expected, got {tuple(tensor.shape)}")
    if tensor.size(0) % groups:
        raise ValueError(
            f"dirac_: {tensor.size(0)} output channels are not divisible by groups="
            f"{groups}"
        )
    block = tensor.size(0) // groups
    middle = tuple(size // 2 for size in tensor.shape[2:])
    tensor.zero_()
    for group in range(groups):
        for channel in range(min(block, tensor.size(1))):
            tensor[(group * block + channel, channel, *middle)] = 1
    return tensor


@autograd.no_grad()
def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Uniform within ±gain·√(6 / (fan_in + fan_out)). Source: Glorot & Bengio 2010."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    std = gain * math.sqrt(2.0 / float(fan_in + fan_out))
    bound = math.sqrt(3.0) * std
    return tensor.uniform_(-bound, bound, generator=generator)


@autograd.no_grad()
def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Normal, std gain·√(2 / (fan_in + fan_out)). Source: Glorot & Bengio 2010."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    std = gain * math.sqrt(2.0 / float(fan_in + fan_out))
    return tensor.normal_(0.0, std, generator=generator)


@autograd.no_grad()
def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """Uniform within ±gain·√(3 / fan); `a` is the slope of a leaky_relu.

    Source: He et al. 2015, arXiv:1502.01852.
    """
    if _nothing_to_fill(tensor):
        return tensor
    fan = _calculate_correct_fan(tensor, mode)
    std = calculate_gain(nonlinearity, a) / math.sqrt(fan)
    bound = math.sqrt(3.0) * std
    return tensor.uniform_(-bound, bound, generator=generator)


@autograd.no_grad()
def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """Normal, std gain / √fan; `a` is the slope of a leaky_relu.

    Source: He et al. 2015, arXiv:1502.01852.
    """
    if _nothing_to_fill(tensor):
        return tensor
    fan = _calculate_correct_fan(tensor, mode)
    std = calculate_gain(nonlinearity, a) / math.sqrt(fan)
    return tensor.normal_(0, std, generator=generator)


@autograd.no_grad()
def orthogonal_(tensor: Tensor, gain: float = 1, generator: Any = None) -> Tensor:
    """Orthonormal rows (or columns, where there are fewer), times `gain`.

    Axes after the first count as one. Source: Saxe et al. 2013, arXiv:1312.6120.
    """
    if tensor.dim() < 2:
        raise ValueError(
            f"orthogonal_: at least 2 axes expected, got {tuple(tensor.shape)}"
        )
    if tensor.numel() == 0:
        return tensor
    rows = tensor.size(0)
    drawn = tensor.new_empty((rows, tensor.numel() // rows)).normal_(
        0, 1, generator=generator
    )
    values = drawn.numpy()
    wide = values.shape[0] < values.shape[1]
    q, r = np.linalg.qr(values.T if wide else values)
    q = q * np.sign(np.diagonal(r))  # makes the decomposition unique
    drawn.copy_(data.from_numpy(np.ascontiguousarray(q.T if wide else q)))
    tensor.copy_(drawn.view(tensor.shape))
    return tensor.mul_(gain)


@autograd.no_grad()
def sparse_(
    tensor: Tensor, sparsity: float, std: float = 0.01, generator: Any = None
) -> Tensor:
    """Normal, and a share of `sparsity` of each column 0. Source: Martens 2010."""
    if tensor.dim() != 2:
        raise ValueError(f"sparse_: 2 axes expected, got {tuple(tensor.shape)}")
    rows, columns = tensor.shape
    zeros = math.ceil(sparsity * rows)
    tensor.normal_(0, std, generator=generator)
    for column in range(columns):
        tensor[sample.randperm(rows)[:zeros], column] = 0
    return tensor


def _deprecated(function: Callable) -> Callable:
    """The old name of an initialiser, without the underscore."""
    new = function.__name__
    old = new[:-1]

    @functools.wraps(function)
    def renamed(*args: Any, **kwargs: Any) -> Any:
        warnings.warn(
            f"`nn.init.{old}` is now deprecated in favor of `nn.init.{new}`.",
            FutureWarning,
            stacklevel=2,
        )
        return function(*args, **kwargs)

    renamed.__name__ = old
    return renamed


uniform = _deprecated(uniform_)
normal = _deprecated(normal_)
constant = _deprecated(constant_)
eye = _deprecated(eye_)
dirac = _deprecated(dirac_)
xavier_uniform = _deprecated(xavier_uniform_)
xavier_normal = _deprecated(xavier_normal_)
kaiming_uniform = _deprecated(kaiming_uniform_)
kaiming_normal = _deprecated(kaiming_normal_)
orthogonal = _deprecated(orthogonal_)
sparse = _deprecated(sparse_)
