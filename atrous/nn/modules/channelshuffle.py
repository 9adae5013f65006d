"""ChannelShuffle."""

from __future__ import annotations

from atrous.nn.modules.module import Module
from atrous.tensor import Tensor


class ChannelShuffle(Module):
    """Interleaves the channels of `groups` blocks: (N, g·C, …) -> (N, C·g, …).

    Raises ValueError unless groups is positive, RuntimeError if it does not divide.
    """

    def __init__(self, groups: int):
        super().__init__()
        if groups <= 0:
            raise ValueError(f"ChannelShuffle: groups must be at least 1, got {groups}")
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        channels = input.size(1)
        if channels % self.groups:
            raise RuntimeError(
                f"ChannelShuffle: {channels} channels are not divisible by groups="
                f"{self.groups}"
            )
        blocks = input.unflatten(1, (self.groups, channels // self.groups))
        return blocks.transpose(1, 2).flatten(1, 2)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"
