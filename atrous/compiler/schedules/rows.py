"""Rows of an axis: how a reduction along one axis meets its elements.

Lanes run along the axis where it is long and dense. Else each lane has a row of its own
(channels-last images with 3 classes): no lane idles, and nothing is folded. A row of at
most 8 is *held*: read once, a vector an element; where such rows lie densely, n vectors
are parted into evens and odds log2 n times, so that each has one element of every row,
and joined again before they are stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce

from ..emit import Emitter, Value
from .pointwise import Operand, along, load, store


class Row:
    """How the elements of a row, or of a vector of rows, are visited."""

    def __init__(self, e: Emitter, spec, operands: Sequence[Operand]) -> None:
        self.e, self.spec = e, spec  # a SoftmaxSpec or a LikelihoodSpec
        self.inputs, self.out = operands[:-1], operands[-1]

    def total(self, dtype: str, term: Callable, combine: Callable, neutral: float):
        """`term` of every element, combined."""
        raise NotImplementedError

    def write(self, result: Callable) -> None:
        """Store `result` of every element."""
        raise NotImplementedError

    # For use within what `total` and `write` call:

    def place(self) -> Value:
        """Where in the axis the elements at hand are: int32, in every lane."""
        raise NotImplementedError

    def keep(self, value: Value) -> None:
        """Store it where the result of the elements at hand will be."""
        raise NotImplementedError

    def kept(self) -> Value:
        """What was stored there."""
        raise NotImplementedError


class Across(Row):
    """A vector of rows from `index` on: each lane has its own."""

    def __init__(self, e, spec, operands, index, lanes, left, span) -> None:
        super().__init__(e, spec, operands)
        self.index, self.lanes, self.left, self.span = index, lanes, left, span

    def place(self):
        return self.e.splat(self.e.cast(self.at, "int32"), self.lanes)

    def keep(self, value: Value) -> None:
        out = self.out.moved(self.e, self.at, self.spec.kept)
        store(self.e, value, out, self.index, self.left)

    def kept(self) -> Value:
        out = self.out.moved(self.e, self.at, self.spec.kept)
        return load(self.e, out, self.index, self.lanes, self.left)

    def _given(self, place: Value) -> list[Value]:
        self.at, axis = place, self.spec.kept
        moved = [operand.moved(self.e, place, axis) for operand in self.inputs]
        return [load(self.e, o, self.index, self.lanes, self.left) for o in moved]

    def total(self, dtype, term, combine, neutral):
        start = self.e.constant(neutral, dtype, self.lanes)
        with self.e.loop("axis", self.span[1], start=self.span[0], carry=[start]) as a:
            a.carry = [combine(a.carry[0], term(*self._given(a.index)))]
        return a.carry[0]

    def write(self, result) -> None:
        with self.e.loop("axis", self.span[1], start=self.span[0]) as a:
            self.keep(result(*self._given(a.index)))


class Held(Row):
    """As `Across`, with the rows' elements in registers from the start."""

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

    def place(self):
        return self.e.constant(self.at, "int32", self.lanes)

    def _each(self, function: Callable) -> list[Value]:
        values = []
        for at, given in enumerate(self.elements):
            self.at = at
            values.append(function(*given))
        return values

    def total(self, dtype, term, combine, neutral):
        return reduce(combine, self._each(term))

    def write(self, result) -> None:
        values = self._each(result)
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


class Along(Row):
    """One row, its neighbours side by side in lanes."""

    def __init__(self, e, spec, operands, lanes, masked, span) -> None:
        super().__init__(e, spec, operands)
        self.lanes, self.masked, self.span = lanes, masked, span

    def place(self):
        first, lanes, _ = self.at
        return self.e.splat(self.e.cast(first, "int32"), lanes) + self.e.steps(
            lanes, "int32"
        )

    def keep(self, value: Value) -> None:
        index, _, left = self.at
        store(self.e, value, self.out, index, left)

    def kept(self) -> Value:
        index, lanes, left = self.at
        return load(self.e, self.out, index, lanes, left)

    def _given(self, index: Value, left: Value | None, lanes: int) -> list[Value]:
        self.at = index, lanes, left
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
            self.keep(result(*self._given(index, left, lanes)))

        along(self.e, self.span, self.lanes, self.masked, body)
