"""Reductions: sums and their like over some dimensions, in two arrangements of lanes.

Along a reduced dimension (its elements are neighbours), registers hold partial sums of
one result and are folded at the end, by halves:

    for kept … / for reduced … / for i by 4 vectors: total[u] = combine(total[u], x)

Along a kept dimension (channels-last: per-channel sums), each lane is a result:

    for kept … by 4 vectors / for reduced …: total[u] = combine(total[u], x)

Floats are added in float64: beside memory traffic that is free, and its rounding
is far below that of any float32 tree. Four vectors hide the adder's latency; they take
8 registers of 16 or 32. A chunk is a box, as in `pointwise`; where a reduced dimension
is cut too, each piece writes its own partial result; the caller adds those in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from ..emit import Emitter, Kernel, Value
from ..expression import Program, register
from ..spec import ReduceSpec
from ..target import Target
from .expressions import (
    compute,
    convert,
    has_masks,
    kept,
    scalar_arguments,
    stored,
    width,
)
from .pointwise import Operand, box, load, store

#: Vectors of totals that are independent of each other.
UNROLL = 4
Totals = list[Value]


def accumulator(combine: str, dtype: str) -> str:
    """The dtype in which values of `dtype` are combined."""
    if combine in ("sum", "prod"):
        return "float64" if "float" in dtype else "int64"
    return "bool" if combine in ("any", "all") else register(dtype)


def neutral(combine: str, dtype: str):
    """What changes nothing when combined."""
    if combine in ("sum", "any"):
        return 0
    if combine in ("prod", "all"):
        return 1
    lowest = combine in ("max", "argmax")
    if dtype == "bool":
        return not lowest
    if "float" in dtype:
        return -np.inf if lowest else np.inf
    return int(np.iinfo(dtype).min if lowest else np.iinfo(dtype).max)


_STEPS: dict[str, tuple[Callable, Callable]] = {
    # on numbers, and on truths
    "sum": (lambda e, a, b: a + b, lambda e, a, b: a | b),
    "prod": (lambda e, a, b: a * b, lambda e, a, b: a & b),
    "any": (lambda e, a, b: a | b, lambda e, a, b: a | b),
    "all": (lambda e, a, b: a & b, lambda e, a, b: a & b),
    "min": (lambda e, a, b: e.minimum(a, b), lambda e, a, b: a & b),
    "max": (lambda e, a, b: e.maximum(a, b), lambda e, a, b: a | b),
}


class _Plain:
    """One register a total: sum, prod, min, max, any, all."""

    def __init__(self, e: Emitter, combine: str, dtype: str) -> None:
        self.e, self.combine = e, combine
        self.dtype = accumulator(combine, dtype)
        self.source = dtype
        self.step = _STEPS[combine][self.dtype == "bool"]

    def start(self, lanes: int, first: Callable[[], Value], index: Value) -> Totals:
        number = neutral(self.combine, self.dtype)
        return [self.e.constant(number, kept(self.dtype), lanes)]

    def add(self, totals: Totals, value: Value, index: Value | None) -> Totals:
        value = convert(self.e, value, self.source, self.dtype)
        return [self.step(self.e, totals[0], value)]

    def without(self, value: Value, mask: Value) -> Value:
        """The value, neutral where the mask is false."""
        number = neutral(self.combine, self.source)
        return self.e.select(mask, value, self.e.constant(number, value.type))

    def merge(self, a: Totals, b: Totals) -> Totals:
        return [self.step(self.e, a[0], b[0])]


class _Arg:
    """The best value and its index; the first of equals, and NaN before all."""

    def __init__(self, e: Emitter, combine: str, dtype: str) -> None:
        self.e = e
        self.dtype = accumulator(combine, dtype)
        self.relation = ">" if combine == "argmax" else "<"
        self.worst = neutral(combine, self.dtype)

    def start(self, lanes: int, first: Callable[[], Value], index: Value) -> Totals:
        """Every lane starts from an element that exists."""
        return [first(), self.e.splat(index, lanes)]

    def _better(self, a: Value, b: Value) -> Value:
        """Whether b beats a outright."""
        if a.type.name == "truth":
            return (~a & b) if self.relation == ">" else (a & ~b)
        better = self.e.compare(self.relation, b, a)
        if a.type.floating:
            nan = self.e.compare("!=", b, b) & self.e.compare("==", a, a)
            better = better | nan
        return better

    def add(self, totals: Totals, value: Value, index: Value) -> Totals:
        return self._chosen(self._better(totals[0], value), totals, [value, index])

    def without(self, value: Value, mask: Value) -> Value:
        worst = self.e.constant(self.worst, value.type)
        return self.e.select(mask, value, worst)

    def merge(self, a: Totals, b: Totals) -> Totals:
        beaten = self._better(b[0], a[0])
        earlier = self.e.compare("<", b[1], a[1]) & ~beaten
        return self._chosen(self._better(a[0], b[0]) | earlier, a, b)

    def _chosen(self, better: Value, a: Totals, b: Totals) -> Totals:
        return [self.e.select(better, y, x) for x, y in zip(a, b, strict=True)]


class _Builder:
    """What the two arrangements share: operands, the program, the totals."""

    def __init__(self, spec: ReduceSpec, program: Program, target: Target) -> None:
        self.spec, self.program = spec, program
        self.e = e = Emitter(f"reduce_{spec.combine}", target)
        e.note(f"{spec.combine} {spec.text}")
        self.rank = rank = spec.kept + spec.reduced
        dtypes = (*spec.dtypes, *spec.results)
        first = len(dtypes) + 3 * rank
        axis = spec.kept - 1 if spec.lanes_along == "kept" else rank - 1
        self.operands = [
            Operand(
                e.pointer(i, stored(dtype)),
                dtype,
                [e.argument(first + i * rank + a) for a in range(rank)],
                spec.walks[i],
                axis,
            )
            for i, dtype in enumerate(dtypes)
        ]
        self.scalars = scalar_arguments(e, program, first + len(dtypes) * rank)
        form = _Arg if spec.combine.startswith("arg") else _Plain
        self.forms = [form(e, spec.combine, d) for d in program.result_dtypes()]
        self.parts = 2 if form is _Arg else 1
        self.lanes = width(program, target)
        if spec.combine not in ("min", "max", "any", "all"):  # 64 bits beside each
            self.lanes = min(self.lanes, 2 * target.lanes(8))
        if spec.combine in ("sum", "prod") and spec.lanes_along == "kept":
            # UNROLL of these are whole lines, so that memory is read once, in order
            self.lanes = 2 * target.lanes(8)
        self.masked = has_masks(target, dtypes) and "strided" not in spec.walks
        self.spans = box(e, len(dtypes), rank)
        self._pieces(len(dtypes))

    def _pieces(self, sizes: int) -> None:
        """Move each result to the piece of the reduced dimension that this chunk is."""
        e, inputs = self.e, len(self.spec.dtypes)
        for axis in range(self.spec.kept, self.rank):
            length = e.argument(sizes + self.rank + axis)
            piece = self.spans[axis][0] // length
            for i in range(inputs, len(self.operands)):
                self.operands[i] = self.operands[i].moved(e, piece, axis)

    def inputs(self, operands: Sequence[Operand]) -> list[Operand]:
        return list(operands[: len(self.spec.dtypes)])

    def results(self, operands: Sequence[Operand]) -> list[Operand]:
        return list(operands[len(self.spec.dtypes) :])

    def still(self, inputs, index: Value, lanes: int, left) -> dict[int, Value]:
        """The inputs that do not move along reduced dimensions, read beforehand."""
        return {i: load(self.e, inputs[i], index, lanes, left) for i in self.spec.still}

    def values(
        self, inputs, index: Value, lanes: int, left: Value | None, still=None
    ) -> list[Value]:
        """The expressions at `index` of the lanes' axis; `still` is known already."""
        given = [
            still[i] if still and i in still else load(self.e, o, index, lanes, left)
            for i, o in enumerate(inputs)
        ]
        return compute(self.e, self.program, given, self.scalars, lanes)

    def start(self, inputs, index: Value, lanes: int, at: Value, left=None) -> Totals:
        """Totals before the first element; `at` is its index in the reduced axis."""
        values: list[Value] = []

        def first(k: int) -> Value:
            if not values:
                values.extend(self.values(inputs, index, lanes, left))
            return values[k]

        totals = []
        for k, form in enumerate(self.forms):
            totals += form.start(lanes, partial(first, k), at)
        return totals

    def add(self, totals: Totals, values: list[Value], index, mask=None) -> Totals:
        """Totals with one more vector; lanes outside the mask do not count."""
        added = []
        for k, (form, value) in enumerate(zip(self.forms, values, strict=True)):
            value = value if mask is None else form.without(value, mask)
            added += form.add(
                totals[k * self.parts : (k + 1) * self.parts], value, index
            )
        return added

    def merge(self, a: Totals, b: Totals) -> Totals:
        merged = []
        for k, form in enumerate(self.forms):
            part = slice(k * self.parts, (k + 1) * self.parts)
            merged += form.merge(a[part], b[part])
        return merged

    def fold(self, totals: Totals) -> Totals:
        """All lanes into one, by halves."""
        e, lanes = self.e, totals[0].type.lanes
        while lanes > 1:
            lanes //= 2
            lower = [e.shuffle(t, None, range(lanes)) for t in totals]
            upper = [e.shuffle(t, None, range(lanes, 2 * lanes)) for t in totals]
            totals = self.merge(lower, upper)
        return totals

    def write(self, totals: Totals, results, index: Value, left: Value | None) -> None:
        """Store the totals of each lane; of arg- forms value and index."""
        names = []
        for form in self.forms:
            names += [form.dtype, "int64"][: self.parts]
        for total, name, result in zip(totals, names, results, strict=True):
            value = convert(self.e, total, name, register(result.dtype))
            store(self.e, value, result, index, left)

    def loops(self, axes: Sequence[int], operands, body) -> None:
        """Nested loops without anything carried."""
        if not axes:
            body(operands)
            return
        start, stop = self.spans[axes[0]]
        with self.e.loop(f"kept{axes[0]}", stop, start=start) as loop:
            moved = [o.moved(self.e, loop.index, axes[0]) for o in operands]
            self.loops(axes[1:], moved, body)

    def carried(self, axes: Sequence[int], inputs, totals: Totals, body) -> Totals:
        """Nested loops over reduced axes that carry totals."""
        if not axes:
            return body(inputs, totals)
        start, stop = self.spans[axes[0]]
        with self.e.loop(f"reduced{axes[0]}", stop, start=start, carry=totals) as loop:
            moved = [o.moved(self.e, loop.index, axes[0]) for o in inputs]
            self.index = loop.index
            loop.carry = self.carried(axes[1:], moved, loop.carry, body)
        return loop.carry


