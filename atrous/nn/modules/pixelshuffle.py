"""Between channels and space: PixelShuffle, PixelUnshuffle."""

from __future__ import annotations

from atrous.nn import functional as F
from atrous.nn.modules.module import Module
from atrous.tensor import Tensor


class PixelShuffle(Module):
    """(…, C·r², H, W) -> (…, C, H·r, W·r), r = `upscale_factor`."""

    def __init__(self, upscale_factor: int):
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """(…, C, H·r, W·r) -> (…, C·r², H, W), r = `downscale_factor`."""

    def __init__(self, downscale_factor: int):
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"
