"""Reductions of NumPy arrays: an expression of each element, combined over axes.

    reduce("sum", ("mul", ("in", 0), ("in", 0)), x, axes=(0, 2, 3))

The result's bits depend on shapes and strides, never on threads: the cut into chunks
is fixed by the sizes, and partial results are added in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

import atrous.compiler as compiler

from . import cache, memory, reference
from .elementwise import Plan, dtype_name, plan, pointwise, walk_of
from .expression import register, storage
from .launch import Launch, remember
from .layout import (
    CHUNK,
    Repeat,
    Strides,
    blocks,
    broadcast_strides,
    collapse,
    memory_order,
    pieces,
    widen,
)
from .spec import ReduceSpec

#: Fewer chunks than this, and the reduced dimensions are cut as well,
ENOUGH = 16
#: into at most so many pieces.
PIECES = 64
#: Rows shorter than this are reduced across lanes only if nothing else is left.
SHORT = 32

_WITH_INDEX = {"max_index": "argmax", "min_index": "argmin"}


def reduce(combine, expr, *arrays, axes, scalars=(), dtype=None, dtypes=None):
    """Combine an expression's values over `axes`, which the result no longer has.

    `combine` is sum, prod, min, max, any, all, argmin, argmax (flat index in the
    reduced axes, int64), min_index, max_index (value and index), or mean_variance
    (mean, and Σ (x - mean)² / n). A tuple of expressions shares one pass and gives a
    tuple. Sums are rounded once, from float64; sums of whole numbers are int64.
    `dtype` is what sums are made of and stored as. NaN wins in min and max, the first
    of equals in the arg- forms. `dtypes` is as in `pointwise`.

    Raises ValueError if there is nothing to find an extreme of.
    """
    names = tuple(dtypes or [dtype_name(array) for array in arrays])
    axes = tuple(sorted(axes))
    if combine == "mean_variance":
        return _mean_variance(expr, arrays, axes, scalars, names)
    single = isinstance(expr[0], str)
    exprs = (expr,) if single else expr
    with_index = combine in _WITH_INDEX
    combine = _WITH_INDEX.get(combine, combine)
    wanted = dtype if combine in ("sum", "prod") else None
    wanted = "bool" if combine in ("any", "all") else wanted
    found = plan(exprs, names, scalars, (wanted,) * len(exprs))
    shape = _shape(arrays)
    size = prod(shape)
    if size == 0 or not axes or (size < compiler.SMALL and found.small):
        results = _small(combine, found, arrays, axes, scalars, shape, with_index)
    elif combine.startswith("arg"):
        results = _arg(combine, found, exprs, arrays, axes, scalars, with_index, shape)
    else:
        results = _large(combine, found, arrays, axes, scalars, shape)
    return results[0] if single else tuple(results)


def _shape(arrays) -> tuple[int, ...]:
    shape = arrays[0].shape
    if all([array.shape == shape for array in arrays]):
        return shape
    return np.broadcast_shapes(*[array.shape for array in arrays])


def result_dtypes(combine: str, found: Plan) -> list[str]:
    """What is stored of each expression."""
    if combine in ("sum", "prod"):
        return [reference.sum_dtype(dtype) for dtype in found.results]
    if combine.startswith("arg"):
        return ["int64"] * len(found.results)
    return list(found.results)


def _small(combine, found: Plan, arrays, axes, scalars, shape, with_index) -> list:
    """By NumPy."""
    with np.errstate(all="ignore"):
        given = found.closure(arrays, scalars), found.results, shape, axes
        stored = result_dtypes(combine, found)
        results = reference.reduce(combine, *given, stored)
        if not with_index:
            return results
        values = reference.reduce(combine[3:], *given, found.results)
        return list(zip(values, results, strict=True))


def _mean_variance(expr, arrays, axes, scalars, names) -> tuple:
    """Σ (x - s) and Σ (x - s)² in one pass, in float64, s being the first element.

    Since s is a sample, (mean - s)² ≤ n · variance: cancellation costs at most n units
    of float64. (Chan, Golub & LeVeque 1983, on shifted data.)
    """
    shape = _shape(arrays)
    found = plan((expr,), names, scalars, (None,))
    dtype = register(found.results[0])
    count = prod([shape[axis] for axis in axes])
    if prod(shape) < compiler.SMALL and found.small:
        with np.errstate(all="ignore"):
            values = found.closure(arrays, scalars)[0]
            values = reference.load(np.broadcast_to(values, shape), found.results[0])
            mean, variance = reference.mean_variance(values, axes)
        return mean.astype(dtype), variance.astype(dtype)
    shift = _first(expr, arrays, axes, scalars, names, shape)
    wide = ("cast", "float64", expr)
    difference = ("sub", wide, ("cast", "float64", ("in", len(arrays))))
    both = (difference, ("mul", difference, difference))
    sums, squares = reduce(
        "sum", both, *arrays, shift, axes=axes, scalars=scalars, dtypes=(*names, dtype)
    )
    with np.errstate(all="ignore"):
        offset = sums / count
        variance = np.maximum(squares / count - offset * offset, 0)
        mean = shift.reshape(offset.shape) + offset
    return mean.astype(dtype), variance.astype(dtype)


def _first(expr, arrays, axes, scalars, names, shape) -> np.ndarray:
    """The expression at index 0 of the reduced axes, which stay with size 1."""
    cut = tuple(slice(0, 1) if a in axes else slice(None) for a in range(len(shape)))
    heads = [np.broadcast_to(array, shape)[cut] for array in arrays]
    return pointwise(
        ("cast", _wide(expr, names, scalars), expr),
        *heads,
        scalars=scalars,
        dtypes=names,
    )


def _wide(expr, names, scalars) -> str:
    return register(plan((expr,), names, scalars, (None,)).results[0])


def _arg(combine, found, exprs, arrays, axes, scalars, with_index, shape) -> list:
    """The index kernel knows one reduced axis: several become one, in C's order."""
    results = []
    for i, expr in enumerate(exprs):
        given, places, alone = arrays, axes, (expr,)
        dtypes = found.dtypes
        if len(axes) > 1:
            values = pointwise(expr, *arrays, scalars=scalars, dtypes=dtypes)
            rest = [a for a in range(len(shape)) if a not in axes]
            moved = np.broadcast_to(values, shape).transpose(*rest, *axes)
            flat = memory.empty(moved.shape, moved.dtype)
            dtypes = (found.results[i],)
            pointwise(("in", 0), moved, out=flat)
            given = (flat.reshape(*[shape[a] for a in rest], -1),)
            places, alone, scalars = (len(rest),), (("in", 0),), ()
        one = plan(alone, dtypes, scalars, (None,))
        whole = _shape(given)
        values, indices = _large(combine, one, given, places, scalars, whole)
        results.append((values, indices) if with_index else indices)
    return results


