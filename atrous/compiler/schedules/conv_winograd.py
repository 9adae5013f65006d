"""Winograd convolution: when it is chosen, and how a problem is cut for it.

Three taps on the last axes, at step 1: a tile of 4 × 4 results takes 36 products
instead of 144, in one dimension 6 instead of 12. Depth is summed directly (see
winograd_kernels), so that the error stays near the direct schedule's. The tile on each
axis is 4 or, where that would mostly compute what nobody asks for, 2.

A value that is not finite would spread over its tile, so the kernel reports one that
comes out, and the caller solves again directly: NaN and inf are where torch has them.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import prod

import numpy as np

from .. import cache, memory
from ..emit import ITEMSIZES
from ..pool import run, workers_of
from ..target import Target
from .conv_direct import choose_tile, row_tiles
from .conv_taps import Axis, Taps
from .winograd_kernels import Weights, WeightTransform, Winograd

#: Fewest channels, on either side, for which the products outweigh the transforms.
CHANNELS = 32
#: Most bytes of transformed weights, all parts of a gradient together.
WEIGHT_BYTES = 32 << 20
#: Chunks that a launch should have, so that threads end together.
CHUNKS = 16
#: Parts of a weight gradient, each with its own sums.
PARTS = 8
#: An axis that is not there: one position, one tap.
_UNIT = Axis(count=1, step=1, offsets=(0,), taps=(0,), size=1)


def handles(taps: Taps) -> bool:
    """Whether the schedule can compute this: three neighbouring taps on the last axis,
    three or one on the others, at step 1."""
    if taps.groups != 1 or len(taps.axes) > 3 or taps.dtype != "float32":
        return False
    if not taps.batch * taps.pixels * taps.source_channels * taps.channels:
        return False
    return all(
        len(axis.taps) in allowed
        and axis.contiguous
        and axis.step == axis.stride == 1
        and axis.size > 0
        for axis, allowed in zip(
            reversed(taps.axes), [(3,), (1, 3), (1, 2, 3)], strict=False
        )
    )


def three_axes(taps: Taps) -> tuple[Axis, Axis, Axis]:
    """Depth and the two axes that are transformed."""
    z, y, x = (*[_UNIT] * (3 - len(taps.axes)), *taps.axes)
    return z, y, x


@dataclass(frozen=True)
class Plan:
    """A launch but for its addresses."""

    kernel: Winograd
    numbers: tuple[int, ...]
    chunks: int
    parts: int
    maps: np.ndarray
    workspace: int  # elements a worker


def _strides(strides: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Batch and three axes of (batch, group, channel, *spatial)."""
    z, y, x = (*[0] * (6 - len(strides)), *strides[3:])
    return strides[0], z, y, x


def _maps(axes: tuple[Axis, ...], reaches: tuple[int, ...]) -> list[np.ndarray]:
    """Each axis's index, long enough for whole tiles: -1 where x is zero."""
    maps = []
    for axis, reach in zip(axes, reaches, strict=True):
        index = axis.index()
        spare = max(0, reach - len(index))
        maps.append(np.pad(index, (0, spare), constant_values=-1))
    return maps


