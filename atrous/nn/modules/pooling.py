"""Pooling layers: one family for every number of spatial axes.

Each names its number of axes and calls the function of its name in `functional`.
"""

from __future__ import annotations

from typing import Any

from atrous.nn import functional as F
from atrous.nn.modules.module import Module
from atrous.nn.modules.sizes import spread
from atrous.tensor import Tensor

Sizes = int | tuple[int, ...]


class _MaxPoolNd(Module):
    """The largest value in each window: (batch, channels, *sizes) -> smaller sizes.

    kernel_size: extent of the window; stride: step, by default the extent
    padding: cells of -inf at both ends, at most half the window
    dilation: distance between two cells of a window
    return_indices: also return where each value was, for MaxUnpool
    ceil_mode: a last window may hang over the end
    """

    axes: int

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ):
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Any:
        return getattr(F, f"max_pool{self.axes}d")(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            ceil_mode=self.ceil_mode,
            return_indices=self.return_indices,
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, dilation={self.dilation}, "
            f"ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPoolNd):
    """As `_MaxPoolNd`, with one spatial axis."""

    axes = 1


class MaxPool2d(_MaxPoolNd):
    """As `_MaxPoolNd`, with two spatial axes."""

    axes = 2


class MaxPool3d(_MaxPoolNd):
    """As `_MaxPoolNd`, with three spatial axes."""

    axes = 3


class _MaxUnpoolNd(Module):
    """Puts values back where MaxPool's indices say they were, zeros elsewhere."""

    axes: int

    def __init__(
        self, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0
    ):
        super().__init__()
        self.kernel_size = spread(kernel_size, self.axes)
        self.stride = spread(kernel_size if stride is None else stride, self.axes)
        self.padding = spread(padding, self.axes)

    def forward(
        self, input: Tensor, indices: Tensor, output_size: Any = None
    ) -> Tensor:
        return getattr(F, f"max_unpool{self.axes}d")(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}"
        )


class MaxUnpool1d(_MaxUnpoolNd):
    """As `_MaxUnpoolNd`, with one spatial axis."""

    axes = 1


class MaxUnpool2d(_MaxUnpoolNd):
    """As `_MaxUnpoolNd`, with two spatial axes."""

    axes = 2


class MaxUnpool3d(_MaxUnpoolNd):
    """As `_MaxUnpoolNd`, with three spatial axes."""

    axes = 3


class _AvgPoolNd(Module):
    """The mean of each window: (batch, channels, *sizes) -> smaller sizes.

    kernel_size: extent of the window; stride: step, by default the extent
    padding: cells of 0 at both ends, at most half the window
    ceil_mode: a last window may hang over the end
    count_include_pad: the cells of padding count in the mean
    divisor_override: divide by this instead of by the number of cells
    """

    axes: int

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ):
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        return getattr(F, f"avg_pool{self.axes}d")(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}"
        )


class AvgPool1d(_AvgPoolNd):
    """As `_AvgPoolNd`, with one spatial axis, and no `divisor_override`."""

    axes = 1

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ):
        super().__init__(
            spread(kernel_size, 1),
            spread(kernel_size if stride is None else stride, 1),
            spread(padding, 1),
            ceil_mode,
            count_include_pad,
        )

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool1d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
        )


class AvgPool2d(_AvgPoolNd):
    """As `_AvgPoolNd`, with two spatial axes."""

    axes = 2


class AvgPool3d(_AvgPoolNd):
    """As `_AvgPoolNd`, with three spatial axes."""

    axes = 3


class _AdaptiveAvgPoolNd(Module):
    """The mean over windows chosen so that the output has `output_size`.

    One int, or one for each axis; None keeps an axis as it is.
    """

    axes: int

    def __init__(self, output_size: int | tuple[int | None, ...] | None):
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return getattr(F, f"adaptive_avg_pool{self.axes}d")(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPoolNd):
    """As `_AdaptiveAvgPoolNd`, with one spatial axis."""

    axes = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPoolNd):
    """As `_AdaptiveAvgPoolNd`, with two spatial axes."""

    axes = 2


class AdaptiveAvgPool3d(_AdaptiveAvgPoolNd):
    """As `_AdaptiveAvgPoolNd`, with three spatial axes."""

    axes = 3


class _AdaptiveMaxPoolNd(Module):
    """The largest value in windows chosen so that the output has `output_size`.

    With `return_indices` also where each value was.
    """

    axes: int

    def __init__(
        self,
        output_size: int | tuple[int | None, ...] | None,
        return_indices: bool = False,
    ):
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        return getattr(F, f"adaptive_max_pool{self.axes}d")(
            input, self.output_size, self.return_indices
        )

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(_AdaptiveMaxPoolNd):
    """As `_AdaptiveMaxPoolNd`, with one spatial axis."""

    axes = 1


class AdaptiveMaxPool2d(_AdaptiveMaxPoolNd):
    """As `_AdaptiveMaxPoolNd`, with two spatial axes."""

    axes = 2


class AdaptiveMaxPool3d(_AdaptiveMaxPoolNd):
    """As `_AdaptiveMaxPoolNd`, with three spatial axes."""

    axes = 3


class _LPPoolNd(Module):
    """(Σ x^p)^(1/p) over each window; p = `norm_type`."""

    axes: int

    def __init__(
        self,
        norm_type: float,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        ceil_mode: bool = False,
    ):
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        return getattr(F, f"lp_pool{self.axes}d")(
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}, ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPoolNd):
    """As `_LPPoolNd`, with one spatial axis."""

    axes = 1


class LPPool2d(_LPPoolNd):
    """As `_LPPoolNd`, with two spatial axes."""

    axes = 2


class LPPool3d(_LPPoolNd):
    """As `_LPPoolNd`, with three spatial axes."""

    axes = 3
