"""`cpu.amp` and `cuda.amp`: torch's older names, each for one type of device."""

from __future__ import annotations

import warnings

from ..dtypes import dtype as DType
from . import autocast_mode, grad_scaler


def _warn(name: str, device_type: str) -> None:
    warnings.warn(
        f"`torch.{device_type}.amp.{name}(args...)` is deprecated. Please use"
        f" `torch.amp.{name}('{device_type}', args...)` instead.",
        FutureWarning,
        stacklevel=3,
    )


def autocast_of(device_type: str, lower: DType) -> type[autocast_mode.autocast]:
    """The class `autocast` of a type of device, with that dtype unless told."""

    class autocast(autocast_mode.autocast):
        def __init__(self, enabled=True, dtype=lower, cache_enabled=True):
            _warn("autocast", device_type)
            super().__init__(device_type, dtype, enabled, cache_enabled)

    autocast.__doc__ = f"`amp.autocast('{device_type}', …)`; deprecated in torch."
    return autocast


def scaler_of(device_type: str) -> type[grad_scaler.GradScaler]:
    """The class `GradScaler` of a type of device."""

    class GradScaler(grad_scaler.GradScaler):
        def __init__(self, *args, **kwargs):
            _warn("GradScaler", device_type)
            super().__init__(device_type, *args, **kwargs)

    GradScaler.__doc__ = f"`amp.GradScaler('{device_type}', …)`; deprecated in torch."
    return GradScaler
