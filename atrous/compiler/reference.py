"""Every spec by its definition, in plain NumPy: the oracle and the documentation.

Small problems are computed here too: NumPy's call costs less than a kernel's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from .expression import HALF, Node, Program, register, storage, typed
from .quiet import quiet
from .spec import ConvSpec, border_index

# ------------------------------------------------------------------ half types


def widen_bfloat16(bits: np.ndarray) -> np.ndarray:
    """uint16 -> float32: bfloat16 is the upper half of a float32."""
    return (np.asarray(bits).astype(np.uint32) << np.uint32(16)).view(np.float32)


def narrow_bfloat16(values: np.ndarray) -> np.ndarray:
    """float32 -> uint16, rounded to nearest, ties to even; NaN stays NaN."""
    values = np.asarray(values, np.float32)
    bits = values.view(np.uint32)
    even = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    rounded = ((bits + even) >> np.uint32(16)).astype(np.uint16)
    return np.where(np.isnan(values), np.uint16(0x7FC0), rounded)


def load(array: np.ndarray, dtype: str) -> np.ndarray:
    """An array as it is computed with: half types become float32."""
    if dtype == "bfloat16":
        return widen_bfloat16(array)
    return array.astype(np.float32) if dtype == "float16" else array


def store(values: np.ndarray, dtype: str) -> np.ndarray:
    """Computed values as they are kept in memory."""
    if dtype == "bfloat16":
        return narrow_bfloat16(values)
    return np.asarray(values).astype(dtype, copy=False)


# ------------------------------------------------------------------ operations


def _elementwise(function: Callable[[float], float]) -> Callable:
    """A function of Python floats, applied to each element in double precision."""

    def apply(x: np.ndarray) -> np.ndarray:
        values = [function(float(v)) for v in np.asarray(x).reshape(-1)]
        return np.array(values, np.float64).astype(x.dtype).reshape(np.shape(x))

    return apply


def _integer_power(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Integers to integer powers, wrapping; a negative power leaves 1, -1 or 0."""
    inverse = np.where(a == 1, 1, np.where(a == -1, np.where(b & 1, -1, 1), 0))
    return np.where(b < 0, inverse, np.power(a, np.maximum(b, 0))).astype(a.dtype)


