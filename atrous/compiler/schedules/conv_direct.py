"""Direct convolution: y and the input gradient, from one loop nest over taps.

Chosen here: the tile of the result that stays in registers, what of the source a chunk
reads, and how the result is written. The loops are direct_kernels'.

Registers: pixels·vectors sums, `vectors` weights and one spread x: 4 × 6 on 32
registers, 3 × 4 on 16. Sources: Georganas et al. 2018, arXiv:1808.05567; the sizes are
those of LIBXSMM. Rows are cut into tiles that differ by at most one pixel.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from ..emit import ITEMSIZES
from ..target import Target
from .conv_blocks import CHUNKS, Blocks, cut, source_layout
from .conv_taps import Strides, Taps, merged
from .direct_kernels import LINE, PART, Direct
from .packing import pack_weights

#: A result of so many times L2 is streamed: else its lines are read to be overwritten.
STREAMED = 8


def handles(taps: Taps, target: Target) -> bool:
    """Every tap convolution."""
    return True


def pack(w: np.ndarray, kernel: Direct, out: np.ndarray) -> None:
    """Weights as the kernel reads them; `out` has the plan's weights_shape."""
    pack_weights(w, kernel.tile_channels, out)


@dataclass(frozen=True)
class Tile:
    """How many results a kernel holds in registers: pixels × vectors of lanes."""

    lanes: int
    vectors: int
    pixels: int

    @property
    def channels(self) -> int:
        return self.lanes * self.vectors


#: Pixels in a tile of so many vectors, and how near it comes to the peak.
_TILES = {
    32: {1: (28, 0.85), 2: (14, 0.95), 3: (9, 1.0), 4: (6, 1.0)},
    16: {1: (12, 0.8), 2: (6, 0.97), 3: (4, 1.0)},
}
#: What the extra instructions of half a vector cost where the arithmetic does not.
HALF_WORTH = 0.85


