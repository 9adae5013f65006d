"""Softmax and log-softmax of NumPy arrays along one axis, and their gradients."""

from __future__ import annotations

from math import prod

import atrous.compiler as compiler

from . import cache, memory, reference
from .elementwise import dtype_name, walk_of
from .launch import Launch, remember
from .layout import (
    CHUNK,
    blocks,
    broadcast_strides,
    collapse,
    dense,
    memory_order,
    pieces,
)
from .spec import SoftmaxSpec

#: An axis shorter than this is not worth a vector.
SHORT = 32
#: A row of so few elements stays in registers.
HELD = 8


def softmax(x, axis: int, *, log: bool = False, dtype: str | None = None):
    """exp(x) / Σ exp(x) along `axis`, or its logarithm; lies in memory as x does.

    `dtype` is "bfloat16" where x holds its bits.
    """
    return _solve(log, False, (x,), axis, dtype)


def softmax_gradient(
    grad, result, axis: int, *, log: bool = False, dtype: str | None = None
):
    """The gradient of `softmax` for x, from that of its result and the result."""
    return _solve(log, True, (grad, result), axis, dtype)


def _solve(log: bool, gradient: bool, arrays: tuple, axis: int, dtype: str | None):
    dtype = dtype or dtype_name(arrays[0])
    shape = arrays[-1].shape
    axis %= max(len(shape), 1)
    if not shape or prod(shape) < max(compiler.SMALL, 1):
        loaded = [reference.load(array, dtype) for array in arrays]
        if gradient:
            result = reference.softmax_gradient(loaded[0], loaded[1], axis, log)
        else:
            result = reference.softmax(loaded[0], axis, log)
        return reference.store(result, dtype)
    walks = tuple([broadcast_strides(array, shape) for array in arrays])
    key = log, gradient, dtype, shape, walks, axis, cache.here().name
    recipe = _recipes.get(key)
    if recipe is None:
        recipe = _recipe(log, gradient, dtype, shape, walks, axis)
        remember(_recipes, key, recipe)
    launch, order = recipe
    out = memory.empty(shape, arrays[-1].dtype, order)
    launch(arrays, (out,))
    return out


#: Launch and memory order of results, of problems met before.
_recipes: dict[tuple, tuple[Launch, tuple[int, ...]]] = {}


def _recipe(log, gradient, dtype, shape, walks, axis):
    """The launch for operands of these strides, and the order in which results lie."""
    order = memory_order(len(shape), walks[::-1])
    walks = (*walks, dense(shape, order))
    ahead = [a for a in order if a != axis]
    kept, kept_walks = collapse(
        tuple([shape[a] for a in ahead]),
        tuple([tuple([walk[a] for a in ahead]) for walk in walks]),
    )
    length = shape[axis]
    walks = [(*w, walk[axis]) for w, walk in zip(kept_walks, walks, strict=True)]
    along = lanes_along(kept, length, walks[-1])
    held = length if along == "kept" and length <= HELD else 0
    spec = SoftmaxSpec(
        log,
        gradient,
        dtype,
        len(kept),
        along,
        tuple([row_walk(walk, along, held) for walk in walks]),
        held,
    )
    unit = 64 if along == "kept" else 1
    lengths = blocks(kept, max(1, CHUNK // length), unit) if kept else ()
    sizes, lengths = (*kept, length), (*lengths, length)
    counts = pieces(sizes, lengths)
    numbers = [*sizes, *lengths, *counts]
    for walk in walks:
        numbers += walk
    return Launch(_kernel(spec), numbers, prod(counts)), order


def lanes_along(kept: tuple[int, ...], length: int, walk: tuple[int, ...]) -> str:
    """Whether lanes run along the axis or along what is kept."""
    if not kept or (walk[-1] == 1 and (length >= SHORT or kept[-1] < SHORT)):
        return "axis"
    return "kept"


def row_walk(walk: tuple[int, ...], along: str, held: int) -> str:
    """How an operand with these strides of kept dimensions and axis walks."""
    if along == "axis":
        return walk_of(walk[-1])
    if held in (2, 4, 8) and walk[-2:] == (held, 1):
        return "rows"
    return walk_of(walk[-2])


def _kernel(spec: SoftmaxSpec) -> int:
    """The address of a spec's kernel."""

    def build(target):
        from .schedules import softmax as schedule

        return schedule.build(spec, target)

    return cache.kernel(("softmax", spec), build)
