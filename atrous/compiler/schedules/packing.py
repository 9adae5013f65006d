"""Slabs and packed weights: what the inner loops read, dense and in their order.

A slab is the part of the source that a block of outputs reads, channels innermost,
with the border filled in: padding of every mode is arithmetic on an index here, and
strides and dilation are left to the offsets that read it. It lies in the second-level
cache.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

import numpy as np

from ..emit import Emitter, Value
from ..recording import StandIn
from .pointwise import transposed


@dataclass(frozen=True)
class SlabAxis:
    """One axis of a slab at run time; all are index Values.

    The slab holds the positions `start` … `start` + `length`, counted from the first
    that any output reads, which lies `before` positions before the source's first.
    """

    start: Value
    length: Value
    source_stride: Value
    slab_stride: Value
    before: Value
    size: Value


@dataclass(frozen=True)
class SlabSource:
    """How channels lie in the source.

    "rows": neighbouring positions of the last axis are neighbours in memory, channels
    and all; "channels": the channels of one position are; "planes": the positions of
    one channel are; "strided": nothing is.
    `border` says what lies beyond its edges.
    """

    layout: str
    channels: int  # of a position in the slab
    present: Value | int  # of them in the source; the others are zero
    channel_stride: Value
    border: str


def border_place(
    e: Emitter, position: Value, size: Value, border: str
) -> tuple[Value, Value | None]:
    """`spec.border_index` in instructions: where a position lies in the source, and
    whether it does; None if it always does."""
    if border == "zeros":
        within = (position >= 0) & (position < size)
        return e.minimum(e.maximum(position, 0), size - 1), within
    if border == "replicate":
        return e.minimum(e.maximum(position, 0), size - 1), None
    period = size if border == "circular" else e.maximum((size - 1) * 2, 1)
    place = position % period
    place = e.select(place < 0, place + period, place)
    return (place if border == "circular" else e.minimum(place, period - place)), None


def pack_slab(
    e: Emitter,
    source: Value,
    slab: Value,
    axes: Sequence[SlabAxis],
    facts: SlabSource,
    valid: Value | None = None,
) -> None:
    """Copy a block of the source into the slab, border included."""
    axis, *inner = axes
    axis.length.label = axis.length.label or f"reach of axis -{len(axes)}"
    if not inner:
        if valid is None:
            _pack_row(e, source, slab, axis, facts)
            return
        with e.when(valid, "the row is in the source"):
            _pack_row(e, source, slab, axis, facts)
        with e.when(~valid, "the row is padding"):
            e.clear(slab, axis.length * facts.channels)
        return
    with e.loop("slab", axis.length) as p:
        position = axis.start + p.index - axis.before
        place, within = border_place(e, position, axis.size, facts.border)
        if within is not None and valid is not None:
            within = within & valid
        pack_slab(
            e,
            source + place * axis.source_stride,
            slab + p.index * axis.slab_stride,
            inner,
            facts,
            within,
        )


def _pack_row(
    e: Emitter, source: Value, slab: Value, axis: SlabAxis, facts: SlabSource
) -> None:
    """One row: the middle as it lies in the source, the edges by the border."""
    zero = e.zero("int64")
    low = e.minimum(e.maximum(axis.before - axis.start, zero), axis.length)
    high = e.minimum(e.maximum(axis.before + axis.size - axis.start, low), axis.length)
    low.label, high.label = "first inside", "first after"
    for name, begin, end in (("before", zero, low), ("after", high, axis.length)):
        if facts.border == "zeros":
            e.clear(slab + begin * facts.channels, (end - begin) * facts.channels)
            continue
        with e.loop(name, end, start=begin) as p:
            position = axis.start + p.index - axis.before
            place, _ = border_place(e, position, axis.size, facts.border)
            to = slab + p.index * facts.channels
            _pack_position(e, source + place * axis.source_stride, to, facts)
    first = source + (axis.start + low - axis.before) * axis.source_stride
    _pack_middle(e, first, slab + low * facts.channels, high - low, axis, facts)


def _pack_position(e: Emitter, source: Value, slab: Value, facts: SlabSource) -> None:
    """The channels of one position."""
    if not isinstance(facts.present, int):
        e.clear(slab, facts.channels)
    if facts.layout in ("rows", "channels"):
        e.copy(slab, source, facts.present)
        return
    with e.loop("c", facts.present) as c:
        e.store(e.load(source + c.index * facts.channel_stride), slab + c.index)


def _pack_middle(
    e: Emitter,
    source: Value,
    slab: Value,
    count: Value,
    axis: SlabAxis,
    facts: SlabSource,
) -> None:
    """`count` neighbouring positions that the source holds."""
    if facts.layout == "rows":
        e.copy(slab, source, count * facts.channels)
    elif facts.layout == "channels":
        with e.loop("position", count) as p:
            _pack_position(
                e,
                source + p.index * axis.source_stride,
                slab + p.index * facts.channels,
                facts,
            )
    elif facts.layout == "planes":
        _pack_planes(e, source, slab, count, facts)
    else:
        if not isinstance(facts.present, int):
            e.clear(slab, count * facts.channels)
        with e.loop("c", facts.present) as c:
            plane = source + c.index * facts.channel_stride
            with e.loop("position", count) as p:
                value = e.load(plane + p.index * axis.source_stride)
                e.store(value, slab + (p.index * facts.channels + c.index))


def planes_side(channels: int, lanes: int) -> int:
    """How many channels are transposed at a time: they divide `channels`."""
    return min(channels & -channels, lanes, 16)


def _pack_planes(
    e: Emitter, source: Value, slab: Value, count: Value, facts: SlabSource
) -> None:
    """Squares of channels by positions, transposed in registers. The last of a row
    overlaps the one before; a row shorter than a square goes one by one."""
    side = planes_side(facts.channels, e.target.lanes(source.element.itemsize))
    short = count < side
    with e.loop("channels", facts.channels, step=side) as c:
        offsets = [row * facts.channel_stride for row in range(side)]
        here, to = source + c.index * facts.channel_stride, slab + c.index
        with e.loop("square", e.select(short, 0, count), step=side) as p:
            first = e.minimum(p.index, count - side)
            corner = e.opaque(here + first)
            square = transposed(e, [e.load(corner + at, side) for at in offsets])
            corner = e.opaque(to + first * facts.channels)
            for position, vector in enumerate(square):
                e.store(vector, corner + position * facts.channels)
        with e.loop("position", e.select(short, count, 0)) as p:
            column = e.opaque(here + p.index)
            corner = e.opaque(to + p.index * facts.channels)
            for channel, offset in enumerate(offsets):
                e.store(e.load(column + offset), corner + channel)


#: Channels in that are packed together.
FEW = 16
#: Channels out of a cache line, of float32.
LINE = 16


def whole_and_rest(size: int, block: int) -> list[tuple[int, int, int]]:
    """A length cut into blocks: (first, blocks, of how many) of the whole ones, and of
    what is left over.

    >>> whole_and_rest(20, 8)
    [(0, 2, 8), (16, 1, 4)]
    """
    whole = size // block
    parts = [(0, whole, block), (whole * block, 1, size - whole * block)]
    return [part for part in parts if part[1] * part[2]]


def pack_weights(w: np.ndarray, lanes: int, out: np.ndarray) -> None:
    """Weights in the order in which the inner loop reads them, zeros in spare lanes.

    `w` is (groups, channels out, channels in, *taps) in the order of the taps; `out` is
    (groups, blocks of channels in, blocks of channels out, taps, in a block, lanes).
    """
    groups, outputs, inputs, *taps = w.shape
    inputs_a_block = out.shape[4]
    out = out.reshape(*out.shape[:3], *taps, inputs_a_block, lanes)
    if outputs % lanes or inputs % inputs_a_block:
        out.fill(0)
    for i, i_blocks, i_size in whole_and_rest(inputs, inputs_a_block):
        for o, o_blocks, o_size in whole_and_rest(outputs, lanes):
            part = w[:, o : o + o_blocks * o_size, i : i + i_blocks * i_size]
            part = part.reshape(groups, o_blocks, o_size, i_blocks, i_size, *taps)
            first_i, first_o = i // inputs_a_block, o // lanes
            to = out[:, first_i : first_i + i_blocks, first_o : first_o + o_blocks]
            _pack_blocks(part, to[..., :i_size, :o_size])


def _pack_blocks(part: np.ndarray, to: np.ndarray) -> None:
    """(groups, o blocks, o, i blocks, i, *taps) -> (groups, i blocks, o blocks, *taps,
    i, o), a line of o and few i at a time: what is read of them stays in the first
    cache until all of its taps are used up."""
    groups, o_blocks, o, i_blocks, i, *taps = part.shape
    line = LINE if o % LINE == 0 else o
    few = gcd(i, FEW)
    part = part.reshape(
        groups, o_blocks, o // line, line, i_blocks, i // few, few, *taps
    )
    to = to.reshape(*to.shape[:-2], i // few, few, o // line, line)
    rank = len(taps)
    part_taps, to_taps = range(7, 7 + rank), range(3, 3 + rank)
    part = part.transpose(0, 4, 1, 2, 5, *part_taps, 6, 3)
    to = to.transpose(0, 1, 2, rank + 5, rank + 3, *to_taps, rank + 4, rank + 6)
    assert isinstance(part, StandIn) and isinstance(to, StandIn)
    part.recorder.pointwise(("in", 0), part, out=to, ordered=True)
