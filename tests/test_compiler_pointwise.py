"""Pointwise kernels against their definition, on every target that runs here."""

import itertools
import math

import numpy as np
import pytest

from atrous import compiler
from atrous.compiler import cache, jit, reference
from atrous.compiler.elementwise import plan
from atrous.compiler.expression import promote, typed
from atrous.compiler.layout import collapse, memory_order
from atrous.compiler.schedules import pointwise as schedule
from atrous.compiler.spec import PointwiseSpec
from atrous.compiler.target import named, runs_here

TARGETS = [name for name in ("avx512", "avx2", "neon") if runs_here(named(name))]
IN, OTHER = ("in", 0), ("in", 1)


@pytest.fixture
def kernels(monkeypatch):
    """Everything goes through kernels, however small."""
    monkeypatch.setattr(compiler, "SMALL", 0)


@pytest.fixture(params=TARGETS)
def on_target(request, monkeypatch, kernels):
    """And is generated for one target after another."""
    monkeypatch.setattr(cache, "here", lambda: named(request.param))


def values(rng, shape, dtype):
    """Random elements of a dtype, some of them special."""
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if np.dtype(dtype).kind in "iu":
        info = np.iinfo(dtype)
        array = rng.integers(max(info.min, -99), 100, shape).astype(dtype)
        array[rng.random(shape) < 0.1] = info.min
        return array
    array = (rng.standard_normal(shape) * 3).astype(dtype)
    for number in (0.0, -0.0, np.inf, -np.inf, np.nan):
        array[rng.random(shape) < 0.02] = number
    return array


def agree(got, want, places=4):
    """Equal, up to `places` units in the last place where they are floats."""
    assert got.shape == want.shape and got.dtype == want.dtype
    if want.dtype.kind != "f":
        np.testing.assert_array_equal(got, want)
        return
    tolerance = places * np.finfo(want.dtype).eps
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=0)


