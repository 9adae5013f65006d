"""A typed program as instructions on vectors: what all element-wise schedules share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..elementary import absolute, function, with_sign
from ..emit import Emitter, Value
from ..expression import HALF, SIZES, Node, Program, register
from ..target import Target

# ------------------------------------------------------------------ dtypes in registers


def kept(dtype: str) -> str:
    """The emitter's name of `dtype` in a register: bool is a truth."""
    return "truth" if dtype == "bool" else register(dtype)


def stored(dtype: str) -> str:
    """The emitter's name of `dtype` in memory: bfloat16 is handled as bits."""
    return "uint16" if dtype == "bfloat16" else dtype


def widened(e: Emitter, value: Value, dtype: str) -> Value:
    """A value as it lies in memory -> as it is computed with."""
    if dtype == "bfloat16":
        return e.bitcast(e.cast(value, "uint32") << 16, "float32")
    if dtype == "bool":
        return e.compare("!=", value, 0)
    if dtype == "float16" and _lacks_half(e.target):
        return _from_half(e, value)
    return e.cast(value, kept(dtype))


def narrowed(e: Emitter, value: Value, dtype: str) -> Value:
    """A computed value -> as it lies in memory; rounds to nearest, ties to even."""
    if dtype == "bfloat16":
        bits = e.bitcast(value, "uint32")
        rounded = bits + (((bits >> 16) & 1) + 0x7FFF)
        nan = e.constant(0x7FC00000, bits.type)
        rounded = e.select(e.compare("!=", value, value), nan, rounded)
        return e.cast(rounded >> 16, "uint16")
    if dtype == "float16" and _lacks_half(e.target):
        return _to_half(e, value)
    return e.cast(value, stored(dtype))


def _lacks_half(target: Target) -> bool:
    """Whether float16 is foreign to the processor: LLVM would call a library."""
    return target.triple.startswith("x86_64") and target.vector_bytes < 32


def _from_half(e: Emitter, value: Value) -> Value:
    """float16 -> float32 by integers; the factor 2^112 mends the exponent's bias."""
    bits = e.cast(e.bitcast(value, "uint16"), "uint32")
    size = (bits & 0x7FFF) << 13
    scaled = e.bitcast(e.bitcast(size, "float32") * 2.0**112, "uint32")
    infinite = size >= 0x7C00 << 13
    scaled = e.select(infinite, size | 0x7F800000, scaled)
    return e.bitcast(scaled | ((bits & 0x8000) << 16), "float32")


def _to_half(e: Emitter, value: Value) -> Value:
    """float32 -> float16 by integers, to nearest even.

    Adding ½ aligns the bits of what becomes denormal, and rounds them.
    """
    bits = e.bitcast(value, "uint32")
    size = bits & 0x7FFFFFFF
    tiny = e.bitcast(e.bitcast(size, "float32") + 0.5, "uint32") - 0x3F000000
    normal = (size - (112 << 23) + (((size >> 13) & 1) + 0xFFF)) >> 13
    result = e.select(size < 113 << 23, tiny, normal)
    result = e.select(size >= 0x477FF000, e.constant(0x7C00, size.type), result)
    result = e.select(size > 0x7F800000, e.constant(0x7E00, size.type), result)
    return e.bitcast(e.cast(result | ((bits >> 16) & 0x8000), "uint16"), "float16")


def width(program: Program, target: Target, *extra: str) -> int:
    """Lanes in which a program runs: its widest dtype fills a register.

    Half types are computed in float32, so they count as that; values that are only
    moved may be as narrow as a byte.
    """
    counted = [node for node in program.nodes if node.op != "const"] or program.nodes
    dtypes = [register(node.dtype) for node in counted]
    if len(program.nodes) == 1:  # a copy
        dtypes = [stored(program.nodes[0].dtype)]
    sizes = [SIZES.get(dtype, 2) for dtype in (*dtypes, *extra)]
    return target.lanes(max(sizes))


def has_masks(target: Target, dtypes: Sequence[str]) -> bool:
    """Whether the target loads and stores under a mask without branches."""
    if target.vector_bytes >= 64:
        return True
    return target.vector_bytes == 32 and all(SIZES[d] >= 4 for d in dtypes)


# ------------------------------------------------------------------ conversions


def convert(e: Emitter, value: Value, source: str, to: str) -> Value:
    """Cast between dtypes as C does; half types are rounded to and widened again."""
    if to in HALF:
        value = convert(e, value, source, "float32")
        return widened(e, narrowed(e, value, to), to)
    wanted = kept(to)
    if value.type.floating and to in ("uint8", "int8", "int16"):
        value = e.cast(value, "int32")
    return e.cast(value, wanted)


# ------------------------------------------------------------------ integers


