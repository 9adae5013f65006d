"""Which cells meet which weights: all that the pictures know of convolution.

For an output cell o and a tap k of the kernel, along each axis on its own:
    convolution  reads the cell at  o·stride - padding + k·dilation
    transposed   reads the cell at  (o + padding - k·dilation) / stride, where that is
                 a whole number
A position outside the input is a border cell: a zero, or a copy of another cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

from .example import usual_size
from .setting import Setting
from .sizes import output_size


class Tap(NamedTuple):
    """One product of an output cell's sum."""

    channel: int  # of the input
    position: tuple[int, ...]  # may lie outside the input, in its border
    source: tuple[int, ...] | None  # the position that is read; None is a zero
    weight: tuple[int, ...]  # index into the weight


class Touch(NamedTuple):
    """One product that an input cell is part of."""

    channel: int  # of the output
    position: tuple[int, ...]  # of the output
    through: tuple[int, ...]  # the position read: the cell's own, or a border cell's
    weight: tuple[int, ...]  # index into the weight


class _Meeting(NamedTuple):
    """A tap and a position that meet along one axis."""

    tap: int
    position: int
    source: int | None


def source(position: int, size: int, mode: str) -> int | None:
    """Where a cell of an axis of `size` cells comes from; None is a zero.

    >>> [source(position, 4, "reflect") for position in (-2, -1, 0, 3, 4, 5)]
    [2, 1, 0, 3, 2, 1]
    """
    if 0 <= position < size:
        return position
    if mode == "zeros":
        return None
    if mode == "reflect":
        return -position if position < 0 else 2 * (size - 1) - position
    if mode == "replicate":
        return min(max(position, 0), size - 1)
    return position % size


def _along(setting: Setting, axis: int, output: int, size: int) -> list[_Meeting]:
    """The taps of output position `output` along one axis."""
    step, hole = setting.stride[axis], setting.dilation[axis]
    before = setting.border[axis][0]
    meetings = []
    for tap in range(setting.kernel_size[axis]):
        if setting.transposed:
            position, rest = divmod(output + before - tap * hole, step)
            if rest:
                continue
        else:
            position = output * step - before + tap * hole
        meetings.append(
            _Meeting(tap, position, source(position, size, setting.padding_mode))
        )
    return meetings


def taps(
    layer: Any, output_index: Sequence[int], size: Sequence[int] | None = None
) -> list[Tap]:
    """The products that output cell (channel, *position) sums, in the weight's order.

    `layer` is a convolution layer or a `Setting`, `size` the input's, without channels:
    if it is not given, that of the example which `layer.explain()` shows.

    Raises IndexError if there is no such output cell, RuntimeError if the layer does
    not fit the size.

    >>> from atrous import nn
    >>> [tap.position for tap in taps(nn.Conv1d(1, 1, 3, padding=1), (0, 0), (5,))]
    [(-1,), (0,), (1,)]
    """
    setting = Setting.of(layer)
    size = usual_size(setting) if size is None else size
    outputs = (setting.out_channels, *output_size(setting, size))
    channel, *position = _check("output", output_index, outputs)
    lines = [
        _along(setting, axis, place, size[axis]) for axis, place in enumerate(position)
    ]
    found = []
    for input in setting.sees(channel):
        for meeting in product(*lines):
            origin = tuple(one.source for one in meeting if one.source is not None)
            tap = tuple(one.tap for one in meeting)
            found.append(
                Tap(
                    input,
                    tuple(one.position for one in meeting),
                    origin if len(origin) == len(meeting) else None,
                    setting.weight_index(channel, input, tap),
                )
            )
    return found


def touches(
    layer: Any, input_index: Sequence[int], size: Sequence[int] | None = None
) -> list[Touch]:
    """The products that input cell (channel, *position) is part of: `taps` reversed.

    The cell's gradient is the sum over them of weight · the output cell's gradient. An
    output cell stands there once for each time that it reads the cell, which a border
    can make several.

    Raises IndexError if there is no such input cell, RuntimeError if the layer does not
    fit the size.
    """
    setting = Setting.of(layer)
    size = usual_size(setting) if size is None else size
    inputs = (setting.in_channels, *size)
    outputs = output_size(setting, size)
    channel, *position = _check("input", input_index, inputs)
    lines = [
        [
            (output, meeting)
            for output in range(outputs[axis])
            for meeting in _along(setting, axis, output, size[axis])
            if meeting.source == place
        ]
        for axis, place in enumerate(position)
    ]
    return [
        Touch(
            output,
            tuple(place for place, _ in pairs),
            tuple(meeting.position for _, meeting in pairs),
            setting.weight_index(
                output, channel, tuple(meeting.tap for _, meeting in pairs)
            ),
        )
        for output in setting.reaches(channel)
        for pairs in product(*lines)
    ]


def unread(layer: Any, size: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """For each axis, the positions of the input that no output reads.

    >>> from atrous import nn
    >>> unread(nn.Conv1d(1, 1, 2, stride=3), (7,))
    ((2, 5, 6),)
    """
    setting = Setting.of(layer)
    outputs = output_size(setting, size)
    lines = []
    for axis, cells in enumerate(size):
        read = {
            meeting.source
            for output in range(outputs[axis])
            for meeting in _along(setting, axis, output, cells)
        }
        lines.append(tuple(cell for cell in range(cells) if cell not in read))
    return tuple(lines)


def _check(what: str, index: Sequence[int], shape: tuple[int, ...]) -> tuple[int, ...]:
    """The index as it is; IndexError if it is none of `shape`."""
    inside = len(index) == len(shape) and all(
        0 <= place < count for place, count in zip(index, shape, strict=True)
    )
    if not inside:
        raise IndexError(
            f"explain: there is no {what} cell {tuple(index)}: the {what} is {shape}."
        )
    return tuple(index)
