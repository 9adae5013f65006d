"""Sampling an image or a volume at any places, and the places of an affine map.

Written with operations that have gradients, so that input and grid have them to every
order: a sample is a sum over the neighbours of its place, weights times values.
"""

from __future__ import annotations

import functools
import itertools
import operator
import warnings
from collections.abc import Callable

from .. import dtypes
from ..errors import operands as worded
from ..tensor import Tensor
from .arguments import check_tensor
from .autocast import in_float32
from .choice import where
from .create import tensor
from .join import stack

MODES = ("bilinear", "nearest", "bicubic")
BORDERS = ("zeros", "border", "reflection")
_AXES = {
    2: "batch, channels, height, width",
    3: "batch, channels, depth, height, width",
}


@in_float32
def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """`input` at the places of `grid`, which go from -1 to 1 along each axis, x first.

    (batch, channels, H, W) and (batch, h, w, 2), or (batch, channels, D, H, W) and
    (batch, d, h, w, 3) -> (batch, channels, h, w) or (…, d, h, w). With `align_corners`
    -1 and 1 are the centres of the outermost pixels, otherwise their outer edges.
    `mode`: "bilinear" (three axes: trilinear), "nearest", "bicubic" (two axes only);
    `padding_mode`: what lies outside, "zeros", "border" or "reflection".

    Raises ValueError for an unknown mode, RuntimeError where shapes do not fit.
    """
    _check(input, grid, mode, padding_mode)
    if align_corners is None:
        _warn_of_corners("grid_sample")
    rank = input.ndim - 2
    taps: list[list[tuple[Tensor, Tensor]]] = []
    for axis in range(rank):
        size = input.shape[-1 - axis]
        place = grid[..., axis]
        place = (place + 1) * ((size - 1) / 2 if align_corners else size / 2)
        if not align_corners:
            place = place - 0.5
        bound = _bounded(size, padding_mode, bool(align_corners))
        taps.insert(0, _TAPS[mode](place, bound))
    flat = input.flatten(2)
    values = [
        _valued(flat, tuple(input.shape[2:]), neighbours)
        for neighbours in itertools.product(*taps)
    ]
    total = functools.reduce(operator.add, values)
    return total.reshape(*input.shape[:2], *grid.shape[1:-1])


def _valued(flat: Tensor, sizes: tuple[int, ...], neighbours) -> Tensor:
    """Weight times value of one neighbour of each place: (batch, channels, places)."""
    places = [place for place, _ in neighbours]
    within = [(x >= 0) & (x <= n - 1) for x, n in zip(places, sizes, strict=True)]
    inside = functools.reduce(operator.and_, within)
    weight = functools.reduce(operator.mul, (factor for _, factor in neighbours))
    index = inside.long() * 0
    for size, place in zip(sizes, places, strict=True):
        index = index * size + where(inside, place, 0.0).long()
    batch, channels = flat.shape[:2]
    index = index.reshape(batch, 1, -1).expand(batch, channels, -1)
    scale = where(inside, weight, 0.0)
    return flat.gather(2, index) * scale.reshape(batch, 1, -1)


# Neighbours along one axis: their (whole) places, and their weights


def _nearest(place: Tensor, bound: Callable) -> list:
    # The weight is 1, and the gradient of the place 0.
    return [(bound(place).detach().round(), place * 0 + 1)]


def _linear(place: Tensor, bound: Callable) -> list:
    place = bound(place)
    low = place.detach().floor()
    part = place - low
    return [(low, 1 - part), (low + 1, part)]


def _cubic(place: Tensor, bound: Callable) -> list:
    """Keys 1981 with a = -0.75; what lies outside is decided for each neighbour."""
    low = place.detach().floor()
    part = place - low
    return [
        (bound(low + step), _cubic_weight((part - step).abs())) for step in range(-1, 3)
    ]


def _cubic_weight(x: Tensor, a: float = -0.75) -> Tensor:
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return where(x <= 1, near, far)


_TAPS = {"bilinear": _linear, "nearest": _nearest, "bicubic": _cubic}


