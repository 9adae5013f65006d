"""Rows of taps that slide over rows of pixels: what the kernels of y, x and w share.

A column is a vector of result channels. A row of pixels is cut into tiles of one width,
whose code knows which pixels and taps meet at which position. The first and the last
tile of a row know also which positions are padding: those products are left out, as are
rows of taps that lie outside; so the source is read where it lies. Other sources, and
borders that are not zeros, come from a slab. The last vector of channels begins early
enough to be whole; what is computed twice is the same.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..emit import Emitter, Value
from ..target import Target
from .conv_blocks import Blocks, BlockWriter, cut, source_layout
from .conv_taps import Axis, Taps


@dataclass(frozen=True)
class RowFacts:
    """What the code of a kernel of sliding rows depends on; all else is an argument.

    `source_channels` are summed to one result; 0 means that source and result share the
    column's lanes (depthwise), and `channels` are those of a group or, then, all.
    """

    dtype: str
    rank: int
    lanes: int
    width: int  # pixels of a tile
    last_width: int  # of the last tile of a row
    tiles: int  # of a row: 1, 2, or 3 for more
    step: int  # positions between neighbouring pixels
    offsets: tuple[int, ...]  # positions that the taps of a row read, from the first
    before: int  # positions outside the source at the start of a row
    after: int  # and at its end
    channels: int
    source_channels: int
    channel_block: int  # channels of a slab
    pixel: int  # elements between neighbouring positions
    layout: str  # of the source: as SlabSource, or "slabless"
    border: str
    near: bool  # the source's channels are neighbours, or in a slab
    result_pixel: int  # elements between neighbouring results

    @property
    def vectors(self) -> int:
        """Vectors of the result channels of a group."""
        return -(-self.channels // self.lanes)


class Columns(BlockWriter):
    """What the kernels of y, x and w share: chunks of columns, tiles of a row.

    Of the chunk that is written: its first output on each axis (of the last: tile), how
    many of them, its tiles and columns, and the strides of what it reads.
    """

    starts: list[Value]
    lengths: list[Value]
    tiles: tuple[Value, Value]
    columns: tuple[Value, Value]
    strides: list[Value]

    def column(self, column: Value) -> tuple[Value, Value]:
        """A column's first channel in the source, and in the result."""
        facts = self.facts
        last = max(facts.channels - facts.lanes, 0)
        if not facts.source_channels:
            first = self.e.minimum(column * facts.lanes, last)
            return first, first
        group, vector = column / facts.vectors, column % facts.vectors
        first = self.e.minimum(vector * facts.lanes, last)
        return group * facts.source_channels, group * facts.channels + first

    def channel_stride(self, name: str) -> Value | int:
        """Between neighbouring channels as the loops read them; `name` is the
        source's."""
        return 1 if self.facts.near else self.number[name]

    def lanes_mask(self) -> Value | None:
        """The lanes that are channels, if there are fewer channels than lanes."""
        facts = self.facts
        if facts.channels >= facts.lanes:
            return None
        return self.e.mask(facts.channels, facts.lanes)

    def present(self, group: Value, block: Value) -> int:
        facts = self.facts
        return min(facts.channel_block, facts.source_channels or facts.channels)

    def source_at(self, source: Value, channel_stride: Value) -> Value:
        """Where the chunk's first row reads, in an image of the source or in a slab;
        sets `strides`, those of what is read."""
        e, facts, (first, last) = self.e, self.facts, self.tiles
        if facts.layout == "slabless":
            self.strides = [axis["source_stride"] for axis in self.axes]
            for axis, start in zip(self.axes[:-1], self.starts[:-1], strict=True):
                source = source + start * axis["step"] * axis["source_stride"]
            return source
        channel, _ = self.column(self.columns[0])
        begin = first * facts.width
        length = e.minimum(last * facts.width, self.axes[-1]["count"]) - begin
        slab, self.strides = self.source_of(
            e.at(source, channel * channel_stride),
            [*self.starts[:-1], begin],
            [*self.lengths, length],
            channel,
            channel,
            channel_stride,
        )
        return slab

    def spans(self, first: Value, last: Value) -> list["Span"]:
        """The tiles first … last in ranges of one code each."""
        e, facts, count = self.e, self.facts, self.number["tile_count"]
        if facts.tiles == 1:
            return [Span(facts.last_width, True, True, first, last)]
        if not facts.before and not facts.after and facts.width == facts.last_width:
            return [Span(facts.width, False, False, first, last)]
        rest = first
        spans = []
        if facts.before:
            spans.append(Span(facts.width, True, False, first, e.minimum(last, 1)))
            rest = e.maximum(first, 1)
        if facts.tiles > 2 or not facts.before:
            end = e.minimum(last, count - 1)
            spans.append(Span(facts.width, False, False, rest, end))
        rest = e.maximum(first, count - 1)
        return [*spans, Span(facts.last_width, False, True, rest, last)]

    def meetings(self, span: "Span") -> dict[int, list[tuple[int, int]]]:
        """For each position that a tile reads, in order, the pixels and taps that meet
        there. Positions count from the first pixel's first."""
        facts = self.facts
        found = defaultdict(list)
        first = facts.before if span.first else 0
        last = (span.width - 1) * facts.step + facts.offsets[-1]
        last -= facts.after if span.last else 0
        for pixel in range(span.width):
            for tap, offset in enumerate(facts.offsets):
                position = pixel * facts.step + offset
                if first <= position <= last:
                    found[position].append((pixel, tap))
        return dict(sorted(found.items()))


