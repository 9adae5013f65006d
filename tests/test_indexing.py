"""Indexing by keys and by index tensors: values, gradients and refusals as in torch."""

import numpy as np
import pytest
from same import assert_refused, assert_same, lines

import atrous

READ = lines("""
x[:]
x[...]
x[None]
x[..., None]
x[...].shape
x[0]
x[-1]
x[0, :]
x[:, 0]
x[0:2, 1:3]
x[::2, 1::2]
x[1:100]
x[-100:2].shape
x[2:1].shape
x[(1,)]
x[()].shape
x[0, 0]
x[0, ..., 1]
x[..., ...].shape
x[T.tensor(1)]
x[L(0) : L(2)].shape
x[np.int64(1)]
x[[0, 1]]
x[[]].shape
x[[], 0].shape
x[(0,),].shape
x[range(2)]
x[L([0, 2])]
x[L([0, 2], dtype=T.int32)]
x[np.array([0, 1])]
x[[True, False, True]]
x[L([1, 0, 1], dtype=T.uint8)]
x[np.array([True, False, True])]
x[x > 3]
x[True].shape
x[False].shape
x[L(True)].shape
x[0, L(True)].shape
x[L(1, dtype=T.uint8)].shape
x[[0, 1], None, [1, 2]]
x[[0, 1], [1, 2]]
x[[[0, 1], [1, 2]]]
x[(([0, 1], [1, 0]),)].shape
x[:, [0, -1, 0]]
x[L([[0, 1], [2, 0]])].shape
x[1:, [0, 2]]
x[[slice(0, 1), 0]]
y[0, 0, [0, 2], 1:].shape
y[0, :, [1, 2]].shape
y[:, [0, 1], [1, 2]].shape
y[:, [0, 1], :, [1, 2]].shape
y[[0, 0], :, 0].shape
y[0, y[0, :, :, 0] > 4].shape
y[:, :, y[0, 0] > 4].shape
list(x[0])
[len(row) for row in x]
5.0 in x, 50.0 in x
""")

FUNCTIONS = lines("""
x.index_select(0, L(1))
x.index_select(1, L([3, 0, 0]))
L(3.0).index_select(0, L([0]))
x.gather(0, L([[0, 2, 1, 0]]))
x.gather(1, L([[3, 3], [0, 1], [2, 2]]))
x.gather(0, L([[0]]).int())
L(5.0).gather(0, L(0))
x.scatter(0, L([[0]]), 1.0)
x.scatter(0, L([[0, 1], [2, 2]]), x)
x.scatter(1, L([[0, 0]]), 2.0, reduce="multiply")
x.scatter(0, L([]).long(), 1.0).shape
x.scatter_add(0, L([[0, 0, 1, 1]] * 3), x)
x.scatter_reduce(0, L([[0, 0, 1, 1]] * 3), x, "amax", include_self=False)
x.index_add(0, i, T.ones(2, 4))
x.index_add(0, L([1, 1]), T.ones(2, 4), alpha=2)
x.index_copy(0, i, T.ones(2, 4))
x.index_fill(0, i, 7)
x.index_fill(0, L([-1]), L(7.0))
x.index_put((i,), T.ones(4))
x.index_put((L([0, 0]), L([1, 1])), T.ones(2), accumulate=True)
x.masked_fill(x > 5, -1)
x.masked_fill(L([True, False, False, True]), float("-inf"))
x.masked_select(x > 5)
x.masked_scatter(x > 5, T.ones(12))
x.take(L([-1, 3]))
x.put(L([0, -1]), L([5.0, 6.0]))
x.put(L([1, 1]), L([5.0, 6.0]), accumulate=True)
x.take_along_dim(L([[1], [0], [2]]), 1)
x.take_along_dim(L([3, 1]))
x.nonzero().dtype
x.nonzero(as_tuple=True)
T.ones(()).nonzero().shape
T.ones(()).nonzero(as_tuple=True)
T.argwhere(L(1)).shape
T.argwhere(x > 9)
T.where(x > 5)
""")

