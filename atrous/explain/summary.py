"""A network's layers as a table: shapes, parameters, work, memory, receptive field."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..autograd import enable_grad
from ..nn.modules.conv import _ConvNd
from ..nn.modules.linear import Linear
from ..nn.modules.module import Module
from ..tensor import Tensor
from .explanation import Explanation, explain
from .fields import Field, Fields, after
from .setting import Setting

HEADINGS = (
    *("layer", "type", "input", "output", "parameters", "multiply-adds", "memory"),
    "field",
)
LEFT_ALIGNED = 4  # columns of words; of the others the numbers stand at the right
UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True)
class Row:
    """One call of one layer.

    name: its path in the network; type: its class
    input, output: shapes, batch included
    parameters: numbers that are learnt, counted where they are first met
    multiply_adds: of the given batch; of convolutions and Linear, else 0
    activation_bytes: of the output, 0 where it shares its input's memory
    receptive_field: cells of the network's input along each axis, None if not known
    layer: the setting of a convolution, else None
    """

    name: str
    type: str
    input: tuple[int, ...]
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int
    activation_bytes: int
    receptive_field: tuple[int, ...] | None
    layer: Setting | None


class Summary:
    """The rows of a network; prints as a table, `explain` opens a layer of it."""

    def __init__(self, model: Module, inputs: tuple, rows: Sequence[Row]):
        self.rows = tuple(rows)
        self._model = model
        self._inputs = inputs

    @property
    def parameters(self) -> int:
        """All numbers that are learnt, shared ones once."""
        return sum(parameter.numel() for parameter in self._model.parameters())

    @property
    def multiply_adds(self) -> int:
        """Of all convolutions and Linear layers, for the given batch."""
        return sum(row.multiply_adds for row in self.rows)

    @property
    def activation_bytes(self) -> int:
        """What a training step keeps of the layers' outputs."""
        return sum(row.activation_bytes for row in self.rows)

    def stack(self) -> list[dict[str, Any]]:
        """The rows for a page."""
        return [
            {
                **asdict(row),
                "layer": row.layer and {"rank": row.layer.rank, **asdict(row.layer)},
            }
            for row in self.rows
        ]

    def explain(self, name: str | None = None) -> Explanation:
        """The picture of convolution `name`, by default the first, with its own input.

        Raises KeyError if there is no such convolution.
        """
        calls = [row.name for row in self.rows if row.layer is not None]
        names = list(dict.fromkeys(calls))
        if name is None and names:
            name = names[0]
        if name not in names:
            there = ", ".join(one or repr(one) for one in names) or "none"
            raise KeyError(
                f"summary: there is no convolution {name!r}; there are: {there}."
            )
        layer = self._model.get_submodule(name)
        met: list[Tensor] = []
        handle = layer.register_forward_pre_hook(lambda _, given: met.append(given[0]))
        try:
            _run(self._model, self._inputs)
        finally:
            handle.remove()
        found = explain(layer, met[0].detach(), title=f"{name}: {Setting.of(layer)}")
        return Explanation(found.setting, found.arrays, self.stack(), found.title)

    def __str__(self) -> str:
        total = (
            *("total", "", "", ""),
            *_counts(self.parameters, self.multiply_adds),
            *(_size(self.activation_bytes), ""),
        )
        lines = [HEADINGS, *map(_texts, self.rows), total]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = ["  ".join(_aligned(line, widths)).rstrip() for line in lines]
        rule = "─" * max(map(len, table))
        return "\n".join([table[0], rule, *table[1:-1], rule, table[-1]])

    __repr__ = __str__


