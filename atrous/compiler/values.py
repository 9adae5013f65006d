"""What a kernel's text is made of: types, values, and numbers as IR spells them.

Arithmetic on a Value writes an instruction through the emitter that made it.
"""

import math
import struct
from dataclasses import dataclass, replace

#: IR's name of each element type. bool is a byte in memory; truth is a comparison's.
IR_NAMES = {
    "float16": "half",
    "bfloat16": "bfloat",
    "float32": "float",
    "float64": "double",
    "int8": "i8",
    "int16": "i16",
    "int32": "i32",
    "int64": "i64",
    "uint8": "i8",
    "uint16": "i16",
    "uint32": "i32",
    "uint64": "i64",
    "bool": "i8",
    "truth": "i1",
    "pointer": "ptr",
}
ITEMSIZES = {
    **{
        f"{kind}{bits}": bits // 8
        for kind in ("int", "uint")
        for bits in (8, 16, 32, 64)
    },
    **{
        "float16": 2,
        "bfloat16": 2,
        "float32": 4,
        "float64": 8,
        "bool": 1,
        "pointer": 8,
    },
    "truth": 1,
}


@dataclass(frozen=True)
class Type:
    """A scalar (`lanes` None) or a vector of an element type."""

    name: str
    lanes: int | None = None

    @property
    def ir(self) -> str:
        element = IR_NAMES[self.name]
        return element if self.lanes is None else f"<{self.lanes} x {element}>"

    @property
    def itemsize(self) -> int:
        return ITEMSIZES[self.name]

    @property
    def floating(self) -> bool:
        return "float" in self.name

    @property
    def signed(self) -> bool:
        return self.name.startswith("int")

    def of(self, name: str) -> "Type":
        """The same lanes of another element type."""
        return replace(self, name=name)

    def __str__(self) -> str:
        return self.name if self.lanes is None else f"{self.name}×{self.lanes}"


INDEX = Type("int64")


class Value:
    """A register or a constant of the kernel; arithmetic on it writes instructions.

    `element` is what a pointer points to; `label` is how the listing calls it.
    """

    __slots__ = ("e", "element", "label", "text", "type")

    def __init__(self, e, text, type, element=None, label=None):
        self.e, self.text, self.type = e, text, type
        self.element, self.label = element, label

    def __add__(self, other):
        if self.type.name == "pointer":
            return self.e.at(self, other)
        return self.e.binary("add", self, other)

    def __radd__(self, other):
        return self.e.binary("add", other, self)

    def __sub__(self, other):
        return self.e.binary("sub", self, other)

    def __rsub__(self, other):
        return self.e.binary("sub", other, self)

    def __mul__(self, other):
        return self.e.binary("mul", self, other)

    def __rmul__(self, other):
        return self.e.binary("mul", other, self)

    def __truediv__(self, other):
        return self.e.binary("div", self, other)

    def __rtruediv__(self, other):
        return self.e.binary("div", other, self)

    def __floordiv__(self, other):
        """Integer division, truncated: indices are not negative."""
        return self.e.binary("div", self, other)

    def __mod__(self, other):
        """The remainder of the truncated division."""
        return self.e.binary("rem", self, other)

    def __and__(self, other):
        return self.e.binary("and", self, other)

    def __or__(self, other):
        return self.e.binary("or", self, other)

    def __xor__(self, other):
        return self.e.binary("xor", self, other)

    def __invert__(self):
        return self.e.binary("xor", self, 1 if self.type.name == "truth" else -1)

    def __lshift__(self, other):
        return self.e.binary("shl", self, other)

    def __rshift__(self, other):
        return self.e.binary("shr", self, other)

    def __neg__(self):
        return self.e.negate(self)

    def __lt__(self, other):
        return self.e.compare("<", self, other)

    def __le__(self, other):
        return self.e.compare("<=", self, other)

    def __gt__(self, other):
        return self.e.compare(">", self, other)

    def __ge__(self, other):
        return self.e.compare(">=", self, other)


def _packed(value: float, code: str) -> bytes:
    """The bytes of a float of that format; one that is too large is infinite."""
    try:
        return struct.pack(f"<{code}", value)
    except OverflowError:
        return struct.pack(f"<{code}", math.inf if value > 0 else -math.inf)


def bits(value, dtype: str) -> int:
    """A number as the integer whose low bits it is: how a scalar argument travels."""
    if "float" not in dtype:
        return int(value)
    if dtype == "bfloat16":
        return int.from_bytes(_packed(value, "f"), "little") >> 16
    code = {"float16": "e", "float32": "f", "float64": "d"}[dtype]
    return int.from_bytes(_packed(value, code), "little", signed=True)


def float_text(name: str, value: float) -> str:
    """A float constant as IR spells it: the bits of a double, or of the half types."""
    if name == "bfloat16":
        return f"0xR{bits(value, name):04X}"
    if name == "float16":
        return f"0xH{bits(value, name) & 0xFFFF:04X}"
    if name == "float32":  # IR wants a double that a float can hold
        value = struct.unpack("<f", _packed(value, "f"))[0]
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


def mangled(type: Type) -> str:
    """A type's name within the name of an intrinsic: v16f32."""
    names = {"half": "f16", "bfloat": "bf16", "float": "f32", "double": "f64"}
    element = names.get(IR_NAMES[type.name], IR_NAMES[type.name])
    return element if type.lanes is None else f"v{type.lanes}{element}"


def shown(value) -> str:
    """A number or a value as the listing calls it."""
    return str(value) if not isinstance(value, Value) else value.label or "·"
