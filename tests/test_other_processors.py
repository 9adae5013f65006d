"""AVX2 and SSE2 as their users meet them: whole programs, in a process of their own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from atrous.compiler import target

TESTS = Path(__file__).parent

#: What each lesser target runs, and how many tests that is: the handbook's cells,
#: networks trained beside torch and, on the commoner one, borders and derivatives.
RUNS = {
    "avx2": ("test_cell or training_is_torchs or borders_are or third", 26),
    "sse2": ("test_cell or volumes or images", 16),
}


@pytest.mark.parametrize("name", RUNS)
def test_programs(name):
    pytest.importorskip("torch")
    if not target.runs_here(target.named(name)):
        pytest.skip(f"this processor cannot run {name}")
    chosen, count = RUNS[name]
    files = ("test_handbook.py", "test_training.py", "test_convolution.py")
    options = ["-q", "-p", "no:cacheprovider", "-k", chosen]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *files],
        cwd=TESTS,
        env={**os.environ, "ATROUS_TARGET": name},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    assert re.search(rf"\b{count} passed, \d+ deselected in", done.stdout), done.stdout


def test_the_target_is_the_one_asked_for():
    """Neither more of the processor nor less: the variable reaches the kernels."""
    program = "from atrous.compiler.target import here; print(here().name)"
    for named in target.NAMED.values():
        if target.runs_here(named):
            done = subprocess.run(
                [sys.executable, "-c", program],
                env={**os.environ, "ATROUS_TARGET": named.name},
                capture_output=True,
                text=True,
            )
            assert done.stdout == f"{named.name}\n", done.stderr