def _grid(taps: Taps, tile: tuple[int, int]) -> tuple[int, int]:
    """Tiles on the two transformed axes."""
    _, y, x = three_axes(taps)
    return -(-y.count // tile[0]), -(-x.count // tile[1])


def choose_sizes(taps: Taps) -> tuple[int, int]:
    """The tile's outputs on the two axes: those with the fewest products."""
    _, y, x = three_axes(taps)
    rows, columns = ((4, 2) if len(axis.taps) == 3 else (1,) for axis in (y, x))

    def work(tile: tuple[int, int]) -> int:
        reach = [m + len(a.taps) - 1 for m, a in zip(tile, (y, x), strict=True)]
        return prod(_grid(taps, tile)) * prod(reach)

    return min(product(rows, columns), key=work)


def _block(weights: Weights, tiles: int, solves_w: bool, target: Target) -> int:
    """Tiles that go through the steps together: what fits in the L2, but enough to
    make up for reading the weights from beyond it."""
    each = weights.depth * weights.source_channels + weights.blocks * weights.block
    each *= weights.positions * ITEMSIZES[weights.dtype]
    fitting = target.l2 * 5 // 8 // each
    return max(1, min(tiles, max(fitting, 48 if solves_w else 24), 128))


@lru_cache(maxsize=1024)
def plan(
    taps: Taps,
    source_strides: tuple[int, ...],
    result_strides: tuple[int, ...],
    solves_w: bool,
    target: Target,
) -> Plan:
    """Choose tile, registers and blocks. Strides as for `conv_direct.plan`; for the
    weight gradient the result is y."""
    z, y, x = three_axes(taps)
    registers = choose_tile(taps.channels, taps.dtype, target)
    tile = choose_sizes(taps)
    spread = taps.source_channels
    width = -(-spread // -(-spread // registers.pixels))
    weights = Weights(
        dtype=taps.dtype,
        tile=tile,
        taps=(len(y.taps), len(x.taps)),
        depth=len(z.taps),
        channels=taps.channels,
        source_channels=spread,
        rows=-(-spread // width) * width if solves_w else spread,
        lanes=registers.lanes,
        vectors=registers.vectors,
    )
    tiles_y, tiles_x = _grid(taps, tile)
    tiles = taps.batch * tiles_y * tiles_x
    block = _block(weights, tiles, solves_w, target)
    if not solves_w:
        rows, width, wider = row_tiles(block, registers.pixels)
        width += wider > 0
        block = rows * width
    tile_blocks = -(-tiles // block)
    depth_blocks = min(max(1, z.count // 4), -(-CHUNKS // tile_blocks))
    depth_a_block = -(-z.count // depth_blocks)
    depth_blocks = -(-z.count // depth_a_block)
    kernel = Winograd(weights, solves_w, width, block, taps.bias, taps.activation)
    reaches = (0, *(n * m + 2 for n, m in zip((tiles_y, tiles_x), tile, strict=True)))
    maps = _maps((z, y, x), reaches)
    chunks = blocks = tile_blocks * depth_blocks
    if solves_w:
        most = WEIGHT_BYTES // (prod(weights.shape) * ITEMSIZES[taps.dtype])
        chunks = max(1, min(blocks, PARTS, most))
    workspace = -(-sum(kernel.sections) // 16) * 16
    numbers = (
        tiles,
        tiles_y,
        tiles_x,
        tile_blocks,
        z.count,
        depth_a_block,
        depth_blocks,
        chunks,
        *_strides(source_strides),
        *_strides(result_strides),
        y.size,
        x.size,
        -y.first,
        -x.first,
        y.count,
        x.count,
        len(maps[0]),
        len(maps[0]) + len(maps[1]),
        workspace,
    )
    return Plan(
        kernel=kernel,
        numbers=numbers,
        chunks=chunks,
        parts=chunks if solves_w else 1,
        maps=np.concatenate(maps).astype(np.int64),
        workspace=workspace,
    )


def _transform_weights(
    w: np.ndarray, transformed: np.ndarray, weights: Weights, gradient: bool, target
) -> None:
    """w (channels, source channels, *taps) to `transformed` (parts, …), or back."""
    kernel = WeightTransform(weights, gradient)
    address = cache.kernel(("winograd_weights", kernel), kernel.build, target)
    steps = [stride // w.itemsize for stride in w.strides]
    numbers = (*steps[:2], *[0] * (5 - len(steps)), *steps[2:], len(transformed))
    addresses = (w.ctypes.data, transformed.ctypes.data)
    run(address, (*addresses, *numbers), weights.chunks)


def _launch(plan: Plan, source, transformed, bias, result, target: Target) -> bool:
    """Run the main kernel. Returns whether all that came out is finite."""
    workspace = memory.empty(
        (plan.workspace * workers_of(plan.chunks),), transformed.dtype
    )
    strange = np.zeros(1, np.int64)
    arrays = (source, transformed, bias, result, workspace, plan.maps, strange)
    address = cache.kernel(("winograd", plan.kernel), plan.kernel.build, target)
    run(address, (*(a.ctypes.data for a in arrays), *plan.numbers), plan.chunks)
    return not strange[0]


def convolve(
    taps: Taps,
    source: np.ndarray,
    source_strides: tuple[int, ...],
    w: np.ndarray,
    bias: np.ndarray | None,
    result: np.ndarray,
    result_strides: tuple[int, ...],
    target: Target,
) -> bool:
    """Run a tap convolution. `w` is (channels, source channels, *taps) in the order of
    the taps. Returns False if something is not finite: the result is then not it."""
    chosen = plan(taps, source_strides, result_strides, False, target)
    weights = chosen.kernel.weights
    transformed = memory.empty((1, *weights.shape), taps.dtype)
    _transform_weights(w, transformed, weights, False, target)
    padded = np.zeros(chosen.kernel.result_row, taps.dtype)
    if bias is not None:
        padded[: bias.size] = bias
    return _launch(chosen, source, transformed, padded, result, target)


def weight_gradient(
    taps: Taps,
    x: np.ndarray,
    x_strides: tuple[int, ...],
    y: np.ndarray,
    y_strides: tuple[int, ...],
    w: np.ndarray,
    target: Target,
) -> bool:
    """Write w, as `convolve` takes it. Returns False if something is not finite."""
    chosen = plan(taps, x_strides, y_strides, True, target)
    weights = chosen.kernel.weights
    sums = memory.empty((chosen.parts, *weights.shape), taps.dtype)
    _launch(chosen, x, sums, sums, y, target)
    _transform_weights(w, sums, weights, True, target)
    return bool(np.isfinite(w).all())
