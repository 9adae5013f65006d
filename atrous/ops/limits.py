"""The larger, the smaller, and what lies between limits, element by element."""

from __future__ import annotations

from ..autograd import record
from ..tensor import Tensor
from .arguments import check_tensor
from .choice import where
from .elementwise import X, Y, Z, binary
from .operands import evaluate, result_type, with_out

__all__ = """
    clamp clamp_max clamp_min clip fmax fmin maximum minimum
""".split()


def _share(g, beaten, tied):
    """g where not beaten, half of it where tied: torch's gradient of maximum."""
    return where(beaten, 0, where(tied, g * 0.5, g))


maximum = binary(
    "maximum",
    ("maximum", X, Y),
    lambda g, a, b: (
        (lambda: _share(g, a < b, a == b)),
        (lambda: _share(g, a > b, a == b)),
    ),
    numbers="neither",
)


minimum = binary(
    "minimum",
    ("minimum", X, Y),
    lambda g, a, b: (
        (lambda: _share(g, a > b, a == b)),
        (lambda: _share(g, a < b, a == b)),
    ),
    numbers="neither",
)


_FMAX = ("where", ("isnan", X), Y, ("where", ("isnan", Y), X, ("maximum", X, Y)))


_FMIN = ("where", ("isnan", X), Y, ("where", ("isnan", Y), X, ("minimum", X, Y)))


fmax = binary(
    "fmax",
    _FMAX,
    lambda g, a, b: (
        (lambda: where((a >= b) | b.isnan(), g, 0)),
        (lambda: where((a < b) | a.isnan(), g, 0)),
    ),
    numbers="neither",
)


fmin = binary(
    "fmin",
    _FMIN,
    lambda g, a, b: (
        (lambda: where((a <= b) | b.isnan(), g, 0)),
        (lambda: where((a > b) | a.isnan(), g, 0)),
    ),
    numbers="neither",
)


@with_out
def clamp(input: Tensor, min=None, max=None) -> Tensor:
    """Each element limited to [min, max]; numbers or tensors, one may be None."""
    if min is None and max is None:
        raise RuntimeError(
            "torch.clamp: At least one of 'min' or 'max' must not be None"
        )
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        out = input if min is None else maximum(input, min)
        return out if max is None else minimum(out, max)
    limits = [each for each in (min, max) if each is not None]
    kind = result_type(input, *limits)
    expression: tuple = X
    if min is not None:
        expression = ("maximum", expression, Y)
    if max is not None:
        expression = ("minimum", expression, Z if min is not None else Y)
    out = evaluate(expression, (input, *limits), kind, kind)

    def formula(g, x):
        inside = None
        if min is not None:
            inside = x >= min
        if max is not None:
            inside = x <= max if inside is None else inside & (x <= max)
        return (lambda: where(inside, g, 0),)

    return record(out, "ClampBackward1", (input,), formula, (input,))


clip = clamp


def clamp_min(input: Tensor, min) -> Tensor:
    """Each element at least `min`."""
    check_tensor("clamp_min", "input", input)
    return clamp(input, min)


def clamp_max(input: Tensor, max) -> Tensor:
    """Each element at most `max`."""
    check_tensor("clamp_max", "input", input)
    return clamp(input, None, max)
