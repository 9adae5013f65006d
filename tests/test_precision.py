"""bfloat16 tensors: torch's dtypes, and errors no larger than torch's own.

The truth is float64, computed by torch from the same bfloat16 values.
"""

import runpy
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import numpy as np  # noqa: E402
from oracle import array, convert, leaves  # noqa: E402

import atrous  # noqa: E402

#: Sums are rounded once here. Where torch rounds to the same values, what is left is
#: the order of float32 sums, which decides some ties.
SLACK = 1.002


def draw(*shape, gradient=True):
    return torch.randn(*shape).bfloat16().requires_grad_(gradient)


def classes(*shape, count):
    return torch.randint(count, shape)


def conv(rank, **options):
    def program(T, x, w, b):
        return getattr(T.nn.functional, f"conv{rank}d")(x, w, b, **options)

    return program


def conv_transpose(rank, **options):
    def program(T, x, w, b):
        function = getattr(T.nn.functional, f"conv_transpose{rank}d")
        return function(x, w, b, **options)

    return program


def functional(name, **options):
    return lambda T, *given: getattr(T.nn.functional, name)(*given, **options)


def operation(name, **options):
    return lambda T, *given: getattr(T, name)(*given, **options)


def batch_norm(T, x, weight, bias):
    mean, var = T.zeros_like(weight).detach(), T.ones_like(weight).detach()
    return T.nn.functional.batch_norm(x, mean, var, weight, bias, training=True)


def batch_norm_evaluated(T, x, weight, bias):
    mean, var = T.ones_like(weight) / 8, T.ones_like(weight) / 2
    return T.nn.functional.batch_norm(x, mean, var, weight, bias)


def floats(*shape):
    return torch.randn(*shape, requires_grad=True)


def positive(*shape):
    return (torch.rand(*shape) * 0.9 + 0.05).bfloat16().requires_grad_()


