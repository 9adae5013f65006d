"""Softmax and log-softmax of NumPy arrays along one axis, and their gradients."""

from __future__ import annotations

from math import prod

import atrous.compiler as compiler

from . import memory, reference
from .cache import kernel
from .elementwise import dtype_name, walk_of
from .layout import CHUNK, blocks, broadcast_strides, collapse, memory_order, pieces
from .pool import run
from .spec import SoftmaxSpec

#: An axis shorter than this is not worth a vector.
SHORT = 32


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
        define = reference.softmax_gradient if gradient else reference.softmax
        return reference.store(define(*loaded, axis, log), dtype)
    walks = [broadcast_strides(array, shape) for array in arrays]
    order = memory_order(len(shape), (walks[-1], *walks[:-1]))
    out = memory.empty(shape, arrays[-1].dtype, order)
    walks.append(broadcast_strides(out, shape))
    ahead = [a for a in order if a != axis]
    kept, kept_walks = collapse(
        tuple([shape[a] for a in ahead]),
        tuple([tuple([walk[a] for a in ahead]) for walk in walks]),
    )
    length = shape[axis]
    walks = [(*w, walk[axis]) for w, walk in zip(kept_walks, walks, strict=True)]
    lanes_along = _lanes_along(kept, length, walks[-1])
    place = -1 if lanes_along == "axis" else -2
    spec = SoftmaxSpec(
        log,
        gradient,
        dtype,
        len(kept),
        lanes_along,
        tuple([walk_of(walk[place]) for walk in walks]),
    )
    unit = 64 if lanes_along == "kept" else 1
    lengths = blocks(kept, max(1, CHUNK // length), unit) if kept else ()
    sizes, lengths = (*kept, length), (*lengths, length)
    counts = pieces(sizes, lengths)
    arguments = [array.ctypes.data for array in (*arrays, out)]
    arguments += (*sizes, *lengths, *counts)
    for walk in walks:
        arguments += walk
    run(_kernel(spec), arguments, prod(counts))
    return out


def _lanes_along(kept: tuple[int, ...], length: int, walk: tuple[int, ...]) -> str:
    if not kept or (walk[-1] == 1 and (length >= SHORT or kept[-1] < SHORT)):
        return "axis"
    return "kept"


def _kernel(spec: SoftmaxSpec) -> int:
    """The address of a spec's kernel."""

    def build(target):
        from .schedules import softmax as schedule

        return schedule.build(spec, target)

    return kernel(("softmax", spec), build)
