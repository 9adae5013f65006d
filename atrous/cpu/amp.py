"""`atrous.cpu.amp`: `amp` of the CPU, by torch's older names."""

from __future__ import annotations

from ..amp.of_device import autocast_of, scaler_of
from ..dtypes import bfloat16

autocast, GradScaler = autocast_of("cpu", bfloat16), scaler_of("cpu")
