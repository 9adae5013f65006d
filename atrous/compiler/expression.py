"""Expressions: nested tuples of names, typed once and cut into a straight program.

    ("mul", ("in", 0), ("add", ("scalar", 0), ("const", 1)))

Leaves are ("in", i), an array; ("scalar", i), a number known at the call; and
("const", value), a number known to the kernel. Scalars and constants are *weak*: they
take the dtype of what they meet, as Python numbers do in torch; a float that meets
integers makes float32. Everything else promotes as torch does. ("cast", dtype, e)
converts. Half types are computed in float32 and rounded where they are stored or cast.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

#: The dtypes that memory may hold, in the order of their width within a kind.
SIGNED = ("int8", "int16", "int32", "int64")
HALF = ("float16", "bfloat16")
FLOATING = (*HALF, "float32", "float64")
DTYPES = ("bool", "uint8", *SIGNED, *FLOATING)

SIZES = {
    "bool": 1,
    "uint8": 1,
    "int8": 1,
    "int16": 2,
    "int32": 4,
    "int64": 8,
    "float16": 2,
    "bfloat16": 2,
    "float32": 4,
    "float64": 8,
}

#: Operations that keep the dtype of their operand.
KEEP = {"neg", "abs", "sign", "relu", "square", "ceil", "floor", "round", "trunc"}
#: Operations that exist for floating dtypes alone; integers become float32.
REAL = {
    *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p"),
    *("sqrt", "rsqrt", "reciprocal", "sigmoid", "erf", "erfc"),
    *("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh"),
    *("div", "atan2"),
}
COMPARISONS = {"eq", "ne", "lt", "le", "gt", "ge"}
BINARY = {
    *("add", "sub", "mul", "floordiv", "mod", "fmod", "pow", "minimum", "maximum"),
}
ARITY = {
    **dict.fromkeys(KEEP | REAL | {"isnan", "not"}, 1),
    **dict.fromkeys(COMPARISONS | BINARY | {"and", "or", "xor", "div", "atan2"}, 2),
    **dict.fromkeys(("where", "fma"), 3),
}

WEAK = ("weak bool", "weak int", "weak float")


@dataclass(frozen=True)
class Node:
    """One value of a program: an operation on earlier values, or a leaf.

    `value` is the index of an input or of a scalar, or the number of a constant.
    """

    op: str
    dtype: str
    operands: tuple[int, ...] = ()
    value: object = None


@dataclass(frozen=True)
class Program:
    """Nodes in order of computation, and which of them are the results."""

    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]

    def result_dtypes(self) -> tuple[str, ...]:
        return tuple(self.nodes[i].dtype for i in self.outputs)

    def uses(self) -> frozenset[str]:
        return frozenset(node.op for node in self.nodes)


def register(dtype: str) -> str:
    """The dtype in which values of `dtype` are computed: float32 for half types."""
    return "float32" if dtype in HALF else dtype


def storage(dtype: str) -> np.dtype:
    """The NumPy dtype that stores `dtype`: bfloat16 lies in uint16."""
    return np.dtype("uint16" if dtype == "bfloat16" else dtype)


def is_floating(dtype: str) -> bool:
    return dtype in FLOATING or dtype == "weak float"


def weak_kind(value: object) -> str:
    """How a Python or NumPy number takes part in promotion."""
    if isinstance(value, (bool, np.bool_)):
        return "weak bool"
    return "weak int" if isinstance(value, (int, np.integer)) else "weak float"


@cache
def promote(a: str, b: str) -> str:
    """The dtype of two operands together, by torch's rules."""
    if a == b:
        return a
    if a in WEAK and b in WEAK:
        return max(a, b, key=WEAK.index)
    if a in WEAK:
        a, b = b, a
    if b in WEAK:
        if is_floating(a) or b == "weak bool":
            return a
        if b == "weak float":
            return "float32"
        return "int64" if a == "bool" else a
    if is_floating(a) or is_floating(b):
        reals = [d for d in (a, b) if is_floating(d)]
        if set(reals) == set(HALF):
            return "float32"
        return max(reals, key=FLOATING.index)
    if "bool" in (a, b):
        return b if a == "bool" else a
    if "uint8" in (a, b):
        other = b if a == "uint8" else a
        return "int16" if other == "int8" else other
    return max(a, b, key=SIGNED.index)


