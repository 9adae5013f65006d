"""Between images and columns of their patches: Unfold, Fold."""

from __future__ import annotations

from atrous.nn import functional as F
from atrous.nn.modules.module import Module
from atrous.tensor import Tensor


class Unfold(Module):
    """Sliding blocks as columns: see `functional.unfold`.

    (N, C, H, W) -> (N, C · kernel cells, blocks).
    """

    def __init__(self, kernel_size, dilation=1, padding=0, stride=1):
        super().__init__()
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        return F.unfold(
            input, self.kernel_size, self.dilation, self.padding, self.stride
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation},"
            f" padding={self.padding}, stride={self.stride}"
        )


class Fold(Unfold):
    """Columns back to an image, overlaps added: see `functional.fold`.

    (N, C · kernel cells, blocks) -> (N, C, *output_size).
    """

    def __init__(self, output_size, kernel_size, dilation=1, padding=0, stride=1):
        super().__init__(kernel_size, dilation, padding, stride)
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return F.fold(
            input,
            self.output_size,
            self.kernel_size,
            self.dilation,
            self.padding,
            self.stride,
        )

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}, {super().extra_repr()}"
