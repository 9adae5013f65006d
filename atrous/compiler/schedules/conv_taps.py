"""The geometry of a convolution: what is read where, for any number of axes.

Forward and input gradient are one text, the *tap convolution*. On each axis a grid of
outputs q reads the source at step·q + offset, once for each tap, and writes at
stride·q + phase:

    y:  i = s·o − p + d·k                       one phase, step s, offset d·k − p
    x:  o = (i + p − d·k) / s                   s phases: for i = s·q + φ the taps with
                                                s | φ + p − d·k, at step 1; no zeros
                                                are inserted between the outputs
The weight gradient reads as the forward does. Axes are independent of each other, so
that 1, 2 and 3 dimensions are one code over tuples.
"""

from dataclasses import dataclass, replace
from itertools import product
from math import prod

import numpy as np

from ..spec import ConvSpec, border_index


@dataclass(frozen=True)
class Axis:
    """One axis of a tap convolution.

    `count` outputs; output q is written at q·`stride` + `phase`; tap t, which is
    `taps[t]` of the kernel, reads the source at q·`step` + `offsets[t]`. The source has
    `size` positions, and beyond them what `border` says.
    """

    count: int
    step: int
    offsets: tuple[int, ...]
    taps: tuple[int, ...]
    size: int
    border: str = "zeros"
    stride: int = 1
    phase: int = 0

    @property
    def first(self) -> int:
        """The lowest position that is read."""
        return min(self.offsets)

    def reach(self, count: int) -> int:
        """How many positions `count` neighbouring outputs read, gaps included."""
        return (count - 1) * self.step + max(self.offsets) - self.first + 1

    @property
    def interior(self) -> bool:
        """Whether every position that is read lies within the source."""
        return self.first >= 0 and self.first + self.reach(self.count) <= self.size

    def index(self) -> np.ndarray:
        """For each position read, from `first`, its place in the source, or -1."""
        after = self.first + self.reach(self.count) - self.size
        return border_index(self.size, -self.first, after, self.border)

    @property
    def contiguous(self) -> bool:
        """Whether the taps read neighbouring positions, in order."""
        first = self.offsets[0]
        return self.offsets == tuple(range(first, first + len(self.offsets)))


@dataclass(frozen=True)
class Taps:
    """A tap convolution: its axes, and the channels within a group."""

    dtype: str
    batch: int
    groups: int
    source_channels: int
    channels: int
    axes: tuple[Axis, ...]
    bias: bool = False
    activation: str | None = None

    @property
    def count(self) -> tuple[int, ...]:
        return tuple(axis.count for axis in self.axes)

    @property
    def pixels(self) -> int:
        """Outputs of one image in one phase."""
        return prod(self.count)

    @property
    def taps(self) -> int:
        """Taps of all axes together."""
        return prod(len(axis.taps) for axis in self.axes)

    @property
    def products(self) -> int:
        """Multiply-adds of the definition, those with padding included."""
        within = self.source_channels * self.taps
        return self.batch * self.groups * self.pixels * self.channels * within

    @property
    def interior(self) -> bool:
        return all(axis.interior for axis in self.axes)

    @property
    def contiguous(self) -> bool:
        """Whether the taps of the last axis read neighbouring positions."""
        return self.axes[-1].contiguous

    def run_offsets(self, strides: tuple[int, ...], folds: bool) -> np.ndarray:
        """Where each run starts, in elements from the first position that is read.

        A run is a stretch of the source that one output reads without a gap: the
        channels of one tap or, if the last axis `folds`, of all its taps.
        """
        each = [
            [(offset - axis.first) * stride for offset in axis.offsets]
            for axis, stride in zip(self.axes, strides, strict=True)
        ]
        if folds:
            each[-1] = each[-1][:1]
        return np.array([sum(offsets) for offsets in product(*each)], np.int64)


Strides = tuple[int, ...]