CASES = {
    "conv1d, long": (conv(1), (2, 64, 50), (8, 64, 9), (8,)),
    "conv1d, dilated": (conv(1, dilation=3, padding=2), (2, 3, 20), (4, 3, 5), (4,)),
    "conv2d": (conv(2, padding=1), (2, 16, 9, 8), (24, 16, 3, 3), (24,)),
    "conv2d, strided": (conv(2, stride=2), (2, 5, 9, 8), (6, 5, 3, 3), (6,)),
    "conv2d, depthwise": (conv(2, groups=8), (2, 8, 9, 9), (8, 1, 3, 3), (8,)),
    "conv2d, groups": (conv(2, groups=2), (1, 8, 9, 9), (12, 4, 3, 3), (12,)),
    "conv3d": (conv(3, padding=1), (1, 32, 6, 6, 6), (16, 32, 3, 3, 3), (16,)),
    "conv3d, 1": (conv(3), (2, 24, 4, 5, 6), (3, 24, 1, 1, 1), (3,)),
    "conv3d, few": (conv(3, padding=1), (1, 1, 8, 8, 8), (4, 1, 3, 3, 3), (4,)),
    "transposed": (conv_transpose(2, stride=2), (2, 9, 5, 6), (9, 4, 2, 2), (4,)),
    "transposed, 3-D": (conv_transpose(3), (1, 8, 3, 3, 3), (8, 4, 3, 3, 3), (4,)),
    "linear": (functional("linear"), (7, 200), (30, 200), (30,)),
    "linear, no bias": (functional("linear"), (2, 3, 200), (30, 200)),
    "matmul": (operation("matmul"), (4, 9, 300), (300, 20)),
    "mm": (operation("mm"), (40, 300), (300, 20)),
    "bmm": (operation("bmm"), (3, 40, 100), (3, 100, 20)),
    "addmm": (operation("addmm"), (20,), (40, 300), (300, 20)),
    "softmax": (operation("softmax", dim=1), (20, 100)),
    "log_softmax": (operation("log_softmax", dim=1), (20, 100)),
    "sum": (operation("sum", dim=0), (500, 20)),
    "mean": (operation("mean", dim=(0, 2)), (20, 8, 50)),
    "var": (operation("var", dim=1), (8, 500)),
    "max_pool2d": (functional("max_pool2d", kernel_size=2), (2, 3, 8, 8)),
    "max_pool3d": (functional("max_pool3d", kernel_size=2), (2, 3, 6, 8, 8)),
    "avg_pool2d": (functional("avg_pool2d", kernel_size=3), (2, 3, 9, 9)),
    "adaptive": (functional("adaptive_avg_pool2d", output_size=2), (2, 3, 9, 9)),
    "norm": (operation("norm", dim=0), (300, 5)),
    "norm, p = 3": (operation("norm", p=3, dim=0), (300, 5)),
    "addcmul": (operation("addcmul"), (300,), (300,), (300,)),
    "sigmoid": (operation("sigmoid"), (300,)),
    "tanh": (operation("tanh"), (300,)),
    "erf": (operation("erf"), (300,)),
    "gelu": (functional("gelu"), (300,)),
    "silu": (functional("silu"), (300,)),
    "relu": (functional("relu"), (300,)),
    "interpolate": (
        functional("interpolate", scale_factor=2, mode="bilinear"),
        (2, 3, 7, 7),
    ),
    "group_norm": (functional("group_norm", num_groups=2), (3, 8, 40)),
    "layer_norm": (functional("layer_norm", normalized_shape=(64,)), (9, 64)),
    "instance_norm": (functional("instance_norm"), (2, 3, 9, 9)),
    "mse_loss": (functional("mse_loss"), (60, 5), (60, 5)),
    "l1_loss": (functional("l1_loss"), (60, 5), (60, 5)),
}
SPECIAL = {
    "cross_entropy": (
        functional("cross_entropy"),
        lambda: (draw(50, 7), classes(50, count=7)),
    ),
    "cross_entropy of voxels": (
        functional("cross_entropy"),
        lambda: (draw(2, 3, 4, 6, 5), classes(2, 4, 6, 5, count=3)),
    ),
    "nll_loss": (
        functional("nll_loss"),
        lambda: (draw(50, 7), classes(50, count=7)),
    ),
    "binary_cross_entropy": (
        functional("binary_cross_entropy"),
        lambda: (positive(90), positive(90).detach()),
    ),
    "binary_cross_entropy_with_logits": (
        functional("binary_cross_entropy_with_logits"),
        lambda: (draw(90), positive(90).detach()),
    ),
    "batch_norm": (batch_norm, lambda: (draw(4, 3, 8, 8), floats(3), floats(3))),
    "batch_norm, evaluated": (
        batch_norm_evaluated,
        lambda: (draw(4, 3, 8, 8), floats(3), floats(3)),
    ),
    "layer_norm, float32 weights": (
        lambda T, x, w, b: T.nn.functional.layer_norm(x, (64,), w, b),
        lambda: (draw(9, 64), floats(64), floats(64)),
    ),
}
PROGRAMS = {
    **{
        name: (program, lambda shapes=shapes: tuple(map(lambda s: draw(*s), shapes)))
        for name, (program, *shapes) in CASES.items()
    },
    **SPECIAL,
}


def run(program, T, given):
    """The result, then the gradient of each input that requires one."""
    out = program(T, *given)
    random = np.random.default_rng(1)
    cotangent = np.array(random.standard_normal(tuple(out.shape)))
    cotangent = T.from_numpy(cotangent).bfloat16().to(out.dtype)
    targets = [each for each in leaves(given) if each.requires_grad]
    return [out, *T.autograd.grad(out, targets, cotangent)]


def doubled(given):
    return tuple(
        each.detach().double().requires_grad_(each.requires_grad)
        if each.is_floating_point()
        else each
        for each in given
    )


def error(result, truth) -> float:
    """Relative, over the whole tensor (the Frobenius norm of the difference)."""
    truth = array(truth).astype(np.float64)
    gap = array(result).astype(np.float64) - truth
    return float(np.linalg.norm(gap) / (np.linalg.norm(truth) or 1))


@pytest.mark.parametrize("name", PROGRAMS)
def test_bfloat16_has_torchs_dtype_and_errs_no_more(name):
    program, inputs = PROGRAMS[name]
    torch.manual_seed(0)
    given = inputs()
    truth = run(program, torch, doubled(given))
    theirs = run(program, torch, given)
    ours = run(program, atrous, convert(given, atrous))
    for mine, other, exact in zip(ours, theirs, truth, strict=True):
        assert str(mine.dtype) == str(other.dtype)
        assert tuple(mine.shape) == tuple(other.shape)
        # What is float32 in both, such as a norm's weight, has float32's own error.
        least = 2.0**-22 if other.dtype == torch.float32 else 1e-9
        assert error(mine, exact) <= error(other, exact) * SLACK + least


