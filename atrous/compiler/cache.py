"""(key, target) -> object code and its address, kept in memory and on disk.

A file holds a digest and then the object code: a damaged or foreign file is compiled
again. Files are written beside and renamed, so that a reader never sees half of one.
The folder is ~/.cache/atrous, or the variable ATROUS_CACHE; if it cannot be written,
kernels live in memory alone.
"""

import functools
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

from . import jit
from .emit import Emitter, Kernel
from .target import Target, here

_addresses: dict[tuple, int] = {}
_lock = threading.RLock()


@functools.cache
def _source_version() -> str:
    """A digest of the compiler's own source: a changed schedule is a new kernel."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def folder() -> Path | None:
    """Where object code is kept between processes; None if nowhere."""
    chosen = os.environ.get("ATROUS_CACHE")
    if chosen is not None:
        return Path(chosen) if chosen else None
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "atrous"
    except RuntimeError:  # no home
        return None


def kernel(
    key: tuple, build: Callable[[Target], Kernel], target: Target | None = None
) -> int:
    """The address of the kernel `key` names; `build(target)` writes it if need be.

    `key` must say everything that `build` depends on, in values whose repr is exact.
    """
    target = target or here()
    known = (key, target.name, target.key)
    address = _addresses.get(known)
    if address is None:
        with _lock:
            if known not in _addresses:
                _addresses[known] = _load(key, build, target)
            address = _addresses[known]
    return address


def _load(key: tuple, build: Callable[[Target], Kernel], target: Target) -> int:
    return link(repr(key), lambda: build(target).ir, target, Emitter.SYMBOL)[0]


def link(
    key: str, write: Callable[[], str], target: Target, *symbols: str
) -> list[int]:
    """The addresses of `symbols` in the code that `key` names; `write()` gives its IR
    if it is not kept."""
    path = _path(f"{key} {target.name} {target.key}")
    path = path and path.with_suffix(".o")
    code = _read(path)
    if code is not None:
        try:
            return jit.link(code, *symbols)
        except RuntimeError:  # made by another LLVM
            pass
    code = jit.assemble(write(), target)
    _write(path, code)
    return jit.link(code, *symbols)


def recall(key: str) -> str | None:
    """What `keep` has kept under `key`, by this version of the compiler."""
    text = _read(_path(key))
    return None if text is None else text.decode()


def keep(key: str, text: str) -> None:
    """Keep a short text between processes."""
    _write(_path(key), text.encode())


def _path(key: str) -> Path | None:
    """The file of a key, without its suffix, which says what is in it."""
    name = hashlib.sha256(f"{key} {_source_version()}".encode()).hexdigest()[:40]
    place = folder()
    return place / name[:2] / name if place else None


def _read(path: Path | None) -> bytes | None:
    """The object code in a file, or None if there is none or it is damaged."""
    if path is None:
        return None
    try:
        data = path.read_bytes()
    except OSError:
        return None
    digest, code = data[:32], data[32:]
    return code if hashlib.sha256(code).digest() == digest else None


def _write(path: Path | None, code: bytes) -> None:
    if path is None:
        return
    beside = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(hashlib.sha256(code).digest() + code)
        os.replace(beside, path)
    except OSError:
        pass  # a cache that cannot be written is no error


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
