"""The safetensors format: eight bytes of length, a JSON header, the values.

    length (u64, little-endian)
    {"name": {"dtype", "shape", "data_offsets": [first, end]}, …}
    the values, one tensor after another

Offsets count from the end of the header. Everything the header says is checked against
the file's size before memory is taken. bfloat16 arrays are uint16 here, as everywhere.
Source: https://github.com/huggingface/safetensors, section Format.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from .. import dtypes

CODES = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "float64": "F64",
}
NAMES = {code: name for name, code in CODES.items()}
HEADER_LIMIT = 100_000_000  # bytes; the format's own limit

Entries = dict[str, tuple[str, np.ndarray]]


def write(file: BinaryIO, entries: Entries, notes: Mapping[str, str]) -> None:
    """Write `entries`, name -> (dtype, array), and `notes`, text by name."""
    for key, text in notes.items():
        if not (isinstance(key, str) and isinstance(text, str)):
            raise TypeError(
                f"save: metadata must be text by name, not {key!r}: {text!r}."
            )
    ordered = sorted(entries, key=lambda name: -entries[name][1].itemsize)
    offset, offsets = 0, {}
    for name in ordered:  # wide types first keeps every one of them aligned
        offsets[name] = [offset, offset + entries[name][1].nbytes]
        offset = offsets[name][1]
    header: dict[str, Any] = {"__metadata__": dict(notes)} if notes else {}
    for name, (dtype, array) in entries.items():
        header[name] = {
            "dtype": CODES[dtype],
            "shape": list(array.shape),
            "data_offsets": offsets[name],
        }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False)
    encoded = text.encode()
    encoded += b" " * (-len(encoded) % 8)
    file.write(len(encoded).to_bytes(8, "little") + encoded)
    for name in ordered:
        values = np.ascontiguousarray(entries[name][1])
        file.write(values.reshape(-1).view(np.uint8).data)


def read_header(file: BinaryIO, name: str) -> tuple[dict, dict[str, str]]:
    """(entries as the header has them, the notes); checked, the values not yet read."""
    start = file.tell()
    size = file.seek(0, 2) - start
    file.seek(start)
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > HEADER_LIMIT:
        raise RuntimeError(f"load: {name} ({size} bytes) is not a safetensors file.")
    if size < 8 + length:
        raise RuntimeError(
            f"load: {name} is cut short: its header takes {8 + length} bytes, "
            f"the file has {size}."
        )
    try:
        header = json.loads(file.read(length))
        notes = header.pop("__metadata__", {})
        total = _total(list(header.values()))
        if not all(isinstance(text, str) for text in notes.values()):
            raise TypeError("metadata must be text")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise RuntimeError(
            f"load: {name} ({size} bytes) is not a safetensors file, or is damaged: "
            f"its header of {length} bytes does not read ({problem})."
        ) from None
    whole = 8 + length + total
    if size < whole:
        raise RuntimeError(
            f"load: {name} is cut short: {whole} bytes are announced, {size} are there."
        )
    return header, notes


def _total(entries: list[dict]) -> int:
    """Bytes of values; ValueError unless the entries fill them, each byte once."""
    total = 0
    for entry in sorted(entries, key=lambda entry: entry["data_offsets"]):
        begin, end = entry["data_offsets"]
        numbers = (begin, end, *entry["shape"])
        if any(type(number) is not int or number < 0 for number in numbers):
            raise ValueError(f"not sizes: {numbers}")
        name = NAMES.get(entry["dtype"])
        count = math.prod(entry["shape"])
        if name is not None and end - begin != count * dtypes.BY_NAME[name].itemsize:
            raise ValueError(f"{end - begin} bytes for {count} {name}")
        if begin != total or end < begin:
            raise ValueError(f"values from {begin} to {end}, expected from {total} on")
        total = end
    return total


def read(file: Any, name: str) -> tuple[Entries, dict[str, str]]:
    """(name -> (dtype, array in fresh memory), the notes), in the file's order.

    `file` is open for binary reading, with `seek` and `readinto`.
    """
    header, notes = read_header(file, name)
    strange = {key: e["dtype"] for key, e in header.items() if e["dtype"] not in NAMES}
    if strange:
        listed = ", ".join(f"{key!r} ({code})" for key, code in strange.items())
        raise RuntimeError(
            f"load: {name} holds types that there are not here: {listed}."
        )
    start = file.tell()
    entries: Entries = {}
    for key, entry in header.items():
        dtype = dtypes.BY_NAME[NAMES[entry["dtype"]]]
        try:
            array = np.empty(entry["shape"], dtype.storage)
        except ValueError as problem:  # more axes, or longer ones, than NumPy can count
            raise RuntimeError(f"load: {name}: {key!r}: {problem}.") from None
        file.seek(start + entry["data_offsets"][0])
        file.readinto(array.reshape(-1).view(np.uint8).data)
        entries[key] = dtype.name, array
    return entries, notes
