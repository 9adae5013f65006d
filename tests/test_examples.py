"""The examples run as a user runs them, and learn."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name, *arguments, cwd):
    """The lines that an example prints; its exit status must be 0."""
    command = [sys.executable, "-W", "error", EXAMPLES / name, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    "name, at_least", [("digits.py", 0.96), ("waveforms.py", 0.95), ("text.py", 0.75)]
)
def test_a_classifier_learns(name, at_least, tmp_path):
    assert len((EXAMPLES / name).read_text().splitlines()) < 60
    last = run(name, cwd=tmp_path)[-1]
    assert float(re.fullmatch(r"accuracy (\d\.\d{3})", last)[1]) >= at_least


def test_penalties_shrink_the_weights(tmp_path):
    lines = run("regularisation.py", "--outputs", tmp_path, cwd=tmp_path)
    figures = {line[:12].strip(): line[12:].split() for line in lines[1:4]}
    small = {name: int(row[1]) for name, row in figures.items()}
    total = {name: float(row[2]) for name, row in figures.items()}
    error = {name: float(row[3]) for name, row in figures.items()}
    assert small["L1 (lasso)"] > 10 > small["L2 (ridge)"] + 5
    assert total["L1 (lasso)"] < total["L2 (ridge)"] < total["none"]
    assert error["L1 (lasso)"] < error["L2 (ridge)"] < error["none"]
    assert (tmp_path / "regularisation.png").stat().st_size > 10_000


def test_the_brain_demo_writes_what_it_says(tmp_path):
    """A few steps only; .ci/run asks the whole demo for its Dice."""
    nibabel = pytest.importorskip("nibabel")
    import atrous

    options = ("--epochs", 2, "--steps", 4, "--batch-size", 2, "--outputs", tmp_path)
    lines = run("brain.py", *options, cwd=tmp_path)
    assert re.fullmatch(r"mean Dice \d\.\d\d on held-out slabs", lines[-1])
    assert sum(line.startswith("epoch") for line in lines) == 2
    names = {"brain.safetensors", "brain_tissue.nii.gz", "brain.png"}
    assert {path.name for path in tmp_path.iterdir()} == names
    weights = atrous.load(tmp_path / "brain.safetensors")
    assert weights["head.weight"].shape == (3, 12, 1, 1, 1)
    scan = nibabel.load(EXAMPLES / "data" / "mni152_t1.nii.gz")
    volume = nibabel.load(tmp_path / "brain_tissue.nii.gz")
    assert volume.shape == scan.shape
    assert (volume.affine == scan.affine).all()
