"""Pointwise work on NumPy arrays: any expression, any broadcast, any strides.

    pointwise(("mul", ("in", 0), ("scalar", 0)), x, scalars=(0.5,))

See `expression` for what an expression is. Also the copy between any two layouts:
`pointwise(("in", 0), x, out=y)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

import atrous.compiler as compiler

from . import memory, reference
from .cache import kernel
from .emit import bits
from .expression import Program, storage, typed, weak_kind
from .layout import (
    Strides,
    blocks,
    broadcast_strides,
    collapse,
    memory_order,
    overlaps,
    pieces,
    widen,
)
from .pool import run
from .schedules.expressions import scalar_slots
from .spec import PointwiseSpec

#: What NumPy lacks, so that a kernel computes it whatever the size.
_KERNEL_ONLY = frozenset(("erf", "erfc"))
#: A copy moves bits: any dtype of the size will do.
_BITS = {1: "uint8", 2: "int16", 4: "int32", 8: "int64"}
#: A tiled walk pays from this many rows and columns on.
_TILED = 16


@dataclass(frozen=True)
class Plan:
    """What is known of a call before its shapes: the typed program and its text."""

    text: str
    dtypes: tuple[str, ...]
    kinds: tuple[str, ...]
    program: Program
    results: tuple[str, ...]
    slots: tuple[tuple[int, str], ...]
    small: bool  # may be left to NumPy where there are few elements


_plans: dict[tuple, Plan] = {}
_names: dict[np.dtype, str] = {}


def dtype_name(array: np.ndarray) -> str:
    """The dtype's name; NumPy takes a microsecond to say it."""
    dtype = array.dtype
    name = _names.get(dtype)
    if name is None:
        name = _names[dtype] = dtype.name
    return name


def plan(
    exprs: tuple[tuple, ...],
    dtypes: tuple[str, ...],
    scalars: Sequence[object],
    results: tuple[str | None, ...],
) -> Plan:
    """The typed program of a call; `results` are dtypes wanted, None as they come."""
    kinds = tuple([weak_kind(scalar) for scalar in scalars])
    text = repr(exprs)  # tells 1 from 1.0 and 0.0 from -0.0
    key = (text, dtypes, kinds, results)
    found = _plans.get(key)
    if found is None:
        wanted = tuple(
            e if dtype is None else ("cast", dtype, e)
            for e, dtype in zip(exprs, results, strict=True)
        )
        program = typed(wanted, dtypes, kinds)
        _plans[key] = found = Plan(
            repr(wanted),
            dtypes,
            kinds,
            program,
            program.result_dtypes(),
            scalar_slots(program),
            not (program.uses() & _KERNEL_ONLY),
        )
    return found


def pointwise(expr, *arrays, scalars=(), dtypes=None, out=None):
    """One pass over all elements of arrays that broadcast together.

    `expr` is an expression, or a tuple of several, which gives a tuple of arrays.
    `dtypes` names the inputs' dtypes where NumPy cannot: "bfloat16" lies in uint16.
    A result has its expression's dtype and the memory order of the inputs, or it is
    written into `out`, cast to its dtype, which may be one of the inputs: every element
    is read before it is written.

    Raises ValueError if shapes do not broadcast, or `out` is not of the shape.
    """
    single = isinstance(expr[0], str)
    exprs = (expr,) if single else expr
    names = dtypes or tuple([dtype_name(array) for array in arrays])
    outs = (None,) * len(exprs) if out is None else (out,) if single else tuple(out)
    wanted = (None,) * len(exprs)
    if out is not None:
        wanted = tuple(_wanted(e, o, names) for e, o in zip(exprs, outs, strict=True))
    found = plan(exprs, tuple(names), scalars, wanted)
    shape = _shape(arrays, outs)
    size = prod(shape)
    if size == 0 or (size < compiler.SMALL and found.small):
        results = _small(found, arrays, scalars, shape, outs)
    else:
        results = _large(found, arrays, scalars, shape, outs)
    return results[0] if single else tuple(results)


def _wanted(expr: tuple, out: np.ndarray | None, names: Sequence[str]) -> str | None:
    """The dtype an `out` asks for; uint16 holds bfloat16."""
    if out is None:
        return None
    name = dtype_name(out)
    return "bfloat16" if name == "uint16" else name


