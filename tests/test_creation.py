"""Tensors from data, of one value, of a sequence, at random: as torch makes them."""

import math

import numpy as np
import pytest
from same import assert_refused, assert_same, lines

import atrous

VALUES = lines("""
T.tensor(3), T.tensor(2.5), T.tensor(True)
T.tensor([1, 2], dtype=float), T.zeros(2, dtype=int), T.ones(2, dtype=bool)
T.ones(2).to(int), T.as_tensor([1, 0], dtype=bool)
T.arange(end=3), T.arange(2, end=5)
T.tensor([1, 2.5])
T.tensor([True, 2])
T.tensor([])
T.tensor([[], []]).shape
T.tensor([[1, 2], [3, 4]])
T.tensor(((1.0,), (2.0,)))
T.tensor(range(3))
T.tensor(np.arange(3, dtype="int16"))
T.tensor(np.float64(1)), T.tensor(np.int8(1))
T.tensor([np.float64(1)]).dtype, T.tensor([np.float32(1)]).dtype
T.tensor([np.int8(1)]).dtype, T.tensor([np.ones(2), np.ones(2)]).dtype
T.tensor([T.tensor(1), 2.5])
T.tensor([1, T.tensor(2.5, requires_grad=True)])
T.tensor([1.5, -1.5], dtype=T.int64)
T.tensor(-1, dtype=T.uint8)
T.tensor([1e50, 2.0])
T.tensor(1e50, dtype=T.float16)
T.tensor([0, 2, -1], dtype=T.bool)
T.tensor([1.0, 3.14159], dtype=T.bfloat16)
T.tensor([1.0], requires_grad=True)
T.tensor(x).shape
T.as_tensor([1, 2]).dtype
T.as_tensor(x) is x
T.as_tensor(np.ones(2)).dtype
T.asarray(3.0).dtype
T.asarray([1, 2], dtype=T.float32)
T.from_numpy(np.arange(3, dtype="float32"))
T.frombuffer(bytearray(b"abcd"), dtype=T.uint8)
T.frombuffer(bytearray(b"abcdefgh"), dtype=T.int16, offset=2, count=2)
T.zeros(2, 3), T.ones((2, 3)), T.empty(0, 3)
T.zeros([]), T.zeros(size=(2,)), T.zeros(T.Size([1, 2]))
T.zeros(T.tensor(3)).shape
T.zeros(2, dtype=T.int8), T.ones(2, dtype=T.bfloat16), T.ones(2, dtype=T.bool)
T.full((2,), 1), T.full((2,), True), T.full((2,), 1.5), T.full((), 7)
T.full((2,), 300, dtype=T.float16)
T.zeros_like(x), T.ones_like(x, dtype=T.int64), T.full_like(x, 2)
T.empty_like(x).shape, T.empty_like(y, memory_format=T.channels_last).stride()
x.new_zeros(2, 3), x.new_ones((2,)), x.new_full((2,), 1), x.new_tensor([1, 2])
x.long().new_tensor([1.5]).dtype, x.new_empty(3).shape, x.new_zeros(2, dtype=T.int8)
T.scalar_tensor(3)
T.empty_strided((2, 2), (1, 2)).stride()
T.zeros(2, requires_grad=True)
T.zeros(3, out=T.ones(3, dtype=T.int64))
T.arange(5), T.arange(5.0), T.arange(1, 5), T.arange(1, 2, 0.25), T.arange(5, 1, -2)
T.arange(0, 5, 2.0).dtype, T.arange(2.7, dtype=T.int64), T.arange(0)
T.arange(0, 1, 0.1), T.arange(-1, 1, 0.3, dtype=T.float64)
T.linspace(0, 1, 5), T.linspace(0, 1, 1), T.linspace(0, 1, 0), T.linspace(3, -3, 7)
T.linspace(0, 10, 5, dtype=T.int64), T.linspace(L(0.0), 1, 3)
T.logspace(0, 2, 3), T.logspace(0, 3, 4, base=2), T.logspace(0, 3, 4, dtype=T.int64)
T.eye(3), T.eye(3, 2), T.eye(2, dtype=T.int64)
T.tril_indices(3, 3), T.triu_indices(3, 4, 1)
T.meshgrid(L([1, 2]), L([3, 4, 5]), indexing="ij")
T.meshgrid(L([1, 2]), L([3, 4, 5]), indexing="xy")
T.cartesian_prod(L([1, 2]), L([3, 4]))
T.combinations(L([1, 2, 3])), T.combinations(L([1, 2, 3]), with_replacement=True)
T.range(1, 3), T.range(0, 1, 0.5)
""")

