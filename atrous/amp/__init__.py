"""Automatic mixed precision: convolutions and products in bfloat16, the rest as it is.

docs/precision.md says which to choose and what it costs.
"""

from .autocast_mode import autocast, custom_bwd, custom_fwd, is_autocast_available
from .grad_scaler import GradScaler
