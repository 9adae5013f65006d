"""Activations against torch: values, dtypes, in place, two orders of gradient."""

import pytest

torch = pytest.importorskip("torch")

from oracle import check  # noqa: E402

import atrous  # noqa: E402
from atrous.nn import functional as F  # noqa: E402

#: Between and on the edges at which pieces meet, save where torch's slope is a choice.
PLACES = [
    -30.0,
    -4.0,
    -1.1,
    -0.6,
    -0.4,
    -1e-3,
    1e-3,
    0.3,
    0.6,
    1.2,
    2.5,
    4.0,
    7.0,
    30.0,
]

# (function, further arguments)
FUNCTIONS = [
    *("relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish"),
    *("hardtanh", "hardswish", "hardshrink", "softshrink", "tanhshrink", "softplus"),
    *("softsign", "logsigmoid", "sigmoid", "tanh"),
    ("leaky_relu", 0.3),
    ("elu", 2.0),
    ("celu", 2.0),
    ("hardtanh", -0.5, 0.35),
    ("threshold", 0.1, 7.0),
    ("softplus", 2, 1.0),
    ("hardshrink", 0.35),
    ("softshrink", 0.35),
]


def named(case):
    return (case, ()) if isinstance(case, str) else (case[0], case[1:])


@pytest.mark.parametrize("case", FUNCTIONS, ids=str)
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_activation_is_torchs(case, kind):
    name, rest = named(case)
    x = torch.tensor([PLACES], dtype=kind, requires_grad=True)
    check(lambda T, x: getattr(T.nn.functional, name)(x, *rest), x, second=True)


@pytest.mark.parametrize("case", FUNCTIONS, ids=str)
def test_large_activation_is_torchs(case):
    name, rest = named(case)
    x = torch.randn(70, 100, generator=torch.Generator().manual_seed(0))
    check(
        lambda T, x: getattr(T.nn.functional, name)(x, *rest), (3 * x).requires_grad_()
    )


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["relu", "gelu", "silu", "softplus", "elu"])
def test_half_types(name, kind):
    x = torch.tensor(PLACES, dtype=kind)
    check(lambda T, x: getattr(T.nn.functional, name)(x), x)


def test_gelu_by_tanh():
    check(
        lambda T, x: T.nn.functional.gelu(x, approximate="tanh"),
        torch.tensor(PLACES, requires_grad=True),
        second=True,
    )


def test_hardsigmoid_is_torchs_but_exact_in_float64():
    x = torch.tensor(PLACES, requires_grad=True)
    check(lambda T, x: T.nn.functional.hardsigmoid(x), x)


@pytest.mark.parametrize("name", ["relu", "relu6", "hardtanh"])
def test_integers_are_kept(name):
    check(lambda T, x: getattr(T.nn.functional, name)(x), torch.arange(-4, 9))


INPLACE = ["relu", "relu6", "leaky_relu", "elu", "selu", "celu", "silu", "mish"]
INPLACE += ["hardtanh", "hardsigmoid", "hardswish"]


@pytest.mark.parametrize("name", INPLACE)
def test_in_place(name):
    def program(T, x):
        y = x * 1
        assert getattr(T.nn.functional, name)(y, inplace=True) is y
        return y * y

    check(program, torch.tensor(PLACES[1:-1], requires_grad=True))


@pytest.mark.parametrize("name", INPLACE)
def test_nodes_in_place_print_as_torchs(name):
    def node(T):
        y = T.ones(2, requires_grad=True) * 1
        return getattr(T.nn.functional, name)(y, inplace=True).grad_fn.name()

    assert node(atrous) == node(torch)


def test_in_place_functions_with_an_underscore():
    for name in ("relu_", "leaky_relu_", "elu_", "selu_", "celu_", "hardtanh_"):
        check(lambda T, x, f=name: getattr(T.nn.functional, f)(x), torch.tensor(PLACES))
    check(lambda T, x: T.nn.functional.threshold_(x, 0.1, 2.0), torch.tensor(PLACES))


def test_in_place_on_a_leaf_is_refused():
    x = atrous.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError) as caught:
        F.relu(x, inplace=True)
    assert str(caught.value) == (
        "a leaf Variable that requires grad is being used in an in-place operation."
    )


@pytest.mark.parametrize("shapes", [((2, 3, 4), 3), ((2, 3), 1), ((5,), 1)])
def test_prelu(shapes):
    shape, count = shapes
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    w = torch.linspace(0.1, 0.4, count)
    check(
        lambda T, x, w: T.nn.functional.prelu(x, w),
        *(x.requires_grad_(), w.requires_grad_()),
        second=True,
    )


def test_rrelu_draws_torchs_slopes():
    def program(T, x):
        T.manual_seed(5)
        return T.nn.functional.rrelu(x, training=True)

    check(program, torch.tensor(PLACES, requires_grad=True))
    check(lambda T, x: T.nn.functional.rrelu(x), torch.tensor(PLACES))


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_glu(dim):
    x = torch.randn(4, 6, 2, generator=torch.Generator().manual_seed(1))
    check(lambda T, x: T.nn.functional.glu(x, dim), x.requires_grad_(), second=True)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin"])
@pytest.mark.parametrize("shape, dim", [((5,), 0), ((3, 4), 0), ((2, 3, 4), 1)])
def test_softmax(name, shape, dim):
    x = 9 * torch.randn(shape, generator=torch.Generator().manual_seed(1))
    function = lambda T, x: getattr(T.nn.functional, name)(x, dim)
    check(function, x.requires_grad_(), second=True)


