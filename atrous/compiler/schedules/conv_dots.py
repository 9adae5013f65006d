"""Convolution to few channels: products along the source's channels, summed at the end.

A result of one to four channels fills little of a vector. Here a vector lies along the
source's channels instead, and the taps of a row slide over a tile of pixels (see
conv_sliding, whose rows, borders and slab these are):

    for row of taps, for vector of channels, for position:
        x = the channels there                    loaded once
        for each pixel, tap and result channel c that meet there:
            total[pixel][c] += x · w[tap][c]
    at the end:    result[pixel][c] = the sum of total's lanes

All totals of a tile are summed across their lanes together, by halves, in about three
instructions each.
Registers: pixels × channels totals, taps × channels weights and x: 31 of 32, 15 of 16,
where one may be a mask.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import zip_longest

import numpy as np

from ..emit import ITEMSIZES, Emitter, Kernel, Value
from ..target import Target
from . import conv_sliding
from .conv_direct import LINE, Plan
from .conv_taps import Taps
from .packing import whole_and_rest

#: A result of more channels fills its vectors well enough.
MOST_CHANNELS = 4
#: Vectors of products that a result must have to be worth the summing of its lanes.
FEWEST_VECTORS = 2
#: Taps along a row at most: they are unrolled.
MOST_TAPS = 32
#: Weights that registers hold, by the number of registers.
MOST_WEIGHTS = {32: 12, 16: 4}
#: Totals of a tile at most.
MOST_TOTALS = 24
#: A tile is not made narrower than this for L1's sake.
FEWEST_PIXELS = 6


def _lanes(taps: Taps, target: Target) -> int:
    """A register, or less where the source's channels fill no more than half of it."""
    lanes = target.lanes(ITEMSIZES[taps.dtype])
    while lanes > 4 and lanes // 2 >= taps.source_channels:
        lanes //= 2
    return lanes


