"""The derivative of an expression is an expression: one definition serves every order.

`elementwise` computes an expression over operands in one pass, `totalled` its sum or
mean. The gradient with respect to an operand is again one `elementwise`: the derivative
times what arrived.
"""

from __future__ import annotations

import math
from functools import lru_cache, partial

import numpy as np

from .. import compiler
from ..autograd import needs_recording, record
from ..dtypes import dtype
from ..tensor import Tensor
from .elementwise import zeros_like
from .operands import broadcast_shapes, evaluate, lowered, stored

ZERO, ONE = ("const", 0), ("const", 1)


def add(a, b):
    """a + b, written shorter where one is zero."""
    if a == ZERO:
        return b
    return a if b == ZERO else ("add", a, b)


def sub(a, b):
    """a - b, written shorter where one is zero."""
    if b == ZERO:
        return a
    return ("neg", b) if a == ZERO else ("sub", a, b)


def mul(a, b):
    """a · b, written shorter where one is a zero or a one."""
    if ZERO in (a, b):
        return ZERO
    if a == ONE:
        return b
    return a if b == ONE else ("mul", a, b)


def _choice(condition, a, b):
    return a if a == b else ("where", condition, a, b)


# d/dx of f(x), given the expressions of f(x) and x.
_CHAIN = {
    "neg": lambda f, x: ("const", -1),
    "abs": lambda f, x: ("sign", x),
    "square": lambda f, x: ("mul", ("const", 2), x),
    "sqrt": lambda f, x: ("div", ("const", 0.5), f),
    "rsqrt": lambda f, x: ("mul", ("const", -0.5), ("mul", f, ("mul", f, f))),
    "reciprocal": lambda f, x: ("neg", ("mul", f, f)),
    "exp": lambda f, x: f,
    "expm1": lambda f, x: ("exp", x),
    "log": lambda f, x: ("div", ONE, x),
    "log1p": lambda f, x: ("div", ONE, ("add", x, ONE)),
    "tanh": lambda f, x: ("sub", ONE, ("mul", f, f)),
    "sigmoid": lambda f, x: ("mul", f, ("sub", ONE, f)),
    "erf": lambda f, x: (
        *("mul", ("const", 2 / math.sqrt(math.pi))),
        ("exp", ("neg", ("mul", x, x))),
    ),
    "relu": lambda f, x: ("where", ("le", x, ZERO), ZERO, ONE),
}
_FLAT = {"sign", "floor", "ceil", "round", "trunc", "isnan", "not", "and", "or", "xor"}
_FLAT |= {"eq", "ne", "lt", "le", "gt", "ge"}


@lru_cache(maxsize=4096)
def derivative(e: tuple, index: int) -> tuple:
    """The derivative of `e` with respect to ("operand", index), as an expression.

    A choice (`where`) is differentiated branch by branch, its condition never.
    """
    name, *parts = e
    if name == "operand":
        return ONE if parts[0] == index else ZERO
    if name == "const" or name in _FLAT:
        return ZERO
    if name == "cast":
        inner = derivative(parts[1], index)
        return inner if inner[0] == "const" else ("cast", parts[0], inner)
    if name == "where":
        return _choice(parts[0], *(derivative(part, index) for part in parts[1:]))
    slopes = [derivative(part, index) for part in parts]
    if name in _CHAIN:
        if slopes[0] == ZERO:
            return ZERO
        outer = _CHAIN[name](e, parts[0])
        return ("neg", slopes[0]) if name == "neg" else mul(slopes[0], outer)
    return _of_two(name, parts, slopes, e)


def _of_two(name: str, parts: list, slopes: list, e: tuple) -> tuple:
    (a, b), (da, db) = parts, slopes
    if name == "add":
        return add(da, db)
    if name == "sub":
        return sub(da, db)
    if name == "mul":
        return add(mul(da, b), mul(a, db))
    if name == "div":
        first = ZERO if da == ZERO else ("div", da, b)
        return sub(first, ZERO if db == ZERO else ("div", mul(e, db), b))
    if name in ("minimum", "maximum"):
        before = "lt" if name == "minimum" else "gt"
        return _choice((before, a, b), da, db)
    if name == "pow" and db == ZERO:
        slope = ("mul", b, ("pow", a, ("sub", b, ONE)))
        return mul(da, slope)
    raise NotImplementedError(f"derivative: no rule for {name!r}")