def summary(model: Module, input: Any) -> Summary:
    """What each layer of `model` does with `input`, found by running it once.

    input: a tensor, or a tuple of the tensors that the model takes

    The model runs in eval mode and is left as it was. A multiply-add is one product of
    a convolution's or Linear layer's sum: a transposed convolution has one for each
    input cell and weight, not for each output cell.

    Raises TypeError if there is no model or no tensor; what the model raises passes.

    >>> from atrous import nn, ones
    >>> print(summary(nn.Sequential(nn.Conv1d(1, 2, 3), nn.ReLU()), ones(1, 1, 8)))
    layer  type    input      output     parameters  multiply-adds  memory  field
    ─────────────────────────────────────────────────────────────────────────────
    0      Conv1d  (1, 1, 8)  (1, 2, 6)           8             36    48 B      3
    1      ReLU    (1, 2, 6)  (1, 2, 6)           0              0    48 B      3
    ─────────────────────────────────────────────────────────────────────────────
    total                                         8             36    96 B
    """
    if not isinstance(model, Module):
        raise TypeError(f"summary: model is a Module, not {type(model).__name__}.")
    inputs = input if isinstance(input, tuple) else (input,)
    for value in inputs:
        if not isinstance(value, Tensor):
            raise TypeError(
                "summary: input is a tensor or a tuple of tensors, not"
                f" {type(value).__name__}."
            )
    rows: list[Row] = []
    fields = Fields()
    counted: set[int] = set()

    def met(name: str, module: Module, given: tuple, output: Any) -> None:
        tensors = [value for value in given if isinstance(value, Tensor)]
        result = _first_tensor(output)
        if not tensors or result is None:
            return
        field = after(module, fields.of(tensors[0]), tensors[0], result)
        fields.put(result, field)
        new = {id(p): p.numel() for p in module.parameters() if id(p) not in counted}
        counted.update(new)
        rows.append(_row(name, module, tensors[0], result, sum(new.values()), field))

    handles = [
        module.register_forward_hook(
            lambda module, given, output, name=name: met(name, module, given, output)
        )
        for name, module in _leaves(model, "")
    ]
    try:
        with enable_grad():
            _run(model, tuple(_tracked(value, fields) for value in inputs))
    finally:
        for handle in handles:
            handle.remove()
    return Summary(model, inputs, rows)


def _run(model: Module, inputs: tuple) -> None:
    """Call the model in eval mode, and give each module its own mode back."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        model(*inputs)
    finally:
        for module, training in modes:
            module.training = training


def _tracked(value: Tensor, fields: Fields) -> Tensor:
    """The value as the start of a graph, its field known."""
    if value.dtype.is_floating_point:
        value = value.detach().requires_grad_().clone()
    fields.put(value, Field.start(max(value.dim() - 2, 0)))
    return value


def _leaves(module: Module, name: str) -> Iterator[tuple[str, Module]]:
    """The modules that compute: those without children, and every convolution."""
    children = list(module.named_children())
    if not children or isinstance(module, _ConvNd | Linear):
        yield name, module
        return
    for child, part in children:
        yield from _leaves(part, f"{name}.{child}" if name else child)


def _first_tensor(output: Any) -> Tensor | None:
    """The output, or the first tensor of several."""
    values = output if isinstance(output, tuple | list) else (output,)
    return next((value for value in values if isinstance(value, Tensor)), None)


def _row(
    name: str,
    module: Module,
    input: Tensor,
    output: Tensor,
    parameters: int,
    field: Field | None,
) -> Row:
    """The row of one call."""
    shared = input.data_ptr() == output.data_ptr()
    return Row(
        name=name,
        type=type(module).__name__,
        input=tuple(input.shape),
        output=tuple(output.shape),
        parameters=parameters,
        multiply_adds=_multiply_adds(module, input, output),
        activation_bytes=0 if shared else output.numel() * output.element_size(),
        receptive_field=tuple(field.cells) if field and field.axes else None,
        layer=Setting.of(module) if isinstance(module, _ConvNd) else None,
    )


def _multiply_adds(module: Module, input: Tensor, output: Tensor) -> int:
    """Products of a convolution or a Linear layer; those with its border count too."""
    if isinstance(module, Linear):
        return output.numel() * module.in_features
    if not isinstance(module, _ConvNd):
        return 0
    taps = math.prod(module.kernel_size)
    if module.transposed:
        return input.numel() * (module.out_channels // module.groups) * taps
    return output.numel() * (module.in_channels // module.groups) * taps


def _texts(row: Row) -> tuple[str, ...]:
    """A row's cells."""
    return (
        *(row.name, row.type, str(row.input), str(row.output)),
        *_counts(row.parameters, row.multiply_adds),
        _size(row.activation_bytes),
        " × ".join(map(str, row.receptive_field)) if row.receptive_field else "–",
    )


def _counts(*numbers: int) -> list[str]:
    return [f"{number:,}" for number in numbers]


def _size(count: int) -> str:
    """A number of bytes.

    >>> _size(96), _size(7_340_032)
    ('96 B', '7.3 MB')
    """
    power = 0
    while count >= 1000 ** (power + 1) and power < len(UNITS) - 1:
        power += 1
    value = count / 1000**power
    return f"{value:.1f} {UNITS[power]}" if power else f"{count} B"


def _aligned(texts: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """The cells of a line, words at the left and numbers at the right."""
    for column, (text, width) in enumerate(zip(texts, widths, strict=True)):
        yield text.ljust(width) if column < LEFT_ALIGNED else text.rjust(width)