def _settled(dtype: str) -> str:
    """What a weak number becomes where nothing else decides."""
    if dtype not in WEAK:
        return dtype
    return {"weak bool": "bool", "weak int": "int64"}.get(dtype, "float32")


class _Builder:
    """Turns expressions into nodes, sharing equal ones."""

    def __init__(self, dtypes: tuple[str, ...], kinds: tuple[str, ...]) -> None:
        self.dtypes, self.kinds = dtypes, kinds
        self.nodes: list[Node] = []
        self.index: dict[tuple[Node, str], int] = {}
        self.found: dict[int, str] = {}

    def add(self, node: Node) -> int:
        # 1, 1.0 and True are equal in Python, and 0.0 and -0.0: the text tells.
        key = (node, repr(node.value))
        if key not in self.index:
            self.index[key] = len(self.nodes)
            self.nodes.append(node)
        return self.index[key]

    def dtype(self, e: tuple) -> str:
        """The dtype of an expression, perhaps weak."""
        key = id(e)
        if key not in self.found:
            self.found[key] = self._dtype(e)
        return self.found[key]

    def _dtype(self, e: tuple) -> str:
        op = e[0]
        if op == "in":
            return self.dtypes[e[1]]
        if op == "scalar":
            return self.kinds[e[1]]
        if op == "const":
            return weak_kind(e[1])
        if op == "cast":
            return e[1]
        if op not in ARITY or len(e) != ARITY[op] + 1:
            raise ValueError(
                f"expression: no operation {op!r} of {len(e) - 1} operands"
            )
        if op in COMPARISONS or op == "isnan":
            return "bool"
        common = self.common(e)
        if op in REAL and not is_floating(common):
            return "float32"
        return common

    def common(self, e: tuple) -> str:
        """The dtype in which the operands meet."""
        operands = e[2:] if e[0] == "where" else e[1:]
        found = self.dtype(operands[0])
        for operand in operands[1:]:
            found = promote(found, self.dtype(operand))
        return found

    def build(self, e: tuple, wanted: str) -> int:
        """The node that computes `e` as `wanted`."""
        op = e[0]
        if op == "const":
            kind = float if is_floating(wanted) else bool if wanted == "bool" else int
            return self.add(Node("const", wanted, value=kind(e[1])))
        if op == "scalar":
            return self.add(Node("scalar", wanted, value=e[1]))
        own = _settled(self.dtype(e))
        if own in FLOATING and self.dtype(e) in WEAK and is_floating(wanted):
            own = wanted  # arithmetic among numbers happens where they are used
        return self.cast(self._operation(e, own), wanted)

    def _operation(self, e: tuple, own: str) -> int:
        op = e[0]
        if op == "in":
            return self.add(Node("in", own, value=e[1]))
        if op == "cast":
            return self.cast(self.build(e[2], _settled(self.dtype(e[2]))), e[1])
        if op == "where":
            operands = [self.build(e[1], "bool")]
            operands += [self.build(operand, own) for operand in e[2:]]
        else:
            meet = own
            if op in COMPARISONS or op == "isnan":
                meet = _settled(self.common(e))
            operands = [self.build(operand, meet) for operand in e[1:]]
        return self.add(Node(op, own, tuple(operands)))

    def cast(self, node: int, wanted: str) -> int:
        if self.nodes[node].dtype == wanted:
            return node
        return self.add(Node("cast", wanted, (node,)))


def typed(
    exprs: tuple[tuple, ...], dtypes: tuple[str, ...], kinds: tuple[str, ...]
) -> Program:
    """The program of several expressions over inputs of `dtypes`.

    `kinds` are the weak kinds of the scalars. Raises ValueError on an unknown name.
    """
    builder = _Builder(dtypes, kinds)
    outputs = [builder.build(e, _settled(builder.dtype(e))) for e in exprs]
    return Program(tuple(builder.nodes), tuple(outputs))
