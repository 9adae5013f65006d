"""Initialisers against torch: the same numbers from the same seed, and refusals."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from oracle import array  # noqa: E402

import atrous  # noqa: E402

EXACT = [
    ("uniform_", (3, 4), {}),
    ("uniform_", (40, 3), {"a": -2.0, "b": 3.0}),
    ("normal_", (3, 4), {"mean": 1.0, "std": 0.1}),
    ("normal_", (5, 7), {}),
    ("constant_", (3,), {"val": 0.3}),
    ("ones_", (3,), {}),
    ("zeros_", (3,), {}),
    ("eye_", (3, 5), {}),
    ("dirac_", (4, 3, 3), {}),
    ("dirac_", (4, 2, 3, 2), {"groups": 2}),
    ("dirac_", (2, 2, 1, 2, 3), {}),
    ("xavier_uniform_", (4, 3, 3), {"gain": 2.0}),
    ("xavier_normal_", (40, 3), {}),
    ("kaiming_uniform_", (8, 4, 3, 3), {"a": 5**0.5}),
    ("kaiming_uniform_", (8, 4), {"mode": "fan_out", "nonlinearity": "relu"}),
    ("kaiming_normal_", (8, 4, 3), {"nonlinearity": "relu"}),
    ("kaiming_normal_", (2, 2, 1, 1, 1), {"mode": "fan_out"}),
    ("sparse_", (10, 4), {"sparsity": 0.25}),
]
CLOSE = [
    ("trunc_normal_", (40, 3), {"std": 0.02}),
    ("trunc_normal_", (40, 3), {"mean": 1.0, "std": 2.0, "a": 0.0, "b": 1.5}),
    ("orthogonal_", (4, 6), {"gain": 2.0}),
    ("orthogonal_", (6, 2, 2), {}),
]


def drawn(T, name, shape, options, dtype="float32"):
    T.manual_seed(666)
    tensor = T.nn.Parameter(T.empty(shape, dtype=getattr(T, dtype)))
    assert getattr(T.nn.init, name)(tensor, **options) is tensor
    assert tensor.grad_fn is None
    return array(tensor)


@pytest.mark.parametrize("name, shape, options", EXACT)
def test_same_numbers(name, shape, options):
    for dtype in ("float32", "float64"):
        ours = drawn(atrous, name, shape, options, dtype)
        theirs = drawn(torch, name, shape, options, dtype)
        assert ours.dtype == theirs.dtype and (ours == theirs).all()


@pytest.mark.parametrize("name, shape, options", CLOSE)
def test_same_numbers_but_for_rounding(name, shape, options):
    for dtype, tolerance in (("float32", 1e-5), ("float64", 1e-12)):
        ours = drawn(atrous, name, shape, options, dtype)
        theirs = drawn(torch, name, shape, options, dtype)
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def test_a_generator_of_ones_own():
    found = []
    for T in (atrous, torch):
        generator = T.Generator().manual_seed(3)
        tensor = T.nn.init.kaiming_normal_(T.empty(4, 3), generator=generator)
        found.append(array(tensor))
    assert (found[0] == found[1]).all()


@pytest.mark.parametrize(
    "name", ("linear", "conv3d", "sigmoid", "tanh", "relu", "leaky_relu", "selu")
)
def test_gain(name):
    assert atrous.nn.init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    assert atrous.nn.init.calculate_gain(name, 0.3) == torch.nn.init.calculate_gain(
        name, 0.3
    )


def test_fans():
    for shape in ((3, 4), (3, 4, 5), (3, 4, 5, 6)):
        ours = atrous.nn.init._calculate_fan_in_and_fan_out(atrous.empty(shape))
        theirs = torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))
        assert ours == theirs


def test_old_names_warn():
    for name in (
        *("uniform", "normal", "xavier_uniform", "xavier_normal"),
        *("kaiming_uniform", "kaiming_normal", "orthogonal"),
    ):
        with pytest.warns(FutureWarning) as caught:
            getattr(atrous.nn.init, name)(atrous.empty(3, 4))
        assert str(caught[0].message) == (
            f"`nn.init.{name}` is now deprecated in favor of `nn.init.{name}_`."
        )


def test_nothing_to_fill_warns():
    for T in (atrous, torch):
        with pytest.warns(UserWarning, match="zero-element tensors is a no-op"):
            T.nn.init.kaiming_uniform_(T.empty(0, 3))
        with pytest.warns(UserWarning, match="more than 2 std from"):
            T.nn.init.trunc_normal_(T.empty(3), mean=9.0)


REFUSALS = [
    (
        lambda T: T.nn.init.xavier_uniform_(T.empty(3)),
        "fan in and fan out need a weight of at least 2 axes, got (3,)",
    ),
    (
        lambda T: T.nn.init.kaiming_normal_(T.empty(3, 2), mode="fan"),
        "mode must be 'fan_in' or 'fan_out', got 'fan'",
    ),
    (
        lambda T: T.nn.init.calculate_gain("gelu"),
        "calculate_gain: unknown nonlinearity 'gelu'; known are linear, conv1d, "
        "conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d, "
        "sigmoid, tanh, relu, leaky_relu, selu",
    ),
    (
        lambda T: T.nn.init.calculate_gain("leaky_relu", "steep"),
        "calculate_gain: the slope must be a number, got 'steep'",
    ),
    (lambda T: T.nn.init.eye_(T.empty(3)), "eye_: 2 axes expected, got (3,)"),
    (lambda T: T.nn.init.dirac_(T.empty(3)), "dirac_: 3 to 5 axes expected, got (3,)"),
    (
        lambda T: T.nn.init.dirac_(T.empty(3, 1, 1), groups=2),
        "dirac_: 3 output channels are not divisible by groups=2",
    ),
    (
        lambda T: T.nn.init.orthogonal_(T.empty(3)),
        "orthogonal_: at least 2 axes expected, got (3,)",
    ),
    (
        lambda T: T.nn.init.sparse_(T.empty(3), 0.1),
        "sparse_: 2 axes expected, got (3,)",
    ),
]


@pytest.mark.parametrize("number", range(len(REFUSALS)))
def test_refusal(number):
    program, text = REFUSALS[number]
    with pytest.raises(ValueError) as raised:
        program(atrous)
    assert str(raised.value) == text
    with pytest.raises(ValueError):
        program(torch)
