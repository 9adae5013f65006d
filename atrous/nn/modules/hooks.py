"""Calling a Module: forward, with the hooks around it, and a path in its errors."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from atrous.autograd import Function
from atrous.autograd.graph import Handle
from atrous.tensor import Tensor


class RemovableHandle(Handle):
    """What registering a hook returns: `remove()` takes the hook away again.

    As a context manager it removes the hook at the end of the block. `marks` are
    further registries in which the hook's number is noted.
    """

    def __init__(self, hooks: dict, hook: Any, marks: tuple[dict, ...] = ()):
        super().__init__(hooks, hook)
        self._marks = marks
        for mark in marks:
            mark[self.id] = True

    def remove(self) -> None:
        """Take the hook away; a second time does nothing."""
        super().remove()
        for mark in self._marks:
            mark.pop(self.id, None)


class _Meeting(Function):
    """Hands tensors through unchanged, and their gradients to `react` on the way back.

    One node for all of them, so that `react` sees every gradient at once.
    """

    @staticmethod
    def forward(ctx, react, *tensors):
        ctx.react = react
        return tuple(tensor.view_as(tensor) for tensor in tensors)

    @staticmethod
    def backward(ctx, *gradients):
        return None, *ctx.react(gradients)


def _meet(react: Callable, values: tuple) -> tuple[tuple, list[int]]:
    """`values` with its differentiable tensors led through one `_Meeting`."""
    places = [
        place
        for place, value in enumerate(values)
        if isinstance(value, Tensor) and value.requires_grad
    ]
    if not places:
        return values, places
    passed = list(values)
    through = _Meeting.apply(react, *(values[place] for place in places))
    for place, tensor in zip(places, through, strict=True):
        passed[place] = tensor
    return tuple(passed), places


class _BackwardCall:
    """One forward call whose backward pass is watched by full backward hooks."""

    def __init__(self, module: Any):
        self.module = module
        self.places: list[int] = []
        self.inputs = 0
        self.grad_output: tuple = ()

    def watch_inputs(self, args: tuple) -> tuple:
        self.inputs = len(args)
        args, self.places = _meet(self._at_inputs, args)
        return args

    def watch_outputs(self, result: Any) -> Any:
        alone = isinstance(result, Tensor)
        if not alone and not isinstance(result, tuple):
            return result
        outputs = (result,) if alone else result
        self._outputs = len(outputs)
        passed, self._output_places = _meet(self._at_outputs, outputs)
        return passed[0] if alone else passed

    def _at_outputs(self, gradients: tuple) -> tuple:
        grad_output = _scatter(gradients, self._output_places, self._outputs)
        for hook in tuple(self.module._backward_pre_hooks.values()):
            changed = hook(self.module, grad_output)
            if changed is not None:
                grad_output = changed if isinstance(changed, tuple) else (changed,)
        self.grad_output = grad_output
        if not self.places:
            self._run_hooks((None,) * self.inputs)
        return tuple(grad_output[place] for place in self._output_places)

    def _at_inputs(self, gradients: tuple) -> tuple:
        grad_input = self._run_hooks(_scatter(gradients, self.places, self.inputs))
        return tuple(grad_input[place] for place in self.places)

    def _run_hooks(self, grad_input: tuple) -> tuple:
        for hook in tuple(self.module._backward_hooks.values()):
            changed = hook(self.module, grad_input, self.grad_output)
            if changed is None:
                continue
            changed = changed if isinstance(changed, tuple) else (changed,)
            if len(changed) != len(grad_input):
                raise RuntimeError(
                    f"a backward hook of {type(self.module).__name__} returned "
                    f"{len(changed)} gradients, its inputs are {len(grad_input)}"
                )
            grad_input = changed
        return grad_input


def _scatter(values: tuple, places: list[int], length: int) -> tuple:
    """A tuple of `length` with `values` at `places` and None elsewhere."""
    spread: list[Any] = [None] * length
    for place, value in zip(places, values, strict=True):
        spread[place] = value
    return tuple(spread)


class Calls:
    """`module(...)`: forward between its hooks."""

    _backward_pre_hooks: OrderedDict[int, Callable]
    _backward_hooks: OrderedDict[int, Callable]
    _forward_hooks: OrderedDict[int, Callable]
    _forward_hooks_with_kwargs: OrderedDict[int, bool]
    _forward_hooks_always_called: OrderedDict[int, bool]
    _forward_pre_hooks: OrderedDict[int, Callable]
    _forward_pre_hooks_with_kwargs: OrderedDict[int, bool]

    def _start_hooks(self) -> None:
        for name in (
            "_backward_pre_hooks",
            "_backward_hooks",
            "_forward_hooks",
            "_forward_hooks_with_kwargs",
            "_forward_hooks_always_called",
            "_forward_pre_hooks",
            "_forward_pre_hooks_with_kwargs",
        ):
            object.__setattr__(self, name, OrderedDict())

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; every subclass defines it."""
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    def _call_impl(self, *args: Any, **kwargs: Any) -> Any:
        try:
            if (
                self._forward_hooks
                or self._forward_pre_hooks
                or self._backward_hooks
                or self._backward_pre_hooks
            ):
                return self._call_with_hooks(args, kwargs)
            return self.forward(*args, **kwargs)
        except Exception as error:
            _note_path(error, self)
            raise

    __call__: Callable[..., Any] = _call_impl

    def _call_with_hooks(self, args: tuple, kwargs: dict) -> Any:
        called: set[int] = set()
        result = None
        try:
            args, kwargs = self._run_pre_hooks(args, kwargs)
            watch = None
            if self._backward_hooks or self._backward_pre_hooks:
                watch = _BackwardCall(self)
                args = watch.watch_inputs(args)
            result = self.forward(*args, **kwargs)
            for number, hook in tuple(self._forward_hooks.items()):
                called.add(number)
                result = self._run_hook(number, hook, args, kwargs, result)
            return result if watch is None else watch.watch_outputs(result)
        except Exception:
            for number, hook in tuple(self._forward_hooks.items()):
                if number in self._forward_hooks_always_called and number not in called:
                    result = self._run_hook(number, hook, args, kwargs, result)
            raise

    def _run_pre_hooks(self, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        for number, hook in tuple(self._forward_pre_hooks.items()):
            if number in self._forward_pre_hooks_with_kwargs:
                changed = hook(self, args, kwargs)
                if changed is None:
                    continue
                if not (isinstance(changed, tuple) and len(changed) == 2):
                    raise RuntimeError(
                        "forward pre-hook must return None or a tuple of (new_args, "
                        f"new_kwargs), but got {changed}."
                    )
                args, kwargs = changed
            else:
                changed = hook(self, args)
                if changed is not None:
                    args = changed if isinstance(changed, tuple) else (changed,)
        return args, kwargs

    def _run_hook(
        self, number: int, hook: Callable, args: tuple, kwargs: dict, result: Any
    ) -> Any:
        if number in self._forward_hooks_with_kwargs:
            changed = hook(self, args, kwargs, result)
        else:
            changed = hook(self, args, result)
        return result if changed is None else changed

    def register_forward_pre_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before forward; it may return new arguments.

        `with_kwargs`: `hook(module, args, kwargs)`, returning (args, kwargs) or None.
        """
        marks = (self._forward_pre_hooks_with_kwargs,) if with_kwargs else ()
        return _register(self._forward_pre_hooks, hook, prepend, marks)

    def register_forward_hook(
        self,
        hook: Callable,
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call `hook(module, args, output)` after forward; it may return a new output.

        `always_call` runs it also when forward raises, with None for the output.
        """
        marks: tuple[dict, ...] = ()
        if with_kwargs:
            marks += (self._forward_hooks_with_kwargs,)
        if always_call:
            marks += (self._forward_hooks_always_called,)
        return _register(self._forward_hooks, hook, prepend, marks)

    def register_full_backward_pre_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, grad_output)` before the module's backward pass."""
        return _register(self._backward_pre_hooks, hook, prepend)

    def register_full_backward_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` after the backward pass.

        What it returns replaces `grad_input`; None leaves it.
        """
        return _register(self._backward_hooks, hook, prepend)


def _register(
    hooks: OrderedDict, hook: Any, prepend: bool, marks: tuple[dict, ...] = ()
) -> RemovableHandle:
    handle = RemovableHandle(hooks, hook, marks)
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle


def _note_path(error: Exception, module: Any) -> None:
    """Keep one note on `error`: the path from `module` to where it was raised.

    Every module on the way up rewrites the note, so the outermost has the last word.
    """
    carrier: Any = error
    trail = getattr(error, "_raised_in", None)
    try:
        if trail is None:
            carrier._raised_in = (module, module, "", None)
            return
    except AttributeError:  # an exception with __slots__ carries no path
        return
    inner, last, path, note = trail
    step = next((p for p, m in module.named_modules() if m is last), "")
    if not step:  # called without being a child: the next module up may know it
        return
    path = f"{step}.{path}" if path else step
    others = [line for line in getattr(error, "__notes__", ()) if line != note]
    note = f"in module '{path}' of {type(module).__name__}: {inner!r}"
    carrier.__notes__ = [*others, note]
    carrier._raised_in = (inner, module, path, note)
