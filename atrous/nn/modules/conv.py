"""Convolution layers: one family for any number of spatial axes, and its transpose."""

from __future__ import annotations

import math
from typing import Any

from atrous.nn import init
from atrous.nn.modules.module import Module
from atrous.nn.modules.sizes import spread
from atrous.nn.parameter import Parameter
from atrous.ops import conv, create
from atrous.tensor import Tensor

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")
PADDING_WORDS = ("valid", "same")


class _ConvNd(Module):
    """What every convolution layer is: weight, bias, and how the kernel moves.

    weight (out, in / groups, *kernel); transposed (in, out / groups, *kernel)
    bias   (out,), or None

    in_channels, out_channels: channels of the input and of the output
    kernel_size: extent of the kernel, one int or one for each axis
    stride: step between two places of the kernel
    padding: cells added at both ends of each axis; "valid" adds none, "same" as many
        as keep the size (stride 1)
    dilation: distance between two taps of the kernel (à trous: with holes)
    groups: input and output channels are split into this many blocks, and a block sees
        only its own; in_channels = groups is a depthwise convolution
    padding_mode: what stands in the border: "zeros", "reflect" (mirrored without the
        edge), "replicate" (the edge) or "circular" (the other end). The border is
        read where it comes from; no padded copy is made.

    Weights start as torch's: uniform within ±1/sqrt(fan_in), weight before bias.
    """

    __constants__ = (
        "stride",
        "padding",
        "dilation",
        "groups",
        "padding_mode",
        "output_padding",
        "in_channels",
        "out_channels",
        "kernel_size",
    )

    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: str | tuple[int, ...]
    dilation: tuple[int, ...]
    transposed: bool
    output_padding: tuple[int, ...]
    groups: int
    padding_mode: str
    weight: Parameter
    bias: Parameter | None
    explain: Any  # its picture: `atrous.later`
    _reversed_padding_repeated_twice: list[int] | tuple[int, ...]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, ...],
        stride: tuple[int, ...],
        padding: str | tuple[int, ...],
        dilation: tuple[int, ...],
        transposed: bool,
        output_padding: tuple[int, ...],
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.transposed = transposed
        self.output_padding = output_padding
        self.groups = groups
        self.padding_mode = padding_mode
        self._check()
        self._reversed_padding_repeated_twice = self._border()
        first, second = in_channels, out_channels
        if not transposed:
            first, second = second, first
        shape = (first, second // groups, *kernel_size)
        self.weight = Parameter(create.empty(shape, device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(
                create.empty(out_channels, device=device, dtype=dtype)
            )
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def _check(self) -> None:
        """Refuse arguments that fit no input."""
        name = type(self).__name__
        if self.groups <= 0:
            raise ValueError(f"{name}: groups must be at least 1, got {self.groups}")
        for what in ("in_channels", "out_channels"):
            channels = getattr(self, what)
            if channels % self.groups:
                raise ValueError(
                    f"{name}: {what}={channels} is not divisible by groups="
                    f"{self.groups}"
                )
        if self.padding_mode not in PADDING_MODES:
            raise ValueError(
                f"{name}: padding_mode must be one of {', '.join(PADDING_MODES)}, got "
                f"{self.padding_mode!r}"
            )
        if isinstance(self.padding, str):
            if self.padding not in PADDING_WORDS:
                raise ValueError(
                    f"{name}: padding must be a number of cells, 'valid' or 'same', "
                    f"got {self.padding!r}"
                )
            if self.padding == "same" and any(step != 1 for step in self.stride):
                raise ValueError(
                    f"{name}: padding='same' needs stride 1, got stride={self.stride}"
                )
        for what, least in (("kernel_size", 0), ("stride", 1), ("dilation", 1)):
            numbers = getattr(self, what)
            if any(number < least for number in numbers):
                raise RuntimeError(
                    f"{name}: {what} must be at least {least}, got {numbers}"
                )

    def _border(self) -> list[int] | tuple[int, ...]:
        """Cells before and after each axis, the last axis first, as for `pad`."""
        if not isinstance(self.padding, str):
            return tuple(cells for cells in reversed(self.padding) for _ in range(2))
        border = [0] * (2 * len(self.kernel_size))
        if self.padding == "same":
            taps = zip(self.dilation, self.kernel_size, strict=True)
            for axis, (dilation, size) in enumerate(reversed(list(taps))):
                total = dilation * (size - 1)
                border[2 * axis : 2 * axis + 2] = total // 2, total - total // 2
        return border

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, uniform within ±1/sqrt(fan_in)."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in, _ = init._calculate_fan_in_and_fan_out(self.weight)
            if fan_in:
                bound = 1 / math.sqrt(fan_in)
                init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        nothing = (0,) * len(self.kernel_size)
        parts = [
            f"{self.in_channels}, {self.out_channels}",
            f"kernel_size={self.kernel_size}, stride={self.stride}",
        ]
        if self.padding != nothing:
            parts.append(f"padding={self.padding}")
        if self.dilation != (1,) * len(self.dilation):
            parts.append(f"dilation={self.dilation}")
        if self.output_padding != nothing:
            parts.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        self.__dict__.setdefault("padding_mode", "zeros")


class _Conv(_ConvNd):
    """Convolution over `axes` spatial axes; the arguments are `_ConvNd`'s.

    (batch, in, *sizes) -> (batch, out, *sizes'); the batch is optional. For each axis
    size' = (size + 2·padding - dilation·(kernel - 1) - 1) // stride + 1.
    """

    axes: int

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: str | int | tuple[int, ...] = 0,
        dilation: int | tuple[int, ...] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ):
        axes = self.axes
        super().__init__(
            in_channels,
            out_channels,
            spread(kernel_size, axes),
            spread(stride, axes),
            padding if isinstance(padding, str) else spread(padding, axes),
            spread(dilation, axes),
            False,
            (0,) * axes,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def _conv_forward(
        self, input: Tensor, weight: Tensor, bias: Tensor | None
    ) -> Tensor:
        return conv.convolution(
            input,
            weight,
            bias,
            self.stride,
            self.padding,
            self.dilation,
            groups=self.groups,
            padding_mode=self.padding_mode,
        )

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.weight, self.bias)


class Conv1d(_Conv):
    """As `_Conv`, with one spatial axis: signals, text."""

    axes = 1


class Conv2d(_Conv):
    """As `_Conv`, with two spatial axes: images."""

    axes = 2


class Conv3d(_Conv):
    """As `_Conv`, with three spatial axes: volumes, videos."""

    axes = 3


class _ConvTransposeNd(_ConvNd):
    """The transpose of `_Conv`: what was an output is the input; the arguments are its.

    (batch, in, *sizes) -> (batch, out, *sizes'); the batch is optional. For each axis
    size' = (size - 1)·stride - 2·padding + dilation·(kernel - 1) + output_padding + 1.

    Several sizes' lead to the same size where stride > 1; `output_padding` adds cells
    at the end to choose one, or call the layer with `output_size=`.
    """

    axes: int

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] = 0,
        output_padding: int | tuple[int, ...] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | tuple[int, ...] = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ):
        if padding_mode != "zeros":
            raise ValueError(
                f"{type(self).__name__}: padding_mode must be 'zeros', got "
                f"{padding_mode!r}"
            )
        axes = self.axes
        super().__init__(
            in_channels,
            out_channels,
            spread(kernel_size, axes),
            spread(stride, axes),
            spread(padding, axes),
            spread(dilation, axes),
            True,
            spread(output_padding, axes),
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def _output_padding(
        self, input: Tensor, output_size: Any
    ) -> tuple[int, ...] | list[int]:
        """The cells at the end of each axis that give `output_size`."""
        if output_size is None:
            return self.output_padding
        name, axes = type(self).__name__, self.axes
        lead = input.dim() - axes
        wanted = list(output_size)
        if len(wanted) == input.dim():
            wanted = wanted[lead:]
        if len(wanted) != axes:
            raise ValueError(
                f"{name}: output_size has {len(wanted)} numbers, {axes} or "
                f"{input.dim()} expected for an input of {input.dim()} axes"
            )
        cells = []
        for axis, size in enumerate(wanted):
            step = self.stride[axis]
            least = (
                (input.size(axis + lead) - 1) * step
                - 2 * self.padding[axis]
                + self.dilation[axis] * (self.kernel_size[axis] - 1)
                + 1
            )
            if not least <= size < least + step:
                raise ValueError(
                    f"{name}: output_size {size} on axis {axis} cannot come from "
                    f"{input.size(axis + lead)}: {least} to {least + step - 1} can"
                )
            cells.append(size - least)
        return tuple(cells)

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        return conv.convolution(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            transposed=True,
            output_padding=self._output_padding(input, output_size),
            groups=self.groups,
        )


class ConvTranspose1d(_ConvTransposeNd):
    """As `_ConvTransposeNd`, with one spatial axis."""

    axes = 1


class ConvTranspose2d(_ConvTransposeNd):
    """As `_ConvTransposeNd`, with two spatial axes."""

    axes = 2


class ConvTranspose3d(_ConvTransposeNd):
    """As `_ConvTransposeNd`, with three spatial axes."""

    axes = 3
