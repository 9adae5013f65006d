"""Receptive fields: how many cells of a network's input an output cell is made of.

A field is known for a tensor if every step from the network's input to it is: modules
by their parameters, what lies between two modules by its nodes in the gradient's graph.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from ..nn.modules import (
    activation,
    batchnorm,
    dropout,
    linear,
    normalization,
    padding,
    pooling,
    upsampling,
)
from ..nn.modules.conv import _ConvNd
from ..nn.modules.module import Module
from ..nn.modules.sizes import spread
from ..tensor import Tensor

# Cell for cell. The statistics of a norm, which see every cell, are not counted.
POINTWISE: tuple[Any, ...] = (
    *(activation._Activation, activation.Sigmoid, activation.Tanh, activation.GELU),
    *(activation.PReLU, activation.LogSigmoid, activation.Softplus, activation.GLU),
    *(activation.Softsign, activation.Hardshrink, activation.Softshrink),
    *(batchnorm._NormBase, normalization.GroupNorm, dropout._DropoutNd),
    *(padding._PadNd, linear.Identity),
)
NODES = frozenset(
    "Add Sub Mul Div Neg Cat Clone Relu LeakyRelu Sigmoid Tanh Silu Gelu Elu Softplus"
    " Hardtanh Clamp Dropout NativeDropout Slice Alias Pow Abs Exp Log".split()
)
MORE = {"nearest": 0, "nearest-exact": 0, "bicubic": 3}  # else 1: linear modes


class Field(NamedTuple):
    """Along each axis: the cells that are seen, and the step from output to output."""

    size: tuple[Fraction, ...]
    step: tuple[Fraction, ...]

    @classmethod
    def start(cls, rank: int) -> Field:
        """The field of the input itself."""
        return cls((Fraction(1),) * rank, (Fraction(1),) * rank)

    def then(self, taps: Sequence[Any], step: Sequence[Any]) -> Field:
        """The field after a window of so many of its cells that moves by `step`."""
        pairs = zip(self.size, taps, self.step, strict=True)
        return Field(
            tuple(size + (count - 1) * one for size, count, one in pairs),
            tuple(a * b for a, b in zip(self.step, step, strict=True)),
        )

    def joined(self, other: Field) -> Field:
        """The field of a sum or a concatenation: the larger one, on the finer step."""
        return Field(
            tuple(map(max, self.size, other.size)),
            tuple(map(min, self.step, other.step)),
        )

    @property
    def cells(self) -> list[int]:
        """Whole cells along each axis."""
        return [math.ceil(size) for size in self.size]


def after(
    module: Module, field: Field | None, input: Tensor, output: Tensor
) -> Field | None:
    """The field after a module, None where it is not known."""
    if field is None or not field.size:
        return None
    rank = len(field.size)
    if isinstance(module, POINTWISE):
        return field
    if isinstance(module, _ConvNd):
        if len(module.kernel_size) != rank:
            return None
        return _after_convolution(module, field)
    if isinstance(module, pooling._MaxPoolNd | pooling._AvgPoolNd | pooling._LPPoolNd):
        kernel = spread(module.kernel_size, rank)
        holes = spread(getattr(module, "dilation", 1), rank)
        spans = [
            hole * (cells - 1) + 1 for hole, cells in zip(holes, kernel, strict=True)
        ]
        return field.then(spans, spread(module.stride or kernel, rank))
    if isinstance(module, pooling._AdaptiveAvgPoolNd | pooling._AdaptiveMaxPoolNd):
        ratios = _ratios(rank, input, output)
        return field.then([_bin(ratio) for ratio in ratios], ratios)
    if isinstance(module, upsampling.Upsample):
        taps = [1 + MORE.get(module.mode, 1)] * rank
        return field.then(taps, _ratios(rank, input, output))
    return None


def _ratios(rank: int, input: Tensor, output: Tensor) -> list[Fraction]:
    """Cells of the input for one of the output, along each axis."""
    sizes = zip(input.shape[-rank:], output.shape[-rank:], strict=True)
    return [Fraction(before, now) for before, now in sizes]


def _bin(ratio: Fraction) -> int:
    """The most cells of a bin of adaptive pooling."""
    return math.ceil(ratio) + (ratio.denominator > 1)


def _after_convolution(layer: _ConvNd, field: Field) -> Field:
    """The field after a convolution or its transpose."""
    counts = list(zip(layer.kernel_size, layer.dilation, layer.stride, strict=True))
    if not layer.transposed:
        return field.then([hole * (k - 1) + 1 for k, hole, _ in counts], layer.stride)
    steps = [Fraction(1, step) for step in layer.stride]
    return field.then([_gathered(*numbers) for numbers in counts], steps)


def _gathered(kernel: int, hole: int, step: int) -> int:
    """How far apart the inputs lie that one output of a transpose gathers, plus one."""
    most = 1
    for phase in range(step):
        taps = [k * hole for k in range(kernel) if k * hole % step == phase]
        if taps:
            most = max(most, (taps[-1] - taps[0]) // step + 1)
    return most


class Fields:
    """The fields of the tensors that a network has made so far."""

    def __init__(self) -> None:
        self._of_tensor: dict[int, tuple[Tensor, Field | None]] = {}
        self._of_node: dict[Any, Field | None] = {}

    def put(self, tensor: Tensor, field: Field | None) -> None:
        """Remember the field of a tensor (which is kept, so that its id stays its)."""
        self._of_tensor[id(tensor)] = (tensor, field)
        if tensor.grad_fn is not None:
            self._of_node[tensor.grad_fn] = field

    def of(self, tensor: Tensor) -> Field | None:
        """The field of a tensor, through the nodes between it and known tensors."""
        known = self._of_tensor.get(id(tensor))
        if known is not None and known[0] is tensor:
            return known[1]
        return None if tensor.grad_fn is None else self._of(tensor.grad_fn)

    def _of(self, node: Any) -> Field | None:
        """The field of the tensor that a node made."""
        if node not in self._of_node:
            self._of_node[node] = self._through(node)
        return self._of_node[node]

    def _through(self, node: Any) -> Field | None:
        """The field after a node that computes cell for cell."""
        if node.name().partition("Backward")[0] not in NODES:
            return None
        before = [part for part, _ in node.next_functions if part is not None]
        fields = [self._of(part) for part in before if part.name() != "AccumulateGrad"]
        return _join(fields)


def _join(fields: Iterable[Field | None]) -> Field | None:
    """The field of what several tensors make together; None if one is not known."""
    found: Field | None = None
    for field in fields:
        if field is None:
            return None
        found = field if found is None else found.joined(field)
    return found
