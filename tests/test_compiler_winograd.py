"""Winograd against the definition, its exactness, and when it is chosen."""

import random
from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from test_compiler_conv import LISTINGS, laid_out, operands, solved_for, spec, spills

from atrous.compiler import choice, jit, memory, reference, target
from atrous.compiler.convolution import convolve, prepared
from atrous.compiler.schedules import (
    conv_winograd,
    winograd_choice,
    winograd_transforms,
)
from atrous.compiler.schedules.conv_taps import forward
from atrous.compiler.schedules.winograd_transforms import filters, matrices, watched
from atrous.compiler.schedules.winograd_weights import WeightTransform
from atrous.compiler.spec import BORDERS

TARGETS = [
    t for t in map(target.named, ("avx512", "avx2", "neon")) if target.runs_here(t)
]


@pytest.fixture(autouse=True)
def pinned(monkeypatch):
    """Winograd wherever it can, on memory that is NaN where nothing was written."""
    monkeypatch.setenv("ATROUS_SCHEDULE", "winograd")
    monkeypatch.setattr(memory, "POISON", True)


@pytest.fixture
def threads():
    """Sets the number of threads, for this test alone."""
    yield target.set_num_threads
    target.set_num_threads(target.available_threads())


CASES = {
    "whole tiles": spec((1, 16, 10, 10), 16, 3),
    "edges": spec((2, 17, 9, 11), 33, 3, padding=1),
    "one pixel": spec((1, 16, 1, 1), 16, 3, padding=1),
    "one pixel a tap": spec((3, 16, 3, 3), 48, 3),
    "signal": spec((3, 40, 30), 64, 3, padding=1),
    "short signal": spec((2, 16, 2), 16, 3, padding=1),
    "volume": spec((1, 24, 5, 6, 7), 32, 3, padding=1),
    "thin volume": spec((2, 16, 1, 9, 8), 16, 3, padding=1),
    "flat kernel": spec((1, 16, 4, 9, 8), 24, (1, 3, 3), padding=(0, 1, 1)),
    "row kernel": spec((1, 16, 9, 9), 24, (1, 3), padding=(0, 1)),
    "five taps": spec((1, 16, 9, 11), 24, 5, padding=2),
    "five taps in a signal": spec((2, 16, 33), 24, 5, padding=1),
    "five taps in a volume": spec((1, 16, 6, 5, 7), 16, 5, padding=2),
    "dilated": spec((2, 16, 11, 14), 24, 3, padding=2, dilation=(2, 3)),
    "dilated signal": spec((2, 16, 50), 16, 3, padding=1, dilation=8),
    "dilated five": spec((1, 16, 13, 15), 16, 5, padding=4, dilation=2),
    "dilated volume": spec((1, 16, 5, 9, 10), 16, 3, padding=2, dilation=2),
    "dilated far": spec((1, 16, 9, 9, 5), 16, 3, padding=(5, 4, 1), dilation=(5, 4, 1)),
    "dilated depth": spec((2, 16, 13, 6, 5), 16, 3, padding=1, dilation=(3, 1, 1)),
    "dilated reflect": spec(
        (1, 16, 5, 9, 7), 16, 3, padding=2, dilation=2, border="reflect"
    ),
    "step 2": spec((2, 16, 11, 14), 24, 3, padding=1, stride=2),
    "step 2 in a volume": spec((1, 16, 9, 10, 11), 24, 3, padding=1, stride=2),
    "step 2 in a signal": spec((2, 16, 31), 24, 3, padding=1, stride=2),
    "step 2 in rows": spec((1, 16, 9, 10), 16, 3, padding=1, stride=(1, 2)),
    "step 4": spec((2, 16, 70), 24, 8, padding=2, stride=4),
    "five taps at step 2": spec((1, 16, 14, 13), 16, 5, padding=2, stride=2),
    "two taps": spec((1, 16, 9, 9), 16, 2),
    "four taps": spec((1, 16, 9, 9), 16, 4, padding=1),
    "seven taps": spec((2, 16, 70), 24, 7, padding=24, dilation=8),
    "long signal": spec((2, 16, 70), 16, 31, padding=15),
    "step 2 reflect": spec(
        (1, 16, 8, 11), 16, 3, padding=1, stride=2, border="reflect"
    ),
    "many images": spec((20, 16, 7, 7), 16, 3, padding=1),
    "long sums": spec((1, 150, 6, 6), 70, 3, padding=1),
    "one-sided padding": spec(
        (1, 16, 3, 7, 7), 16, 3, padding=((1, 0), (2, 1), (0, 2))
    ),
    "bias and relu": spec((2, 20, 6, 9), 20, 3, bias=True, activation="relu"),
    "groups": spec((2, 48, 9, 10), 96, 3, groups=3, padding=1, bias=True),
    "groups at step 2": spec((1, 32, 9, 10), 32, 3, groups=2, padding=1, stride=2),
    **{
        f"{border} border": spec((1, 16, 4, 5, 7), 16, 3, padding=2, border=border)
        for border in BORDERS
    },
}


