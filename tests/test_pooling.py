"""Pooling against torch over random windows: values, indices, gradients, refusals."""

import math

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("hypothesis")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from oracle import check  # noqa: E402

import atrous  # noqa: E402
from atrous.nn import functional as F  # noqa: E402

random_cases = settings(max_examples=20, deadline=None, derandomize=True)


def distinct(*shape, dtype=torch.float32):
    """No two values alike, so that a maximum has one place."""
    order = torch.randperm(math.prod(shape), generator=torch.Generator().manual_seed(1))
    return (order.reshape(shape).to(dtype) / 8).requires_grad_()


@st.composite
def problems(draw):
    rank = draw(st.integers(1, 3))

    def sizes(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(rank))

    return {
        "rank": rank,
        "shape": (*draw(st.sampled_from([(), (1,), (2,)])), 2, *sizes(5, 8)),
        "kernel": sizes(2, 3),
        "stride": draw(st.one_of(st.none(), st.just(sizes(1, 3)))),
        "padding": sizes(0, 1),
        "dilation": sizes(1, 2),
        "output": sizes(1, 7),
        "flag": draw(st.booleans()),
        "other flag": draw(st.booleans()),
        "dtype": draw(st.sampled_from([torch.float32, torch.float64])),
    }


def pool(T, name, p):
    return getattr(T.nn.functional, f"{name}{p['rank']}d")


@random_cases
@given(problems())
def test_max_pool_is_torchs(p):
    rest = p["kernel"], p["stride"], p["padding"], p["dilation"], p["flag"]

    def program(T, x):
        return pool(T, "max_pool", p)(x, *rest, return_indices=p["other flag"])

    check(program, distinct(*p["shape"], dtype=p["dtype"]), second=True)


@random_cases
@given(problems())
def test_avg_pool_is_torchs(p):
    rest = [p["kernel"], p["stride"], p["padding"], p["flag"], p["other flag"]]
    if p["rank"] > 1 and p["flag"]:
        rest.append(5)
    x = distinct(*p["shape"], dtype=p["dtype"])
    check(lambda T, x: pool(T, "avg_pool", p)(x, *rest), x, second=True)


@random_cases
@given(problems())
def test_adaptive_pools_are_torchs(p):
    x = distinct(*p["shape"], dtype=p["dtype"])
    for name in ("adaptive_avg_pool", "adaptive_max_pool"):
        check(lambda T, x, n=name: pool(T, n, p)(x, p["output"]), x, second=True)
    check(
        lambda T, x: pool(T, "adaptive_max_pool", p)(x, p["output"], True), x.detach()
    )


@random_cases
@given(problems())
def test_lp_pool_is_torchs(p):
    x = (distinct(*p["shape"], dtype=p["dtype"]) + 1).detach().requires_grad_()
    stride = p["kernel"] if p["stride"] is None else p["stride"]
    kernel, stride = (
        (each[0] if p["rank"] == 1 else each) for each in (p["kernel"], stride)
    )
    check(lambda T, x: pool(T, "lp_pool", p)(x, 2.0, kernel, stride, p["flag"]), x)


@random_cases
@given(problems())
def test_max_unpool_is_torchs(p):
    x = distinct(*p["shape"], dtype=p["dtype"])
    size = p["shape"][-p["rank"] :]

    def program(T, x):
        y, indices = pool(T, "max_pool", p)(x, p["kernel"], return_indices=True)
        return pool(T, "max_unpool", p)(y, indices, p["kernel"], output_size=size)

    check(program, x, second=True)


def test_large_volumes():
    x = distinct(2, 8, 12, 12, 12)
    check(lambda T, x: T.nn.functional.max_pool3d(x, 2), x)
    check(lambda T, x: T.nn.functional.avg_pool3d(x, 3, 2, 1), x)
    check(lambda T, x: T.nn.functional.adaptive_avg_pool3d(x, (5, None, 7)), x)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.int64])
def test_other_dtypes(kind):
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(-50, 50, (2, 3, 6, 6), generator=generator).to(kind)
    check(lambda T, x: T.nn.functional.max_pool2d(x, 2, return_indices=True), x)
    check(lambda T, x: T.nn.functional.avg_pool2d(x, 2), x)


