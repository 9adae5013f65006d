"""Automatic differentiation: a tape, run backwards; knows tensors by duck type."""

from . import check as functional
from .anomaly import detect_anomaly, set_detect_anomaly
from .check import GradcheckError, gradcheck, gradgradcheck
from .engine import backward, grad
from .function import Function, once_differentiable
from .graph import Node, link, needs_recording, record, renamed
from .modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
