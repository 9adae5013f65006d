"""`atrous.backends`: the switches that scripts set; here they change nothing."""

from __future__ import annotations


class cudnn:
    """torch.backends.cudnn: accepted and without effect."""

    enabled = deterministic = benchmark = allow_tf32 = False

    @staticmethod
    def is_available() -> bool:
        return False

    @staticmethod
    def version() -> None:
        return None


class mps:
    """torch.backends.mps: there is no such device."""

    @staticmethod
    def is_available() -> bool:
        return False

    @staticmethod
    def is_built() -> bool:
        return False
