"""`save` and `load`: torch's names, on safetensors files: data, never code.

The format is the safetensors library's, imported at the first use. What is saved may
be nested (an optimiser's state, a dict of model, optimiser and epoch): tensors are
named by their paths, and the nest itself is JSON in the file's metadata.
"""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .. import dtypes
from ..tensor import Tensor
from . import nest

NEST = "atrous.nest"  # the metadata key under which the nest is kept
PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
CODES = "BOOL U8 I8 I16 I32 I64 F16 BF16 F32 F64".split()  # the format's, that we have


def save(
    obj: Any,
    f: str | os.PathLike | BinaryIO,
    *,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write tensors, or a nest of them, to a safetensors file.

    obj: a Tensor, or dicts, lists and tuples of tensors, numbers, strings and None.
    f: a path, or a file open for binary writing. A path is written beside and renamed
        once the bytes are on the disk: it never holds half a file.
    metadata: text kept with the tensors, read back by `metadata`.

    Gradients, views and shared memory are not kept: a tensor is stored by its values.
    Raises TypeError, naming the place, for anything else, such as a Module: save its
    `state_dict()`. Format: https://github.com/huggingface/safetensors.
    """
    tensors, described = nest.flatten(obj)
    notes = dict(metadata or {})
    for key, text in notes.items():
        if not (isinstance(key, str) and isinstance(text, str)):
            raise TypeError(
                f"save: metadata must be text by name, not {key!r}: {text!r}."
            )
    if NEST in notes:
        raise ValueError(f"save: the metadata key {NEST!r} is Atrous's own.")
    content = _serialized(tensors, {**notes, NEST: described})
    if isinstance(f, (str, os.PathLike)):
        with written_beside(f) as file:
            file.write(content)
    else:
        f.write(content)


def _serialized(tensors: dict[str, Tensor], notes: dict[str, str]) -> bytes:
    """The content of a file; the library reads the values at their addresses.

    While it does, it takes twice the file's size in memory.
    """
    from safetensors import TensorSpec, serialize

    arrays = {name: np.ascontiguousarray(t._array) for name, t in tensors.items()}
    specs = {
        name: TensorSpec(
            dtype=tensors[name].dtype.name,
            shape=tensors[name].shape,
            data_ptr=array.ctypes.data,
            data_len=array.nbytes,
        )
        for name, array in arrays.items()
    }
    return serialize(specs, notes)


def load(
    f: str | os.PathLike | BinaryIO,
    map_location: Any = None,
    *,
    weights_only: bool | None = None,
) -> Any:
    """Read what `save`, or any other writer of safetensors, has written.

    f: a path, or a file open for binary reading, which is copied to a path first.
    map_location: None or "cpu", the only device that there is.
    weights_only: taken because torch takes it; no file is ever run as code.

    A file of another writer comes back as a dict of name -> Tensor.
    Raises RuntimeError with the file's name and size if it is cut short or damaged,
    EOFError if it is empty, pickle.UnpicklingError if it is a pickle (torch's .pt).
    """
    if map_location is not None and str(map_location) != "cpu":
        raise RuntimeError(
            f"load: map_location is {map_location!r}, but tensors can only be on 'cpu'."
        )
    with opened(f) as (file, path, name):
        codes = {key: file.get_slice(key).get_dtype() for key in file.offset_keys()}
        strange = [f"{key!r} ({c})" for key, c in codes.items() if c not in CODES]
        if strange:
            raise RuntimeError(
                f"load: {name} holds types that there are not here: "
                f"{', '.join(strange)}."
            )
        tensors = {
            key: Tensor._of(file.get_tensor(key))
            for key, code in codes.items()
            if code != "BF16"
        }
        notes = file.metadata() or {}
        if len(tensors) < len(codes):
            tensors.update(_bfloat16(path))
    return nest.rebuild(tensors, notes[NEST], name) if NEST in notes else tensors


def _bfloat16(path: str) -> dict[str, Tensor]:
    """The bfloat16 tensors of a file: NumPy, into which the library reads, has none.

    The whole file is in memory meanwhile, twice.
    """
    from safetensors import deserialize

    return {
        key: Tensor._of(
            np.frombuffer(held["data"], np.uint16).reshape(held["shape"]),
            dtypes.bfloat16,
        )
        for key, held in deserialize(Path(path).read_bytes())
        if held["dtype"] == "BF16"
    }


def metadata(f: str | os.PathLike | BinaryIO) -> dict[str, str]:
    """The text that was saved with the tensors; the tensors are not read."""
    with opened(f) as (file, _, _):
        notes = file.metadata() or {}
    return {key: text for key, text in notes.items() if key != NEST}


@contextmanager
def opened(
    f: str | os.PathLike | BinaryIO, name: str | None = None
) -> Iterator[tuple[Any, str, str]]:
    """(the library's reader of `f`, its path, its name for errors)."""
    if not isinstance(f, (str, os.PathLike)):  # the library reads paths
        from tempfile import TemporaryDirectory  # takes long to load

        with TemporaryDirectory() as folder:
            copy = Path(folder, "copy")
            with open(copy, "wb") as file:
                shutil.copyfileobj(f, file)
            with opened(copy, getattr(f, "name", type(f).__name__)) as found:
                yield found
        return
    from safetensors import SafetensorError, safe_open

    path = os.fspath(f)
    name = path if name is None else name
    with open(path, "rb") as file:
        start = file.read(4)
    try:  # pread: tensor by tensor; a mapping would hold the whole file besides
        with safe_open(path, "numpy", backend="pread") as reader:
            yield reader, path, name
    except (SafetensorError, ValueError) as problem:  # ValueError: too many axes
        raise _refusal(start, os.path.getsize(path), name, problem) from None


def _refusal(start: bytes, size: int, name: str, problem: Exception) -> Exception:
    """Why a file that begins with `start` cannot be read."""
    if not start:
        return EOFError(f"load: {name} is empty.")
    if start.startswith(PICKLES) and start[2:3] != b"\0":  # 0: a header of 640 bytes
        return pickle.UnpicklingError(
            f"load: {name} is a pickle (torch's .pt or .pth). Reading a pickle can run "
            "code from the file, so Atrous does not read it. Where it came from, write "
            "safetensors.torch.save_file(model.state_dict(), 'model.safetensors') and "
            "load that."
        )
    return RuntimeError(
        f"load: {name} ({size} bytes) is cut short, damaged or no safetensors file: "
        f"{problem}."
    )


@contextmanager
def written_beside(path):
    """A file to write, which becomes `path` when all of it is on the disk."""
    path = os.path.realpath(path)
    folder, name = os.path.split(path)
    if not os.path.isdir(folder):
        raise RuntimeError(f"save: the folder {folder} does not exist.")
    beside = os.path.join(folder, f".{name}.{os.getpid()}.partial")
    try:
        with open(beside, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        if os.path.exists(beside):
            os.unlink(beside)
        raise
