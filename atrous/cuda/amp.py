"""`atrous.cuda.amp`: `amp` of a device that is not there: warned of, and disabled."""

from __future__ import annotations

from functools import partial

from .. import amp
from ..amp.of_device import autocast_of, scaler_of
from ..dtypes import float16

autocast, GradScaler = autocast_of("cuda", float16), scaler_of("cuda")
custom_fwd = partial(amp.custom_fwd, device_type="cuda")
custom_bwd = partial(amp.custom_bwd, device_type="cuda")
