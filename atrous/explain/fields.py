"""Receptive fields: how many cells of a network's input an output cell is made of.

Behind a transposed convolution neighbouring outputs see differently many: the pattern
is followed, output by output, until it repeats.

A field is known for a tensor if every step from the network's input to it is: modules
by their parameters, what lies between two modules by its nodes in the gradient's graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
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
    linear.Identity,
)
NODES = frozenset(
    "Add Sub Mul Div Neg Cat Clone Relu LeakyRelu Sigmoid Tanh Silu Gelu Elu Softplus"
    " Hardtanh Clamp Dropout NativeDropout Slice Alias Pow Abs Exp Log".split()
)
#: Which cells an upsampled one is made of, counted from the one it lies in.
NEIGHBOURS = {"nearest": (0,), "nearest-exact": (0,), "bicubic": (-1, 0, 1, 2)}
LINEAR = (0, 1)


class Along(NamedTuple):
    """What the outputs see along one axis. Output period · q + r sees the input's cells
    from lows[r] + shift · q to highs[r] + shift · q; None if it sees nothing."""

    shift: int
    lows: tuple[int | None, ...]
    highs: tuple[int | None, ...]

    def span(self, cell: int) -> tuple[int, int] | None:
        """The first and the last cell that `cell` sees."""
        turns, place = divmod(cell, len(self.lows))
        low, high = self.lows[place], self.highs[place]
        if low is None or high is None:
            return None
        return low + self.shift * turns, high + self.shift * turns

    def then(self, reads: Reads) -> Along:
        """What is seen through a further layer."""
        again = len(self.lows) // math.gcd(len(self.lows), reads.shift)
        lows: list[int | None] = []
        highs: list[int | None] = []
        for cell in range(reads.period * again):
            spans = [span for read in reads.cells(cell) if (span := self.span(read))]
            lows.append(min((low for low, _ in spans), default=None))
            highs.append(max((high for _, high in spans), default=None))
        shift = self.shift * (reads.shift * again // len(self.lows))
        return Along(shift, tuple(lows), tuple(highs))

    def joined(self, other: Along) -> Along | None:
        """What a sum or a concatenation sees; None if outputs do not keep step."""
        period = math.lcm(len(self.lows), len(other.lows))
        shift = self.shift * period // len(self.lows)
        if shift != other.shift * period // len(other.lows):
            return None
        spans = [
            [span for span in (self.span(cell), other.span(cell)) if span]
            for cell in range(period)
        ]
        lows = tuple(min((low for low, _ in each), default=None) for each in spans)
        highs = tuple(max((high for _, high in each), default=None) for each in spans)
        return Along(shift, lows, highs)

    @property
    def size(self) -> int:
        """The most cells that an output sees, borders apart."""
        pairs = zip(self.lows, self.highs, strict=True)
        return max(
            (b - a + 1 for a, b in pairs if a is not None and b is not None), default=0
        )


class Reads(NamedTuple):
    """What a layer's outputs read of its input along one axis: those of `cell`, and
    `period` outputs further `shift` inputs further."""

    period: int
    shift: int
    cells: Callable[[int], Iterable[int]]


class Field(NamedTuple):
    """What a tensor's cells see of the network's input, axis by axis."""

    axes: tuple[Along, ...]

    @classmethod
    def start(cls, rank: int) -> Field:
        """The field of the input itself."""
        return cls((Along(1, (0,), (0,)),) * rank)

    def then(self, reads: Iterable[Reads]) -> Field:
        """The field after a layer that reads so along each axis."""
        pairs = zip(self.axes, reads, strict=True)
        return Field(tuple(along.then(each) for along, each in pairs))

    def joined(self, other: Field) -> Field | None:
        """The field of a sum or a concatenation."""
        axes = [a.joined(b) for a, b in zip(self.axes, other.axes, strict=True)]
        known = tuple(along for along in axes if along is not None)
        return Field(known) if len(known) == len(axes) else None

    @property
    def cells(self) -> list[int]:
        """How many cells are seen along each axis."""
        return [along.size for along in self.axes]


def after(
    module: Module, field: Field | None, input: Tensor, output: Tensor
) -> Field | None:
    """The field after a module, None where it is not known."""
    if field is None or not field.axes:
        return None
    rank = len(field.axes)
    if isinstance(module, padding._PadNd):
        before = spread(module.padding, 2 * rank)[-2::-2]
        return field.then(_window(1, 1, 1, left) for left in before)
    if isinstance(module, POINTWISE):
        return field
    if isinstance(module, _ConvNd):
        return _after_convolution(module, field) if _fits(module, rank) else None
    if isinstance(module, pooling._MaxPoolNd | pooling._AvgPoolNd | pooling._LPPoolNd):
        kernel = spread(module.kernel_size, rank)
        numbers = (
            spread(getattr(module, "dilation", 1), rank),
            spread(module.stride or kernel, rank),
            spread(getattr(module, "padding", 0), rank),
        )
        return field.then(map(_window, kernel, *numbers))
    sizes = list(zip(input.shape[-rank:], output.shape[-rank:], strict=True))
    if isinstance(module, pooling._AdaptiveAvgPoolNd | pooling._AdaptiveMaxPoolNd):
        return field.then(_bins(*pair) for pair in sizes)
    if isinstance(module, upsampling.Upsample):
        neighbours = NEIGHBOURS.get(module.mode, LINEAR)
        ends = bool(module.align_corners)
        return field.then(_resampled(*pair, neighbours, ends) for pair in sizes)
    return None


def _fits(layer: _ConvNd, rank: int) -> bool:
    return len(layer.kernel_size) == rank


def _window(kernel: int, hole: int, stride: int, before: int) -> Reads:
    """A window of `kernel` cells, `hole` apart, that moves by `stride`."""
    return Reads(
        1,
        stride,
        lambda cell: [cell * stride - before + hole * k for k in range(kernel)],
    )


def _painted(kernel: int, hole: int, stride: int, before: int) -> Reads:
    """The inputs whose windows, `stride` apart, an output of a transpose lies in."""
    return Reads(
        stride,
        1,
        lambda cell: [
            (cell + before - hole * k) // stride
            for k in range(kernel)
            if (cell + before - hole * k) % stride == 0
        ],
    )


def _bins(before: int, now: int) -> Reads:
    """The cells of adaptive pooling's bins."""
    common = math.gcd(before, now)
    return Reads(
        now // common,
        before // common,
        lambda cell: range(cell * before // now, -(-(cell + 1) * before // now)),
    )


def _resampled(before: int, now: int, neighbours, ends: bool) -> Reads:
    """The cells between which interpolation reads; with `ends` corners lie on corners,
    otherwise edges on edges."""
    if ends:
        before, now = max(before - 1, 1), max(now - 1, 1)
    common = math.gcd(before, now)

    def cells(cell: int) -> list[int]:
        place = Fraction(cell * before, now)
        if not ends and len(neighbours) > 1:  # centres of cells lie at halves
            place = Fraction((2 * cell + 1) * before, 2 * now) - Fraction(1, 2)
        first = math.floor(place)
        near = neighbours if place != first else (0,)
        return [first + step for step in near]

    return Reads(now // common, before // common, cells)


def _after_convolution(layer: _ConvNd, field: Field) -> Field:
    """The field after a convolution or its transpose."""
    if isinstance(layer.padding, str):
        half = layer.padding == "same"
        steps = zip(layer.kernel_size, layer.dilation, strict=True)
        before = [half * hole * (k - 1) // 2 for k, hole in steps]
    else:
        before = list(layer.padding)
    reads = _painted if layer.transposed else _window
    return field.then(
        map(reads, layer.kernel_size, layer.dilation, layer.stride, before)
    )


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
        if found is None:
            return None
    return found
