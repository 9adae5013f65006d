"""Pointwise work on NumPy arrays: any expression, any broadcast, any strides.

    pointwise(("mul", ("in", 0), ("scalar", 0)), x, scalars=(0.5,))

See `expression` for what an expression is. Also the copy between any two layouts:
`pointwise(("in", 0), x, out=y)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod

import numpy as np

import atrous.compiler as compiler

from . import cache, layout, memory, reference
from .expression import Program, storage, typed, weak_kind
from .launch import Launch, address, remember
from .layout import (
    CHUNK,
    Repeat,
    Strides,
    blocks,
    broadcast_strides,
    collapse,
    dense,
    memory_order,
    overlaps,
    pieces,
    streams,
    tiles,
    widen,
)
from .quiet import quiet
from .schedules.expressions import scalar_slots
from .spec import PointwiseSpec
from .target import Target

#: What NumPy lacks, so that a kernel computes it whatever the size.
_KERNEL_ONLY = frozenset(("erf", "erfc"))
#: A copy moves bits: any dtype of the size will do.
_BITS = {1: "uint8", 2: "int16", 4: "int32", 8: "int64"}
#: A tiled walk pays from this many rows and columns on.
_TILED = 16


@dataclass(frozen=True, eq=False)
class Plan:
    """What is known of a call before its shapes: the typed program and its text.

    `recipes` remembers what was worked out for shapes and strides that came before.
    """

    text: str
    dtypes: tuple[str, ...]
    kinds: tuple[str, ...]
    program: Program
    results: tuple[str, ...]
    slots: tuple[tuple[int, str], ...]
    small: bool  # may be left to NumPy where there are few elements
    leaves: bool  # some result is an input, as it came
    constants: bool  # holds numbers that Python may take for others: 1, 1.0, True
    recipes: dict = field(default_factory=dict)

    @cached_property
    def closure(self) -> Callable:
        """The definition as a Python function: (arrays, scalars) -> arrays."""
        return quiet.run(reference.closure, self.program)


def function_of(expr: tuple, dtypes: tuple[str, ...]) -> Callable | None:
    """NumPy's function that is all of an expression of arrays, in their order, as a
    small problem computes it; None if there is no such one."""
    found = plan((expr,), dtypes, (), (None,))
    return reference.function_of(found.program) if found.small else None


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
    results: tuple[str | None, ...] = (None,),
) -> Plan:
    """The typed program of a call; `results` are dtypes wanted, None as they come."""
    kinds = tuple([weak_kind(scalar) for scalar in scalars]) if scalars else ()
    key: tuple = exprs, dtypes, kinds, results
    found = _plans.get(key)
    if found is not None and not found.constants:
        return found
    exact = repr(exprs), dtypes, kinds, results  # tells 1 from 1.0, 0.0 from -0.0
    found = _plans.get(exact)
    if found is None:
        found = _plans[exact] = _plans[key] = _planned(exprs, dtypes, kinds, results)
    return found


def _planned(exprs, dtypes, kinds, results) -> Plan:
    wanted = tuple(
        e if dtype is None else ("cast", dtype, e)
        for e, dtype in zip(exprs, results, strict=True)
    )
    program = typed(wanted, dtypes, kinds)
    text = repr(wanted)
    return Plan(
        text,
        dtypes,
        kinds,
        program,
        program.result_dtypes(),
        scalar_slots(program),
        not (program.uses() & _KERNEL_ONLY),
        any(program.nodes[i].op in ("in", "cast") for i in program.outputs),
        "'const'" in text,
    )


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
    names = tuple(dtypes or [dtype_name(array) for array in arrays])
    outs = (None,) * len(exprs) if out is None else (out,) if single else tuple(out)
    wanted = (None,) * len(exprs)
    if out is not None:
        wanted = tuple([_wanted(out) for out in outs])
    found = plan(exprs, names, scalars, wanted)
    results = compute(found, arrays, scalars, outs)
    return results[0] if single else tuple(results)


def compute(found: Plan, arrays, scalars, outs=(None,)) -> list[np.ndarray]:
    """The results of a plan, as `pointwise` gives them."""
    shape = _shape(arrays, outs)
    size = prod(shape)
    if size == 0 or (size < compiler.SMALL and found.small):
        return _small(found, arrays, scalars, shape, outs)
    return _large(found, arrays, scalars, shape, outs)


def _wanted(out: np.ndarray | None) -> str | None:
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
    results = quiet.run(found.closure, arrays, scalars)
    for i, result in enumerate(results):
        if outs[i] is not None:
            np.copyto(outs[i], result, casting="unsafe")
            results[i] = outs[i]
        elif result.shape != shape:
            results[i] = np.broadcast_to(result, shape).copy()
        elif found.leaves and any(result is array for array in arrays):
            results[i] = result.copy()
    return results


@dataclass(frozen=True)
class _Recipe:
    """A launch for arrays of known shapes and strides, and how to make the results."""

    launch: Launch
    sizes: tuple[int, ...]  # of the results, outermost in memory first
    turn: tuple[int, ...] | None  # axes from memory order to logical order
    dtypes: tuple[np.dtype, ...]


def _large(found: Plan, arrays, scalars, shape, outs) -> list[np.ndarray]:
    """By a kernel."""
    given = [out for out in outs if out is not None]
    arrays = [_readable(array, given) for array in arrays]
    key = (
        cache.here().name,
        shape,
        tuple([(a.shape, a.strides) for a in arrays]),
        tuple([out is not None and (out.strides, _lined(out, arrays)) for out in outs]),
    )
    recipe = found.recipes.get(key)
    if recipe is None:
        recipe = remember(found.recipes, key, _recipe(found, arrays, shape, outs))
    results = []
    for out, dtype in zip(outs, recipe.dtypes, strict=True):
        if out is None:
            out = memory.empty(recipe.sizes, dtype)
            if recipe.turn is not None:
                out = out.transpose(recipe.turn)
        results.append(out)
    recipe.launch(arrays, results, scalars, found.slots)
    return results


def _lined(out: np.ndarray | None, arrays: Sequence[np.ndarray]) -> bool:
    """Whether a result is so large that it is written past the caches, from the start
    of a line on, and nothing of it is read."""
    if out is None:
        return True
    if out.nbytes < layout.STREAMED or address(out) % layout.LINE:
        return False
    return not any([out is array for array in arrays])


def _readable(array: np.ndarray, outs: Sequence) -> np.ndarray:
    """The array, or a copy where writing a result would change it before it is read."""
    for out in outs:
        if out is not array and overlaps(out, array):
            return array.copy()
    return array


def launch_into(
    expr, arrays: Sequence[np.ndarray], out: np.ndarray, target, ordered=False
) -> Launch:
    """The launch that writes an expression's values into `out`, whatever the size: its
    arguments are the addresses of `arrays` and of `out`, and then its numbers. Axes are
    walked as they lie in `out` or, if `ordered`, from the first to the last."""
    found = plan((expr,), tuple(map(dtype_name, arrays)), (), (_wanted(out),))
    shape, lined = out.shape, _lined(out, arrays)
    walks = [broadcast_strides(array, shape) for array in (*arrays, out)]
    order = tuple(range(len(shape)))
    if not ordered:
        order = memory_order(len(shape), (walks[-1], *walks[:-1]))
    return _ordered(found, len(arrays), shape, walks, order, lined, target, wide=False)


def _recipe(found: Plan, arrays, shape, outs) -> _Recipe:
    """Order and merge the dimensions, and choose the kernel."""
    walks = [broadcast_strides(array, shape) for array in arrays]
    leading = [broadcast_strides(out, shape) for out in outs if out is not None]
    order = memory_order(len(shape), (*leading, *walks))
    fresh = dense(shape, order)
    walks += [fresh if out is None else broadcast_strides(out, shape) for out in outs]
    sizes = tuple([shape[axis] for axis in order])
    turn = None if order == tuple(range(len(order))) else tuple(np.argsort(order))
    lined = all([_lined(out, arrays) for out in outs])
    launch = _ordered(found, len(arrays), shape, walks, order, lined)
    return _Recipe(launch, sizes, turn, tuple(map(storage, found.results)))


def _ordered(
    found: Plan, inputs: int, shape, walks, order, lined: bool, target=None, wide=True
) -> Launch:
    """The launch over the axes of `shape` in this order, those merged that can be.
    Unless `wide`, inputs are read where they are, however short their rows."""
    sizes = tuple([shape[axis] for axis in order])
    ordered = tuple([tuple([walk[axis] for axis in order]) for walk in walks])
    merged, steps = collapse(sizes, ordered)
    if not merged:
        merged, steps = (1,), ((1,),) * len(walks)
    return _launch(found, inputs, merged, steps, target, wide, lined)


def _launch(
    found: Plan,
    inputs: int,
    sizes: tuple[int, ...],
    walks: Sequence[Strides],
    target: Target | None,
    wide: bool,
    lined: bool,
) -> Launch:
    """The launch over merged dimensions."""
    sizes, walks, tiled = _tiled(sizes, tuple(walks), inputs)
    repeats: tuple[Repeat, ...] = ()
    if wide and len(sizes) > 1 and not tiled:
        rank = len(sizes)
        _, sizes, walks, repeats = widen(sizes, walks, inputs, rank - 2, rank - 1)
    kinds = [walk_of(walk[-1]) for walk in walks]
    if tiled:
        for i in range(inputs):
            if kinds[i] == "strided" and walks[i][-2] == 1:
                kinds[i] = "turned"
    streamed = lined and not tiled
    for name, walk in zip(found.results, walks[inputs:], strict=True):
        itemsize = storage(name).itemsize
        streamed = streamed and streams(prod(sizes), itemsize, walk)
    spec = PointwiseSpec(*_moved(found), len(sizes), tuple(kinds), tiled, streamed)
    lengths = tiles(sizes) if tiled else blocks(sizes)
    counts = pieces(sizes, lengths)
    numbers = [*sizes, *lengths, *counts]
    for walk in walks:
        numbers += walk
    kernel = _kernel(spec, found.program, target)
    return Launch(kernel, numbers, prod(counts), repeats)


def pointwise_each(exprs, problems, *, scalars=(), dtypes, written) -> None:
    """Expressions of many problems' arrays, written in place, in one launch.

    `problems` are lists of arrays with these `dtypes`; within one, all are dense and of
    the same shape and strides. Expression i is written to array `written[i]`. No array
    that is written belongs to two problems.
    """
    results = tuple([dtypes[place] for place in written])
    found = plan(exprs, dtypes, scalars, results)
    columns = (*range(len(dtypes)), *written)
    table = _table(problems, columns)
    if not len(table):
        return
    walks = ("unit",) * len(columns)
    spec = PointwiseSpec(found.text, dtypes, found.kinds, results, 1, walks)
    key = spec, cache.here().name
    launch = found.recipes.get(key)
    if launch is None:
        kernel = _each_kernel(spec, found.program)
        launch = remember(found.recipes, key, Launch(kernel, [], 0))
    replace(launch, chunks=len(table))((table,), (), scalars, found.slots)


def _table(problems, columns) -> np.ndarray:
    """A row a chunk: addresses of operands, how many elements."""
    addresses = np.array([[address(each) for each in arrays] for arrays in problems])
    sizes = np.array([arrays[0].size for arrays in problems], np.int64)
    bytes_each = np.array([problems[0][column].itemsize for column in columns])
    counts = -(-sizes // CHUNK)
    problem = np.repeat(np.arange(len(sizes)), counts)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    start = (np.arange(len(problem)) - first) * CHUNK
    table = np.empty((len(problem), len(columns) + 1), np.int64)
    places = addresses.reshape(len(sizes), -1)[:, columns][problem]
    table[:, :-1] = places + start[:, None] * bytes_each
    table[:, -1] = np.minimum(sizes[problem] - start, CHUNK)
    return table


def _each_kernel(spec: PointwiseSpec, program: Program) -> int:
    """The address of a spec's kernel for many problems."""

    def build(target):
        from .schedules import pointwise as schedule

        return schedule.build_each(spec, program, target)

    return cache.kernel(("each", spec), build)


