"""Softmax along one axis, its logarithm and their gradients.

Forward, a row is read three times: its maximum m, s = Σ exp(x - m), and the result
exp(x - m) / s, or x - m - log s, which does not lose what is small. (Milakov and
Gimelshein 2018 count the passes.) Backward twice: t = Σ g·y, then y·(g - t); of the
logarithm, t = Σ g, then g - exp(y)·t. A row stays in the first cache meanwhile.

`rows` says where lanes run. Sums are in float64, those of a held row (8 terms at most)
in its own dtype.

log s is log1p(s - 1): the largest term is 1, and what is left keeps its last places
where a class is all but certain.
"""

from __future__ import annotations

from collections.abc import Callable

from ..elementary import exp, exp_below, exp_term, log1p_above
from ..emit import Emitter, Kernel, Value
from ..expression import register
from ..spec import SoftmaxSpec
from ..target import Target
from .expressions import has_masks, stored
from .pointwise import Operand, along, box
from .rows import Across, Along, Held, Row

INFINITY = float("inf")


def lifted(e: Emitter, like: Value, value: Value) -> Value:
    """A total beside the lanes of `like`: one number spreads."""
    return e.splat(value, like.type.lanes) if value.type.lanes is None else value


def _greater(e: Emitter, a: Value, b: Value) -> Value:
    """The greater, in one instruction; a where b is NaN."""
    return e.select(b > a, b, a)


def greatest(e: Emitter, row: Row, dtype: str) -> Value:
    """The maximum; NaN may be passed over, its exponential is not."""
    return row.total(dtype, lambda x, *_: x, lambda a, b: _greater(e, a, b), -INFINITY)


def exponentials(e: Emitter, row: Row, top: Value, power: Callable) -> Value:
    """Σ exp(x - top), in float64; of a held row as its elements are, by the `power`
    that its results are made with."""

    def term(x: Value, *_) -> Value:
        if isinstance(row, Held):
            return power(e, x - top)
        value = exp_term(e, x - lifted(e, x, top))
        return e.cast(value, "float64")

    return row.total("float64", term, lambda a, b: a + b, 0.0)


def top_and_logarithm(e: Emitter, row: Row, dtype: str) -> tuple[Value, Value]:
    """The maximum m, and log Σ exp(x - m): of the row, or of each lane's."""
    if isinstance(row, Held):
        return _of_held(e, [given[0] for given in row.elements])
    top = greatest(e, row, dtype)
    if dtype == "float64":
        rest = _others(e, row, top)
    else:  # float64 has digits to spare for the 1 and for what is beside it
        rest = e.cast(exponentials(e, row, top, exp_below) - 1.0, dtype)
    if rest.type.lanes is None:
        return top, e.extract(log1p_above(e, e.splat(rest, 1)), 0)
    return top, log1p_above(e, rest)


def _others(e: Emitter, row: Row, top: Value) -> Value:
    """Σ exp(x - top) of all but one of the greatest, whose 1 is never added: it would
    take the last digits of the rest. Infinite ones make NaN, as inf - inf does."""

    def below(x: Value, *_) -> Value:
        most = lifted(e, x, top)
        value = exp_term(e, x - most)
        return e.select(e.compare("==", x, most), e.zero(x.type), value)

    def equal(x: Value, *_) -> Value:
        one = e.constant(1.0, x.type)
        return e.select(e.compare("==", x, lifted(e, x, top)), one, e.zero(x.type))

    add = lambda a, b: a + b
    rest = row.total("float64", below, add, 0.0)
    again = row.total("float64", equal, add, 0.0) - 1.0
    return rest + again + (top - top)


def _of_held(e: Emitter, elements: list[Value]) -> tuple[Value, Value]:
    """As `top_and_logarithm`: the elements but the greatest are found on the way, so
    that its 1 is never added. Infinite ones make NaN, as inf - inf does."""
    top, others = elements[0], []
    for x in elements[1:]:
        better = x > top
        others.append(e.select(better, top, x))
        top = e.select(better, x, top)
    rest = top - top
    for x in others:
        rest = rest + exp_below(e, x - top)
    return top, log1p_above(e, rest)


def _forward(e: Emitter, row: Row, dtype: str, wants_log: bool) -> None:
    if wants_log:
        top, offset = top_and_logarithm(e, row, dtype)
        row.write(lambda x: x - lifted(e, x, top) - lifted(e, x, offset))
        return
    top = greatest(e, row, dtype)
    total = e.cast(exponentials(e, row, top, exp), dtype)
    row.write(lambda x: exp(e, x - lifted(e, x, top)) / lifted(e, x, total))


def _backward(e: Emitter, row: Row, dtype: str, wants_log: bool) -> None:
    def term(grad: Value, result: Value) -> Value:
        value = grad if wants_log else grad * result
        return value if isinstance(row, Held) else e.cast(value, "float64")

    total = e.cast(row.total("float64", term, lambda a, b: a + b, 0.0), dtype)
    if wants_log:
        row.write(lambda g, y: g - exp_below(e, y) * lifted(e, g, total))
    else:
        row.write(lambda g, y: y * (g - lifted(e, g, total)))


def build(spec: SoftmaxSpec, target: Target) -> Kernel:
    """The kernel of a spec.

    Arguments: addresses of inputs and result; sizes, lengths and numbers of blocks of
    the kept dimensions and of the axis, which is never cut; strides by operand.
    """
    name = f"{'log_' * spec.log}softmax{'_gradient' * spec.gradient}"
    e = Emitter(name, target)
    count, rank = len(spec.walks), spec.kept + 1
    first = count + 3 * rank
    axis = spec.kept - 1 if spec.lanes_along == "kept" else spec.kept
    operands = [
        Operand(
            e.pointer(i, stored(spec.dtype), "out" if i == count - 1 else f"in{i}"),
            spec.dtype,
            [e.argument(first + i * rank + a) for a in range(rank)],
            walk,
            axis,
        )
        for i, walk in enumerate(spec.walks)
    ]
    spans = box(e, count, rank)
    dtype = register(spec.dtype)
    lanes = target.lanes(8 if dtype == "float64" else 4)
    masked = has_masks(target, [spec.dtype]) and spec.walks[-1] == "unit"
    passes = _backward if spec.gradient else _forward

    def rows(operands: list[Operand], kept: int) -> None:
        if kept < axis:
            start, stop = spans[kept]
            with e.loop(f"kept{kept}", stop, start=start) as loop:
                rows([o.moved(e, loop.index, kept) for o in operands], kept + 1)
        elif spec.lanes_along == "axis":
            row = Along(e, spec, operands, lanes, masked, spans[axis])
            passes(e, row, dtype, spec.log)
        else:

            def several(index: Value, lanes: int, left: Value | None) -> None:
                row: Row
                if spec.held:
                    row = Held(e, spec, operands, index, lanes, left)
                else:
                    row = Across(e, spec, operands, index, lanes, left, spans[-1])
                passes(e, row, dtype, spec.log)

            along(e, spans[axis], lanes, masked, several)

    rows(operands, 0)
    return e.finish()
