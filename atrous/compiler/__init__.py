"""Specs in, machine code out: NumPy arrays only, no tensor, no gradient tape.

    convolve(spec, x=, w=, y=, bias=)     solves a ConvSpec for the missing operand
    prepared(spec)                        the same, to be called again and again
    matmul(a, b)                          (…, m, k) @ (…, k, n), same microkernel
    pointwise(expr, *arrays, ...)         any expression, any broadcast, any strides
    pointwise_each(exprs, problems, ...)  the same of many arrays, in one launch
    reduce(combine, expr, *arrays, ...)   sum prod max min argmax argmin any all
    softmax(x, axis, log=)                and softmax_gradient(grad, result, axis, log=)
    likelihood(x, classes, weights, ...)  cross entropy; likelihood_gradient
    pool_forward(spec, x)                 max / average, with indices
    pool_gradient(spec, grad, indices)    and their gradients
    resample(spec, x)                     nearest, linear, cubic; resample_gradient

The names are resolved at first use, so that importing the package costs nothing.
"""

import importlib
from typing import TYPE_CHECKING

from .memory import empty, empty_cache, zeros
from .target import set_num_threads, threads

if TYPE_CHECKING:
    from .convolution import convolve, prepared
    from .elementwise import Plan
    from .matrix import matmul

#: Elements from which generated kernels compute what NumPy computes below.
SMALL = 4096

_PLACES = {
    "convolve": "convolution",
    "prepared": "convolution",
    "matmul": "matrix",
    "pointwise": "elementwise",
    "pointwise_each": "elementwise",
    "function_of": "elementwise",
    "compute": "elementwise",
    "plan": "elementwise",
    "Plan": "elementwise",
    "reduce": "reduction",
    "softmax": "normalising",
    "softmax_gradient": "normalising",
    "likelihood": "losses",
    "likelihood_gradient": "losses",
    "pool_forward": "pooling",
    "pool_gradient": "pooling",
    "pool_pick": "pooling",
    "resample": "resampling",
    "resample_gradient": "resampling",
    "remember": "launch",
    "BORDERS": "spec",
    "ConvSpec": "spec",
    "PointwiseSpec": "spec",
    "ReduceSpec": "spec",
    "PoolSpec": "spec",
    "ResampleSpec": "spec",
}


def __getattr__(name: str):
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_PLACES[name]}", __name__), name)
    globals()[name] = value
    return value
