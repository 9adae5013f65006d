"""Output sizes: the formula with its numbers, and what to do where there is none."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .setting import Setting

# What a repair may change along an axis; of equally small changes the first is named.
CHANGEABLE = ("kernel_size", "dilation", "stride", "output_padding", "padding", "size")
LEAST = {"padding": 0, "output_padding": 0}  # of the others 1


def output_size(layer: Any, size: Sequence[int]) -> tuple[int, ...]:
    """The spatial size of the output for an input of spatial `size`.

    Raises RuntimeError with `advice` if there is none.

    >>> from atrous import nn
    >>> output_size(nn.Conv2d(1, 1, 3, stride=2), (5, 6))
    (2, 2)
    """
    setting = Setting.of(layer)
    problem = advice(setting, size)
    if problem:
        raise RuntimeError(f"{setting.name}: {problem}")
    return tuple(_out(setting, axis, cells) for axis, cells in enumerate(size))


def formula(layer: Any, size: Sequence[int]) -> tuple[str, ...]:
    """For each axis, the size formula with its numbers.

    >>> from atrous import nn
    >>> formula(nn.Conv1d(1, 1, 3, stride=2, dilation=2), (5,))
    ('⌊(5 + 2·0 − 2·(3 − 1) − 1)/2⌋ + 1 = 1',)
    """
    setting = Setting.of(layer)
    lines = []
    for axis, cells in enumerate(size):
        before, after = setting.border[axis]
        border = f"2·{before}" if before == after else f"({before} + {after})"
        reach = f"{setting.dilation[axis]}·({setting.kernel_size[axis]} − 1)"
        step, out = setting.stride[axis], _out(setting, axis, cells)
        if setting.transposed:
            extra = setting.output_padding[axis]
            left = f"({cells} − 1)·{step} − {border} + {reach} + {extra} + 1"
        else:
            left = f"⌊({cells} + {border} − {reach} − 1)/{step}⌋ + 1"
        lines.append(f"{left} = {out}".replace("= -", "= −"))
    return tuple(lines)


def advice(layer: Any, size: Sequence[int]) -> str | None:
    """Why the setting cannot work, and the smallest change that makes it work.

    None where it works. The change is tried, not guessed: it is the nearest value of
    one number after another with which nothing is wrong any more.

    >>> from atrous import nn
    >>> advice(nn.Conv1d(1, 1, 7), (5,))
    'a kernel of 7 does not fit the 5 cells of the width. Smallest change: padding=1.'
    """
    setting, size = Setting.of(layer), tuple(size)
    if len(size) != setting.rank:
        axes = "axis" if setting.rank == 1 else "axes"
        return (
            f"the input needs {setting.rank} spatial {axes}"
            f" ({', '.join(setting.axes)}), not {len(size)}."
        )
    reason = fault(setting, size)
    if reason is None:
        return None
    return f"{reason}. Smallest change: {_difference(setting, size)}."


def fault(setting: Setting, size: tuple[int, ...]) -> str | None:
    """The first thing that is wrong with a setting, or None."""
    channels = _channel_fault(setting)
    if channels:
        return channels
    for axis in range(setting.rank):
        reason = _axis_fault(setting, size, axis)
        if reason:
            return reason
    return None


def _out(setting: Setting, axis: int, cells: int) -> int:
    """The output's size along one axis by the formula, which may be below 1."""
    border, step = sum(setting.border[axis]), setting.stride[axis]
    if setting.transposed:
        extra = setting.output_padding[axis]
        return (cells - 1) * step - border + setting.spans[axis] + extra
    return (cells + border - setting.spans[axis]) // step + 1


def _channel_fault(setting: Setting) -> str | None:
    """What is wrong apart from sizes."""
    inputs, outputs, groups = setting.in_channels, setting.out_channels, setting.groups
    for name in ("in_channels", "out_channels", "groups"):
        if getattr(setting, name) < 1:
            return f"{name} must be at least 1, not {getattr(setting, name)}"
    if inputs % groups or outputs % groups:
        return (
            f"groups={groups} does not divide both the {inputs} input and the {outputs}"
            " output channels"
        )
    if setting.transposed and setting.padding_mode != "zeros":
        return f"a transposed convolution has no padding_mode={setting.padding_mode!r}"
    if setting.transposed and isinstance(setting.padding, str):
        return f"a transposed convolution has no padding={setting.padding!r}"
    if setting.padding == "same" and set(setting.stride) != {1}:
        return f"padding='same' needs stride 1, not {setting.stride}"
    return None