def _shape(arrays: Sequence[np.ndarray], outs: Sequence) -> tuple[int, ...]:
    """The shape of the results: the arrays' together, or that of `out`."""
    shape = arrays[0].shape if arrays else ()
    for array in arrays:
        if array.shape != shape:
            shape = np.broadcast_shapes(*[a.shape for a in arrays])
            break
    for out in outs:
        if out is not None and out.shape != shape:
            if not _fits(shape, out.shape):
                raise ValueError(
                    f"pointwise: out is {out.shape}, the result is {shape}"
                )
            shape = out.shape
    return shape


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether `shape` broadcasts to `wanted`."""
    last = wanted[len(wanted) - len(shape) :]
    return len(shape) <= len(wanted) and all(
        a in (1, b) for a, b in zip(shape, last, strict=True)
    )


def _small(found: Plan, arrays, scalars, shape, outs) -> list[np.ndarray]:
    """By NumPy."""
    results = reference.evaluate(found.program, arrays, scalars)
    for i, (result, out) in enumerate(zip(results, outs, strict=True)):
        if out is not None:
            np.copyto(out, result, casting="unsafe")
            results[i] = out
        elif result.shape != shape:
            results[i] = np.broadcast_to(result, shape).copy()
        elif any(result is array for array in arrays):
            results[i] = result.copy()
    return results


def _large(found: Plan, arrays, scalars, shape, outs) -> list[np.ndarray]:
    """By a kernel."""
    arrays = [_readable(array, outs) for array in arrays]
    walks = [broadcast_strides(array, shape) for array in arrays]
    given = [out for out in outs if out is not None]
    leading = [broadcast_strides(out, shape) for out in given]
    order = memory_order(len(shape), (*leading, *walks))
    results = [
        memory.empty(shape, storage(dtype), order) if out is None else out
        for out, dtype in zip(outs, found.results, strict=True)
    ]
    walks += [broadcast_strides(result, shape) for result in results]
    sizes = tuple([shape[axis] for axis in order])
    ordered = tuple([tuple([walk[axis] for axis in order]) for walk in walks])
    sizes, ordered = collapse(sizes, ordered)
    launch(found, arrays, results, scalars, sizes or (1,), ordered)
    return results


def _readable(array: np.ndarray, outs: Sequence) -> np.ndarray:
    """The array, or a copy where writing a result would change it before it is read."""
    for out in outs:
        if out is not None and out is not array and overlaps(out, array):
            return array.copy()
    if any(stride % array.itemsize for stride in array.strides):
        return np.ascontiguousarray(array)
    return array


def launch(
    found: Plan,
    arrays: Sequence[np.ndarray],
    results: Sequence[np.ndarray],
    scalars: Sequence[object],
    sizes: tuple[int, ...],
    walks: tuple[Strides, ...],
) -> None:
    """Run the kernel over merged dimensions."""
    if not walks[0]:
        walks = ((1,),) * len(walks)
    sizes, walks, tiled = _tiled(sizes, walks)
    if len(sizes) > 1 and not tiled:
        rank = len(sizes)
        _, sizes, walks, arrays = widen(sizes, walks, arrays, rank - 2, rank - 1)
    spec = PointwiseSpec(
        *_moved(found), len(sizes), tuple([walk_of(walk[-1]) for walk in walks]), tiled
    )
    lengths = blocks(sizes)
    counts = pieces(sizes, lengths)
    arguments = [array.ctypes.data for array in (*arrays, *results)]
    arguments += (*sizes, *lengths, *counts)
    for walk in walks:
        arguments += walk
    arguments += [
        bits(scalars[index], "bool" if dtype == "truth" else dtype)
        for index, dtype in found.slots
    ]
    run(_kernel(spec, found.program), arguments, prod(counts))


def _kernel(spec: PointwiseSpec, program: Program) -> int:
    """The address of a spec's kernel."""

    def build(target):
        from .schedules import pointwise as schedule

        text = spec.text
        copied = program
        if text.startswith("copy"):
            copied = typed((("in", 0),), spec.dtypes, ())
        return schedule.build(spec, copied, target)

    return kernel(("pointwise", spec), build)


def _moved(found: Plan) -> tuple[str, tuple, tuple, tuple]:
    """Text and dtypes of the spec; all copies of one size are one kernel."""
    if len(found.program.nodes) == 1 and found.program.nodes[0].op == "in":
        name = (_BITS[storage(found.dtypes[0]).itemsize],)
        return "copy", name, (), name
    return found.text, found.dtypes, found.kinds, found.results


def walk_of(stride: int) -> str:
    """How an operand with this stride walks."""
    return "unit" if stride == 1 else "same" if stride == 0 else "strided"


def _tiled(
    sizes: tuple[int, ...], walks: tuple[Strides, ...]
) -> tuple[tuple[int, ...], tuple[Strides, ...], bool]:
    """Bring next to the last axis one along which a strided operand is dense."""
    last = len(sizes) - 1
    if last == 0 or sizes[last] < _TILED:
        return sizes, walks, False
    for walk in walks:
        if abs(walk[last]) < 2:
            continue
        for axis in range(last):
            if abs(walk[axis]) == 1 and sizes[axis] >= _TILED:
                order = [a for a in range(last) if a != axis] + [axis, last]
                sizes = tuple([sizes[a] for a in order])
                return sizes, tuple([tuple([w[a] for a in order]) for w in walks]), True
    return sizes, walks, False
