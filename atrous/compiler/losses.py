"""The losses of classes, of NumPy arrays: see `schedules.likelihood`.

    losses, sums = likelihood(x, classes, weights, ignored=-100)
    gx = likelihood_gradient(x, classes, weights, grad, divisor, ignored=-100)

x is (batch, classes, …), the classes (batch, …) of int64 or uint8, weights one number a
class or None. Rows whose class is `ignored` count for nothing. With `normalised`, x
holds logarithms of probabilities already.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from . import cache, memory, pool
from .elementwise import dtype_name
from .launch import Launch, remember
from .layout import (
    CHUNK,
    Strides,
    blocks,
    broadcast_strides,
    collapse,
    dense,
    memory_order,
    pieces,
)
from .normalising import HELD, lanes_along, row_walk
from .spec import LikelihoodSpec

#: Σ loss, Σ weight, how many classes do not exist.
Sums = tuple[float, float, float]

#: Of a LikelihoodSpec: gradient, normalised, weighted, each, dtype.
Options = tuple[bool, bool, bool, bool, str]

#: What runs on arrays, in how many chunks, and the array of a gradient.
Prepared = tuple[Callable[..., None], int, memory.Blank]

#: Launches of problems met before, and in which order a gradient lies.
_launches: dict[tuple, Prepared] = {}
_NONE = np.zeros(1)


def likelihood(
    x, classes, weights, *, ignored: int, normalised=False, each=False, dtype=None
) -> tuple[np.ndarray | None, Sums]:
    """The losses (batch, …) if `each`, and the sums over all rows.

    Losses are of x's dtype; `dtype` is "bfloat16" where x holds its bits.
    """
    losses = memory.empty(classes.shape, x.dtype) if each else None
    if not x.size:
        return _of_nothing(losses, classes, ignored)
    given = (x, classes) if losses is None else (x, classes, losses)
    options = False, normalised, weights is not None, each, dtype or dtype_name(x)
    launch, chunks, _ = _launch(options, ignored, given)
    sums = np.empty((chunks, 3))
    weights = _NONE if weights is None else weights
    if losses is None:
        launch(x, classes, weights, sums)
    else:
        launch(x, classes, weights, losses, sums)
    whole = sums[0] if chunks == 1 else sums.sum(axis=0)
    return losses, tuple(whole.tolist())


def likelihood_gradient(
    *operands, divisor: np.ndarray, ignored: int, normalised=False, dtype=None
) -> np.ndarray:
    """The gradient for x, from (x, classes, weights, grad): grad is (batch, …) or ().

    `divisor` is a float64 that the loss was divided by.
    """
    x, classes, weights, grad = operands
    if not x.size:
        return np.empty_like(x)
    options = True, normalised, weights is not None, False, dtype or dtype_name(x)
    launch, _, blank = _launch(options, ignored, (x, classes, grad))
    out = blank()
    launch(x, classes, _NONE if weights is None else weights, grad, divisor, out)
    return out


def _of_nothing(losses, classes, ignored: int):
    """There are no rows, or no classes: any that is asked for does not exist."""
    if losses is not None:
        losses[...] = 0
    return losses, (0.0, 0.0, float(np.count_nonzero(classes != ignored)))


def _launch(options: Options, ignored: int, given) -> Prepared:
    """The launch for arrays that lie so."""
    x, classes, *_ = given
    key = (
        options,
        ignored,
        x.shape,
        classes.dtype,
        tuple([array.strides for array in given]),
        cache.here().name,
    )
    found = _launches.get(key)
    if found is None:
        found = remember(_launches, key, _prepared(options, ignored, given))
    return found


def _prepared(options: Options, ignored: int, given) -> Prepared:
    x, classes, *_ = given
    gradient, *_ = options
    shape, places = x.shape, classes.shape
    walks = [broadcast_strides(x, shape)]
    for array in given[1:]:  # they lack the classes' axis
        first, *rest = broadcast_strides(array, places) if places else (0,)
        walks.append((first, 0, *rest))
    order = memory_order(len(shape), tuple(walks))
    if gradient:
        walks.append(dense(shape, order))
    ahead = [axis for axis in order if axis != 1]
    kept, kept_walks = collapse(
        tuple([shape[axis] for axis in ahead]),
        tuple([tuple([walk[axis] for axis in ahead]) for walk in walks]),
    )
    walks = [(*k, walk[1]) for k, walk in zip(kept_walks, walks, strict=True)]
    length = shape[1]
    along = lanes_along(kept, length, walks[0])
    held = length if along == "kept" and length <= HELD else 0
    spec = LikelihoodSpec(
        *options,
        classes.dtype.name,
        len(kept),
        along,
        tuple([row_walk(walk, along, held) for walk in walks]),
        held,
    )
    launch, chunks = _laid(spec, kept, length, walks, ignored)
    return launch, chunks, memory.Blank(shape, x.dtype, order)


def _laid(
    spec: LikelihoodSpec, kept: Strides, length: int, walks, ignored: int
) -> tuple[Callable[..., None], int]:
    """The launch over kept dimensions and an axis of this length, and its chunks."""
    unit = 64 if spec.lanes_along == "kept" else 1
    lengths = blocks(kept, max(1, CHUNK // length), unit) if kept else ()
    sizes, lengths = (*kept, length), (*lengths, length)
    counts = pieces(sizes, lengths)
    numbers = [*sizes, *lengths, *counts]
    for walk in walks:
        numbers += walk
    numbers.append(ignored)
    chunks = prod(counts)
    if chunks == 1:  # where microseconds count, and threads do not
        arrays = 6 if spec.gradient else 4 + spec.each
        pointers = tuple([(i, i, 0) for i in range(arrays)])
        step = pool.Step(_kernel(spec), (*[0] * arrays, *numbers), pointers, chunks)
        return pool.replayer([step]), chunks
    launch = Launch(_kernel(spec), numbers, chunks)
    return (lambda *arrays: launch(arrays, ())), chunks


def _kernel(spec: LikelihoodSpec) -> int:
    """The address of a spec's kernel."""

    def build(target):
        from .schedules import likelihood as schedule

        return schedule.build(spec, target)

    return cache.kernel(("likelihood", spec), build)