RANDOM = lines("""
T.rand(3), T.rand(2, 3, dtype=T.float64)
T.randn(3), T.randn(20), T.randn(20, dtype=T.float64), T.randn(4, dtype=T.bfloat16)
T.randn_like(x), T.rand_like(x.t())
T.randint(10, (5,)), T.randint(-5, 5, (2, 2)), T.randint(high=3, size=(4,))
T.randint(0, 2**40, (3,)), T.randint(5, (3,), dtype=T.float32)
T.randint_like(x, 5), T.randint_like(x, -3, 3)
T.randperm(8), T.randperm(5, dtype=T.float32)
T.normal(0.0, 1.0, (2, 2)), T.normal(x, 1.0), T.normal(x, x), T.normal(1.0, x)
T.bernoulli(x / 20)
T.multinomial(x + 1, 2, replacement=True)
T.empty(20).normal_(), T.empty(4, 4).t().normal_(2, 3), T.empty(3).uniform_(-1, 1)
T.empty(3, dtype=T.int64).random_(), T.empty(3).random_(5), T.empty(3).random_(2, 9)
T.empty(3).geometric_(0.5), T.empty(3).log_normal_(), T.empty(3).cauchy_()
T.empty(3).bernoulli_(L([0.1, 0.5, 0.9]))
T.rand(2, generator=T.Generator().manual_seed(3))
T.Generator().manual_seed(3).initial_seed(), T.Generator().device
T.get_rng_state().shape, T.get_rng_state().dtype, T.initial_seed()
(T.rand(1), T.set_rng_state(T.manual_seed(5).get_state()), T.rand(1))
T.random.get_rng_state().dtype
T.default_generator.get_state().shape
""")

REFUSED = lines("""
T.tensor([[1, 2], [3]])
T.tensor([[1], 2])
T.tensor([1, [2]])
T.tensor([2**63])
T.tensor("a")
T.tensor(["a"])
T.tensor(None)
T.tensor([None])
T.tensor({1})
T.tensor(object())
T.tensor(300, dtype=T.uint8)
T.tensor([300], dtype=T.uint8)
T.tensor([float("nan")], dtype=T.int64)
T.tensor([1], requires_grad=True)
T.tensor([1], dtype="int")
T.from_numpy([1])
T.from_numpy(np.arange(3)[::-1])
T.from_numpy(np.array(["a"]))
T.frombuffer(bytearray(b""), dtype=T.uint8)
T.frombuffer(bytearray(b"abc"), dtype=T.int16)
T.zeros(2, -1)
T.empty(2**62, 4)
T.zeros(1.5)
T.zeros("a")
T.zeros(True)
T.zeros()
T.zeros((2,), 3)
T.zeros(2, dtype="a")
T.zeros(2, foo=1)
T.full(2, 1)
T.full((2,), "a")
T.arange()
T.ones_like([1])
T.eye(-1)
T.arange(0, 1, 0)
T.arange(1, 0)
T.arange(float("nan"))
T.arange(5, dtype=T.bool)
T.linspace(0, 1, -1)
T.linspace(0, 1, 2.5)
T.randint(0, 0, (2,))
T.randint(3, 5)
T.randn(2, dtype=T.int64)
T.randn_like(T.arange(3))
T.randperm(-1)
T.rand(2, generator=5)
T.normal(2.0, 3.0)
T.normal(x, -1.0)
T.bernoulli(x)
T.bernoulli(T.arange(3))
T.empty(3).uniform_(2, 1)
T.empty(3, dtype=T.int64).normal_()
T.empty(3).bernoulli_(1.5)
T.set_rng_state(x)
T.zeros(2, device="cuda")
T.zeros(2, device="foo")
T.meshgrid(x, x)
T.cartesian_prod(x, x)
T.empty_strided((2,), (1, 1))
""")

TEXTS = [
    (
        "T.tensor([[1, 2], [3]])",
        ValueError,
        "expected sequence of length 2 at dim 1 (got 1)",
    ),
    (
        "T.tensor([300], dtype=T.uint8)",
        RuntimeError,
        "value cannot be converted to type uint8 without overflow: 300",
    ),
    (
        "T.zeros(2, -1)",
        RuntimeError,
        "Trying to create tensor with negative dimension -1: [2, -1] (zeros)",
    ),
    (
        "T.zeros(1.5)",
        TypeError,
        "zeros(): argument 'size' must be tuple of ints, but found element of type"
        " float at pos 0",
    ),
    (
        "T.empty(2**62, 4)",
        RuntimeError,
        "Storage size calculation overflowed with sizes=[4611686018427387904, 4]",
    ),
    (
        "T.from_numpy(np.arange(3)[::-1])",
        ValueError,
        "At least one stride in the given numpy array is negative, and tensors with"
        " negative strides are not currently supported: strides are (-8,). A copy of"
        " the array, array.copy(), has none.",
    ),
]


