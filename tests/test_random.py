"""The random stream: torch's, bit for bit, and literals of it that need no torch."""

import copy
import pickle
import threading

import numpy as np
import pytest

from atrous import random
from atrous.random import arithmetic

FLOATS = ("float32", "float64", "float16", "bfloat16")
INTEGERS = ("uint8", "int8", "int16", "int32", "int64")
SIZES = (0, 1, 2, 3, 7, 15, 16, 17, 23, 31, 32, 33, 100, 1000, 20003)


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def ours(draw, seed=5):
    """The values of `draw`, and the next word, which shows how many were taken."""
    random.manual_seed(seed)
    values = draw()
    return values, int(random.current_generator().words(1)[0])


def assert_agree(expected, mine):
    """Hold `mine()` to torch's `expected()`: every bit of it and of what follows."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(5)
    wanted = expected(torch)
    following = int(torch.empty((), dtype=torch.int32).random_())
    got, word = ours(mine)
    if wanted.dtype == torch.bfloat16:
        wanted = wanted.view(torch.uint16)
    wanted = wanted.numpy()
    assert got.dtype == wanted.dtype
    assert got.shape == wanted.shape
    assert got.tobytes() == wanted.tobytes()
    assert word % 2**31 == following


def filled(size, dtype, method, *arguments):
    return lambda torch: getattr(
        torch.empty(size, dtype=getattr(torch, dtype)), method
    )(*arguments)


# Literals, all after manual_seed(666): what a handbook printed (PyTorch 1.x), and
# hexadecimal numbers from torch 2.13.0.

HANDBOOK = """
-0.7747  0.7926 -0.0062 -0.4377  0.7148  0.3590 -0.1242  2.0345 -0.3479 -0.4007
 0.8059 -0.1021  0.3168 -0.8889  1.1768  0.8074  0.9144  1.6259 -0.6535 -0.0865
