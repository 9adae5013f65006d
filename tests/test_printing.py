"""What `print(tensor)` shows is what torch shows, to the character."""

import math
import random
from contextlib import contextmanager

import numpy as np
import pytest

import atrous
from atrous import formatting, set_printoptions

torch = pytest.importorskip("torch")

from oracle import convert  # noqa: E402


@contextmanager
def options(**changes):
    set_printoptions(**changes)
    torch.set_printoptions(**changes)
    try:
        yield
    finally:
        set_printoptions(profile="default")
        torch.set_printoptions(profile="default")


def check(source):
    """Assert that the same tensor prints alike; `source` may be the result of a · 1."""
    if source.grad_fn is not None:
        ours = convert(source.detach(), atrous).requires_grad_() * 1
    elif isinstance(source, torch.nn.Parameter):
        ours = atrous.nn.Parameter(convert(source.detach(), atrous))
    else:
        ours = convert(source, atrous)
    assert repr(ours) == repr(source)


EDGES = [0.0, -0.0, math.nan, math.inf, -math.inf, 1.0, -1.0, 0.5, 1e-4, 1e-5, 1e8]
EDGES += [1.1e8, 1000.0, 1001.0, 1e-38, 1e-45, 99999.5, 3e38]

VALUES = {
    "normal": lambda n: np.random.randn(n),
    "tiny": lambda n: np.random.randn(n) * 1e-4,
    "large": lambda n: np.random.randn(n) * 1e6,
    "wide": lambda n: np.random.randn(n) * 10.0 ** np.random.randint(-4, 5, n),
    "whole": lambda n: np.random.randint(-99, 99, n).astype(float),
    "edges": lambda n: np.random.choice(EDGES, n),
    "few zeros": lambda n: np.random.randn(n) * np.random.randint(0, 2, n),
    "hundreds": lambda n: np.random.uniform(100, 1001, n),
}
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
DTYPES += [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]


def random_shape(most):
    rank = random.randint(0, 4)
    return [random.choice([0, 1, 2, 3, 5, 7, 9, most]) for _ in range(rank)]


def random_tensor(most):
    shape = random_shape(most)
    count = math.prod(shape)
    values = random.choice(list(VALUES.values()))(count)
    dtype = random.choice([torch.float32, *DTYPES])
    with np.errstate(all="ignore"):
        source = torch.from_numpy(values.astype(np.float64)).reshape(shape)
    if not dtype.is_floating_point:
        source = source.nan_to_num(3, 4, 5).clamp(-1000, 1e6)
    source = source.to(dtype)
    if dtype.is_floating_point and random.random() < 0.3:
        source.requires_grad_()
        if random.random() < 0.5:
            source = source * 1
        elif random.random() < 0.5:
            source = torch.nn.Parameter(source.detach())
    return source


@pytest.mark.parametrize("seed", range(4))
def test_random_tensors(seed):
    random.seed(seed)
    np.random.seed(seed)
    for _ in range(150):
        check(random_tensor(most=13))


def random_options():
    choices = {
        "precision": [0, 1, 2, 3, 6, 8],
        "threshold": [0, 5, 40, math.inf],
        "edgeitems": [0, 1, 2, 4],
        "linewidth": [3, 20, 70, 81, 200],
        "sci_mode": [None, True, False],
        "profile": ["default", "short", "full"],
    }
    chosen = random.sample(list(choices), random.randint(1, 4))
    return {name: random.choice(choices[name]) for name in chosen}


@pytest.mark.parametrize("seed", range(4))
def test_random_options(seed):
    random.seed(100 + seed)
    np.random.seed(seed)
    for _ in range(150):
        with options(**random_options()):
            check(random_tensor(most=15))


