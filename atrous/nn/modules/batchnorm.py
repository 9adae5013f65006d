"""Batch normalisation, for every number of spatial axes."""

from __future__ import annotations

from typing import Any

from atrous.dtypes import int64
from atrous.nn import functional as F
from atrous.nn import init
from atrous.nn.modules.module import Module
from atrous.nn.parameter import Parameter
from atrous.ops import create, data
from atrous.tensor import Tensor


class _NormBase(Module):
    """What batch and instance normalisation share: weight, bias, running statistics.

    num_features: channels
    eps: added to the variance before its root is taken
    momentum: how much of a new statistic enters the running one; None means the
        average of all batches seen
    affine: learn a weight (starts at 1) and a bias (starts at 0) for each channel
    track_running_stats: keep running_mean, running_var and num_batches_tracked
    """

    _version = 2

    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ):
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        place = {"device": device, "dtype": dtype}
        for name, wanted in (("weight", affine), ("bias", affine and bias)):
            value = Parameter(create.empty(num_features, **place)) if wanted else None
            self.register_parameter(name, value)
        zeros, ones, none = None, None, None
        if track_running_stats:
            zeros = create.zeros(num_features, **place)
            ones = create.ones(num_features, **place)
            none = data.tensor(0, dtype=int64, device=device)
        self.register_buffer("running_mean", zeros)
        self.register_buffer("running_var", ones)
        self.register_buffer("num_batches_tracked", none)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget the batches seen: mean 0, variance 1."""
        starts = {"running_mean": 0, "running_var": 1, "num_batches_tracked": 0}
        for name, start in starts.items():
            if self.track_running_stats:
                getattr(self, name).fill_(start)

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, no batches seen."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _check_input_dim(self, input: Tensor) -> None:
        raise NotImplementedError

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )

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
        version = local_metadata.get("version")
        if (version is None or version < 2) and self.track_running_stats:
            # Version 1 did not count batches.
            key = prefix + "num_batches_tracked"
            if key not in state_dict:
                state_dict[key] = data.tensor(0, dtype=int64)
        super()._load_from_state_dict(
            state_dict,
            prefix,
            local_metadata,
            strict,
            missing_keys,
            unexpected_keys,
            error_msgs,
        )


def _expect_rank(layer: Module, input: Tensor, *ranks: int) -> None:
    """Raise ValueError unless the input has one of `ranks` axes."""
    if input.dim() not in ranks:
        wanted = " or ".join(f"{rank}D" for rank in ranks)
        raise ValueError(
            f"{type(layer).__name__}: expected {wanted} input, got {input.dim()}D: "
            f"{tuple(input.shape)}"
        )


class _BatchNorm(_NormBase):
    """y = (x - mean) / sqrt(variance + eps) · weight + bias, for each channel.

    (batch, channels, *sizes) -> the same. In training, mean and (biased) variance are
    the batch's, and the running ones move towards them (the unbiased variance, there);
    in evaluation they are the running ones. The arguments are `_NormBase`'s.
    """

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        momentum = 0.0 if self.momentum is None else self.momentum
        tracked = not self.training or self.track_running_stats
        if self.training and tracked and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                momentum = 1.0 / float(self.num_batches_tracked)
        own = self.training or (self.running_mean is None and self.running_var is None)
        return F.batch_norm(
            input,
            self.running_mean if tracked else None,
            self.running_var if tracked else None,
            self.weight,
            self.bias,
            own,
            momentum,
            self.eps,
        )


class BatchNorm1d(_BatchNorm):
    """As `_BatchNorm`, for (N, C) or (N, C, L)."""

    def _check_input_dim(self, input: Tensor) -> None:
        _expect_rank(self, input, 2, 3)


class BatchNorm2d(_BatchNorm):
    """As `_BatchNorm`, for (N, C, H, W)."""

    def _check_input_dim(self, input: Tensor) -> None:
        _expect_rank(self, input, 4)


class BatchNorm3d(_BatchNorm):
    """As `_BatchNorm`, for (N, C, D, H, W)."""

    def _check_input_dim(self, input: Tensor) -> None:
        _expect_rank(self, input, 5)


class SyncBatchNorm(_BatchNorm):
    """As `_BatchNorm`, for two axes or more; one process has no one to agree with."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
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
        self.process_group = process_group

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(
                f"SyncBatchNorm: expected at least 2D input, got {input.dim()}D: "
                f"{tuple(input.shape)}"
            )

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None):
        """`module` with every BatchNorm replaced by a SyncBatchNorm of its values."""
        converted = module
        if isinstance(module, _BatchNorm):
            converted = cls(
                module.num_features,
                module.eps,
                module.momentum,
                module.affine,
                module.track_running_stats,
                process_group,
            )
            converted._parameters.update(module._parameters)
            converted._buffers.update(module._buffers)
            converted.training = module.training
        for name, child in module.named_children():
            converted.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return converted
