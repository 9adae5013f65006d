"""Convolution's schedules against the definition, on every target this machine runs."""

import random
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from atrous.compiler import jit, memory, reference, target
from atrous.compiler.convolution import convolve
from atrous.compiler.matrix import matmul
from atrous.compiler.schedules import (
    conv_depthwise,
    conv_direct,
    conv_dots,
    conv_grouped,
    conv_thin,
    conv_weights,
)
from atrous.compiler.schedules.conv_taps import forward
from atrous.compiler.spec import BORDERS, ConvSpec, border_index

TARGETS = [t for t in target.NAMED.values() if target.runs_here(t)]
MAIN = [t for t in TARGETS if t.name != "sse2"] or TARGETS
LISTINGS = Path(__file__).parent / "listings"


@pytest.fixture(autouse=True)
def poisoned(monkeypatch):
    """Fresh memory is NaN: an element that is forgotten, or wrongly read, shows."""
    monkeypatch.setattr(memory, "POISON", True)


@pytest.fixture
def threads():
    """Sets the number of threads, for this test alone."""
    yield target.set_num_threads
    target.set_num_threads(target.available_threads())


def spec(
    x,
    out,
    kernel,
    *,
    groups=1,
    stride=1,
    dilation=1,
    padding=0,
    dtype="float32",
    **more,
):
    """A ConvSpec for y from x's shape and what is the same on every axis."""
    rank = len(x) - 2

    def each(value):
        return value if isinstance(value, tuple) else (value,) * rank

    sides = each(padding)
    return ConvSpec(
        solves="y",
        dtype=dtype,
        batch=x[0],
        groups=groups,
        in_channels=x[1],
        out_channels=out,
        size=tuple(x[2:]),
        kernel=each(kernel),
        stride=each(stride),
        dilation=each(dilation),
        padding=tuple(p if isinstance(p, tuple) else (p, p) for p in sides),
        **more,
    )


@dataclass(frozen=True)
class Case:
    """A problem with a name that says what is special about it."""

    name: str
    spec: ConvSpec


CASES = [
    Case("one of everything", spec((1, 1, 1), 1, 1)),
    Case("one pixel, padded", spec((1, 2, 1, 1), 3, 3, padding=1)),
    Case("kernel beyond the input", spec((1, 2, 2, 2), 3, 4, padding=2)),
    Case("first layer", spec((2, 1, 9, 8, 7), 16, 3, padding=1)),
    Case("last layer", spec((2, 24, 6, 5), 3, 1)),
    Case("few from many", spec((2, 40, 7, 6), 3, 3, padding=1, bias=True)),
    Case("few from few", spec((2, 3, 5, 37), 5, 3, padding=1, bias=True)),
    Case("one from one", spec((2, 1, 40), 1, 7, padding=3, activation="relu")),
    Case("few from few, dilated", spec((1, 2, 6, 33), 3, 3, dilation=2, padding=2)),
    Case("few from few, strided", spec((1, 4, 7, 66), 3, 4, stride=2, padding=1)),
    Case("few from few, grouped", spec((2, 6, 19), 6, 3, groups=2, bias=True)),
    Case(
        "few from few, reflected",
        spec((1, 2, 5, 34), 2, 3, padding=1, border="reflect"),
    ),
    Case("one from many", spec((2, 33, 9), 1, 5, activation="relu", stride=2)),
    Case("3-D, whole vectors", spec((1, 32, 5, 6, 7), 64, 3, padding=1)),
    Case("three vectors", spec((1, 16, 6, 6), 48, 3, padding=1)),
    Case("channels beyond a vector", spec((1, 17, 4, 5), 19, 3, padding=1)),
    Case("channels in blocks", spec((1, 700, 3, 3), 70, 3, padding=1)),
    Case("uneven blocks", spec((1, 601, 2, 3), 5, 5, padding=2)),
    Case("long signal", spec((1, 3, 3001), 8, 9, padding=4, stride=2)),
    Case("stride beats kernel", spec((1, 2, 9), 4, 2, stride=3)),
    Case("stride equals kernel", spec((1, 4, 8, 8), 6, 2, stride=2)),
    Case("patches", spec((2, 3, 8, 12), 20, 4, stride=4, bias=True)),
    Case("patches that leave a rest", spec((1, 3, 9, 13), 20, 4, stride=4)),
    Case("squares", spec((2, 24, 3, 37), 9, 3, padding=1, border="reflect")),
    Case("squares of doubles", spec((2, 48, 21), 16, 5, groups=2, dtype="float64")),
    Case("depthwise squares", spec((1, 48, 4, 35), 48, 3, groups=48, padding=1)),
    Case("dilated", spec((1, 8, 13, 12), 16, 3, dilation=3, padding=3)),
    Case("one-sided padding", spec((1, 3, 6, 5), 4, 3, padding=((2, 0), (0, 1)))),
    Case("depthwise", spec((2, 20, 7, 6), 20, 3, groups=20, padding=1)),
    Case("depthwise, dilated", spec((2, 4, 5, 5), 4, 2, groups=4, dilation=2)),
    Case("depthwise, multiplied", spec((1, 6, 5, 5), 18, 3, groups=6, padding=1)),
    Case("depthwise, strided", spec((1, 33, 9, 9), 33, 3, groups=33, stride=2)),
    Case("grouped", spec((1, 12, 6, 6), 8, 3, groups=4, padding=1)),
    Case("grouped, sliding", spec((2, 32, 9, 35), 48, 3, groups=4, padding=1)),
    Case("grouped, strided", spec((1, 24, 20, 9), 36, 5, groups=3, stride=2)),
    Case("grouped, in parts", spec((1, 96, 5, 6, 7), 16, 3, groups=2, padding=1)),
    Case("depthwise, in parts", spec((1, 5, 9, 9, 40), 5, 7, groups=5, padding=3)),
    Case("empty batch", spec((0, 3, 6, 6), 4, 3)),
    Case("bias and relu", spec((2, 5, 6, 6), 7, 3, bias=True, activation="relu")),
    Case("relu after blocks", spec((1, 800, 2, 2), 9, 3, padding=1, activation="relu")),
    Case("four axes", spec((1, 2, 3, 4, 3, 4), 3, 2, padding=1)),
    Case("double", spec((1, 9, 6, 7), 11, 3, padding=1, dtype="float64")),
    *(
        Case(f"{border} border", spec((1, 5, 6, 5, 7), 6, 3, padding=2, border=border))
        for border in BORDERS
    ),
]