def test_the_length_of_large_half_values_is_finite():
    x = atrous.full((4,), 60000.0 / 4, dtype=atrous.float16)
    assert x.norm().item() == 30000.0


# The switch of float32 products


@pytest.mark.parametrize("T", [torch, atrous], ids=["torch", "atrous"])
def test_the_switch_remembers_and_refuses(T):
    assert T.get_float32_matmul_precision() == "highest"
    try:
        for word in ("high", "medium", "highest"):
            T.set_float32_matmul_precision(word)
            assert T.get_float32_matmul_precision() == word
        with pytest.warns(UserWarning, match="low.* is not one of"):
            T.set_float32_matmul_precision("low")
        assert T.get_float32_matmul_precision() == "highest"
        with pytest.raises(RuntimeError) as refused:
            T.set_float32_matmul_precision(3)
        text = "set_float32_matmul_precision expects a str, but got int"
        assert str(refused.value) == text
    finally:
        T.set_float32_matmul_precision("highest")


def test_the_context_puts_back_what_was():
    with atrous.float32_matmul_precision("medium"):
        with pytest.raises(KeyError), atrous.float32_matmul_precision("high"):
            assert atrous.get_float32_matmul_precision() == "high"
            raise KeyError
        assert atrous.get_float32_matmul_precision() == "medium"
    assert atrous.get_float32_matmul_precision() == "highest"

    @atrous.float32_matmul_precision("high")
    def asked():
        return atrous.get_float32_matmul_precision()

    assert [asked(), asked()] == ["high", "high"]
    assert atrous.get_float32_matmul_precision() == "highest"


#: How far a result may be from float64's, relative, by the word for it.
MOST = {"highest": 2e-6, "high": 1e-5, "medium": 1e-2}


@pytest.mark.parametrize("word", MOST)
@pytest.mark.parametrize("name", ["conv2d", "conv3d", "transposed", "linear", "mm"])
@pytest.mark.parametrize("scale", [1e-15, 1.0, 1e15])
def test_products_are_as_exact_as_asked(word, name, scale):
    program, inputs = PROGRAMS[name]
    torch.manual_seed(1)
    given = [(each.detach().float() * scale).requires_grad_() for each in inputs()]
    truth = run(program, torch, doubled(given))
    with atrous.float32_matmul_precision(word):
        ours = run(program, atrous, convert(given, atrous))
    for mine, exact in zip(ours, truth, strict=True):
        assert mine.dtype is atrous.float32
        assert error(mine, exact) <= MOST[word]


@pytest.mark.parametrize("word", MOST)
@pytest.mark.parametrize("name", ["conv2d, groups", "conv3d, few", "linear", "mm"])
def test_infinity_and_nan_come_out_where_float32_has_them(word, name):
    program, inputs = PROGRAMS[name]
    torch.manual_seed(2)
    given = convert([each.detach().float() for each in inputs()], atrous)
    random = np.random.default_rng(0)
    for value in (np.inf, -np.inf, np.nan):
        place = tuple(random.integers(0, size) for size in given[0].shape)
        given[0][place] = value
    exact = array(program(atrous, *given))
    with atrous.float32_matmul_precision(word):
        found = [array(program(atrous, *given))]
    with atrous.autocast("cpu", dtype=atrous.bfloat16):
        found.append(array(program(atrous, *given)))
    assert not np.isfinite(exact).all() and np.isfinite(exact).any()
    for values in found:
        np.testing.assert_array_equal(np.isnan(values), np.isnan(exact))
        np.testing.assert_array_equal(np.isinf(values), np.isinf(exact))


def test_the_example_measures_and_draws(tmp_path, monkeypatch, capsys):
    pytest.importorskip("nibabel")
    pytest.importorskip("matplotlib")
    examples = Path(__file__).parent.parent / "examples"
    monkeypatch.syspath_prepend(str(examples))
    options = ["--steps", "2", "--batch-size", "1", "--seeds", "1"]
    arguments = ["precision.py", *options, "--outputs", str(tmp_path)]
    monkeypatch.setattr("sys.argv", arguments)
    runpy.run_path(str(examples / "precision.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 8 + 2 + 1
    for line in lines[1:9]:
        most = 1e-6 if "float32" in line else 3e-3
        assert all(float(each) <= most for each in line.split()[-3:])
    assert (tmp_path / "precision.png").stat().st_size > 10_000
