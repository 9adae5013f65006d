"""Convolution in any number of dimensions, its transpose, and every gradient of both.

One trilinear form ties input x, weight w and output y together (within a group):
    T(x, w, y) = Σ x[n, i, s·o - p + d·k] · w[j, i, k] · y[n, j, o]
Convolution solves T for y, transposed convolution for x, the weight gradient for w.
Differentiating one gives the others, to every order: three kernels, never a fourth.
"""

from __future__ import annotations

import operator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .. import compiler, dtypes
from ..autograd import link, needs_recording
from ..errors import operands as worded
from ..tensor import Tensor
from .arguments import check_tensor
from .autocast import in_lower
from .conv_refusals import check_border, check_channels, check_operands, refusal
from .operands import evaluate
from .sizes import KERNEL, SPATIAL, at_least, by, per_axis

if TYPE_CHECKING:
    from ..compiler.convolution import Convolution
    from ..compiler.spec import ConvSpec

__all__ = [
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "convolution",
]


def _conv(rank: int):
    def conv(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        return _call(rank, input, weight, bias, stride, padding, dilation, groups)

    batch = f"(batch, in, {SPATIAL[rank]}), (out, in / groups, {KERNEL[rank]})"
    conv.__name__ = conv.__qualname__ = f"conv{rank}d"
    conv.__doc__ = f"""Slide `weight` over `input` and sum: a cross-correlation.

    {batch} -> (batch, out, …),
    each axis (size + 2·padding - dilation·(kernel - 1) - 1) // stride + 1 long; batch
    is optional. `padding` may be "valid" (none) or "same" (the input's size, stride 1).

    Raises RuntimeError if channels do not fit or the kernel exceeds the padded input.
    Source: Dumoulin & Visin 2016, arXiv:1603.07285 (notation).
    """
    return conv


def _conv_transpose(rank: int):
    def conv_transpose(
        input,
        weight,
        bias=None,
        stride=1,
        padding=0,
        output_padding=0,
        groups=1,
        dilation=1,
    ):
        return _call(
            rank,
            input,
            weight,
            bias,
            stride,
            padding,
            dilation,
            groups,
            transposed=True,
            output_padding=output_padding,
        )

    name = f"conv_transpose{rank}d"
    batch = f"(batch, in, {SPATIAL[rank]}), (in, out / groups, {KERNEL[rank]})"
    conv_transpose.__name__ = conv_transpose.__qualname__ = name
    conv_transpose.__doc__ = f"""The adjoint of conv{rank}d: each input paints `weight`.

    {batch} -> (batch, out, …),
    each axis (size - 1)·stride - 2·padding + dilation·(kernel - 1) + output_padding + 1
    long; batch is optional.

    Raises RuntimeError if channels do not fit or nothing would be left.
    """
    return conv_transpose


conv1d, conv2d, conv3d = map(_conv, (1, 2, 3))
conv_transpose1d, conv_transpose2d, conv_transpose3d = map(_conv_transpose, (1, 2, 3))


def convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride,
    padding,
    dilation,
    transposed: bool = False,
    output_padding=0,
    groups: int = 1,
    padding_mode: str = "zeros",
) -> Tensor:
    """Convolution or its transpose, with as many spatial axes as `weight` has.

    As conv1d … conv3d and conv_transpose1d … 3d; `padding_mode` is what the input is
    beyond its edge: "zeros", "reflect", "replicate" or "circular".
    """
    check_tensor("convolution", "weight", weight)
    rank = weight._array.ndim - 2
    if rank < 1:
        raise RuntimeError(
            worded(
                "convolution: weight needs at least three dimensions.",
                weight=(weight.shape, "out, in / groups, kernel"),
            )
        )
    return _call(
        rank,
        input,
        weight,
        bias,
        stride,
        padding,
        dilation,
        groups,
        transposed,
        output_padding,
        padding_mode,
    )