def solved_for(problem: ConvSpec, solves: str) -> ConvSpec:
    """The same problem for another operand; w has neither bias nor activation."""
    if solves == "w":
        return replace(problem, solves="w", bias=False, activation=None)
    return replace(problem, solves=solves)


def laid_out(values: np.ndarray, how: str) -> np.ndarray:
    """The same values with other strides."""
    if how == "channels last":
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(values, 1, -1)), -1, 1)
    if how == "sliced":
        space = np.full([2 * n for n in values.shape], np.nan, values.dtype)
        space = space[tuple(slice(None, None, 2) for _ in values.shape)]
        space[...] = values
        return space
    if how == "packed structure":  # strides that are no whole elements
        fields = np.dtype([("mark", "i1"), ("value", values.dtype)])
        space = np.zeros(values.shape, fields)
        space["value"] = values
        return space["value"]
    if how == "reversed":
        return values[:, :, ::-1].copy()[:, :, ::-1]
    return values


def operands(problem: ConvSpec, how: str = "contiguous", seed: int = 0) -> dict:
    """Random operands, and the bias if the spec has one."""
    random_values = np.random.default_rng(seed)
    known = {
        name: laid_out(random_values.standard_normal(shape).astype(problem.dtype), how)
        for name, shape in problem.shapes.items()
        if name != problem.solves
    }
    if problem.bias:
        channels = problem.shapes[problem.solves][1]
        known["bias"] = random_values.standard_normal(channels).astype(problem.dtype)
    return known


