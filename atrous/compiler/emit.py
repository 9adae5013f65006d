"""The IR builder: a schedule reads like its loop nest; no basic block appears in it.

    e = Emitter("scale", target)
    x, y, n = e.pointer(0, "float32"), e.pointer(1, "float32"), e.argument(2, "n")
    with e.loop("i", n) as i:
        e.store(e.load(x + i.index) * 2.0, y + i.index)
    kernel = e.finish()

A Python loop unrolls, an `e.loop` is a machine loop; what it carries are registers.
Pointers count in elements, offsets are 64-bit. Beside the IR a listing is written: the
loops, and what is done in each, for people to read and for golden files to hold.
Kernels have one type, `void kernel(i64 *arguments, i64 chunk, i64 worker)`.

The IR is text from the start: LLVM's own parser checks every type when it reads it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from .instructions import Instructions
from .values import INDEX, ITEMSIZES, Type, Value, bits, shown

__all__ = ["ITEMSIZES", "Emitter", "Kernel", "Loop", "Type", "Value", "bits"]


class Loop:
    """A machine loop: its index, and the registers it carries."""

    def __init__(self, index: Value, carry: list[Value]):
        self.index = index
        self.carry = carry


@dataclass(frozen=True)
class Kernel:
    """The text of a kernel: IR for the machine, a listing for people."""

    name: str
    ir: str
    listing: str


class Emitter(Instructions):
    """Writes one kernel. `chunk` and `worker` are its last two arguments."""

    SYMBOL = "kernel"

    # Control -------------------------------------------------------------------

    @contextmanager
    def loop(
        self, name: str, stop, *, start=0, step=1, carry: Sequence[Value] = ()
    ) -> Iterator[Loop]:
        """For `name` from `start` below `stop`. Assign `carry` before the block ends;
        after it, `carry` holds the last values."""
        self._flush()
        registers = f" [{len(carry)} registers]" if carry else ""
        span = shown(stop) if start == 0 else f"{shown(start)} … {shown(stop)}"
        by = "" if step == 1 else f" by {shown(step)}"
        self._listing.append(
            "  " * self._depth + f"for {name} in {span}{by}{registers}"
        )
        self._depth += 1
        start, stop, step = (self._value(v, INDEX) for v in (start, stop, step))
        head, body, done = (
            self._fresh_label(f"{part}.{name}.") for part in ("head", "body", "done")
        )
        before = self._block
        self._lines.append(f"  br label %{head}")
        self._label(head)
        index = Value(self, self._new(), INDEX, label=name)
        phis = [Value(self, self._new(), value.type, value.element) for value in carry]
        place = len(self._lines)
        self._lines.extend([""] * (1 + len(phis)))  # known when the body is
        more = self.compare("<", index, stop)
        self._lines.append(f"  br i1 {more.text}, label %{body}, label %{done}")
        self._label(body)
        loop = Loop(index, list(phis))
        yield loop
        self._flush()
        following = self._emit(INDEX, f"add nsw i64 {index.text}, {step.text}")
        if len(loop.carry) != len(phis):
            raise ValueError(f"loop {name}: {len(loop.carry)} of {len(phis)} carried")
        pairs = [(index, start, following), *zip(phis, carry, loop.carry, strict=True)]
        for line, (phi, first, later) in enumerate(pairs, place):
            self._lines[line] = (
                f"  {phi.text} = phi {phi.type.ir} [ {first.text}, %{before} ], "
                f"[ {later.text}, %{self._block} ]"
            )
        self._lines.append(f"  br label %{head}, !llvm.loop !1")
        self._label(done)
        self._depth -= 1
        loop.carry = phis

    @contextmanager
    def when(self, condition: Value, text: str = "") -> Iterator[None]:
        """What follows is done where the condition is true."""
        self._flush()
        self._listing.append("  " * self._depth + f"when {text or 'so'}")
        self._depth += 1
        yes, done = (self._fresh_label(f"{part}.when.") for part in ("then", "done"))
        self._lines.append(f"  br i1 {condition.text}, label %{yes}, label %{done}")
        self._label(yes)
        yield
        self._flush()
        self._lines.append(f"  br label %{done}")
        self._label(done)
        self._depth -= 1

    # The end -------------------------------------------------------------------

    def finish(self) -> Kernel:
        """The kernel as text."""
        self._flush()
        target = self.target
        bits = target.vector_bytes * 8
        attributes = (
            f'nounwind "target-cpu"="{target.cpu}" '
            f'"target-features"="{target.features}"'
            f' "prefer-vector-width"="{bits}" "min-legal-vector-width"="{bits}"'
        )
        ir = "\n".join(
            [
                f'target triple = "{target.triple}"',
                *self._declared.values(),
                f"define void @{self.SYMBOL}(ptr noalias readonly %arguments, "
                "i64 %chunk, i64 %worker) #0 {",
                "entry:",
                *self._entry,
                "  br label %body",
                "body:",
                *self._lines,
                "  ret void",
                "}",
                f"attributes #0 = {{ {attributes} }}",
                "!0 = !{}",
                "!1 = distinct !{!1, !2}",
                '!2 = !{!"llvm.loop.unroll.disable"}',
                "!3 = !{i32 1}",
                "",
            ]
        )
        return Kernel(self.name, ir, "\n".join(self._listing) + "\n")
