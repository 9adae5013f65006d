"""Dropout: elements, or whole channels, put to zero at random while training.

The stream is torch's where torch draws from mt19937; on Intel's processors torch draws
its dropout masks from MKL, which no other library can follow.
"""

from __future__ import annotations

import math
import warnings

from .. import random
from ..tensor import Tensor
from .arguments import check_tensor
from .operands import inplace as writing

__all__ = ["alpha_dropout", "dropout", "feature_alpha_dropout", "feature_dropout"]

# Where selu tends to for very negative inputs (Klambauer et al., 2017).
_SELU_FLOOR = 1.7580993408473766


def _check(name: str, input, p: float) -> None:
    check_tensor(name, "input", input)
    if not 0.0 <= p <= 1.0:
        raise ValueError(
            f"{name}: dropout probability has to be between 0 and 1, but got {p}."
        )


def _kept(input: Tensor, p: float, shape) -> Tensor:
    """Ones with probability 1 - p, zeros with p."""
    return Tensor._of(
        random.bernoulli(shape, 1 - p, dtype=input.dtype.name), input.dtype
    )


def _channels(name: str, input: Tensor) -> tuple[int, ...]:
    """The shape of a mask for whole channels."""
    if input.ndim < 2:
        raise RuntimeError(
            f"{name}: Feature dropout requires at least 2 dimensions in the input, got"
            f" {input.ndim}."
        )
    return (*input.shape[:2], *[1] * (input.ndim - 2))


def _dropped(input: Tensor, p: float, shape, inplace: bool) -> Tensor:
    if p == 0 or not input.numel():
        return input
    if p == 1:
        mask = Tensor._of(input._array[:0].copy(), input.dtype).new_zeros(())
    else:
        mask = _kept(input, p, shape) / (1 - p)
    return input.mul_(mask) if inplace else input * mask


def dropout(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Each element zero with probability `p`, else divided by 1 - p; only in training.

    Source: Srivastava et al. 2014.
    """
    _check("dropout", input, p)
    if not training:
        return input
    return _dropped(input, p, tuple(input.shape), inplace)


def feature_dropout(input: Tensor, p: float = 0.5, train: bool = True) -> Tensor:
    """Whole channels (the first two axes) zero with probability `p`."""
    _check("feature_dropout", input, p)
    if not train:
        return input
    return _dropped(input, p, _channels("feature_dropout", input), False)


def _by_channel(name, input, p, training, inplace, rank: int) -> Tensor:
    """`rank` spatial axes and, it may be, a batch."""
    if not training:
        return input
    if input.ndim == rank + 2:
        return _dropped(input, p, _channels(name, input), inplace)
    shape = (1, *_channels(name, input.unsqueeze(0))[1:])
    if inplace:
        return _dropped(input, p, shape[1:], True)
    return _dropped(input.unsqueeze(0), p, shape, False).squeeze(0)


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Whole channels of (batch, channels, length) zero; the batch is optional."""
    _check("dropout1d", input, p)
    if input.ndim not in (2, 3):
        raise RuntimeError(
            "dropout1d: Expected 2D or 3D input, but received a"
            f" {input.ndim}D input: (batch,) channels, length."
        )
    return _by_channel("dropout1d", input, p, training, inplace, 1)


def _warn_of_rank(name: str, input: Tensor, rank: int) -> None:
    warnings.warn(
        f"{name}: Received a {input.ndim}-D input to {name}, which is deprecated and"
        " will result in an error in a future release. Use dropout instead; note that"
        f" {name} drops whole channels of {rank} spatial dimensions.",
        stacklevel=3,
    )


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Whole channels of (batch, channels, height, width) zero.

    Three axes are taken as (batch, channels, length), with a warning, as in torch.
    """
    _check("dropout2d", input, p)
    if input.ndim not in (3, 4):
        _warn_of_rank("dropout2d", input, 2)
    if input.ndim == 3:
        warnings.warn(
            "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise"
            " 1D dropout behavior is desired - input is interpreted as shape (N, C, L),"
            " where C is the channel dim. Use dropout1d for that.",
            stacklevel=2,
        )
    if not training:
        return input
    return _dropped(input, p, _channels("dropout2d", input), inplace)


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Whole channels of (batch, channels, depth, height, width); batch is optional."""
    _check("dropout3d", input, p)
    if input.ndim not in (4, 5):
        _warn_of_rank("dropout3d", input, 3)
        return (
            _dropped(input, p, _channels("dropout3d", input), inplace)
            if training
            else input
        )
    return _by_channel("dropout3d", input, p, training, inplace, 3)


def _alpha(input: Tensor, p: float, shape, inplace: bool) -> Tensor:
    """Dropped elements go to selu's floor; then mean and variance are restored."""
    if p == 0 or not input.numel():
        return input
    if p == 1:
        return input.mul_(0) if inplace else input * 0
    floor = _SELU_FLOOR
    a = 1 / math.sqrt((floor * floor * p + 1) * (1 - p))
    kept = _kept(input, p, shape)
    shift = (kept - 1) * (floor * a) + floor * a * p
    if inplace:
        return writing(lambda x: x * (kept * a) + shift)(input)
    return input * (kept * a) + shift


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Dropout that keeps mean and variance after selu (Klambauer et al., 2017)."""
    _check("alpha_dropout", input, p)
    return _alpha(input, p, tuple(input.shape), inplace) if training else input


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """`alpha_dropout` of whole channels."""
    _check("feature_alpha_dropout", input, p)
    if not training:
        return input
    return _alpha(input, p, _channels("feature_alpha_dropout", input), inplace)
