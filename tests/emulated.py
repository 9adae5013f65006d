"""Kernels for aarch64, run under qemu-aarch64 in place of this processor.

    with emulated.kernels(): convolve(spec, x=x, w=w, target=named("neon"))

Each kernel is linked with a `main` of a few lines, itself emitted as IR. A launch
writes the arguments, and the memory around every address among them, to a file; `main`
maps the file, calls the kernel for all chunks, and what has changed in the file is
copied back. Where Debian's qemu-user and gcc-aarch64-linux-gnu are missing, kernels are
compiled and nothing is run: `MISSING` says so.
"""

import ctypes
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

import numpy as np

from atrous.compiler import cache, jit, pool
from atrous.compiler.target import named

NEON = named("neon")
LINKER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
#: Why kernels cannot be run, or None.
MISSING = next(
    (
        f"{name} is not installed"
        for name in (LINKER, EMULATOR)
        if not shutil.which(name)
    ),
    None if sys.platform.startswith("linux") else "only Linux emulates a process",
)
#: Families whose addresses stand in a table, where a launch does not look for them.
COMPILED_ONLY = ("each",)
#: Bytes of memory taken over before and after each address.
BEFORE, AFTER = 64 << 10, 1 << 20
PAGE = 4096

# The file: chunks, how many arguments, the arguments, and for each 1 if it is an offset
# in the file, which the address at which the file is mapped turns into a pointer.
_MAIN = """
target triple = "aarch64-unknown-linux-gnu"
declare i32 @open(ptr, i32, ...)
declare i64 @lseek(i32, i64, i32)
declare ptr @mmap(ptr, i64, i32, i32, i32, i64)
declare void @kernel(ptr, i64, i64)

define i32 @main(i32 %count, ptr %words) {
entry:
  %path.p = getelementptr ptr, ptr %words, i64 1
  %path = load ptr, ptr %path.p
  %file = call i32 (ptr, i32, ...) @open(ptr %path, i32 2)
  %size = call i64 @lseek(i32 %file, i64 0, i32 2)
  %base = call ptr @mmap(ptr null, i64 %size, i32 3, i32 1, i32 %file, i64 0)
  %chunks = load i64, ptr %base
  %n.p = getelementptr i64, ptr %base, i64 1
  %n = load i64, ptr %n.p
  %arguments = getelementptr i64, ptr %base, i64 2
  %flags = getelementptr i64, ptr %arguments, i64 %n
  %start = ptrtoint ptr %base to i64
  br label %relocate
relocate:
  %i = phi i64 [ 0, %entry ], [ %i.next, %one ]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %one, label %launch
one:
  %value.p = getelementptr i64, ptr %arguments, i64 %i
  %value = load i64, ptr %value.p
  %flag.p = getelementptr i64, ptr %flags, i64 %i
  %flag = load i64, ptr %flag.p
  %shift = mul i64 %flag, %start
  %moved = add i64 %value, %shift
  store i64 %moved, ptr %value.p
  %i.next = add i64 %i, 1
  br label %relocate
launch:
  %chunk = phi i64 [ 0, %relocate ], [ %chunk.next, %call ]
  %left = icmp slt i64 %chunk, %chunks
  br i1 %left, label %call, label %done
call:
  call void @kernel(ptr %arguments, i64 %chunk, i64 0)
  %chunk.next = add i64 %chunk, 1
  br label %launch
done:
  ret i32 0
}
"""

#: Programs linked so far, by what takes the place of a kernel's address.
programs: dict[int, Path | None] = {}
_addresses: dict[tuple, int] = {}
_folder = tempfile.TemporaryDirectory(prefix="atrous-neon-")


@contextmanager
def kernels() -> Iterator[None]:
    """Within, kernels are made for NEON and launches are emulated."""
    emulations = {"run": _run, "replayer": _replayer}
    callers = [
        (module, name, emulation)
        for name, emulation in emulations.items()
        for module in list(sys.modules.values())
        if vars(module).get(name) is getattr(pool, name)
    ]
    with ExitStack() as patches:
        for module, name, value in (
            (cache, "here", lambda: NEON),
            (cache, "_addresses", _addresses),
            (cache, "_load", _load),
            *callers,
        ):
            patches.enter_context(mock.patch.object(module, name, value))
        yield