def test_nan_is_a_maximum():
    x = torch.arange(36.0).reshape(1, 1, 6, 6)
    x[0, 0, 1, 1] = math.nan
    check(lambda T, x: T.nn.functional.max_pool2d(x, 3, 1, return_indices=True), x)


def test_empty_batches_and_outputs():
    assert F.max_pool2d(atrous.ones(0, 2, 4, 4), 2).shape == (0, 2, 2, 2)
    assert F.adaptive_avg_pool2d(atrous.ones(1, 2, 4, 4), 0).shape == (1, 2, 0, 0)


def test_names_with_indices():
    x = atrous.arange(6.0).reshape(1, 1, 6)
    values, indices = F.max_pool1d_with_indices(x, 2)
    assert values.tolist() == [[[1.0, 3.0, 5.0]]] and indices.tolist() == [[[1, 3, 5]]]


PATCHES = [
    ((2, 3, 6, 7), {"kernel_size": (2, 3), "stride": 2}),
    ((3, 5, 5), {"kernel_size": 3, "padding": 1, "dilation": 2}),
]


@pytest.mark.parametrize("shape, options", PATCHES)
def test_unfold_and_fold_are_torchs(shape, options):
    x = distinct(*shape)
    check(lambda T, x: T.nn.functional.unfold(x, **options), x, second=True)

    def back(T, x):
        columns = T.nn.functional.unfold(x, **options)
        return T.nn.functional.fold(columns, shape[-2:], **options)

    check(back, x, second=True)


def test_nodes_print_as_torchs():
    def node(y):
        return y.grad_fn.name()

    line, image = (
        atrous.ones(1, 1, *[4] * rank, requires_grad=True) for rank in (1, 2)
    )
    assert node(F.max_pool1d(line, 2)) == "SqueezeBackward1"
    assert node(F.max_pool2d(image, 2)) == "MaxPool2DWithIndicesBackward0"
    assert node(F.avg_pool2d(image, 2)) == "AvgPool2DBackward0"
    assert node(F.adaptive_avg_pool2d(image, 2)) == "AdaptiveAvgPool2DBackward0"
    assert node(F.adaptive_avg_pool2d(image, 1)) == "MeanBackward1"
    assert node(F.adaptive_max_pool2d(image, 2)) == "AdaptiveMaxPool2DBackward0"


def ones(*shape):
    return atrous.ones(*shape)


def indices(*shape):
    return atrous.zeros(*shape).long()


