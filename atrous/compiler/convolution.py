"""Convolution by its spec: one trilinear form, solved for y, for x or for w.

    convolve(spec, x=…, w=…) -> y     convolve(spec, w=…, y=…) -> x
    convolve(spec, x=…, y=…) -> w

Operands are NumPy arrays of any strides, in torch's logical shapes. x and y come back
channels-last in memory, w contiguous.
"""

from dataclasses import replace

import numpy as np

from . import cache, memory
from .elementwise import pointwise
from .pool import run, workers_of
from .schedules import (
    conv_depthwise,
    conv_direct,
    conv_dots,
    conv_weights,
    conv_winograd,
)
from .schedules.conv_taps import Taps, forward, input_gradient
from .spec import ConvSpec, border_index
from .target import Target, here

#: Schedules of a tap convolution: the first that handles it computes it.
SCHEDULES = (conv_depthwise, conv_dots, conv_direct)


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
    target = target or here()
    solve = {"y": _solve_y, "x": _solve_x, "w": _solve_w}[spec.solves]
    result = solve(spec, given, bias, target)
    if out is None:
        return result
    out[...] = result
    return out


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


def _readable(
    array: np.ndarray, dense: bool = False, squares: bool = False
) -> np.ndarray:
    """The array, or a channels-last copy: if its strides are no whole elements, or it
    is worth it, or its channels must be neighbours (`dense`). With `squares` it is not
    worth it where rows are dense: packing transposes them."""
    whole = all(stride % array.itemsize == 0 for stride in array.strides)
    apart = array.shape[1] > 1 and array.strides[1] != array.itemsize
    rows = squares and array.strides[-1] == array.itemsize
    many = array.shape[1] >= REORDERED and not rows
    if whole and array.flags.aligned and not (apart and (dense or many)):
        return array
    order = memory.channels_last(array.ndim)
    copy = memory.empty(array.shape, array.dtype, order)
    pointwise(("in", 0), array, out=copy)
    return copy


def _in_squares(taps: Taps, winograd: bool) -> bool:
    """Whether packing transposes channels squares at a time."""
    if winograd:
        return conv_winograd.reads_rows(taps)
    if taps.source_channels == 1:
        return taps.groups % 16 == 0
    return taps.source_channels % 8 == 0


def _solve_y(spec: ConvSpec, given, bias, target: Target) -> np.ndarray:
    y = _result(spec, "y")
    if y.size:
        _tap_convolution(
            forward(spec), given["x"], _groups(spec, given["w"]), bias, y, target
        )
    return y


def _solve_x(spec: ConvSpec, given, bias, target: Target) -> np.ndarray:
    if spec.border != "zeros" and any(a or b for a, b in spec.padding):
        return _fold_border(spec, given, bias, target)
    if _tiles_rows(spec):
        return _solve_x_by_rows(spec, given, bias, target)
    x = _result(spec, "x")
    if x.size:
        w = _groups(spec, given["w"]).swapaxes(1, 2)
        for taps in input_gradient(spec):
            _tap_convolution(taps, given["y"], w, bias, x, target)
    return x


def _tiles_rows(spec: ConvSpec) -> bool:
    """Whether the kernels of neighbouring outputs meet along rows without overlap."""
    stride = spec.stride[-1]
    return (
        spec.groups == 1
        and stride == spec.kernel[-1] > 1
        and spec.dilation[-1] == 1
        and spec.padding[-1] == (0, 0)
        and spec.size[-1] % stride == 0
    )


def _solve_x_by_rows(spec: ConvSpec, given, bias, target: Target) -> np.ndarray:
    """x where `_tiles_rows`: the phases of a row are channels that lie side by side."""
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
        bias = np.tile(bias.reshape(-1), phases)
    x = _solve_x(folded, {"w": w, "y": given["y"]}, bias, target)
    by_position = np.moveaxis(x, 1, -1).reshape(
        spec.batch, *spec.size, spec.in_channels
    )
    return np.moveaxis(by_position, -1, 1)


def _solve_w(spec: ConvSpec, given, bias, target: Target) -> np.ndarray:
    """The weight gradient; w is contiguous."""
    taps = forward(spec)
    w = memory.empty(spec.shapes["w"], spec.dtype)
    if not w.size or not given["x"].size or not given["y"].size:
        w.fill(0)
        return w
    depthwise = conv_depthwise.handles(taps, target)
    winograd = conv_winograd.chosen(taps)
    x = _readable(given["x"], squares=_in_squares(taps, winograd))
    y = _readable(given["y"], dense=depthwise or taps.channels > 1)
    if winograd and conv_winograd.weight_gradient(
        taps, x, _elements(x, 1), y, _elements(y, 1), w, target
    ):
        return w
    schedule = conv_depthwise.gradient_plan if depthwise else conv_weights.plan
    plan = schedule(taps, _elements(x, spec.groups), _elements(y, spec.groups), target)
    sums = memory.empty(plan.sums_shape, spec.dtype)
    kernel, blocks = plan.kernel, plan.blocks
    workspace = memory.empty((blocks.slab_size * workers_of(plan.chunks),), spec.dtype)
    address = cache.kernel(("conv_weights", kernel), kernel.build, target)
    arguments = (
        x.ctypes.data + blocks.source_offset * x.itemsize,
        y.ctypes.data,
        sums.ctypes.data,
        blocks.runs.ctypes.data,
        workspace.ctypes.data,
        *plan.numbers,
    )
    run(address, arguments, plan.chunks)
    if depthwise:
        conv_depthwise.gather_sums(sums, w.reshape(spec.groups, -1))
        return w
    by_group = _groups(spec, w)
    conv_weights.gather_sums(sums, kernel, by_group.reshape(*by_group.shape[:3], -1))
    return w