FLOAT_UNARY = [
    "neg",
    "abs",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log2",
    "log10",
    "log1p",
    "sqrt",
    "rsqrt",
    "reciprocal",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "sigmoid",
    "erf",
    "erfc",
    "ceil",
    "floor",
    "round",
    "trunc",
    "sign",
    "isnan",
    "relu",
    "square",
]
BINARY = [
    "add",
    "sub",
    "mul",
    "div",
    "floordiv",
    "mod",
    "fmod",
    "pow",
    "minimum",
    "maximum",
    "atan2",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats(on_target, dtype):
    rng = np.random.default_rng(1)
    a, b = values(rng, 203, dtype), values(rng, 203, dtype)
    exprs = tuple((op, IN) for op in FLOAT_UNARY)
    exprs += tuple((op, IN, OTHER) for op in BINARY)
    exprs += (("where", ("lt", IN, OTHER), IN, ("const", 2)),)
    exprs += (("fma", IN, OTHER, ("scalar", 0)),)
    for start in range(0, len(exprs), 10):
        part = exprs[start : start + 10]
        got = compiler.pointwise(part, a, b, scalars=(1.5,))
        want = reference.pointwise(part, (a, b), (1.5,))
        for expr, g, w in zip(part, got, want, strict=True):
            if expr[0] == "fma":  # rounded once, not twice
                np.testing.assert_allclose(g, w, rtol=1e-4)
            else:
                agree(g, w)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8"])
def test_integers_and_zero_divisors(on_target, dtype):
    rng = np.random.default_rng(2)
    a, b = values(rng, 203, dtype), values(rng, 203, dtype)
    b[::7] = 0
    binary = [
        "add",
        "sub",
        "mul",
        "floordiv",
        "mod",
        "fmod",
        "pow",
        "minimum",
        "maximum",
        "eq",
        "lt",
        "and",
        "or",
        "xor",
    ]
    exprs = tuple((op, IN, OTHER) for op in binary)
    exprs += tuple(
        (op, IN) for op in ["neg", "abs", "sign", "relu", "square", "not", "floor"]
    )
    got = compiler.pointwise(exprs, a, b)
    for expr, g, w in zip(exprs, got, reference.pointwise(exprs, (a, b)), strict=True):
        np.testing.assert_array_equal(g, w, err_msg=str(expr))
        assert g.dtype == w.dtype


def test_truths(on_target):
    rng = np.random.default_rng(3)
    a, b = rng.random(99) < 0.5, rng.random(99) < 0.5
    exprs = tuple(
        (op, IN, OTHER)
        for op in ["and", "or", "xor", "eq", "ne", "lt", "ge", "add", "mul"]
    )
    exprs += (("not", IN), ("cast", "float32", IN), ("where", IN, OTHER, ("not", IN)))
    got = compiler.pointwise(exprs, a, b)
    for g, w in zip(got, reference.pointwise(exprs, (a, b)), strict=True):
        agree(g, w)


@pytest.mark.parametrize("source", ["bool", "uint8", "int16", "int64", "float32"])
def test_casts(on_target, source):
    rng = np.random.default_rng(4)
    x = values(rng, 77, source)
    if source == "float32":
        x = np.nan_to_num(x, posinf=9, neginf=-9)
    names = ("bool", "uint8", "int8", "int32", "int64", "float16", "float64")
    exprs = tuple(("cast", name, IN) for name in names)
    for g, w in zip(
        compiler.pointwise(exprs, x), reference.pointwise(exprs, (x,)), strict=True
    ):
        agree(g, w)


def test_half_types_round_to_nearest_even(on_target):
    x = np.array([1, 1 + 2**-8, 1 + 3 * 2**-8, 1e38, np.inf, np.nan, -0.0] * 9, "f4")
    stored = compiler.pointwise(("cast", "bfloat16", IN), x)
    assert stored.dtype == np.uint16
    assert [hex(v) for v in stored[:3]] == ["0x3f80", "0x3f80", "0x3f82"]
    np.testing.assert_array_equal(stored, reference.narrow_bfloat16(x))
    back = compiler.pointwise(("add", IN, ("const", 0.5)), stored, dtypes=("bfloat16",))
    np.testing.assert_array_equal(
        back,
        reference.pointwise(
            (("add", IN, ("const", 0.5)),), (stored,), (), ("bfloat16",)
        )[0],
    )
    half = np.arange(50, dtype=np.float16)
    agree(compiler.pointwise(("mul", IN, ("const", 3)), half), half * np.float16(3))


@pytest.mark.parametrize("target", [t for t in ("sse2",) if runs_here(named(t))])
def test_float16_where_the_processor_lacks_it(kernels, monkeypatch, target):
    monkeypatch.setattr(cache, "here", lambda: named(target))
    half = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    wide = compiler.pointwise(("cast", "float32", IN), half)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(wide, half.astype("f4"))
        next_one = np.nextafter(wide, np.float32(1))
    edges = np.array([65519.9, 65520.0, 1e30, 3e-8], "f4")
    between = np.concatenate([wide, next_one, edges])
    with np.errstate(all="ignore"):
        want = between.astype(np.float16)
    np.testing.assert_array_equal(
        compiler.pointwise(("cast", "float16", IN), between), want
    )


LAYOUTS = {
    "contiguous": lambda x: x,
    "channels last": lambda x: np.moveaxis(np.moveaxis(x, 1, -1).copy(), -1, 1),
    "transposed": lambda x: x.transpose(3, 2, 1, 0).copy().transpose(3, 2, 1, 0),
    "backwards": lambda x: x[::-1, :, ::-1].copy()[::-1, :, ::-1],
    "every other": lambda x: np.repeat(x, 2, axis=3)[..., ::2],
    "a row": lambda x: x[:1, :, :1],
    "a channel": lambda x: x[:, :1],
    "one number": lambda x: x[:1, :1, :1, :1],
}


@pytest.mark.parametrize("shape", [(2, 3, 4, 37), (3, 16, 5, 2), (1, 20, 1, 18)])
def test_every_layout_with_every_other(kernels, shape):
    rng = np.random.default_rng(5)
    x = rng.standard_normal(shape).astype("f4")
    expr = ("sub", ("mul", IN, ("scalar", 0)), OTHER)
    for first, second in itertools.product(LAYOUTS.values(), repeat=2):
        a, b = first(x), second(x + 1)
        got = compiler.pointwise(expr, a, b, scalars=(2.0,))
        agree(got, a * np.float32(2) - b)


def test_results_lie_as_the_inputs_do(kernels):
    last = np.zeros((2, 5, 6, 30), "f4").transpose(0, 3, 1, 2)
    bias = np.ones((1, 30, 1, 1), "f4")
    assert (
        compiler.pointwise(
            ("add", last, bias) and ("add", IN, OTHER), last, bias
        ).strides
        == last.strides
    )
    turned = np.zeros((6, 5, 4), "f4").T
    assert compiler.pointwise(("neg", IN), turned).strides == turned.strides


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
def test_copies_between_layouts(on_target, dtype):
    rng = np.random.default_rng(6)
    x = rng.integers(0, 99, (3, 70, 9, 131)).astype(dtype)
    for axes in [(0, 1, 2, 3), (0, 2, 3, 1), (3, 2, 1, 0), (0, 3, 1, 2), (1, 0, 3, 2)]:
        source = x.transpose(axes)
        out = np.empty(source.shape, dtype)
        assert compiler.pointwise(IN, source, out=out) is out
        np.testing.assert_array_equal(out, source)
        part = np.zeros((*source.shape[:-1], source.shape[-1] + 5), dtype)[..., 3:-2]
        compiler.pointwise(IN, source, out=part)
        np.testing.assert_array_equal(part, source)


def test_an_optimiser_step_in_place(kernels):
    rng = np.random.default_rng(7)
    weight, grad, momentum = rng.standard_normal((3, 500)).astype("f4")
    velocity = ("add", ("mul", ("in", 2), ("scalar", 0)), ("in", 1))
    step = ("sub", ("in", 0), ("mul", ("scalar", 1), velocity))
    want = weight - np.float32(0.1) * (momentum * np.float32(0.9) + grad)
    compiler.pointwise(
        (step, velocity),
        weight,
        grad,
        momentum,
        scalars=(0.9, 0.1),
        out=(weight, momentum),
    )
    np.testing.assert_allclose(weight, want, rtol=1e-6, atol=1e-6)


def test_overlapping_writes_read_first(kernels):
    x = np.arange(400, dtype="f4")
    want = x[:-1].copy()
    compiler.pointwise(IN, x[:-1], out=x[1:])
    np.testing.assert_array_equal(x[1:], want)


def test_small_and_large_are_the_same(monkeypatch):
    rng = np.random.default_rng(8)
    a, b = values(rng, (5, 40), "float32"), values(rng, (40,), "float32")
    expr = ("mul", ("add", IN, OTHER), ("const", 0.5))
    small = compiler.pointwise(expr, a, b)
    monkeypatch.setattr(compiler, "SMALL", 0)
    np.testing.assert_array_equal(small, compiler.pointwise(expr, a, b))


@pytest.mark.parametrize("shape", [(0,), (3, 0, 2), (0, 5)])
def test_empty(shape):
    got = compiler.pointwise(("exp", IN), np.zeros(shape, "f4"))
    assert got.shape == shape and got.dtype == np.float32


def test_no_dimensions(kernels):
    x = np.array(2.0, "f4")
    got = compiler.pointwise(("square", IN), x)
    assert got.shape == () and got == 4


def test_threads_do_not_change_bits(kernels, monkeypatch):
    x = np.random.default_rng(9).standard_normal((7, 11, 1999)).astype("f4")
    results = []
    for count in (1, 2, 4):
        monkeypatch.setattr("atrous.compiler.target._threads", count)
        results.append(compiler.pointwise(("tanh", ("exp", IN)), x).tobytes())
    assert results[0] == results[1] == results[2]


def test_inputs_that_are_not_used_give_the_shape(kernels):
    x, y = np.arange(50, dtype="f4"), np.zeros((3, 50))
    np.testing.assert_array_equal(compiler.pointwise(IN, x, y), np.tile(x, (3, 1)))
    np.testing.assert_array_equal(compiler.pointwise(OTHER, x, y), y)
    ones, signs = compiler.pointwise((("const", 1.0), ("const", -0.0)), y)
    assert ones.shape == (3, 50) and (ones == 1).all() and np.signbit(signs).all()


def test_numbers_too_large_are_infinite(kernels):
    x = np.ones(40, "f4")
    exprs = (("mul", IN, ("scalar", 0)), ("mul", IN, ("const", -1e300)))
    large, least = compiler.pointwise(exprs, x, scalars=(1e39,))
    assert (large == np.inf).all() and (least == -np.inf).all()
    np.testing.assert_array_equal(
        (large, least), reference.pointwise(exprs, (x,), (1e39,))
    )


def test_a_result_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"out is \(3,\), the result is \(4,\)"):
        compiler.pointwise(IN, np.zeros(4), out=np.zeros(3))
    with pytest.raises(ValueError, match="no operation 'frobnicate' of 1 operands"):
        compiler.pointwise(("frobnicate", IN), np.zeros(4))