def _divided(e: Emitter, a: Value, b: Value) -> tuple[Value, Value]:
    """Quotient truncated and remainder; 0 and 0 for a zero divisor. Never traps.

    Processors trap on x / 0 and on the least integer / -1: neither is ever asked.
    """
    zero = e.compare("==", b, 0)
    safe = e.select(zero, e.constant(1, b.type), b)
    if b.type.signed:
        minus = e.compare("==", b, -1)
        safe = e.select(minus, e.constant(1, b.type), safe)
        quotient = e.binary("div", a, safe)
        quotient = e.select(minus, -quotient, quotient)
    else:
        quotient = e.binary("div", a, safe)
    quotient = e.select(zero, e.constant(0, a.type), quotient)
    rest = a - quotient * b
    return quotient, e.select(zero, e.constant(0, a.type), rest)


def _floor_needed(e: Emitter, rest: Value, b: Value) -> Value:
    """Whether truncation and floor differ: a remainder of the other sign."""
    return e.compare("!=", rest, 0) & e.compare("!=", rest < 0, b < 0)


def _integer_floordiv(e: Emitter, a: Value, b: Value) -> Value:
    quotient, rest = _divided(e, a, b)
    if not a.type.signed:
        return quotient
    return e.select(_floor_needed(e, rest, b), quotient - 1, quotient)


def _integer_mod(e: Emitter, a: Value, b: Value) -> Value:
    _, rest = _divided(e, a, b)
    if not a.type.signed:
        return rest
    return e.select(_floor_needed(e, rest, b), rest + b, rest)


def _integer_power(e: Emitter, a: Value, b: Value) -> Value:
    """Square and multiply; a negative power leaves 1, -1 or 0."""
    one, zero = e.constant(1, a.type), e.constant(0, a.type)
    bits = a.type.itemsize * 8
    with e.loop("bit", bits, carry=[one, a, b]) as loop:
        total, base, power = loop.carry
        odd = e.compare("!=", power & 1, 0)
        unsigned = Value(e, power.text, power.type.of(f"uint{bits}"))
        shifted = unsigned >> 1
        loop.carry = [
            e.select(odd, total * base, total),
            base * base,
            Value(e, shifted.text, power.type),
        ]
    total = loop.carry[0]
    if not a.type.signed:
        return total
    sign = e.select(e.compare("!=", b & 1, 0), e.constant(-1, a.type), one)
    inverse = e.select(e.compare("==", a, 1), one, zero)
    inverse = e.select(e.compare("==", a, -1), sign, inverse)
    return e.select(b < 0, inverse, total)


# ------------------------------------------------------------------ floats


def _float_fmod(e: Emitter, a: Value, b: Value) -> Value:
    return e.binary("rem", a, b)


def _float_mod(e: Emitter, a: Value, b: Value) -> Value:
    """The remainder with the divisor's sign, as Python's."""
    rest = e.binary("rem", a, b)
    return e.select(_other_sign(e, rest, b), rest + b, rest)


def _other_sign(e: Emitter, rest: Value, b: Value) -> Value:
    return e.compare("!=", rest, 0.0) & e.compare("!=", rest < 0.0, b < 0.0)


def _float_floordiv(e: Emitter, a: Value, b: Value) -> Value:
    """The quotient of which a - q·b is Python's remainder; a/b where b is 0."""
    rest = e.binary("rem", a, b)
    quotient = (a - rest) / b
    quotient = e.select(_other_sign(e, rest, b), quotient - 1.0, quotient)
    whole = e.intrinsic("floor", quotient)
    whole = e.select(quotient - whole > 0.5, whole + 1.0, whole)
    plain = a / b
    whole = e.select(
        e.compare("==", quotient, 0.0), with_sign(e, e.zero(a.type), plain), whole
    )
    return e.select(e.compare("==", b, 0.0), plain, whole)


def _either(integer: Callable, floating: Callable) -> Callable:
    def apply(e: Emitter, *values: Value) -> Value:
        return (floating if values[0].type.floating else integer)(e, *values)

    return apply


def _arithmetic(name: str, truth: str) -> Callable:
    """add, sub, mul; on truths they are or, xor, and."""

    def apply(e: Emitter, a: Value, b: Value) -> Value:
        return e.binary(truth if a.type.name == "truth" else name, a, b)

    return apply


def _extreme(name: str, truth: str) -> Callable:
    """minimum and maximum, NaN if either is."""

    def apply(e: Emitter, a: Value, b: Value) -> Value:
        if a.type.name == "truth":
            return e.binary(truth, a, b)
        return e.minimum(a, b) if name == "minimum" else e.maximum(a, b)

    return apply


def _absolute(e: Emitter, x: Value) -> Value:
    if x.type.floating:
        return absolute(e, x)
    return e.select(x < 0, -x, x) if x.type.signed else x


