"""Every schedule on aarch64: compiled always, run where an emulator is installed."""

import math
import re
from dataclasses import replace
from pathlib import Path

import emulated
import numpy as np
import pytest
from test_compiler_conv import CASES, check, operands, solved_for, spec

from atrous import compiler
from atrous.compiler import cache, memory, reference
from atrous.compiler.matrix import matmul
from atrous.compiler.spec import PoolSpec, ResampleSpec

RNG = np.random.default_rng(0)
IN, OTHER = ("in", 0), ("in", 1)


@pytest.fixture(autouse=True)
def neon(monkeypatch):
    """Kernels for NEON, however small the problem, into poisoned memory."""
    monkeypatch.setattr(compiler, "SMALL", 0)
    monkeypatch.setattr(memory, "POISON", True)
    with emulated.kernels():
        yield


def skip_unless_run() -> None:
    """What is left of a test where nothing can be run: that it compiled."""
    if emulated.MISSING:
        pytest.skip(f"compiled, not run: {emulated.MISSING}")


def agree(got, want, places: float) -> None:
    """Equal up to `places` units in the last place, where kernels can be run."""
    if not emulated.MISSING:
        bound = places * np.finfo(got.dtype).eps if got.dtype.kind == "f" else 0
        np.testing.assert_allclose(got, want, rtol=bound, atol=bound)


def values(*shape, dtype="float32"):
    return RNG.standard_normal(shape).astype(dtype)


CONVOLUTIONS = (
    "one pixel, padded",
    "first layer",
    "few from many",
    "channels beyond a vector",
    "long signal",
    "stride equals kernel",
    "dilated",
    "depthwise",
    "depthwise, multiplied",
    "grouped",
    "bias and relu",
    "double",
    "reflect border",
)


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.name in CONVOLUTIONS], ids=lambda c: c.name
)
def test_convolutions(case):
    for solves in "yxw":
        problem = solved_for(case.spec, solves)
        known = operands(problem)
        if emulated.MISSING:
            compiler.convolve(problem, **known, target=emulated.NEON)
        else:
            check(problem, known, emulated.NEON)
    skip_unless_run()


def test_every_convolution_was_found():
    assert set(CONVOLUTIONS) <= {case.name for case in CASES}


def test_convolution_by_winograd(monkeypatch):
    """Pinned, for problems too small to be worth it."""
    monkeypatch.setenv("ATROUS_SCHEDULE", "winograd")
    for sizes in ((9, 10), (3, 6, 7)):
        problem = spec((1, 32, *sizes), 36, 3, padding=1)
        for solves in "yxw":
            solved = replace(problem, solves=solves)
            known = operands(solved)
            got = compiler.convolve(solved, **known, target=emulated.NEON)
            want = reference.convolve(replace(solved, dtype="float64"), **known)
            terms = solved.products // want.size
            agree(got, want, 40 * terms**0.5)
    skip_unless_run()


def test_products():
    for left, right in (((33, 50), (50, 17)), ((3, 20, 30), (3, 30, 5))):
        a, b = values(*left), values(*right)
        agree(matmul(a, b, emulated.NEON), np.matmul(a, b), 200)
    a, b = values(4, 260), values(260, 30)  # few rows: the right side is streamed
    for right in (b, b.T.copy().T):
        agree(matmul(a, right, emulated.NEON), np.matmul(a, b), 200)
    skip_unless_run()


def test_convolution_of_few_outputs(monkeypatch):
    """w is streamed; pinned, as it is worth little here."""
    monkeypatch.setenv("ATROUS_SCHEDULE", "streamed")
    problem = spec((1, 70, 3, 2), 110, 3, padding=1)
    for solves in "yxw":
        solved = replace(problem, solves=solves)
        known = operands(solved)
        got = compiler.convolve(solved, **known, target=emulated.NEON)
        want = reference.convolve(replace(solved, dtype="float64"), **known)
        agree(got, want, 40 * (solved.products // want.size) ** 0.5)
    skip_unless_run()


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "int32", "bool"])
def test_pointwise(dtype):
    expr = ("add", ("mul", IN, IN), OTHER)
    a, b = values(5, 37), values(37)
    if dtype == "bfloat16":
        a, b = (reference.store(x, dtype) for x in (a, b))
        loaded = [reference.load(x, dtype) for x in (a, b)]
        got = reference.load(
            compiler.pointwise(expr, a, b, dtypes=(dtype, dtype)), dtype
        )
        want = loaded[0] * loaded[0] + loaded[1]
        agree(got, want.astype("f4"), 2**16 * 2)
    else:
        a, b = (a * 9).astype(dtype), (b * 9).astype(dtype)
        agree(compiler.pointwise(expr, a, b), a * a + b, 64)
    skip_unless_run()


def test_many_problems_in_one_launch():
    """Compiled, not run: see `emulated.COMPILED_ONLY`."""
    before = len(emulated.programs)
    problems = [[values(n), values(n)] for n in (5, 300)]
    dtypes = ("float32", "float32")
    exprs = (("sub", IN, ("mul", ("scalar", 0), OTHER)),)
    compiler.pointwise_each(
        exprs, problems, scalars=(0.5,), dtypes=dtypes, written=(0,)
    )
    assert len(emulated.programs) == before + 1


