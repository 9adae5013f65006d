"""Convolution to few channels: products along the source's channels, summed at the end.

A result of one to four channels fills little of a vector. Here a vector lies along a
run of the source instead (see conv_direct), which is long:

    for run, for each vector of the run:   total[t][channel] += x · w
    at the end:                            result[t][channel] = the sum of total's lanes

All totals of a tile are summed across their lanes together, by halves, in about four
instructions each; so the sums must be long enough to be worth it.
Registers: pixels × channels totals, at most 24 of 32 (12 of 16).
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from ..emit import ITEMSIZES, Emitter, Kernel, Value
from ..target import Target
from . import conv_direct
from .conv_blocks import cut, source_layout
from .conv_taps import Taps

#: A result of more channels fills its vectors well enough.
MOST_CHANNELS = 4
#: Vectors that a sum must have to be worth the summing of its lanes.
FEWEST_VECTORS = 8


def handles(taps: Taps, target: Target) -> bool:
    """Whether few channels are made of long, unbroken runs."""
    lanes = target.lanes(ITEMSIZES[taps.dtype])
    run = taps.source_channels * (len(taps.axes[-1].taps) if taps.contiguous else 1)
    terms = taps.source_channels * taps.taps
    return (
        taps.channels <= min(MOST_CHANNELS, lanes // 2)
        and run >= lanes
        and terms >= FEWEST_VECTORS * lanes
        and terms * taps.channels * ITEMSIZES[taps.dtype] <= target.l2 // 2
    )


@dataclass(frozen=True)
class Dots(conv_direct.Direct):
    """As Direct; `run_length` is padded to whole vectors, `terms` of it are real."""

    terms: int = 0

    @property
    def tile_channels(self) -> int:
        return self.channels

    @property
    def blocks(self) -> int:
        return 1

    def build(self, target: Target) -> Kernel:
        return _Writer(self, target, "dots").kernel()


class _Writer(conv_direct.Writer):
    """Writes the loop nest of one `Dots`."""

    def tile(self, width, source, results, weights, bias, masks, channel_block) -> None:
        """The sums of one tile, from the first tap to the stored result."""
        e, facts = self.e, self.facts
        totals = [e.zero(facts.dtype, facts.lanes)] * (width * facts.channels)
        with e.loop("run", self.number["run_count"], carry=totals) as run:
            x = source + e.load(self.pointer["runs"] + run.index)
            w = weights + run.index * (facts.run_length * facts.channels)
            run.carry = self.sum_run(width, x, w, masks, run.carry)
        sums = iter(sums_of_lanes(e, run.carry))
        for result in results:
            for channel in range(facts.channels):
                total = next(sums)
                if facts.bias:
                    total = total + e.load(bias + channel)
                if facts.activation == "relu":
                    total = e.select(total < 0, e.zero(facts.dtype), total)
                e.store(total, result + channel)

    def sum_run(self, width, x, w, masks, totals):
        """Add a run, vector by vector; the last may be short."""
        e, facts = self.e, self.facts
        lanes, whole = facts.lanes, facts.terms // facts.lanes
        short = None
        if facts.terms % lanes:
            short = e.mask(e.constant(facts.terms % lanes, "int64"), lanes)
        unrolled = whole if whole * len(totals) <= 96 else 1
        if whole > unrolled:
            with e.loop("j", whole * lanes, step=lanes, carry=totals) as j:
                j.carry = self.products(width, x + j.index, w + j.index, None, j.carry)
            totals = j.carry
        else:
            for at in range(0, whole * lanes, lanes):
                totals = self.products(width, x + at, w + at, None, totals)
        if short is not None:
            at = whole * lanes
            totals = self.products(width, x + at, w + at, short, totals)
        return totals

    def products(self, width, x, w, mask, totals):
        """One vector of the run: every pixel's x times every channel's weights."""
        e, facts = self.e, self.facts
        weights = [
            e.load(w + c * facts.run_length, facts.lanes) for c in range(facts.channels)
        ]
        result, before = [], iter(totals)
        for t in range(width):
            value = e.load(x + t * facts.pixel, facts.lanes, mask)
            result += [e.fma(value, weight, next(before)) for weight in weights]
        return result


def sums_of_lanes(e: Emitter, vectors: list[Value]) -> list[Value]:
    """The sum of each vector's lanes, as scalars.

    Vectors are merged two by two: half a vector's lanes are added to the other half,
    and what two vectors leave fills one.
    """
    lanes = vectors[0].type.lanes
    sums: list[Value] = []
    for first in range(0, len(vectors), lanes):
        group = vectors[first : first + lanes]
        level = group + [group[0]] * ((1 << (len(group) - 1).bit_length()) - len(group))
        span = lanes
        while len(level) > 1:
            half = [i for i in range(2 * lanes) if i % span < span // 2]
            other = [i + span // 2 for i in half]
            level = [
                e.shuffle(a, b, half) + e.shuffle(a, b, other)
                for a, b in zip(level[::2], level[1::2], strict=True)
            ]
            span //= 2
        total = level[0]
        step = span
        while step > 1:
            step //= 2
            total = total + e.shuffle(total, None, [i ^ step for i in range(lanes)])
        sums += [e.extract(total, i * span) for i in range(len(group))]
    return sums


@lru_cache(maxsize=4096)
def plan(
    taps: Taps,
    source_strides: tuple[int, ...],
    result_strides: tuple[int, ...],
    target: Target,
) -> conv_direct.Plan:
    """As conv_direct.plan; the weights are (groups, 1, 1, runs, channels, run)."""
    lanes = target.lanes(ITEMSIZES[taps.dtype])
    totals = 24 if target.registers >= 32 else 12
    axis, channels = taps.axes[-1], taps.source_channels
    tiles, width, wider = conv_direct.row_tiles(axis.count, totals // taps.channels)
    blocks = cut(
        taps,
        source_strides,
        result_strides,
        source_layout(taps, source_strides, channels),
        channels,
        (tiles, width + (wider > 0)),
        target,
    )
    terms = channels * (len(axis.taps) if blocks.folds else 1)
    kernel = Dots(
        dtype=taps.dtype,
        rank=len(taps.axes),
        lanes=lanes,
        vectors=1,
        width=width,
        wider=wider > 0,
        channels=taps.channels,
        source_channels=channels,
        channel_block=channels,
        run_length=-(-terms // lanes) * lanes,
        pixel=axis.step * blocks.pitch,
        layout=blocks.layout,
        border=taps.axes[0].border,
        bias=taps.bias,
        activation=taps.activation,
        terms=terms,
    )
    found = conv_direct.launch_plan(
        taps, kernel, blocks, taps.groups, source_strides, result_strides
    )
    shape = (taps.groups, 1, 1, len(blocks.runs), taps.channels, kernel.run_length)
    return replace(found, weights_shape=shape)


def pack(w: np.ndarray, kernel: Dots, out: np.ndarray) -> None:
    """`w`, (groups, channels out, channels in, *taps), as runs padded with zeros."""
    groups, channels, inputs = w.shape[:3]
    runs = out.shape[3]
    flat = w.reshape(groups, channels, inputs, runs, -1).transpose(0, 3, 1, 4, 2)
    out.fill(0)
    out[:, 0, 0, :, :, : kernel.terms] = flat.reshape(groups, runs, channels, -1)
