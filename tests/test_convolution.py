"""Convolution of every kind against torch: values, dtypes, two orders of gradient."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("hypothesis")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from oracle import array, check, difference  # noqa: E402

import atrous  # noqa: E402
from atrous.nn import functional as F  # noqa: E402
from atrous.ops.conv import convolution  # noqa: E402

random_cases = settings(max_examples=25, deadline=None, derandomize=True)


def tensor(*shape, dtype=torch.float32):
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))
    return values.to(dtype).requires_grad_()


@st.composite
def problems(draw):
    """Sizes of a convolution; the kernel fits into the padded input."""
    rank = draw(st.integers(1, 3))

    def sizes(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(rank))

    groups = draw(st.integers(1, 3))
    return {
        "rank": rank,
        "groups": groups,
        "in": groups * draw(st.integers(1, 3)),
        "out": groups * draw(st.integers(1, 3)),
        "batch": draw(st.sampled_from([(), (0,), (1,), (2,)])),
        "size": sizes(5, 8),
        "kernel": sizes(1, 3),
        "stride": sizes(1, 3),
        "dilation": sizes(1, 2),
        "padding": draw(st.one_of(st.just("valid"), st.just(sizes(0, 2)))),
        "extra": sizes(0, 2),
        "bias": draw(st.booleans()),
        "dtype": draw(st.sampled_from([torch.float32, torch.float64])),
    }


@random_cases
@given(problems())
def test_convolution_is_torchs(p):
    kind = p["dtype"]
    x = tensor(*p["batch"], p["in"], *p["size"], dtype=kind)
    w = tensor(p["out"], p["in"] // p["groups"], *p["kernel"], dtype=kind)
    b = tensor(p["out"], dtype=kind) if p["bias"] else None
    rest = p["stride"], p["padding"], p["dilation"], p["groups"]
    name = f"conv{p['rank']}d"
    check(
        lambda T, *tensors: getattr(T.nn.functional, name)(*tensors, *rest),
        *(x, w, b),
        second=0 not in p["batch"],
    )


@random_cases
@given(problems())
def test_transposed_convolution_is_torchs(p):
    kind = p["dtype"]
    x = tensor(*p["batch"], p["in"], *p["size"], dtype=kind)
    w = tensor(p["in"], p["out"] // p["groups"], *p["kernel"], dtype=kind)
    b = tensor(p["out"], dtype=kind) if p["bias"] else None
    padding = (0,) * p["rank"] if p["padding"] == "valid" else p["padding"]
    steps = zip(p["extra"], p["stride"], p["dilation"], strict=True)
    extra = tuple(e % max(s, d) for e, s, d in steps)
    rest = p["stride"], padding, extra, p["groups"], p["dilation"]
    name = f"conv_transpose{p['rank']}d"
    check(
        lambda T, *tensors: getattr(T.nn.functional, name)(*tensors, *rest),
        *(x, w, b),
        second=0 not in p["batch"],
    )


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@random_cases
@given(problems())
def test_same_padding_keeps_the_size(p):
    x = tensor(*p["batch"], p["in"], *p["size"])
    w = tensor(p["out"], p["in"] // p["groups"], *p["kernel"])
    name = f"conv{p['rank']}d"

    def program(T, x, w):
        conv = getattr(T.nn.functional, name)
        return conv(x, w, None, 1, "same", p["dilation"], p["groups"])

    check(program, x, w)
    ours = program(atrous, *(atrous.tensor(array(each)) for each in (x, w)))
    assert ours.shape[-p["rank"] :] == p["size"]


@pytest.mark.parametrize("border", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("stride", [1, 2])
def test_borders_are_torchs_pad(border, stride):
    x, w, b = tensor(2, 3, 5, 6), tensor(4, 3, 3, 2), tensor(4)
    mode = {"zeros": "constant"}.get(border, border)

    def padded(T, x, w, b):
        if T is atrous:
            return convolution(x, w, b, stride, (2, 1), 1, padding_mode=border)
        wide = T.nn.functional.pad(x, (1, 1, 2, 2), mode)
        return T.nn.functional.conv2d(wide, w, b, stride)

    check(padded, x, w, b, second=True)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_types_are_computed_in_float32_and_rounded_once(kind):
    x, w, b = (tensor(*s, dtype=kind) for s in ((1, 8, 6, 6), (4, 8, 3, 3), (4,)))
    ours = F.conv2d(*(to_atrous(each) for each in (x, w, b)))
    exact = torch.nn.functional.conv2d(x.double(), w.double(), b.double())
    assert difference(ours.detach(), exact.detach().to(kind), terms=1) is None


def to_atrous(x):
    return atrous.tensor(array(x)).to(getattr(atrous, str(x.dtype)[6:]))


@pytest.mark.parametrize("kind", [torch.int64, torch.int32, torch.uint8])
def test_integers_are_exact(kind):
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 9, (2, 4, 7), generator=generator).to(kind)
    w = torch.randint(0, 9, (3, 4, 3), generator=generator).to(kind)
    check(lambda T, x, w: T.nn.functional.conv1d(x, w, padding=1), x, w)


def test_transposed_integers_are_int64_alone():
    check(
        lambda T, x, w: T.nn.functional.conv_transpose1d(x, w),
        *(torch.arange(6).reshape(1, 2, 3), torch.arange(4).reshape(2, 1, 2)),
    )
    x = atrous.ones(1, 1, 3, dtype=atrous.int32)
    with pytest.raises(NotImplementedError) as caught:
        F.conv_transpose1d(x, x)
    assert str(caught.value) == "conv_transpose1d: not implemented for Int tensors."


def test_no_channels_give_the_bias():
    x, w = atrous.ones(2, 0, 3), atrous.ones(4, 0, 2)
    y = F.conv1d(x, w, atrous.arange(4.0))
    assert y.tolist() == [[[float(i)] * 2 for i in range(4)]] * 2


def test_the_gradient_of_an_empty_batch_is_zero():
    x = atrous.ones(0, 2, 5, requires_grad=True)
    w = atrous.ones(3, 2, 2, requires_grad=True)
    y = F.conv1d(x, w)
    y.sum().backward()
    assert y.shape == (0, 3, 4)
    assert w.grad.abs().sum() == 0 and x.grad.shape == (0, 2, 5)


def test_third_derivatives_agree():
    x, w = tensor(1, 2, 6), tensor(3, 2, 3)

    def third(T, x, w):
        value = T.nn.functional.conv1d(x, w).tanh().sum()
        (first,) = T.autograd.grad(value, w, create_graph=True)
        (second,) = T.autograd.grad(first.square().sum(), x, create_graph=True)
        return second

    check(third, x, w, second=True)


def test_nodes_print_as_torchs():
    x, w = (atrous.ones(1, 1, 4, requires_grad=True) for _ in range(2))
    y = F.conv1d(x, w)
    assert y.grad_fn.name() == "ConvolutionBackward0"
    (gradient,) = atrous.autograd.grad(y.sum(), w, create_graph=True)
    assert gradient.grad_fn.name() == "ConvolutionBackwardBackward0"
    assert F.conv1d(x[0], w).grad_fn.name() == "SqueezeBackward1"


def test_public_convolution_takes_torchs_arguments():
    x, w = tensor(2, 4, 6), tensor(2, 2, 3)
    arguments = ([2], [1], [1], False, [0], 2)
    check(lambda T, x, w: T.convolution(x, w, None, *arguments), x, w)
    arguments = ([2], [1], [1], True, [1], 2)
    check(lambda T, x, w: T.convolution(x, w, None, *arguments), tensor(2, 2, 4), w)


def ones(*shape, dtype=atrous.float32):
    return atrous.ones(*shape, dtype=dtype)


IMAGE, WEIGHT = (1, 1, 5, 5), (6, 1, 3, 3)
# (input, weight, options) -> exception, text
REFUSALS = {
    "channels": (
        *((1, 2, 5, 5), WEIGHT, {}, RuntimeError),
        "conv2d: input has 2 channels, weight takes 1 (in / groups, groups=1).\n"
        "  input  (1, 2, 5, 5)  batch, in, height, width\n"
        "  weight (6, 1, 3, 3)  out, in / groups, kh, kw",
    ),
    "channels of a group": (
        *((1, 3, 5, 5), (6, 2, 3, 3), {"groups": 2}, RuntimeError),
        "conv2d: input has 3 channels, weight takes 4 (2 in each of 2 groups).\n"
        "  input  (1, 3, 5, 5)  batch, in, height, width\n"
        "  weight (6, 2, 3, 3)  out, in / groups, kh, kw",
    ),
    "rank of the input": (
        *((5, 5), WEIGHT, {}, RuntimeError),
        "conv2d: expected 3D (unbatched) or 4D (batched) input, got 2D.\n"
        "  input  (5, 5)        expected (batch,) in, height, width\n"
        "  weight (6, 1, 3, 3)  out, in / groups, kh, kw",
    ),
    "rank of the weight": (
        *(IMAGE, (6, 1, 3), {}, RuntimeError),
        "conv2d: weight needs 4 dimensions, got 3.\n"
        "  weight (6, 1, 3)  expected out, in / groups, kh, kw",
    ),
    "groups do not divide": (
        *((1, 4, 5, 5), (6, 1, 3, 3), {"groups": 4}, RuntimeError),
        "conv2d: groups=4 does not divide the 6 output channels of weight.\n"
        "  input  (1, 4, 5, 5)  batch, in, height, width\n"
        "  weight (6, 1, 3, 3)  out, in / groups, kh, kw",
    ),
    "no groups": (
        *(IMAGE, WEIGHT, {"groups": 0}, RuntimeError),
        "conv2d: groups must be positive, got 0.",
    ),
    "kernel too large": (
        *((1, 1, 2, 4), WEIGHT, {}, RuntimeError),
        "conv2d: the kernel (3 × 3) is larger than the padded input (2 × 4).\n"
        "  input  (1, 1, 2, 4)  batch, in, height, width\n"
        "  weight (6, 1, 3, 3)  out, in / groups, kh, kw",
    ),
    "dilated kernel too large": (
        *(IMAGE, WEIGHT, {"dilation": 4, "padding": 1}, RuntimeError),
        "conv2d: the kernel (3 × 3) (dilated: (9 × 9)) is larger than the padded input"
        " (7 × 7).\n"
        "  input  (1, 1, 5, 5)  batch, in, height, width\n"
        "  weight (6, 1, 3, 3)  out, in / groups, kh, kw",
    ),
    "zero stride": (
        *(IMAGE, WEIGHT, {"stride": 0}, RuntimeError),
        "conv2d: stride must be positive, got (0, 0).",
    ),
    "negative stride": (
        *(IMAGE, WEIGHT, {"stride": (1, -2)}, RuntimeError),
        "conv2d: stride must be positive, got (1, -2).",
    ),
    "too many strides": (
        *(IMAGE, WEIGHT, {"stride": (1, 1, 1)}, RuntimeError),
        "conv2d: stride is one int or 2, one for each spatial axis (height, width), not"
        " (1, 1, 1).",
    ),
    "stride of a fraction": (
        *(IMAGE, WEIGHT, {"stride": 1.5}, TypeError),
        "conv2d(): argument 'stride' must be an int or a tuple of 2 ints, not 1.5",
    ),
    "zero dilation": (
        *(IMAGE, WEIGHT, {"dilation": 0}, RuntimeError),
        "conv2d: dilation must be positive, got (0, 0).",
    ),
    "negative padding": (
        *(IMAGE, WEIGHT, {"padding": -1}, RuntimeError),
        "conv2d: padding must be zero or more, got (-1, -1).",
    ),
    "unknown padding": (
        *(IMAGE, WEIGHT, {"padding": "some"}, RuntimeError),
        "conv2d: padding is an int, a tuple of ints, 'same' or 'valid', not 'some'.",
    ),
    "same with stride": (
        *(IMAGE, WEIGHT, {"padding": "same", "stride": 2}, RuntimeError),
        "conv2d: padding='same' is not supported for strided convolutions, here"
        " stride=(2, 2).",
    ),
    "an empty axis": (
        *((1, 1, 0, 5), WEIGHT, {"padding": 2}, RuntimeError),
        "conv2d: batch and channels may be empty, axes may not.\n"
        "  input  (1, 1, 0, 5)  batch, in, height, width\n"
        "  weight (6, 1, 3, 3)  out, in / groups, kh, kw",
    ),
    "an empty kernel": (
        *(IMAGE, (6, 1, 0, 3), {}, RuntimeError),
        "conv2d: kernel sizes must be positive, got (0 × 3).\n"
        "  input  (1, 1, 5, 5)  batch, in, height, width\n"
        "  weight (6, 1, 0, 3)  out, in / groups, kh, kw",
    ),
    "bias": (
        *(IMAGE, WEIGHT, {"bias": ones(5)}, RuntimeError),
        "conv2d: bias needs one number for each of the 6 output channels.\n"
        "  input  (1, 1, 5, 5)  batch, in, height, width\n"
        "  weight (6, 1, 3, 3)  out, in / groups, kh, kw\n"
        "  bias   (5,)          expected (6,)",
    ),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_refusal(what):
    x, w, options, raises, text = REFUSALS[what]
    with pytest.raises(raises) as caught:
        F.conv2d(ones(*x), ones(*w), **options)
    assert str(caught.value) == text
    torch_options = {
        name: torch.ones(5) if name == "bias" else value
        for name, value in options.items()
    }
    with pytest.raises(raises):
        torch.nn.functional.conv2d(torch.ones(x), torch.ones(w), **torch_options)


def refused(raises, call) -> str:
    with pytest.raises(raises) as caught:
        call()
    return str(caught.value)


def test_dtypes_that_differ():
    wide = ones(*IMAGE, dtype=atrous.float64)
    assert refused(RuntimeError, lambda: F.conv2d(wide, ones(*WEIGHT))) == (
        "conv2d: Input type (torch.DoubleTensor) and weight type (torch.FloatTensor)"
        " should be the same."
    )
    narrow = ones(*IMAGE)
    bias = ones(6, dtype=atrous.float64)
    assert refused(RuntimeError, lambda: F.conv2d(narrow, ones(*WEIGHT), bias)) == (
        "conv2d: Input type (torch.FloatTensor) and bias type (torch.DoubleTensor)"
        " should be the same."
    )


def test_what_is_no_tensor():
    assert refused(TypeError, lambda: F.conv2d([1], ones(*WEIGHT))) == (
        "conv2d(): argument 'input' must be Tensor, not list"
    )


def test_bool_tensors():
    x = ones(*IMAGE) > 0
    text = refused(NotImplementedError, lambda: F.conv2d(x, x))
    assert text == "conv2d: not implemented for Bool tensors."


def test_borders_that_are_refused():
    def convolve(border, padding):
        x, w = ones(*IMAGE), ones(*WEIGHT)
        return convolution(x, w, None, 1, padding, 1, padding_mode=border)

    assert refused(ValueError, lambda: convolve("mirror", 1)) == (
        "conv2d: padding_mode is one of 'zeros', 'reflect', 'replicate', 'circular',"
        " not 'mirror'."
    )
    assert refused(RuntimeError, lambda: convolve("reflect", 5)) == (
        "conv2d: reflecting needs padding smaller than the input: padding (5 × 5),"
        " input (5 × 5), padding_mode='reflect'."
    )
    assert refused(RuntimeError, lambda: convolve("circular", (6, 1))) == (
        "conv2d: padding wraps around more than once: padding (6 × 1), input (5 × 5),"
        " padding_mode='circular'."
    )


def test_transposed_convolutions_that_are_refused():
    transposed = F.conv_transpose2d
    x, w = ones(*IMAGE), ones(1, 1, 3, 3)
    assert refused(RuntimeError, lambda: transposed(x, w, output_padding=2)) == (
        "conv_transpose2d: output_padding must be smaller than stride or dilation, got"
        " output_padding=(2, 2), stride=(1, 1), dilation=(1, 1)."
    )
    assert refused(RuntimeError, lambda: transposed(x, w, output_padding=-1)) == (
        "conv_transpose2d: output_padding must be zero or more, got (-1, -1)."
    )
    two = ones(1, 2, 5, 5)
    assert refused(RuntimeError, lambda: transposed(two, w)) == (
        "conv_transpose2d: input has 2 channels, weight takes 1 (in).\n"
        "  input  (1, 2, 5, 5)  batch, in, height, width\n"
        "  weight (1, 1, 3, 3)  in, out / groups, kh, kw"
    )
    small = ones(1, 1, 1, 1)
    assert refused(RuntimeError, lambda: transposed(small, small, padding=1)) == (
        "conv_transpose2d: an input of (1 × 1) gives an output of (-1 × -1): too small."
        " Lower padding, or raise stride or kernel."
    )
    four = ones(1, 4, 5, 5)
    weight = ones(4, 1, 3, 3)
    assert refused(RuntimeError, lambda: transposed(four, weight, groups=3)) == (
        "conv_transpose2d: groups=3 does not divide the 4 input channels of weight.\n"
        "  input  (1, 4, 5, 5)  batch, in, height, width\n"
        "  weight (4, 1, 3, 3)  in, out / groups, kh, kw"
    )


def test_convolution_needs_a_kernel_axis():
    text = refused(
        RuntimeError, lambda: convolution(ones(1, 3), ones(2, 3), None, 1, 0, 1)
    )
    assert text == (
        "convolution: weight needs at least three dimensions.\n"
        "  weight (2, 3)  out, in / groups, kernel"
    )