def _axis_fault(setting: Setting, size: tuple[int, ...], axis: int) -> str | None:
    """What is wrong along one axis."""
    where, cells, most = setting.axes[axis], size[axis], max(setting.border[axis])
    for name in CHANGEABLE:
        values = size if name == "size" else getattr(setting, name)
        least = LEAST.get(name, 1)
        if not isinstance(values, str) and values[axis] < least:
            return f"{name} must be at least {least} along the {where}"
    if setting.transposed:
        extra = setting.output_padding[axis]
        steps = max(setting.stride[axis], setting.dilation[axis])
        if extra >= steps:
            return (
                f"output_padding={extra} along the {where} must be smaller than stride"
                " or dilation"
            )
        if _out(setting, axis, cells) < 1:
            return f"padding {most} leaves nothing of the {where}'s output"
        return None
    mode = setting.padding_mode
    if (mode == "reflect" and most >= cells) or (mode == "circular" and most > cells):
        return f"{mode} has too few cells: padding {most} on a {where} of {cells}"
    span, padded = setting.spans[axis], cells + sum(setting.border[axis])
    if span > padded:
        holes = f" spread over {span}" if span != setting.kernel_size[axis] else ""
        with_border = " (with its border)" if padded != cells else ""
        return (
            f"a kernel of {setting.kernel_size[axis]}{holes} does not fit the {padded}"
            f" cells of the {where}{with_border}"
        )
    return None


def repaired(
    setting: Setting, size: tuple[int, ...]
) -> tuple[Setting, tuple[int, ...]]:
    """The nearest setting and size that work."""
    setting = _repaired_channels(setting)
    for axis in range(setting.rank):
        setting, size = _clamped(setting, size, axis)
        if _axis_fault(setting, size, axis):
            setting, size = _nearest(setting, size, axis)
    return setting, size


def _repaired_channels(setting: Setting) -> Setting:
    """The same with channels, groups and words that fit."""
    inputs, outputs = max(setting.in_channels, 1), max(setting.out_channels, 1)
    common = math.gcd(inputs, outputs)
    fitting = [count for count in range(1, common + 1) if common % count == 0]
    groups = min(fitting, key=lambda count: abs(count - setting.groups))
    setting = replace(setting, in_channels=inputs, out_channels=outputs, groups=groups)
    if setting.transposed:
        words = isinstance(setting.padding, str)
        padding = (0,) * setting.rank if words else setting.padding
        return replace(setting, padding_mode="zeros", padding=padding)
    if setting.padding == "same":
        return replace(setting, stride=(1,) * setting.rank)
    return setting


def _clamped(
    setting: Setting, size: tuple[int, ...], axis: int
) -> tuple[Setting, tuple[int, ...]]:
    """The same with every number of the axis in its own range."""
    for name in CHANGEABLE:
        value = _value(setting, size, axis, name)
        if value is not None and value < LEAST.get(name, 1):
            setting, size = _with(setting, size, axis, name, LEAST.get(name, 1))
    most = max(setting.stride[axis], setting.dilation[axis]) - 1
    if setting.transposed and setting.output_padding[axis] > most:
        setting, size = _with(setting, size, axis, "output_padding", most)
    return setting, size


def _nearest(
    setting: Setting, size: tuple[int, ...], axis: int
) -> tuple[Setting, tuple[int, ...]]:
    """The same with one number of the axis changed, by as little as helps.

    A longer input always helps, so the search ends.
    """
    for change in itertools.count(1):
        for name in CHANGEABLE:
            value = _value(setting, size, axis, name)
            if value is None:
                continue
            for near in (value - change, value + change):
                found = _with(setting, size, axis, name, near)
                if near >= LEAST.get(name, 1) and not _axis_fault(*found, axis):
                    return found
    raise AssertionError("unreachable: the search has no end")


def _value(setting: Setting, size: tuple[int, ...], axis: int, name: str) -> int | None:
    """A number of one axis; None where a word stands for it."""
    values = size if name == "size" else getattr(setting, name)
    return None if isinstance(values, str) else values[axis]


def _with(
    setting: Setting, size: tuple[int, ...], axis: int, name: str, value: int
) -> tuple[Setting, tuple[int, ...]]:
    """The same with another number on one axis."""
    values = list(size if name == "size" else getattr(setting, name))
    values[axis] = value
    if name == "size":
        return setting, tuple(values)
    changes: dict[str, Any] = {name: tuple(values)}
    return replace(setting, **changes), size


def _difference(setting: Setting, size: tuple[int, ...]) -> str:
    """What the repair changes, as it would be written."""
    better, fitting = repaired(setting, size)
    parts = []
    for name in setting.__dataclass_fields__:
        value = getattr(better, name)
        if value != getattr(setting, name):
            if isinstance(value, tuple) and len(set(value)) == 1:
                value = value[0]
            parts.append(f"{name}={value!r}")
    if fitting != size:
        parts.append(f"an input of {' × '.join(map(str, fitting))}")
    return ", ".join(parts)
