"""Module: the base of every layer and network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from atrous import autograd
from atrous.dtypes import dtype as DType
from atrous.nn.modules.hooks import Calls, RemovableHandle
from atrous.nn.modules.state import State, _IncompatibleKeys
from atrous.tensor import Tensor

T_destination = TypeVar("T_destination", bound=dict[str, Any])

__all__ = ["Module", "RemovableHandle", "T_destination", "_IncompatibleKeys"]


class Module(State, Calls):
    """The base of every layer and network.

    A subclass calls `super().__init__()`, assigns Parameters, buffers and other
    Modules to attributes, and defines `forward`.

    >>> class Double(Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.conv = Conv1d(1, 1, 3)
    ...     def forward(self, x):
    ...         return 2 * self.conv(x)
    """

    training: bool
    call_super_init: bool = False

    def __init__(self, *args: Any, **kwargs: Any):
        if not self.call_super_init and (args or kwargs):
            unexpected = [*map(repr, args), *(f"{name}=" for name in kwargs)]
            raise TypeError(
                f"{type(self).__name__}.__init__() got arguments that Module does "
                f"not take: {', '.join(unexpected)}"
            )
        object.__setattr__(self, "training", True)
        self._start_registries()
        self._start_hooks()
        self._start_state_hooks()
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    def __setstate__(self, state: dict) -> None:
        self._start_registries()
        self._start_hooks()
        self._start_state_hooks()
        self.__dict__.update(state)

    # Conversion

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True):
        """Replace every parameter's, gradient's and buffer's values by `fn` of them.

        Parameters keep their identity, so an optimiser that holds them still does.
        """
        if recurse:
            for module in self.children():
                module._apply(fn)
        for parameter in self._parameters.values():
            if parameter is None:
                continue
            with autograd.no_grad():
                gradient = parameter.grad
                parameter.data = fn(parameter.data)
                if gradient is not None:
                    parameter.grad = fn(gradient).requires_grad_(gradient.requires_grad)
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = fn(buffer)
        return self

    def apply(self, fn: Callable[[Module], None]):
        """Call `fn` on every module, children first: for initialising weights."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def to(self, *args: Any, **kwargs: Any):
        """Convert in place: `to(dtype)`, `to(device)`, both, or `to(tensor)`.

        Only floating-point values change their dtype. Returns the module.
        """
        memory_format = kwargs.pop("memory_format", None)  # layout is the library's
        if not args and not kwargs and memory_format is not None:
            return self
        device, dtype = _target(args, kwargs)
        if dtype is not None and not dtype.is_floating_point:
            raise TypeError(
                f"Module.to only accepts floating point dtypes, got dtype={dtype}"
            )
        copy = bool(kwargs.get("copy", False))

        def convert(tensor: Tensor) -> Tensor:
            wanted = dtype if tensor.is_floating_point() else None
            where = tensor.device if device is None else device
            return tensor.to(where, wanted or tensor.dtype, copy=copy)

        return self._apply(convert)

    def float(self):
        """Floating-point values become float32."""
        return self._apply(lambda t: t.float() if t.is_floating_point() else t)

    def double(self):
        """Floating-point values become float64."""
        return self._apply(lambda t: t.double() if t.is_floating_point() else t)

    def half(self):
        """Floating-point values become float16."""
        return self._apply(lambda t: t.half() if t.is_floating_point() else t)

    def bfloat16(self):
        """Floating-point values become bfloat16."""
        return self._apply(lambda t: t.bfloat16() if t.is_floating_point() else t)

    def type(self, dst_type: Any):
        """Every value becomes `dst_type`, integers too."""
        return self._apply(lambda t: t.type(dst_type))

    def cpu(self):
        """Move to the CPU, where everything is already."""
        return self._apply(lambda t: t.cpu())

    def cuda(self, device: Any = None):
        """Refused as torch without CUDA refuses it."""
        return self._apply(lambda t: t.cuda(device))

    def to_empty(self, *, device: Any, recurse: bool = True):
        """New, uninitialised values of the same shapes."""
        return self._apply(lambda t: t.new_empty(t.shape, device=device), recurse)

    def share_memory(self):
        """Nothing to do: threads share the values already."""
        return self

    # Modes

    def train(self, mode: bool = True):
        """Training mode for this module and all below; BatchNorm and Dropout differ."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self):
        """Evaluation mode: `train(False)`."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True):
        """Freeze (False) or unfreeze every parameter."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget every parameter's gradient, or fill it with zeros."""
        for parameter in self.parameters():
            if parameter.grad is None:
                continue
            if set_to_none:
                parameter.grad = None
            else:
                parameter.grad = parameter.grad.detach().zero_()

    # Printing

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What `repr` shows of the module itself; subclasses say their arguments."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        own = extra.split("\n") if extra else []
        below = [
            f"({name}): " + repr(module).replace("\n", "\n  ")
            for name, module in self._modules.items()
        ]
        name = self._get_name()
        if not below and len(own) <= 1:
            return f"{name}({extra})"
        return f"{name}(\n  " + "\n  ".join(own + below) + "\n)"


def _target(args: tuple, kwargs: dict) -> tuple[Any, DType | None]:
    """The device and dtype that the arguments of `Module.to` name."""
    device, dtype = kwargs.get("device"), kwargs.get("dtype")
    example = kwargs.get("tensor")
    for value in args[:2]:
        if isinstance(value, Tensor):
            example = value
        elif isinstance(value, DType):
            dtype = value
        elif value is not None and not isinstance(value, bool):
            device = value
    if example is not None:
        return example.device, example.dtype
    return device, dtype