#: Units in the last place, measured against float64, that float32 may be wrong by.
LIMITS = {
    **dict.fromkeys(["exp", "exp2", "log", "tanh", "erf", "rsqrt", "sigmoid"], 2.0),
    **dict.fromkeys(
        [
            "expm1",
            "log2",
            "log10",
            "log1p",
            "sinh",
            "cosh",
            "erfc",
            "sin",
            "cos",
            "tan",
            "asin",
            "acos",
            "atan",
        ],
        0.51,
    ),
}


@pytest.mark.parametrize("op", LIMITS)
def test_units_in_the_last_place(kernels, op):
    rng = np.random.default_rng(10)
    spread = np.exp(rng.uniform(-80, 80, 5000)) * rng.choice([-1, 1], 5000)
    x = np.concatenate(
        [
            spread,
            rng.uniform(-1.1, 1.1, 9000),
            rng.uniform(-100, 100, 9000),
            [1e-45, -1e-40],
        ]
    ).astype("f4")
    with np.errstate(all="ignore"):
        want = reference.OPERATIONS[op](x.astype(np.float64))
        rounded = want.astype("f4")
        got = compiler.pointwise((op, IN), x)
        unit = np.spacing(np.abs(rounded)).astype(np.float64)
        wrong = np.abs(got - want) / unit
    finite = np.isfinite(rounded)
    np.testing.assert_array_equal(got[~finite], rounded[~finite])
    assert wrong[finite].max() < LIMITS[op]


