"""Softmax along one axis, its logarithm and their gradients.

Forward, a row is read three times: its maximum m, s = Σ exp(x - m), and the result
exp(x - m) / s, or x - m - log s, which does not lose what is small. (Milakov and
Gimelshein 2018 count the passes.) Backward twice: t = Σ g·y, then y·(g - t); of the
logarithm, t = Σ g, then g - exp(y)·t. A row stays in the first cache meanwhile.

Lanes run along the axis where it is long and dense. Else each lane has a row of its own
(channels-last images with 3 classes): no lane idles, and nothing is folded. Sums are in
float64; 2 registers hold the totals. A row of at most 8 is *held*: read once, a vector
an element; where such rows lie densely, n vectors are parted into evens and odds log2 n
times, so that each has one element of every row, and joined again before they are
stored.

log s is log1p(s - 1): the largest term is 1, and what is left keeps its last places
where a class is all but certain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce

from ..elementary import exp, exp_below, log, log1p_above
from ..emit import Emitter, Kernel, Value
from ..expression import register
from ..spec import SoftmaxSpec
from ..target import Target
from .expressions import has_masks, stored
from .pointwise import Operand, along, box, load, store

INFINITY = float("inf")


class _Row:
    """How the elements of a row, or of a vector of rows, are visited."""

    def __init__(
        self, e: Emitter, spec: SoftmaxSpec, operands: Sequence[Operand]
    ) -> None:
        self.e, self.spec = e, spec
        self.inputs, self.out = operands[:-1], operands[-1]

    def total(self, dtype: str, term: Callable, combine: Callable, neutral: float):
        """`term` of every element, combined."""
        raise NotImplementedError

    def write(self, result: Callable) -> None:
        """Store `result` of every element."""
        raise NotImplementedError


class _Across(_Row):
    """A vector of rows from `index` on: each lane has its own."""

    def __init__(self, e, spec, operands, index, lanes, left, span) -> None:
        super().__init__(e, spec, operands)
        self.index, self.lanes, self.left, self.span = index, lanes, left, span

    def _given(self, place: Value) -> list[Value]:
        axis = self.spec.kept
        moved = [operand.moved(self.e, place, axis) for operand in self.inputs]
        return [load(self.e, o, self.index, self.lanes, self.left) for o in moved]

    def total(self, dtype, term, combine, neutral):
        start = self.e.constant(neutral, dtype, self.lanes)
        with self.e.loop("axis", self.span[1], start=self.span[0], carry=[start]) as a:
            a.carry = [combine(a.carry[0], term(*self._given(a.index)))]
        return a.carry[0]

    def write(self, result) -> None:
        with self.e.loop("axis", self.span[1], start=self.span[0]) as a:
            value = result(*self._given(a.index))
            out = self.out.moved(self.e, a.index, self.spec.kept)
            store(self.e, value, out, self.index, self.left)


class _Held(_Row):
    """As `_Across`, with the rows' elements in registers from the start."""

    def __init__(self, e, spec, operands, index, lanes, left) -> None:
        super().__init__(e, spec, operands)
        self.index, self.lanes, self.left = index, lanes, left
        columns = [self._columns(operand) for operand in self.inputs]
        self.elements = list(zip(*columns, strict=True))

    def _dense(self, operand: Operand) -> bool:
        """Whether whole vectors of the rows' memory hold whole rows."""
        return operand.walk == "rows" and self.lanes > 1 and self.left is None

    def _part(self, operand: Operand, number: int) -> tuple[Operand, Value]:
        """Vector `number` of the memory of dense rows: the operand, and the place."""
        start = self.index * self.spec.held + number * self.lanes
        return replace(operand, walk="unit"), start

    def _at(self, operand: Operand, place: int) -> Operand:
        """The operand at a place of the axis."""
        walk = "strided" if operand.walk == "rows" else operand.walk
        index = self.e.constant(place, "int64")
        return replace(operand.moved(self.e, index, self.spec.kept), walk=walk)

    def _columns(self, operand: Operand) -> list[Value]:
        """Each element of the axis, of all rows at hand."""
        e, places = self.e, range(self.spec.held)
        if self._dense(operand):
            parts = [self._part(operand, number) for number in places]
            return parted(e, [load(e, o, at, self.lanes, None) for o, at in parts])
        there = [self._at(operand, place) for place in places]
        return [load(e, o, self.index, self.lanes, self.left) for o in there]

    def total(self, dtype, term, combine, neutral):
        return reduce(combine, [term(*given) for given in self.elements])

    def write(self, result) -> None:
        values = [result(*given) for given in self.elements]
        if self._dense(self.out):
            for number, value in enumerate(joined(self.e, values)):
                operand, start = self._part(self.out, number)
                store(self.e, value, operand, start, None)
            return
        for place, value in enumerate(values):
            store(self.e, value, self._at(self.out, place), self.index, self.left)