def merged(
    taps: Taps, source: Strides, result: Strides
) -> tuple[Taps, Strides, Strides]:
    """The same with longer rows: axes of one tap are joined, and the images with them,
    where source and result walk evenly over both. Strides are in elements: batch,
    group, channel, *spatial.
    """
    images = Axis(taps.batch, step=1, offsets=(0,), taps=(0,), size=taps.batch)
    kept = [(images, source[0], result[0])]
    for inner in zip(taps.axes, source[3:], result[3:], strict=True):
        outer = kept.pop()
        joint = _joined(outer, inner)
        kept += [outer, inner] if joint is None else [joint]
    batch = source_batch = result_batch = 0
    if kept[0][0] is images:
        (_, source_batch, result_batch), *kept = kept
        batch = taps.batch
    axes, source_steps, result_steps = zip(*kept, strict=True)
    return (
        replace(taps, batch=batch or 1, axes=axes),
        (source_batch, *source[1:3], *source_steps),
        (result_batch, *result[1:3], *result_steps),
    )


def _joined(
    outer: tuple[Axis, int, int], inner: tuple[Axis, int, int]
) -> tuple[Axis, int, int] | None:
    """Two neighbouring axes as one, each with its strides in source and result; None if
    there is no such axis."""
    (before, *steps), (axis, *inner_steps) = outer, inner
    if not all(
        a.offsets == (0,) and a.interior and not a.phase for a in (before, axis)
    ):
        return None
    walks = before.step * steps[0], before.stride * steps[1]
    inner_walks = axis.step * inner_steps[0], axis.stride * inner_steps[1]
    if axis.count == 1:
        inner_walks = walks
    elif before.count > 1 and walks != tuple(axis.count * w for w in inner_walks):
        return None
    count = before.count * axis.count
    return replace(axis, count=count, size=count, step=1, stride=1), *inner_walks


def forward(spec: ConvSpec) -> Taps:
    """The tap convolution that gives y, or whose reads the weight gradient shares."""
    axes = tuple(
        Axis(
            count=count,
            step=stride,
            offsets=tuple(dilation * k - before for k in range(kernel)),
            taps=tuple(range(kernel)),
            size=size,
            border=spec.border,
        )
        for count, size, kernel, stride, dilation, (before, _) in zip(
            spec.output_size,
            spec.size,
            spec.kernel,
            spec.stride,
            spec.dilation,
            spec.padding,
            strict=True,
        )
    )
    return Taps(
        spec.dtype,
        spec.batch,
        spec.groups,
        spec.in_channels // spec.groups,
        spec.out_channels // spec.groups,
        axes,
        spec.bias,
        spec.activation,
    )


def _phases(
    size: int, count: int, kernel: int, stride: int, dilation: int, before: int
) -> list[Axis]:
    """The input gradient along one axis: an Axis for each residue of the stride.

    An axis without taps gets nothing of y: its x is 0, or the bias.
    """
    axes = []
    for phase in range(min(stride, size)):
        reached = [
            (k, (phase + before - dilation * k) // stride)
            for k in reversed(range(kernel))  # so that offsets rise
            if (phase + before - dilation * k) % stride == 0
        ]
        axes.append(
            Axis(
                count=-(-(size - phase) // stride),
                step=1,
                offsets=tuple(offset for _, offset in reached),
                taps=tuple(k for k, _ in reached),
                size=count,
                stride=stride,
                phase=phase,
            )
        )
    return axes


def input_gradient(spec: ConvSpec) -> list[Taps]:
    """The tap convolutions that together give x, one for each phase of the stride."""
    each = [
        _phases(size, count, kernel, stride, dilation, before)
        for size, count, kernel, stride, dilation, (before, _) in zip(
            spec.size,
            spec.output_size,
            spec.kernel,
            spec.stride,
            spec.dilation,
            spec.padding,
            strict=True,
        )
    ]
    return [
        Taps(
            spec.dtype,
            spec.batch,
            spec.groups,
            spec.out_channels // spec.groups,
            spec.in_channels // spec.groups,
            axes,
            spec.bias,
            spec.activation,
        )
        for axes in product(*each)
    ]