@pytest.mark.parametrize("op", [*LIMITS, "sqrt", "square", "neg"])
def test_special_values(kernels, op):
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 200.0, -200.0], "f4")
    with np.errstate(all="ignore"):
        want = reference.OPERATIONS[op](x.astype(np.float64)).astype("f4")
    got = compiler.pointwise((op, IN), x)
    np.testing.assert_allclose(got, want, rtol=3e-7)
    real = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got)[real], np.signbit(want)[real])


def test_powers_as_in_c(kernels):
    special = [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 3.0, 0.5, -0.5, np.inf, -np.inf, np.nan]
    pairs = np.array(list(itertools.product(special, special)), "f4")
    a, b = np.ascontiguousarray(pairs.T)
    with np.errstate(all="ignore"):
        want = np.power(a.astype("f8"), b.astype("f8")).astype("f4")
    got = compiler.pointwise(("pow", IN, OTHER), a, b)
    np.testing.assert_allclose(got, want, rtol=2e-7)
    with np.errstate(all="ignore"):
        want = np.arctan2(a.astype("f8"), b.astype("f8")).astype("f4")
    np.testing.assert_array_equal(compiler.pointwise(("atan2", IN, OTHER), a, b), want)


def test_every_target_compiles():
    exprs = (("tanh", ("mul", IN, ("scalar", 0))), ("cast", "bfloat16", ("sin", IN)))
    found = plan(exprs, ("float32",), (1.0,), (None, None))
    spec = PointwiseSpec(
        found.text, found.dtypes, found.kinds, found.results, 2, ("unit",) * 3
    )
    for name in ("avx512", "avx2", "sse2", "neon"):
        made = schedule.build(spec, found.program, named(name))
        assert made.listing.startswith(f"kernel pointwise for {name}\n")
        assert len(jit.assemble(made.ir, named(name))) > 500


