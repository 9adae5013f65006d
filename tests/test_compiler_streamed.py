"""Few outputs, many weights: the streamed schedule against the definition."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from test_compiler_conv import laid_out, operands, spec, spills

from atrous.compiler import choice, memory, reference, target
from atrous.compiler.convolution import convolve
from atrous.compiler.schedules import conv_streamed
from atrous.compiler.schedules.streamed_products import Dots, Outer, Spread, Tile
from atrous.compiler.spec import BORDERS

TARGETS = [
    t
    for t in map(target.named, ("avx512", "avx2", "sse2", "neon"))
    if target.runs_here(t)
]


@pytest.fixture(autouse=True)
def pinned(monkeypatch):
    """This schedule alone, also where there are few weights, on memory that is NaN
    where nothing was written."""
    monkeypatch.setenv("ATROUS_SCHEDULE", choice.STREAMED)
    monkeypatch.setattr(conv_streamed, "FEWEST_WEIGHTS", 1)
    monkeypatch.setattr(memory, "POISON", True)


CASES = {
    "one pixel": spec((1, 9, 1, 1), 31, 3, padding=1),
    "volumes": spec((2, 17, 2, 3, 2), 66, 3, padding=1),
    "image": spec((1, 13, 7, 7), 101, 3, padding=1),
    "signal": spec((3, 20, 5), 35, 5, padding=1),
    "1×1": spec((1, 65, 3, 4), 30, 1),
    "strided": spec((2, 7, 5, 4), 48, 3, stride=2, padding=1),
    "dilated": spec((1, 11, 6, 7), 90, 3, padding=2, dilation=(2, 3)),
    "rows never read": spec((1, 8, 8, 8), 24, 2, stride=3),
    "long sums": spec((1, 4, 3, 3), 300, 3, padding=1),
    "one-sided padding": spec((1, 5, 3, 4), 60, 3, padding=((1, 0), (2, 1))),
    "bias and relu": spec((1, 8, 3, 3), 40, 3, bias=True, activation="relu"),
    "few rows": spec((1, 30, 3, 3), 6, 3),
    **{
        f"{border} border": spec((1, 9, 4, 5), 90, 3, padding=2, border=border)
        for border in BORDERS
        if border != "zeros"
    },
}


@pytest.mark.parametrize("on", TARGETS, ids=lambda t: t.name)
@pytest.mark.parametrize("solves", "yxw")
@pytest.mark.parametrize("name", CASES)
def test_against_the_definition(name, solves, on):
    problem = CASES[name]
    if solves == "w":
        problem = replace(problem, bias=False, activation=None)
    problem = replace(problem, solves=solves)
    assert conv_streamed.handles(problem)
    for dtype, error in (("float32", 1e-5), ("float64", 1e-14)):
        problem = replace(problem, dtype=dtype)
        known = operands(problem)
        want = reference.convolve(problem, **known)
        for layout in ("contiguous", "channels last"):
            held = {
                name: array if name == "bias" else laid_out(array, layout)
                for name, array in known.items()
            }
            got = convolve(problem, **held, target=on)
            assert got.shape == want.shape and got.dtype == want.dtype
            np.testing.assert_allclose(got, want, error, error * np.abs(want).max())


def test_what_it_handles(monkeypatch):
    monkeypatch.undo()
    assert conv_streamed.handles(spec((2, 512, 2, 2, 2), 512, 3, padding=1))
    assert conv_streamed.handles(spec((1, 512, 7, 7), 512, 3, padding=1))
    assert not conv_streamed.handles(spec((1, 64, 56, 56), 64, 3, padding=1))
    assert not conv_streamed.handles(spec((1, 4, 2, 2), 8, 3, padding=1))
    # patches of 48 MB
    assert not conv_streamed.handles(spec((2, 1024, 6, 6, 6), 1024, 3, padding=1))


@pytest.mark.parametrize("on", ["avx512", "avx2"])
@pytest.mark.parametrize("kernel", [Dots, Outer, Spread])
def test_sums_stay_in_registers(kernel, on):
    register = {"avx512": "zmm", "avx2": "ymm"}[on]
    on = target.named(on)
    tile, _ = Tile.of("float32", 49, on)
    made = kernel(tile, False, None) if kernel is Dots else kernel(tile)
    assert not spills(SimpleNamespace(kernel=made), on, register)
