"""Convolution by its spec: one trilinear form, solved for y, for x or for w.

    convolve(spec, x=…, w=…) -> y     convolve(spec, w=…, y=…) -> x
    convolve(spec, x=…, y=…) -> w

Operands are NumPy arrays of any strides, in torch's logical shapes. x and y come back
channels-last in memory, w contiguous. What a call does depends on the spec and on how
its operands lie: it is worked out once, as a recording (see there), and replayed.
"""

import os
from dataclasses import replace
from functools import lru_cache
from itertools import product
from math import prod
from operator import mul

import numpy as np

from . import cache, choice, memory
from .choice import DIRECT, STREAMED, WINOGRAD, choose
from .launch import address, remember
from .recording import Recorder, Recording, StandIn
from .schedules import (
    conv_depthwise,
    conv_direct,
    conv_dots,
    conv_grouped,
    conv_streamed,
    conv_thin,
    conv_weights,
    conv_winograd,
    winograd_choice,
)
from .schedules.conv_taps import Axis, Taps, forward, input_gradient
from .spec import ConvSpec, border_index
from .target import Target, threads

#: Schedules of groups of few channels, for all three operands.
SLIDING = (conv_depthwise, conv_grouped)
#: Schedules of a tap convolution: the first that handles it computes it.
SCHEDULES = (*SLIDING, conv_thin, conv_dots, conv_direct)


def convolve(
    spec: ConvSpec, x=None, w=None, y=None, bias=None, out=None, target=None
) -> np.ndarray:
    """The operand of T(x, w, y) that `spec.solves` names, from the other two.

    `bias` (one number a channel of the result) goes with `spec.bias`; `out` receives
    the result and is returned.
    """
    given = {"x": x, "w": w, "y": y}
    for name, shape in spec.shapes.items():
        operand = given[name]
        assert (operand is None) == (name == spec.solves), name
        assert operand is None or operand.shape == shape, (name, operand.shape, shape)
        assert operand is None or operand.dtype == spec.dtype, (name, operand.dtype)
    assert (bias is not None) == spec.bias
    first, second = [each for each in given.values() if each is not None]
    result = prepared(spec)(first, second, bias, target)
    if out is None:
        return result
    out[...] = result
    return out


@lru_cache(maxsize=1024)
def prepared(spec: ConvSpec) -> "Convolution":
    """The spec as something to call."""
    return Convolution(spec)


class Convolution:
    """A spec and, for each way in which its operands have lain, what is to be done."""

    def __init__(self, spec: ConvSpec):
        self.spec = spec
        self.known = tuple([name for name in spec.shapes if name != spec.solves])
        shape = spec.shapes[spec.solves]
        order = None if spec.solves == "w" else memory.channels_last(len(shape))
        self._result = memory.Blank(shape, spec.dtype, order)
        self._within = np.dtype(spec.dtype).itemsize - 1  # an element's bytes
        self._recordings: dict[tuple, Recording] = {}
        self._others: dict[str, Convolution] = {}

    def solving(self, name: str) -> "Convolution":
        """The same form, solved for another operand, without bias and activation."""
        found = self._others.get(name)
        if found is None:
            spec = replace(self.spec, solves=name, bias=False, activation=None)
            found = self._others[name] = prepared(spec)
        return found

    def __call__(
        self,
        first: np.ndarray,
        second: np.ndarray,
        bias: np.ndarray | None = None,
        target: Target | None = None,
    ) -> np.ndarray:
        """The missing operand. `first` and `second` are the others, in the order x, w,
        y; like `bias` they are of the spec's shapes and dtype."""
        target = target or cache.here()
        arrays = [first, second] if bias is None else [first, second, bias]
        key = (
            *[array.strides for array in arrays],
            target.name,
            threads(),
            os.environ.get("ATROUS_SCHEDULE"),
            choice.measured,
        )
        recording = self._recordings.get(key)
        if (address(first) | address(second)) & self._within or (
            recording is None and self._between_elements(arrays)
        ):
            whole = None if bias is None else bias.copy()
            return self(first.copy(), second.copy(), whole, target)
        result = self._result()
        arrays.append(result)
        if recording is None:
            recording = remember(self._recordings, key, self._chosen(arrays, target))
        if recording(*arrays):
            key = (*key, DIRECT)
            recording = self._recordings.get(key) or remember(
                self._recordings, key, self._recorded(arrays, target, DIRECT)
            )
            recording(*arrays)
        return result

    def _between_elements(self, arrays: list[np.ndarray]) -> bool:
        """Whether some array's strides are no whole elements."""
        return any(step & self._within for array in arrays for step in array.strides)

    def _chosen(self, arrays, target: Target) -> Recording:
        """What to do by the schedule that is fastest."""
        recordings: dict[str, Recording] = {}

        def recorded(schedule: str) -> Recording:
            if schedule not in recordings:
                recordings[schedule] = self._recorded(arrays, target, schedule)
            return recordings[schedule]

        strides = tuple(array.strides for array in arrays)
        return recorded(
            choose(self.spec, strides, target, lambda name: recorded(name)(*arrays))
        )

    def _recorded(self, arrays, target: Target, schedule: str) -> Recording:
        """What to do with arrays that lie as these: operands, bias, result."""
        recorder = Recorder(target)
        first, second, *more = map(recorder.given, arrays)
        given = dict(zip(self.known, (first, second), strict=True))
        bias = more[0] if len(more) > 1 else None
        _solve(self.spec, given, bias, more[-1], schedule)
        return recorder.recording()