def parted(e: Emitter, vectors: list[Value]) -> list[Value]:
    """n vectors of rows of n elements, row by row -> the rows' firsts, seconds …"""
    if len(vectors) == 1:
        return vectors
    lanes, halves = vectors[0].type.lanes, []
    for first in (0, 1):
        order = range(first, 2 * lanes, 2)
        pairs = zip(vectors[::2], vectors[1::2], strict=True)
        halves.append(parted(e, [e.shuffle(a, b, order) for a, b in pairs]))
    return [value for pair in zip(*halves, strict=True) for value in pair]


def joined(e: Emitter, vectors: list[Value]) -> list[Value]:
    """What `parted` took apart."""
    if len(vectors) == 1:
        return vectors
    lanes = vectors[0].type.lanes
    low = [lane // 2 + lane % 2 * lanes for lane in range(lanes)]
    high = [lane + lanes // 2 for lane in low]
    halves = joined(e, vectors[::2]), joined(e, vectors[1::2])
    return [
        e.shuffle(a, b, order)
        for a, b in zip(*halves, strict=True)
        for order in (low, high)
    ]


class _Along(_Row):
    """One row, its neighbours side by side in lanes."""

    def __init__(self, e, spec, operands, lanes, masked, span) -> None:
        super().__init__(e, spec, operands)
        self.lanes, self.masked, self.span = lanes, masked, span

    def _given(self, index: Value, left: Value | None, lanes: int) -> list[Value]:
        return [load(self.e, o, index, lanes, left) for o in self.inputs]

    def total(self, dtype, term, combine, neutral):
        e, (start, stop), lanes = self.e, self.span, self.lanes
        whole = stop - (stop - start) % lanes
        total = e.constant(neutral, dtype, lanes)
        with e.loop("i", whole, start=start, step=lanes, carry=[total]) as i:
            i.carry = [combine(i.carry[0], term(*self._given(i.index, None, lanes)))]
        with e.loop("i", stop, start=whole, step=lanes, carry=i.carry) as i:
            left = stop - i.index
            value = term(*self._given(i.index, left, lanes))
            value = e.select(
                e.mask(left, lanes), value, e.constant(neutral, value.type)
            )
            i.carry = [combine(i.carry[0], value)]
        return e.fold(i.carry[0], combine)

    def write(self, result) -> None:
        def body(index: Value, lanes: int, left: Value | None) -> None:
            value = result(*self._given(index, left, lanes))
            store(self.e, value, self.out, index, left)

        along(self.e, self.span, self.lanes, self.masked, body)


def _lifted(e: Emitter, like: Value, value: Value) -> Value:
    """A total beside the lanes of `like`: one number spreads."""
    lanes = like.type.lanes
    if value.type.lanes is None:
        return e.splat(value, lanes)
    return value


def _forward(e: Emitter, row: _Row, dtype: str, wants_log: bool) -> None:
    top = row.total(dtype, lambda x: x, e.maximum, -INFINITY)

    power = exp_below if wants_log else exp

    def term(x: Value) -> Value:
        return e.cast(power(e, x - _lifted(e, x, top)), "float64")

    total = row.total("float64", term, lambda a, b: a + b, 0.0)
    if wants_log:
        single = total.type.lanes is None
        value = _log(e, e.splat(total, 1) if single else total, dtype)
        offset = e.extract(value, 0) if single else value
        row.write(lambda x: x - _lifted(e, x, top) - _lifted(e, x, offset))
    else:
        total = e.cast(total, dtype)
        row.write(lambda x: exp(e, x - _lifted(e, x, top)) / _lifted(e, x, total))


def _log(e: Emitter, total: Value, dtype: str) -> Value:
    """The logarithm of a float64 sum whose largest term is 1, in `dtype`."""
    if dtype == "float64":
        return log(e, total)
    return log1p_above(e, e.cast(total - 1.0, dtype))


def _backward(e: Emitter, row: _Row, dtype: str, wants_log: bool) -> None:
    def term(grad: Value, result: Value) -> Value:
        return e.cast(grad if wants_log else grad * result, "float64")

    total = e.cast(row.total("float64", term, lambda a, b: a + b, 0.0), dtype)
    if wants_log:
        row.write(lambda g, y: g - exp_below(e, y) * _lifted(e, g, total))
    else:
        row.write(lambda g, y: y * (g - _lifted(e, g, total)))


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
            row = _Along(e, spec, operands, lanes, masked, spans[axis])
            passes(e, row, dtype, spec.log)
        else:

            def several(index: Value, lanes: int, left: Value | None) -> None:
                row: _Row
                if spec.held:
                    row = _Held(e, spec, operands, index, lanes, left)
                else:
                    row = _Across(e, spec, operands, index, lanes, left, spans[-1])
                passes(e, row, dtype, spec.log)

            along(e, spans[axis], lanes, masked, several)

    rows(operands, 0)
    return e.finish()