@pytest.mark.parametrize("shape, dim", [((8, 5, 20, 20), 1), ((60, 100), 1)])
def test_large_softmax(shape, dim):
    x = 9 * torch.randn(shape, generator=torch.Generator().manual_seed(1))
    for name in ("softmax", "log_softmax"):
        function = lambda T, x, f=name: getattr(T.nn.functional, f)(x, dim)
        check(function, x.clone().requires_grad_())


def test_softmax_takes_a_dtype():
    x = torch.tensor([1.0, 2.0], dtype=torch.float16)
    check(lambda T, x: T.nn.functional.softmax(x, 0, dtype=T.float64), x)
    check(lambda T, x: T.softmax(x, 0, T.float64), x)
    check(lambda T, x: x.log_softmax(0, T.float64), x)


def test_softmax_without_an_axis_warns():
    with pytest.warns(UserWarning) as caught:
        F.softmax(atrous.ones(2, 2))
    assert str(caught[0].message) == (
        "Implicit dimension choice for softmax has been deprecated. Change the call to"
        " include dim=X as an argument."
    )


def test_gumbel_softmax_is_a_distribution():
    logits = atrous.zeros(200, 3, requires_grad=True)
    soft = F.gumbel_softmax(logits)
    assert atrous.allclose(soft.sum(1), atrous.ones(200))
    hard = F.gumbel_softmax(logits, hard=True)
    assert atrous.allclose(hard.max(1)[0], atrous.ones(200))
    hard[:, 0].sum().backward()
    assert logits.grad.abs().sum() > 0


def test_nodes_print_as_torchs():
    x = torch.ones(2, 2, requires_grad=True)
    ours = atrous.ones(2, 2, requires_grad=True)
    for case in FUNCTIONS:
        name, rest = named(case)
        theirs = getattr(torch.nn.functional, name)(x, *rest)
        mine = getattr(F, name)(ours, *rest)
        assert mine.grad_fn.name() == theirs.grad_fn.name(), name


# call -> exception, text
REFUSALS = {
    "gelu of integers": (
        lambda: F.gelu(atrous.arange(3)),
        NotImplementedError,
        "\"gelu\" not implemented for 'Long'",
    ),
    "relu of bools": (
        lambda: F.relu(atrous.ones(2) > 0),
        RuntimeError,
        "relu: Bool inputs are not supported.",
    ),
    "no tensor": (
        lambda: F.relu(1.0),
        TypeError,
        "relu(): argument 'input' must be Tensor, not float",
    ),
    "approximation": (
        lambda: F.gelu(atrous.ones(2), approximate="erf"),
        RuntimeError,
        "gelu: approximate is 'none' or 'tanh', not 'erf'.",
    ),
    "hardtanh": (
        lambda: F.hardtanh(atrous.ones(2), 1.0, 0.0),
        ValueError,
        "hardtanh: min_val=1.0 is larger than max_val=0.0.",
    ),
    "softshrink": (
        lambda: F.softshrink(atrous.ones(2), -1.0),
        RuntimeError,
        "softshrink: lambd must be zero or more, got -1.0.",
    ),
    "celu": (
        lambda: F.celu(atrous.ones(2), 0.0),
        RuntimeError,
        "celu: ZeroDivisionError: alpha cannot be 0.",
    ),
    "prelu": (
        lambda: F.prelu(atrous.ones(2, 3), atrous.ones(4)),
        RuntimeError,
        "prelu: weight has 4 numbers, the input 3 channels (input (2, 3); one number"
        " for all would do).",
    ),
    "prelu of other dtypes": (
        lambda: F.prelu(atrous.ones(2), atrous.ones(1).double()),
        RuntimeError,
        "prelu: input is torch.float32, weight torch.float64; both must be the same.",
    ),
    "rrelu": (
        lambda: F.rrelu(atrous.ones(2), 0.5, 0.1),
        RuntimeError,
        "rrelu: needs finite lower <= upper, got lower=0.5, upper=0.1.",
    ),
    "glu": (
        lambda: F.glu(atrous.ones(2, 3)),
        RuntimeError,
        "glu: halving needs an even size, axis -1 of (2, 3) has 3.",
    ),
    "softmax of integers": (
        lambda: F.softmax(atrous.arange(3), 0),
        NotImplementedError,
        "softmax: not implemented for 'Long' tensors.",
    ),
    "an axis that is not": (
        lambda: F.softmax(atrous.ones(2), 2),
        IndexError,
        "Dimension out of range (expected to be in range of [-1, 0], but got 2)",
    ),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_refusal(what):
    call, raises, text = REFUSALS[what]
    with pytest.raises(raises) as caught:
        call()
    assert str(caught.value) == text


ZEROS = """
-T.clamp(x, 0, 1)|-x.clamp(max=0)|-x.max()|-x.min()|-T.minimum(x, -x)|-T.maximum(x, -x)
-T.fmax(x, -x)|-T.fmin(x, -x)|-F.hardswish(x)|-F.hardsigmoid(x)|-F.relu6(x)
-F.hardtanh(x)|-F.relu(x)|F.cross_entropy(x, L([1, 2, 3]), ignore_index=2)
"""


@pytest.mark.parametrize("expression", ZEROS.replace("\n", "|").strip("|").split("|"))
def test_no_gradient_is_a_zero_of_torchs_sign(expression):
    """A zero's sign is printed: 0. is not -0."""
    printed = []
    for T in (torch, atrous):
        x = (T.arange(12.0).reshape(3, 4) - 5.5).requires_grad_()
        value = eval(expression, {"T": T, "F": T.nn.functional, "L": T.tensor, "x": x})
        value.sum().backward()
        printed.append(repr(x.grad))
    assert printed[1] == printed[0]
