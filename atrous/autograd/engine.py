"""Running the tape backwards: `backward`, `grad`.

Nodes run newest first, each once all gradients of its outputs have arrived; no
recursion, so depth is bounded by memory alone.
"""

from __future__ import annotations

import heapq
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from . import anomaly
from .graph import AccumulateGrad, Node, accumulator, edge
from .modes import enable_grad, modes, no_grad


class Make:
    """How tensors are made; set by `tensor`, which is above this layer."""

    zeros: Callable
    ones_like: Callable


def backward(
    tensors,
    grad_tensors=None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs=None,
) -> None:
    """Add the gradient of `tensors` to the `grad` of every leaf they came from.

    Each entry of `grad_tensors` has the shape of its tensor; None stands for 1 where
    the tensor is a scalar. With `inputs`, only their `grad` is added to.
    Raises RuntimeError as torch does: no graph, graph freed, saved tensor changed.
    """
    tensors, grads = _roots(tensors, grad_tensors, create_graph)
    keep = create_graph if retain_graph is None else retain_graph
    if inputs is None:
        _run(tensors, grads, keep, create_graph)
        return
    inputs = _sequence(inputs)
    if not inputs:
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    captured = _run(tensors, grads, keep, create_graph, inputs)
    for variable, gradient in zip(inputs, captured, strict=True):
        if gradient is not None:
            _accumulate(variable, gradient, create_graph, fresh=False)


def grad(
    outputs,
    inputs,
    grad_outputs=None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
):
    """The gradients of `outputs` with respect to `inputs`, as a tuple.

    With `create_graph=True` they can be differentiated again.
    Raises RuntimeError if an input is not in the graph, unless `allow_unused`.
    """
    if not only_inputs:
        warnings.warn(
            "only_inputs argument is deprecated and is ignored now (defaults to True)."
            " To accumulate gradient for other parts of the graph, please use"
            " torch.autograd.backward.",
            FutureWarning,
            stacklevel=2,
        )
    if is_grads_batched:
        raise NotImplementedError("grad: is_grads_batched=True is not offered.")
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when"
            " materialize_grads=True, but got: allow_unused=False."
        )
    tensors, grads = _roots(outputs, grad_outputs, create_graph)
    inputs = _sequence(inputs)
    for each in inputs:
        if not each.requires_grad:
            raise RuntimeError(
                "One of the differentiated Tensors does not require grad"
            )
    keep = create_graph if retain_graph is None else retain_graph
    results = _run(tensors, grads, keep, create_graph, inputs)
    if materialize_grads:
        return tuple(
            Make.zeros(each.shape, each.dtype) if got is None else got
            for each, got in zip(inputs, results, strict=True)
        )
    if not allow_unused and any(got is None for got in results):
        raise RuntimeError(
            "One of the differentiated Tensors appears to not have been used in the"
            " graph. Set allow_unused=True if this is the desired behavior."
        )
    return tuple(results)


def _sequence(tensors) -> tuple:
    return tuple(tensors) if isinstance(tensors, Sequence) else (tensors,)


def _roots(tensors, grads, create_graph: bool) -> tuple[tuple, list]:
    """The tensors to start from and the gradient of each."""
    tensors = _sequence(tensors)
    grads = (None,) * len(tensors) if grads is None else _sequence(grads)
    if len(grads) != len(tensors):
        raise RuntimeError(
            f"got {len(tensors)} tensors and {len(grads)} gradients: one is needed each"
        )
    pairs = zip(tensors, grads, strict=True)
    return tensors, [_root(i, *pair) for i, pair in enumerate(pairs)]


def _root(index: int, tensor, gradient):
    if not tensor.requires_grad:
        raise RuntimeError(
            f"element {index} of tensors does not require grad and does not have a"
            " grad_fn"
        )
    if gradient is not None:
        if gradient._form.shape != tensor._form.shape:
            raise RuntimeError(
                f"Mismatch in shape: grad_output[{index}] has a shape of"
                f" {gradient.shape} and output[{index}] has a shape of {tensor.shape}."
            )
        return gradient
    if tensor._form.size != 1:
        raise RuntimeError("grad can be implicitly created only for scalar outputs")
    if not tensor.dtype.is_floating_point:
        raise RuntimeError(
            "grad can be implicitly created only for real scalar outputs but got"
            f" {tensor.dtype}"
        )
    return Make.ones_like(tensor)