def _kernel(spec: PointwiseSpec, program: Program, target: Target | None) -> int:
    """The address of a spec's kernel."""

    def build(target):
        from .schedules import pointwise as schedule

        text = spec.text
        copied = program
        if text.startswith("copy"):
            copied = typed((("in", 0),), spec.dtypes, ())
        return schedule.build(spec, copied, target)

    return cache.kernel(("pointwise", spec), build, target)


def _moved(found: Plan) -> tuple[str, tuple, tuple, tuple]:
    """Text and dtypes of the spec; all copies of one size are one kernel."""
    if len(found.dtypes) == 1 and [n.op for n in found.program.nodes] == ["in"]:
        name = (_BITS[storage(found.dtypes[0]).itemsize],)
        return "copy", name, (), name
    return found.text, found.dtypes, found.kinds, found.results


def walk_of(stride: int) -> str:
    """How an operand with this stride walks."""
    return "unit" if stride == 1 else "same" if stride == 0 else "strided"


def _tiled(
    sizes: tuple[int, ...], walks: tuple[Strides, ...], inputs: int
) -> tuple[tuple[int, ...], tuple[Strides, ...], bool]:
    """Bring next to the last axis one along which a strided input is dense."""
    last = len(sizes) - 1
    if last == 0 or sizes[last] < _TILED:
        return sizes, walks, False
    for walk in walks[:inputs]:
        if abs(walk[last]) < 2:
            continue
        for axis in range(last):
            if walk[axis] == 1 and sizes[axis] >= _TILED:
                order = [a for a in range(last) if a != axis] + [axis, last]
                sizes = tuple([sizes[a] for a in order])
                return sizes, tuple([tuple([w[a] for a in order]) for w in walks]), True
    return sizes, walks, False
