"""Activation functions: one expression each, which serves every order of derivative.

`inplace=True` writes the result into the input, as torch does.
"""

from __future__ import annotations

import math

from .. import dtypes
from ..autograd import needs_recording, record
from ..tensor import Tensor
from .arguments import check_tensor
from .autocast import in_lower
from .derivative import elementwise
from .elementwise import X, Y, Z
from .operands import evaluate
from .operands import inplace as writing

__all__ = [
    "celu",
    "celu_",
    "hardshrink",
    "prelu",
    "relu",
    "relu_",
    "rrelu",
    "rrelu_",
    "selu",
    "selu_",
    "sigmoid",
    "tanh",
    "threshold",
    "threshold_",
]

# The fixed point of selu: mean 0 and variance 1 stay (Klambauer et al., 2017).
_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def _clamped(x, low, high):
    """x within [low, high]; no slope at the ends."""
    return ("where", ("le", x, low), low, ("where", ("ge", x, high), high, x))


_HALF_CUBIC = ("add", X, ("mul", ("const", 0.044715), ("mul", X, ("mul", X, X))))
_SOFTPLUS = ("where", ("gt", X, ("const", 20)), X, ("log1p", ("exp", X)))

LEAKY = ("where", ("gt", X, ("const", 0)), X, ("mul", X, Y))
# Operands: input, alpha · scale, scale, 1 / alpha where the exponent is scaled.
_ELU = (
    *("where", ("gt", X, ("const", 0)), ("mul", X, Z)),
    ("mul", Y, ("expm1", ("mul", X, ("operand", 3)))),
)
_GELU = (
    *("mul", ("mul", ("const", 0.5), X)),
    ("add", ("const", 1), ("erf", ("mul", X, ("const", math.sqrt(0.5))))),
)
_GELU_TANH = (
    *("mul", ("mul", ("const", 0.5), X)),
    (
        "add",
        ("const", 1),
        ("tanh", ("mul", ("const", math.sqrt(2 / math.pi)), _HALF_CUBIC)),
    ),
)
_SILU = ("mul", X, ("sigmoid", X))
_MISH = ("mul", X, ("tanh", _SOFTPLUS))
_HARDTANH = _clamped(X, Y, Z)
_RISING = ("div", ("add", X, ("const", 3.0)), ("const", 6.0))


def _between_threes(low, middle, high):
    return (
        *("where", ("le", X, ("const", -3.0)), low),
        ("where", ("ge", X, ("const", 3.0)), high, middle),
    )


_HARDSIGMOID = _between_threes(("const", 0.0), _RISING, ("const", 1.0))
_HARDSWISH = _between_threes(("const", 0.0), ("mul", X, _RISING), X)
_HARDSHRINK = (
    *("where", ("and", ("ge", X, ("neg", Y)), ("le", X, Y))),
    ("const", 0),
    X,
)
_SOFTSHRINK = (
    *("where", ("gt", X, Y), ("sub", X, Y)),
    ("where", ("lt", X, ("neg", Y)), ("add", X, Y), ("mul", X, ("const", 0))),
)
_THRESHOLD = ("where", ("le", X, Y), Z, X)
# Operands: input, beta, threshold.
_SOFTPLUS_BETA = (
    *("where", ("gt", ("mul", X, Y), Z)),
    X,
    ("div", ("log1p", ("exp", ("mul", X, Y))), Y),
)
_LOGSIGMOID = (
    *("where", ("lt", X, ("const", 0))),
    ("sub", X, ("log1p", ("exp", X))),
    ("neg", ("log1p", ("exp", ("neg", X)))),
)
_GLU = ("mul", X, ("sigmoid", Y))


#: Those whose node torch numbers otherwise where they are written in place.
_NAMED_APART = {"leaky_relu", "elu", "selu", "celu", "threshold"}


def _check(name: str, input, integers: bool = False) -> None:
    """TypeError unless a tensor; NotImplementedError for a dtype that does not fit."""
    check_tensor(name, "input", input)
    kind = input.dtype
    if kind.is_floating_point:
        return
    if not integers:
        raise NotImplementedError(f"\"{name}\" not implemented for '{kind.alias}'")
    if kind is dtypes.bool_:
        raise RuntimeError(f"{name}: Bool inputs are not supported.")