def _dependencies(roots: set[Node]) -> Counter:
    """How many gradients each reachable node waits for."""
    waits: Counter = Counter()
    seen, stack = set(roots), list(roots)
    while stack:
        for target in stack.pop().edges:
            if target is None:
                continue
            waits[target[0]] += 1
            if target[0] not in seen:
                seen.add(target[0])
                stack.append(target[0])
    return waits


def _leading_to(targets: set[Node], roots: set[Node]) -> set[Node]:
    """The nodes from which one of `targets` can be reached."""
    order, seen, stack = [], set(roots), list(roots)
    while stack:
        node = stack.pop()
        order.append(node)
        for target in node.edges:
            if target is not None and target[0] not in seen:
                seen.add(target[0])
                stack.append(target[0])
    leading = set(targets)
    # A node is newer than what it leads to, except that accumulators are made late.
    for node in sorted(
        order, key=lambda n: (not isinstance(n, AccumulateGrad), n.number)
    ):
        if any(target is not None and target[0] in leading for target in node.edges):
            leading.add(node)
    return leading


class _Pending:
    """The gradients that have arrived for one node, an entry an output."""

    __slots__ = ("fresh", "grads")

    def __init__(self, node: Node):
        self.grads: list = [None] * len(node.outputs)
        self.fresh = True

    def add(self, index: int, gradient, fresh: bool) -> None:
        if gradient is None:
            return
        if self.grads[index] is None:
            self.grads[index] = gradient
            self.fresh = fresh
        else:
            self.grads[index] = self.grads[index] + gradient
            self.fresh = True


def _run(tensors, grads, keep: bool, create_graph: bool, inputs=None) -> list:
    """Run the graph; with `inputs`, return what arrived at each of them instead."""
    with enable_grad() if create_graph else no_grad():
        return _Backward(tensors, grads, keep, create_graph, inputs).run()