WRITTEN = lines("""
t[0] = 5
t[0] = L([1.0, 2, 3, 4])
t[0] = L([1, 2, 3, 4])
t[:, 1] = t[:, 2] * 2
t[1:2] = T.ones(1, 1, 1, 4)
t[...] = 1.5
t[()] = 2
t[None] = 3
t[True] = 3
t[False] = 3
t[t > 3] = 5
t[t > 3] = L(5)
t[t > 8] = L([1.0, 2.0, 3.0])
t[[0, 1]] = T.ones(4)
t[[0, 0]] = T.arange(8.0).reshape(2, 4)
t[:, [0, 1]] = T.ones(3, 1)
t[0, [0, 1]] = T.tensor(5.0)
t[1:, [0, -1]] = -1
t[::2, 1::2] = 0
t[0][1] = 9
t[[1]] += 1
t[1] += 1
t.index_put_((L([0, 0]), L([1, 1])), T.ones(2), accumulate=True)
t.masked_fill_(t > 5, 0)
t.scatter_(1, L([[0], [1], [2]]), 9.0)
t.scatter_add_(0, L([[0, 0, 0, 0]]), t.clone())
t.index_fill_(1, L([0]), 3)
t.index_add_(1, L([0]), T.ones(3, 1))
t.index_copy_(1, L([0]), T.ones(3, 1))
t.put_(L([3]), L([8.0]))
t.T[0] = 4
t.view(-1)[5] = 4
t[T.arange(3), T.arange(3)] = 0
""")

REFUSED = lines("""
x[5]
x[:, 7]
x[0, 0, 0]
x[[5]]
x[L([-4])]
x[T.tensor([5]), 0]
x[T.tensor([1.0])]
x[L([0, 2], dtype=T.int16)]
x[1.5]
x["a"]
x[{}]
x[0:1.5]
x[::0]
x[::-1]
x[T.tensor([True, False])]
x[[0, 1], [0, 1, 2]]
x[(slice(None), slice(None), slice(None))]
T.ones(())[0]
list(T.ones(()))
after("t[0] = T.ones(3)")
after("t[[0, 1]] = T.ones(3)")
after("t[t > 3] = T.ones(2)")
after("t[0, [0, 1]] = T.tensor(5)")
after("t[0] = 'a'")
after("t[0] = [1, 2, 3, 4]")
after("t[0] = np.ones(4)")
after("t[7] = 1")
x.index_select(0, L([[0]]))
x.index_select(0, L([5]))
x.index_select(2, i)
x.index_select(0, L([1.0]))
x.gather(0, L([[5]]))
x.gather(0, L([0]))
x.gather(0, L([[0.0]]))
x.gather(1, T.zeros(4, 1).long())
x.scatter(0, L([[5]]), 1.0)
x.scatter(0, L([[0]]), T.ones(1, 1).double())
x.scatter(0, T.zeros(3, 5).long(), T.ones(3, 5))
x.scatter(0, T.zeros(3, 4).long(), T.ones(2, 4))
x.scatter(0, L([[0]]), 1.0, reduce="foo")
x.scatter_add(0, L([[0]]), 1.0)
x.scatter_add(0, L([[7]]), x)
x.scatter_reduce(0, L([[0]]), x, "foo")
x.index_add(0, i, T.ones(2, 3))
x.index_add(0, i, T.ones(3, 4))
x.index_add(0, L([5]), T.ones(1, 4))
x.index_add(0, i, T.ones(2, 4).double())
x.index_copy(0, i, T.ones(2, 3))
x.index_copy(0, L([5]), T.ones(1, 4))
x.index_fill(0, L([5]), 1.0)
x.index_fill(0, i, T.ones(2))
x.index_put((i,), T.ones(3))
x.index_put((L([5]),), T.ones(4))
x.masked_fill(T.ones(3, 4), 1)
x.masked_fill(T.ones(3).bool(), 1)
x.masked_fill(x > 1, T.ones(2))
x.masked_select(T.ones(3, 4))
x.masked_scatter(x > 1, T.ones(2))
x.take(L([20]))
x.take(L([1.0]))
x.take_along_dim(L([0.0]), 0)
x.put(L([0]), L([1.0, 2.0]))
x.put(L([50]), L([1.0]))
""")

TEXTS = [
    (
        "x[5]",
        IndexError,
        "index 5 is out of bounds for dimension 0 with size 3",
    ),
    (
        "x[[0, 1], [0, 1, 2]]",
        IndexError,
        "shape mismatch: indexing tensors could not be broadcast together with shapes"
        " [2], [3]",
    ),
    (
        "x[T.tensor([True, False])]",
        IndexError,
        "The shape of the mask [2] at index 0 does not match the shape of the indexed"
        " tensor [3, 4] at index 0",
    ),
    (
        "x.gather(0, L([[5]]))",
        RuntimeError,
        "index 5 is out of bounds for dimension 0 with size 3",
    ),
    (
        "x.index_select(0, L([5]))",
        IndexError,
        "index_select(): index 5 is out of bounds for dimension 0 with size 3",
    ),
    (
        "after(\"t[0] = 'a'\")",
        TypeError,
        "can't assign a str to a torch.FloatTensor",
    ),
    (
        "x.masked_scatter(x > 1, T.ones(2))",
        RuntimeError,
        "masked_scatter: Number of elements of source (2) < number of ones in mask"
        " (10)",
    ),
]


