"""One output cell worked by hand: its products, their sums, and what stands around it.

Pictures think in three spatial axes (depth, height, width); of fewer, the first have
one cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from .setting import Setting
from .taps import Tap, source, taps, unread

SHOWN = {1: (1, 1, 14), 2: (1, 10, 10), 3: (4, 7, 7)}  # cells of an axis, at most
CHANNELS = {1: 4, 2: 4, 3: 3}


class Square(NamedTuple):
    """A cell as it is drawn."""

    value: float | None  # None is left empty
    kind: str = "cell"  # or "ghost" (of the border) or "unread"


@dataclass(frozen=True)
class Working:
    """An output cell (channel, *position) of a layer and its numbers."""

    setting: Setting
    arrays: Mapping[str, Any]
    cell: tuple[int, ...]

    @property
    def size(self) -> tuple[int, ...]:
        """The input's spatial size."""
        return self.arrays["input"].shape[1:]

    @property
    def output(self) -> int:
        """The output channel."""
        return self.cell[0]

    @property
    def position(self) -> tuple[int, ...]:
        """Where the cell is, by three axes."""
        return self._three(self.cell[1:], 0)

    @property
    def kernel(self) -> tuple[int, ...]:
        """The kernel's size, by three axes."""
        return self._three(self.setting.kernel_size, 1)

    @cached_property
    def taps(self) -> list[Tap]:
        """The products; a transposed convolution has none in its border."""
        found = taps(self.setting, self.cell, self.size)
        if self.setting.transposed:
            found = [tap for tap in found if tap.source is not None]
        return found

    @cached_property
    def _taps_of(self) -> dict[int, list[Tap]]:
        """The products by input channel."""
        found: dict[int, list[Tap]] = {}
        for tap in self.taps:
            found.setdefault(tap.channel, []).append(tap)
        return found

    def window(self, channel: int) -> dict[tuple[int, ...], tuple[int, ...]]:
        """Position by tap of the kernel, both by three axes, in an input channel."""
        return {
            self._three(tap.weight[2:], 0): self._three(tap.position, 0)
            for tap in self._taps_of.get(channel, ())
        }

    def sources(self, channel: int) -> dict[tuple[int, ...], tuple[int, ...]]:
        """For the border cells of the window that are copies: what they repeat.

        The border is the same in every channel: the first that is drawn shows it.
        """
        if channel != self.inputs[0]:
            return {}
        return {
            self._three(tap.position, 0): self._three(tap.source, 0)
            for tap in self._taps_of.get(channel, ())
            if tap.source is not None and tap.source != tap.position
        }

    def product(self, tap: Tap) -> float:
        """x · w, in double precision."""
        if tap.source is None:
            return 0.0
        value = self.arrays["input"][(tap.channel, *tap.source)]
        return float(value) * float(self.arrays["weight"][tap.weight])

    def products(self, channel: int) -> dict[tuple[int, ...], float]:
        """x · w by tap of the kernel, for an input channel."""
        return {
            self._three(tap.weight[2:], 0): self.product(tap)
            for tap in self._taps_of.get(channel, ())
        }

    def total(self, channel: int) -> float:
        """The sum of an input channel's products."""
        return sum(map(self.product, self._taps_of.get(channel, ())))

    @property
    def bias(self) -> float | None:
        """What is added at the end."""
        bias = self.arrays["bias"]
        return None if bias is None else float(bias[self.output])

    @property
    def value(self) -> float:
        """The output cell, as the library computed it."""
        return float(self.arrays["output"][self.cell])

    @cached_property
    def whole(self) -> bool:
        """Are the products whole numbers?"""
        return is_whole(self.arrays["input"]) and is_whole(self.arrays["weight"])

    @cached_property
    def peak(self) -> float:
        """The magnitude of the largest product."""
        return max((abs(self.product(tap)) for tap in self.taps), default=1.0)

    @property
    def inputs(self) -> list[int]:
        """The input channels that are drawn: all, or the first that are summed."""
        most = CHANNELS[self.setting.rank]
        if self.setting.in_channels <= most:
            return list(range(self.setting.in_channels))
        return list(self.setting.sees(self.output))[:most]

    @property
    def outputs(self) -> list[int]:
        """The output channels that are drawn: all, or this one."""
        if self.setting.out_channels <= CHANNELS[self.setting.rank]:
            return list(range(self.setting.out_channels))
        return [self.output]

    @cached_property
    def ranges(self) -> tuple[range, ...]:
        """The input positions that are drawn along three axes, border included."""
        border = self._three(self.setting.border, (0, 0))
        if self.setting.transposed:
            border = ((0, 0),) * 3
        size = self._three(self.size, 1)
        spans = self._three(self.setting.spans, 1)
        positions = [self._three(tap.position, 0) for tap in self.taps] or [(0, 0, 0)]
        ranges = []
        for axis, most in enumerate(SHOWN[self.setting.rank]):
            first, end = -border[axis][0], size[axis] + border[axis][1]
            most = max(most, spans[axis])
            start = min(place[axis] for place in positions)
            ranges.append(_around(first, end, start, most))
        return tuple(ranges)

    @cached_property
    def results(self) -> tuple[range, ...]:
        """The output positions that are drawn along three axes.

        Strips show an output's taps, so there only outputs whose taps are drawn.
        """
        shape = self._three(self.arrays["output"].shape[1:], 1)
        most = SHOWN[self.setting.rank]
        deep, high, wide = (
            _around(0, shape[axis], self.position[axis], most[axis])
            for axis in range(3)
        )
        if self.setting.rank == 1:
            whole = [place for place in wide if self._is_drawn(place)]
            wide = range(whole[0], whole[-1] + 1)
        return deep, high, wide

    def _is_drawn(self, place: int) -> bool:
        """Are all taps of an output of one axis in the part that is drawn?"""
        other = Working(self.setting, self.arrays, (self.output, place))
        return all(tap.position[0] in self.ranges[2] for tap in other.taps)

    @cached_property
    def _unread(self) -> list[set[int]]:
        return [set(line) for line in self._three(unread(self.setting, self.size), ())]

    def input(self, channel: int, place: tuple[int, ...]) -> Square:
        """The input cell at a position by three axes, which may lie in the border."""
        size, mode = self._three(self.size, 1), self.setting.padding_mode
        origin = [source(p, n, mode) for p, n in zip(place, size, strict=True)]
        if None in origin:
            return Square(0.0, "ghost")
        value = float(self._solid("input")[(channel, *origin)])
        if tuple(origin) != place:
            return Square(value, "ghost")
        skipped = any(p in line for p, line in zip(place, self._unread, strict=True))
        return Square(value, "unread" if skipped else "cell")

    def weight(self, output: int, input: int, tap: tuple[int, ...]) -> Square:
        """A weight, by tap of three axes; empty where the groups keep them apart."""
        if input not in self.setting.sees(output):
            return Square(None)
        own = tap[3 - self.setting.rank :]
        return Square(
            float(self.arrays["weight"][self.setting.weight_index(output, input, own)])
        )

    def result(self, output: int, place: tuple[int, ...]) -> Square:
        """An output cell, by three axes."""
        return Square(float(self._solid("output")[(output, *place)]))

    def _solid(self, name: str) -> np.ndarray:
        """An array (channel, depth, height, width)."""
        values = self.arrays[name]
        ones = (1,) * (3 - self.setting.rank)
        return values.reshape(values.shape[0], *ones, *values.shape[1:])

    def _three(self, values: Any, filling: Any) -> tuple:
        """Values of the spatial axes, filled up in front to three."""
        return (filling,) * (3 - self.setting.rank) + tuple(values)


def _around(first: int, end: int, place: int, most: int) -> range:
    """At most `most` positions of first … end, `place` and what follows it in them."""
    if end - first <= most:
        return range(first, end)
    start = min(max(first, place - 1), end - most)
    return range(start, start + most)


def is_whole(values: np.ndarray) -> bool:
    """Are all of them whole numbers, small enough to be written as such?"""
    small = not values.size or float(np.abs(values).max()) < 10_000
    return small and bool(np.array_equal(values, np.round(values)))


def written(value: float, whole: bool) -> str:
    """A number as it stands in a cell: whole, or with four decimals as torch prints.

    >>> written(-0.77468, False), written(3.0, True), written(12345.678, False)
    ('−0.7747', '3', '1.23e+04')
    """
    if whole:
        text = f"{value:.0f}"
    elif abs(value) < 10:
        text = f"{value:.4f}"
    else:
        text = f"{value:#.5g}" if abs(value) < 9999.5 else f"{value:.2e}"
    return "0" if text in ("-0", "0") else text.replace("-", "−")
