"""What every convolution schedule shares: its cut into chunks, and the slab of each.

A chunk is a block of outputs of one image and group; it packs the part of the source
that it reads into a slab (see packing) and computes from there. Where nothing lies
outside the source and its channels are neighbours, there is no slab: layout "slabless".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ..emit import ITEMSIZES, Emitter, Value
from ..target import Target
from .conv_taps import Taps
from .packing import SlabAxis, SlabSource, pack_slab

#: Arguments for each axis, after a kernel's pointers and its own numbers.
AXIS_NUMBERS = (
    "blocks",
    "block",
    "count",
    "step",
    "span",
    "source_stride",
    "slab_stride",
    "result_stride",
    "before",
    "size",
)
#: Chunks that a launch should have at least, so that threads end together.
CHUNKS = 16
#: If it has fewer than this, their number should be a multiple of FAIR.
MANY_CHUNKS = 64
FAIR = 4


@dataclass(frozen=True)
class Blocks:
    """How a tap convolution is cut, in numbers for the launch.

    `layout` is how the source lies (SlabSource, or "slabless"), `pitch` the elements
    between neighbouring positions as the loops read them, `folds` whether a run spans
    the taps of the last axis. `counts` are the blocks on each axis, `pixels` the
    outputs of one, `strides` those of the slab or, without one, of the source.
    """

    layout: str
    pitch: int
    folds: bool
    counts: tuple[int, ...]
    pixels: tuple[int, ...]
    strides: tuple[int, ...]
    runs: np.ndarray
    source_offset: int
    slab_size: int
    axis_numbers: tuple[int, ...]


def source_layout(taps: Taps, strides: tuple[int, ...], block: int) -> str:
    """How the source lies. Strides: batch, group, channel, *spatial, in elements."""
    channel, last = strides[2], strides[-1]
    if taps.source_channels == 1:
        return "rows" if last == 1 else "channels"
    if channel != 1:
        squares = block % 4 == 0 and taps.source_channels % block == 0
        return "planes" if squares and last == 1 else "strided"
    whole = taps.groups == 1 and block == taps.source_channels
    return "rows" if whole and last == taps.source_channels else "channels"


def _block(
    taps: Taps,
    tiles: int,
    width: int,
    channels: int,
    itemsize: int,
    longest: int,
    share: int,
    target: Target,
) -> list[int]:
    """Outputs (in the last axis: tiles) of a chunk on each axis.

    The slab fills up to one `share`-th of L2 as long as there are enough chunks. The
    last axis grows first, to `longest` tiles at most; then always the axis that leaves
    the fewest positions to pack for each output, so that halos stay small.
    """
    limit = target.l2 // share // (channels * itemsize)  # positions
    sizes = [*taps.count[:-1], tiles]
    block = [1] * len(sizes)

    def positions() -> int:
        pixels = [*block[:-1], min(block[-1] * width, taps.count[-1])]
        return prod(a.reach(n) for a, n in zip(taps.axes, pixels, strict=True))

    def chunks() -> int:
        counts = [-(-n // b) for n, b in zip(sizes, block, strict=True)]
        return taps.batch * taps.groups * prod(counts)

    def grown(axis: int) -> float | None:
        """Positions an output if the axis had one more; None if it may not."""
        block[axis] += 1
        inner = axis == len(sizes) - 1
        many = chunks() >= CHUNKS or (inner and len(sizes) > 1)
        fits = block[axis] <= min(sizes[axis], longest if inner else sizes[axis])
        cost = positions() / prod(block) if fits and many else None
        cost = cost if positions() <= limit else None
        block[axis] -= 1
        return cost

    while grown(len(sizes) - 1) is not None:
        block[-1] += 1
    outer = range(len(sizes) - 2, -1, -1)
    while costs := [(c, -a) for a in outer if (c := grown(a)) is not None]:
        block[-min(costs)[1]] += 1
    for axis, size in enumerate(sizes):
        count = -(-size // block[axis])
        block[axis] = -(-size // count)  # blocks of equal size
    if chunks() < MANY_CHUNKS:
        longest, each = block[0], chunks() // -(-sizes[0] // block[0])
        for length in range(longest, longest * 4 // 5, -1):
            if each * -(-sizes[0] // length) % FAIR == 0:
                block[0] = length
                break
    return block


def cut(
    taps: Taps,
    source_strides: tuple[int, ...],
    result_strides: tuple[int, ...],
    layout: str,
    channels: int,
    tiles: tuple[int, int],
    target: Target,
    longest: int = 1 << 62,
    share: int = 4,
) -> Blocks:
    """Cut into blocks of which a slab holds `channels` channels.

    Strides: batch, group, channel, *spatial, in elements. `tiles` is how many a row has
    and the pixels of the widest, `longest` the most of them in a block. `layout` is the
    source's, if there must be a slab; it fills one `share`-th of L2 at most.
    """
    count, width = tiles
    spatial = source_strides[3:]
    itemsize = ITEMSIZES[taps.dtype]
    block = _block(taps, count, width, channels, itemsize, longest, share, target)
    pixels = [*block[:-1], min(block[-1] * width, taps.count[-1])]
    reach = [a.reach(n) for a, n in zip(taps.axes, pixels, strict=True)]
    slab_strides = tuple(prod(reach[a + 1 :]) * channels for a in range(len(reach)))
    slab_size = -(-reach[0] * slab_strides[0] // 16) * 16
    pitch, folds, offset = channels, taps.contiguous, 0
    near = layout in ("rows", "channels")
    if taps.interior and near and taps.source_channels % channels == 0:
        layout, pitch = "slabless", source_strides[-1]
        folds = folds and pitch == channels
        slab_strides, slab_size = spatial, 0
        offset = sum(a.first * s for a, s in zip(taps.axes, spatial, strict=True))
    counts = tuple(
        -(-n // b) for n, b in zip([*taps.count[:-1], count], block, strict=True)
    )
    numbers: list[int] = []
    for a, axis in enumerate(taps.axes):
        numbers += [
            counts[a],
            block[a],
            axis.count,
            axis.step,
            axis.reach(1),
            spatial[a],
            slab_strides[a],
            result_strides[3 + a] * axis.stride,
            -axis.first,
            axis.size,
        ]
    return Blocks(
        layout=layout,
        pitch=pitch,
        folds=folds,
        counts=counts,
        pixels=tuple(pixels),
        strides=slab_strides,
        runs=taps.run_offsets(slab_strides, folds),
        source_offset=offset,
        slab_size=slab_size,
        axis_numbers=tuple(numbers),
    )


class BlockWriter:
    """Writes a kernel over blocks: its arguments by name, and its slab.

    `facts` is what the code depends on; it has dtype, rank, layout, border,
    source_channels and channel_block.
    """

    def __init__(
        self,
        name: str,
        facts: Any,
        target: Target,
        pointers: Sequence[str],
        numbers: Sequence[str],
    ):
        self.facts = facts
        self.e = e = Emitter(name, target)
        self.pointer = {
            label: e.pointer(i, "int64" if label == "runs" else facts.dtype, label)
            for i, label in enumerate(pointers)
        }
        index = len(pointers)
        self.number = {n: e.argument(index + i, n) for i, n in enumerate(numbers)}
        index += len(numbers)
        self.axes = []
        for axis in range(facts.rank):
            self.axes.append(
                {
                    n: e.argument(index + i, f"{n}{axis}")
                    for i, n in enumerate(AXIS_NUMBERS)
                }
            )
            index += len(AXIS_NUMBERS)
        worker = e.worker * self.number["slab_size"]
        self.slab = e.at(self.pointer["workspace"], worker, label="slab")

    def block_starts(self, number: Value) -> tuple[list[Value], Value]:
        """A block's number -> its first output on each axis, and what is left over."""
        starts: list[Value] = []
        for axis in reversed(self.axes):
            starts.insert(0, number % axis["blocks"] * axis["block"])
            number = number / axis["blocks"]
        return starts, number

    def slab_axes(self, origin, lengths) -> list[SlabAxis]:
        """What the block of outputs from `origin` on reads along each axis."""
        return [
            SlabAxis(
                start=start * axis["step"],
                length=(length - 1) * axis["step"] + axis["span"],
                source_stride=axis["source_stride"],
                slab_stride=axis["slab_stride"],
                before=axis["before"],
                size=axis["size"],
            )
            for axis, start, length in zip(self.axes, origin, lengths, strict=True)
        ]

    def source_of(
        self, source: Value, origin, lengths, group: Value, block: Value, channel: Value
    ) -> tuple[Value, list[Value]]:
        """Where the loops read a block's source, and its strides: packs the slab.

        `origin` and `lengths` are the outputs of the block, `channel` the stride of
        channels; `block` counts blocks of source channels.
        """
        e, facts = self.e, self.facts
        if facts.layout == "slabless":
            for axis, start in zip(self.axes, origin, strict=True):
                source = source + start * axis["step"] * axis["source_stride"]
            return source, [axis["source_stride"] for axis in self.axes]
        axes = self.slab_axes(origin, lengths)
        present = self.present(group, block)
        layout = SlabSource(
            facts.layout, facts.channel_block, present, channel, facts.border
        )
        pack_slab(e, source, self.slab, axes, layout)
        return self.slab, [axis["slab_stride"] for axis in self.axes]

    def present(self, group: Value, block: Value) -> Value | int:
        """How many channels of a slab the source has; the last block may lack some."""
        facts = self.facts
        if facts.source_channels % facts.channel_block == 0:
            return facts.channel_block
        left = facts.source_channels - block * facts.channel_block
        return self.e.minimum(left, facts.channel_block)

    def masks(self, total: int, first: Value) -> list[Value | None]:
        """A mask for each vector from channel `first` of `total`; None if all are
        whole."""
        e, facts = self.e, self.facts
        if total % (facts.lanes * facts.vectors) == 0:
            return [None] * facts.vectors
        left = total - first
        return [
            e.mask(left - v * facts.lanes, facts.lanes) for v in range(facts.vectors)
        ]
