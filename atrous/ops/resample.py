"""Resizing: nearest, linear, cubic and area, each a banded matrix along each axis.

The centre of output o lies at (o + ½)·scale - ½ of the input, scale = in / out; with
`align_corners` the outermost centres coincide: o·(in - 1) / (out - 1).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import compiler, dtypes
from ..autograd import record
from ..tensor import Tensor
from .arguments import check_tensor
from .autocast import in_float32
from .elementwise import X
from .operands import evaluate
from .pool import adaptive_average
from .sizes import by

if TYPE_CHECKING:
    from ..compiler.spec import ResampleSpec

MODES = [
    "nearest",
    "linear",
    "bilinear",
    "bicubic",
    "trilinear",
    "area",
    "nearest-exact",
]
_RANK_OF = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}
_FORMS = {"bilinear": "linear", "trilinear": "linear", "bicubic": "cubic"}
_NODES = {
    "nearest": "UpsampleNearest{}DBackward0",
    "nearest-exact": "UpsampleNearestExact{}DBackward0",
    "linear": "UpsampleLinear1DBackward0",
    "bilinear": "UpsampleBilinear2DBackward0",
    "bicubic": "UpsampleBicubic2DBackward0",
    "trilinear": "UpsampleTrilinear3DBackward0",
}


def interpolate(
    input: Tensor,
    size=None,
    scale_factor=None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Resize (batch, channels, …) to `size` or by `scale_factor`, one or one an axis.

    `mode`: nearest, nearest-exact and area for 1 to 3 spatial axes, linear for 1,
    bilinear and bicubic for 2, trilinear for 3. Positions follow `scale_factor` as it
    was given, unless `recompute_scale_factor`.

    Raises ValueError for contradictory arguments, NotImplementedError for a mode that
    does not fit the number of axes.
    """
    check_tensor("interpolate", "input", input)
    _check_mode(input, mode, align_corners, antialias)
    spatial = tuple(input.shape[2:])
    sizes, factors = _target(spatial, size, scale_factor, recompute_scale_factor)
    if min((*spatial, *sizes)) < 1:
        raise RuntimeError(
            "interpolate: Input and output sizes should be greater than 0, but got"
            f" input {by(spatial)} output {by(sizes)}."
        )
    if mode == "area":
        average = in_float32(adaptive_average) if input.ndim == 5 else adaptive_average
        return average("interpolate", input, sizes)
    if not input.is_floating_point() and input.dtype is not dtypes.uint8:
        raise NotImplementedError(
            f"interpolate: not implemented for '{input.dtype.alias}' tensors."
        )
    # A size that cannot fit is refused here, before tables as long as it are made.
    compiler.empty((*input.shape[:2], *sizes), input._array.dtype)
    spec = compiler.ResampleSpec(
        _FORMS.get(mode, mode), spatial, sizes, bool(align_corners), _steps(factors)
    )
    return _resampled(_NODES[mode].format(len(spatial)), input, spec)


def _steps(factors: tuple) -> tuple | None:
    """The distance between samples, where it does not follow from the sizes."""
    if all(factor is None for factor in factors):
        return None
    return tuple(1 / factor for factor in factors)


def _check_mode(input: Tensor, mode: str, align_corners, antialias: bool) -> None:
    smooth = mode in _RANK_OF
    if align_corners is not None and mode in MODES and not smooth:
        raise ValueError(
            "interpolate: align_corners option can only be set with the interpolating"
            f" modes: linear | bilinear | bicubic | trilinear, not {mode!r}."
        )
    if mode not in MODES or input.ndim not in (3, 4, 5):
        raise NotImplementedError(
            "interpolate: Only 3D, 4D and 5D input Tensors supported (got"
            f" {input.ndim}D) for the modes: {' | '.join(MODES)} (got {mode})."
        )
    if smooth and input.ndim != _RANK_OF[mode] + 2:
        raise NotImplementedError(
            f"interpolate: Got {input.ndim}D input, but {mode} mode needs"
            f" {_RANK_OF[mode] + 2}D input."
        )
    if antialias:
        raise NotImplementedError(
            "interpolate: antialias=True is not offered; blur before shrinking, or use"
            " mode='area'."
        )


def _target(spatial: tuple, size, factor, recompute) -> tuple[tuple, tuple]:
    """The sizes to reach, and the factors that positions follow (None: from sizes)."""
    if (size is None) == (factor is None):
        what = "either" if size is None else "only one of"
        joined = "or"
        raise ValueError(
            f"interpolate: {what} size {joined} scale_factor should be defined."
        )
    rank = len(spatial)
    given, name = (size, "size") if factor is None else (factor, "scale_factor")
    if not isinstance(given, Sequence):
        given = (given,) * rank
    if len(given) != rank:
        raise ValueError(
            "interpolate: Input and output must have the same number of spatial"
            f" dimensions, but got input with spatial dimensions of {list(spatial)} and"
            f" {name} of {tuple(given)}."
        )
    if factor is None:
        if recompute:
            raise ValueError(
                "interpolate: recompute_scale_factor is not meaningful with an explicit"
                " size."
            )
        return tuple(map(int, given)), (None,) * rank
    factors = tuple(map(float, given))
    sizes = tuple(math.floor(n * f) for n, f in zip(spatial, factors, strict=True))
    return sizes, (None,) * rank if recompute else factors


def _resampled(node: str, input: Tensor, spec: ResampleSpec, adjoint=False) -> Tensor:
    """A banded matrix along each axis, or (`adjoint`) its transpose; differentiable."""
    kind = input.dtype
    wide = kind if kind is dtypes.float64 else dtypes.float32
    array = input._array
    if kind is not wide:
        array = evaluate(X, (input,), None, wide)._array
    solve = compiler.resample_gradient if adjoint else compiler.resample
    out = Tensor._of(solve(spec, array))
    if kind is dtypes.uint8:
        out = evaluate(("round", X), (out,), None, wide).clamp(0, 255)
    if kind is not wide:
        out = evaluate(X, (out,), None, kind)
    again = node.replace("Backward0", "BackwardBackward0")
    return record(
        out,
        node,
        (input,),
        lambda g: (lambda: _resampled(again, g, spec, not adjoint),),
    )


def upsample(
    input: Tensor, size=None, scale_factor=None, mode="nearest", align_corners=None
) -> Tensor:
    """The old name of `interpolate`."""
    warnings.warn(
        "`nn.functional.upsample` is deprecated. Use `nn.functional.interpolate`"
        " instead.",
        stacklevel=2,
    )
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Tensor, size=None, scale_factor=None) -> Tensor:
    """`interpolate` with mode "nearest"."""
    warnings.warn(
        "`nn.functional.upsample_nearest` is deprecated. Use"
        " `nn.functional.interpolate` instead.",
        stacklevel=2,
    )
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(input: Tensor, size=None, scale_factor=None) -> Tensor:
    """`interpolate` with mode "bilinear" and aligned corners."""
    warnings.warn(
        "`nn.functional.upsample_bilinear` is deprecated. Use"
        " `nn.functional.interpolate` instead.",
        stacklevel=2,
    )
    return interpolate(input, size, scale_factor, "bilinear", True)