def activation(name, node, expression, input, *numbers, inplace=False, integers=False):
    """An expression of `input` and numbers, in its dtype; perhaps written into it."""
    _check(name, input, integers)
    if inplace and name in _NAMED_APART:
        node = node.replace("Backward0", "Backward1")

    def compute(x: Tensor) -> Tensor:
        return elementwise(node, expression, (x, *numbers), x.dtype)

    return _perhaps_inside(compute, input, inplace)


def _perhaps_inside(compute, input: Tensor, inplace: bool) -> Tensor:
    if not inplace:
        return compute(input)
    if needs_recording((input,)):
        # The gradient reads the input, so what it was must live on.
        return writing(lambda x: compute(x.clone()))(input)
    return writing(compute)(input)


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(input, 0); the gradient reads the result, so that the input may be let go."""
    _check("relu", input, integers=True)
    return _relu_(input) if inplace else _relu(input)


def _relu(input: Tensor) -> Tensor:
    out = evaluate(("relu", X), (input,), input.dtype, input.dtype)

    def formula(g, y):
        gate = ("where", ("le", X, ("const", 0)), ("const", 0), Y)
        return (
            lambda: elementwise("ThresholdBackwardBackward0", gate, (y, g), g.dtype),
        )

    return record(out, "ReluBackward0", (input,), formula, (out,))


_relu_ = writing(_relu, "relu_")


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """input limited to [0, 6]."""
    return hardtanh(input, 0.0, 6.0, inplace)


def leaky_relu(
    input: Tensor, negative_slope: float = 0.01, inplace: bool = False
) -> Tensor:
    """input where positive, else negative_slope · input."""
    return activation(
        *("leaky_relu", "LeakyReluBackward0", LEAKY, input, negative_slope),
        inplace=inplace,
    )


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """input where positive, else alpha · (exp(input) - 1)."""
    return activation(
        *("elu", "EluBackward0", _ELU, input, alpha, 1.0, 1.0), inplace=inplace
    )


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """elu scaled so that mean 0 and variance 1 are kept (Klambauer et al., 2017)."""
    alpha, scale = _SELU_ALPHA * _SELU_SCALE, _SELU_SCALE
    return activation(
        *("selu", "EluBackward0", _ELU, input, alpha, scale, 1.0), inplace=inplace
    )


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """input where positive, else alpha · (exp(input / alpha) - 1)."""
    if alpha == 0:
        raise RuntimeError("celu: ZeroDivisionError: alpha cannot be 0.")
    return activation(
        *("celu", "CeluBackward0", _ELU, input, alpha, 1.0, 1.0 / alpha),
        inplace=inplace,
    )


def gelu(input: Tensor, *, approximate: str = "none") -> Tensor:
    """input · Φ(input); `approximate="tanh"` for the cheaper form."""
    if approximate not in ("none", "tanh"):
        raise RuntimeError(
            f"gelu: approximate is 'none' or 'tanh', not {approximate!r}."
        )
    form = _GELU if approximate == "none" else _GELU_TANH
    return activation("gelu", "GeluBackward0", form, input)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """input · sigmoid(input), also called swish."""
    return activation("silu", "SiluBackward0", _SILU, input, inplace=inplace)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """input · tanh(softplus(input))."""
    return activation("mish", "MishBackward0", _MISH, input, inplace=inplace)


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """input limited to [min_val, max_val]."""
    if min_val > max_val:
        raise ValueError(
            f"hardtanh: min_val={min_val} is larger than max_val={max_val}."
        )
    if isinstance(input, Tensor) and not input.dtype.is_floating_point:
        min_val, max_val = int(min_val), int(max_val)
    return activation(
        *("hardtanh", "HardtanhBackward0", _HARDTANH, input, min_val, max_val),
        inplace=inplace,
        integers=True,
    )


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """(input + 3) / 6, limited to [0, 1]."""
    return activation(
        "hardsigmoid", "HardsigmoidBackward0", _HARDSIGMOID, input, inplace=inplace
    )


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """input · hardsigmoid(input)."""
    return activation(
        "hardswish", "HardswishBackward0", _HARDSWISH, input, inplace=inplace
    )


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """0 within [-lambd, lambd], else input."""
    return activation("hardshrink", "HardshrinkBackward0", _HARDSHRINK, input, lambd)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """input pulled towards 0 by lambd."""
    if lambd < 0:
        raise RuntimeError(f"softshrink: lambd must be zero or more, got {lambd}.")
    return activation("softshrink", "SoftshrinkBackward0", _SOFTSHRINK, input, lambd)


def tanhshrink(input: Tensor) -> Tensor:
    """input - tanh(input)."""
    return input - input.tanh()


def threshold(
    input: Tensor, threshold: float, value: float, inplace: bool = False
) -> Tensor:
    """input where above `threshold`, else `value`."""
    return activation(
        *("threshold", "ThresholdBackward0", _THRESHOLD, input, threshold, value),
        inplace=inplace,
        integers=True,
    )


def softplus(input: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    """log(1 + exp(beta · input)) / beta; the input itself above threshold / beta."""
    return activation(
        "softplus", "SoftplusBackward0", _SOFTPLUS_BETA, input, beta, threshold
    )


def softsign(input: Tensor) -> Tensor:
    """input / (|input| + 1)."""
    return input / (input.abs() + 1)


def logsigmoid(input: Tensor) -> Tensor:
    """log(sigmoid(input)), without overflow."""
    return activation("logsigmoid", "LogSigmoidBackward0", _LOGSIGMOID, input)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-input))."""
    return input.sigmoid()


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return input.tanh()