def handles(taps: Taps, target: Target) -> bool:
    """Whether few channels are made of many."""
    lanes, row = _lanes(taps, target), len(taps.axes[-1].taps)
    vectors = -(-taps.source_channels // lanes)
    itemsize = ITEMSIZES[taps.dtype]
    return (
        taps.channels <= MOST_CHANNELS
        and taps.channels < lanes
        and row <= MOST_TAPS
        and 2 * taps.source_channels > vectors * lanes
        and vectors * taps.taps >= FEWEST_VECTORS
        and taps.taps * taps.source_channels * taps.channels * itemsize
        <= target.l2 // 2
    )


@dataclass(frozen=True)
class Dots(conv_sliding.Sliding):
    """As Sliding, but `lanes` are the source's channels; `together` taps of a row have
    their weights in registers, `planes` of the source meet in a result."""

    together: int = 1
    planes: int = 1

    def build(self, target: Target) -> Kernel:
        return _Writer(self, target, "dots").kernel()


class _Writer(conv_sliding.Writer):
    """Writes the loop nest of one `Dots`. There is a column for each group."""

    def column(self, column: Value) -> tuple[Value, Value]:
        return column * self.facts.source_channels, column * self.facts.channels

    def lanes_mask(self) -> None:
        return None

    def ask(self, ahead: Value, width: int) -> None:
        e, facts = self.e, self.facts
        line = LINE // ITEMSIZES[facts.dtype]
        for plane in range(facts.planes):
            if plane:
                ahead = ahead + self.number[f"tap_stride{facts.rank - 3}"] * -1
            for at in range(0, width * facts.step * facts.pixel, line):
                e.prefetch(ahead + at, level=2)

    def first_totals(self, width: int, to_channel: Value) -> list[Value]:
        """Zeros; with a bias, it is in the first lane."""
        e, facts = self.e, self.facts
        totals = [e.zero(facts.dtype, facts.lanes)] * facts.channels
        if facts.bias:
            bias = self.pointer["bias"] + to_channel
            totals = [e.insert(t, e.load(bias + c), 0) for c, t in enumerate(totals)]
        return totals * width

    def taps(self, axis: int, source, weights, meetings, valid, totals) -> list:
        """As Writer.taps; within a row of taps, a vector of channels after another."""
        e, facts = self.e, self.facts
        if axis < facts.rank - 1:
            return super().taps(axis, source, weights, meetings, valid, totals)
        row = len(facts.offsets)
        for first in range(0, row, facts.together):
            taps = range(first, min(first + facts.together, row))
            for begin, vectors, lanes in whole_and_rest(
                facts.source_channels, facts.lanes
            ):
                x, w = source + begin, weights + begin * (row * facts.channels)
                if vectors == 1:
                    totals = self.slide_over(x, w, lanes, taps, meetings, totals)
                    continue
                with e.loop("j", vectors * lanes, step=lanes, carry=totals) as j:
                    at = x + j.index, w + j.index * (row * facts.channels)
                    j.carry = self.slide_over(*at, lanes, taps, meetings, j.carry)
                totals = j.carry
        return totals

    def slide_over(self, source, weights, channels, taps, meetings, totals) -> list:
        """Add some taps of a row, of one vector of channels, to every total."""
        e, facts = self.e, self.facts
        lanes, results = facts.lanes, range(facts.channels)
        mask = None if channels == lanes else e.mask(channels, lanes)
        source, weights = e.opaque(source), e.opaque(weights)
        e.forget()  # or LLVM would load what comes later first, and spill the sums
        loaded = {
            (k, c): e.load(weights + (k * len(results) + c) * channels, lanes, mask)
            for k in taps
            for c in results
        }
        totals = list(totals)
        for position, pairs in meetings.items():
            pairs = [(pixel, k) for pixel, k in pairs if k in taps]
            if pairs:
                x = e.load(source + position * facts.pixel, lanes, mask)
            for pixel, k in pairs:
                for c in results:
                    at = pixel * len(results) + c
                    totals[at] = e.fma(x, loaded[k, c], totals[at])
        return totals

    def store(self, totals: list[Value], result: Value) -> None:
        """Sum lanes, activate and store, as many results at a time as there are
        lanes."""
        e, facts = self.e, self.facts
        lanes, dense = facts.lanes, facts.result_pixel == facts.channels
        for first, groups, count in whole_and_rest(len(totals), lanes):
            for begin in range(first, first + groups * count, lanes):
                sums = sums_of_lanes(e, totals[begin : begin + count])
                if facts.activation is not None:
                    sums = e.select(sums < 0.0, e.zero(facts.dtype, lanes), sums)
                if dense:
                    mask = None if count == lanes else e.mask(count, lanes)
                    e.store(sums, result + begin, mask)
                    continue
                for i in range(count):
                    pixel, c = divmod(begin + i, facts.channels)
                    place = pixel * facts.result_pixel + c
                    e.store(e.extract(sums, i), result + place)


def sums_of_lanes(e: Emitter, vectors: list[Value]) -> Value:
    """The sum of each vector's lanes, one a lane; at most as many vectors as lanes.

    Vectors are merged two by two: half a vector's lanes are added to the other half,
    and what two vectors leave fills one.
    """
    lanes = span = vectors[0].type.lanes
    level = list(vectors)
    while len(level) > 1:
        half = [i for i in range(2 * lanes) if i % span < span // 2]
        other = [i + span // 2 for i in half]
        pairs = zip_longest(level[::2], level[1::2])
        level = [
            e.shuffle(a, b or a, half) + e.shuffle(a, b or a, other) for a, b in pairs
        ]
        span //= 2
    total, step = level[0], span
    while step > 1:
        step //= 2
        total = total + e.shuffle(total, None, [i ^ step for i in range(lanes)])
    if span > 1:
        total = e.shuffle(total, None, [i * span % lanes for i in range(lanes)])
    return total


def _tile(taps: Taps, target: Target) -> tuple[int, int]:
    """How many taps of a row have their weights in registers, and pixels of a tile:
    what it reads stays in most of L1, since the next row reads most of it again."""
    axis = taps.axes[-1]
    row = len(axis.taps)
    most = max(1, MOST_WEIGHTS[target.registers] // taps.channels)
    together = -(-row // -(-row // most))
    free = target.registers - 2 - together * taps.channels
    pixels = max(1, min(MOST_TOTALS, free) // taps.channels)
    each = taps.source_channels * ITEMSIZES[taps.dtype] * (taps.taps // row)
    while pixels > FEWEST_PIXELS and axis.reach(pixels) * each > target.l1 * 2 // 3:
        pixels -= 1
    return together, pixels


@lru_cache(maxsize=4096)
def plan(
    taps: Taps,
    source_strides: tuple[int, ...],
    result_strides: tuple[int, ...],
    target: Target,
) -> Plan:
    """As conv_sliding.plan; of the weights of a row of taps see `pack`."""
    together, pixels = _tile(taps, target)
    found = conv_sliding.plan(
        taps, taps.channels, pixels, source_strides, result_strides, target
    )
    facts = {
        **vars(found.kernel),
        "lanes": _lanes(taps, target),
        "part_axis": -1,
        "part": 0,  # each lane has a sum of its own, that is parts enough
    }
    planes = len(taps.axes[-3].taps) if len(taps.axes) > 2 else 1
    return replace(found, kernel=Dots(**facts, together=together, planes=planes))


def pack(w: np.ndarray, kernel: Dots, out: np.ndarray) -> None:
    """`w`, (groups, channels out, channels in, *taps), vector by vector of channels in
    for each row of taps; within a vector taps, channels out, channels in."""
    groups, channels, inputs, *taps = w.shape
    *rows, row = taps
    out = out.reshape(groups, *rows, -1)
    axes = range(4, 4 + len(taps))
    for first, vectors, lanes in whole_and_rest(inputs, kernel.lanes):
        size = vectors * lanes * row * channels
        to = out[..., first * row * channels :][..., :size]
        to = to.reshape(groups, *rows, vectors, row, channels, lanes)
        part = w[:, :, first : first + vectors * lanes]
        part = part.reshape(groups, channels, vectors, lanes, *taps)
        to[...] = part.transpose(0, *axes[:-1], 2, axes[-1], 1, 3)