@pytest.mark.parametrize("expression", VALUES + RANDOM)
def test_value(expression):
    assert_same(expression)


@pytest.mark.parametrize("expression", REFUSED)
def test_refusal(expression):
    assert_same(expression)


@pytest.mark.parametrize("expression, error, text", TEXTS)
def test_text(expression, error, text):
    assert_refused(expression, error, text)


@pytest.mark.parametrize("make", [atrous.zeros, atrous.ones, atrous.empty, atrous.rand])
def test_a_size_beyond_memory_is_refused_with_its_size(make):
    with pytest.raises(atrous.OutOfMemoryError, match="4000000000000000 bytes"):
        make(10**15)


def test_numpy_memory_is_shared_both_ways():
    array = np.zeros((2, 3))[:, ::2]
    tensor = atrous.from_numpy(array)
    tensor[0, 1] = 5
    array[1, 0] = 7
    assert tensor.tolist() == [[0.0, 5.0], [7.0, 0.0]] == array.tolist()
    assert np.shares_memory(tensor.numpy(), array) and tensor.stride() == (3, 2)
    assert atrous.tensor(array)[0, 1] == 5
    assert not np.shares_memory(atrous.tensor(array).numpy(), array)


def test_dlpack_shares_memory_both_ways():
    tensor = atrous.arange(6.0).reshape(2, 3)
    array = np.from_dlpack(tensor)
    array[0, 0] = 9
    assert tensor[0, 0] == 9
    back = atrous.from_dlpack(array)
    back[1, 1] = 8
    assert tensor[1, 1] == 8


def test_dlpack_with_torch():
    torch = pytest.importorskip("torch")
    theirs = torch.arange(4.0)
    ours = atrous.from_dlpack(theirs)
    ours[0] = 7
    assert theirs[0] == 7
    assert torch.from_dlpack(ours)[0] == 7


def test_a_read_only_array_is_warned_of():
    array = np.zeros(2)
    array.flags.writeable = False
    with pytest.warns(UserWarning, match="not writable"):
        atrous.from_numpy(array)


def test_copying_a_tensor_by_tensor_is_warned_of():
    with pytest.warns(UserWarning, match="sourceTensor.detach"):
        atrous.tensor(atrous.ones(2))


def test_sequences_are_torchs_to_the_last_bit():
    torch = pytest.importorskip("torch")
    for T_call in (
        lambda T: T.linspace(-1.3, 2.7, 1001),
        lambda T: T.linspace(0.1, 77, 64, dtype=T.float64),
        lambda T: T.arange(-3, 5, 0.01),
        lambda T: T.arange(0, 1e6, 333.3),
        lambda T: T.arange(0.1, 100, 0.7, dtype=T.float64),
    ):
        np.testing.assert_array_equal(T_call(atrous).numpy(), T_call(torch).numpy())


def test_an_exponential_has_its_mean():
    atrous.manual_seed(0)
    # The mean of n exponentials of rate 2 is ½ ± ½ / √n.
    n = 10000
    assert abs(atrous.empty(n).exponential_(2.0).mean() - 0.5) < 4 * 0.5 / math.sqrt(n)
    assert abs(atrous.poisson(atrous.full((n,), 3.0)).mean() - 3) < 4 * math.sqrt(3 / n)


def test_fork_rng_leaves_the_stream_as_it_was():
    atrous.manual_seed(0)
    with atrous.random.fork_rng():
        inside = atrous.rand(2)
    assert atrous.equal(inside, atrous.rand(2))


@pytest.mark.parametrize(
    "make",
    [
        lambda: atrous.arange(10**13),
        lambda: atrous.linspace(0, 1, 10**13),
        lambda: atrous.randperm(10**13),
        lambda: atrous.tril_indices(10**7, 10**7),
    ],
)
def test_a_sequence_beyond_memory_is_refused_with_its_size(make):
    with pytest.raises(RuntimeError, match=r"cannot allocate .*: \d+ bytes \(.* GiB\)"):
        make()


def test_a_capsule_is_shared_with_torch():
    torch = pytest.importorskip("torch")
    ours = atrous.arange(3.0)
    theirs = torch.utils.dlpack.from_dlpack(atrous.utils.dlpack.to_dlpack(ours))
    back = atrous.utils.dlpack.from_dlpack(torch.utils.dlpack.to_dlpack(theirs))
    back[1] = 7
    assert ours.tolist() == theirs.tolist() == [0.0, 7.0, 2.0]
