"""The likelihood of each row's class, and its gradient: cross entropy in one pass.

Of a row x with class t, weight w and, as in `softmax`, m = max x, s = Σ exp(x - m):

    loss = w · ((m - x_t) + log s)        ∂loss/∂x_c = w · (exp(x_c - m) / s - [c = t])

Neither probabilities nor their logarithms are ever in memory: backward computes them
anew. A chunk leaves three sums (Σ loss, Σ w, how many classes do not exist) in float64,
which the caller adds in order; a class is checked where it is used.
"""

from __future__ import annotations

from collections.abc import Callable

from ..elementary import exp_below
from ..emit import Emitter, Kernel, Value
from ..expression import register
from ..spec import LikelihoodSpec
from ..target import Target
from .expressions import has_masks, narrowed, stored, widened
from .pointwise import Operand, along, box, load, store
from .rows import Across, Along, Held, Row
from .softmax import greatest, lifted, top_and_logarithm

#: What a chunk leaves: Σ loss, Σ weight, how many classes do not exist.
SUMS = 3


class _Class:
    """The classes of the rows at hand: where they are valid, and their weights."""

    def __init__(self, b: _Builder, index: Value, left: Value | None) -> None:
        e, self.b, self.index = b.e, b, index
        self.lanes = index.type.lanes
        zero = e.zero("int64", self.lanes)
        asked = e.compare("!=", index, e.splat(b.ignored, self.lanes))
        if left is not None:
            asked = asked & e.mask(left, self.lanes)
        count = e.splat(b.count, self.lanes)
        exists = e.compare(">=", index, zero) & e.compare("<", index, count)
        self.valid, self.wrong = asked & exists, asked & ~exists
        self.safe = e.select(self.valid, index, zero)
        self.weight = self._weight()
        weighty = e.compare("!=", self.weight, 0.0)
        self.counts = self.valid & weighty if b.spec.weighted else self.valid

    def _weight(self) -> Value:
        e, b = self.b.e, self.b
        if not b.spec.weighted:
            one = e.constant(1.0, b.wide, self.lanes)
            return e.select(self.valid, one, e.zero(one.type))
        weight = e.zero(stored(b.spec.dtype), self.lanes)
        for lane in range(self.lanes):
            place = e.at(b.weights, e.extract(self.safe, lane))
            weight = e.insert(weight, e.load(place), lane)
        weight = widened(e, weight, b.spec.dtype)
        return e.select(self.valid, weight, e.zero(weight.type))

    def narrow(self) -> Value:
        """The class as `Row.place` counts; -1 where it is not valid."""
        e = self.b.e
        none = e.constant(-1, "int32", self.lanes)
        return e.select(self.valid, e.cast(self.index, "int32"), none)


class _Builder:
    """Operands and loops of one kernel.

    Arguments: addresses of x, classes, weights, then, of the gradient: of g, of the
    number that it is divided by, and of the result; else of losses (if each is stored)
    and of the sums. Sizes, lengths and numbers of blocks of kept dimensions and of the
    axis, which is never cut; strides of what has walks; the class to pass over.
    """

    def __init__(self, spec: LikelihoodSpec, target: Target) -> None:
        self.spec = spec
        name = f"likelihood{'_gradient' * spec.gradient}"
        self.e = e = Emitter(name, target)
        self.wide = register(spec.dtype)
        rank = spec.kept + 1
        self.axis = spec.kept - 1 if spec.lanes_along == "kept" else spec.kept
        if spec.gradient:
            at, head = {"x": 0, "class": 1, "g": 3, "gx": 5}, 6
            self.divisor = e.pointer(4, "float64", "divisor")
        else:
            at = {"x": 0, "class": 1} | ({"losses": 3} if spec.each else {})
            head = 4 + spec.each
            self.sums = e.pointer(head - 1, "float64", "sums")
        self.weights = e.pointer(2, stored(spec.dtype), "weights")
        first = head + 3 * rank
        self.operands = [
            Operand(
                e.pointer(place, stored(self._dtype(label)), label),
                self._dtype(label),
                [e.argument(first + i * rank + a) for a in range(rank)],
                walk,
                self.axis,
            )
            for i, ((label, place), walk) in enumerate(
                zip(at.items(), spec.walks, strict=True)
            )
        ]
        self.spans = box(e, head, rank)
        self.count = e.argument(head + spec.kept, "classes")
        self.ignored = e.argument(first + len(at) * rank, "ignored")
        self.lanes = target.lanes(8 if self.wide == "float64" else 4)
        self.masked = has_masks(target, [spec.dtype]) and (
            not spec.gradient or spec.walks[-1] == "unit"
        )

    def _dtype(self, label: str) -> str:
        return self.spec.target if label == "class" else self.spec.dtype

    def loops(self, body: Callable) -> None:
        """body(row, operands, index, lanes, left) for a row, or a vector of rows."""
        self._nest(self.operands, 0, body)

    def _nest(self, operands, kept: int, body: Callable) -> None:
        e, spec = self.e, self.spec
        if kept < self.axis:
            start, stop = self.spans[kept]
            with e.loop(f"kept{kept}", stop, start=start) as loop:
                moved = [o.moved(e, loop.index, kept) for o in operands]
                self._nest(moved, kept + 1, body)
            return
        ends = operands[0], operands[-1]
        if spec.lanes_along == "axis":
            row = Along(e, spec, ends, self.lanes, self.masked, self.spans[-1])
            body(row, operands, e.constant(0, "int64"), 1, None)
            return

        def several(index: Value, lanes: int, left: Value | None) -> None:
            row: Row
            if spec.held:
                row = Held(e, spec, ends, index, lanes, left)
            else:
                row = Across(e, spec, ends, index, lanes, left, self.spans[-1])
            body(row, operands, index, lanes, left)

        along(e, self.spans[self.axis], self.lanes, self.masked, several)

    def beside(self, operand: Operand, index, lanes: int, left) -> Value:
        """What a row has one of: its class, its gradient."""
        if self.spec.lanes_along == "axis":
            return widened(
                self.e, self.e.splat(self.e.load(operand.pointer), 1), operand.dtype
            )
        return load(self.e, operand, index, lanes, left)

    def classes(self, operands, index, lanes: int, left) -> _Class:
        value = self.beside(operands[1], index, lanes, left)
        return _Class(self, self.e.cast(value, "int64"), left)


