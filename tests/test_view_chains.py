"""Random chains of views over memory in any physical order, beside those of torch."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
hypothesis = pytest.importorskip("hypothesis")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

import atrous  # noqa: E402
from atrous.compiler import memory  # noqa: E402
from atrous.tensor import Tensor  # noqa: E402

shapes = st.lists(st.integers(1, 4), min_size=1, max_size=5).map(tuple)
axis = st.integers(-5, 5)
small = st.integers(-2, 4)
steps = st.one_of(
    st.tuples(st.just("transpose"), axis, axis),
    st.tuples(st.just("select"), axis, small),
    st.tuples(st.just("narrow"), axis, small, small),
    st.tuples(st.just("unsqueeze"), axis),
    st.tuples(st.just("squeeze"), axis),
    st.tuples(st.just("flatten"), axis, axis),
    st.tuples(st.just("unfold"), axis, small, small),
    st.tuples(st.just("diagonal"), small, axis, axis),
    st.tuples(st.just("view"), st.lists(st.integers(-1, 6), max_size=4)),
    st.tuples(st.just("reshape"), st.lists(st.integers(-1, 6), max_size=4)),
    st.tuples(st.just("permute"), st.permutations(range(3))),
    st.tuples(st.just("expand"), st.lists(st.integers(0, 4), max_size=5)),
    st.tuples(
        st.just("__getitem__"),
        st.tuples(st.slices(5).filter(lambda s: s.step is None or s.step > 0)),
    ),
    st.tuples(st.just("add_"), st.just(1.0)),
    st.tuples(st.just("contiguous")),
)


def beside(shape, order):
    """The same numbers as a tensor of torch, and here in a physical order."""
    values = np.arange(np.prod(shape), dtype="float32").reshape(shape)
    array = memory.empty(shape, "float32", order)
    array[...] = values
    return torch.tensor(values), Tensor._of(array)


def attempt(tensor, step):
    """What a step gives: a tensor, or None where it is refused."""
    try:
        return getattr(tensor, step[0])(*step[1:])
    except (RuntimeError, IndexError):
        return None


def geometry(tensor):
    """Sizes, steps and offset; the step along one element means nothing."""
    walks = zip(tensor.shape, tensor.stride(), strict=True)
    return [(n, step if n > 1 else 0) for n, step in walks], tensor.storage_offset()


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_chain(data):
    shape = data.draw(shapes)
    order = tuple(data.draw(st.permutations(range(len(shape)))))
    expected, actual = beside(shape, order)
    root_expected, root_actual = expected, actual
    for step in data.draw(st.lists(steps, min_size=1, max_size=6)):
        theirs, ours = attempt(expected, step), attempt(actual, step)
        assert (theirs is None) == (ours is None), step
        if theirs is None:
            continue
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy(), str(step))
        if theirs.numel():
            assert geometry(ours) == geometry(theirs), step
            assert ours.is_contiguous() == theirs.is_contiguous(), step
        expected, actual = theirs, ours
    np.testing.assert_array_equal(root_actual.numpy(), root_expected.numpy())


assert atrous.Tensor is Tensor