class _Backward:
    """One pass over the graph."""

    def __init__(self, tensors, grads, keep, create_graph, inputs):
        self.keep, self.create_graph = keep, create_graph
        self.pending: dict[Node, _Pending] = {}
        roots = set()
        for tensor, gradient in zip(tensors, grads, strict=True):
            node, index, *_ = edge(tensor)
            roots.add(node)
            self._pending(node).add(index, gradient, fresh=False)
        self.waits = _dependencies(roots)
        self.wanted = None
        self.places: list = []
        self.captured: dict = {}
        if inputs is not None:
            self.places = [edge(each)[:2] for each in inputs]
            self.wanted = _leading_to({node for node, _ in self.places}, roots)
        self.capture = defaultdict(set)
        for node, index in self.places:
            self.capture[node].add(index)
        self.ready = [
            (-node.number, node.number, node) for node in roots if not self.waits[node]
        ]
        heapq.heapify(self.ready)

    def _pending(self, node: Node) -> _Pending:
        if node not in self.pending:
            self.pending[node] = _Pending(node)
        return self.pending[node]

    def run(self) -> list:
        while self.ready:
            node = heapq.heappop(self.ready)[2]
            pending = self.pending.pop(node, None) or _Pending(node)
            self._visit(node, pending)
        return [self.captured.get(place) for place in self.places]

    def _visit(self, node: Node, pending: _Pending) -> None:
        grads = pending.grads
        self._tensor_hooks(node, pending)
        for index in self.capture.get(node, ()):
            self.captured[node, index] = grads[index]
        arrived = any(each is not None for each in grads)
        if isinstance(node, AccumulateGrad):
            if arrived and self.wanted is None:
                _run_accumulate(node, grads[0], self.create_graph, pending.fresh)
            return
        wanted = [self._wants(target) for target in node.edges]
        if arrived and any(wanted):
            results = self._apply(node, grads, wanted)
        else:
            results = [None] * len(node.edges)
        taken = {id(each._storage) for each in grads if each is not None}
        for target, gradient in zip(node.edges, results, strict=True):
            if target is not None:
                self._send(target, gradient, node, taken)

    def _wants(self, target) -> bool:
        return target is not None and (self.wanted is None or target[0] in self.wanted)

    def _tensor_hooks(self, node: Node, pending: _Pending) -> None:
        grads = pending.grads
        for index, hooks in node.tensor_hooks.items():
            for hook in list(hooks.values()):
                if grads[index] is not None:
                    changed = hook(grads[index])
                    pending.fresh = False
                    if changed is not None:
                        grads[index] = changed
        for index, reference in node.retained.items():
            tensor = reference()
            if tensor is not None and grads[index] is not None:
                tensor.grad = grads[index].clone()

    def _apply(self, node: Node, grads: list, wanted: list) -> list:
        for hook in list(node.prehooks.values()):
            changed = hook(tuple(grads))
            if changed is not None:
                grads[:] = _sequence(changed)
        for index, (shape, dtype) in enumerate(node.outputs):
            if grads[index] is None and node.materialize:
                grads[index] = Make.zeros(shape, dtype)
        run = anomaly.run if modes.anomaly else type(node).run
        results = run(node, grads, wanted)
        if not self.keep:
            node.free()
        for hook in list(node.hooks.values()):
            changed = hook(tuple(results), tuple(grads))
            if changed is not None:
                results = list(_sequence(changed))
        return results

    def _send(self, target, gradient, sender: Node, taken: set) -> None:
        node, index, shape, dtype = target
        fresh = False
        if gradient is not None:
            gradient = _fitted(gradient, shape, dtype, sender)
            fresh = id(gradient._storage) not in taken and gradient._base is None
            taken.add(id(gradient._storage))
            self._pending(node).add(index, gradient, fresh)
        self.waits[node] -= 1
        if not self.waits[node]:
            heapq.heappush(self.ready, (-node.number, node.number, node))


def _fitted(gradient, shape, dtype, sender: Node):
    """The gradient summed over what was broadcast, in the input's dtype."""
    if gradient._form.shape != shape:
        try:
            gradient = gradient.sum_to_size(shape)
        except RuntimeError:
            raise RuntimeError(
                f"Function {sender.name()} returned an invalid gradient: got"
                f" {list(gradient.shape)} but expected shape compatible with"
                f" {list(shape)}"
            ) from None
    return gradient if gradient.dtype is dtype else gradient.to(dtype)


def _run_accumulate(node: AccumulateGrad, gradient, create_graph, fresh) -> None:
    for hook in list(node.prehooks.values()):
        changed = hook((gradient,))
        if changed is not None:
            gradient, fresh = _sequence(changed)[0], False
    _accumulate(node.variable, gradient, create_graph, fresh)
    for hook in list(node.hooks.values()):
        hook((), (gradient,))
    for hook in list((node.variable._after_accumulation or {}).values()):
        hook(node.variable)


def _accumulate(variable, gradient, create_graph: bool, fresh: bool) -> None:
    """variable.grad += gradient; a gradient that others may hold is copied first."""
    if create_graph:
        before = variable.grad
        variable.grad = gradient.clone() if before is None else before + gradient
    elif variable.grad is None:
        variable.grad = gradient.detach() if fresh else gradient.detach().clone()
    else:
        variable.grad.add_(gradient)


def register_hook(tensor, hook):
    """`hook(gradient)` when the gradient of `tensor` is known; may return another."""
    from .graph import Handle

    if not tensor.requires_grad:
        raise RuntimeError(
            "cannot register a hook on a tensor that doesn't require gradient"
        )
    if tensor.grad_fn is None:
        # The leaf keeps its accumulator alive, or the hook would be lost with it.
        tensor._held_accumulator = accumulator(tensor)
    node, index, *_ = edge(tensor)
    return Handle(node.own("tensor_hooks").setdefault(index, {}), hook)