def build(spec: ReduceSpec, program: Program, target: Target) -> Kernel:
    """The kernel of a spec whose program is given.

    Arguments: addresses of inputs and results; sizes, lengths and numbers of blocks of
    kept, then reduced dimensions; strides, operand by operand (a result's along a
    reduced one is the step from piece to piece); scalars.
    """
    builder = _Builder(spec, program, target)
    if spec.lanes_along == "kept":
        _lanes_kept(builder)
    else:
        _lanes_reduced(builder)
    return builder.e.finish()


def _lanes_reduced(b: _Builder) -> None:
    e, last = b.e, b.rank - 1
    start, stop = b.spans[last]
    lanes = b.lanes

    def indices(index: Value, lanes: int) -> Value:
        return e.splat(index, lanes) + e.steps(lanes)

    def row(inputs, totals: Totals) -> Totals:
        size = len(totals) // UNROLL
        step = lanes * UNROLL
        whole = stop - (stop - start) % step
        with e.loop("i", whole, start=start, step=step, carry=totals) as i:
            carried = []
            for u in range(UNROLL):
                index = i.index + u * lanes
                part = i.carry[u * size : (u + 1) * size]
                values = b.values(inputs, index, lanes, None)
                carried += b.add(part, values, indices(index, lanes))
            i.carry = carried
        totals, first = i.carry, i.carry[:size]
        vectors = stop - (stop - start) % lanes
        with e.loop("i", vectors, start=whole, step=lanes, carry=first) as i:
            values = b.values(inputs, i.index, lanes, None)
            i.carry = b.add(i.carry, values, indices(i.index, lanes))
        with e.loop("i", stop, start=vectors, step=lanes, carry=i.carry) as i:
            left = stop - i.index
            values = b.values(inputs, i.index, lanes, left)
            mask = e.mask(left, lanes)
            i.carry = b.add(i.carry, values, indices(i.index, lanes), mask)
        return [*i.carry, *totals[size:]]

    def result(operands) -> None:
        inputs = b.inputs(operands)
        here = inputs
        for axis in range(b.spec.kept, last):
            here = [o.moved(e, b.spans[axis][0], axis) for o in here]
        begin = b.start([replace(o, walk="strided") for o in here], start, 1, start)
        totals = [e.splat(e.extract(t, 0), lanes) for t in begin] * UNROLL
        totals = b.carried(range(b.spec.kept, last), inputs, totals, row)
        size = len(totals) // UNROLL
        parts = [totals[u * size : (u + 1) * size] for u in range(UNROLL)]
        while len(parts) > 1:
            parts = [
                b.merge(x, y) for x, y in zip(parts[::2], parts[1::2], strict=True)
            ]
        b.write(b.fold(parts[0]), _scalars(b.results(operands)), start, None)

    b.loops(range(b.spec.kept), b.operands, result)


