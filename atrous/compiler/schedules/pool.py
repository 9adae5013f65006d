"""Pooling and its gradients, lanes over the channels.

Forward, for each output: the taps of its window, which tables bound (first element,
how many), so that padding, dilation, ceil_mode and adaptive windows are one loop nest.

    for n, o… / for c by lanes / for taps of each axis [2 registers]: max, or sum

Where every window has the same few taps (no padding, say) these are unrolled: a window
of 2³ is 8 loads and no loop.

Backward gathers too: for each input, the windows that hold it (a second table), and of
these the ones whose maximum it was. So no result is written twice, any chunk may run
anywhere, and the order of additions is fixed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..emit import Emitter, Kernel, Value
from ..expression import register
from ..target import Target
from .expressions import has_masks, kept, narrowed, stored
from .pointwise import Operand, along, box, load, store
from .reduce import neutral

#: Numbers a table has for each position: first, how many, the divisor's part.
COLUMNS = 3
FORMS = ("max", "max_alone", "max_gradient", "pick", "average", "average_gradient")


@dataclass(frozen=True)
class PoolKernel:
    """What a pooling kernel depends on: the form, dtypes and walks along channels.

    Forms: "max" stores indices beside the values, "max_alone" does not, "pick" takes
    values at given indices; operands are inputs, then results. `index` is the indices'
    dtype. `taps` is how many every window has along each axis, None if not all alike.
    `override` says that the divisor is an argument, `streams` that the values are
    written past the caches.
    """

    form: str
    dtype: str
    rank: int
    walks: tuple[str, ...]
    index: str = "int64"
    taps: tuple[int, ...] | None = None
    override: bool = False
    streams: bool = False


#: What inputs and results hold; and which of them lie at the place itself, the others
#: where a table says.
OPERANDS = {
    "max": (("value", "value", "index"), (1, 2)),
    "max_alone": (("value", "value"), (1,)),
    "max_gradient": (("value", "index", "value"), (2,)),
    "pick": (("value", "index", "value"), (1, 2)),
    "average": (("value", "value"), (1,)),
    "average_gradient": (("value", "value"), (1,)),
}


class _Builder:
    """Operands, tables and loops of one kernel.

    Arguments: addresses of operands, of a table for each axis of the places, and of one
    of the windows' divisors for each; sizes, lengths and numbers of blocks of batch,
    places and channels; strides by operand; dilations; sizes of the input; the divisor.
    """

    def __init__(self, key: PoolKernel, target: Target) -> None:
        self.key = key
        self.e = e = Emitter(f"pool_{key.form}", target)
        holds, self.walked = OPERANDS[key.form]
        dtypes = [key.index if held == "index" else key.dtype for held in holds]
        dims, count = key.rank + 2, len(dtypes)
        head = count + 2 * key.rank
        first = head + 3 * dims
        self.operands = [
            Operand(
                e.pointer(i, stored(dtype)),
                dtype,
                [e.argument(first + i * dims + a) for a in range(dims)],
                key.walks[i],
            )
            for i, dtype in enumerate(dtypes)
        ]
        next = first + count * dims
        axes = range(key.rank)
        self.tables = [e.pointer(count + a, "int64", f"windows{a}") for a in axes]
        self.divisors = [e.pointer(count + key.rank + a, "int64") for a in axes]
        self.dilations = [e.argument(next + a) for a in axes]
        self.sizes = [e.argument(next + key.rank + a) for a in axes]
        self.override = next + 2 * key.rank
        self.spans = box(e, head, dims)
        wide = kept(key.dtype)
        self.wide = wide
        self.lanes = target.lanes(max(4, e.type(wide).itemsize))
        results = key.walks[-2:] if key.form == "max" else key.walks[-1:]
        self.masked = has_masks(target, dtypes) and "strided" not in results

    def places(self, body: Callable) -> None:
        """Loops over batch and places: body(operands at n, place, windows' entries)."""
        self._place(self.operands, [], [], 0, body)

    def _place(self, operands, indices, entries, axis: int, body) -> None:
        if axis > self.key.rank:
            body(operands, indices, entries)
            return
        start, stop = self.spans[axis]
        with self.e.loop("n" if axis == 0 else f"o{axis}", stop, start=start) as loop:
            here = loop.index
            moved = [
                # what is looked up by tables moves over the batch alone
                o.moved(self.e, here, axis) if axis == 0 or i in self.walked else o
                for i, o in enumerate(operands)
            ]
            if axis == 0:
                self._place(moved, [], [], 1, body)
                return
            entry = self._entry(self.tables[axis - 1], here)
            self._place(moved, [*indices, here], [*entries, entry], axis + 1, body)

    def _entry(self, table: Value, index: Value) -> list[Value]:
        """Of a place along one axis: first, how many, the divisor's part."""
        row = self.e.at(table, (index, COLUMNS))
        return [self.e.load(self.e.at(row, column)) for column in range(COLUMNS)]

    def taps(self, entries, operands, totals: list[Value], dilated: bool, body):
        """Loops over the taps of a window; body(operands, flat index, indices)."""
        flat = self.e.constant(0, "int64")
        return self._tap(entries, operands, totals, dilated, flat, [], body)

    def _tap(self, entries, operands, totals, dilated, flat, indices, body):
        axis = len(indices)
        if axis == self.key.rank:
            return body(operands, flat, indices, totals)
        e = self.e
        start, count, _ = entries[axis]

        def one(tap, totals):
            step = self.dilations[axis] * tap if dilated else tap
            place = start + step
            moved = [o.moved(e, place, axis + 1) for o in operands]
            deeper = flat * self.sizes[axis] + place
            return self._tap(
                entries, moved, totals, dilated, deeper, [*indices, place], body
            )

        if self.key.taps is not None:
            for tap in range(self.key.taps[axis]):
                totals = one(tap, totals)
            return totals
        with e.loop(f"k{axis}", count, carry=totals) as k:
            k.carry = one(k.index, k.carry)
        return k.carry

    def numbered(self, flat: Value, lanes: int) -> Value:
        """A flat index in every lane, in the indices' dtype."""
        return self.e.splat(self.e.cast(flat, self.key.index), lanes)

    def flat(self, indices: list[Value]) -> Value:
        """The flat index of a place of the input."""
        total = self.e.constant(0, "int64")
        for index, size in zip(indices, self.sizes, strict=True):
            total = total * size + index
        return total

    def channels(self, body: Callable[[Value, int, Value | None], None]) -> None:
        along(self.e, self.spans[-1], self.lanes, self.masked, body)

    def write(self, value: Value, operand: Operand, c: Value, left) -> None:
        """Store a vector of the result's channels."""
        if self.key.streams and left is None and value.type.lanes == self.lanes:
            place = self.e.at(operand.pointer, c)
            self.e.stream(narrowed(self.e, value, operand.dtype), place)
        else:
            store(self.e, value, operand, c, left)

    def product(self, parts: Sequence[Value]) -> Value:
        total = parts[0]
        for part in parts[1:]:
            total = total * part
        return total

    def divisor(self, parts: Sequence[Value], lanes: int) -> Value:
        """What a window's sum is divided by, in every lane."""
        e = self.e
        if self.key.override:
            return e.splat(e.cast(e.argument(self.override), self.wide), lanes)
        return e.splat(e.cast(self.product(parts), self.wide), lanes)


def build(key: PoolKernel, target: Target) -> Kernel:
    """The kernel of a form."""
    builder = _Builder(key, target)
    forms = {
        "max": _max,
        "max_alone": _max_alone,
        "max_gradient": _max_gradient,
        "pick": _pick,
        "average": _average,
        "average_gradient": _average_gradient,
    }
    forms[key.form](builder)
    if key.streams:
        builder.e.settle()
    return builder.e.finish()


def _max(b: _Builder) -> None:
    """The first of the greatest, but the last NaN, as torch has it."""
    e = b.e
    worst = neutral("max", register(b.key.dtype))

    def place(operands, indices, entries) -> None:
        origin = b.flat([start for start, _, _ in entries])

        def body(c: Value, lanes: int, left: Value | None) -> None:
            def tap(here, flat, _, totals):
                value = load(e, here[0], c, lanes, left)
                better = _beats(e, value, totals[0])
                return [
                    e.select(better, value, totals[0]),
                    e.select(better, b.numbered(flat, lanes), totals[1]),
                ]

            best = e.constant(worst, b.wide, lanes), b.numbered(origin, lanes)
            found = b.taps(entries, operands[:1], list(best), True, tap)
            b.write(found[0], operands[1], c, left)
            store(e, found[1], operands[2], c, left)

        b.channels(body)

    b.places(place)


def _max_alone(b: _Builder) -> None:
    """As `_max`, where nobody asks which element it was.

    NaN is seen to at the end: the step is then one instruction, x > best ? x : best.
    """
    e = b.e
    worst = neutral("max", register(b.key.dtype))

    def place(operands, indices, entries) -> None:
        def body(c: Value, lanes: int, left: Value | None) -> None:
            def tap(here, _flat, _indices, totals):
                value = load(e, here[0], c, lanes, left)
                if not value.type.floating:
                    return [e.maximum(value, totals[0]), totals[1]]
                best = e.select(value > totals[0], value, totals[0])
                return [best, totals[1] | e.compare("!=", value, value)]

            start = e.constant(worst, b.wide, lanes), e.zero("truth", lanes)
            best, odd = b.taps(entries, operands[:1], list(start), True, tap)
            if best.type.floating:
                best = e.select(odd, e.constant(float("nan"), best.type), best)
            b.write(best, operands[1], c, left)

        b.channels(body)

    b.places(place)


def _beats(e: Emitter, value: Value, best: Value) -> Value:
    if value.type.name == "truth":
        return value & ~best
    better = value > best
    if value.type.floating:
        better = better | e.compare("!=", value, value)
    return better


def _pick(b: _Builder) -> None:
    """The values at given indices, each within its window."""
    e = b.e

    def place(operands, indices, entries) -> None:
        def body(c: Value, lanes: int, left: Value | None) -> None:
            wanted = load(e, operands[1], c, lanes, left)

            def tap(here, flat, _, totals):
                value = load(e, here[0], c, lanes, left)
                chosen = e.compare("==", wanted, b.numbered(flat, lanes))
                return [e.select(chosen, value, totals[0])]

            start = [e.zero(b.wide, lanes)]
            found = b.taps(entries, operands[:1], start, True, tap)
            b.write(found[0], operands[2], c, left)

        b.channels(body)

    b.places(place)


def _max_gradient(b: _Builder) -> None:
    """Each input takes the gradients of the windows whose maximum it was."""
    e = b.e

    def place(operands, indices, entries) -> None:
        own = b.flat(indices)

        def body(c: Value, lanes: int, left: Value | None) -> None:
            me = b.numbered(own, lanes)

            def tap(here, _flat, _indices, totals):
                grad = load(e, here[0], c, lanes, left)
                index = load(e, here[1], c, lanes, left)
                mine = e.compare("==", index, me)
                return [totals[0] + e.select(mine, grad, e.zero(grad.type))]

            start = [e.zero(b.wide, lanes)]
            found = b.taps(entries, operands[:2], start, False, tap)
            b.write(found[0], operands[2], c, left)

        b.channels(body)

    b.places(place)


def _average(b: _Builder) -> None:
    e = b.e

    def place(operands, indices, entries) -> None:
        def body(c: Value, lanes: int, left: Value | None) -> None:
            def tap(here, _flat, _indices, totals):
                return [totals[0] + load(e, here[0], c, lanes, left)]

            start = [e.zero(b.wide, lanes)]
            found = b.taps(entries, operands[:1], start, True, tap)
            divisor = b.divisor([part for _, _, part in entries], lanes)
            b.write(found[0] / divisor, operands[1], c, left)

        b.channels(body)

    b.places(place)


def _average_gradient(b: _Builder) -> None:
    """Each input takes its share of every window that holds it."""
    e = b.e

    def place(operands, indices, entries) -> None:
        def body(c: Value, lanes: int, left: Value | None) -> None:
            def tap(here, _flat, windows, totals):
                parts = [
                    e.load(e.at(table, window))
                    for table, window in zip(b.divisors, windows, strict=True)
                ]
                grad = load(e, here[0], c, lanes, left)
                return [totals[0] + grad / b.divisor(parts, lanes)]

            start = [e.zero(b.wide, lanes)]
            found = b.taps(entries, operands[:1], start, False, tap)
            b.write(found[0], operands[1], c, left)

        b.channels(body)

    b.places(place)
