"""Tools around training: data loading, sharing memory with other libraries.

`data` is loaded at its first use: with it come processes, sockets and pickles.
"""

import importlib

from . import dlpack as dlpack


def __getattr__(name: str):
    if name == "data":
        return importlib.import_module(f"{__name__}.data")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
