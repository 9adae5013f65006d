"""What an elementwise operation is made of: its expression, dtype rule and formula.

`unary` and `binary` make the public function: broadcasting and promotion are torch's;
`f_` and `out=` are derived. The families are `mathematics`, `arithmetic`, `comparison`
`limits` and `choice`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .. import compiler, dtypes
from ..autograd import link, needs_recording, record
from ..autograd.modes import modes
from ..compiler.quiet import quiet
from ..dtypes import dtype
from ..tensor import Tensor
from .arguments import check_tensor
from .operands import PLAIN, evaluate, form, result_type, with_out
from .rounding import HALF, rounded_once

X, Y, Z = (("operand", i) for i in range(3))


def real(kind: dtype) -> dtype:
    """The dtype of a function of real numbers: integers become the default dtype."""
    return kind if kind.is_floating_point else dtypes.get_default_dtype()


def unary(name, expression, gradient=None, saves="x", dtype_rule=None, node=None):
    """An operation of one tensor.

    `gradient(g, v)` is the formula, with v the input (saves "x"), the result ("y") or
    None (""); `dtype_rule` maps the input's dtype to the result's.
    """
    node = node or f"{name.title().replace('_', '')}Backward0"
    known: dict[tuple, Few | None] = {}
    of_half = rounded_once(gradient) if gradient else None

    def computed(input: Tensor) -> Tensor:
        check_tensor(name, "input", input)
        kind = dtype_rule(input.dtype) if dtype_rule else input.dtype
        common = kind if kind.is_floating_point else None
        key = input.dtype, dtypes.default
        if key not in known:
            known[key] = few(expression, (input,), common, kind)
        return evaluate(expression, (input,), common, kind)

    def operation(input: Tensor) -> Tensor:
        alone = isinstance(input, Tensor) and known.get((input.dtype, dtypes.default))
        if alone and 0 < input._array.size < compiler.SMALL and input._array.ndim:
            out = Tensor._of(quiet.run(alone.function, input._array), alone.kind)
        else:
            out = computed(input)
        if gradient is None or not needs_recording((input,)):
            return out
        slope = of_half if out.dtype in HALF else gradient
        if not saves:
            return record(out, node, (input,), lambda g: (slope(g, None),))
        saved = (input if saves == "x" else out,)
        return record(out, node, (input,), lambda g, v: (slope(g, v),), saved)

    operation.__name__ = operation.__qualname__ = name
    operation.__doc__ = f"`{name}` of each element; any shape, the same shape back."
    return with_out(operation)


class Few(NamedTuple):
    """A function of NumPy's that is an operation, where there are few elements."""

    function: Callable
    kind: dtype  # of the result


def few(expression, operands, common: dtype | None, kind: dtype) -> Few | None:
    """What computes few elements of tensors of these dtypes, if they all have the same
    shape, and are more than a number; None if it is more than one function."""
    kinds = tuple([each.dtype for each in operands])
    function = compiler.function_of(*form(expression, kinds, common, kind))
    return None if function is None else Few(function, kind)


def alike(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays have one shape, some axes, and few elements."""
    shape = a.shape
    return shape == b.shape and bool(shape) and 0 < a.size < compiler.SMALL


def boolean(_: dtype) -> dtype:
    return dtypes.bool_


OPERANDS = (Tensor, bool, int, float, np.generic, np.ndarray)


def as_operand(value):
    """A tensor or a plain number; NumPy numbers are taken as Python's."""
    if isinstance(value, (Tensor, bool, int, float)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return Tensor._sharing(value)
    return NotImplemented


def checked_operands(name: str, *values, numbers: str = "either"):
    """The operands, checked; which may be a number: either, second, neither."""
    if isinstance(values[0], Tensor):
        plain = numbers != "neither" and type(values[1]) in PLAIN
        if plain or isinstance(values[1], Tensor):
            return values
    checked = tuple(map(as_operand, values))
    tensors = [isinstance(each, Tensor) for each in checked]
    wrong = NotImplemented in [each for each in checked if not isinstance(each, Tensor)]
    if numbers == "neither":
        wrong = wrong or not all(tensors)
    elif numbers == "second":
        wrong = wrong or not tensors[0]
    if wrong or not any(tensors):
        given = ", ".join(type(each).__name__ for each in values)
        takes = {
            "either": "(Tensor, Tensor), (Tensor, Number) or (Number, Tensor)",
            "second": "(Tensor, Tensor) or (Tensor, Number)",
            "neither": "(Tensor, Tensor)",
        }[numbers]
        raise TypeError(f"{name}(): takes {takes}, not ({given})")
    return checked


def _wanted(operand) -> bool:
    if not isinstance(operand, Tensor):
        return False
    return operand._requires if operand._base is None else operand.requires_grad


NOTHING = ((), ())


def binary(
    name,
    expression,
    gradient=None,
    reads=((0, 1), (0, 1)),
    rule=None,
    node=None,
    numbers="either",
):
    """An operation of two operands; `numbers` says which of them may be a number.

    `gradient(g, a, b)` gives a thunk an operand; `reads` says which operands each of
    them reads: what no wanted gradient reads is not kept, and arrives as None. `rule`
    maps the common dtype to the result's.
    """
    node = node or f"{name.title().replace('_', '')}Backward0"
    keeps = {
        wanted: [any(wanted[k] and i in reads[k] for k in (0, 1)) for i in (0, 1)]
        for wanted in ((True, True), (True, False), (False, True))
    }

    known: dict[tuple, Few | None] = {}

    def computed(operands) -> Tensor:
        common = result_type(*operands)
        kind = rule(common) if rule else common
        meet = kind if kind.is_floating_point else common
        if all(isinstance(each, Tensor) and each._form.ndim for each in operands):
            key = operands[0].dtype, operands[1].dtype, dtypes.default
            if key not in known:
                known[key] = few(expression, operands, meet, kind)
        return evaluate(expression, operands, meet, kind)

    def operation(input, other) -> Tensor:
        operands = input, other
        both = isinstance(input, Tensor) and isinstance(other, Tensor)
        both = both and input._pending is other._pending is None
        pair = both and known.get((input.dtype, other.dtype, dtypes.default))
        if pair and alike(input._array, other._array):
            values = quiet.run(pair.function, input._array, other._array)
            out = Tensor._of(values, pair.kind)
        else:
            operands = checked_operands(name, input, other, numbers=numbers)
            out = computed(operands)
        if gradient is None or not modes.recording:
            return out
        wanted = _wanted(operands[0]), _wanted(operands[1])
        if wanted == (False, False):
            return out
        kept = keeps[wanted]
        saved = [each for each, keep in zip(operands, kept, strict=True) if keep]

        def formula(g, *values):
            left = iter(values)
            return gradient(g, *(next(left) if keep else None for keep in kept))

        link(out, node, operands, formula, saved)
        return out

    operation.__name__ = operation.__qualname__ = name
    operation.__doc__ = f"`{name}` of each pair of elements, broadcast."
    return with_out(operation)


def zeros_like(tensor: Tensor) -> Tensor:
    return Tensor._of(np.zeros(tensor._array.shape, tensor._array.dtype), tensor.dtype)
