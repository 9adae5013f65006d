"""Pooling: the maximum or the average of windows, in any number of dimensions.

The average is linear, so its gradient's gradient is the average again; the maximum
picks an element a window, and its gradient's gradient picks the same ones.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .. import compiler, dtypes
from ..autograd import is_grad_enabled, record
from ..errors import operands as worded
from ..tensor import Tensor
from .arguments import check_tensor
from .autocast import in_float32
from .operands import evaluate
from .sizes import SPATIAL, at_least, by, per_axis

if TYPE_CHECKING:
    from ..compiler.spec import PoolSpec

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_max_pool1d",
    "avg_pool1d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
]

_FORMULA = """each axis (size + 2·padding - dilation·(kernel - 1) - 1) // stride + 1
    long, rounded up with `ceil_mode`; batch is optional, `stride` None: the kernel."""


def _max_pool(rank: int):
    name = f"max_pool{rank}d"

    def max_pool(
        input,
        kernel_size,
        stride=None,
        padding=0,
        dilation=1,
        ceil_mode=False,
        return_indices=False,
    ):
        spec = _spec(
            *(name, "max", rank, input, kernel_size, stride, padding, dilation),
            ceil_mode=ceil_mode,
        )
        return _maxima(name, input, spec, return_indices)

    max_pool.__name__ = max_pool.__qualname__ = name
    max_pool.__doc__ = f"""The largest element of each window.

    (batch, channels, {SPATIAL[rank]}) -> (batch, channels, …),
    {_FORMULA}
    `return_indices` adds where in the (flattened) spatial axes each maximum was, int64.
    """
    return max_pool


def _max_pool_with_indices(rank: int):
    plain = _max_pool(rank)

    def max_pool_with_indices(
        input,
        kernel_size,
        stride=None,
        padding=0,
        dilation=1,
        ceil_mode=False,
        return_indices=False,
    ):
        return plain(input, kernel_size, stride, padding, dilation, ceil_mode, True)

    name = f"max_pool{rank}d_with_indices"
    max_pool_with_indices.__name__ = max_pool_with_indices.__qualname__ = name
    max_pool_with_indices.__doc__ = f"max_pool{rank}d with `return_indices`."
    return max_pool_with_indices


def _avg_pool(rank: int):
    name = f"avg_pool{rank}d"

    def avg_pool(
        input,
        kernel_size,
        stride=None,
        padding=0,
        ceil_mode=False,
        count_include_pad=True,
        divisor_override=None,
    ):
        check_tensor(name, "input", input)
        if not input.is_floating_point() and input.dtype is not dtypes.int64:
            raise NotImplementedError(
                f"{name}: not implemented for '{input.dtype.alias}' tensors."
            )
        if divisor_override == 0:
            raise RuntimeError(f"{name}: divisor must be not zero.")
        spec = _spec(
            *(name, "average", rank, input, kernel_size, stride, padding, 1),
            ceil_mode=ceil_mode,
            count_include_pad=count_include_pad,
            divisor_override=divisor_override,
        )
        return _average(_node("AvgPool", rank), input, spec)

    def avg_pool1d(
        input,
        kernel_size,
        stride=None,
        padding=0,
        ceil_mode=False,
        count_include_pad=True,
    ):
        return avg_pool(
            input, kernel_size, stride, padding, ceil_mode, count_include_pad
        )

    public = avg_pool1d if rank == 1 else avg_pool
    public.__name__ = public.__qualname__ = name
    public.__doc__ = f"""The average of each window.

    (batch, channels, {SPATIAL[rank]}) -> (batch, channels, …),
    {_FORMULA}
    It divides by the elements, with those of the padding unless `count_include_pad` is
    False{"" if rank == 1 else "; or by `divisor_override`"}.
    """
    return public


def _adaptive(kind: str, rank: int):
    name = f"adaptive_{kind}_pool{rank}d"

    def adaptive_avg_pool(input, output_size):
        return adaptive_average(name, input, output_size, rank)

    def adaptive_max_pool(input, output_size, return_indices=False):
        spec = _adaptive_spec(name, "max", rank, input, output_size)
        return _maxima(name, input, spec, return_indices, "AdaptiveMaxPool")

    public = adaptive_avg_pool if kind == "avg" else adaptive_max_pool
    what = "average" if kind == "avg" else "largest element"
    public.__name__ = public.__qualname__ = name
    public.__doc__ = f"""The {what} of windows that tile the input evenly.

    (batch, channels, {SPATIAL[rank]}) -> (batch, channels, *output_size); an entry None
    keeps the input's size.
    """
    return public


def _lp_pool(rank: int):
    name = f"lp_pool{rank}d"

    def lp_pool(input, norm_type, kernel_size, stride=None, ceil_mode=False):
        spec = _spec(
            *(name, "average", rank, input, kernel_size, stride, 0, 1),
            ceil_mode=ceil_mode,
        )
        average = _average(_node("AvgPool", rank), input**norm_type, spec)
        # As in torch, a window cut short by `ceil_mode` counts as a whole one.
        total = average.sign() * average.abs().relu() * math.prod(spec.kernel)
        return total ** (1.0 / norm_type)

    lp_pool.__name__ = lp_pool.__qualname__ = name
    lp_pool.__doc__ = f"""(Σ xᵖ)^(1/p) of each window, p = `norm_type`.

    (batch, channels, {SPATIAL[rank]}) -> (batch, channels, …).
    """
    return lp_pool


max_pool1d, max_pool2d, max_pool3d = map(_max_pool, (1, 2, 3))
max_pool1d_with_indices, max_pool2d_with_indices, max_pool3d_with_indices = map(
    _max_pool_with_indices, (1, 2, 3)
)
avg_pool1d, avg_pool2d, avg_pool3d = map(_avg_pool, (1, 2, 3))
adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d = (
    _adaptive("avg", rank) for rank in (1, 2, 3)
)
adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d = (
    _adaptive("max", rank) for rank in (1, 2, 3)
)
lp_pool1d, lp_pool2d, lp_pool3d = map(_lp_pool, (1, 2, 3))
max_pool3d, max_pool3d_with_indices, avg_pool3d, lp_pool3d = map(
    in_float32, (max_pool3d, max_pool3d_with_indices, avg_pool3d, lp_pool3d)
)
adaptive_avg_pool3d, adaptive_max_pool3d = map(
    in_float32, (adaptive_avg_pool3d, adaptive_max_pool3d)
)


def adaptive_average(name: str, input: Tensor, output_size, rank=None) -> Tensor:
    """The averages of windows that tile the input; also `interpolate(mode="area")`."""
    check_tensor(name, "input", input)
    rank = rank or input.ndim - 2
    spec = _adaptive_spec(name, "average", rank, input, output_size)
    if rank > 1 and all(size == 1 for size in spec.output_size):
        return input.mean(tuple(range(-rank, 0)), True)
    return _average(_node("AdaptiveAvgPool", rank), input, spec)


# Shape rule


def _check_rank(name: str, rank: int, input) -> None:
    check_tensor(name, "input", input)
    shape = input._array.shape
    if len(shape) not in (rank + 1, rank + 2) or 0 in shape[len(shape) - rank - 1 :]:
        raise RuntimeError(
            worded(
                f"{name}: Expected {rank + 1}D or {rank + 2}D (batch mode) tensor, of"
                " which only the batch may be empty.",
                input=(shape, f"expected (batch,) channels, {SPATIAL[rank]}"),
            )
        )


def _spec(
    name, kind, rank, input, kernel, stride, padding, dilation, **options
) -> PoolSpec:
    """The spec of windows; RuntimeError where no window would fit."""
    _check_rank(name, rank, input)
    kernel = per_axis(name, "kernel_size", kernel, rank)
    if stride is None or (isinstance(stride, (tuple, list)) and not stride):
        stride = kernel
    stride = per_axis(name, "stride", stride, rank)
    padding = per_axis(name, "padding", padding, rank)
    dilation = per_axis(name, "dilation", dilation, rank)
    at_least(name, "kernel_size", kernel, 1)
    at_least(name, "stride", stride, 1)
    at_least(name, "padding", padding, 0)
    at_least(name, "dilation", dilation, 1)
    spans = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    if any(p > span // 2 for p, span in zip(padding, spans, strict=True)):
        raise RuntimeError(
            f"{name}: pad should be at most half of effective kernel size, but got"
            f" pad={padding}, kernel_size={kernel} and dilation={dilation}."
        )
    spec = compiler.PoolSpec(
        kind,
        "float32",
        *_batch_and_channels(rank, input),
        tuple(input._array.shape[-rank:]),
        *(kernel, stride, padding, dilation),
        **options,
    )
    if min(spec.output_size) < 1:
        raise RuntimeError(
            worded(
                f"{name}: the kernel {by(spans)} does not fit into the input: the"
                f" output would be {by(spec.output_size)}.",
                input=(input.shape, f"…, {SPATIAL[rank]}"),
            )
        )
    return spec


def _batch_and_channels(rank: int, input: Tensor) -> tuple[int, int]:
    shape = input._array.shape
    return (shape[0] if len(shape) == rank + 2 else 1), shape[-rank - 1]


def _adaptive_spec(name, kind, rank, input, output_size) -> PoolSpec:
    check_tensor(name, "input", input)
    if isinstance(output_size, (tuple, list)) and input.ndim <= len(output_size):
        raise ValueError(
            f"{name}: Input dimension should be at least {len(output_size) + 1}, but"
            f" the input is {tuple(input.shape)}."
        )
    _check_rank(name, rank, input)
    if not input.is_floating_point():
        raise NotImplementedError(
            f"{name}: not implemented for '{input.dtype.alias}' tensors."
        )
    entries = output_size if isinstance(output_size, (tuple, list)) else [output_size]
    if len(entries) == 1:
        entries = list(entries) * rank
    if len(entries) != rank:
        raise RuntimeError(
            f"{name}: output_size is one int or {rank}, not {tuple(entries)}."
        )
    size = tuple(input._array.shape[-rank:])
    wanted = tuple(
        n if entry is None else entry for n, entry in zip(size, entries, strict=True)
    )
    wanted = per_axis(name, "output_size", wanted, rank)
    at_least(name, "output_size", wanted, 0)
    channels = _batch_and_channels(rank, input)
    return compiler.PoolSpec(kind, "float32", *channels, size, adaptive=wanted)


# Gradient


def _node(stem: str, rank: int) -> str:
    """torch pools one axis as two and squeezes the result."""
    return "SqueezeBackward1" if rank == 1 else f"{stem}{rank}DBackward0"


def _again(node: str) -> str:
    return node.replace("Backward0", "BackwardBackward0")


def _maxima(name, input, spec: PoolSpec, return_indices, stem="MaxPool"):
    rank, kind = len(spec.size), input.dtype
    if kind is dtypes.bool_ or (rank == 1 and not kind.is_floating_point):
        raise NotImplementedError(
            f"{name}: not implemented for '{kind.alias}' tensors."
        )
    suffix = "WithIndices" if stem == "MaxPool" else ""
    node = _node(stem, rank).replace("DBack", f"D{suffix}Back")
    spec, array = _computed(spec, input)
    if not return_indices and not (is_grad_enabled() and input.requires_grad):
        return _result(spec, "y", compiler.pool_forward(spec, array, None), input)
    # what only the gradient reads may be half as wide
    narrow = not return_indices and math.prod(spec.size) < 2**31
    kept = "int32" if narrow else "int64"
    values, indices = compiler.pool_forward(spec, array, kept)
    out = _result(spec, "y", values, input)
    record(out, node, (input,), lambda g: (lambda: _spread(node, spec, g, indices),))
    if not return_indices:
        return out
    where = Tensor._of(indices if input._array.ndim == rank + 2 else indices[0])
    return out, where


def _spread(node: str, spec: PoolSpec, g: Tensor, indices: np.ndarray) -> Tensor:
    """The gradient of maxima: each value back to where its maximum was."""
    spec, array = _computed(spec, g, "y")
    out = _result(spec, "x", compiler.pool_gradient(spec, array, indices), g)
    return record(
        out, _again(node), (g,), lambda gg: (lambda: _picked(node, spec, gg, indices),)
    )


def _picked(node: str, spec: PoolSpec, x: Tensor, indices: np.ndarray) -> Tensor:
    """The elements where the maxima were."""
    spec, array = _computed(spec, x)
    out = _result(spec, "y", compiler.pool_pick(spec, array, indices), x)
    return record(
        out, _again(node), (x,), lambda g: (lambda: _spread(node, spec, g, indices),)
    )


def _average(node: str, input: Tensor, spec: PoolSpec, adjoint=False) -> Tensor:
    """The averages, or (`adjoint`) the gradient for x of those: a linear map each."""
    given, made = ("y", "x") if adjoint else ("x", "y")
    spec, array = _computed(spec, input, given)
    solve = compiler.pool_gradient if adjoint else compiler.pool_forward
    out = _result(spec, made, solve(spec, array), input)
    return record(
        out,
        node,
        (input,),
        lambda g: (lambda: _average(_again(node), g, spec, not adjoint),),
    )


# Lowering


def _computed(spec: PoolSpec, tensor: Tensor, operand: str = "x") -> tuple:
    """The spec in the dtype of computation, and the values with a batch axis.

    Half types are pooled in float32, integers in float64, which is exact up to 2^53.
    """
    kind = tensor.dtype
    wide = dtypes.float32 if kind.compute == np.float32 else dtypes.float64
    array = tensor._array
    if kind is not wide:
        array = evaluate(("operand", 0), (tensor,), None, wide)._array
    spec = replace(spec, dtype=wide.name)
    return spec, array.reshape(spec.shapes[operand])


def _result(spec: PoolSpec, operand: str, array: np.ndarray, like: Tensor) -> Tensor:
    """The values as a tensor of `like`'s dtype, with a batch axis where it has one."""
    if like._array.ndim == len(spec.size) + 1:
        array = array[0]
    out = Tensor._of(array)
    if out.dtype is like.dtype:
        return out
    return evaluate(("operand", 0), (out,), None, like.dtype)
