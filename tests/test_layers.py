"""No import runs upwards (docs/design/0001), and LLVM has one door."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "atrous"
LAYERS = [
    {"errors", "version", "constants"},
    {"dtypes", "device", "backends", "jit"},
    {"random", "compiler"},
    {"autograd", "storage", "settings"},
    {"deferred", "tensor", "formatting"},
    {"ops"},
    {"methods", "linalg"},
    {"nn", "optim", "utils", "io", "volumes", "amp", "cpu", "cuda"},
    {"explain"},
    {"cli", "later", "__main__", "__init__"},
]
LAYER = {name: level for level, names in enumerate(LAYERS) for name in names}
TOP = len(LAYERS) - 1
# The emitter writes IR as text: llvmlite.ir is imported nowhere.
DOORS = {"llvmlite.ir": None, "llvmlite.binding": "compiler/jit.py"}
FILES = [str(path.relative_to(PACKAGE)) for path in sorted(PACKAGE.rglob("*.py"))]


def imports(file: str) -> set[str]:
    """Full names of what a file of the package imports, relative ones resolved."""
    package = ["atrous", *Path(file).parent.parts]
    found = set()
    for node in ast.walk(ast.parse((PACKAGE / file).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            source = ".".join([*base, *filter(None, [node.module])])
            found |= {f"{source}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("file", FILES)
def test_no_import_runs_upwards(file):
    own = LAYER.get(Path(file).parts[0].removesuffix(".py"))
    assert own is not None, f"{file} has no layer yet"
    inside = [name.split(".") for name in imports(file) if name.startswith("atrous")]
    # What is no module of the package comes from its `__init__`, which is on top.
    assert not [parts for parts in inside if LAYER.get([*parts, ""][1], TOP) > own]


@pytest.mark.parametrize("file", FILES)
def test_llvm_has_one_door(file):
    modules = {".".join(name.split(".")[:2]) for name in imports(file)}
    assert all(DOORS[module] == file for module in modules & {*DOORS})


def test_import_brings_neither_torch_nor_llvmlite():
    program = "import sys, atrous; print({'torch', 'llvmlite'} & {*sys.modules})"
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=PACKAGE.parent,
    )
    assert result.stdout == "set()\n", result.stderr