def build(spec: LikelihoodSpec, target: Target) -> Kernel:
    """The kernel of a spec."""
    builder = _Builder(spec, target)
    (_backward if spec.gradient else _forward)(builder)
    return builder.e.finish()


def _picked(b: _Builder, row: Row, x: Operand, of: _Class, index) -> Value:
    """The element of each row that is its class's; 0 where there is none."""
    e = b.e
    if isinstance(row, Held):
        wanted = of.narrow()
        return row.total(
            b.wide,
            lambda x: e.select(e.compare("==", row.place(), wanted), x, e.zero(x.type)),
            lambda a, b: a + b,
            0.0,
        )
    value = e.zero(stored(b.spec.dtype), of.lanes)
    for lane in range(of.lanes):
        place = (e.extract(of.safe, lane), x.strides[b.spec.kept])
        if b.spec.lanes_along == "kept":
            beyond = index + lane if of.lanes > 1 else index
            last = b.spans[b.axis][1] - 1
            across = (e.minimum(beyond, last), x.strides[b.axis])
            one = e.load(e.at(x.pointer, across, place))
        else:
            one = e.load(e.at(x.pointer, place))
        value = e.insert(value, one, lane)
    return widened(e, value, b.spec.dtype)


def _forward(b: _Builder) -> None:
    e, spec = b.e, b.spec
    lanes = 1 if spec.lanes_along == "axis" else b.lanes
    kept = [e.scratch("float64", lanes, f"sum{i}") for i in range(SUMS)]
    for each in kept:
        e.store(e.zero("float64", lanes), each)

    def add(place: Value, value: Value) -> None:
        """To one of the sums, as many lanes as there are."""
        before = e.load(place, value.type.lanes)
        e.store(before + e.cast(value, "float64"), place)

    def rows(row: Row, operands, index, lanes: int, left) -> None:
        of = b.classes(operands, index, lanes, left)
        picked = _picked(b, row, operands[0], of, index)
        if spec.normalised:
            loss = -picked
        else:
            top, logarithm = top_and_logarithm(e, row, b.wide)
            loss = _lanes(e, top, lanes) - picked + _lanes(e, logarithm, lanes)
        loss = e.select(of.counts, loss * of.weight, e.zero(loss.type))
        one = e.constant(1.0, "float64", lanes)
        add(kept[0], loss)
        add(kept[1], of.weight)
        add(kept[2], e.select(of.wrong, one, e.zero(one.type)))
        if not spec.each:
            return
        if spec.lanes_along == "axis":
            value = e.extract(narrowed(e, loss, spec.dtype), 0)
            e.store(value, operands[2].pointer)
        else:
            store(e, loss, operands[2], index, left)

    b.loops(rows)
    for i, each in enumerate(kept):
        total = e.fold(e.load(each, lanes), lambda a, b: a + b)
        e.store(total, e.at(b.sums, (e.chunk, SUMS), i))


def _lanes(e: Emitter, value: Value, lanes: int) -> Value:
    return value if value.type.lanes else e.splat(value, lanes)


def _backward(b: _Builder) -> None:
    e, spec = b.e, b.spec
    divisor = e.load(b.divisor)

    def rows(row: Row, operands, index, lanes: int, left) -> None:
        of = b.classes(operands, index, lanes, left)
        grad = b.beside(operands[2], index, lanes, left)
        share = grad * e.cast(
            e.cast(of.weight, "float64") / e.splat(divisor, lanes), b.wide
        )
        share = e.select(of.valid, share, e.zero(share.type))
        wanted = of.narrow()
        if spec.lanes_along == "axis":
            share, wanted = e.extract(share, 0), e.extract(wanted, 0)

        def less(x: Value, part: Value) -> Value:
            """The part, less the share where the class is the row's."""
            hit = e.compare("==", row.place(), lifted(e, row.place(), wanted))
            return part - e.select(hit, lifted(e, x, share), e.zero(x.type))

        if spec.normalised:
            row.write(lambda x: less(x, e.zero(x.type)))
            return
        top = greatest(e, row, b.wide)
        # A result's place holds its exponential until the sum is known.
        held = isinstance(row, Held)
        keeps = not held and b.wide == spec.dtype

        def power(x: Value) -> Value:
            return exp_below(e, x - lifted(e, x, top))

        def term(x: Value, *_) -> Value:
            value = power(x)
            if keeps:
                row.keep(value)
            return value if held else e.cast(value, "float64")

        total = e.cast(row.total("float64", term, lambda a, b: a + b, 0.0), b.wide)
        scale = share / total

        def slope(x: Value) -> Value:
            value = row.kept() if keeps else power(x)
            return less(x, value * lifted(e, x, scale))

        row.write(slope)

    b.loops(rows)