def _elements(array: np.ndarray, groups: int) -> tuple[int, ...]:
    """Strides in elements: batch, group, channel, *spatial. Those of axes of one
    position say nothing and are zero."""
    batch, channel, *spatial = (
        stride // array.itemsize if size > 1 else 0
        for stride, size in zip(array.strides, array.shape, strict=True)
    )
    return (batch, channel * (array.shape[1] // groups), channel, *spatial)


#: From this many channels on, an array whose channels are apart is reordered before it
#: is read: the slab would gather it value by value, halo and all.
REORDERED = 8


def _readable(array: StandIn, dense: bool = False, squares: bool = False) -> StandIn:
    """The array, or a channels-last copy if it is worth it, or its channels must be
    neighbours (`dense`). With `squares` it is not worth it where rows are dense:
    packing transposes them."""
    apart = array.shape[1] > 1 and array.strides[1] != array.itemsize
    rows = squares and array.strides[-1] == array.itemsize
    many = array.shape[1] >= REORDERED and not rows
    if not (apart and (dense or many)):
        return array
    order = memory.channels_last(array.ndim)
    copy = array.recorder.scratch(array.shape, array.dtype, order)
    copy[...] = array
    return copy


def _in_squares(taps: Taps, winograd: bool) -> bool:
    """Whether packing transposes channels squares at a time."""
    if winograd:
        return winograd_choice.reads_rows(taps)
    if taps.source_channels == 1:
        return taps.groups % 16 == 0
    return taps.source_channels % 8 == 0


def _solve(
    spec: ConvSpec, given: dict[str, StandIn], bias, result: StandIn, schedule: str
) -> None:
    """Record what writes the operand that `spec.solves` names."""
    if result.size and schedule == STREAMED and conv_streamed.handles(spec):
        of = {**given, spec.solves: result}
        conv_streamed.solve(spec, of["x"], of["w"], of["y"], bias)
    elif result.size:
        solve = {"y": _solve_y, "x": _solve_x, "w": _solve_w}[spec.solves]
        solve(spec, given, bias, result, schedule)


def _solve_y(spec: ConvSpec, given, bias, y: StandIn, schedule: str) -> None:
    w = _groups(spec, given["w"])
    _tap_convolution(forward(spec), given["x"], w, bias, y, schedule)


def _solve_x(spec: ConvSpec, given, bias, x: StandIn, schedule: str) -> None:
    if spec.border != "zeros" and any(a or b for a, b in spec.padding):
        _fold_border(spec, given, bias, x, schedule)
    elif given["y"].size and _in_pieces(spec, x.recorder.target):
        _solve_x_in_pieces(spec, given, bias, x)
    elif _meets(spec, -1):
        _solve_x_by_rows(spec, given, bias, x, schedule)
    else:
        w = _groups(spec, given["w"]).swapaxes(1, 2)
        for taps in input_gradient(spec):
            _tap_convolution(taps, given["y"], w, bias, x, schedule)


def _meets(spec: ConvSpec, axis: int, longer: int = 1) -> bool:
    """Whether the kernels of neighbouring outputs, of more taps than `longer`, meet
    along an axis without overlap."""
    stride = spec.stride[axis]
    return (
        spec.groups == 1
        and stride == spec.kernel[axis] > longer
        and spec.dilation[axis] == 1
        and spec.padding[axis] == (0, 0)
        and spec.size[axis] % stride == 0
    )


def _in_pieces(spec: ConvSpec, target: Target) -> bool:
    """Whether kernels meet along all axes, and one product can give every phase."""
    pieces, channels = prod(spec.kernel[:-1]), spec.in_channels * prod(spec.kernel)
    return (
        pieces > 1
        and all(_meets(spec, axis, 0) for axis in range(spec.rank))
        and conv_direct.piece_tile(channels, pieces, spec.dtype, target) is not None
    )


def _solve_x_in_pieces(spec: ConvSpec, given, bias, x: StandIn) -> None:
    """x where `_in_pieces`: an output's phases are channels; those of a row lie side by
    side, rows in pieces of their own."""
    channels = spec.in_channels * prod(spec.kernel)
    y = _readable(given["y"], squares=spec.out_channels % 8 == 0)
    batch, _, _, *steps = _elements(x, 1)
    places = product(*[range(k) for k in spec.kernel[:-1]])
    taps = Taps(
        dtype=spec.dtype,
        batch=spec.batch,
        groups=1,
        source_channels=spec.out_channels,
        channels=channels,
        axes=tuple(Axis(n, 1, (0,), (0,), n) for n in spec.output_size),
        bias=spec.bias,
        activation=spec.activation,
    )
    w = np.moveaxis(given["w"], 1, -1)
    w = w.reshape(1, spec.out_channels, channels, *[1] * spec.rank).swapaxes(1, 2)
    run_taps(
        taps,
        y,
        _elements(y, 1),
        w,
        None if bias is None else _repeated(bias, prod(spec.kernel)),
        x,
        (batch, 0, 1, *(k * step for k, step in zip(spec.kernel, steps, strict=True))),
        tuple(sum(map(mul, place, steps)) for place in places),
    )


def _repeated(bias: StandIn, times: int) -> StandIn:
    """The bias, so many times one after the other."""
    repeated = bias.recorder.scratch((times, bias.size), bias.dtype)
    repeated[...] = bias
    return repeated.reshape(-1)


def _solve_x_by_rows(spec: ConvSpec, given, bias, x: StandIn, schedule: str) -> None:
    """x where rows `_meets`: the phases of a row are channels that lie side by side."""
    phases, size = spec.stride[-1], spec.size[-1]
    folded = replace(
        spec,
        in_channels=spec.in_channels * phases,
        size=(*spec.size[:-1], size // phases),
        kernel=(*spec.kernel[:-1], 1),
        stride=(*spec.stride[:-1], 1),
    )
    w = np.moveaxis(given["w"], -1, 1).reshape(folded.shapes["w"])
    if bias is not None:
        bias = _repeated(bias, phases)
    batch, channels, *sizes = folded.shapes["x"]
    wide = np.moveaxis(x, 1, -1).reshape(batch, *sizes, channels)
    wide = np.moveaxis(wide, -1, 1)
    _solve(folded, {"w": w, "y": given["y"]}, bias, wide, schedule)


def _solve_w(spec: ConvSpec, given, bias, w: StandIn, schedule: str) -> None:
    """The weight gradient; w is contiguous."""
    if not given["x"].size or not given["y"].size:
        w.fill(0)
        return
    taps, recorder = forward(spec), w.recorder
    target = recorder.target
    sliding = next((s for s in SLIDING if s.handles(taps, target)), None)
    winograd = (
        schedule == WINOGRAD and taps.groups == 1 and winograd_choice.handles(taps)
    )
    x = _readable(given["x"], squares=_in_squares(taps, winograd))
    y = _readable(given["y"], dense=bool(sliding) or taps.channels > 1)
    if winograd:
        conv_winograd.weight_gradient(taps, x, _elements(x, 1), y, _elements(y, 1), w)
        return
    by_group = _groups(spec, w)
    by_group = by_group.reshape(*by_group.shape[:3], -1)
    if not sliding and conv_weights.turns(taps, target):
        (taps,), x, y = input_gradient(spec), y, _readable(x, dense=True)
        by_group = by_group.swapaxes(1, 2)[..., ::-1]
    planned = sliding.gradient_plan if sliding else conv_weights.plan
    plan = planned(taps, _elements(x, spec.groups), _elements(y, spec.groups), target)
    sums = recorder.scratch(plan.sums_shape, spec.dtype)
    kernel, blocks = plan.kernel, plan.blocks
    recorder.launch(
        cache.kernel(("conv_weights", kernel), kernel.build, target),
        (
            (x, blocks.source_offset),
            y,
            sums,
            blocks.runs,
            recorder.workspace(blocks.slab_size, spec.dtype, plan.chunks),
        ),
        plan.numbers,
        plan.chunks,
    )
    (sliding or conv_weights).gather_sums(sums, kernel, by_group)


def _groups(spec: ConvSpec, w: StandIn) -> StandIn:
    """w as (groups, out / groups, in / groups, *kernel): a view."""
    return w.reshape(spec.groups, w.shape[0] // spec.groups, *w.shape[1:])


def _tap_convolution(
    taps: Taps, source: StandIn, w: StandIn, bias, result: StandIn, schedule: str
) -> None:
    """Write one phase of the result. `w` is (groups, channels, source channels, *k)."""
    if not taps.pixels or not taps.batch:
        return
    if not taps.taps or not taps.source_channels or not source.size:
        _without_source(taps, bias, result)
        return
    winograd = schedule == WINOGRAD and winograd_choice.handles(taps)
    source = _readable(source, squares=_in_squares(taps, winograd))
    picked = [slice(None)] * 3 + [_progression(axis.taps) for axis in taps.axes]
    w = w[tuple(picked)]
    strides = _elements(source, taps.groups), _elements(result, taps.groups)
    if winograd:
        conv_winograd.convolve(taps, source, strides[0], w, bias, result, strides[1])
    else:
        run_taps(taps, source, strides[0], w, bias, result, strides[1])


def _progression(taps: tuple[int, ...]) -> slice:
    """Taps of an axis as a slice: they rise or fall by equal steps."""
    step = taps[1] - taps[0] if len(taps) > 1 else 1
    stop = taps[-1] + step
    return slice(taps[0], stop if stop >= 0 else None, step)


def run_taps(
    taps: Taps,
    source: StandIn,
    source_strides: tuple[int, ...],
    w: StandIn,
    bias: StandIn | None,
    result: StandIn,
    result_strides: tuple[int, ...],
    pieces: tuple[int, ...] = (),
) -> None:
    """Record a tap convolution. Strides and `pieces` as for `conv_direct.plan`; `w` is
    (groups, channels, source channels, *taps), in the order of the taps."""
    recorder = result.recorder
    target = recorder.target
    if pieces:
        schedule = conv_direct
        plan = schedule.plan(taps, source_strides, result_strides, target, pieces)
    else:
        schedule = next(s for s in SCHEDULES if s.handles(taps, target))
        plan = schedule.plan(taps, source_strides, result_strides, target)
    kernel, blocks = plan.kernel, plan.blocks
    packed = recorder.scratch(plan.weights_shape, taps.dtype)
    schedule.pack(w, kernel, packed)
    recorder.launch(
        cache.kernel(("conv_direct", kernel), kernel.build, target),
        (
            (source, blocks.source_offset),
            packed,
            None if bias is None else _padded(bias, plan.bias_shape),
            (result, plan.result_offset),
            blocks.runs,
            recorder.workspace(blocks.slab_size, taps.dtype, plan.chunks),
        ),
        plan.numbers,
        plan.chunks,
    )


def _padded(bias: StandIn, shape: tuple[int, int]) -> StandIn:
    """The bias as (groups, channels), zeros behind the last of a group."""
    groups, channels = shape
    bias = bias.reshape(groups, -1)
    if bias.shape == shape and bias.strides[1] == bias.itemsize:
        return bias
    padded = bias.recorder.scratch(shape, bias.dtype)
    if bias.shape[1] < channels:
        padded.fill(0)
    padded[:, : bias.shape[1]] = bias
    return padded


def _without_source(taps: Taps, bias, result: StandIn) -> None:
    """A phase that no tap reaches: zero, or the bias, and its activation."""
    part = result[
        (slice(None), slice(None), *(slice(a.phase, None, a.stride) for a in taps.axes))
    ]
    if bias is None:
        part.fill(0)
        return
    bias = bias.reshape(-1, *[1] * len(taps.axes))
    part.recorder.pointwise(_activated(("in", 0), taps.activation), bias, out=part)


def _activated(expr: tuple, activation: str | None) -> tuple:
    """The expression, activated; NaN passes through."""
    zero = ("const", 0.0)
    return expr if activation is None else ("where", ("lt", expr, zero), zero, expr)


def _fold_border(spec: ConvSpec, given, bias, result: StandIn, schedule: str) -> None:
    """x where the border was read from x itself: solve for the padded grid, then add
    each of its positions to where it was read from."""
    padded_size = tuple(
        n + before + after
        for n, (before, after) in zip(spec.size, spec.padding, strict=True)
    )
    flat = replace(
        spec,
        size=padded_size,
        padding=((0, 0),) * spec.rank,
        border="zeros",
        bias=False,
        activation=None,
    )
    recorder, order = result.recorder, memory.channels_last(result.ndim)
    x = recorder.scratch(flat.shapes["x"], spec.dtype, order)
    _solve(flat, given, None, x, schedule)
    for axis, (size, (before, after)) in enumerate(
        zip(spec.size, spec.padding, strict=True), 2
    ):
        moved = x.swapaxes(0, axis)
        inside = moved[before : before + size]
        index = border_index(size, before, after, spec.border)
        for position in (*range(before), *range(before + size, len(index))):
            to = inside[index[position]]
            recorder.pointwise(
                ("add", ("in", 0), ("in", 1)), to, moved[position], out=to
            )
        x = inside.swapaxes(0, axis)
    if bias is None:
        recorder.pointwise(_activated(("in", 0), spec.activation), x, out=result)
        return
    total = ("add", ("in", 0), ("in", 1))
    bias = bias.reshape(-1, *[1] * spec.rank)
    recorder.pointwise(_activated(total, spec.activation), x, bias, out=result)
