"""Parameter and Buffer: tensors that a Module registers when they are assigned."""

from __future__ import annotations

from typing import Any

from atrous.ops import create
from atrous.tensor import Tensor


class Parameter(Tensor):
    """A tensor that is a weight: assigned to a Module, it joins `parameters()`.

    It shares memory with `data` and, unless told otherwise, wants a gradient.

    >>> Parameter(ones(2))
    Parameter containing:
    tensor([1., 1.], requires_grad=True)
    """

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True):
        parameter = object.__new__(cls)
        parameter.data = create.empty(0) if data is None else data
        return parameter.requires_grad_(requires_grad)


class _MarkedAsBuffer(type):
    """Lets `isinstance(tensor, Buffer)` see the mark that `Buffer` leaves."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Tensor) and getattr(instance, "_is_buffer", False)


class Buffer(metaclass=_MarkedAsBuffer):
    """A tensor that is state but not a weight: `module.name = Buffer(tensor)`.

    `persistent=False` keeps it out of `state_dict()`. The value is a plain Tensor over
    the memory of `data`, without its history and marked.
    """

    persistent: bool

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True):
        data = create.empty(0) if data is None else data
        buffer: Any = data.detach().requires_grad_(data.requires_grad)
        buffer.persistent = persistent
        buffer._is_buffer = True
        return buffer