def choose_tile(channels: int, dtype: str, target: Target) -> Tile:
    """The tile that computes so many channels of the result soonest.

    Wider tiles read x less often, but spare lanes are wasted work: shorter vectors
    serve few channels and, where a half costs half, channels that fill no whole one.
    """
    full = target.lanes(ITEMSIZES[dtype])
    tiles = []
    for lanes in (full // 4, full // 2, full):
        if lanes < 2:
            continue
        needed = -(-channels // lanes)
        cost = 0.5 / HALF_WORTH if target.halves and lanes < full else 1.0
        for vectors, (pixels, worth) in _TILES[target.registers].items():
            if vectors <= needed:
                work = -(-needed // vectors) * vectors * cost / worth
                tiles.append((work, Tile(lanes, vectors, pixels)))
    return min(tiles, key=lambda tile: tile[0])[1]


@dataclass(frozen=True)
class Plan:
    """A launch but for its addresses: the kernel and the numbers it is given.

    `bias_shape` and `weights_shape` are (groups, channels) and (groups, blocks of
    source channels, blocks of channels, taps, source channels, channels).
    """

    kernel: Any  # the facts of the code; they `build` it
    blocks: Blocks
    numbers: tuple[int, ...]
    result_offset: int
    chunks: int
    bias_shape: tuple[int, int]
    weights_shape: tuple[int, ...]


def row_tiles(count: int, most: int) -> tuple[int, int, int]:
    """A row of `count` pixels in tiles of at most `most`: how many, how wide at least,
    and how many of them are one wider."""
    tiles = -(-count // most)
    return tiles, *divmod(count, tiles)


def run_group(runs: int, length: int) -> int:
    """How many runs of so many terms make a part; 0 if all of them are about one, or
    one is many. Parts are of equal length, as few as there can be."""
    parts = runs * length // PART
    return 0 if parts < 2 or length >= 2 * PART else -(-runs // parts)


def _channel_block(taps: Taps, tile: Tile, itemsize: int, target: Target) -> int:
    """Source channels at a time, so that a block of weights stays in half the L2."""
    each = taps.taps * tile.channels * itemsize
    most = max(8, target.l2 // 2 // each)
    blocks = -(-taps.source_channels // most)
    return -(-taps.source_channels // blocks)


def piece_tile(channels: int, pieces: int, dtype: str, target: Target) -> Tile | None:
    """The tile for channels that lie in so many pieces in the result, each together.

    A block of a tile's channels is part of a piece, or some whole pieces; None if no
    tile is so.
    """
    piece = channels // pieces
    for each in (channels, piece):
        tile = choose_tile(each, dtype, target)
        alone = channels <= tile.channels
        whole = tile.channels % piece == 0 and channels % tile.channels == 0
        if pieces == 1 or alone or whole or piece % tile.channels == 0:
            return tile
    return None


def _streams(
    taps: Taps,
    tile: Tile,
    strides: Strides,
    pieces: tuple[int, ...],
    target: Target,
) -> bool:
    """Whether the result, other phases included, outgrows the caches, and is written in
    whole lines."""
    itemsize = ITEMSIZES[taps.dtype]
    steps = [a.stride * s for a, s in zip(taps.axes, strides[3:], strict=True)]
    counts = (taps.batch, *taps.count)
    walks = zip(counts, (strides[0], *steps), strict=True)
    piece = taps.channels // len(pieces)
    last = sum((count - 1) * step for count, step in walks) + max(pieces)
    whole = (tile.channels, piece, strides[0], strides[1], *strides[3:], *pieces)
    return (
        (last + piece) * itemsize >= STREAMED * target.l2
        and taps.channels % tile.channels == 0
        and all(step * itemsize % LINE == 0 for step in whole)
    )


@lru_cache(maxsize=4096)
def plan(
    taps: Taps,
    source_strides: tuple[int, ...],
    result_strides: tuple[int, ...],
    target: Target,
    pieces: tuple[int, ...] = (0,),
) -> Plan:
    """Choose tile, blocks and slab.

    Strides are in elements: batch, group, channel, *spatial. The result's channels are
    neighbours; if it is large (see STREAMED) it lies in a block of `memory.empty`.
    Where its channels lie in `pieces` (see there) these are the offsets of each.
    """
    taps, source_strides, result_strides = merged(taps, source_strides, result_strides)
    tile = piece_tile(taps.channels, len(pieces), taps.dtype, target)
    assert tile is not None
    tiles, width, wider = row_tiles(taps.count[-1], tile.pixels)
    channel_block = taps.source_channels
    if len(pieces) == 1:
        channel_block = _channel_block(taps, tile, ITEMSIZES[taps.dtype], target)
    layout = source_layout(taps, source_strides, channel_block)
    blocks = cut(
        taps,
        source_strides,
        result_strides,
        layout,
        channel_block,
        (tiles, width + (wider > 0)),
        target,
    )
    run_length = channel_block * (len(taps.axes[-1].taps) if blocks.folds else 1)
    kernel = Direct(
        dtype=taps.dtype,
        rank=len(taps.axes),
        lanes=tile.lanes,
        vectors=tile.vectors,
        width=width,
        wider=wider > 0,
        channels=taps.channels,
        source_channels=taps.source_channels,
        channel_block=channel_block,
        run_length=run_length,
        pixel=taps.axes[-1].step * blocks.pitch,
        layout=blocks.layout,
        border=taps.axes[0].border,
        bias=taps.bias,
        activation=taps.activation,
        run_group=run_group(len(blocks.runs), run_length),
        streams=channel_block == taps.source_channels
        and _streams(taps, tile, result_strides, pieces, target),
        pieces=len(pieces),
    )
    found = launch_plan(
        taps, kernel, blocks, taps.groups, source_strides, result_strides
    )
    if len(pieces) > 1:
        table = np.concatenate([blocks.runs, np.array(pieces, np.int64)])
        found = replace(found, blocks=replace(blocks, runs=table))
    return found


def launch_plan(
    taps: Taps,
    kernel,
    blocks: Blocks,
    groups: int,
    source_strides: tuple[int, ...],
    result_strides: tuple[int, ...],
) -> Plan:
    """The numbers of a launch, in the order of the kernel's arguments."""
    outer = taps.batch * groups * prod(blocks.counts)
    parts = min(kernel.blocks, -(-CHUNKS // outer))
    blocks_a_part = -(-kernel.blocks // parts)
    parts = -(-kernel.blocks // blocks_a_part)
    tiles = -(-taps.count[-1] // (kernel.width + kernel.wider))
    numbers = (
        len(blocks.runs),
        groups,
        parts,
        blocks_a_part,
        *source_strides[:3],
        *result_strides[:2],
        blocks.slab_size,
        taps.count[-1] - tiles * kernel.width,
        tiles,
        *blocks.axis_numbers,
    )
    channels = kernel.blocks * kernel.tile_channels
    return Plan(
        kernel=kernel,
        blocks=blocks,
        numbers=numbers,
        result_offset=sum(
            axis.phase * stride
            for axis, stride in zip(taps.axes, result_strides[3:], strict=True)
        ),
        chunks=outer * parts,
        bias_shape=(groups, channels),
        weights_shape=(
            groups,
            kernel.channel_blocks,
            kernel.blocks,
            taps.taps,
            kernel.channel_block,
            kernel.tile_channels,
        ),
    )
