"""Depthwise convolution: one channel of x to one of y, so channels lie along vectors.

    for row of taps, for position of a row:
        x = channels at the position          loaded once
        for each pixel and tap that meet there:
            total[pixel] += x · w[tap]

A tile is `pixels` neighbours of a row by one vector of channels; as the taps slide over
it each position is loaded once, not once a tap, so the loads do not bind. The weight
gradient keeps the sums of many taps, by one vector, in registers: 27 of them are the
whole 3×3×3 kernel on 32 registers. Groups of the direct schedules become blocks of
channels here; all else (slab, borders, phases, parts) is theirs.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from ..emit import ITEMSIZES, Kernel, Value
from ..target import Target
from . import conv_direct, conv_weights
from .conv_blocks import cut
from .conv_taps import Taps
from .packing import pack_weights, whole_and_rest

#: Taps along a row that are unrolled at most; more are left to conv_direct.
MOST_TAPS = 32
#: A slab takes up to half of L2: the weights need little, and its halo costs as much
#: as what it surrounds.
SHARE = 2


def handles(taps: Taps, target: Target) -> bool:
    """Whether every group has one channel on both sides."""
    return (
        taps.source_channels == taps.channels == 1
        and taps.groups > 1
        and len(taps.axes[-1].taps) <= MOST_TAPS
    )


@dataclass(frozen=True)
class Depthwise(conv_direct.Direct):
    """As Direct, where `channels` counts the groups, a slab holds a vector of them, and
    a run is the taps of a row, at `offsets` elements."""

    offsets: tuple[int, ...] = ()

    @property
    def blocks(self) -> int:
        return 1

    @property
    def channel_blocks(self) -> int:
        return 1

    def build(self, target: Target) -> Kernel:
        return _Writer(self, target, "depthwise").kernel()


class _Writer(conv_direct.Writer):
    """Writes the loop nest of one `Depthwise`."""

    def present(self, group: Value, block: Value) -> Value | int:
        facts = self.facts
        if facts.channels % facts.lanes == 0:
            return facts.lanes
        return self.e.minimum(facts.channels - group * facts.lanes, facts.lanes)

    def first_channel(self, block: Value) -> tuple[int, Value]:
        return self.facts.channels, self.group * self.facts.lanes

    def source_vector(self, x: Value, masks) -> Value:
        """The channels at a position; a slab has them all, memory may end sooner."""
        mask = masks[0] if self.facts.layout == "slabless" else None
        return self.e.load(x, self.facts.lanes, mask)

    def sum_run(self, width, x, w, masks, totals):
        """Slide a row of taps over the tile."""
        e, facts = self.e, self.facts
        weights = [
            e.load(w + k * facts.lanes, facts.lanes) for k in range(facts.run_length)
        ]
        meetings: dict[int, list[tuple[int, int]]] = {}
        for t in range(width):
            for k, offset in enumerate(facts.offsets):
                meetings.setdefault(t * facts.pixel + offset, []).append((t, k))
        totals = list(totals)
        for position in sorted(meetings):
            value = self.source_vector(x + position, masks)
            for t, k in meetings[position]:
                totals[t] = e.fma(value, weights[k], totals[t])
        return totals


def _as_blocks(taps: Taps, lanes: int) -> Taps:
    """The same taps, with blocks of channels for groups: what `cut` sees."""
    blocks = -(-taps.groups // lanes)
    # A block that is not whole may not be read past its end without a slab's copy of
    # it; loads are masked there, so `cut` may take it for whole.
    return replace(taps, groups=blocks, source_channels=lanes, channels=lanes)


def _lanes(taps: Taps, target: Target) -> int:
    """Channels at a time: a register, or less where there are few."""
    lanes = target.lanes(ITEMSIZES[taps.dtype])
    while lanes > 2 and lanes // 2 >= taps.groups:
        lanes //= 2
    return lanes


def _strides(strides: tuple[int, ...], lanes: int) -> tuple[int, ...]:
    """Strides of groups -> strides of blocks of channels: batch, block, channel, …"""
    batch, group, _, *spatial = strides
    return (batch, group * lanes, group, *spatial)


def _layout(taps: Taps, strides: tuple[int, ...], lanes: int) -> str:
    """How the source lies; strides of blocks of channels."""
    if strides[2] == 1:
        return "channels"
    squares = taps.groups % lanes == 0 and lanes % 4 == 0
    return "planes" if squares and strides[-1] == 1 else "strided"


@lru_cache(maxsize=4096)
def plan(
    taps: Taps,
    source_strides: tuple[int, ...],
    result_strides: tuple[int, ...],
    target: Target,
) -> conv_direct.Plan:
    """As conv_direct.plan; the weights are (1, 1, blocks, taps, 1, lanes)."""
    lanes = _lanes(taps, target)
    blocked = _as_blocks(taps, lanes)
    source_strides = _strides(source_strides, lanes)
    result_strides = _strides(result_strides, lanes)
    axis = taps.axes[-1]
    # Sums, a row of weights, and x on its way.
    free = target.registers - min(len(axis.taps), target.registers // 3) - 2
    tiles, width, wider = conv_direct.row_tiles(axis.count, min(free, 14))
    layout = _layout(taps, source_strides, lanes)
    blocks = cut(
        blocked,
        source_strides,
        result_strides,
        layout,
        lanes,
        (tiles, width + (wider > 0)),
        target,
        share=SHARE,
    )
    # Rows of taps are always one run: where they are read is known to the code.
    runs = taps.run_offsets(blocks.strides, True)
    kernel = Depthwise(
        dtype=taps.dtype,
        rank=len(taps.axes),
        lanes=lanes,
        vectors=1,
        width=width,
        wider=wider > 0,
        channels=taps.groups,
        source_channels=taps.groups,
        channel_block=lanes,
        run_length=len(axis.taps),
        pixel=axis.step * blocks.pitch,
        layout=blocks.layout,
        border=taps.axes[0].border,
        bias=taps.bias,
        activation=taps.activation,
        run_group=conv_direct.run_group(len(runs), len(axis.taps)),
        offsets=tuple((o - axis.first) * blocks.pitch for o in axis.offsets),
    )
    found = conv_direct.launch_plan(
        taps,
        kernel,
        replace(blocks, runs=runs),
        blocked.groups,
        source_strides,
        result_strides,
    )
    return replace(
        found,
        bias_shape=(1, blocked.groups * lanes),
        weights_shape=(1, 1, blocked.groups, taps.taps, 1, lanes),
    )


def pack(w: np.ndarray, kernel: Depthwise, out: np.ndarray) -> None:
    """Weights as the kernel reads them: the groups are channels of one group."""
    pack_weights(w.swapaxes(0, 1), kernel.lanes, out)


@dataclass(frozen=True)
class DepthwiseGradient(conv_weights.WeightGradient):
    """As WeightGradient: what is spread are the taps of a row, `tap` elements apart."""

    tap: int = 0

    @property
    def spread(self) -> int:
        return self.run_length

    @property
    def along(self) -> int:
        return self.channels

    @property
    def blocks(self) -> int:
        return 1

    @property
    def channel_blocks(self) -> int:
        return 1

    def build(self, target: Target) -> Kernel:
        return _GradientWriter(self, target, "depthwise_gradient").kernel()


class _GradientWriter(conv_weights.Writer):
    """Writes the loop nest of one `DepthwiseGradient`."""

    present = _Writer.present

    def first_along(self, first: Value) -> tuple[int, Value]:
        return self.facts.channels, self.group * self.facts.lanes

    def tile_origin(self, first, along, sources, y):
        return [x + first * self.facts.tap for x in sources], y

    def pixel(self, width, q, sources, y, masks, totals):
        """One pixel: y's channels times x's at every tap."""
        e, facts = self.e, self.facts
        row = e.load(y + q * self.axes[-1]["result_stride"], facts.lanes, masks[0])
        mask = masks[0] if facts.layout == "slabless" else None
        totals, result = iter(totals), []
        for x in sources:
            e.forget()  # or LLVM would load all of them first, and spill the sums
            x = x + q * facts.pixel
            for s in range(width):
                value = e.load(x + s * facts.tap, facts.lanes, mask)
                result.append(e.fma(value, row, next(totals)))
        return result


@lru_cache(maxsize=4096)
def gradient_plan(
    taps: Taps, x_strides: tuple[int, ...], y_strides: tuple[int, ...], target: Target
) -> conv_weights.Plan:
    """As conv_weights.plan; y's channels are neighbours."""
    lanes = _lanes(taps, target)
    blocked = _as_blocks(taps, lanes)
    x_strides, y_strides = _strides(x_strides, lanes), _strides(y_strides, lanes)
    axis = taps.axes[-1]
    layout = _layout(taps, x_strides, lanes)
    row = (axis.count, 1)
    longest = conv_weights.PIXELS
    blocks = cut(
        blocked, x_strides, y_strides, layout, lanes, row, target, longest, SHARE
    )
    runs = taps.run_offsets(blocks.strides, True)
    most = 28 if target.registers >= 32 else 12
    spacing = axis.offsets[1] - axis.offsets[0] if len(axis.taps) > 1 else 0
    part_axis, part_length = conv_weights.part(blocks)
    kernel = DepthwiseGradient(
        dtype=taps.dtype,
        rank=len(taps.axes),
        lanes=lanes,
        vectors=1,
        tile=most,
        runs_a_tile=conv_weights.runs_together(len(runs), len(axis.taps), most),
        run_count=len(runs),
        run_length=len(axis.taps),
        channels=taps.groups,
        source_channels=taps.groups,
        channel_block=lanes,
        pixel=axis.step * blocks.pitch,
        layout=blocks.layout,
        border=taps.axes[0].border,
        spread_y=False,
        part_axis=part_axis,
        part_length=part_length,
        tap=spacing * blocks.pitch,
    )
    return conv_weights.launch_plan(
        taps, kernel, replace(blocks, runs=runs), blocked.groups, x_strides, y_strides
    )


def gather_sums(sums, w) -> None:
    """Add the parts in order and write them as w: (channels, taps)."""
    total = sums.sum(axis=0)  # one block of source channels, one of results
    lanes = total.shape[-1]
    total = total.reshape(total.shape[0], -1, lanes)
    for first, blocks, size in whole_and_rest(len(w), lanes):
        to = w[first : first + blocks * size].reshape(blocks, size, -1)
        part = total[first // lanes : first // lanes + blocks, :, :size]
        to[...] = part.transpose(0, 2, 1)