def elementwise(
    node: str, expression: tuple, operands: tuple, kind: dtype, wanted=None, slopes=None
) -> Tensor:
    """The expression of the operands (tensors and numbers), broadcast; differentiable.

    `kind` is the dtype of the result, in which the operands meet. `node` names the
    recorded operation. `wanted`: the operands that have a gradient (default: all).
    `slopes`: derivatives by operand, where the mechanical form is not wanted.
    """
    out = evaluate(expression, operands, kind, kind)
    return _recorded(out, node, expression, operands, wanted, slopes)


def totalled(
    node: str,
    expression: tuple,
    operands: tuple,
    kind: dtype,
    reduction: str,
    slopes=None,
) -> Tensor:
    """As `elementwise`, then its "sum" or "mean" (or "none" of them), in one pass."""
    if reduction == "none":
        return elementwise(node, expression, operands, kind, slopes=slopes)
    arrays = [each._array for each in operands if isinstance(each, Tensor)]
    kinds = tuple(each.dtype if isinstance(each, Tensor) else None for each in operands)
    shape = broadcast_shapes(*(array.shape for array in arrays))
    count = math.prod(shape) if reduction == "mean" else 1
    wide = kind.compute.name
    total = compiler.reduce(
        "sum",
        ("cast", wide, lowered(expression, kinds, kind)),
        *arrays,
        axes=tuple(range(len(shape))),
        scalars=tuple(each for each in operands if not isinstance(each, Tensor)),
        dtypes=tuple(each.name for each in kinds if each is not None),
        dtype=wide,
    )
    with np.errstate(invalid="ignore"):
        out = Tensor._of(
            stored(np.asarray(total / kind.compute.type(count)), kind), kind
        )
    return _recorded(out, node, expression, operands, None, slopes, shape, count)


def _recorded(
    out, node, expression, operands, wanted, slopes, shape=None, count=1
) -> Tensor:
    """Note how `out` came to be; `count` values of `shape` were averaged, or none."""
    places = tuple(i for i, each in enumerate(operands) if isinstance(each, Tensor))
    targets = [i for i in places if wanted is None or i in wanted]
    inputs = [operands[i] for i in targets]
    if not needs_recording(inputs):
        return out
    # The numbers only: tensors are the node's to keep, and to free.
    numbers = [None if i in places else each for i, each in enumerate(operands)]
    again = node.replace("Backward0", "BackwardBackward0")
    slopes = slopes or {}

    def formula(g, *saved):
        read = list(numbers)
        for i, each in zip(places, saved, strict=True):
            read[i] = each
        if shape is not None:
            g = (g if count == 1 else g / count).expand(shape)
        return tuple(
            partial(_slope, again, slopes.get(i), expression, tuple(read), i, g)
            for i in targets
        )

    return record(out, node, inputs, formula, tuple(operands[i] for i in places))


def _slope(node: str, slope, expression: tuple, operands: tuple, index: int, g: Tensor):
    """g · the derivative of the expression with respect to one operand."""
    slope = slope or derivative(expression, index)
    if slope == ZERO:
        return zeros_like(operands[index])
    if slope == ONE:
        return g
    product = _times(("operand", len(operands)), slope)
    return elementwise(node, product, (*operands, g), g.dtype)


def _times(g: tuple, slope: tuple) -> tuple:
    """g · slope; a branch of zero or one costs no product, and 0 · inf makes no NaN."""
    if slope[0] == "where":
        return ("where", slope[1], _times(g, slope[2]), _times(g, slope[3]))
    if slope[0] == "neg":
        return ("neg", _times(g, slope[1]))
    return mul(g, slope)