FUNCTIONS = {
    **{n: getattr(np, n) for n in ("exp", "log", "tanh", "sin", "sqrt", "floor")},
    "erf": np.vectorize(math.erf),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}


@pytest.mark.parametrize("op", FUNCTIONS)
def test_functions(op):
    x = np.abs(values(301, dtype="float64")) + 0.1
    got = compiler.pointwise((op, IN), x)
    agree(got, FUNCTIONS[op](x), 20)
    single = x.astype("f4")
    exact = FUNCTIONS[op](single.astype("f8"))
    agree(compiler.pointwise((op, IN), single), exact.astype("f4"), 20)
    skip_unless_run()


@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8"])
def test_copies_between_layouts(dtype):
    x = (values(3, 40, 37) * 9).astype(dtype)
    for turned in (x.transpose(0, 2, 1), x[:, ::2, ::-1], x.transpose(2, 1, 0)):
        out = np.zeros(turned.shape, dtype)
        agree(compiler.pointwise(IN, turned, out=out), turned, 0)
    skip_unless_run()


@pytest.mark.parametrize("combine", ["sum", "max", "argmin", "any", "prod"])
def test_reductions(combine):
    for shape, axes in (((3000,), (0,)), ((5, 3, 7, 9), (0, 2, 3)), ((30, 41), (0,))):
        x = values(*shape)
        got = compiler.reduce(combine, IN, x, axes=axes)
        want = reference.combine(combine, x != 0 if combine == "any" else x, axes)
        agree(got, want, 8)
    skip_unless_run()


def test_mean_and_variance():
    x = values(4, 6, 50) + 3
    for got, want in zip(
        compiler.reduce("mean_variance", IN, x, axes=(0, 2)),
        reference.mean_variance(x, (0, 2)),
        strict=True,
    ):
        agree(got, want, 8)
    skip_unless_run()


@pytest.mark.parametrize("log", [False, True])
def test_softmax(log):
    for shape, axis in (((40, 100), 1), ((2, 3, 5, 11), 1), ((5, 40, 3), 0)):
        x, grad = values(*shape), values(*shape)
        got = compiler.softmax(x, axis, log=log)
        agree(got, reference.softmax(x.astype("f8"), axis, log), 40)
        back = compiler.softmax_gradient(grad, x, axis, log=log)
        exact = reference.softmax_gradient(grad.astype("f8"), x, axis, log)
        agree(back, exact, 400)
    skip_unless_run()


@pytest.mark.parametrize("shape", [(9, 40), (2, 4, 5, 11)])
def test_likelihood(shape):
    x = values(*shape)
    classes = np.arange(x.size // shape[1]).reshape(shape[0], *shape[2:]) % shape[1]
    losses, _ = compiler.likelihood(x, classes, None, ignored=1, each=True)
    logs = reference.softmax(x.astype("f8"), 1, True)
    picked = np.take_along_axis(logs, classes[:, None], 1)[:, 0]
    asked = classes != 1
    agree(losses, np.where(asked, -picked, 0), 40)
    grad = np.ones(classes.shape, "f4")
    back = compiler.likelihood_gradient(
        x, classes, None, grad, divisor=np.array(2.0), ignored=1
    )
    hit = np.arange(shape[1]).reshape(-1, *[1] * (x.ndim - 2)) == classes[:, None]
    agree(back, (np.exp(logs) - hit) * asked[:, None] / 2, 40)
    skip_unless_run()


@pytest.mark.parametrize("kind", ["max", "average"])
def test_pools(kind):
    x = values(2, 5, 9, 11)
    problem = PoolSpec(kind, "float32", 2, 5, (9, 11), (3, 2), (2, 2), (1, 1), (1, 1))
    found = compiler.pool_forward(problem, x)
    y, indices = found if kind == "max" else (found, None)
    want, places = reference.pool(problem, x)
    agree(y, want, 8)
    if kind == "max":
        agree(indices, places, 0)
        indices = places
        agree(compiler.pool_pick(problem, x, places), want, 0)
    grad = values(*want.shape)
    back = compiler.pool_gradient(problem, grad, indices)
    agree(back, reference.pool_gradient(problem, grad, indices), 8)
    skip_unless_run()


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_resampling(mode):
    x = values(2, 5, 6, 7)
    problem = ResampleSpec(mode, (6, 7), (11, 5))
    agree(compiler.resample(problem, x), reference.resample(problem, x), 20)
    grad = values(2, 5, 11, 5)
    got = compiler.resample_gradient(problem, grad)
    if not emulated.MISSING:  # the transpose: <R x, g> = <x, Rᵀ g>
        forward = (reference.resample(problem, x).astype("f8") * grad).sum()
        np.testing.assert_allclose((got.astype("f8") * x).sum(), forward, rtol=1e-4)
    skip_unless_run()


#: The families of kernels, as the cache calls them, that the tests above make.
FAMILIES = {
    "conv_direct",
    "conv_streamed",
    "conv_weights",
    "winograd",
    "winograd_weights",
    "pointwise",
    "each",
    "reduce",
    "softmax",
    "pool",
    "resample",
    "likelihood",
}


def test_no_family_of_kernels_is_missing():
    found = set()
    for path in Path(cache.__file__).parent.rglob("*.py"):
        found |= set(re.findall(r'kernel\(\s*\("(\w+)"', path.read_text()))
    assert found == FAMILIES
