"""The instructions of a kernel: arguments, memory, arithmetic and lanes.

`emit.Emitter` adds loops, and makes it a kernel; schedules know only that.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .target import Target
from .values import INDEX, IR_NAMES, Type, Value, float_text, mangled

_INTEGER = {"add": "add", "sub": "sub", "mul": "mul", "shl": "shl"}
_FLOATING = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv", "rem": "frem"}
_ORDER = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}


class Instructions:
    """Writes instructions, one after the other, in text."""

    def __init__(self, name: str, target: Target):
        self.name, self.target = name, target
        self._entry: list[str] = []  # what is needed once, before everything
        self._lines: list[str] = []
        self._declared: dict[str, str] = {}
        self._arguments: dict[tuple, Value] = {}
        self._count = 0
        self._block = "body"
        self._listing: list[str] = [f"kernel {name} for {target.name}"]
        self._depth = 1
        self._done: Counter[str] = Counter()
        self.chunk = Value(self, "%chunk", INDEX, label="chunk")
        self.worker = Value(self, "%worker", INDEX, label="worker")

    # Writing -------------------------------------------------------------------

    def _new(self) -> str:
        self._count += 1
        return f"%v{self._count}"

    def _emit(self, type: Type, text: str, note: str | None = None, **extra) -> Value:
        name = self._new()
        self._lines.append(f"  {name} = {text}")
        if note:
            self._done[note] += 1
        return Value(self, name, type, **extra)

    def _label(self, name: str) -> None:
        self._lines.append(f"{name}:")
        self._block = name

    def _fresh_label(self, name: str) -> str:
        self._count += 1
        return f"{name}{self._count}"

    def _flush(self) -> None:
        """Sum up in the listing what was written since its last line."""
        if self._done:
            summary = " · ".join(f"{n} {what}" for what, n in self._done.items())
            self._listing.append("  " * self._depth + summary)
            self._done.clear()

    def note(self, text: str) -> None:
        """Add a line to the listing."""
        self._flush()
        self._listing.append("  " * self._depth + text)

    def call(self, type: Type | None, function: str, *values) -> Any:
        """Call an intrinsic or a C function by name; `type` None returns nothing."""
        given = ", ".join(value.type.ir for value in values)
        result = "void" if type is None else type.ir
        self._declared[function] = f"declare {result} @{function}({given})"
        passed = ", ".join(f"{value.type.ir} {value.text}" for value in values)
        text = f"call {result} @{function}({passed})"
        if type is not None:
            return self._emit(type, text)
        self._lines.append(f"  {text}")
        return None

    # Arguments and constants ---------------------------------------------------

    def _loaded(self, index: int, type: Type, label, element=None) -> Value:
        """Argument `index` of the kernel, read once at its start."""
        key = (index, type, element)
        if key not in self._arguments:
            place, name = self._new(), self._new()
            self._entry.append(
                f"  {place} = getelementptr i64, ptr %arguments, i64 {index}\n"
                f"  {name} = load {type.ir}, ptr {place}, !invariant.load !0"
            )
            label = label or f"argument{index}"
            self._arguments[key] = Value(self, name, type, element, label)
        return self._arguments[key]

    def argument(self, index: int, label: str | None = None) -> Value:
        """The integer argument at `index`: a size or a stride in elements."""
        return self._loaded(index, INDEX, label)

    def pointer(self, index: int, dtype, label: str | None = None) -> Value:
        """The argument at `index`, an address of elements of `dtype`."""
        return self._loaded(index, Type("pointer"), label, self.type(dtype))

    def scalar(self, index: int, dtype, label: str | None = None) -> Value:
        """The argument at `index`, whose low bits are a value of `dtype`."""
        return self._loaded(index, self.type(dtype), label)

    @staticmethod
    def type(dtype, lanes: int | None = None) -> Type:
        """A Type, from a Type, a NumPy dtype or a name."""
        if isinstance(dtype, Type):
            return dtype if lanes is None else replace(dtype, lanes=lanes)
        name = dtype if isinstance(dtype, str) else getattr(dtype, "name", str(dtype))
        return Type(name, lanes)

    def constant(self, value, dtype, lanes: int | None = None) -> Value:
        """A number of `dtype`, in every lane."""
        type = self.type(dtype, lanes)
        if type.floating:
            text = float_text(type.name, float(value))
        elif type.name == "truth":
            text = "true" if value else "false"
        else:
            text = str(int(value))
        if type.lanes is not None:
            element = IR_NAMES[type.name]
            text = "<" + ", ".join([f"{element} {text}"] * type.lanes) + ">"
        return Value(self, text, type, label=str(value))

    def zero(self, dtype, lanes: int | None = None) -> Value:
        """Nought, in every lane: where a sum starts."""
        return self.constant(0, dtype, lanes)

    def steps(self, lanes: int, dtype="int64") -> Value:
        """The vector 0, 1, 2, …"""
        element = IR_NAMES[self.type(dtype).name]
        text = "<" + ", ".join(f"{element} {i}" for i in range(lanes)) + ">"
        return Value(self, text, self.type(dtype, lanes))

    def _value(self, value, like: Type) -> Value:
        """A number beside a Value takes its type; a scalar beside lanes spreads."""
        if not isinstance(value, Value):
            return self.constant(value, like)
        if value.type.lanes is None and like.lanes is not None:
            return self.splat(value, like.lanes)
        return value

    def _pair(self, a, b) -> tuple[Value, Value]:
        known = [v.type for v in (a, b) if isinstance(v, Value)]
        like = next((type for type in known if type.lanes is not None), known[0])
        return self._value(a, like), self._value(b, like)

    # Memory --------------------------------------------------------------------

    def at(self, pointer: Value, *offsets, label: str | None = None) -> Value:
        """`pointer` moved by elements; an offset is a number or (index, stride)."""
        total: Any = 0
        for offset in offsets:
            total = total + (
                offset[0] * offset[1] if isinstance(offset, tuple) else offset
            )
        label = label or pointer.label
        if isinstance(total, int):
            if total == 0:
                return pointer
            total = self.constant(total, INDEX)
        element = self.memory_type(pointer.element).ir
        text = f"getelementptr {element}, ptr {pointer.text}, i64 {total.text}"
        return self._emit(pointer.type, text, element=pointer.element, label=label)

    def opaque(self, pointer: Value) -> Value:
        """The same address, whose origin LLVM cannot see.

        Its loop strength reduction tries every way to write a family of addresses:
        seconds for a tile of a few dozen. It does not look beyond this.
        """
        text = f'call ptr asm "", "=r,0"(ptr {pointer.text})'
        return self._emit(
            pointer.type, text, element=pointer.element, label=pointer.label
        )

    def forget(self) -> None:
        """What was loaded before counts as changed: it is not kept for later loads,
        and those are not moved up to here. Costs no instruction."""
        self._lines.append('  call void asm sideeffect "", "~{memory}"()')

    @staticmethod
    def memory_type(type: Type) -> Type:
        """How a type lies in memory: truth takes a byte."""
        return type.of("bool") if type.name == "truth" else type

    def retyped(self, pointer: Value, dtype) -> Value:
        """The same address, seen as elements of another dtype."""
        return Value(self, pointer.text, pointer.type, self.type(dtype), pointer.label)

    def address(self, number: Value, dtype, label: str | None = None) -> Value:
        """An integer as a pointer to elements of `dtype`."""
        text = f"inttoptr i64 {number.text} to ptr"
        return self._emit(Type("pointer"), text, element=self.type(dtype), label=label)

    def mask(self, count, lanes: int) -> Value:
        """Truth in the first `count` lanes. `count` may be 0 or less, or beyond."""
        count = self.cast(self.minimum(self._value(count, INDEX), lanes), "int32")
        return self.compare("<", self.steps(lanes, "int32"), count)

    def load(self, pointer: Value, lanes: int | None = None, mask: Value | None = None):
        """`lanes` neighbours from memory (None: one scalar); masked lanes read as 0."""
        type = replace(pointer.element, lanes=lanes)
        align = type.itemsize
        note = f"load {pointer.label or ''} {type}".replace("  ", " ")
        if mask is None:
            text = f"load {type.ir}, ptr {pointer.text}, align {align}"
            return self._emit(type, text, note)
        self._declared[f"llvm.masked.load.{mangled(type)}"] = (
            f"declare {type.ir} @llvm.masked.load.{mangled(type)}.p0"
            f"(ptr, i32, <{lanes} x i1>, {type.ir})"
        )
        text = (
            f"call {type.ir} @llvm.masked.load.{mangled(type)}.p0(ptr {pointer.text}, "
            f"i32 {align}, <{lanes} x i1> {mask.text}, {type.ir} zeroinitializer)"
        )
        return self._emit(type, text, f"{note} masked")

    def stream(self, value: Value, pointer: Value) -> None:
        """Write a whole vector past the caches, for what outgrows them; its address is
        a multiple of its size. `settle` before anyone else reads it."""
        type = value.type
        align = type.itemsize * (type.lanes or 1)
        self._lines.append(
            f"  store {type.ir} {value.text}, ptr {pointer.text}, align {align}, "
            "!nontemporal !3"
        )
        self._done[f"stream {pointer.label or ''} {type}".replace("  ", " ")] += 1

    def settle(self) -> None:
        """What was streamed is in memory before what is stored after this."""
        if self.target.triple.startswith("x86"):  # elsewhere streams keep their order
            self.call(None, "llvm.x86.sse.sfence")

    def store(self, value: Value, pointer: Value, mask: Value | None = None) -> None:
        """Write a scalar or neighbouring lanes to memory, where `mask` is true."""
        type, align = value.type, value.type.itemsize
        note = f"store {pointer.label or ''} {type}".replace("  ", " ")
        if mask is None:
            self._lines.append(
                f"  store {type.ir} {value.text}, ptr {pointer.text}, align {align}"
            )
            self._done[note] += 1
            return
        self._declared[f"llvm.masked.store.{mangled(type)}"] = (
            f"declare void @llvm.masked.store.{mangled(type)}.p0"
            f"({type.ir}, ptr, i32, <{type.lanes} x i1>)"
        )
        self._lines.append(
            f"  call void @llvm.masked.store.{mangled(type)}.p0({type.ir} "
            f"{value.text}, ptr {pointer.text}, i32 {align}, "
            f"<{type.lanes} x i1> {mask.text})"
        )
        self._done[f"{note} masked"] += 1

    def _places(self, pointer: Value, offsets: Value) -> Value:
        """An address for each lane, at `offsets` elements."""
        text = f"getelementptr {pointer.element.ir}, ptr {pointer.text}, "
        text += f"{offsets.type.ir} {offsets.text}"
        return self._emit(Type("pointer", offsets.type.lanes), text)

    def gather(
        self, pointer: Value, offsets: Value, mask: Value | None = None
    ) -> Value:
        """One element for each lane, at `offsets` elements; masked lanes read as 0."""
        lanes = offsets.type.lanes
        type = replace(pointer.element, lanes=lanes)
        mask = mask or self.constant(True, "truth", lanes)
        places = self._places(pointer, offsets)
        name = f"llvm.masked.gather.{mangled(type)}.v{lanes}p0"
        self._declared[name] = (
            f"declare {type.ir} @{name}"
            f"(<{lanes} x ptr>, i32, <{lanes} x i1>, {type.ir})"
        )
        text = (
            f"call {type.ir} @{name}(<{lanes} x ptr> {places.text}, "
            f"i32 {type.itemsize}, <{lanes} x i1> {mask.text}, "
            f"{type.ir} zeroinitializer)"
        )
        return self._emit(type, text, f"gather {pointer.label or ''} {type}")

    def scatter(self, value: Value, pointer: Value, offsets: Value, mask=None) -> None:
        """Write each lane at its own offset, the last lane last."""
        type, lanes = value.type, value.type.lanes
        mask = mask or self.constant(True, "truth", lanes)
        places = self._places(pointer, offsets)
        name = f"llvm.masked.scatter.{mangled(type)}.v{lanes}p0"
        self._declared[name] = (
            f"declare void @{name}({type.ir}, <{lanes} x ptr>, i32, <{lanes} x i1>)"
        )
        self._lines.append(
            f"  call void @{name}({type.ir} {value.text}, <{lanes} x ptr> "
            f"{places.text}, i32 {type.itemsize}, <{lanes} x i1> {mask.text})"
        )
        self._done[f"scatter {pointer.label or ''} {type}"] += 1

    def copy(self, to: Value, source: Value, count) -> None:
        """`count` neighbouring elements from one place to another, as bytes."""
        size = self._value(count, INDEX) * source.element.itemsize
        size = self._value(size, INDEX)
        name = "llvm.memcpy.p0.p0.i64"
        self._declared[name] = f"declare void @{name}(ptr, ptr, i64, i1)"
        align = source.element.itemsize
        self._lines.append(
            f"  call void @{name}(ptr align {align} {to.text}, ptr align {align} "
            f"{source.text}, i64 {size.text}, i1 false)"
        )
        self._done[f"copy {source.label} to {to.label}"] += 1

    def clear(self, to: Value, count) -> None:
        """Zero in `count` neighbouring elements."""
        size = self._value(count, INDEX) * to.element.itemsize
        name = "llvm.memset.p0.i64"
        self._declared[name] = f"declare void @{name}(ptr, i8, i64, i1)"
        align = to.element.itemsize
        self._lines.append(
            f"  call void @{name}(ptr align {align} {to.text}, i8 0, "
            f"i64 {size.text}, i1 false)"
        )
        self._done[f"clear {to.label}"] += 1

    def prefetch(self, pointer: Value, level: int = 1) -> None:
        """Ask for the cache line at `pointer` in a level of cache; it need not
        exist."""
        self._declared["llvm.prefetch.p0"] = (
            "declare void @llvm.prefetch.p0(ptr, i32, i32, i32)"
        )
        self._lines.append(
            f"  call void @llvm.prefetch.p0(ptr {pointer.text}, i32 0,"
            f" i32 {4 - level}, i32 1)"
        )

    def scratch(self, dtype, count: int, label: str = "scratch") -> Value:
        """`count` elements on the stack, 64-byte aligned, for the whole kernel."""
        type, name = self.type(dtype), self._new()
        self._entry.append(
            f"  {name} = alloca [{count} x {self.memory_type(type).ir}], align 64"
        )
        return Value(self, name, Type("pointer"), type, label)

    # Arithmetic ----------------------------------------------------------------

    def binary(self, operation: str, a, b):
        """add sub mul div rem and or xor shl shr; integers wrap, div truncates."""
        if not isinstance(a, Value) and not isinstance(b, Value):
            raise TypeError("two Python numbers need no instruction")
        if (shortcut := _neutral(operation, a, b)) is not None:
            return shortcut
        a, b = self._pair(a, b)
        type = a.type
        if type.floating and operation in _FLOATING:
            name = _FLOATING[operation]
        elif operation in ("div", "rem"):
            name = ("s" if type.signed else "u") + operation
        elif operation == "shr":
            name = "ashr" if type.signed else "lshr"
        else:
            name = _INTEGER.get(operation, operation)
        note = f"{operation} {type}" if type != INDEX else None
        return self._emit(type, f"{name} {type.ir} {a.text}, {b.text}", note)

    def negate(self, value: Value) -> Value:
        if value.type.floating:
            text = f"fneg {value.type.ir} {value.text}"
            return self._emit(value.type, text, f"negate {value.type}")
        return self.binary("sub", 0, value)

    def fma(self, a: Value, b: Value | float, c: Value) -> Value:
        """a·b + c, rounded once where the target can."""
        a, b = self._pair(a, b)
        if not self.target.fused:
            return a * b + c
        name = f"llvm.fma.{mangled(c.type)}"
        value = self.call(c.type, name, a, b, c)
        self._done[f"fma {c.type}"] += 1
        return value

    def intrinsic(self, name: str, *values: Value) -> Value:
        """An LLVM intrinsic over one type: sqrt, fabs, floor, minimum, smax, …"""
        type = values[0].type
        if type != INDEX:
            self._done[f"{name} {type}"] += 1
        return self.call(type, f"llvm.{name}.{mangled(type)}", *values)

    def minimum(self, a, b) -> Value:
        """The lesser; NaN if either is."""
        a, b = self._pair(a, b)
        kind = "minimum" if a.type.floating else ("smin" if a.type.signed else "umin")
        return self.intrinsic(kind, a, b)

    def maximum(self, a, b) -> Value:
        """The greater; NaN if either is."""
        a, b = self._pair(a, b)
        kind = "maximum" if a.type.floating else ("smax" if a.type.signed else "umax")
        return self.intrinsic(kind, a, b)

    def compare(self, relation: str, a, b) -> Value:
        """== != < <= > >= -> truth; with NaN, only != is true."""
        a, b = self._pair(a, b)
        order = _ORDER[relation]
        if a.type.floating:
            text = f"fcmp {'une' if order == 'ne' else 'o' + order}"
        elif order in ("eq", "ne"):
            text = f"icmp {order}"
        else:
            text = f"icmp {'s' if a.type.signed else 'u'}{order}"
        return self._emit(a.type.of("truth"), f"{text} {a.type.ir} {a.text}, {b.text}")

    def select(self, condition: Value, a, b) -> Value:
        """`a` where the condition is true, else `b`."""
        a, b = self._pair(a, b)
        text = (
            f"select {condition.type.ir} {condition.text}, "
            f"{a.type.ir} {a.text}, {b.type.ir} {b.text}"
        )
        return self._emit(a.type, text, f"select {a.type}" if a.type != INDEX else None)

    def cast(self, value: Value, dtype) -> Value:
        """Convert to another element type; to an integer truncates and saturates."""
        to = (
            self.type(dtype, value.type.lanes) if value.type.lanes else self.type(dtype)
        )
        source = value.type
        if source.name == to.name:
            return value
        if to.name in ("truth", "bool"):
            truth = value if source.name == "truth" else self.compare("!=", value, 0)
            return truth if to.name == "truth" else self._cast("zext", truth, to)
        unsigned = not source.signed
        if source.floating and to.floating:
            if source.itemsize == to.itemsize:  # float16 <-> bfloat16
                return self.cast(self.cast(value, "float32"), to)
            smaller = to.itemsize < source.itemsize
            return self._cast("fptrunc" if smaller else "fpext", value, to)
        if source.floating:
            kind = "fptosi" if to.signed else "fptoui"
            name = f"llvm.{kind}.sat.{mangled(to)}.{mangled(source)}"
            self._done[f"{to} from {source}"] += 1
            return self.call(to, name, value)
        if to.floating:
            return self._cast("uitofp" if unsigned else "sitofp", value, to)
        bits, wanted = IR_NAMES[source.name], IR_NAMES[to.name]
        if bits == wanted:
            return Value(self, value.text, to, label=value.label)
        if int(wanted[1:]) < int(bits[1:]):
            return self._cast("trunc", value, to)
        return self._cast("zext" if unsigned else "sext", value, to)

    def _cast(self, name: str, value: Value, to: Type) -> Value:
        text = f"{name} {value.type.ir} {value.text} to {to.ir}"
        return self._emit(to, text, f"{to} from {value.type}" if to.floating else None)

    def bitcast(self, value: Value, dtype) -> Value:
        """The same bits as another type of the same size."""
        to = (
            self.type(dtype, value.type.lanes) if value.type.lanes else self.type(dtype)
        )
        text = f"bitcast {value.type.ir} {value.text} to {to.ir}"
        return self._emit(to, text)

    # Lanes ---------------------------------------------------------------------

    def splat(self, value: Value, lanes: int) -> Value:
        """One scalar in every lane."""
        type = replace(value.type, lanes=lanes)
        if not value.text.startswith("%"):
            element = IR_NAMES[type.name]
            text = "<" + ", ".join([f"{element} {value.text}"] * lanes) + ">"
            return Value(self, text, type, label=value.label)
        one = self._emit(
            type, f"insertelement {type.ir} poison, {value.type.ir} {value.text}, i64 0"
        )
        return self._emit(
            type,
            f"shufflevector {type.ir} {one.text}, {type.ir} poison, "
            f"<{lanes} x i32> zeroinitializer",
            f"splat {type}",
        )

    def extract(self, vector: Value, lane) -> Value:
        """The scalar in one lane."""
        lane = lane.text if isinstance(lane, Value) else lane
        text = f"extractelement {vector.type.ir} {vector.text}, i64 {lane}"
        return self._emit(replace(vector.type, lanes=None), text)

    def insert(self, vector: Value, scalar: Value, lane) -> Value:
        """The vector with one lane replaced."""
        lane = lane.text if isinstance(lane, Value) else lane
        text = (
            f"insertelement {vector.type.ir} {vector.text}, "
            f"{scalar.type.ir} {scalar.text}, i64 {lane}"
        )
        return self._emit(vector.type, text)

    def shuffle(self, a: Value, b: Value | None, lanes: Sequence[int]) -> Value:
        """Lanes of a (0 … n-1) and b (n …) in the given order."""
        type = replace(a.type, lanes=len(lanes))
        picked = ", ".join(f"i32 {lane}" for lane in lanes)
        other = "poison" if b is None else b.text
        text = (
            f"shufflevector {a.type.ir} {a.text}, {a.type.ir} {other}, "
            f"<{len(lanes)} x i32> <{picked}>"
        )
        return self._emit(type, text, f"shuffle {type}")

    def fold(self, vector: Value, combine) -> Value:
        """All lanes into one scalar, by halves; lanes are a power of two."""
        while (lanes := vector.type.lanes) > 1:
            upper = self.shuffle(vector, None, range(lanes // 2, lanes))
            lower = self.shuffle(vector, None, range(lanes // 2))
            vector = combine(lower, upper)
        return self.extract(vector, 0)


def _neutral(operation: str, a, b):
    """x + 0, x - 0, x · 1 and x / 1 on indices need no instruction."""
    for value, other in ((a, b), (b, a)):
        if isinstance(value, Value) and value.type == INDEX and isinstance(other, int):
            if operation == "add" and other == 0:
                return value
            if operation == "mul" and other == 1:
                return value
    right = isinstance(a, Value) and isinstance(b, int) and a.type == INDEX
    if right and (operation, b) in (("sub", 0), ("div", 1)):
        return a
    return None