@pytest.mark.parametrize(
    "shape", [(1000,), (1001,), (5000,), (7, 1000), (3, 400), (2, 3, 400), (200, 2, 6)]
)
def test_summaries(shape):
    check(torch.arange(math.prod(shape)).reshape(shape))
    check(torch.linspace(-5, 900, math.prod(shape)).reshape(shape))
    check(torch.linspace(0, 1, math.prod(shape)).reshape(shape) < 0.5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_summary_touches_only_what_it_shows(dtype):
    """A million by a million elements would not fit into memory if they were copied."""
    ours, theirs = (
        T.tensor(1.5, dtype=getattr(T, dtype)).expand(1 << 20, 1 << 20)
        for T in (atrous, torch)
    )
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0, 3)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_empty(shape, dtype):
    check(torch.empty(shape, dtype=dtype))


def test_single_numbers():
    for value in [*EDGES, 3, -7, True, 1e-10, 123456.789]:
        check(torch.tensor(value))
        check(torch.tensor(value, dtype=torch.float64))


@pytest.mark.parametrize("rank", [2, 3])
def test_a_long_suffix_goes_to_a_new_line(rank):
    for length in range(3, 30):
        ours, theirs = (
            T.nn.functional.conv1d(T.ones((1,) * (rank - 1) + (length,)), weight)
            for T in (atrous, torch)
            for weight in [T.nn.Parameter(T.ones(1, 1, 1))]
        )
        assert repr(ours) == repr(theirs)


def test_default_dtype_decides_what_is_named():
    for T in (torch, atrous):
        T.set_default_dtype(T.float64)
    try:
        for dtype in DTYPES:
            check(torch.ones(2).to(dtype))
            check(torch.ones(0).to(dtype))
    finally:
        for T in (torch, atrous):
            T.set_default_dtype(T.float32)


def test_a_subclass_prints_its_own_name():
    class Image(atrous.Tensor):
        pass

    assert repr(Image([1, 1])) == "Image([1., 1.])"


def test_sizes_and_single_numbers_in_text():
    for T in (atrous, torch):
        assert repr(T.zeros(2, 3).shape) == str(T.Size([2, 3])) == "torch.Size([2, 3])"
        assert repr(T.zeros(()).shape) == "torch.Size([])"
        assert (
            f"{T.tensor(2.5):.3f} {T.tensor(3)} {T.float32}" == "2.500 3 torch.float32"
        )
        with pytest.raises(TypeError):
            f"{T.zeros(2):.3f}"


def test_scientific_mode_is_forgotten_by_the_next_call():
    with options(sci_mode=True):
        set_printoptions(linewidth=70)
        assert formatting.get_printoptions() == formatting.PrintOptions(linewidth=70)


def test_unknown_profile():
    with pytest.raises(ValueError) as refusal:
        set_printoptions(profile="long")
    assert str(refusal.value) == (
        "set_printoptions: profile is 'long', "
        "expected one of 'default', 'short', 'full'"
    )


NAMED = """
x @ T.ones(4)|T.ones(3) @ x|x.mv(T.ones(4))|x.std()|x.std(0)|x.var(1)|T.lerp(x, -x, 0.5)
T.lerp(x, -x, T.tensor(0.5))|T.addmm(x, T.eye(3), x)|x.addcmul(x, x)|x.addcdiv(x, x)
x**x|2**x|x**3|F.linear(x, T.ones(2, 4), T.ones(2))|F.linear(x, T.ones(2, 4))
"""


@pytest.mark.parametrize("expression", NAMED.strip().replace("\n", "|").split("|"))
def test_one_operation_has_one_name(expression):
    printed = []
    for T in (torch, atrous):
        x = (T.arange(12.0).reshape(3, 4) + 1).requires_grad_()
        out = eval(expression, {"T": T, "F": T.nn.functional, "x": x})
        printed.append(repr(out))
    assert printed[1] == printed[0]


def test_the_bias_is_a_layers_first_input():
    names = []
    for T in (torch, atrous):
        hidden = T.nn.functional.relu(T.nn.Linear(2, 2)(T.ones(1, 2)))
        node = T.nn.Linear(2, 2)(hidden).grad_fn
        names.append([each[0].name().split(":")[-1] for each in node.next_functions])
    ours, theirs = names[1], names[0]
    assert ours[:2] == [theirs[0].removeprefix("struct torch"), theirs[1]]
