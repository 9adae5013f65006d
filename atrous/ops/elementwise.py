"""What an elementwise operation is made of: its expression, dtype rule and formula.

`unary` and `binary` make the public function: broadcasting and promotion are torch's;
`f_` and `out=` are derived. The families are `mathematics`, `arithmetic`, `comparison`
`limits` and `choice`.
"""

from __future__ import annotations

import numpy as np

from .. import dtypes
from ..autograd import needs_recording, record
from ..autograd.modes import modes
from ..dtypes import dtype
from ..tensor import Tensor
from .arguments import check_tensor
from .operands import evaluate, result_type, with_out

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

    def operation(input: Tensor) -> Tensor:
        check_tensor(name, "input", input)
        kind = dtype_rule(input.dtype) if dtype_rule else input.dtype
        common = kind if kind.is_floating_point else None
        out = evaluate(expression, (input,), common, kind)
        if gradient is None or not needs_recording((input,)):
            return out
        if not saves:
            return record(out, node, (input,), lambda g: (gradient(g, None),))
        saved = (input if saves == "x" else out,)
        return record(out, node, (input,), lambda g, v: (gradient(g, v),), saved)

    operation.__name__ = operation.__qualname__ = name
    operation.__doc__ = f"`{name}` of each element; any shape, the same shape back."
    return with_out(operation)


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
    if isinstance(values[0], Tensor) and isinstance(values[1], Tensor):
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
    return isinstance(operand, Tensor) and operand.requires_grad


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

    def operation(input, other) -> Tensor:
        operands = checked_operands(name, input, other, numbers=numbers)
        common = result_type(*operands)
        kind = rule(common) if rule else common
        meet = kind if kind.is_floating_point else common
        out = evaluate(expression, operands, meet, kind)
        wanted = _wanted(operands[0]), _wanted(operands[1])
        if gradient is None or not modes.recording or wanted == (False, False):
            return out
        kept = keeps[wanted]
        saved = [each for each, keep in zip(operands, kept, strict=True) if keep]

        def formula(g, *values):
            left = iter(values)
            return gradient(g, *(next(left) if keep else None for keep in kept))

        return record(out, node, operands, formula, saved)

    operation.__name__ = operation.__qualname__ = name
    operation.__doc__ = f"`{name}` of each pair of elements, broadcast."
    return with_out(operation)


def zeros_like(tensor: Tensor) -> Tensor:
    return Tensor._of(np.zeros(tensor._array.shape, tensor._array.dtype), tensor.dtype)
