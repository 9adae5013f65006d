"""Operations with a gradient of the user's own: `autograd.Function`."""

from __future__ import annotations

import functools

from .graph import Node, edge, needs_recording
from .modes import no_grad


def is_tensor(value) -> bool:
    """Is it a Tensor? This layer knows one by what it holds."""
    return hasattr(value, "_requires")


class FunctionCtx:
    """What `forward` leaves for `backward`."""

    def __init__(self) -> None:
        self._to_save: tuple = ()
        self._dirty: tuple = ()
        self._without_gradient: tuple = ()
        self._materialize = True
        self._node: Node | None = None
        self.needs_input_grad: tuple[bool, ...] = ()

    def save_for_backward(self, *tensors) -> None:
        """Keep input or output tensors for `backward`, guarded against changes."""
        for each in tensors:
            if each is not None and not is_tensor(each):
                raise TypeError(
                    "save_for_backward can only save variables, but argument is of type"
                    f" {type(each).__name__}"
                )
        self._to_save = tensors

    def save_for_forward(self, *tensors) -> None:
        self._for_forward = tensors

    def mark_dirty(self, *tensors) -> None:
        """These inputs were changed in place."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors) -> None:
        """These outputs have no gradient."""
        self._without_gradient = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether a missing gradient arrives as zeros (the default) or as None."""
        self._materialize = value

    @property
    def saved_tensors(self) -> tuple:
        return tuple(self._to_save if self._node is None else self._node.unpack())


class Function:
    """Subclass it with static `forward(ctx, …)` and `backward(ctx, *grads)`.

    `apply(…)` runs and records it.

    With `setup_context(ctx, inputs, output)` defined, `forward` takes no `ctx`.
    Source of the interface: PyTorch's documentation, "Extending torch.autograd".
    """

    @staticmethod
    def forward(*args, **kwargs):
        raise NotImplementedError(
            "You must implement the forward function for custom autograd.Function."
        )

    @staticmethod
    def backward(ctx, *grad_outputs):
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom"
            " autograd.Function to use it with backward mode AD."
        )

    @staticmethod
    def setup_context(ctx, inputs, output):
        raise NotImplementedError("setup_context is not implemented.")

    @classmethod
    def apply(cls, *args):
        ctx = FunctionCtx()
        ctx.needs_input_grad = tuple(
            is_tensor(each) and each.requires_grad for each in args
        )
        with no_grad():
            if cls.setup_context is not Function.setup_context:
                result = cls.forward(*args)
                cls.setup_context(ctx, args, result)
            else:
                result = cls.forward(ctx, *args)
        outputs = result if isinstance(result, tuple) else (result,)
        if needs_recording(args):
            outputs = cls._record(ctx, args, outputs)
        return outputs if isinstance(result, tuple) else outputs[0]

    @classmethod
    def _record(cls, ctx: FunctionCtx, args: tuple, outputs: tuple) -> tuple:
        edges = tuple(map(edge, args))
        with_gradient = [
            is_tensor(each)
            and each.dtype.is_floating_point
            and not _in(each, ctx._without_gradient)
            for each in outputs
        ]
        # An input handed back unchanged becomes a new tensor with a history of its own.
        outputs = tuple(
            each._alias()
            if is_tensor(each)
            and any(each is a for a in args)
            and not _in(each, ctx._dirty)
            else each
            for each in outputs
        )
        metadata = [
            (each._form.shape, each.dtype) if is_tensor(each) else ((), None)
            for each in outputs
        ]
        node = type(f"{cls.__name__}Backward", (_FunctionNode,), {})(
            edges, None, metadata
        )
        node.function, node.ctx = cls, ctx
        node.materialize = ctx._materialize
        node.save(ctx._to_save, outputs)
        ctx._node = node
        for index, each in enumerate(outputs):
            if with_gradient[index]:
                each._attach(node, index)
        for each in ctx._dirty:
            each._bump()
        return outputs


def _in(tensor, tensors) -> bool:
    return any(tensor is each for each in tensors)


class _FunctionNode(Node):
    """A node whose formula is the user's `backward`."""

    function: type[Function]
    ctx: FunctionCtx

    def run(self, grads, wanted):
        results = self.function.backward(self.ctx, *grads)
        if not isinstance(results, tuple):
            results = (results,)
        if len(results) > len(self.edges) and not any(
            each is not None for each in results[len(self.edges) :]
        ):
            results = results[: len(self.edges)]
        if len(results) != len(self.edges):
            raise RuntimeError(
                f"function {self.name()} returned an incorrect number of gradients"
                f" (expected {len(self.edges)}, got {len(results)})"
            )
        return list(results)


def once_differentiable(backward):
    """Marks a `backward` whose result cannot be differentiated again."""

    @functools.wraps(backward)
    def wrapper(ctx, *grads):
        with no_grad():
            return backward(ctx, *grads)

    return wrapper