def test_promotion_is_torchs():
    torch = pytest.importorskip("torch")
    names = [
        "bool",
        "uint8",
        "int8",
        "int16",
        "int32",
        "int64",
        "float16",
        "bfloat16",
        "float32",
        "float64",
    ]
    for a, b in itertools.product(names, repeat=2):
        want = torch.promote_types(getattr(torch, a), getattr(torch, b))
        assert f"torch.{promote(a, b)}" == str(want)
    for name in names:
        x = torch.ones(1, dtype=getattr(torch, name))
        for kind, number in (("weak bool", True), ("weak int", 1), ("weak float", 1.0)):
            assert f"torch.{promote(name, kind)}" == str((x * number).dtype)


def test_constants_that_python_calls_equal_stay_apart():
    x = np.ones(3, "int32")
    assert compiler.pointwise(("mul", IN, ("const", 1)), x).dtype == np.int32
    assert compiler.pointwise(("mul", IN, ("const", 1.0)), x).dtype == np.float32
    zero = np.zeros(2, "f4")
    signs = compiler.pointwise(
        (("mul", ("const", -0.0), ("const", 1.0)), ("add", IN, ("const", -0.0))), zero
    )
    assert math.copysign(1, signs[0][0]) == -1


def test_equal_parts_are_computed_once():
    shared = ("exp", IN)
    program = typed((("add", shared, ("exp", IN)),), ("float32",), ())
    assert [node.op for node in program.nodes] == ["in", "exp", "add"]


def test_dimensions_merge():
    assert collapse((2, 3, 4), ((12, 4, 1), (12, 4, 1))) == ((24,), ((1,), (1,)))
    assert collapse((2, 3, 4), ((12, 4, 1), (0, 4, 1))) == ((2, 12), ((12, 1), (0, 1)))
    assert collapse((1, 1), ((5, 1),)) == ((), ((),))
    assert memory_order(3, ((1, 20, 5),)) == (1, 2, 0)


def test_many_problems_in_one_launch(on_target):
    rng = np.random.default_rng(8)
    exprs = ("add", IN, ("mul", OTHER, ("scalar", 0))), ("neg", OTHER)
    sizes = ((3, 5), (), (0, 4), (7, 11, 13), (70000,))
    problems = [[rng.standard_normal(s).astype("f4") for _ in range(2)] for s in sizes]
    problems.append([np.asfortranarray(a) for a in rng.random((2, 9, 8), "f4")])
    expected = [(x + y * np.float32(0.5), -y) for x, y in problems]
    compiler.pointwise_each(
        exprs, problems, scalars=(0.5,), dtypes=("float32",) * 2, written=(0, 1)
    )
    for got, want in zip(problems, expected, strict=True):
        np.testing.assert_allclose(got[0], want[0], rtol=2e-7, atol=1e-7)
        np.testing.assert_array_equal(got[1], want[1])


def test_large_results_are_written_past_the_caches(on_target, monkeypatch):
    monkeypatch.setattr("atrous.compiler.layout.STREAMED", 1 << 16)
    rng = np.random.default_rng(11)
    for shape in ((64, 1000), (3, 150, 64), (33, 1021), (50, 16, 48)):
        x = rng.standard_normal(shape).astype("f4")
        y = np.asfortranarray(x)
        for given in (x, y, x.swapaxes(0, 1)):
            got = compiler.pointwise(("add", ("in", 0), ("in", 1)), given, given)
            np.testing.assert_array_equal(got, given + given)
        whole = compiler.empty((2, *shape), "f4")
        for part in (whole[1], whole[0], whole[1, 1:]):
            given = x[-len(part) :]
            compiler.pointwise(("mul", ("in", 0), ("const", 3.0)), given, out=part)
            np.testing.assert_array_equal(part, given * np.float32(3))
