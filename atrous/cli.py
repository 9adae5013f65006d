"""`python -m atrous`: what is installed and what it runs on; convolutions explained."""

from __future__ import annotations

import argparse
import platform
import sys

import numpy

from .explain import command as explain
from .version import __version__


def describe() -> dict[str, str]:
    """Facts that a report of a problem should carry, by name."""
    import llvmlite

    from .compiler import cache, target

    here = target.here()
    return {
        "atrous": __version__,
        "python": f"{platform.python_version()} on {platform.system()}",
        "numpy": numpy.__version__,
        "llvmlite": llvmlite.__version__,
        "processor": f"{platform.machine()}, {here.cpu}",
        "kernels for": f"{here.name}, vectors of {8 * here.vector_bytes} bits",
        "threads": str(target.threads()),
        "kernel cache": str(cache.folder() or "in memory only"),
    }


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="atrous", description=__doc__)
    parser.add_argument("--version", action="version", version=f"atrous {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    info = commands.add_parser(
        "info", help="versions, processor, threads, kernel cache"
    )
    info.set_defaults(run=_info)
    explain.add_to(commands)
    options = parser.parse_args(arguments)
    return options.run(options)


def _info(options: argparse.Namespace) -> int:
    """Print a line for each fact."""
    for name, fact in describe().items():
        print(f"{name:<13} {fact}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