def _large(combine: str, found: Plan, arrays, axes, scalars, shape) -> list:
    """By a kernel. arg- forms give values and indices."""
    key = (
        combine,
        cache.here().name,
        axes,
        tuple([(array.shape, array.strides) for array in arrays]),
    )
    problem = found.recipes.get(key)
    if problem is None:
        problem = _Problem(combine, found, arrays, axes, shape)
        remember(found.recipes, key, problem)
    return problem.solve(arrays, scalars)


def _merged(shape, axes: list[int], walks) -> tuple[Strides, tuple[Strides, ...]]:
    sizes = tuple([shape[axis] for axis in axes])
    return collapse(sizes, tuple([tuple([w[axis] for axis in axes]) for w in walks]))


class _Problem:
    """A reduction of arrays of known shapes: how it is merged, cut and launched."""

    def __init__(self, combine: str, found: Plan, arrays, axes, shape) -> None:
        self.combine, self.found = combine, found
        walks = [broadcast_strides(array, shape) for array in arrays]
        order = memory_order(len(shape), tuple(walks))
        ahead = [axis for axis in order if axis not in axes]
        behind = [axis for axis in order if axis in axes]
        self.laid = tuple([shape[axis] for axis in ahead])
        self.turn = tuple(np.argsort(ahead))
        kept, kept_walks = _merged(shape, ahead, walks)
        reduced, reduced_walks = _merged(shape, behind, walks)
        if not reduced:
            reduced, reduced_walks = (1,), ((0,),) * len(walks)
        walks = [k + r for k, r in zip(kept_walks, reduced_walks, strict=True)]
        self._arrange(kept, reduced, walks)
        self._cut()
        self._name_results()
        self.launch = self._launch()

    def _arrange(self, kept: Strides, reduced: Strides, walks: list[Strides]) -> None:
        """Choose the lanes' dimension, and make long rows of short ones."""
        self.lanes_along = _lanes_along(kept, reduced, walks)
        self.times = 1
        self.repeats: tuple[Repeat, ...] = ()
        self.kept, self.reduced, self.walks = kept, reduced, tuple(walks)
        if self.lanes_along == "kept" and not self.combine.startswith("arg"):
            row, column = len(kept) + len(reduced) - 1, len(kept) - 1
            self.times, sizes, self.walks, self.repeats = widen(
                kept + reduced, walks, len(walks), row, column
            )
            self.kept, self.reduced = sizes[: len(kept)], sizes[len(kept) :]

    def _cut(self) -> None:
        """The lengths of blocks and their numbers, from the sizes alone."""
        inner = prod(self.reduced)
        unit = 64 if self.lanes_along == "kept" else 1
        lengths: Strides = ()
        if self.kept:
            lengths = blocks(self.kept, max(1, CHUNK // inner), unit)
        chunks = prod(pieces(self.kept, lengths))
        self.pieces, reduced = 1, list(self.reduced)
        if chunks < ENOUGH:
            total = inner * prod(self.kept)
            wanted = min(-(-total // (CHUNK * chunks)), PIECES)
            axis = max(range(len(reduced)), key=lambda a: reduced[a])
            length = -(-reduced[axis] // wanted)
            self.pieces = -(-reduced[axis] // length)
            self.cut_axis = len(self.kept) + axis
            reduced[axis] = length
        self.lengths = (*lengths, *reduced)

    def _name_results(self) -> None:
        """What is stored at the end, and what the kernel stores."""
        self.arg = self.combine.startswith("arg")
        results = list(self.found.results)
        self.stored = results if self.arg else result_dtypes(self.combine, self.found)
        self.whole = self.pieces == 1 and self.times == 1
        if self.whole:
            self.names = list(self.stored)
        elif self.combine in ("sum", "prod"):
            self.names = ["float64" if "float" in d else "int64" for d in results]
        else:
            self.names = [register(dtype) for dtype in results]
        if self.arg:
            self.names.append("int64")

    def solve(self, arrays, scalars) -> list[np.ndarray]:
        """The results, of the kept axes' shape; they lie as the inputs do."""
        shape = self.pieces, prod(self.kept)
        outs = [memory.empty(shape, storage(name)) for name in self.names]
        self.launch(arrays, outs, scalars, self.found.slots)
        if not self.whole and self.arg:
            outs = _best(self.combine, *outs)
        elif not self.whole:
            outs = [
                reference.store(self._together(out), name)
                for out, name in zip(outs, self.stored, strict=True)
            ]
        return [out.reshape(self.laid).transpose(self.turn) for out in outs]

    def _together(self, partial: np.ndarray) -> np.ndarray:
        """Combine pieces, and rows that were seen as one, in order."""
        columns = self.kept[-1] // self.times if self.kept else 1
        parts = partial.reshape(self.pieces, -1, self.times, columns)
        with np.errstate(all="ignore"):
            return reference.combine(self.combine, parts, (0, 2))

    def _still(self) -> Strides:
        """Which inputs are the same all along the reduced dimensions."""
        if self.lanes_along != "kept":
            return ()
        first = len(self.kept)
        still = [not any(walk[first:]) for walk in self.walks]
        return tuple([i for i, same in enumerate(still) if same])

    def _launch(self) -> Launch:
        found = self.found
        rank = len(self.kept) + len(self.reduced)
        dense, step = [0] * rank, 1
        for axis in reversed(range(len(self.kept))):
            dense[axis] = step
            step *= self.kept[axis]
        if self.pieces > 1:
            dense[self.cut_axis] = step
        walks = [*self.walks, *[tuple(dense)] * len(self.names)]
        axis = len(self.kept) - 1 if self.lanes_along == "kept" else rank - 1
        spec = ReduceSpec(
            self.combine,
            found.text,
            found.dtypes,
            found.kinds,
            tuple(self.names),
            len(self.kept),
            len(self.reduced),
            self.lanes_along,
            tuple([walk_of(walk[axis]) for walk in walks]),
            self._still(),
        )
        sizes = (*self.kept, *self.reduced)
        counts = pieces(sizes, self.lengths)
        numbers = [*sizes, *self.lengths, *counts]
        for walk in walks:
            numbers += walk
        address = _kernel(spec, found.program)
        return Launch(address, numbers, prod(counts), self.repeats)


def _kernel(spec: ReduceSpec, program) -> int:
    """The address of a spec's kernel."""

    def build(target):
        from .schedules import reduce as schedule

        return schedule.build(spec, program, target)

    return cache.kernel(("reduce", spec), build)


def _lanes_along(kept: Strides, reduced: Strides, walks: Sequence[Strides]) -> str:
    """Whether neighbours in memory are kept or reduced; short rows go across."""
    if not kept:
        return "reduced"
    column, row = len(kept) - 1, len(kept) + len(reduced) - 1
    for walk in walks:
        if walk[column] and walk[row]:
            if abs(walk[column]) < abs(walk[row]):
                return "kept"
            break
    return "kept" if reduced[-1] < SHORT <= kept[-1] else "reduced"


def _best(combine: str, values: np.ndarray, indices: np.ndarray) -> list[np.ndarray]:
    """The best of the pieces; pieces are in the order of their indices."""
    piece = reference.combine(combine, values, (0,))[None]
    return [np.take_along_axis(array, piece, 0)[0] for array in (values, indices)]