def check(problem, known, on) -> None:
    """Against the definition: rounding errors of n terms, a few times over."""
    assert winograd_choice.handles(forward(problem))
    want = reference.convolve(replace(problem, dtype="float64"), **known)
    got = convolve(problem, **known, target=on)
    assert got.shape == want.shape and got.dtype == np.float32
    size = np.linalg.norm(want) / np.sqrt(want.size)
    bound = 100 * np.finfo(np.float32).eps * size
    np.testing.assert_allclose(got, want, rtol=0, atol=bound)


@pytest.mark.parametrize("on", TARGETS, ids=lambda t: t.name)
@pytest.mark.parametrize("case", CASES)
def test_case(case, on):
    for solves in "yxw":
        problem = solved_for(CASES[case], solves)
        check(problem, operands(problem), on)


def test_large_results_are_written_past_the_caches(monkeypatch):
    """In whole lines, without the bits of others."""
    on = target.here()
    problem = spec((1, 16, 4, 40, 44), 16, 3, padding=1, bias=True)
    known = operands(problem)
    plain = convolve(problem, **known, target=on)
    monkeypatch.setattr(conv_winograd, "STREAMED", 0)
    conv_winograd.plan.cache_clear()
    prepared.cache_clear()
    try:
        np.testing.assert_array_equal(convolve(problem, **known, target=on), plain)
    finally:
        conv_winograd.plan.cache_clear()
        prepared.cache_clear()


