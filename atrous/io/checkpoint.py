"""`save` and `load`: torch's names, on safetensors files: data, never code.

A state dict becomes a plain safetensors file that every other reader opens. Anything
nested (an optimiser's state, a dict of model, optimiser and epoch) is stored as tensors
named by their paths, with the nest itself as JSON in the file's metadata.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

from .. import dtypes
from ..tensor import Tensor
from . import nest, safetensors

NEST = "atrous.nest"  # the metadata key under which the nest is kept
PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


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
    if NEST in notes:
        raise ValueError(f"save: the metadata key {NEST!r} is Atrous's own.")
    if described is not None:
        notes[NEST] = described
    entries = {
        name: (tensor.dtype.name, tensor._array) for name, tensor in tensors.items()
    }
    if isinstance(f, (str, os.PathLike)):
        with written_beside(f) as file:
            safetensors.write(file, entries, notes)
    else:
        safetensors.write(f, entries, notes)


def load(
    f: str | os.PathLike | BinaryIO,
    map_location: Any = None,
    *,
    weights_only: bool | None = None,
) -> Any:
    """Read what `save`, or any other writer of safetensors, has written.

    f: a path, or a seekable file open for binary reading.
    map_location: None or "cpu", the only device that there is.
    weights_only: taken because torch takes it; no file is ever run as code.

    A file of another writer comes back as a dict of name -> Tensor.
    Raises RuntimeError with the file's name and sizes if it is cut short or damaged,
    EOFError if it is empty, pickle.UnpicklingError if it is a pickle (torch's .pt).
    """
    if map_location is not None and str(map_location) != "cpu":
        raise RuntimeError(
            f"load: map_location is {map_location!r}, but tensors can only be on 'cpu'."
        )
    with opened(f) as (file, name):
        entries, notes = safetensors.read(file, name)
    tensors = {
        key: Tensor._of(array, dtypes.BY_NAME[dtype])
        for key, (dtype, array) in entries.items()
    }
    return nest.rebuild(tensors, notes[NEST], name) if NEST in notes else tensors


def metadata(f: str | os.PathLike | BinaryIO) -> dict[str, str]:
    """The text that was saved with the tensors; the tensors are not read."""
    with opened(f) as (file, name):
        _, notes = safetensors.read_header(file, name)
    return {key: text for key, text in notes.items() if key != NEST}


@contextmanager
def opened(f):
    """(the file, its name for errors); pickles are turned away here."""
    if isinstance(f, (str, os.PathLike)):
        with open(f, "rb") as file:
            yield _checked(file, os.fspath(f))
    else:
        yield _checked(f, getattr(f, "name", type(f).__name__))


def _checked(file: BinaryIO, name: str) -> tuple[BinaryIO, str]:
    start = file.tell()
    first = file.read(4)
    file.seek(start)
    if not first:
        raise EOFError(f"load: {name} is empty.")
    if first.startswith(PICKLES):
        raise pickle.UnpicklingError(
            f"load: {name} is a pickle (torch's .pt or .pth). Reading a pickle can run "
            "code from the file, so Atrous does not read it. Where it came from, write "
            "safetensors.torch.save_file(model.state_dict(), 'model.safetensors') and "
            "load that."
        )
    return file, name


@contextmanager
def written_beside(path):
    """A file to write, which becomes `path` when all of it is on the disk."""
    path = os.path.realpath(path)
    folder, name = os.path.split(path)
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