def _result(spec: ConvSpec, name: str) -> np.ndarray:
    shape = spec.shapes[name]
    return memory.empty(shape, spec.dtype, memory.channels_last(len(shape)))


def _groups(spec: ConvSpec, w: np.ndarray) -> np.ndarray:
    """w as (groups, out / groups, in / groups, *kernel): a view."""
    return w.reshape(spec.groups, -1, *w.shape[1:])


def _tap_convolution(
    taps: Taps,
    source: np.ndarray,
    w: np.ndarray,
    bias,
    result: np.ndarray,
    target: Target,
) -> None:
    """Write one phase of the result. `w` is (groups, channels, source channels, *k)."""
    if not taps.pixels or not taps.batch:
        return
    if not taps.taps or not taps.source_channels or not source.size:
        return _without_source(taps, bias, result)
    winograd = conv_winograd.chosen(taps)
    source = _readable(source, squares=_in_squares(taps, winograd))
    picked = [slice(None)] * 3 + [_progression(axis.taps) for axis in taps.axes]
    w = w[tuple(picked)]
    strides = _elements(source, taps.groups), _elements(result, taps.groups)
    if winograd and conv_winograd.convolve(
        taps, source, strides[0], w[0], bias, result, strides[1], target
    ):
        return
    run_taps(taps, source, strides[0], w, bias, result, strides[1], target)


def _progression(taps: tuple[int, ...]) -> slice:
    """Taps of an axis as a slice: they rise or fall by equal steps."""
    step = taps[1] - taps[0] if len(taps) > 1 else 1
    stop = taps[-1] + step
    return slice(taps[0], stop if stop >= 0 else None, step)


def run_taps(
    taps: Taps,
    source: np.ndarray,
    source_strides: tuple[int, ...],
    w: np.ndarray,
    bias,
    result: np.ndarray,
    result_strides: tuple[int, ...],
    target: Target,
) -> None:
    """Run a tap convolution. Strides as for `conv_direct.plan`; `w` is (groups,
    channels, source channels, *taps), in the order of the taps."""
    schedule = next(s for s in SCHEDULES if s.handles(taps, target))
    plan = schedule.plan(taps, source_strides, result_strides, target)
    kernel = plan.kernel
    packed = memory.empty(plan.weights_shape, taps.dtype)
    schedule.pack(w, kernel, packed)
    padded = np.zeros(plan.bias_shape, taps.dtype)
    if bias is not None:
        groups = plan.bias_shape[0]
        padded[:, : bias.size // groups] = bias.reshape(groups, -1)
    blocks = plan.blocks
    workspace = memory.empty((blocks.slab_size * workers_of(plan.chunks),), taps.dtype)
    address = cache.kernel(("conv_direct", kernel), kernel.build, target)
    arguments = (
        source.ctypes.data + blocks.source_offset * source.itemsize,
        packed.ctypes.data,
        padded.ctypes.data,
        result.ctypes.data + plan.result_offset * source.itemsize,
        blocks.runs.ctypes.data,
        workspace.ctypes.data,
        *plan.numbers,
    )
    run(address, arguments, plan.chunks)


def _without_source(taps: Taps, bias, result: np.ndarray) -> None:
    """A phase that no tap reaches: zero, or the bias, and its activation."""
    part = result[
        (slice(None), slice(None), *(slice(a.phase, None, a.stride) for a in taps.axes))
    ]
    value = 0 if bias is None else bias.reshape(-1, *[1] * len(taps.axes))
    part[...] = np.maximum(value, 0) if taps.activation else value


def _fold_border(spec: ConvSpec, given, bias, target: Target) -> np.ndarray:
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
    x = _solve_x(flat, given, None, target)
    for axis, (size, (before, after)) in enumerate(
        zip(spec.size, spec.padding, strict=True), 2
    ):
        moved = x.swapaxes(0, axis)
        inside = moved[before : before + size]
        index = border_index(size, before, after, spec.border)
        for position in (*range(before), *range(before + size, len(index))):
            inside[index[position]] += moved[position]
        x = inside.swapaxes(0, axis)
    if bias is not None:
        x = x + bias.reshape(-1, *[1] * spec.rank)
    if spec.activation == "relu":
        x = np.where(x < 0, 0, x)
    result = _result(spec, "x")
    result[...] = x
    return result