def check(problem: ConvSpec, known: dict, on: target.Target) -> None:
    """The compiled result against the definition: n terms err by about √n·eps."""
    want = reference.convolve(problem, **known)
    got = convolve(problem, **known, target=on)
    assert got.shape == want.shape and got.dtype == want.dtype
    terms = max(1, problem.products // max(1, want.size))
    bound = 10 * np.finfo(problem.dtype).eps * np.sqrt(terms) * 4
    np.testing.assert_allclose(got, want, rtol=bound, atol=bound)


@pytest.mark.parametrize("on", MAIN, ids=lambda t: t.name)
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_case(case, on):
    for solves in "yxw":
        problem = solved_for(case.spec, solves)
        check(problem, operands(problem), on)


def drawn(seed: int) -> ConvSpec | None:
    """A random problem, or None if nothing would come out."""
    r = random.Random(seed)
    rank, groups = r.choice([1, 2, 3]), r.choice([1, 1, 2, 3])
    most = r.choice([3, 20])
    shape = (r.randint(1, 2), groups * r.randint(1, most))
    sizes = tuple(r.randint(1, 9 if rank > 1 else 40) for _ in range(rank))
    border = r.choice(BORDERS)
    wide = [r.randint(0, 3) for _ in range(2 * rank)]
    if border == "reflect":
        wide = [min(p, sizes[i // 2] - 1) for i, p in enumerate(wide)]
    problem = spec(
        (*shape, *sizes),
        groups * r.randint(1, most),
        tuple(r.randint(1, 4) for _ in range(rank)),
        groups=groups,
        stride=tuple(r.randint(1, 3) for _ in range(rank)),
        dilation=tuple(r.randint(1, 2) for _ in range(rank)),
        padding=tuple(zip(wide[::2], wide[1::2], strict=True)),
        dtype=r.choice(["float32", "float64"]),
        border=border,
        bias=r.random() < 0.5,
        activation=r.choice([None, None, "relu"]),
    )
    return problem if all(problem.output_size) else None


@pytest.mark.parametrize("seed", [s for s in range(30) if drawn(s)])
def test_random_problem(seed):
    problem, r = drawn(seed), random.Random(seed)
    for solves in "yxw":
        how = r.choice(["contiguous", "channels last", "sliced", "reversed"])
        solved = solved_for(problem, solves)
        check(solved, operands(solved, how, seed), target.here())


@pytest.mark.parametrize("solves", "yxw")
def test_bits_do_not_depend_on_threads(solves, threads):
    problem = solved_for(spec((2, 20, 9, 10, 11), 24, 3, padding=1), solves)
    known = operands(problem)
    results = []
    for count in (1, 2, 4, 2):
        threads(count)
        results.append(convolve(problem, **known).tobytes())
    assert len(set(results)) == 1


@pytest.mark.parametrize(
    "how", ["channels last", "sliced", "reversed", "packed structure"]
)
@pytest.mark.parametrize("channels", [3, 17])
def test_strides(channels, how):
    for groups in (1, channels):
        problem = spec((2, channels, 6, 7), channels, 3, padding=1, groups=groups)
        for solves in "yxw":
            solved = solved_for(problem, solves)
            check(solved, operands(solved, how), target.here())


def test_results_are_channels_last_and_out_is_filled():
    problem = spec((2, 3, 5, 6), 4, 3)
    known = operands(problem)
    y = convolve(problem, **known)
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous
    out = np.empty(y.shape, y.dtype)
    assert convolve(problem, **known, out=out) is out
    np.testing.assert_array_equal(out, y)


def test_not_a_number_reaches_what_reads_it_and_nothing_else():
    problem = spec((1, 3, 6, 6), 5, 3, padding=1)
    known = operands(problem)
    known["x"][0, 1, 0, 0] = np.inf
    known["x"][0, 2, 5, 5] = np.nan
    y = convolve(problem, **known)
    strange = ~np.isfinite(y).all(axis=(0, 1))
    expected = np.zeros((6, 6), bool)
    expected[:2, :2] = expected[4:, 4:] = True
    np.testing.assert_array_equal(strange, expected)


def test_zero_padding_multiplies_as_in_torch():
    """0 · NaN at the border is NaN: torch's own padding is a product too."""
    problem = spec((1, 1, 4), 1, 3, padding=1)
    w = np.array([[[np.nan, 0, 0]]], np.float32)
    y = convolve(problem, x=np.ones((1, 1, 4), np.float32), w=w)
    assert np.isnan(y[0, 0, 0])


@pytest.mark.parametrize("border", BORDERS)
def test_border_index_is_numpy_pad(border):
    modes = {"replicate": "edge", "circular": "wrap", "reflect": "reflect"}
    if border == "zeros":
        assert border_index(3, 2, 1, border).tolist() == [-1, -1, 0, 1, 2, -1]
        return
    want = np.pad(np.arange(5), (3, 4), mode=modes[border])
    np.testing.assert_array_equal(border_index(5, 3, 4, border), want)


@pytest.mark.parametrize("solves", "yxw")
def test_long_sums_are_exact(solves, monkeypatch):
    """Thousands of terms, summed in parts, err as hundreds do: one running sum of n
    terms errs by about √(n/2)·2⁻²⁵, which is 1e-6 here."""
    monkeypatch.setenv("ATROUS_SCHEDULE", "direct")
    problem = solved_for(spec((2, 96, 12, 12, 12), 64, 3, padding=1), solves)
    known = operands(problem)
    want = reference.convolve(replace(problem, dtype="float64"), **known)
    error = np.linalg.norm(convolve(problem, **known) - want) / np.linalg.norm(want)
    assert error < 3.5e-7


def plan_of(problem: ConvSpec, on: target.Target, schedule=conv_direct.plan):
    """The plan for dense channels-last operands."""

    def strides(name):
        _, channels, *spatial = problem.shapes[name]
        steps = [channels * int(np.prod(spatial[a + 1 :])) for a in range(len(spatial))]
        whole = channels * int(np.prod(spatial))
        return (whole, channels // problem.groups, 1, *steps)

    return schedule(forward(problem), strides("x"), strides("y"), on)


@pytest.mark.parametrize(
    "schedule, groups",
    [
        (conv_direct.plan, 1),
        (conv_weights.plan, 1),
        (conv_dots.plan, 8),
        (conv_thin.plan, 8),
        (conv_depthwise.plan, 16),
        (conv_depthwise.gradient_plan, 16),
        (conv_grouped.plan, 4),
        (conv_grouped.gradient_plan, 4),
    ],
)
def test_other_machines_code_is_generated(schedule, groups):
    problem = spec((1, 16, 8, 8), 16, 3, padding=1, groups=groups)
    on = target.named("neon")
    kernel = plan_of(problem, on, schedule).kernel.build(on)
    code = jit.assemble(kernel.ir, on)
    assert code[:4] == b"\x7fELF" and int.from_bytes(code[18:20], "little") == 183
    assert "fmla" in jit.assembly(kernel.ir, on)


@pytest.mark.parametrize("name", ["avx512", "avx2"])
def test_sums_stay_in_registers(name):
    """The innermost loops keep their sums: no vector is spilled to the stack."""
    on = target.named(name)
    register = {"avx512": "%zmm", "avx2": "%ymm"}[name]
    for channels, size in ((64, 12), (16, 28)):
        problem = spec((1, channels, *(size,) * 3), channels, 3, padding=1)
        for schedule in (conv_direct.plan, conv_weights.plan):
            assert spills(plan_of(problem, on, schedule), on, register) == []
        for schedules, groups in (
            (conv_depthwise, channels),
            (conv_grouped, channels // on.lanes(4)),
        ):
            problem = replace(problem, groups=groups)
            for schedule in (schedules.plan, schedules.gradient_plan):
                assert spills(plan_of(problem, on, schedule), on, register) == []
    for schedule, channels, out in (
        (conv_dots.plan, 32, 1),
        (conv_dots.plan, 64, 3),
        (conv_thin.plan, 4, 4),
    ):
        problem = spec((1, channels, 56, 56), out, 3, padding=1)
        assert spills(plan_of(problem, on, schedule), on, register) == []


def spills(plan, on: target.Target, register: str) -> list[str]:
    """What an innermost loop moves to or from the stack: whole vectors."""
    found, loop, label, sums = [], [], "", 0
    for line in jit.assembly(plan.kernel.build(on).ir, on).splitlines():
        if line.startswith(".L"):
            label, loop = line.split(":")[0], []
        loop.append(line)
        if line.startswith("\tj") and line.split()[-1] == label:  # back to its head
            products = [entry for entry in loop if "vfmadd" in entry]
            sums += len(products)
            if products:
                found += [x for x in loop if register in x and "rsp)" in x]
    assert sums
    return found


def test_listing_is_as_reviewed():
    """If a schedule changes on purpose, write the new listing over the old."""
    on = target.named("avx2")
    for name, schedule, groups in (
        ("convolve", conv_direct.plan, 1),
        ("weights", conv_weights.plan, 1),
        ("depthwise", conv_depthwise.plan, 8),
        ("depthwise_weights", conv_depthwise.gradient_plan, 8),
        ("grouped", conv_grouped.plan, 2),
        ("dots", conv_dots.plan, 4),
        ("thin", conv_thin.plan, 4),
    ):
        problem = spec((1, 8, 8, 8), 8, 3, padding=1, groups=groups)
        listing = plan_of(problem, on, schedule).kernel.build(on).listing
        assert listing == (LISTINGS / f"{name}.txt").read_text()


@pytest.mark.parametrize("on", TARGETS, ids=lambda t: t.name)
def test_matrix_products(on):
    values = np.random.default_rng(0)
    for left, right in (
        ((1, 1), (1, 1)),
        ((33, 50), (50, 17)),
        ((100, 7), (7, 1)),
        ((1, 64), (64, 100)),
        ((3, 20, 30), (30, 40)),
        ((2, 3, 9, 10), (3, 10, 35)),
        ((5, 8), (4, 8, 40)),
        ((0, 5), (5, 3)),
        ((4, 0), (0, 3)),
    ):
        for dtype in (np.float32, np.float64) if left[-1] == 50 else (np.float32,):
            a = values.standard_normal(left).astype(dtype)
            b = values.standard_normal(right).astype(dtype)
            want = np.matmul(a.astype(float), b.astype(float))
            transposed = a.mT.copy().mT, b.mT.copy().mT
            for first, second in ((a, b), transposed):
                got = matmul(first, second, on)
                assert got.shape == want.shape and got.dtype == dtype
                bound = 40 * np.finfo(dtype).eps * max(1, left[-1]) ** 0.5
                np.testing.assert_allclose(got, want, rtol=bound, atol=bound)