def drawn(seed: int):
    """A random problem that the schedule handles."""
    r = random.Random(seed)
    rank = r.choice([1, 2, 3])
    sizes = tuple(r.randint(3, 40 if rank == 1 else 12) for _ in range(rank))
    kernel = (3,) if rank == 1 else (r.choice([1, 3]),) * (rank - 1) + (3,)
    sides = [r.randint(0, 2) for _ in range(2 * rank)]
    reach = [2 * (k > 1) * r.randint(1, 2) for k in kernel]
    sizes = tuple(max(n, 2 * d + 1) for n, d in zip(sizes, reach, strict=True))
    return spec(
        (r.randint(1, 3), r.randint(8, 40), *sizes),
        r.randint(8, 70),
        kernel,
        dilation=tuple(max(1, d // 2) for d in reach),
        padding=tuple(zip(sides[::2], sides[1::2], strict=True)),
        border=r.choice(BORDERS),
        bias=r.random() < 0.5,
        activation=r.choice([None, "relu"]),
    )


@pytest.mark.parametrize("seed", range(12))
def test_random_problem(seed):
    problem, r = drawn(seed), random.Random(seed)
    for solves in "yxw":
        solved = solved_for(problem, solves)
        how = r.choice(["contiguous", "channels last", "sliced", "reversed"])
        check(solved, operands(solved, how, seed), target.here())


@pytest.mark.parametrize("solves", "yxw")
def test_error_is_at_most_four_times_torchs(solves):
    """The Frobenius error against float64, beside torch's own float32."""
    torch = pytest.importorskip("torch")
    problem = solved_for(spec((2, 64, 28, 28), 64, 3, padding=1), solves)
    known = operands(problem)
    want = reference.convolve(replace(problem, dtype="float64"), **known)

    def error(got) -> float:
        return np.linalg.norm(np.asarray(got) - want) / np.linalg.norm(want)

    given = {name: torch.from_numpy(value) for name, value in known.items()}
    if solves == "y":
        theirs = torch.conv2d(given["x"], given["w"], padding=1)
    elif solves == "x":
        theirs = torch.nn.grad.conv2d_input(
            problem.shapes["x"], given["w"], given["y"], padding=1
        )
    else:
        theirs = torch.nn.grad.conv2d_weight(
            given["x"], problem.shapes["w"], given["y"], padding=1
        )
    assert error(convolve(problem, **known)) <= 4 * error(theirs)


@pytest.mark.parametrize("solves", "yxw")
def test_bits_do_not_depend_on_threads(solves, threads):
    problem = solved_for(spec((2, 20, 9, 22, 23), 24, 3, padding=1), solves)
    known = operands(problem)
    results = []
    for count in (1, 2, 4, 2):
        threads(count)
        results.append(convolve(problem, **known).tobytes())
    assert len(set(results)) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
@pytest.mark.parametrize("solves", "yxw")
def test_what_is_not_finite_is_where_the_definition_has_it(solves, value):
    """A NaN would spread over its tile, and a large number overflow within it."""
    problem = solved_for(spec((1, 16, 11, 11), 16, 3, padding=1), solves)
    known = operands(problem)
    name = "x" if solves != "x" else "y"
    known[name][0, 1, 5, 6] = value
    with np.errstate(all="ignore"):
        want = reference.convolve(problem, **known)
    got = convolve(problem, **known)
    np.testing.assert_array_equal(np.isfinite(got), np.isfinite(want))


def test_reaches_every_corner_of_a_tile():
    """A NaN anywhere in the input is noticed, whichever output reads it."""
    problem = spec((1, 16, 6, 6), 16, 3)
    known = operands(problem)
    clean = known["x"]
    for i in range(6):
        for j in range(6):
            x = clean.copy()
            x[0, 3, i, j] = np.nan
            y = convolve(problem, x=x, w=known["w"])
            where = np.isnan(y).all(axis=(0, 1))
            expected = np.zeros((4, 4), bool)
            expected[max(0, i - 2) : i + 1, max(0, j - 2) : j + 1] = True
            np.testing.assert_array_equal(where, expected)


FILTERS = [
    (outputs, taps, step)
    for outputs, taps, step in product((2, 3, 4), range(1, 9), (1, 2, 3))
    if outputs + len(filters(taps, step)[0]) - 1 <= winograd_choice.SPOTS
]


@pytest.mark.parametrize(("outputs", "taps", "step"), FILTERS)
def test_matrices_are_exact(outputs, taps, step):
    left, weights, inputs = matrices(outputs, taps, step)
    r = random.Random(0)
    d = [Fraction(r.randint(-9, 9)) for _ in range((outputs - 1) * step + taps)]
    g = [Fraction(r.randint(-9, 9)) for _ in range(taps)]

    def times(matrix, vector):
        return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]

    products = [a * b for a, b in zip(times(weights, g), times(inputs, d), strict=True)]
    want = [sum(d[j * step + k] * g[k] for k in range(taps)) for j in range(outputs)]
    assert times(left, products) == want
    for spot in range(len(weights)):
        assert any(left[j][spot] for j in watched(left))


@pytest.mark.parametrize("taps", [3, 7])
def test_shared_parts_give_the_same_forms(taps):
    for matrix in matrices(4, taps):
        parts, rows = winograd_transforms.shared(matrix)
        values = [Fraction(n * n % 11 - 5) for n in range(len(matrix[0]))]
        for part in parts:
            values.append(sum(c * values[i] for i, c in part.items()))
        got = [sum(c * values[i] for i, c in row.items()) for row in rows]
        inputs = values[: len(matrix[0])]
        assert got == [
            sum(c * v for c, v in zip(row, inputs, strict=True)) for row in matrix
        ]


def kernels_of(problem, on, solves_w=False):
    """The main kernel, and that of the weights, for channels-last operands."""
    taps = forward(problem)
    strides = (1, 1, 1, *(1 for _ in problem.size))
    main = conv_winograd.plan(taps, strides, strides, solves_w, on).kernel
    return main, WeightTransform(main.weights, solves_w)


@pytest.mark.parametrize("solves_w", [False, True])
def test_other_machines_code_is_generated(solves_w):
    on = target.named("neon")
    problem = spec((1, 32, 6, 8, 8), 32, 3, padding=1)
    for kernel in kernels_of(problem, on, solves_w):
        text = jit.assembly(kernel.build(on).ir, on)
        assert "fmla" in text or "fmul" in text


@pytest.mark.parametrize("solves_w", [False, True])
def test_products_stay_in_registers(solves_w):
    """Only the transforms, of 36 values, use the stack; no fused product does."""
    on = target.named("avx512")
    problem = spec((1, 64, 28, 28), 64, 3, padding=1)
    main, _ = kernels_of(problem, on, solves_w)
    plan = type("Plan", (), {"kernel": main})
    assert len(spills(plan, on, "%zmm")) < 80


@pytest.mark.parametrize("solves_w", [False, True])
def test_listing_is_as_reviewed(solves_w):
    """If a schedule changes on purpose, write the new listing over the old."""
    on = target.named("avx2")
    main, _ = kernels_of(spec((1, 8, 8, 8), 8, 3, padding=1), on, solves_w)
    name = "winograd_gradient" if solves_w else "winograd"
    assert main.build(on).listing == (LISTINGS / f"{name}.txt").read_text()


def test_choice(monkeypatch):
    """Where it saves work, and where nobody pins another schedule."""

    def picked(problem):
        return choice.candidates(problem)[0] == choice.WINOGRAD

    monkeypatch.delenv("ATROUS_SCHEDULE")
    large = spec((1, 64, 56, 56), 64, 3, padding=1)
    assert picked(large)
    assert picked(spec((1, 32, 32, 32, 32), 32, 3, padding=1))
    assert not picked(spec((1, 64, 3, 3), 64, 3, padding=1))  # too few tiles
    assert not picked(spec((1, 64, 56, 56), 64, 3, padding=1, stride=3))
    assert picked(spec((1, 64, 56, 56), 64, 3, padding=2, dilation=2))
    assert not picked(spec((1, 64, 9, 9), 64, 3, padding=9, dilation=9))
    assert picked(spec((1, 64, 56, 56), 64, 3, padding=1, groups=2))
    grouped = spec((1, 64, 56, 56), 64, 3, padding=1, groups=2)
    assert choice.candidates(solved_for(grouped, "w")) == ("direct",)
    assert not picked(spec((1, 64, 56, 56), 64, 3, padding=1, groups=16))
    assert not picked(spec((1, 64, 56, 56), 64, 9, padding=1))
    assert not picked(spec((1, 64, 56, 56), 64, 3, dtype="float64"))
    assert not picked(spec((1, 4, 56, 56), 64, 3))
    monkeypatch.setenv("ATROUS_SCHEDULE", "direct")
    assert not picked(large)


def test_weights_of_any_strides():
    problem = spec((1, 16, 9, 9), 16, 3, padding=1)
    known = operands(problem)
    for how in ("sliced", "packed structure", "channels last"):
        check(problem, {**known, "w": laid_out(known["w"], how)}, target.here())