@in_lower
def _call(
    rank: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride,
    padding,
    dilation,
    groups: int,
    transposed: bool = False,
    output_padding=0,
    border: str = "zeros",
) -> Tensor:
    """Solve the convolution that these arguments describe: the checks and the spec are
    those of the first call that was alike."""
    operands = input, weight, bias
    sizes = stride, padding, dilation, output_padding
    key = _signature(operands, sizes, rank, groups, transposed, border)
    found = _known.get(key)
    if found is None:
        name = f"conv{'_transpose' if transposed else ''}{rank}d"
        check_operands(name, rank, *operands, transposed)
        if input._array.ndim == rank + 1:
            single = input.unsqueeze(0), weight, bias
            more = stride, padding, dilation, groups, transposed, output_padding, border
            return _call(rank, *single, *more).squeeze(0)
        spec = _spec(name, *operands, *sizes, groups, transposed, border)
        found = compiler.prepared(spec)
        if key is not None:
            compiler.remember(_known, key, found)
    first, second = (weight, input) if transposed else (input, weight)
    return contract(found, first, second, bias, "ConvolutionBackward0")


#: What calls solved, by their signature.
_known: dict[tuple | None, Convolution] = {}


def _signature(operands, sizes, *more) -> tuple | None:
    """All that checks and spec of a call depend on; None if it cannot be right."""
    try:
        key: list = [
            None if each is None else (each._array.shape, each.dtype)
            for each in operands
        ]
        for each in sizes:
            plain = type(each) is int or type(each) is str
            key.append(each if plain else tuple(map(operator.index, each)))
        return (*key, *more)
    except (AttributeError, TypeError):
        return None


def _spec(
    name: str,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride,
    padding,
    dilation,
    output_padding,
    groups: int,
    transposed: bool,
    border: str,
) -> ConvSpec:
    """The spec of a call, whose operands' types, ranks and dtypes are right."""
    rank = weight._array.ndim - 2
    borders = compiler.BORDERS
    if border not in borders:
        raise ValueError(
            f"{name}: padding_mode is one of {', '.join(map(repr, borders))}, not"
            f" {border!r}."
        )
    check_channels(name, input, weight, bias, groups, transposed)
    stride = per_axis(name, "stride", stride, rank)
    dilation = per_axis(name, "dilation", dilation, rank)
    at_least(name, "stride", stride, 1)
    at_least(name, "dilation", dilation, 1)
    padded = _padding(name, padding, stride, dilation, weight)
    moves = groups, stride, dilation, padded
    if transposed:
        extra = per_axis(name, "output_padding", output_padding, rank)
        spec = _transposed_spec(name, input, weight, *moves, extra)
    else:
        spec = _forward_spec(name, input, weight, *moves, border)
    return spec if bias is None else replace(spec, bias=True)


# Shape rule


def _forward_spec(
    name, input, weight, groups, stride, dilation, padding, border
) -> ConvSpec:
    """The spec of a convolution; RuntimeError if the kernel does not fit."""
    size, kernel = input._array.shape[2:], weight._array.shape[2:]
    check_border(name, border, size, padding)
    spans = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
    padded = tuple(n + sum(pair) for n, pair in zip(size, padding, strict=True))
    if any(n < span for n, span in zip(padded, spans, strict=True)):
        dilated = f" (dilated: {by(spans)})" if spans != kernel else ""
        raise refusal(
            f"{name}: the kernel {by(kernel)}{dilated} is larger than the padded input"
            f" {by(padded)}.",
            *(input, weight, False),
        )
    return compiler.ConvSpec(
        solves="y",
        dtype=_computed_in(input.dtype),
        batch=input._array.shape[0],
        groups=groups,
        in_channels=input._array.shape[1],
        out_channels=weight._array.shape[0],
        size=size,
        kernel=kernel,
        stride=stride,
        dilation=dilation,
        padding=padding,
        border=border,
    )