@in_lower
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """input where positive, else weight · input; one weight, or one a channel (axis 1).

    Raises RuntimeError if the weights are not as many as the channels.
    """
    _check("prelu", input)
    check_tensor("prelu", "weight", weight)
    if weight.dtype is not input.dtype:
        raise RuntimeError(
            f"prelu: input is {input.dtype}, weight {weight.dtype}; both must be the"
            " same."
        )
    count, rank = weight.numel(), input.ndim
    if count != 1:
        channels = input.shape[1] if rank > 1 else 1
        if rank == 0:
            raise RuntimeError("prelu: a tensor without axes takes one weight only.")
        if count != channels:
            raise RuntimeError(
                f"prelu: weight has {count} numbers, the input {channels} channels"
                f" (input {tuple(input.shape)}; one number for all would do)."
            )
    if weight.ndim > 1:
        raise RuntimeError(
            "prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim ="
            f" {weight.ndim}"
        )
    if rank > 1:
        weight = weight.reshape(1, -1, *[1] * (rank - 2))
    elif weight.ndim > rank:
        weight = weight.reshape(())
    return elementwise("PreluKernelBackward0", LEAKY, (input, weight), input.dtype)


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """leaky_relu, its slope drawn from [lower, upper], or their mean in evaluation."""
    _check("rrelu", input)
    if not math.isfinite(lower) or not math.isfinite(upper) or lower > upper:
        raise RuntimeError(
            f"rrelu: needs finite lower <= upper, got lower={lower}, upper={upper}."
        )
    slope = _drawn_slopes(input, lower, upper) if training else (lower + upper) / 2

    def compute(x: Tensor) -> Tensor:
        return elementwise(
            "RreluWithNoiseBackward0", LEAKY, (x, slope), x.dtype, wanted=(0,)
        )

    return _perhaps_inside(compute, input, inplace)


def _drawn_slopes(input: Tensor, lower: float, upper: float) -> Tensor:
    """A slope for each element; drawn, in order, for those that are not positive."""
    import numpy as np

    from .. import random

    negative = ~(input._values() > 0)
    slopes = np.ones(input._array.shape)
    slopes[negative] = random.uniform(
        (int(negative.sum()),), lower, upper, dtype="float64"
    )
    return Tensor._of(slopes).to(input.dtype)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a · sigmoid(b), where a and b are the halves of the input along `dim`."""
    _check("glu", input)
    if input.ndim == 0:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    size = input.shape[input._axis(dim)]
    if size % 2:
        raise RuntimeError(
            f"glu: halving needs an even size, axis {dim} of {tuple(input.shape)} has"
            f" {size}."
        )
    a, b = input.chunk(2, dim)
    return elementwise("GluBackward0", _GLU, (a, b), input.dtype)


relu_ = _relu_
leaky_relu_ = lambda input, negative_slope=0.01: leaky_relu(input, negative_slope, True)
elu_ = lambda input, alpha=1.0: elu(input, alpha, True)
selu_ = lambda input: selu(input, True)
celu_ = lambda input, alpha=1.0: celu(input, alpha, True)
hardtanh_ = lambda input, min_val=-1.0, max_val=1.0: hardtanh(
    input, min_val, max_val, True
)
threshold_ = lambda input, threshold_, value: threshold(input, threshold_, value, True)
rrelu_ = lambda input, lower=1.0 / 8, upper=1.0 / 3, training=False: rrelu(
    input, lower, upper, training, True
)