"""
LITERALS = {
    "normal": (
        lambda: random.normal((3,)),
        "-0x1.0f348ap+1 0x1.0431acp-4 -0x1.7499dep+0",
    ),
    "normal, float64": (
        lambda: random.normal((3,), dtype="float64"),
        "-0x1.0f348a427a08dp+1 0x1.0431ab3088961p-4 -0x1.7499debd29726p+0",
    ),
    "normal, 17": (
        lambda: random.normal((17,))[-3:],
        "0x1.2d4066p+0 0x1.9d64d8p-1 0x1.d42f04p-1",
    ),
    "normal, 17, float64": (
        lambda: random.normal((17,), dtype="float64")[-3:],
        "0x1.b349a7449b29bp-3 -0x1.9e196f9ab3aa4p-1 0x1.5bf6d1bf67555p+0",
    ),
    "normal, 17, float16": (
        lambda: random.normal((17,), dtype="float16")[-3:],
        "-0x1.c74p-1 0x1.2d4p+0 0x1.9d8p-1",
    ),
    "normal, shifted": (
        lambda: random.normal((3,), 0.1, 0.7, dtype="float64"),
        "-0x1.62165b29de0c5p+0 0x1.27de2f1dc967cp-3 -0x1.d67104a26d39bp-1",
    ),
    "uniform": (
        lambda: random.uniform((4,)),
        "0x1.3f63bp-2 0x1.149e08p-2 0x1.c9dadp-4 0x1.9e79ep-4",
    ),
    "uniform, float64": (
        lambda: random.uniform((3,), dtype="float64"),
        "0x1.fb1d8348a4f04p-2 0x1.c9dad3619e79ep-1 0x1.00b3e2104a046p-1",
    ),
    "uniform, shifted": (
        lambda: random.uniform((4,), -0.3, 0.7),
        "0x1.860f8p-7 -0x1.e952cp-6 -0x1.8179p-3 -0x1.972978p-3",
    ),
    "uniform, shifted, float64": (
        lambda: random.uniform((2,), -0.3, 0.7, dtype="float64"),
        "0x1.8fd4a02ae37a2p-3 0x1.304139c804e04p-1",
    ),
    "exponential": (
        lambda: random.exponential((3,), 2, dtype="float64"),
        "0x1.5e07a0a50cf09p-2 0x1.1f9264bc8b703p+0 0x1.644c72b177411p-2",
    ),
    "randint": (lambda: random.randint((6,), 0, 100), "40 14 29 58 74 2"),
    "randint, wide": (
        lambda: random.randint((3,), -(2**40), 2**40),
        "-85458606206 743937009566 266841923654",
    ),
    "random_": (
        lambda: random.random_full((2,), dtype="int64"),
        "3697412327659087746 6349122941948127134",
    ),
    "randperm": (lambda: random.randperm(10), "0 4 7 6 1 2 5 3 8 9"),
    "multinomial": (
        lambda: random.multinomial(np.float32([1, 2, 3, 4]), 3),
        "2 3 0",
    ),
    "multinomial, replacement": (
        lambda: random.multinomial(np.float32([1, 2, 3, 4]), 8, replacement=True),
        "2 3 2 3 2 0 0 3",
    ),
}


def test_handbook_prints_these_normals():
    values, _ = ours(lambda: random.normal((20,)), 666)
    assert [f"{value:.4f}" for value in values] == HANDBOOK.split()


@pytest.mark.parametrize("name", LITERALS)
def test_literals(name):
    draw, text = LITERALS[name]
    values, _ = ours(draw, 666)
    number = float.fromhex if "0x" in text else int
    assert values.tolist() == [number(word) for word in text.split()]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", SIZES)
def test_normal_and_uniform(size, dtype):
    for mean, std in ((0.0, 1.0), (0.1, 0.7), (0.0, 0.03), (-3.0, 1.0), (2.0, 0.0)):
        assert_agree(
            filled(size, dtype, "normal_", mean, std),
            lambda m=mean, s=std: random.normal((size,), m, s, dtype=dtype),
        )
    for low, high in ((0, 1), (-0.3, 0.7), (0.1, 5.3), (-0.2, 0.2), (1e4, 1e4 + 0.1)):
        assert_agree(
            filled(size, dtype, "uniform_", low, high),
            lambda a=low, b=high: random.uniform((size,), a, b, dtype=dtype),
        )


@pytest.mark.parametrize("dtype", ("float32", "float64", "bfloat16"))
def test_many_normals(dtype):
    size = 300_007
    assert_agree(
        filled(size, dtype, "normal_", 0.1, 0.7),
        lambda: random.normal((size,), 0.1, 0.7, dtype=dtype),
    )


@pytest.mark.parametrize("dtype", FLOATS)
def test_other_distributions_over_the_reals(dtype):
    for size in (1, 5, 1000):
        for method, arguments in (
            ("exponential", (1.0,)),
            ("exponential", (0.7,)),
            ("log_normal", ()),
            ("log_normal", (0.3, 1.7)),
            ("cauchy", ()),
            ("cauchy", (0.1, 2.0)),
            ("geometric", (0.3,)),
        ):
            assert_agree(
                filled(size, dtype, method + "_", *arguments),
                lambda name=method, a=arguments, n=size: getattr(random, name)(
                    (n,), *a, dtype=dtype
                ),
            )


@pytest.mark.parametrize("dtype", (*FLOATS, *INTEGERS, "bool"))
def test_whole_numbers(dtype):
    assert_agree(
        filled(1000, dtype, "random_"), lambda: random.random_full((1000,), dtype=dtype)
    )
    assert_agree(
        filled(1000, dtype, "random_", 0, 2),
        lambda: random.randint((1000,), 0, 2, dtype=dtype),
    )


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (2, 7),
        (-5, 2**28 - 6),
        (-5, 2**28 - 5),
        (0, 2**32),
        (-(2**63), 2**63 - 1),
        (-7, None),
        (-(2**63), None),
    ],
)
def test_ranges(low, high):
    assert_agree(
        filled(500, "int64", "random_", low, high),
        lambda: random.randint((500,), low, high),
    )


@pytest.mark.parametrize("n", (0, 1, 2, 15, 1000, 30001))
def test_randperm(n):
    assert_agree(lambda torch: torch.randperm(n), lambda: random.randperm(n))


def test_long_permutations_are_permutations(monkeypatch):
    monkeypatch.setattr("atrous.random.discrete.LONG_PERMUTATION", 100)
    order, _ = ours(lambda: random.randperm(1000))
    assert sorted(order.tolist()) == list(range(1000))
    assert order[:5].tolist() != list(range(5))


@pytest.mark.parametrize("dtype", ("float32", "int64", "bool", "bfloat16"))
def test_bernoulli(dtype):
    assert_agree(
        filled(1000, dtype, "bernoulli_", 0.3),
        lambda: random.bernoulli((1000,), 0.3, dtype=dtype),
    )


@pytest.mark.parametrize("p_dtype", FLOATS)
def test_bernoulli_with_a_chance_each(p_dtype, torch):
    chances = torch.linspace(0, 1, 999).to(getattr(torch, p_dtype))
    raw = chances.view(torch.uint16) if p_dtype == "bfloat16" else chances
    assert_agree(
        lambda torch: torch.bernoulli(chances),
        lambda: random.bernoulli((999,), raw.numpy(), dtype=p_dtype, p_dtype=p_dtype),
    )


def test_bernoulli_with_one_chance_in_an_array(torch):
    assert_agree(
        filled(1000, "int64", "bernoulli_", torch.tensor(0.3)),
        lambda: random.bernoulli(
            (1000,), np.array(0.3, np.float32), dtype="int64", p_dtype="float32"
        ),
    )


@pytest.mark.parametrize("dtype", ("float32", "float64", "float16"))
@pytest.mark.parametrize("replacement", (True, False))
@pytest.mark.parametrize("samples", (1, 3))
def test_multinomial(dtype, replacement, samples, torch):
    weights = torch.rand(40, 7, dtype=torch.float64).to(getattr(torch, dtype))
    for rows in (weights, weights[0]):
        assert_agree(
            lambda torch, rows=rows: torch.multinomial(rows, samples, replacement),
            lambda rows=rows: random.multinomial(
                rows.numpy(), samples, replacement, dtype=dtype
            ),
        )


@pytest.mark.parametrize("method", ("normal", "uniform", "cauchy"))
def test_scattered_memory_is_filled_in_its_order(method, torch):
    for permutation in ((1, 0, 2), (2, 0, 1), (0, 2, 1)):
        strides = torch.empty(4, 5, 6).permute(permutation).stride()
        shape = torch.empty(4, 5, 6).permute(permutation).shape

        def fill(torch, permutation=permutation):
            tensor = torch.empty(4, 5, 6).permute(permutation)
            return getattr(tensor, method + "_")().contiguous()

        assert_agree(
            fill,
            lambda shape=shape, strides=strides: np.ascontiguousarray(
                getattr(random, method)(shape, strides=strides)
            ),
        )


def test_cached_normal_is_shared_by_the_dtypes():
    def mine():
        first = random.normal((3,), dtype="float32")
        return np.append(random.normal((2,), dtype="float64"), first)

    def expected(torch):
        first = torch.randn(3)
        return torch.cat([torch.randn(2, dtype=torch.float64), first.double()])

    assert_agree(expected, mine)


# Generators.


def test_states_go_to_torch_and_back(torch):
    mine, theirs = random.Generator(), torch.Generator()
    assert mine.get_state().tobytes() == theirs.get_state().numpy().tobytes()
    for count in (1, 622, 1, 1, 1000):
        mine.manual_seed(3), theirs.manual_seed(3)
        mine.words(count), torch.empty(count).random_(generator=theirs)
        assert mine.get_state().tobytes() == theirs.get_state().numpy().tobytes()
    random.normal((1,), generator=mine), torch.randn(1, generator=theirs)
    assert mine.get_state().tobytes() == theirs.get_state().numpy().tobytes()

    other = random.Generator().set_state(theirs.get_state())
    assert other.initial_seed() == 3
    for size in (1, 2, 20):
        expected = torch.randn(size, generator=theirs).numpy()
        np.testing.assert_array_equal(random.normal((size,), generator=other), expected)


@pytest.mark.parametrize(
    "copied",
    (
        copy.deepcopy,
        lambda g: pickle.loads(pickle.dumps(g)),
        random.Generator.clone_state,
    ),
)
def test_copies_go_on_alike_and_apart(copied):
    generator = random.Generator().manual_seed(9)
    random.normal((3,), generator=generator)
    twin = copied(generator)
    expected = random.normal((5,), generator=generator)
    np.testing.assert_array_equal(random.normal((5,), generator=twin), expected)


def test_seeds():
    generator = random.Generator()
    assert generator.initial_seed() == 67280421310721
    assert generator.manual_seed(-1).initial_seed() == 2**64 - 1
    assert generator.manual_seed(np.int32(7)).initial_seed() == 7
    assert generator.seed() == generator.initial_seed()
    assert len({generator.seed() for _ in range(20)}) == 20
    assert random.manual_seed(11) is random.current_generator()
    assert random.initial_seed() == 11
    state = random.get_rng_state()
    expected = random.uniform((4,))
    random.set_rng_state(state)
    np.testing.assert_array_equal(random.uniform((4,)), expected)


def test_a_borrowed_stream_is_this_threads_alone():
    default = random.manual_seed(1)
    seen = []
    with random.drawing_from(random.Generator().manual_seed(2)) as stream:
        assert random.current_generator() is stream
        assert random.initial_seed() == 2
        thread = threading.Thread(target=lambda: seen.append(random.initial_seed()))
        thread.start()
        thread.join()
    assert seen == [1]
    assert random.current_generator() is default


def test_derived_streams():
    first = random.derive(7, 0, 3)
    expected = random.uniform((4,), generator=first)
    again = random.derive(7, 0, 3, into=first)
    assert again is first
    np.testing.assert_array_equal(random.uniform((4,), generator=again), expected)
    for other in ((8, 0, 3), (7, 1, 3), (7, 0, 4), (7, 0, "3")):
        values = random.uniform((4,), generator=random.derive(*other))
        assert not np.array_equal(values, expected)


def test_fused_multiply_add_rounds_once():
    fractions = pytest.importorskip("fractions")
    rng = np.random.default_rng(0)
    a, b, c = rng.standard_normal((3, 300)) * 2.0 ** rng.integers(-30, 30, (3, 300))
    for index in range(300):
        exact = fractions.Fraction(a[index]) * fractions.Fraction(b[index])
        exact += fractions.Fraction(c[index])
        assert arithmetic.fma64(a[index : index + 1], b[index], c[index]) == float(
            exact
        )
    a, b = (np.float32([1 + 2.0**-23]), np.float32(1 + 2.0**-23))
    # a·b = 1 + 2**-22 + 2**-46: with c, a tie in float32 unless the last bit is seen.
    assert arithmetic.fma32(a, b, np.float32(2.0**-24)) == np.float32(1 + 3 * 2.0**-23)


# Refusals.

REFUSALS = [
    (
        lambda: random.Generator("cuda"),
        RuntimeError,
        "Generator: device 'cuda' is unknown; the only one is 'cpu'.",
    ),
    (
        lambda: random.Generator().manual_seed("a"),
        RuntimeError,
        "manual_seed: a seed is an integer, got 'a' (str).",
    ),
    (
        lambda: random.manual_seed(2**64),
        ValueError,
        "manual_seed: the seed 18446744073709551616 is outside −2**63 … 2**64 − 1.",
    ),
    (
        lambda: random.Generator().set_state(np.zeros(5, np.uint8)),
        RuntimeError,
        "Generator: a state has 5056 bytes, this one has 5.",
    ),
    (
        lambda: random.Generator().set_state(np.zeros(5056)),
        TypeError,
        "Generator: a state is uint8, this one is float64.",
    ),
    (
        lambda: random.Generator().set_state(np.zeros(5056, np.uint8)),
        RuntimeError,
        "Generator: this state was not written by a generator (left=0, next=0).",
    ),
    (
        lambda: random.uniform((3,), 2, 1),
        RuntimeError,
        "uniform_: draws from [from, to), but from=2 is above to=1.",
    ),
    (
        lambda: random.uniform((3,), 0, 1e6, dtype="float16"),
        RuntimeError,
        "uniform_: to=1000000.0 is out of bounds for float16 (±65504).",
    ),
    (
        lambda: random.uniform((3,), -3e38, 3e38),
        RuntimeError,
        "uniform_: to − from = 6e+38 (from=-3e+38, to=3e+38) is more than "
        "float32 holds, 3.4028e+38.",
    ),
    (
        lambda: random.uniform((3,), dtype="int64"),
        NotImplementedError,
        "uniform_: draws from float64, float32, float16, bfloat16, not from int64.",
    ),
    (
        lambda: random.normal((3,), 0, -1),
        RuntimeError,
        "normal_: std is at least 0, got -1.",
    ),
    (
        lambda: random.log_normal((3,), 0, 0),
        RuntimeError,
        "log_normal_: std is above 0, got 0.",
    ),
    (
        lambda: random.exponential((3,), 0),
        RuntimeError,
        "exponential_: lambd is above 0, got 0.",
    ),
    (
        lambda: random.cauchy((3,), 0, -1),
        RuntimeError,
        "cauchy_: sigma is above 0, got -1.",
    ),
    (
        lambda: random.geometric((3,), 1),
        RuntimeError,
        "geometric_: p is between 0 and 1, exclusive, got 1.",
    ),
    (
        lambda: random.bernoulli((3,), 2),
        RuntimeError,
        "bernoulli: p is between 0 and 1, got 2.",
    ),
    (
        lambda: random.bernoulli((2,), np.array([0.5, -1])),
        RuntimeError,
        "bernoulli: p is between 0 and 1, got -1.",
    ),
    (
        lambda: random.random_full((3,), dtype="uint32"),
        NotImplementedError,
        "random_: does not draw numbers of dtype uint32.",
    ),
    (
        lambda: random.randint((3,), 5, 2),
        RuntimeError,
        "random_: draws from [from, to), but from=5 is not below to=2.",
    ),
    (
        lambda: random.randint((3,), 0, 300, dtype="uint8"),
        RuntimeError,
        "random_: to - 1 = 299 is out of bounds for uint8 (0 … 255).",
    ),
    (
        lambda: random.randperm(-1),
        RuntimeError,
        "randperm: n is at least 0, got -1.",
    ),
    (
        lambda: random.randperm(300, dtype="uint8"),
        RuntimeError,
        "randperm: n=300 is more than uint8 counts, 255.",
    ),
    (
        lambda: random.multinomial(np.ones((1, 1, 2)), 1, dtype="float64"),
        RuntimeError,
        "multinomial: weights have one or two axes, got shape (1, 1, 2).",
    ),
    (
        lambda: random.multinomial(np.ones(2), 1, dtype="int64"),
        RuntimeError,
        "multinomial: weights are floating point, not int64.",
    ),
    (
        lambda: random.multinomial(np.ones(2), 0, dtype="float64"),
        RuntimeError,
        "multinomial: num_samples is above 0, got 0.",
    ),
    (
        lambda: random.multinomial(np.ones(2), 3, dtype="float64"),
        RuntimeError,
        "multinomial: 3 samples without replacement from 2 categories.",
    ),
    (
        lambda: random.multinomial(np.array([1.0, -1]), 1, dtype="float64"),
        RuntimeError,
        "multinomial: a weight is negative, infinite or not a number.",
    ),
    (
        lambda: random.multinomial(np.zeros(2), 1, dtype="float64"),
        RuntimeError,
        "multinomial: the weights of a row sum to 0.",
    ),
]


@pytest.mark.parametrize(("call", "kind", "text"), REFUSALS)
def test_refusals(call, kind, text):
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == text
