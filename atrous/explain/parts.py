"""Which part of a large layer a page carries, so that the file stays small."""

from __future__ import annotations

import math

from .setting import Setting
from .sizes import output_size

MOST = 1 << 17  # values of one array: 0.7 MB of a page


def parts(setting: Setting, size: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """For each array, how many cells of each axis are carried, from the first on.

    What fits is carried whole. Otherwise: of the weight, fewer output channels; of the
    input, the channels which those need, and a corner; of the output, what that corner
    and those channels give. Only a weight with more than `MOST` values for one output
    channel loses input channels, and with them its sums.
    """
    weight = _weight(setting)
    outputs = _outputs(setting, weight)
    inputs = (setting.in_channels, *size)
    if math.prod(inputs) > MOST:
        inputs = _input(setting, size, setting.sees(outputs - 1).stop)
    positions = _positions(setting, size, inputs[1:])
    outputs = max(1, min(outputs, MOST // math.prod(positions)))
    return {
        "input": inputs,
        "weight": weight,
        "bias": (setting.out_channels,),
        "output": (outputs, *positions),
    }


def _weight(setting: Setting) -> tuple[int, ...]:
    """The weight's part: output channels give way first, then input channels."""
    shape = list(setting.weight_shape)
    for axis in (1, 0) if setting.transposed else (0, 1):
        rest = math.prod(shape) // shape[axis]
        shape[axis] = min(shape[axis], max(1, MOST // rest))
    return tuple(shape)


def _outputs(setting: Setting, weight: tuple[int, ...]) -> int:
    """How many output channels, from the first on, the carried weight gives."""
    if not setting.transposed:
        return weight[0]
    if weight == setting.weight_shape:
        return setting.out_channels
    return weight[1]


def _input(setting: Setting, size: tuple[int, ...], channels: int) -> tuple[int, ...]:
    """At most `channels`, and the longest axes halved until all of them fit."""
    corner = list(size)
    least = [
        min(cells, span + step)
        for cells, span, step in zip(size, setting.spans, setting.stride, strict=True)
    ]
    while channels * math.prod(corner) > MOST and corner != least:
        axis = max(range(setting.rank), key=lambda axis: corner[axis] / least[axis])
        corner[axis] = max(least[axis], corner[axis] // 2)
    return (min(channels, max(1, MOST // math.prod(corner))), *corner)


def _positions(
    setting: Setting, size: tuple[int, ...], corner: tuple[int, ...]
) -> tuple[int, ...]:
    """How many outputs of each axis read nothing beyond the corner."""
    counts = []
    for axis, count in enumerate(output_size(setting, size)):
        if corner[axis] < size[axis]:
            step, span = setting.stride[axis], setting.spans[axis]
            before = setting.border[axis][0]
            if setting.transposed:
                within = corner[axis] * step - before
            else:
                within = (corner[axis] + before - span) // step + 1
            count = max(1, min(count, within))
        counts.append(count)
    while math.prod(counts) > MOST:
        axis = counts.index(max(counts))
        counts[axis] //= 2
    return tuple(counts)
