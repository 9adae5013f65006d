"""Random keys, read, written and differentiated, beside torch."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
hypothesis = pytest.importorskip("hypothesis")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

import atrous  # noqa: E402

positions = st.integers(-4, 3)
items = st.one_of(
    positions,
    st.slices(4).filter(lambda s: s.step is None or s.step > 0),
    st.none(),
    st.just(Ellipsis),
    st.lists(positions, max_size=3).map(lambda x: ("index", x, (len(x),))),
    st.lists(positions, min_size=4, max_size=4).map(lambda x: ("index", x, (2, 2))),
    st.lists(st.booleans(), min_size=1, max_size=4).map(
        lambda x: ("mask", x, (len(x),))
    ),
    st.booleans(),
)


def key_of(T, key):
    """The drawn items as a key, index tensors made in namespace T."""

    def made(item):
        if not isinstance(item, tuple):
            return item
        kind, values, shape = item
        dtype = T.bool if kind == "mask" else T.int64
        return T.tensor(values, dtype=dtype).reshape(shape)

    return tuple(map(made, key))


def attempt(action):
    try:
        return action()
    except (RuntimeError, IndexError) as error:
        return "IndexError" if isinstance(error, IndexError) else "RuntimeError"


def read(T, values, key):
    x = T.tensor(values, requires_grad=True)
    out = x[key_of(T, key)]
    (out * out).sum().backward()
    return out.detach().numpy(), x.grad.numpy()


def write(T, values, key, value):
    x = T.tensor(values)
    x[key_of(T, key)] = T.tensor(value, dtype=x.dtype)
    return (x.numpy(),)


def compare(expected, actual):
    if isinstance(expected, str) or isinstance(actual, str):
        assert actual == expected
        return
    for theirs, ours in zip(expected, actual, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple),
    st.lists(items, max_size=4).filter(lambda key: key.count(Ellipsis) < 2),
)
def test_key(shape, key):
    values = np.arange(1.0, 1 + np.prod(shape)).reshape(shape)
    expected, actual = [
        attempt(lambda T=T: read(T, values, key)) for T in (torch, atrous)
    ]
    if actual == "IndexError" and not isinstance(expected, str):
        assert not expected[0].size  # torch looks at no index where nothing is picked
        return
    compare(expected, actual)
    compare(
        attempt(lambda: write(torch, values, key, -1.0)),
        attempt(lambda: write(atrous, values, key, -1.0)),
    )
