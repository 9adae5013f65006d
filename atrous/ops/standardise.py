"""Subtract the mean, divide by the deviation, scale and shift: what all norms share.

    y = h · w + b,    h = (x - mean) · inv,    inv = 1 / √(variance + eps)
The gradients need two sums over the same axes (N elements each), with e = g · w:
    ∂x = inv · (e - Σe / N - h · Σ(e·h) / N)    ∂w = Σ g·h    ∂b = Σ g
Forward is one pass for the statistics and one for y; backward one for the sums and one
for ∂x.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from .. import compiler, deferred, dtypes
from ..autograd import is_grad_enabled, record
from ..tensor import Tensor
from .reduce import kept


class Statistics:
    """Mean and inverse deviation, (…, 1, …) over the reduced `axes`; None where they
    were given and do not depend on the input."""

    def __init__(self, mean, variance, eps: float, axes: tuple[int, ...] | None):
        self.mean, self.variance, self.eps, self.axes = mean, variance, eps, axes
        with np.errstate(invalid="ignore", divide="ignore"):
            self.inv = 1 / np.sqrt(variance + variance.dtype.type(eps))

    @classmethod
    def of(cls, input: Tensor, axes: tuple[int, ...], eps: float) -> Statistics:
        """Those of `input` over `axes`; of half types as float32."""
        shape = kept(input._array.shape, axes)
        wide = input.dtype.compute
        if not input._array.size:
            return cls(np.zeros(shape, wide), np.zeros(shape, wide), eps, axes)
        mean, variance = compiler.reduce(
            "mean_variance",
            ("cast", wide.name, ("in", 0)),
            input._array,
            axes=axes,
            dtypes=(input.dtype.name,),
        )
        return cls(mean.reshape(shape), variance.reshape(shape), eps, axes)


_H = ("mul", ("sub", ("in", 0), ("in", 1)), ("in", 2))


def standardised(
    node: str,
    input: Tensor,
    statistics: Statistics,
    weight: Tensor | None,
    bias: Tensor | None,
    grouped: tuple[int, ...] | None = None,
) -> Tensor:
    """h · w + b; `weight` and `bias` are of one shape, which broadcasts to the input's.

    `grouped`: the shape as which the input is seen (statistics and parameters fit it).
    """
    wide = statistics.mean.dtype.name
    expression: tuple = _H
    shape = input._array.shape
    seen = shape if grouped is None else grouped
    small = [statistics.mean, statistics.inv]
    names = [input.dtype.name, wide, wide]
    for each, operation in ((weight, "mul"), (bias, "add")):
        if each is not None:
            expression = (operation, expression, ("in", len(names)))
            small.append(each._array)
            names.append(each.dtype.name)
    expression, kinds = ("cast", input.dtype.name, expression), tuple(names)
    work = None
    if grouped is None:
        work = deferred.postponed(
            expression, (input,), kinds, (), input.dtype, shape, small
        )
    if work is not None:
        out = Tensor._later(work)
    else:
        large = input._array.reshape(seen)
        array = compiler.pointwise(expression, large, *small, dtypes=kinds)
        out = Tensor._of(array.reshape(shape), input.dtype)
    held = bias if weight is None else weight
    parameters = statistics.mean.shape if held is None else held._array.shape

    def formula(g, x, w=None):
        if grouped is not None:  # only then: a view is copied before it is kept
            g, x = g.reshape(seen), x.reshape(seen)
        # With a graph wanted, the gradient is written with operations that have one.
        if is_grad_enabled():
            by_input, *rest = _composed(g, x, w, statistics)
        else:
            by_input, *rest = _fused(g, x, w, statistics, parameters)
        if grouped is not None:
            return (lambda: by_input().reshape(shape)), *rest
        return by_input, *rest

    saved = (input,) if weight is None else (input, weight)
    return record(out, node, (input, weight, bias), formula, saved)


def _fused(g, x, w, statistics: Statistics, shape):
    """∂x, ∂w, ∂b, without a graph; `shape` is that of the parameters."""
    mean, axes = statistics.mean, statistics.axes
    wide = mean.dtype.name
    arrays = [x._array, mean, statistics.inv, g._array]
    names = [x.dtype.name, wide, wide, g.dtype.name]
    grad: tuple = ("cast", wide, ("in", 3))
    scaled = grad
    if w is not None:
        scaled = ("mul", grad, ("in", 4))
        arrays.append(w._array)
        names.append(w.dtype.name)

    def summed(what, target) -> tuple:
        """Σ of what and of what · h, over the axes in which `target` is 1."""
        padded = (1,) * (len(x._array.shape) - len(target)) + tuple(target)
        axes = tuple(i for i, size in enumerate(padded) if size == 1)
        sums = compiler.reduce(
            *("sum", (what, ("mul", what, _H)), *arrays),
            axes=axes,
            dtypes=tuple(names),
            dtype=wide,
        )
        return tuple(each.reshape(target) for each in sums)

    by_parameters = cache(lambda: summed(grad, shape))

    def by_input() -> Tensor:
        expression: tuple = ("mul", scaled, ("in", 2))
        means: list[np.ndarray] = []
        if axes is not None:
            if tuple(shape) == mean.shape:
                factor = 1 if w is None else w._values().astype(wide)
                sums = tuple(each * factor for each in by_parameters())
            else:
                sums = summed(scaled, mean.shape)
            count = max(math.prod(x._array.shape[axis] for axis in axes), 1)
            means = [(each / count).astype(wide) for each in sums]
            first, second = ("in", len(arrays)), ("in", len(arrays) + 1)
            inner = ("sub", ("sub", scaled, first), ("mul", _H, second))
            expression = ("mul", inner, ("in", 2))
        array = compiler.pointwise(
            ("cast", x.dtype.name, expression),
            *(*arrays, *means),
            dtypes=(*names, *[wide] * len(means)),
        )
        return Tensor._of(array, x.dtype)

    return (
        by_input,
        lambda: Tensor._of(by_parameters()[1]),
        lambda: Tensor._of(by_parameters()[0]),
    )


def _composed(g, x, w, statistics: Statistics):
    """∂x, ∂w, ∂b as differentiable operations of g, x and w."""
    wide = dtypes.from_numpy(statistics.mean.dtype)
    x, g = x.to(wide), g.to(wide)
    e = g if w is None else g * w
    axes = statistics.axes
    if axes is None:
        inv = Tensor._of(statistics.inv)
        h = (x - Tensor._of(statistics.mean)) * inv
        return (lambda: e * inv), (lambda: g * h), g
    centred = x - x.mean(axes, True)
    inv = ((centred * centred).mean(axes, True) + statistics.eps).rsqrt()
    h = centred * inv

    def by_input():
        return (e - e.mean(axes, True) - h * (e * h).mean(axes, True)) * inv

    return by_input, (lambda: g * h), g
