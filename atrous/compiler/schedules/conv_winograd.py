"""Winograd convolution: how a problem is cut into blocks, and launched.

Tiles of all images and phases are cut into blocks, and depth into stretches of slices:
a chunk is one block in one stretch, or a share of its channels. The weight gradient has
few chunks, each with its own sums, which go through several blocks.

A value that is not finite would spread over its tile, so the kernel reports one that
comes out, and the caller solves again directly: NaN and inf are where torch has them.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod

import numpy as np

from .. import cache
from ..emit import ITEMSIZES
from ..recording import StandIn
from ..target import Target
from .conv_direct import LINE, STREAMED, choose_tile, row_tiles
from .conv_taps import Axis, Taps
from .winograd_choice import WEIGHT_BYTES, choose_sizes, grid, phases_of, three_axes
from .winograd_kernels import Winograd
from .winograd_weights import Weights, WeightTransform

#: Most bytes of transformed tiles of a block, for the weight gradient.
GRADIENT_BYTES = 8 << 20
#: Chunks that a launch should have, and threads that then should end together.
CHUNKS, THREADS = 8, (2, 4)
#: What transforming a slice of depth once more costs, of all the time of a slice.
HALO = 0.1
#: Parts of a weight gradient, each with its own sums: so many, or more if each then
#: still has TILES_A_PART.
PARTS = 4
TILES_A_PART = 384


@dataclass(frozen=True)
class Plan:
    """A launch but for its addresses."""

    kernel: Winograd
    numbers: tuple[int, ...]
    chunks: int
    parts: int
    maps: np.ndarray
    workspace: int  # elements a worker
    result_offset: int


def _strides(strides: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Batch and three axes of (batch, group, channel, *spatial)."""
    z, y, x = (*[0] * (6 - len(strides)), *strides[3:])
    return strides[0], z, y, x


def _scaled(strides: tuple[int, ...], axes: tuple[Axis, ...]) -> tuple[int, ...]:
    """Between neighbouring results of a phase."""
    steps = (1, *(axis.stride for axis in axes))
    return tuple(a * b for a, b in zip(strides, steps, strict=True))


def _first_marked(weights: Weights) -> list[int]:
    """For each position twice the number of its filter, and 1 if it is the first."""
    numbers = weights.filter_of_position()
    return [2 * n + (n not in numbers[:i]) for i, n in enumerate(numbers)]


def _maps(axes: tuple[Axis, ...], reaches: tuple[int, ...]) -> list[np.ndarray]:
    """Each axis's index, long enough for whole tiles: -1 where x is zero."""
    maps = []
    for axis, reach in zip(axes, reaches, strict=True):
        index = axis.index()
        spare = max(0, reach - len(index))
        maps.append(np.pad(index, (0, spare), constant_values=-1))
    return maps