@dataclass(frozen=True)
class Span:
    """Tiles `begin` … `end` of a row: how wide they are, and whether they are the row's
    first or last, so that some of what they read is padding."""

    width: int
    first: bool
    last: bool
    begin: Value
    end: Value


def load_source(e: Emitter, facts, at: Value, mask: Value | None) -> Value:
    """The source's values for a column: its lanes, or one value for all of them."""
    if facts.source_channels:
        return e.splat(e.load(at), facts.lanes)
    return e.load(at, facts.lanes, mask if facts.layout == "slabless" else None)


@dataclass(frozen=True)
class RowTiles:
    """How a row of pixels is cut: `tiles` of `width`, the last of `last_width`."""

    tiles: int
    width: int
    last_width: int

    def know_borders(self, axis: Axis) -> bool:
        """Whether only the first tile reads before the source, and only the last
        after it."""
        first, last = self.width * axis.step, self.last_width * axis.step
        return self.tiles == 1 or (first >= before(axis) and last >= after(axis))


def row_tiles(axis: Axis, most: int) -> RowTiles:
    """The row in tiles of at most `most` pixels, as equal as can be; a little narrower
    if then they know their borders."""

    def cut_by(width: int) -> RowTiles:
        tiles = -(-axis.count // width)
        return RowTiles(tiles, width, axis.count - (tiles - 1) * width)

    equal = -(-axis.count // -(-axis.count // most))
    known = (cut_by(width) for width in range(equal, equal // 2, -1))
    return next((t for t in known if t.know_borders(axis)), cut_by(equal))


def tap_spacing(axis: Axis) -> int:
    """Positions between neighbouring taps."""
    return axis.offsets[1] - axis.offsets[0] if len(axis.offsets) > 1 else 0


def before(axis: Axis) -> int:
    """Positions read before the source's first."""
    return max(0, -axis.first)


def after(axis: Axis) -> int:
    """Positions read after the source's last."""
    return max(0, axis.first + axis.reach(axis.count) - axis.size)


@dataclass(frozen=True)
class Rows:
    """How a tap convolution is laid out for sliding rows, in vectors of `lanes`
    channels and tiles of at most `most` pixels.

    `strides` are the source's, in elements: batch, group, channel, *spatial. Unless it
    `spreads` values one by one, they are packed where channels are not neighbours.
    """

    taps: Taps
    lanes: int
    most: int
    strides: tuple[int, ...]
    spreads: bool

    @property
    def outer(self) -> tuple[Axis, ...]:
        """All axes but the last."""
        return self.taps.axes[:-1]

    @property
    def row(self) -> int:
        """Taps of a row."""
        return len(self.taps.axes[-1].taps)

    @property
    def depthwise(self) -> bool:
        return self.taps.source_channels == self.taps.channels == 1

    @property
    def channels(self) -> int:
        """Channels whose vectors are columns: of a group or, if depthwise, all."""
        return self.taps.groups if self.depthwise else self.taps.channels

    @property
    def together(self) -> int:
        """Columns that read the same source channels."""
        return 1 if self.depthwise else -(-self.channels // self.lanes)

    @property
    def columns(self) -> int:
        groups = 1 if self.depthwise else self.taps.groups
        return groups * -(-self.channels // self.lanes)

    @property
    def slab_channels(self) -> int:
        return self.lanes if self.depthwise else self.taps.source_channels

    @property
    def near(self) -> bool:
        """Whether the source's channels are neighbours."""
        return self.strides[2] == 1

    @cached_property
    def tiles(self) -> RowTiles:
        return row_tiles(self.taps.axes[-1], self.most)

    @cached_property
    def placed(self) -> bool:
        """Whether the source is read where it lies: the code must know what lies
        beyond its edges."""
        zeros = self.taps.interior or self.taps.axes[0].border == "zeros"
        known = zeros and self.tiles.know_borders(self.taps.axes[-1])
        return known and (self.near or self.spreads)

    def blocks(
        self, shares: int, read: int, strides: tuple[int, ...], target: Target
    ) -> Blocks:
        """Blocks of pixels of which `read` channels are read together, `shares` times;
        the result's strides."""
        tiles = self.tiles.tiles, self.tiles.width
        taps = replace(self.taps, groups=shares)
        found = cut(taps, self.strides, strides, "strided", read, tiles, target)
        if not self.placed:
            return found
        spatial = self.strides[3:]
        firsts = zip(self.taps.axes, spatial, strict=True)
        offset = sum(a.first * stride for a, stride in firsts)
        return replace(found, strides=spatial, slab_size=0, source_offset=offset)

    def facts(self, result_pixel: int) -> dict:
        """The fields of RowFacts."""
        taps, tiles, axis = self.taps, self.tiles, self.taps.axes[-1]
        return {
            "dtype": taps.dtype,
            "rank": len(taps.axes),
            "lanes": self.lanes,
            "width": tiles.width,
            "last_width": tiles.last_width,
            "tiles": min(tiles.tiles, 3),
            "step": axis.step,
            "offsets": tuple(offset - axis.first for offset in axis.offsets),
            "before": before(axis) if self.placed else 0,
            "after": after(axis) if self.placed else 0,
            "channels": self.channels,
            "source_channels": 0 if self.depthwise else taps.source_channels,
            "channel_block": self.slab_channels,
            "pixel": self.strides[-1] if self.placed else self.slab_channels,
            "layout": "slabless" if self.placed else self._slab_layout(),
            "border": axis.border,
            "near": self.near or not self.placed,
            "result_pixel": result_pixel,
        }

    def _slab_layout(self) -> str:
        """How a source that is packed lies."""
        if not self.depthwise:
            found = source_layout(self.taps, self.strides, self.taps.source_channels)
            return "channels" if found == "rows" else found
        if self.near:
            return "channels"
        squares = self.channels >= self.lanes and self.lanes % 4 == 0
        return "planes" if squares and self.strides[-1] == 1 else "strided"

    def tables(self, valid: Callable[[Axis], np.ndarray]) -> list[np.ndarray]:
        """`valid` of each axis but the last, flat. A slab has what lies outside as
        well, as if the source were that large."""
        axes = self.outer if self.placed else map(_inside, self.outer)
        return [valid(axis).ravel() for axis in axes]


def _inside(axis: Axis) -> Axis:
    """An axis that reads nothing outside its source."""
    offsets = tuple(offset - axis.first for offset in axis.offsets)
    return replace(axis, offsets=offsets, size=axis.reach(axis.count))


def as_one(tables: list[np.ndarray]) -> tuple[np.ndarray, list[int]]:
    """Tables behind one another, and where each begins."""
    starts = [sum(map(len, tables[:number])) for number in range(len(tables))]
    return np.concatenate([*tables, np.zeros(0, np.int64)]), starts
