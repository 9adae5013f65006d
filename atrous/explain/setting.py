"""A convolution's setting: every number of a layer, without its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..nn.modules.conv import _ConvNd

AXES = ("depth", "height", "width")


@dataclass(frozen=True)
class Setting:
    """What a layer is called with; tuples have a number for each spatial axis.

    It may be impossible: `sizes.advice` says what is wrong with it.
    """

    transposed: bool
    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...] | str
    output_padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    bias: bool
    padding_mode: str

    @classmethod
    def of(cls, layer: Any) -> Setting:
        """The setting of a layer; a setting is its own."""
        if isinstance(layer, Setting):
            return layer
        if not isinstance(layer, _ConvNd):
            raise TypeError(
                "explain: a Conv1d, Conv2d or Conv3d, or the transpose of one, is"
                f" needed, not {type(layer).__name__}."
            )
        names = [name for name in cls.__dataclass_fields__ if name != "bias"]
        values = {name: getattr(layer, name) for name in names}
        return cls(bias=layer.bias is not None, **values)

    @property
    def rank(self) -> int:
        """How many spatial axes there are."""
        return len(self.kernel_size)

    @property
    def name(self) -> str:
        """The name of the layer's class."""
        return f"Conv{'Transpose' if self.transposed else ''}{self.rank}d"

    @property
    def axes(self) -> tuple[str, ...]:
        """What the spatial axes are called, the slowest first."""
        return AXES[-self.rank :]

    @property
    def spans(self) -> tuple[int, ...]:
        """Cells from the first tap of the kernel to its last, both counted."""
        taps = zip(self.dilation, self.kernel_size, strict=True)
        return tuple(step * (count - 1) + 1 for step, count in taps)

    @property
    def border(self) -> tuple[tuple[int, int], ...]:
        """Cells added before and after each axis."""
        if self.padding == "same":
            return tuple(((n - 1) // 2, n - 1 - (n - 1) // 2) for n in self.spans)
        if isinstance(self.padding, str):
            return ((0, 0),) * self.rank
        return tuple((cells, cells) for cells in self.padding)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """(out, in / groups, *kernel); transposed (in, out / groups, *kernel)."""
        first, second = self.out_channels, self.in_channels
        if self.transposed:
            first, second = second, first
        return (first, second // self.groups, *self.kernel_size)

    def weight_index(self, output: int, input: int, tap: tuple[int, ...]) -> tuple:
        """Where the weight from channel `input` to channel `output` lies."""
        if self.transposed:
            return (input, output % (self.out_channels // self.groups), *tap)
        return (output, input % (self.in_channels // self.groups), *tap)

    def sees(self, output: int) -> range:
        """The input channels that output channel `output` is made of."""
        inputs = self.in_channels // self.groups
        group = output // (self.out_channels // self.groups)
        return range(group * inputs, (group + 1) * inputs)

    def reaches(self, input: int) -> range:
        """The output channels that input channel `input` goes into."""
        outputs = self.out_channels // self.groups
        group = input // (self.in_channels // self.groups)
        return range(group * outputs, (group + 1) * outputs)

    def __str__(self) -> str:
        """The line that makes the layer, without what is at its default."""
        parts = [str(self.in_channels), str(self.out_channels)]
        for name, usual in (
            ("kernel_size", None),
            ("stride", 1),
            ("padding", 0),
            ("output_padding", 0),
            ("dilation", 1),
            ("groups", 1),
            ("bias", True),
            ("padding_mode", "zeros"),
        ):
            value = getattr(self, name)
            if isinstance(value, tuple) and len(set(value)) == 1:
                value = value[0]
            if value != usual:
                parts.append(f"{name}={value!r}")
        return f"{self.name}({', '.join(parts)})"
