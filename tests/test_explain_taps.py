"""`taps` and `touches` against the kernels: where they agree no picture is wrong."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import atrous
from atrous import nn
from atrous.explain import advice, output_size, taps, touches, unread
from atrous.explain.example import usual_size
from atrous.explain.setting import Setting

LAYERS = {
    (1, False): nn.Conv1d,
    (2, False): nn.Conv2d,
    (3, False): nn.Conv3d,
    (1, True): nn.ConvTranspose1d,
    (2, True): nn.ConvTranspose2d,
    (3, True): nn.ConvTranspose3d,
}
MODES = ("zeros", "reflect", "replicate", "circular")


def cells(shape):
    return itertools.product(*map(range, shape))


def assert_sums_are_outputs(layer, x):
    """Σ x·w over the taps, plus the bias, is what the layer computes."""
    size = tuple(x.shape[1:])
    expected = layer(x.unsqueeze(0))[0].detach().numpy()
    assert expected.shape == (layer.out_channels, *output_size(layer, size))
    values, weight = x.detach().numpy(), layer.weight.detach().numpy()
    sums = np.zeros_like(expected)
    for cell in cells(expected.shape):
        for tap in taps(layer, cell, size):
            if tap.source is not None:
                sums[cell] += values[(tap.channel, *tap.source)] * weight[tap.weight]
    if layer.bias is not None:
        sums += layer.bias.detach().numpy().reshape(-1, *(1,) * len(size))
    np.testing.assert_allclose(sums, expected, rtol=1e-12, atol=1e-12)


def assert_touches_are_gradients(layer, x):
    """Σ w·g over the cells that an input touches is its gradient."""
    size = tuple(x.shape[1:])
    x = x.detach().requires_grad_()
    out = layer(x.unsqueeze(0))[0]
    seed = np.random.default_rng(0).standard_normal(tuple(out.shape))
    (gradient,) = atrous.autograd.grad((out * atrous.tensor(seed)).sum(), x)
    weight = layer.weight.detach().numpy()
    sums = np.zeros(tuple(x.shape))
    for cell in cells(sums.shape):
        for touch in touches(layer, cell, size):
            sums[cell] += weight[touch.weight] * seed[(touch.channel, *touch.position)]
    np.testing.assert_allclose(sums, gradient.numpy(), rtol=1e-12, atol=1e-12)


def each_axis(draw, rank, least, most):
    return tuple(draw(st.integers(least, most)) for _ in range(rank))


@st.composite
def problems(draw, rank, transposed):
    """A layer of float64 and an input that fits it."""
    groups = draw(st.sampled_from([1, 2, 3]))
    options = {
        "kernel_size": each_axis(draw, rank, 1, 3),
        "stride": each_axis(draw, rank, 1, 3),
        "dilation": each_axis(draw, rank, 1, 2),
        "padding": each_axis(draw, rank, 0, 2),
        "groups": groups,
        "bias": draw(st.booleans()),
    }
    if transposed:
        steps = zip(options["stride"], options["dilation"], strict=True)
        options["output_padding"] = tuple(
            draw(st.integers(0, max(pair) - 1)) for pair in steps
        )
    else:
        options["padding_mode"] = draw(st.sampled_from(MODES))
        if draw(st.integers(0, 4)) == 0:
            options |= {"padding": "same", "stride": (1,) * rank}
    channels = (groups * draw(st.integers(1, 2)) for _ in range(2))
    layer = LAYERS[rank, transposed](*channels, **options).double()
    size = each_axis(draw, rank, 2, {1: 7, 2: 5, 3: 3}[rank])
    assume(advice(layer, size) is None)
    values = np.random.default_rng(1).standard_normal((layer.in_channels, *size))
    return layer, atrous.tensor(values)


@pytest.mark.parametrize("rank, transposed", LAYERS, ids=str)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_any_setting_holds_to_the_kernels(rank, transposed, data):
    layer, x = data.draw(problems(rank, transposed))
    assert_sums_are_outputs(layer, x)
    assert_touches_are_gradients(layer, x)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("padding", [(1, 2), "same", "valid"], ids=str)
@pytest.mark.parametrize("kernel, dilation", [(2, 1), (3, (1, 2))])
def test_every_border(mode, padding, kernel, dilation):
    layer = nn.Conv2d(
        2, 2, kernel, padding=padding, dilation=dilation, padding_mode=mode
    ).double()
    x = atrous.tensor(np.random.default_rng(2).standard_normal((2, 4, 6)))
    assert_sums_are_outputs(layer, x)
    assert_touches_are_gradients(layer, x)


@pytest.mark.parametrize("rank, transposed", LAYERS, ids=str)
def test_touches_are_taps_the_other_way_round(rank, transposed):
    layer = LAYERS[rank, transposed](4, 6, 2, stride=2, padding=1, groups=2)
    size = (4, 3, 3)[:rank]
    forward = {
        (tap.channel, tap.source, tap.position, cell, tap.weight)
        for cell in cells((6, *output_size(layer, size)))
        for tap in taps(layer, cell, size)
        if tap.source is not None
    }
    backward = {
        (channel, place, touch.through, (touch.channel, *touch.position), touch.weight)
        for channel, *rest in cells((4, *size))
        for place in [tuple(rest)]
        for touch in touches(layer, (channel, *place), size)
    }
    assert forward == backward


def test_a_border_cell_knows_where_it_comes_from():
    layer = nn.Conv1d(1, 1, 3, padding=2, padding_mode="reflect")
    first = taps(layer, (0, 0), (4,))
    assert [(tap.position, tap.source) for tap in first] == [
        ((-2,), (2,)),
        ((-1,), (1,)),
        ((0,), (0,)),
    ]
    zero = taps(nn.Conv1d(1, 1, 1, padding=1), (0, 0), (4,))
    assert [(tap.position, tap.source) for tap in zero] == [((-1,), None)]


def test_cells_that_no_output_reads():
    assert unread(nn.Conv2d(1, 1, 2, stride=(3, 2)), (7, 6)) == ((2, 5, 6), ())
    assert unread(nn.ConvTranspose1d(1, 1, 2, padding=2), (5,)) == ((0, 4),)


@pytest.mark.parametrize("find", [taps, touches])
def test_a_cell_that_is_not_there(find):
    kind = "output" if find is taps else "input"
    shape = (2, 3) if find is taps else (1, 5)
    with pytest.raises(IndexError) as refused:
        find(nn.Conv1d(1, 2, 3), (0, 5), (5,))
    assert str(refused.value) == (
        f"explain: there is no {kind} cell (0, 5): the {kind} is {shape}."
    )


def test_only_a_convolution_has_taps():
    with pytest.raises(TypeError) as refused:
        taps(nn.Linear(2, 2), (0, 0), (5,))
    assert str(refused.value) == (
        "explain: a Conv1d, Conv2d or Conv3d, or the transpose of one, is needed, not"
        " Linear."
    )


def test_without_a_size_it_is_the_examples():
    layer = nn.Conv2d(2, 3, 3, padding=1)
    size = usual_size(Setting.of(layer))
    assert taps(layer, (0, 5, 5)) == taps(layer, (0, 5, 5), size)
    assert touches(layer, (1, 5, 5)) == touches(layer, (1, 5, 5), size)
    with pytest.raises(IndexError):
        taps(layer, (0, 6, 0))