def _bounded(size: int, border: str, align_corners: bool) -> Callable:
    """The map of places outside to places inside; zeros leave them where they are."""
    if border == "zeros":
        return lambda place: place
    if border == "border":
        return lambda place: place.clamp(0, size - 1)
    low, span = (0.0, size - 1) if align_corners else (-0.5, size)

    def reflected(place: Tensor) -> Tensor:
        if not span:
            return place * 0
        distance = (place - low).abs()
        flips = (distance.detach() / span).floor()
        rest = distance - flips * span
        back = where(flips % 2 == 0, rest, span - rest) + low
        return back.clamp(0, size - 1)

    return reflected


def _warn_of_corners(name: str) -> None:
    warnings.warn(
        f"{name}: Default grid_sample and affine_grid behavior has changed to"
        " align_corners=False since 1.3.0. Please specify align_corners=True if the old"
        " behavior is desired.",
        stacklevel=3,
    )


def _check(input, grid, mode: str, padding_mode: str) -> None:
    name = "grid_sample"
    check_tensor(name, "input", input)
    check_tensor(name, "grid", grid)
    for given, known, argument in (
        (mode, MODES, "mode"),
        (padding_mode, BORDERS, "padding_mode"),
    ):
        if given not in known:
            raise ValueError(
                f"{name}: {argument} is one of {', '.join(map(repr, known))}, not"
                f" {given!r}."
            )
    rank = input.ndim - 2
    fits = (
        rank in (2, 3)
        and grid.ndim == input.ndim
        and grid.shape[-1] == rank
        and grid.shape[0] == input.shape[0]
        and 0 not in input.shape[2:]
    )
    if not fits:
        raise RuntimeError(
            worded(
                f"{name}: expected 4D or 5D input and a grid of as many axes, with 2 or"
                " 3 coordinates a place and the same batch.",
                input=(input.shape, _AXES.get(rank, "")),
                grid=(grid.shape, "batch, …, coordinates"),
            )
        )
    if mode == "bicubic" and rank == 3:
        raise RuntimeError(f"{name}: bicubic interpolation only supports 4D input.")
    if input.dtype is not grid.dtype:
        raise RuntimeError(
            f"{name}: expected input and grid to have same dtype, but input has"
            f" {input.dtype} and grid has {grid.dtype}."
        )


def affine_grid(theta: Tensor, size, align_corners: bool | None = None) -> Tensor:
    """The places that `grid_sample` reads for the affine map `theta`.

    (batch, 2, 3) and size (batch, channels, H, W) -> (batch, H, W, 2), or (batch, 3, 4)
    and (batch, channels, D, H, W) -> (batch, D, H, W, 3).

    Raises TypeError for integers, ValueError where shapes do not fit.
    """
    check_tensor("affine_grid", "theta", theta)
    if not theta.is_floating_point():
        raise ValueError(
            f"affine_grid: Expected theta to have floating point type, but got"
            f" {theta.dtype}."
        )
    rank = len(size) - 2
    if rank not in (2, 3):
        raise NotImplementedError(
            "affine_grid: only supports 4D and 5D sizes, for 2D and 3D affine"
            f" transforms, respectively. Got size {tuple(size)}."
        )
    if tuple(theta.shape) != (size[0], rank, rank + 1):
        raise ValueError(
            worded(
                f"affine_grid: theta is no batch of {rank}D affine matrices.",
                theta=(theta.shape, f"expected {(size[0], rank, rank + 1)}"),
            )
        )
    if align_corners is None:
        _warn_of_corners("affine_grid")
    axes = [_centres(n, bool(align_corners), theta.dtype) for n in size[2:]]
    columns = []
    for axis in reversed(range(rank)):
        shape = [1] * rank
        shape[axis] = -1
        columns.append(axes[axis].reshape(shape).expand(*size[2:]))
    columns.append(columns[0] * 0 + 1)
    base = stack(columns, -1).reshape(1, -1, rank + 1)
    places = base.expand(size[0], -1, -1).matmul(theta.transpose(1, 2))
    return places.reshape(size[0], *size[2:], rank)


def _centres(n: int, align_corners: bool, kind: dtypes.dtype) -> Tensor:
    """The centres of n pixels between -1 and 1; the middle where there is but one."""
    if align_corners:
        values = [2 * i / (n - 1) - 1 for i in range(n)] if n > 1 else [0.0]
    else:
        values = [(2 * i + 1) / n - 1 for i in range(n)]
    return tensor(values, dtype=kind)
