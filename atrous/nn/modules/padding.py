"""Padding layers: one family for each kind of border, for every number of axes."""

from __future__ import annotations

from atrous.nn import functional as F
from atrous.nn.modules.module import Module
from atrous.tensor import Tensor

Sizes = int | tuple[int, ...]


class _PadNd(Module):
    """Adds `padding` cells around the last `axes` axes; negative ones take away.

    padding: one int, or two for each axis, the last axis first:
        (left, right, top, bottom, front, back)
    """

    axes: int
    mode: str

    def __init__(self, padding: Sizes):
        super().__init__()
        both = 2 * self.axes
        self.padding = (padding,) * both if isinstance(padding, int) else tuple(padding)

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPadNd(_PadNd):
    """As `_PadNd`; the cells hold `value`."""

    mode = "constant"

    def __init__(self, padding: Sizes, value: float):
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPadNd):
    """As `_ConstantPadNd`, with one spatial axis."""

    axes = 1


class ConstantPad2d(_ConstantPadNd):
    """As `_ConstantPadNd`, with two spatial axes."""

    axes = 2


class ConstantPad3d(_ConstantPadNd):
    """As `_ConstantPadNd`, with three spatial axes."""

    axes = 3


class ZeroPad1d(ConstantPad1d):
    """As `ConstantPad1d`, with 0."""

    def __init__(self, padding: Sizes):
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad2d(ConstantPad2d):
    """As `ConstantPad2d`, with 0."""

    def __init__(self, padding: Sizes):
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad3d(ConstantPad3d):
    """As `ConstantPad3d`, with 0."""

    def __init__(self, padding: Sizes):
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _CircularPadNd(_PadNd):
    """As `_PadNd`; the cells hold the other end of the axis."""

    mode = "circular"

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() not in (self.axes + 1, self.axes + 2):
            raise ValueError(
                f"{type(self).__name__}: expected {self.axes + 1}D or {self.axes + 2}D "
                f"input, got {input.dim()}D: {tuple(input.shape)}"
            )
        return super().forward(input)


class CircularPad1d(_CircularPadNd):
    """As `_CircularPadNd`, with one spatial axis."""

    axes = 1


class CircularPad2d(_CircularPadNd):
    """As `_CircularPadNd`, with two spatial axes."""

    axes = 2


class CircularPad3d(_CircularPadNd):
    """As `_CircularPadNd`, with three spatial axes."""

    axes = 3


class _ReflectionPadNd(_PadNd):
    """As `_PadNd`; the cells mirror the input at its edge, without the edge."""

    mode = "reflect"


class ReflectionPad1d(_ReflectionPadNd):
    """As `_ReflectionPadNd`, with one spatial axis."""

    axes = 1


class ReflectionPad2d(_ReflectionPadNd):
    """As `_ReflectionPadNd`, with two spatial axes."""

    axes = 2


class ReflectionPad3d(_ReflectionPadNd):
    """As `_ReflectionPadNd`, with three spatial axes."""

    axes = 3


class _ReplicationPadNd(_PadNd):
    """As `_PadNd`; the cells hold the value at the edge."""

    mode = "replicate"


class ReplicationPad1d(_ReplicationPadNd):
    """As `_ReplicationPadNd`, with one spatial axis."""

    axes = 1


class ReplicationPad2d(_ReplicationPadNd):
    """As `_ReplicationPadNd`, with two spatial axes."""

    axes = 2


class ReplicationPad3d(_ReplicationPadNd):
    """As `_ReplicationPadNd`, with three spatial axes."""

    axes = 3
