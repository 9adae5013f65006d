"""Instance normalisation, for every number of spatial axes."""

from __future__ import annotations

import warnings
from typing import Any

from atrous.nn import functional as F
from atrous.nn.modules.batchnorm import _expect_rank, _NormBase
from atrous.tensor import Tensor


class _InstanceNorm(_NormBase):
    """As batch normalisation, with the mean and variance of each sample by itself.

    (batch, channels, *sizes) -> the same; the batch is optional.
    """

    axes: int

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ):
        super().__init__(
            num_features,
            eps,
            momentum,
            affine,
            track_running_stats,
            device,
            dtype,
            bias=bias,
        )

    def _check_input_dim(self, input: Tensor) -> None:
        _expect_rank(self, input, self.axes + 1, self.axes + 2)

    def _check_channels(self, input: Tensor) -> None:
        channels = input.size(-self.axes - 1)
        if channels == self.num_features:
            return
        message = (
            f"{type(self).__name__}: input has {channels} channels, num_features is "
            f"{self.num_features}"
        )
        if self.affine:
            raise ValueError(f"{message}: {tuple(input.shape)}")
        warnings.warn(
            f"{message}; without affine=True it is not used, and can be left out",
            stacklevel=4,
        )

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        self._check_channels(input)
        alone = input.dim() == self.axes + 1
        result = F.instance_norm(
            input.unsqueeze(0) if alone else input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return result.squeeze(0) if alone else result

    def _load_from_state_dict(
        self,
        state_dict: dict,
        prefix: str,
        local_metadata: dict,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        if local_metadata.get("version") is None and not self.track_running_stats:
            names = ("running_mean", "running_var")
            stale = [prefix + name for name in names if prefix + name in state_dict]
            if stale:
                error_msgs.append(
                    f"{', '.join(stale)}: {type(self).__name__} keeps running "
                    "statistics only with track_running_stats=True; remove these keys, "
                    "or build the layer with it"
                )
                for key in stale:
                    state_dict.pop(key)
        super()._load_from_state_dict(
            state_dict,
            prefix,
            local_metadata,
            strict,
            missing_keys,
            unexpected_keys,
            error_msgs,
        )


class InstanceNorm1d(_InstanceNorm):
    """As `_InstanceNorm`, for (N, C, L) or (C, L)."""

    axes = 1


class InstanceNorm2d(_InstanceNorm):
    """As `_InstanceNorm`, for (N, C, H, W) or (C, H, W)."""

    axes = 2


class InstanceNorm3d(_InstanceNorm):
    """As `_InstanceNorm`, for (N, C, D, H, W) or (C, D, H, W)."""

    axes = 3