@pytest.mark.parametrize("expression", READ + FUNCTIONS)
def test_value_and_node(expression):
    if ("scatter" in expression and "1.0" in expression) or 'reduce="' in expression:
        assert_same(expression)  # torch has two nodes for one function
    elif "index_fill(0, L" in expression:
        assert_same(expression)
    else:
        assert_same(expression, gradient=True)


@pytest.mark.parametrize("statement", WRITTEN)
def test_written(statement):
    assert_same(f"after({statement!r})")


@pytest.mark.parametrize("expression", REFUSED)
def test_refusal(expression):
    assert_same(expression)


@pytest.mark.parametrize("expression, error, text", TEXTS)
def test_text(expression, error, text):
    assert_refused(expression, error, text)


DIFFERENTIATED = lines("""
x[[0, 0, 2]]
x[:, [0, -1, 0]]
x[[0, 1], [1, 1]]
x[L([[0, 1], [0, 0]]), 1:]
x[x > 0]
x[..., None, [1, 1]]
x.gather(1, L([[3, 3], [0, 1], [2, 2]]))
x.scatter_add(0, L([[0, 0, 1, 1]] * 3), w)
x.scatter(0, L([[0, 1], [2, 2]]), w[:2, :2])
x.scatter_reduce(0, L([[0, 0, 1, 1]] * 3), w, "prod")
x.index_add(0, L([1, 1, 0]), w, alpha=2)
x.index_put((L([0, 0]), L([1, 1])), w[0, :2], accumulate=True)
x.index_put((L([0, 2]),), w[0])
x.masked_scatter(x > 0, w)
x.take(L([-1, 3, 3]))
x.take_along_dim(L([[1], [0], [1]]), 1)
""")


@pytest.mark.parametrize("expression", DIFFERENTIATED)
def test_gradient_and_second_gradient(expression):
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(0).standard_normal((2, 3, 4))
    results = []
    for T in (torch, atrous):
        x, w = (T.tensor(each, requires_grad=True) for each in values)
        given = [each for name, each in (("x", x), ("w", w)) if name in expression]
        out = eval(expression, {"T": T, "L": T.tensor, "x": x, "w": w})
        first = T.autograd.grad((out**3).sum(), given, create_graph=True)
        second = T.autograd.grad(sum((g * g).sum() for g in first), given)
        results.append([each.detach().numpy() for each in (*first, *second)])
    for expected, actual in zip(*results, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "statement",
    ["t[1] = w", "t[[0, 0]] = w", "t[:, 1] *= 3", "t[x > 0] = 1", "t[0] = 2"],
)
def test_a_written_part_is_differentiated(statement):
    torch = pytest.importorskip("torch")
    results = []
    for T in (torch, atrous):
        x = T.arange(-6.0, 6.0).reshape(3, 4).requires_grad_()
        w = T.ones(4, requires_grad=True)
        t = x * 2
        exec(statement, {"t": t, "w": w, "x": x})
        (t * t * t).sum().backward()
        results.append((x.grad.tolist(), w.grad is not None and w.grad.tolist()))
    assert results[0] == results[1]


def test_a_leaf_that_wants_a_gradient_is_not_written():
    x = atrous.ones(3, requires_grad=True)
    for write in (lambda: x.__setitem__(0, 1), lambda: x.__setitem__([0], 1)):
        with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
            write()


def test_rows_that_come_often_are_all_added():
    generator = np.random.default_rng(0)
    index = generator.integers(0, 50, 3000)
    rows = generator.standard_normal((3000, 7)).astype("float32")
    total = atrous.zeros(50, 7).index_add(0, atrous.tensor(index), atrous.tensor(rows))
    expected = np.zeros((50, 7))
    np.add.at(expected, index, rows)
    # 60 terms a sum, each of size 1: n · eps.
    np.testing.assert_allclose(total.numpy(), expected, atol=60 * 1.2e-7)


def test_a_source_larger_than_its_index_gets_zeros_beyond():
    w = atrous.ones(3, 4, requires_grad=True)
    index = atrous.tensor([[0, 1]])
    atrous.zeros(2, 2).scatter_add(0, index, w).sum().backward()
    assert w.grad.tolist() == [[1.0, 1.0, 0.0, 0.0], [0.0] * 4, [0.0] * 4]