def _block(
    weights: Weights,
    tiles: int,
    pixels: int,
    launches: int,
    solves_w: bool,
    evenly: bool,
) -> int:
    """Tiles that go through the steps together, in blocks of about equal size.

    Enough to make up for reading the weights from beyond the L2; for the results no
    more, as what the parts of their sums add up to then stays in the L1. At least
    `launches` blocks, as long as each fills the `pixels` of a product's registers;
    `evenly` so many that the threads end together.
    """
    least, most = pixels, 24
    if solves_w:  # its weights, read and written once a block, weigh as the tiles do
        c, k = weights.source_channels, weights.channels
        each = weights.positions * (weights.depth * c + k) * ITEMSIZES[weights.dtype]
        least = 24
        most = max(least, min(128, c * k // (c + k), GRADIENT_BYTES // each))
    size = min(most, max(least, -(-tiles // launches)))
    blocks = -(-tiles // size)
    if evenly and CHUNKS // 2 < blocks < 4 * CHUNKS:
        more = range(blocks, min(blocks + 4, tiles // pixels + 1))
        less = range(-(-tiles // (size + 4)), blocks)
        blocks = min(
            (*less, *more, blocks), key=lambda n: (_uneven(n), abs(n - blocks))
        )
    return -(-tiles // blocks)


def _uneven(chunks: int) -> float:
    """How much longer the last thread works than all would on equal shares."""
    return sum(-(-chunks // n) * n for n in THREADS) / (len(THREADS) * chunks)


def _streams(
    taps: Taps, weights: Weights, strides: tuple[int, ...], target: Target
) -> bool:
    """Whether results outgrow the caches, and are written in whole tiles and lines."""
    itemsize = ITEMSIZES[taps.dtype]
    size = taps.batch * taps.channels * taps.pixels * itemsize
    lines = (weights.lanes, taps.channels, strides[0], *strides[3:])
    return (
        size >= STREAMED * target.l2
        and weights.lanes * itemsize == LINE
        and all(step * itemsize % LINE == 0 for step in lines)
        and all(
            axis.count % (phase * outputs) == 0
            for axis, phase, outputs in zip(
                three_axes(taps)[1:], phases_of(taps)[1:], weights.tile, strict=True
            )
        )
    )


def _parts(blocks: int, limit: int) -> int:
    """Parts of the blocks, up to a limit, that keep threads busy to the end."""
    counts = range(limit, limit // 2, -1)
    return min(counts, key=lambda n: _uneven(n) * -(-blocks // n) * n)


def _depths(z: Axis, phases: int, tile_blocks: int) -> tuple[int, int]:
    """Outputs in depth of a block, and how many blocks all phases have, none of them
    without an output: enough for all threads, and no more than their halos are worth.
    """
    found = []
    for a_phase in range(1, max(1, z.count // (4 * phases)) + 1):
        size = -(-z.count // (phases * a_phase))
        blocks = a_phase * phases
        chunks = blocks * tile_blocks
        if (a_phase - 1) * size < z.count // phases:
            again = HALO * (len(z.taps) - 1) * blocks / z.count
            cost = (1 + again) * _uneven(chunks)
            found.append((chunks < CHUNKS, cost, size, blocks))
        if chunks > 8 * CHUNKS:
            break
    few, _, size, blocks = min(found)
    return (size, blocks) if not few else max(found, key=lambda each: each[3])[2:]


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
        steps=(y.step, x.step),
        depth=len(z.taps),
        channels=taps.channels,
        source_channels=spread,
        rows=-(-spread // width) * width if solves_w else spread,
        lanes=registers.lanes,
        vectors=registers.vectors,
    )
    tiles_y, tiles_x = grid(taps, tile)
    phases = phases_of(taps)
    tiles = taps.batch * tiles_y * tiles_x * prod(phases[1:])
    depth = -(-z.count // phases[0])
    depth_blocks = phases[0] * min(-(-CHUNKS // phases[0]), max(1, depth // 4))
    launches = -(-CHUNKS // (depth_blocks * weights.blocks))
    evenly = not solves_w and z.count == 1
    block = _block(weights, tiles, registers.pixels, launches, solves_w, evenly)
    if not solves_w:
        rows, width, wider = row_tiles(block, registers.pixels)
        width += wider > 0
        block = rows * width
    tile_blocks = -(-tiles // block)
    depth_a_block, depth_blocks = _depths(z, phases[0], tile_blocks)
    kernel = Winograd(
        weights=weights,
        phases=phases,
        depth_step=z.step,
        solves_w=solves_w,
        width=width,
        block=block,
        rows=x.border if source_strides[2] != 1 else None,
        streams=not solves_w and _streams(taps, weights, result_strides, target),
        bias=taps.bias,
        activation=taps.activation,
    )
    reaches = (
        0,
        phases[1] * (tiles_y * tile[0] * y.step + len(y.taps)),
        phases[2] * (tiles_x * tile[1] * x.step + len(x.taps)),
    )
    maps = _maps((z, y, x), reaches)
    parts = tile_blocks * depth_blocks
    if solves_w:
        most = max(1, WEIGHT_BYTES // (weights.size * ITEMSIZES[taps.dtype]))
        worth = tiles * z.count // TILES_A_PART
        least = -(-PARTS // weights.blocks)
        parts = _parts(parts, min(parts, most, max(least, min(worth, 4 * PARTS))))
    shares = min(weights.blocks, -(-CHUNKS // parts))
    workspace = -(-sum(kernel.sections) // 16) * 16
    numbers = (
        tiles,
        tiles_y,
        tiles_x,
        tile_blocks,
        z.count,
        depth_a_block,
        depth_blocks,
        parts,
        shares,
        *_strides(source_strides),
        source_strides[2],
        *_scaled(_strides(result_strides), (z, y, x)),
        y.size,
        x.size,
        -y.first,
        -x.first,
        y.count,
        x.count,
        len(maps[0]),
        len(maps[0]) + len(maps[1]),
        sum(map(len, maps)),
        workspace,
    )
    return Plan(
        kernel=kernel,
        numbers=numbers,
        chunks=parts * shares,
        parts=parts if solves_w else 1,
        maps=np.concatenate([*maps, _first_marked(weights)]).astype(np.int64),
        result_offset=sum(
            axis.phase * stride
            for axis, stride in zip(
                (z, y, x), _strides(result_strides)[1:], strict=True
            )
        ),
        workspace=workspace,
    )


def _transform_weights(
    w: StandIn, transformed: StandIn, weights: Weights, gradient: bool
) -> None:
    """w (channels, source channels, *taps) to `transformed` (parts, …), or back."""
    recorder, kernel = w.recorder, WeightTransform(weights, gradient)
    code = cache.kernel(("winograd_weights", kernel), kernel.build, recorder.target)
    steps = [stride // w.itemsize for stride in w.strides]
    numbers = (*steps[:2], *[0] * (5 - len(steps)), *steps[2:], len(transformed))
    recorder.launch(code, (w, transformed), numbers, weights.chunks)


def _launch(plan: Plan, source, transformed, bias, result) -> None:
    """Record the main kernel, which reports what comes out and is not finite."""
    recorder = result.recorder
    space = recorder.workspace(plan.workspace, result.dtype, plan.chunks)
    place = result, plan.result_offset
    pointers = source, transformed, bias, place, space, plan.maps, recorder.flag()
    kernel = plan.kernel
    code = cache.kernel(("winograd", kernel), kernel.build, recorder.target)
    recorder.launch(code, pointers, plan.numbers, plan.chunks)


def _each_group(array: StandIn | None, groups: int, axis: int) -> list:
    """Views of the channels of each group, which lie along an axis."""
    if array is None:
        return [None] * groups
    size = array.shape[axis] // groups
    before = (slice(None),) * axis
    return [array[*before, g * size : (g + 1) * size] for g in range(groups)]


def convolve(
    taps: Taps,
    source: StandIn,
    source_strides: tuple[int, ...],
    w: StandIn,
    bias: StandIn | None,
    result: StandIn,
    result_strides: tuple[int, ...],
) -> None:
    """Record a tap convolution. `w` is (groups, channels, source channels, *taps) in
    the order of the taps."""
    if taps.groups > 1:
        biases = _each_group(bias, taps.groups, 0)
        sources = _each_group(source, taps.groups, 1)
        results = _each_group(result, taps.groups, 1)
        one = replace(taps, groups=1)
        for group in range(taps.groups):
            convolve(
                one,
                sources[group],
                source_strides,
                w[group : group + 1],
                biases[group],
                results[group],
                result_strides,
            )
        return
    recorder = result.recorder
    chosen = plan(taps, source_strides, result_strides, False, recorder.target)
    weights = chosen.kernel.weights
    transformed = recorder.scratch((1, weights.size), taps.dtype)
    _transform_weights(w[0], transformed, weights, False)
    padded = recorder.scratch((chosen.kernel.result_row,), taps.dtype)
    padded.fill(0)
    if bias is not None:
        padded[: bias.size] = bias
    _launch(chosen, source, transformed, padded, result)


def weight_gradient(
    taps: Taps,
    x: StandIn,
    x_strides: tuple[int, ...],
    y: StandIn,
    y_strides: tuple[int, ...],
    w: StandIn,
) -> None:
    """Record what writes w, (channels, source channels, *taps), of one group."""
    recorder = w.recorder
    chosen = plan(taps, x_strides, y_strides, True, recorder.target)
    weights = chosen.kernel.weights
    sums = recorder.scratch((chosen.parts, weights.size), taps.dtype)
    _launch(chosen, x, sums, sums, y)
    _transform_weights(w, sums, weights, True)
    recorder.must_be_finite(w)