def _load(key: tuple, build, target) -> int:
    """A number for the kernel, in place of its address."""
    assert target is NEON, target
    code = jit.assemble(build(target).ir, target)
    assert code[:4] == b"\x7fELF" and int.from_bytes(code[18:20], "little") == 183
    number = len(programs) + 1
    runs = not MISSING and key[0] not in COMPILED_ONLY
    programs[number] = _linked(code, f"kernel{number}") if runs else None
    return number


def _linked(code: bytes, name: str) -> Path:
    folder = Path(_folder.name)
    main = folder / "main.o"
    if not main.exists():
        main.write_bytes(jit.assemble(_MAIN, NEON))
    place, program = folder / f"{name}.o", folder / name
    place.write_bytes(code)
    command = [LINKER, "-static", main, place, "-o", program, "-lm"]
    subprocess.run(command, check=True, timeout=60)
    return program


def _writable() -> list[tuple[int, int]]:
    """The stretches of memory that this process may write, in order."""
    found: list[tuple[int, int]] = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, rights = line.split()[:2]
        start, stop = (int(end, 16) for end in span.split("-"))
        if not rights.startswith("rw"):
            continue
        if found and found[-1][1] == start:
            start = found.pop()[0]
        found.append((start, stop))
    return found


def _windows(arguments: list[int]) -> list[tuple[int, int]]:
    """Whole pages around every argument that is an address, without overlaps."""
    spans = []
    for start, stop in _writable():
        for value in arguments:
            if start <= value < stop:
                first = max(start, (value - BEFORE) // PAGE * PAGE)
                last = min(stop, -(-(value + AFTER) // PAGE) * PAGE)
                spans.append((first, last))
    windows: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if windows and first <= windows[-1][1]:
            windows[-1] = windows[-1][0], max(last, windows[-1][1])
        else:
            windows.append((first, last))
    return windows


def _bytes(window: tuple[int, int]) -> np.ndarray:
    """The memory of this process between two addresses."""
    space = (ctypes.c_uint8 * (window[1] - window[0])).from_address(window[0])
    return np.frombuffer(space, np.uint8)


def _replayer(steps):
    """As `pool.replayer`, by an emulated processor."""

    def replay(*arrays: np.ndarray) -> None:
        for step in steps:
            arguments = list(step.arguments)
            for argument, buffer, byte in step.pointers:
                arguments[argument] = arrays[buffer].ctypes.data + byte
            _run(step.kernel, arguments, step.chunks)

    return replay


def _run(kernel: int, arguments, chunks: int) -> None:
    """As `pool.run`, by an emulated processor."""
    program = programs[kernel]
    if program is None or chunks <= 0:
        return
    given = [int(value) for value in arguments]
    windows = _windows(given)
    place = -(-8 * (2 + 2 * len(given)) // PAGE) * PAGE
    values, flags = list(given), [0] * len(given)
    for first, last in windows:
        for i, value in enumerate(given):
            if first <= value < last:
                values[i], flags[i] = value - first + place, 1
        place += last - first
    header = np.array([chunks, len(given), *values, *flags], np.int64)
    before = [_bytes(window).copy() for window in windows]
    memory = Path(_folder.name) / "memory"
    with memory.open("wb") as file:
        file.write(header.tobytes().ljust(-(-header.nbytes // PAGE) * PAGE, b"\0"))
        for part in before:
            file.write(part)
    subprocess.run([EMULATOR, program, memory], check=True, timeout=120)
    after = np.fromfile(memory, np.uint8)[-sum(part.size for part in before) :]
    for window, part in zip(windows, before, strict=True):
        result, after = after[: part.size], after[part.size :]
        changed = result != part
        _bytes(window)[changed] = result[changed]
