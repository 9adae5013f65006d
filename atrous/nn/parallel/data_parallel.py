"""DataParallel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from atrous.nn.modules.module import Module


class DataParallel(Module):
    """Calls `module`: the threads of one CPU share its work already.

    For code that wraps its networks or asks whether one is wrapped; names in the state
    dict start with "module.", as torch's do.
    """

    def __init__(
        self,
        module: Module,
        device_ids: Sequence[Any] | None = None,
        output_device: Any = None,
        dim: int = 0,
    ):
        super().__init__()
        self.module = module
        self.device_ids: list[Any] = []
        self.dim = dim

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)