def _power(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return _integer_power(a, b) if np.asarray(a).dtype.kind in "iu" else np.power(a, b)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    one = np.asarray(x).dtype.type(1)
    return one / (one + np.exp(-x))


def _rounded(function: Callable) -> Callable:
    return lambda x: x if np.asarray(x).dtype.kind in "iub" else function(x)


def _negative(x: np.ndarray) -> np.ndarray:
    return np.negative(x)


def _sign(x: np.ndarray) -> np.ndarray:
    """-1, 0 or 1, and 0 for NaN, as in torch."""
    kind = np.asarray(x).dtype
    return (x > 0).astype(kind) - (x < 0).astype(kind)


OPERATIONS: dict[str, Callable] = {
    "neg": _negative,
    "abs": np.abs,
    "sign": _sign,
    "relu": lambda x: np.maximum(x, np.asarray(x).dtype.type(0)),
    "square": np.square,
    "ceil": _rounded(np.ceil),
    "floor": _rounded(np.floor),
    "round": _rounded(np.rint),
    "trunc": _rounded(np.trunc),
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: np.asarray(x).dtype.type(1) / np.sqrt(x),
    "reciprocal": lambda x: np.asarray(x).dtype.type(1) / x,
    "sigmoid": _sigmoid,
    "erf": _elementwise(math.erf),
    "erfc": _elementwise(math.erfc),
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "isnan": np.isnan,
    "not": np.invert,
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "floordiv": np.floor_divide,
    "mod": np.remainder,
    "fmod": np.fmod,
    "pow": _power,
    "minimum": np.minimum,
    "maximum": np.maximum,
    "atan2": np.arctan2,
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "where": np.where,
    "fma": lambda a, b, c: a * b + c,
}


def _convert(node: Node, source: str) -> Callable:
    """Cast a value of dtype `source`, rounding where the target is narrower."""
    to = register(node.dtype)

    def convert(x: np.ndarray) -> np.ndarray:
        if node.dtype in ("float16", "bfloat16"):
            return load(store(x, node.dtype), node.dtype)
        x = np.asarray(x)
        if x.dtype.kind == "f" and np.dtype(to).kind in "iu":
            return x.astype(np.int64).astype(to)
        return x.astype(to)

    return convert


@lru_cache(maxsize=4096)
def closure(program: Program) -> Callable:
    """A Python function of the program: (arrays, scalars) -> list of arrays.

    Written out as source once, one line a node, because a small problem's time is
    the interpreter's.
    """
    names: dict[str, Any] = {"asarray": np.asarray, "load": load, "store": store}
    lines = ["def evaluate(arrays, scalars):"]
    for i, node in enumerate(program.nodes):
        names[f"f{i}"], text = _line(i, node, program)
        lines.append(f"    v{i} = {text}")
    results = []
    for i in program.outputs:
        dtype = program.nodes[i].dtype
        half = register(dtype) != dtype
        results.append(f"store(v{i}, {dtype!r})" if half else f"asarray(v{i})")
    lines.append(f"    return [{', '.join(results)}]")
    exec("\n".join(lines), names)
    return names["evaluate"]


def function_of(program: Program) -> Callable | None:
    """The one function that a program is, applied to its inputs in order; None if it is
    more than one, or its inputs are not stored as they are computed with."""
    *inputs, last = program.nodes
    given = [(node.op, node.value) for node in inputs]
    plain = given == [("in", i) for i in range(len(inputs))]
    halves = any(register(node.dtype) != node.dtype for node in program.nodes)
    whole = last.operands == tuple(range(len(inputs))) and len(program.outputs) == 1
    return OPERATIONS.get(last.op) if plain and whole and not halves else None


def _line(i: int, node: Node, program: Program) -> tuple[object, str]:
    """What `f{i}` is, and the expression that computes node i with it."""
    if node.op == "in":
        if register(node.dtype) == node.dtype:
            return None, f"arrays[{node.value}]"
        return None, f"load(arrays[{node.value}], {node.dtype!r})"
    kind = np.dtype(register(node.dtype)).type
    if node.op == "scalar":
        return kind, f"f{i}(scalars[{node.value}])"
    if node.op == "const":
        return kind(node.value), f"f{i}"
    operands = ", ".join(f"v{k}" for k in node.operands)
    if node.op == "cast":
        source = program.nodes[node.operands[0]].dtype
        return _convert(node, source), f"f{i}({operands})"
    return OPERATIONS[node.op], f"f{i}({operands})"


def evaluate(
    program: Program, arrays: Sequence[np.ndarray], scalars: Sequence[object] = ()
) -> list[np.ndarray]:
    """The results of a program over arrays that broadcast together."""
    return quiet.run(quiet.run(closure, program), arrays, scalars)


def pointwise(
    exprs: tuple[tuple, ...],
    arrays: Sequence[np.ndarray],
    scalars: Sequence[object] = (),
    dtypes: tuple[str, ...] | None = None,
) -> list[np.ndarray]:
    """Each expression over each element, after broadcasting all arrays together."""
    from .expression import weak_kind

    names = dtypes or tuple(a.dtype.name for a in arrays)
    program = typed(exprs, names, tuple(weak_kind(s) for s in scalars))
    shape = np.broadcast_shapes(*(a.shape for a in arrays))
    results = evaluate(program, arrays, scalars)
    return [
        np.broadcast_to(r, shape).astype(storage(d)) if r.shape != shape else r
        for r, d in zip(results, program.result_dtypes(), strict=True)
    ]


# ------------------------------------------------------------------ convolution


def _padded(x: np.ndarray, spec: ConvSpec) -> np.ndarray:
    """x with its border, by the definition of each border mode."""
    for axis, (size, (before, after)) in enumerate(
        zip(spec.size, spec.padding, strict=True), 2
    ):
        index = border_index(size, before, after, spec.border)
        if size == 0:
            shape = (*x.shape[:axis], len(index), *x.shape[axis + 1 :])
            x = np.zeros(shape, x.dtype)
            continue
        inside = (index >= 0).reshape(-1, *[1] * (x.ndim - axis - 1))
        x = np.where(inside, np.take(x, np.maximum(index, 0), axis), 0)
    return x


def _folded(padded: np.ndarray, spec: ConvSpec) -> np.ndarray:
    """The transpose of `_padded`: each padded position back to where it was read."""
    for axis, (size, (before, after)) in enumerate(
        zip(spec.size, spec.padding, strict=True), 2
    ):
        index = border_index(size, before, after, spec.border)
        moved = np.moveaxis(padded, axis, 0)
        sums = np.zeros((size, *moved.shape[1:]))
        np.add.at(sums, index[index >= 0], moved[index >= 0])
        padded = np.moveaxis(sums, 0, axis)
    return padded


def convolve(spec: ConvSpec, x=None, w=None, y=None, bias=None) -> np.ndarray:
    """Solve T(x, w, y) = Σ x[n, i, s·o − p + d·k] · w[j, i, k] · y[n, j, o].

    One loop over the taps k and the groups, each a sum over channels; in float64,
    rounded once.
    """
    shapes, groups = spec.shapes, spec.groups
    inputs, outputs = spec.in_channels // groups, spec.out_channels // groups
    solved = np.zeros(shapes[spec.solves])
    if spec.solves == "x":
        padded = np.zeros(_padded(np.zeros(shapes["x"]), spec).shape)
    else:
        padded = _padded(np.asarray(x, np.float64), spec)
    w = solved if spec.solves == "w" else np.asarray(w, np.float64)
    y = solved if spec.solves == "y" else np.asarray(y, np.float64)
    for k in np.ndindex(spec.kernel):
        reads = tuple(
            slice(d * i, d * i + s * (n - 1) + 1, s) if n else slice(0)
            for i, d, s, n in zip(
                k, spec.dilation, spec.stride, spec.output_size, strict=True
            )
        )
        for g in range(groups):
            i = slice(g * inputs, (g + 1) * inputs)
            j = slice(g * outputs, (g + 1) * outputs)
            x_part, y_part = padded[(slice(None), i, *reads)], y[:, j]
            w_part = w[(j, slice(None), *k)]
            if spec.solves == "y":
                y_part += np.einsum("ni...,ji->nj...", x_part, w_part)
            elif spec.solves == "x":
                x_part += np.einsum("nj...,ji->ni...", y_part, w_part)
            else:
                axes = (0, *range(2, 2 + spec.rank))
                w_part += np.tensordot(y_part, x_part, (axes, axes))
    if spec.solves == "x":
        solved = _folded(padded, spec)
    if bias is not None:
        solved += np.asarray(bias, np.float64).reshape(-1, *[1] * spec.rank)
    if spec.activation == "relu":
        solved = np.where(solved < 0, 0, solved)
    return solved.astype(spec.dtype)


# ------------------------------------------------------------------ reductions


def sum_dtype(dtype: str) -> str:
    """The dtype of a sum or product: int64 of whole numbers, else its own."""
    return dtype if "float" in dtype else "int64"


def combine(name: str, values: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Combine over `axes`: sums in float64 or int64, the others in their own dtype.

    arg- forms give the flat index in the reduced axes; NaN is before all, else the
    first of equals is found. An empty min or max raises ValueError.
    """
    if name in ("sum", "prod"):
        wide = np.float64 if values.dtype.kind == "f" else np.int64
        step = np.add if name == "sum" else np.multiply
        return np.asarray(step.reduce(values, axis=axes, dtype=wide))
    if name in ("argmin", "argmax"):
        moved = np.moveaxis(values, axes, range(-len(axes), 0))
        outer = moved.shape[: moved.ndim - len(axes)]
        flat = moved.reshape(*outer, math.prod(moved.shape[len(outer) :]))
        return np.asarray(getattr(np, name)(flat, axis=-1))
    return np.asarray(getattr(np, name)(values, axis=axes))


def reduce(
    name: str,
    values: Sequence[np.ndarray],
    dtypes: Sequence[str],
    shape: tuple[int, ...],
    axes: tuple[int, ...],
    results: Sequence[str],
) -> list[np.ndarray]:
    """Values of `dtypes`, seen as `shape`, combined over `axes`, kept as `results`."""
    found = []
    for each, dtype, result in zip(values, dtypes, results, strict=True):
        if each.shape != shape:
            each = np.broadcast_to(each, shape)
        if dtype in HALF:
            each = load(each, dtype)
        found.append(store(combine(name, each, axes), result))
    return found


def mean_variance(
    values: np.ndarray, axes: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and biased variance, Σ (x - mean)² / n, in float64."""
    values = values.astype(np.float64)
    mean = values.mean(axis=axes, keepdims=True)
    variance = np.square(values - mean).mean(axis=axes)
    return mean.reshape(variance.shape), variance


# ------------------------------------------------------------------ softmax


def softmax(x: np.ndarray, axis: int, log: bool) -> np.ndarray:
    """exp(x) / Σ exp(x) along an axis, or its logarithm; shifted by the maximum."""
    if x.ndim == 0:
        return np.asarray(x - x if log else np.exp(x - x))
    with np.errstate(all="ignore"):
        top = x.max(axis=axis, keepdims=True) if x.size else x
        shifted = x - top
        total = np.exp(shifted).sum(axis=axis, keepdims=True)
        return shifted - np.log(total) if log else np.exp(shifted) / total


def softmax_gradient(
    grad: np.ndarray, result: np.ndarray, axis: int, log: bool
) -> np.ndarray:
    """g - exp(y) Σ g for the logarithm, else y (g - Σ g·y)."""
    if result.ndim == 0:
        return np.zeros_like(result)
    with np.errstate(all="ignore"):
        if log:
            return grad - np.exp(result) * grad.sum(axis=axis, keepdims=True)
        return result * (grad - (grad * result).sum(axis=axis, keepdims=True))


# ------------------------------------------------------------------ pooling


def _windows(spec):
    """Each output's place, the indices of its elements, and its divisor."""
    rank = len(spec.size)
    axes = [spec.windows(axis) for axis in range(rank)]
    steps = (1,) * rank if spec.adaptive is not None else spec.dilation
    for place in np.ndindex(*spec.output_size):
        rows = [axes[a][place[a]] for a in range(rank)]
        taps = [
            np.arange(count) * step + start
            for (start, count, _), step in zip(rows, steps, strict=True)
        ]
        divisor = spec.divisor_override or math.prod(part for _, _, part in rows)
        yield place, np.ix_(*taps), divisor


def pool(spec, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each window's maximum and flat index, or its average (and indices of 0)."""
    y = np.empty(spec.shapes["y"], x.dtype)
    indices = np.zeros(spec.shapes["y"], np.int64)
    numbers = np.arange(math.prod(spec.size)).reshape(spec.size)
    for place, taps, divisor in _windows(spec):
        window = x[(slice(None), slice(None), *taps)]
        window = window.reshape(*x.shape[:2], math.prod(window.shape[2:]))
        here = (slice(None), slice(None), *place)
        if spec.kind == "average":
            y[here] = window.sum(axis=-1) / x.dtype.type(divisor)
            continue
        nan = np.isnan(window) if x.dtype.kind == "f" else np.zeros(window.shape, bool)
        best = window.argmax(axis=-1)
        last = window.shape[-1] - 1 - nan[..., ::-1].argmax(axis=-1)
        best = np.where(nan.any(axis=-1), last, best)  # the last NaN
        y[here] = np.take_along_axis(window, best[..., None], -1)[..., 0]
        indices[here] = numbers[taps].reshape(-1)[best]
    return y, indices


def pool_gradient(spec, grad: np.ndarray, indices: np.ndarray | None) -> np.ndarray:
    """Scatter each output's gradient to its maximum, or share it in its window."""
    gx = np.zeros(spec.shapes["x"], np.float64)
    flat = gx.reshape(*gx.shape[:2], math.prod(spec.size))
    n, c = np.ogrid[: gx.shape[0], : gx.shape[1]]
    for place, taps, divisor in _windows(spec):
        here = (slice(None), slice(None), *place)
        if spec.kind == "max" and indices is not None:
            np.add.at(flat, (n, c, indices[here]), grad[here])
        else:
            share = grad[here].astype(np.float64) / divisor
            gx[(slice(None), slice(None), *taps)] += share.reshape(
                *share.shape, *(1,) * len(spec.size)
            )
    return gx.astype(grad.dtype)


# ------------------------------------------------------------------ resampling


def resample(spec, x: np.ndarray) -> np.ndarray:
    """The dense matrix of each axis, one after the other, in float64."""
    from .resampling import bands

    y = x.astype(np.float64)
    for axis, band in enumerate(bands(spec)):
        matrix = np.zeros((band.rows, band.columns))
        rows, columns, weights = band.entries()
        np.add.at(matrix, (rows, columns), weights)
        y = np.moveaxis(np.moveaxis(y, axis + 2, -1) @ matrix.T, -1, axis + 2)
    return y.astype(x.dtype)