def _sign(e: Emitter, x: Value) -> Value:
    if x.type.name == "truth":
        return x
    one, zero = e.constant(1, x.type), e.zero(x.type)
    positive = e.select(x > 0, one, zero)
    if not (x.type.floating or x.type.signed):
        return positive
    return e.select(x < 0, e.constant(-1, x.type), positive)


def _relu(e: Emitter, x: Value) -> Value:
    """max(x, 0), and NaN stays."""
    if not (x.type.floating or x.type.signed):
        return x
    return e.select(x < 0, e.zero(x.type), x)


def _rounded(name: str) -> Callable:
    def apply(e: Emitter, x: Value) -> Value:
        return e.intrinsic(name, x) if x.type.floating else x

    return apply


def _reciprocal(e: Emitter, x: Value) -> Value:
    return e.constant(1.0, x.type) / x


def _power(e: Emitter, a: Value, b: Value) -> Value:
    if not a.type.floating:
        return _integer_power(e, a, b)
    return function("pow", a.type.name)(e, a, b)


def _compare(relation: str) -> Callable:
    return lambda e, a, b: e.compare(relation, a, b)


def _binary(name: str) -> Callable:
    return lambda e, a, b: e.binary(name, a, b)


OPERATIONS: dict[str, Callable] = {
    "neg": lambda e, x: -x,
    "abs": _absolute,
    "sign": _sign,
    "relu": _relu,
    "square": lambda e, x: x & x if x.type.name == "truth" else x * x,
    "ceil": _rounded("ceil"),
    "floor": _rounded("floor"),
    "round": _rounded("roundeven"),
    "trunc": _rounded("trunc"),
    "sqrt": lambda e, x: e.intrinsic("sqrt", x),
    "rsqrt": lambda e, x: _reciprocal(e, e.intrinsic("sqrt", x)),
    "reciprocal": _reciprocal,
    "isnan": lambda e, x: e.compare("!=", x, x),
    "not": lambda e, x: ~x,
    "add": _arithmetic("add", "or"),
    "sub": _arithmetic("sub", "xor"),
    "mul": _arithmetic("mul", "and"),
    "div": lambda e, a, b: a / b,
    "floordiv": _either(_integer_floordiv, _float_floordiv),
    "mod": _either(_integer_mod, _float_mod),
    "fmod": _either(lambda e, a, b: _divided(e, a, b)[1], _float_fmod),
    "pow": _power,
    "minimum": _extreme("minimum", "and"),
    "maximum": _extreme("maximum", "or"),
    "eq": _compare("=="),
    "ne": _compare("!="),
    "lt": _compare("<"),
    "le": _compare("<="),
    "gt": _compare(">"),
    "ge": _compare(">="),
    "and": _binary("and"),
    "or": _binary("or"),
    "xor": _binary("xor"),
    "where": lambda e, c, a, b: e.select(c, a, b),
    "fma": lambda e, a, b, c: a * b + c if not a.type.floating else e.fma(a, b, c),
}


def compute(
    e: Emitter,
    program: Program,
    inputs: Sequence[Value],
    scalars: dict[tuple[int, str], Value],
    lanes: int,
) -> list[Value]:
    """The program's results, in registers, from its inputs in registers."""
    values: list[Value] = []
    for node in program.nodes:
        values.append(_one(e, node, values, inputs, scalars, lanes, program))
    return [values[i] for i in program.outputs]


def _one(e, node: Node, values, inputs, scalars, lanes: int, program: Program) -> Value:
    if node.op == "in":
        return inputs[node.value]
    if node.op == "const":
        return e.constant(node.value, kept(node.dtype), lanes)
    if node.op == "scalar":
        return e.splat(scalars[node.value, kept(node.dtype)], lanes)
    operands = [values[i] for i in node.operands]
    if node.op == "cast":
        source = program.nodes[node.operands[0]].dtype
        return convert(e, operands[0], source, node.dtype)
    generate = OPERATIONS.get(node.op) or function(node.op, kept(node.dtype))
    return generate(e, *operands)


def scalar_slots(program: Program) -> tuple[tuple[int, str], ...]:
    """Which scalars, as which dtype, a program wants; in the order of its arguments."""
    found: dict[tuple[Any, str], None] = {}
    for node in program.nodes:
        if node.op == "scalar":
            found[node.value, kept(node.dtype)] = None
    return tuple(found)


def scalar_arguments(e: Emitter, program: Program, first: int) -> dict:
    """The scalars, read from the kernel's arguments from number `first` on."""
    values = {}
    for i, (index, dtype) in enumerate(scalar_slots(program)):
        if dtype == "truth":
            value = e.compare("!=", e.argument(first + i, f"scalar{index}"), 0)
        else:
            value = e.scalar(first + i, dtype, f"scalar{index}")
        values[index, dtype] = value
    return values
