"""Output sizes, the formula with its numbers, and the smallest change that helps."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atrous import nn, ones
from atrous.explain import Setting, advice, formula, output_size
from atrous.explain.sizes import fault, repaired

FORMULAS = [
    (nn.Conv1d(1, 1, 3, 2, dilation=2), (5,), "⌊(5 + 2·0 − 2·(3 − 1) − 1)/2⌋ + 1 = 1"),
    (
        nn.Conv1d(1, 1, 2, padding="same"),
        (5,),
        "⌊(5 + (0 + 1) − 1·(2 − 1) − 1)/1⌋ + 1 = 5",
    ),
    (
        nn.ConvTranspose1d(1, 1, 3, 2, 1, 1),
        (5,),
        "(5 − 1)·2 − 2·1 + 1·(3 − 1) + 1 + 1 = 10",
    ),
    (nn.Conv1d(1, 1, 7), (5,), "⌊(5 + 2·0 − 1·(7 − 1) − 1)/1⌋ + 1 = −1"),
]


@pytest.mark.parametrize(
    "layer, size, text", FORMULAS, ids=lambda value: str(value)[:24]
)
def test_the_formula_with_its_numbers(layer, size, text):
    assert formula(layer, size) == (text,)


def test_the_formula_of_each_axis():
    first, second = formula(nn.Conv2d(1, 1, (3, 1), padding=(1, 0)), (4, 5))
    assert first == "⌊(4 + 2·1 − 1·(3 − 1) − 1)/1⌋ + 1 = 4"
    assert second == "⌊(5 + 2·0 − 1·(1 − 1) − 1)/1⌋ + 1 = 5"


def setting(**changes):
    """A setting that no layer could have."""
    usual = {
        "transposed": False,
        "in_channels": 2,
        "out_channels": 2,
        "kernel_size": (3,),
        "stride": (1,),
        "padding": (0,),
        "output_padding": (0,),
        "dilation": (1,),
        "groups": 1,
        "bias": True,
        "padding_mode": "zeros",
    }
    return Setting(**{**usual, **changes})


ADVICE = [
    (
        setting(kernel_size=(7,)),
        (5,),
        "a kernel of 7 does not fit the 5 cells of the width. Smallest change:"
        " padding=1.",
    ),
    (
        setting(dilation=(3,), padding=(1,)),
        (4,),
        "a kernel of 3 spread over 7 does not fit the 6 cells of the width (with its"
        " border). Smallest change: kernel_size=2.",
    ),
    (
        setting(
            kernel_size=(2, 9),
            stride=(1, 1),
            padding="valid",
            dilation=(1, 1),
            output_padding=(0, 0),
        ),
        (5, 6),
        "a kernel of 9 does not fit the 6 cells of the width. Smallest change:"
        " kernel_size=(2, 6).",
    ),
    (
        setting(padding=(4,), padding_mode="reflect"),
        (3,),
        "reflect has too few cells: padding 4 on a width of 3. Smallest change:"
        " padding=2.",
    ),
    (
        setting(in_channels=6, out_channels=4, groups=4),
        (5,),
        "groups=4 does not divide both the 6 input and the 4 output channels. Smallest"
        " change: groups=2.",
    ),
    (
        setting(padding="same", stride=(2,)),
        (5,),
        "padding='same' needs stride 1, not (2,). Smallest change: stride=1.",
    ),
    (
        setting(transposed=True, output_padding=(2,), stride=(2,)),
        (5,),
        "output_padding=2 along the width must be smaller than stride or dilation."
        " Smallest change: output_padding=1.",
    ),
    (
        setting(transposed=True, padding=(2,), kernel_size=(2,)),
        (3,),
        "padding 2 leaves nothing of the width's output. Smallest change:"
        " kernel_size=3.",
    ),
    (
        setting(transposed=True, padding_mode="circular"),
        (5,),
        "a transposed convolution has no padding_mode='circular'. Smallest change:"
        " padding_mode='zeros'.",
    ),
    (
        setting(transposed=True, padding="same"),
        (5,),
        "a transposed convolution has no padding='same'. Smallest change: padding=0.",
    ),
    (
        setting(stride=(0,)),
        (5,),
        "stride must be at least 1 along the width. Smallest change: stride=1.",
    ),
    (
        setting(in_channels=0),
        (5,),
        "in_channels must be at least 1, not 0. Smallest change: in_channels=1.",
    ),
    (
        setting(),
        (0,),
        "size must be at least 1 along the width. Smallest change: padding=1, an input"
        " of 1.",
    ),
    (setting(), (5, 5), "the input needs 1 spatial axis (width), not 2."),
    (setting(), (5,), None),
]


@pytest.mark.parametrize(
    "setting, size, text", ADVICE, ids=lambda value: str(value)[:40]
)
def test_advice(setting, size, text):
    assert advice(setting, size) == text


def test_no_size_is_refused_with_the_advice():
    with pytest.raises(RuntimeError) as refused:
        output_size(nn.Conv1d(1, 1, 7), (5,))
    assert str(refused.value) == (
        "Conv1d: a kernel of 7 does not fit the 5 cells of the width. Smallest change:"
        " padding=1."
    )


LAYERS = {1: (nn.Conv1d, nn.ConvTranspose1d), 2: (nn.Conv2d, nn.ConvTranspose2d)}


@st.composite
def settings_of_any_kind(draw):
    rank = draw(st.integers(1, 2))
    several = lambda least, most: tuple(
        draw(st.lists(st.integers(least, most), min_size=rank, max_size=rank))
    )
    found = setting(
        transposed=draw(st.booleans()),
        in_channels=draw(st.integers(0, 6)),
        out_channels=draw(st.integers(0, 6)),
        kernel_size=several(0, 9),
        stride=several(0, 3),
        padding=draw(st.sampled_from(["same", "valid", several(-1, 5)])),
        output_padding=several(-1, 3),
        dilation=several(0, 3),
        groups=draw(st.integers(0, 7)),
        padding_mode=draw(
            st.sampled_from(["zeros", "reflect", "replicate", "circular"])
        ),
    )
    return found, several(0, 6)


@settings(max_examples=50, deadline=None)
@given(settings_of_any_kind())
def test_what_is_advised_works(problem):
    """The library accepts every repaired setting, and refuses what is at fault."""
    given_setting, size = problem
    better, fitting = repaired(given_setting, size)
    assert fault(better, fitting) is None
    if fault(given_setting, size) is None:
        assert (better, fitting) == problem
    options = {
        name: getattr(better, name)
        for name in ("stride", "padding", "dilation", "groups", "padding_mode")
    }
    if better.transposed:
        options["output_padding"] = better.output_padding
    layer = LAYERS[better.rank][better.transposed](
        better.in_channels, better.out_channels, better.kernel_size, **options
    )
    out = layer(ones(1, better.in_channels, *fitting))
    assert tuple(out.shape[2:]) == output_size(better, fitting)
