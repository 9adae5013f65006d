"""Convolution with few outputs and many weights: a matrix product that streams w once.

Deep layers see images of a few pixels through megabytes of weights, and these are what
costs: they are read, or written, where they lie, once and in order. The input is the
small side. The patch of an output, what it reads of x in the order of a row of w, is a
row of `patches`, which is smaller than w:

    y[o, p] = Σ w[o, c] · patches[p, c]       sums of products along vectors of c
    w[o, c] = Σ y[o, p] · patches[p, c]       outer products
    patches[p, c] = Σ w[o, c] · y[o, p]       then each x is the sum of its copies

c counts (channel in, *tap) and p (image, *position). Where patches read is a table, so
that stride, dilation, padding and border modes are no concern of a kernel's.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np

from .. import cache
from ..emit import ITEMSIZES, Emitter, Kernel
from ..spec import ConvSpec, border_index
from ..target import Target
from .pointwise import transposed
from .streamed_products import Dots, Outer, Spread, Tile, finished

#: Output channels for each output, at least: patches are at most half of w,
ROWS_A_PATCH = 2
#: and if they are more bytes than this, at most a quarter.
MOST_BYTES = 32 << 20
#: From this many weights on, they are what costs.
FEWEST_WEIGHTS = 1 << 16
#: Channels that are unfolded together.
TOGETHER = 8
#: Into how many chunks rows of w are shared out.
CHUNKS = 32
#: The offset of a position beyond a border of zeros.
OUTSIDE = np.iinfo(np.int64).min


def handles(spec: ConvSpec) -> bool:
    """Whether w is the large operand by far."""
    outputs, weights = spec.batch * prod(spec.output_size), prod(spec.shapes["w"])
    patches = outputs * weights // spec.out_channels * ITEMSIZES[spec.dtype]
    most = max(weights * ITEMSIZES[spec.dtype] // 4, MOST_BYTES)
    return (
        spec.groups == 1
        and outputs * ROWS_A_PATCH <= spec.out_channels
        and weights >= FEWEST_WEIGHTS
        and patches <= most
    )


@dataclass(frozen=True)
class Tables:
    """Where patches lie in x and y, in elements.

    `reads` is (patch, tap), from x's first element, or OUTSIDE; `places` each patch's
    output from y's first. Position j of x, at `positions[j]`, has its copies at
    `copies[starts[j]:starts[j + 1]]` of the patches' first channel.
    """

    reads: np.ndarray
    places: np.ndarray
    positions: np.ndarray
    starts: np.ndarray
    copies: np.ndarray


@lru_cache(maxsize=1024)
def tables(spec: ConvSpec, x: tuple[int, ...], y: tuple[int, ...]) -> Tables:
    """The tables of a problem; `x` and `y` are strides in elements."""
    axes = zip(
        *(spec.size, spec.output_size, spec.kernel),
        *(spec.stride, spec.dilation, spec.padding),
        strict=True,
    )
    read = np.zeros((spec.batch, 1), np.int64)  # (patch, tap) -> which position of x
    read += np.arange(spec.batch)[:, None]
    place = np.arange(spec.batch) * y[0]
    for axis, (size, count, kernel, stride, dilation, padding) in enumerate(axes, 2):
        index = border_index(size, padding[0], padding[1], spec.border)
        along = index[stride * np.arange(count)[:, None] + dilation * np.arange(kernel)]
        inner = read[:, None, :, None] * size + along[None, :, None, :]
        beyond = (read[:, None, :, None] < 0) | (along[None, :, None, :] < 0)
        read = np.where(beyond, -1, inner).reshape(len(read) * count, -1)
        place = (place[:, None] + np.arange(count) * y[axis]).reshape(-1)
    positions = np.zeros(1, np.int64)
    for size, stride in zip((spec.batch, *spec.size), (x[0], *x[2:]), strict=True):
        positions = (positions[:, None] + np.arange(size) * stride).reshape(-1)
    patch, tap = np.nonzero(read >= 0)
    position = read[patch, tap]
    order = np.argsort(position, kind="stable")
    return Tables(
        reads=np.where(read < 0, OUTSIDE, positions[read]),
        places=place,
        positions=positions,
        starts=np.searchsorted(position[order], np.arange(len(positions) + 1)),
        copies=(patch * pitch(spec) + tap)[order],
    )


def pitch(spec: ConvSpec) -> int:
    """Elements from a patch to the next: whole cache lines, an odd number of them, or
    neighbouring patches would share the cache's sets."""
    return (-(-spec.in_channels * prod(spec.kernel) // 16) | 1) * 16


def solve(spec: ConvSpec, x, w, y, bias) -> None:
    """Record what writes the operand that `spec.solves` names from the others."""
    recorder = w.recorder
    if spec.solves != "w" and not w.flags.c_contiguous:
        rows = recorder.scratch(w.shape, w.dtype)
        rows[...] = w
        w = rows
    x_strides, y_strides = (
        tuple(step // array.itemsize for step in array.strides) for array in (x, y)
    )
    table = tables(spec, x_strides, y_strides)
    count, row, taps = len(table.places), pitch(spec), prod(spec.kernel)
    patches = recorder.scratch((count, row), spec.dtype)
    epilogue = (bias is not None, spec.activation)

    def launch(kernel, pointers, numbers, chunks: int) -> None:
        built = cache.kernel(("conv_streamed", kernel), kernel.build, recorder.target)
        recorder.launch(built, pointers, numbers, chunks)

    moved = (spec.in_channels, taps, x_strides[1], row)
    if spec.solves != "x":
        side = square(spec, x_strides[1], recorder.target)
        launch(Unfold(spec.dtype, side), (patches, x, table.reads), moved, count)
    tile, in_wider = Tile.of(spec.dtype, count, recorder.target)
    share = -(-spec.out_channels // (CHUNKS * tile.long)) * tile.long
    shares = -(-spec.out_channels // share)
    terms = spec.in_channels * taps
    streamed = (w, y, patches, table.places, bias)
    most = recorder.target.l2 // 2 // (count * patches.itemsize)
    block = max(1, most // tile.columns) * tile.columns
    sizes = (terms, row, count, in_wider, spec.out_channels, share, y_strides[1], block)
    if spec.solves == "y":
        launch(Dots(tile, *epilogue), streamed, sizes, shares)
    elif spec.solves == "w":
        launch(Outer(tile), streamed, sizes, shares)
    else:
        launch(Spread(tile), streamed, sizes, -(-terms // tile.columns))
        copies = (table.starts, table.copies, table.positions, bias)
        kernel = Fold(spec.dtype, *epilogue)
        launch(kernel, (patches, x, *copies), moved, len(table.positions))


def square(spec: ConvSpec, x_channel: int, target: Target) -> int:
    """How many channels by taps are transposed in registers as a patch is unfolded; 1
    if the channels of x are apart, or either is few."""
    most = min(spec.in_channels, prod(spec.kernel), target.lanes(ITEMSIZES[spec.dtype]))
    side = 1 << (most.bit_length() - 1)
    return side if side >= 4 and x_channel == 1 else 1


@dataclass(frozen=True)
class Unfold:
    """One patch a chunk: what an output reads, in squares of `side` where it is > 1."""

    dtype: str
    side: int = 1

    def build(self, target: Target) -> Kernel:
        e = Emitter("unfold", target)
        patches, x = e.pointer(0, self.dtype, "patches"), e.pointer(1, self.dtype, "x")
        reads = e.pointer(2, "int64", "reads")
        channels, taps, x_channel, pitch = (e.argument(i) for i in range(3, 7))
        patch, reads = patches + e.chunk * pitch, reads + e.chunk * taps
        if self.side > 1:
            self._squares(e, patch, x, reads, channels, taps)
            return e.finish()
        whole = channels // TOGETHER * TOGETHER
        for count, first, last in ((TOGETHER, 0, whole), (1, whole, channels)):
            with e.loop("channel", last, start=first, step=count) as channel:
                source = x + channel.index * x_channel
                to = patch + channel.index * taps
                with e.loop("tap", taps) as tap:
                    read = e.load(reads + tap.index)
                    outside = e.compare("==", read, OUTSIDE)
                    place = source + e.select(outside, 0, read)
                    for n in range(count):
                        value = e.load(place + x_channel * n)
                        value = e.select(outside, e.zero(self.dtype), value)
                        e.store(value, to + (taps * n + tap.index))
        return e.finish()

    def _squares(self, e: Emitter, patch, x, reads, channels, taps) -> None:
        """Channels by taps, transposed; the last of each overlap those before."""
        side, zero = self.side, e.zero(self.dtype, self.side)
        with e.loop("channel", channels, step=side) as c:
            channel = e.minimum(c.index, channels - side)
            with e.loop("tap", taps, step=side) as t:
                tap = e.minimum(t.index, taps - side)
                rows = []
                for row in range(side):
                    read = e.load(reads + (tap + row))
                    outside = e.compare("==", read, OUTSIDE)
                    place = x + (e.select(outside, 0, read) + channel)
                    rows.append(e.select(outside, zero, e.load(place, side)))
                for column, vector in enumerate(transposed(e, rows)):
                    e.store(vector, patch + ((channel + column) * taps + tap))


@dataclass(frozen=True)
class Fold:
    """One position of x a chunk: each channel is the sum of its copies."""

    dtype: str
    bias: bool
    activation: str | None

    def build(self, target: Target) -> Kernel:
        e = Emitter("fold", target)
        patches, x = e.pointer(0, self.dtype, "patches"), e.pointer(1, self.dtype, "x")
        starts, copies, positions = (e.pointer(i, "int64") for i in range(2, 5))
        bias = e.pointer(5, self.dtype, "bias")
        channels, taps, x_channel = (e.argument(i) for i in range(6, 9))
        first, last = e.load(starts + e.chunk), e.load(starts + (e.chunk + 1))
        x = x + e.load(positions + e.chunk)
        with e.loop("channel", channels) as channel:
            source = patches + channel.index * taps
            zero = [e.zero(self.dtype)]
            with e.loop("copy", last, start=first, carry=zero) as copy:
                value = e.load(source + e.load(copies + copy.index))
                copy.carry = [copy.carry[0] + value]
            total = copy.carry[0]
            if self.bias:
                total = total + e.load(bias + channel.index)
            total = finished(e, total, self.activation)
            e.store(total, x + channel.index * x_channel)
        return e.finish()
