"""Tensors shared with other libraries: the names of torch.utils.dlpack."""

from __future__ import annotations

from ..ops.data import from_dlpack as from_dlpack
from ..tensor import Tensor


def to_dlpack(tensor: Tensor):
    """A DLPack capsule of the tensor's memory; `from_dlpack` takes tensors as well."""
    return tensor.__dlpack__()
