"""The tape: a Node for each recorded operation, with the formula of its gradient.

A formula receives the gradient of each output and the saved tensors, and returns for
each input a Tensor, None, or a thunk, called only where a gradient is wanted. Formulas
are written with Tensor operations: run while recording, they make the graph of the
second derivative.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from . import anomaly
from .modes import modes

_numbers = itertools.count()


class Node:
    """One recorded operation: edges to what made its inputs, and its formula."""

    materialize = True  # a gradient that did not arrive is zeros, not None
    saved: tuple | None = ()
    # Few nodes have any of these: see `own`.
    tensor_hooks: Mapping[int, dict] = MappingProxyType({})
    retained: Mapping[int, weakref.ref] = MappingProxyType({})
    hooks: Mapping[int, Callable] = MappingProxyType({})
    prehooks: Mapping[int, Callable] = MappingProxyType({})

    def __init__(self, edges, formula, outputs):
        self.edges = edges  # (node, output number) or None, an entry an input
        self.formula = formula
        self.outputs = outputs  # (shape, dtype) of each output
        self.number = next(_numbers)
        if modes.anomaly:
            anomaly.remember(self)

    def own(self, name: str) -> dict:
        """This node's dictionary of hooks of that name, to be written to."""
        return self.__dict__.setdefault(name, {})

    @classmethod
    def name(cls) -> str:
        return cls.__name__

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"

    @property
    def next_functions(self):
        return tuple(edge[:2] if edge else (None, 0) for edge in self.edges)

    @property
    def metadata(self) -> dict:
        return self.__dict__.setdefault("_metadata", {})

    def register_hook(self, hook):
        """`hook(grad_inputs, grad_outputs)` after this node ran."""
        return Handle(self.own("hooks"), hook)

    def register_prehook(self, hook):
        """`hook(grad_outputs)` before this node runs."""
        return Handle(self.own("prehooks"), hook)

    def save(self, tensors: Sequence, outputs: Sequence) -> None:
        """Keep `tensors` and their versions; an output is kept as an alias of itself,
        as keeping the tensor would tie a knot that only the garbage collector unties.
        """
        self.saved = tuple([_Saved(each, outputs) for each in tensors])

    def unpack(self) -> list:
        """The saved tensors; RuntimeError if they were freed or changed since."""
        if self.saved is None:
            raise RuntimeError(
                "Trying to backward through the graph a second time (or directly access"
                " saved tensors after they have already been freed). Saved intermediate"
                " values of the graph are freed when you call .backward() or"
                " autograd.grad(). Specify retain_graph=True if you need to backward"
                " through the graph a second time or if you need to access saved"
                " tensors after calling backward."
            )
        return [saved.unpack(self) for saved in self.saved]

    def free(self) -> None:
        if self.saved:
            self.saved = None

    def __call__(self, *grads):
        return self.run(list(grads), [True] * len(self.edges))

    def run(self, grads: list, wanted: Sequence[bool]) -> list:
        """The gradient of each wanted input, from those of the outputs."""
        results = self.formula(*grads, *self.unpack())
        return [
            (each() if callable(each) else each) if want else None
            for each, want in zip(results, wanted, strict=True)
        ]


class _Saved:
    __slots__ = ("output", "value", "version")

    def __init__(self, value, outputs):
        self.output = None
        for index, out in enumerate(outputs):
            if value is out:
                self.output = index
                value = value._alias()
        self.value = value
        self.version = getattr(value, "_version", None)

    def unpack(self, node):
        value = self.value
        if self.version is not None and value._version != self.version:
            raise RuntimeError(
                "one of the variables needed for gradient computation has been modified"
                f" by an inplace operation: [{value.type_name()} {list(value.shape)}]"
                f"{self._origin(node)} is at version {value._version}; expected version"
                f" {self.version} instead. Hint: enable anomaly detection to find the"
                " operation that failed to compute its gradient, with"
                " torch.autograd.set_detect_anomaly(True)."
            )
        if self.output is not None:
            value = value._alias()
            value._attach(node, self.output)
        return value

    def _origin(self, node) -> str:
        made_by = node if self.output is not None else self.value.grad_fn
        if made_by is None:
            return ","
        index = self.output if self.output is not None else self.value.output_nr
        return f", which is output {index} of {made_by.name()},"


class Handle:
    """Removes a hook; as torch.utils.hooks.RemovableHandle."""

    _ids = itertools.count()

    def __init__(self, hooks: dict, hook):
        self.id = next(self._ids)
        self._hooks = hooks
        hooks[self.id] = hook

    def remove(self) -> None:
        self._hooks.pop(self.id, None)

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.remove()


class AccumulateGrad(Node):
    """The end of a path: adds what arrives to a leaf's `grad`."""

    def __init__(self, variable):
        super().__init__((), None, [(variable._form.shape, variable.dtype)])
        self.variable = variable


_node_types: dict[str, type[Node]] = {}


def node_type(name: str) -> type[Node]:
    """The class named as torch names the node, so that type(y.grad_fn) prints alike."""
    found = _node_types.get(name)
    if found is None:
        found = _node_types[name] = type(name, (Node,), {})
    return found


def edge(value):
    """Where the gradient of `value` goes: (node, output, shape, dtype) or None."""
    if not getattr(value, "requires_grad", False):
        return None
    node, index = value._node, value._index  # renewed just now, if there was need
    if node is None:
        node, index = accumulator(value), 0
    return node, index, value._form.shape, value.dtype


def accumulator(leaf) -> AccumulateGrad:
    """The leaf's one AccumulateGrad, held by the graphs that end in it."""
    held = leaf._accumulator
    node = held() if held is not None else None
    if node is None:
        node = AccumulateGrad(leaf)
        leaf._accumulator = weakref.ref(node)
    return node


def renamed(out, name: str):
    """`out`, fresh from several operations; its node prints as torch's single one."""
    if out.requires_grad:
        out.grad_fn.__class__ = node_type(name)
    return out


def needs_recording(inputs) -> bool:
    """Would an operation on `inputs` be recorded now?"""
    if modes.recording:
        for each in inputs:
            if getattr(each, "requires_grad", False):
                return True
    return False


def record(out, name: str, inputs: Sequence, formula: Callable, saved: Sequence = ()):
    """Note that `out` (a Tensor, or a tuple of them) came from `inputs`; returns `out`.

    `inputs` may hold numbers and None. See the module's docstring for `formula`.
    """
    if needs_recording(inputs):
        link(out, name, inputs, formula, saved)
    return out


def link(out, name: str, inputs: Sequence, formula: Callable, saved: Sequence) -> None:
    """As `record`, of an operation that is known to need it."""
    outputs = out if isinstance(out, (tuple, list)) else (out,)
    metadata = [(each._form.shape, each.dtype) for each in outputs]
    edges = tuple([edge(each) for each in inputs])
    node = node_type(name)(edges, formula, metadata)
    if saved:
        for each in saved:
            if getattr(each, "_inference", False):
                raise RuntimeError(
                    "Inference tensors cannot be saved for backward. Please do not use "
                    "Tensors created in inference mode in computation tracked by "
                    "autograd. To work around this, you can make a clone to get a "
                    "normal tensor and use it in autograd, or use `torch.no_grad()` "
                    "instead of `torch.inference_mode()`."
                )
        node.save(saved, outputs)
    for index, each in enumerate(outputs):
        each._attach(node, index)