# call -> exception, text
REFUSALS = {
    "rank": (
        lambda: F.max_pool2d(ones(6, 6), 2),
        RuntimeError,
        "max_pool2d: Expected 3D or 4D (batch mode) tensor, of which only the batch may"
        " be empty.\n"
        "  input (6, 6)  expected (batch,) channels, height, width",
    ),
    "an empty axis": (
        lambda: F.avg_pool1d(ones(1, 2, 0), 2),
        RuntimeError,
        "avg_pool1d: Expected 2D or 3D (batch mode) tensor, of which only the batch may"
        " be empty.\n"
        "  input (1, 2, 0)  expected (batch,) channels, length",
    ),
    "padding too wide": (
        lambda: F.max_pool2d(ones(1, 2, 6, 6), 2, padding=2),
        RuntimeError,
        "max_pool2d: pad should be at most half of effective kernel size, but got"
        " pad=(2, 2), kernel_size=(2, 2) and dilation=(1, 1).",
    ),
    "negative padding": (
        lambda: F.max_pool2d(ones(1, 2, 6, 6), 2, padding=-1),
        RuntimeError,
        "max_pool2d: padding must be zero or more, got (-1, -1).",
    ),
    "kernel too large": (
        lambda: F.max_pool2d(ones(1, 2, 6, 6), 7),
        RuntimeError,
        "max_pool2d: the kernel (7 × 7) does not fit into the input: the output would"
        " be (0 × 0).\n"
        "  input (1, 2, 6, 6)  …, height, width",
    ),
    "no kernel": (
        lambda: F.max_pool2d(ones(1, 2, 6, 6), 0),
        RuntimeError,
        "max_pool2d: kernel_size must be positive, got (0, 0).",
    ),
    "no stride": (
        lambda: F.max_pool2d(ones(1, 2, 6, 6), 2, stride=0),
        RuntimeError,
        "max_pool2d: stride must be positive, got (0, 0).",
    ),
    "too many sizes": (
        lambda: F.max_pool2d(ones(1, 2, 6, 6), (2, 2, 2)),
        RuntimeError,
        "max_pool2d: kernel_size is one int or 2, one for each spatial axis (height,"
        " width), not (2, 2, 2).",
    ),
    "bools": (
        lambda: F.max_pool2d(ones(1, 2, 6, 6) > 0, 2),
        NotImplementedError,
        "max_pool2d: not implemented for 'Bool' tensors.",
    ),
    "average of bytes": (
        lambda: F.avg_pool2d(ones(1, 2, 6, 6).byte(), 2),
        NotImplementedError,
        "avg_pool2d: not implemented for 'Byte' tensors.",
    ),
    "divisor": (
        lambda: F.avg_pool2d(ones(1, 2, 6, 6), 2, divisor_override=0),
        RuntimeError,
        "avg_pool2d: divisor must be not zero.",
    ),
    "negative output": (
        lambda: F.adaptive_avg_pool2d(ones(1, 2, 6, 6), -1),
        RuntimeError,
        "adaptive_avg_pool2d: output_size must be zero or more, got (-1, -1).",
    ),
    "outputs": (
        lambda: F.adaptive_avg_pool2d(ones(1, 2, 6, 6), (2, 2, 2)),
        RuntimeError,
        "adaptive_avg_pool2d: output_size is one int or 2, not (2, 2, 2).",
    ),
    "more outputs than axes": (
        lambda: F.adaptive_max_pool2d(ones(2, 2), (2, 2)),
        ValueError,
        "adaptive_max_pool2d: Input dimension should be at least 3, but the input is"
        " (2, 2).",
    ),
    "index outside": (
        lambda: F.max_unpool1d(ones(1, 1, 2), indices(1, 1, 2) + 9, 2),
        RuntimeError,
        "max_unpool1d: Found an invalid max index: 9 (output volumes are of size 4).",
    ),
    "indices of another shape": (
        lambda: F.max_unpool1d(ones(1, 1, 2), indices(1, 1, 3), 2),
        RuntimeError,
        "max_unpool1d: Expected shape of indices to be same as that of the input.\n"
        "  input   (1, 1, 2)  \n"
        "  indices (1, 1, 3)  ",
    ),
    "indices of another dtype": (
        lambda: F.max_unpool1d(ones(1, 1, 2), ones(1, 1, 2), 2),
        RuntimeError,
        "max_unpool1d: elements in indices should be type int64 but got: Float.",
    ),
    "unpooled size": (
        lambda: F.max_unpool1d(ones(1, 1, 2), indices(1, 1, 2), 2, output_size=(9,)),
        ValueError,
        'max_unpool1d: invalid output_size "(9,)" (dim 0 must be between 2 and 6).',
    ),
    "no block": (
        lambda: F.unfold(ones(1, 1, 4, 4), 5),
        RuntimeError,
        "unfold: Given input with spatial size (4, 4), kernel_size=(5, 5), dilation=(1,"
        " 1), padding=(0, 0), calculated shape of the array of sliding blocks as (0,"
        " 0), but its components must be at least one.",
    ),
    "columns": (
        lambda: F.fold(ones(1, 7, 9), 4, 2),
        RuntimeError,
        "fold: Expected size of input's dimension 1 to be divisible by the product of"
        " kernel_size, but got input.size(1)=7 and kernel_size=(2, 2).",
    ),
    "blocks": (
        lambda: F.fold(ones(1, 8, 8), 4, 2),
        RuntimeError,
        "fold: output_size=(4, 4), kernel_size=(2, 2) give (3 × 3) = 9 blocks, but got"
        " input.size(2)=8.",
    ),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_refusal(what):
    call, raises, text = REFUSALS[what]
    with pytest.raises(raises) as caught:
        call()
    assert str(caught.value) == text