def _transposed_spec(
    name, input, weight, groups, stride, dilation, padding, extra
) -> ConvSpec:
    """The spec of the convolution whose adjoint is asked for: `input` is its y."""
    at_least(name, "output_padding", extra, 0)
    kernel = weight._array.shape[2:]
    steps = zip(extra, stride, dilation, strict=True)
    if any(e >= max(s, d) for e, s, d in steps):
        raise RuntimeError(
            f"{name}: output_padding must be smaller than stride or dilation, got"
            f" output_padding={extra}, stride={stride}, dilation={dilation}."
        )
    outputs = input._array.shape[2:]
    size = tuple(
        (n - 1) * s - sum(pair) + d * (k - 1) + 1 + e
        for n, s, pair, d, k, e in zip(
            outputs, stride, padding, dilation, kernel, extra, strict=True
        )
    )
    if min(size) < 1:
        raise RuntimeError(
            f"{name}: an input of {by(outputs)} gives an output of {by(size)}: too"
            " small. Lower padding, or raise stride or kernel."
        )
    # Where output_padding reaches a whole stride, x could take a further y: the
    # padding behind x gives way, so that y stays as long as it is.
    padding = tuple(
        (before, after if e < s else after - e)
        for (before, after), e, s in zip(padding, extra, stride, strict=True)
    )
    return compiler.ConvSpec(
        solves="x",
        dtype=_computed_in(input.dtype),
        batch=input._array.shape[0],
        groups=groups,
        in_channels=weight._array.shape[1] * groups,
        out_channels=input._array.shape[1],
        size=size,
        kernel=kernel,
        stride=stride,
        dilation=dilation,
        padding=padding,
    )


def _padding(name, padding, stride, dilation, weight) -> tuple[tuple[int, int], ...]:
    """Pairs (before, after), an axis each, from numbers or "same" or "valid"."""
    kernel = weight._array.shape[2:]
    if not isinstance(padding, str):
        sizes = per_axis(name, "padding", padding, len(kernel))
        at_least(name, "padding", sizes, 0)
        return tuple((size, size) for size in sizes)
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    if padding != "same":
        raise RuntimeError(
            f"{name}: padding is an int, a tuple of ints, 'same' or 'valid', not"
            f" {padding!r}."
        )
    if any(step != 1 for step in stride):
        raise RuntimeError(
            f"{name}: padding='same' is not supported for strided convolutions, here"
            f" stride={stride}."
        )
    totals = (d * (k - 1) for d, k in zip(dilation, kernel, strict=True))
    return tuple((total // 2, total - total // 2) for total in totals)


# Gradient


def contract(
    convolution: Convolution,
    first: Tensor,
    second: Tensor,
    bias: Tensor | None = None,
    node: str = "ConvolutionBackwardBackward0",
) -> Tensor:
    """Solve T for an operand, given the others in the order x, w, y; differentiable."""
    out = _solve(convolution, first, second, bias)
    if not needs_recording((first, second, bias)):
        return out

    def formula(grad, first, second):
        of = dict(zip(convolution.known, (first, second), strict=True))
        of[convolution.spec.solves] = grad
        thunks = [_gradient(convolution, name, of) for name in convolution.known]
        return (*thunks, lambda: _over_channels(grad))

    link(out, node, (first, second, bias), formula, (first, second))
    return out


def _gradient(convolution: Convolution, name: str, of: dict[str, Tensor]):
    """Every gradient is the same form, solved for another operand; unevaluated."""
    other = convolution.solving(name)
    first, second = other.known
    return lambda: contract(other, of[first], of[second])


def _over_channels(grad: Tensor) -> Tensor:
    """(batch, channels, …) -> (channels,): the gradient of a bias."""
    return grad.sum((0, *range(2, grad._array.ndim)))


# Lowering


def _computed_in(kind: dtypes.dtype) -> str:
    """float32 for itself and the half types; float64, which holds integers exactly
    up to 2^53, for the rest."""
    return "float32" if kind.compute == np.float32 else "float64"


def _solve(
    convolution: Convolution, first: Tensor, second: Tensor, bias: Tensor | None
) -> Tensor:
    spec, kind = convolution.spec, first.dtype
    offset = None if bias is None else _computable(bias, spec.dtype)
    array = convolution(
        _computable(first, spec.dtype), _computable(second, spec.dtype), offset
    )
    out = Tensor._of(array)
    return out if out.dtype is kind else evaluate(("operand", 0), (out,), None, kind)


def _computable(tensor: Tensor, name: str) -> np.ndarray:
    """The values in the dtype that they are computed in."""
    if tensor.dtype.name == name:
        return tensor._array
    kind = dtypes.BY_NAME[name]
    return evaluate(("operand", 0), (tensor,), None, kind)._array