def _scalars(results: list[Operand]) -> list[Operand]:
    """Results written one element at a time, where they stand."""
    return [replace(result, walk="place") for result in results]


def _lanes_kept(b: _Builder) -> None:
    e, axis = b.e, b.spec.kept - 1
    start, stop = b.spans[axis]
    reduced = range(b.spec.kept, b.rank)
    lanes = b.lanes

    def columns(operands, index: Value, lanes: int, unroll: int, left=None) -> None:
        inputs = b.inputs(operands)
        here = inputs
        for r in reduced:
            here = [o.moved(e, b.spans[r][0], r) for o in here]
        at = b.spans[b.rank - 1][0]
        places = [index + u * lanes for u in range(unroll)]
        totals: Totals = []
        for place in places:
            totals += b.start(here, place, lanes, at, left)
        size = len(totals) // unroll
        still = [b.still(here, place, lanes, left) for place in places]

        def element(inputs, totals: Totals) -> Totals:
            added = []
            where = e.splat(b.index, lanes)
            for u, place in enumerate(places):
                part = totals[u * size : (u + 1) * size]
                values = b.values(inputs, place, lanes, left, still[u])
                added += b.add(part, values, where)
            return added

        totals = b.carried(reduced, inputs, totals, element)
        for u, place in enumerate(places):
            part = totals[u * size : (u + 1) * size]
            b.write(part, b.results(operands), place, left)

    def block(operands) -> None:
        step = lanes * UNROLL
        whole = stop - (stop - start) % step
        with e.loop("i", whole, start=start, step=step) as i:
            columns(operands, i.index, lanes, UNROLL)
        vectors = stop - (stop - start) % lanes
        with e.loop("i", vectors, start=whole, step=lanes) as i:
            columns(operands, i.index, lanes, 1)
        if lanes == 1:
            return
        if b.masked:
            with e.when(vectors < stop, "some lanes are left"):
                columns(operands, vectors, lanes, 1, stop - vectors)
        else:
            with e.loop("i", stop, start=vectors) as i:
                columns(operands, i.index, 1, 1)

    b.loops(range(axis), b.operands, block)
