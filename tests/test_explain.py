"""`layer.explain(x)`: what it carries, shows and saves, and what it refuses."""

import base64
import builtins
import html
import json
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import atrous
from atrous import nn, ones, randn
from atrous.explain import Setting, assemble
from atrous.explain.example import example, numbers, usual_size
from atrous.explain.parts import MOST, parts
from atrous.explain.sizes import fault
from atrous.explain.taps import taps

MEGABYTE = 1_000_000


def carried(array):
    """The values of an array of a payload."""
    values = np.frombuffer(base64.b64decode(array["base64"]), "<f4")
    return values.reshape(array["shape"])


def data_of(page):
    """The payload that a page carries."""
    found = re.search(r'\{"version":1,.*?"dark":null\}', page, re.S)
    return json.loads(found[0].replace("<\\/", "</"))


def test_the_payload_carries_the_real_numbers():
    layer = nn.Conv2d(3, 4, (3, 2), stride=2, padding=(1, 0), bias=False)
    x = randn(2, 3, 6, 5)
    payload = layer.explain(x).payload()
    assert payload["name"] == "Conv2d"
    assert payload["layer"] == {
        "rank": 2,
        "transposed": False,
        "in_channels": 3,
        "out_channels": 4,
        "kernel_size": (3, 2),
        "stride": (2, 2),
        "padding": (1, 0),
        "output_padding": (0, 0),
        "dilation": (1, 1),
        "groups": 1,
        "bias": False,
        "padding_mode": "zeros",
    }
    arrays = payload["arrays"]
    assert arrays["bias"] is None
    for name, expected in (
        ("input", x[0]),
        ("weight", layer.weight.detach()),
        ("output", layer(x)[0].detach()),
    ):
        np.testing.assert_array_equal(carried(arrays[name]), expected.numpy())
        assert arrays[name]["whole"] == list(expected.shape)
        assert not any(arrays[name]["first"])


def test_explaining_leaves_no_trace():
    layer = nn.Conv1d(1, 1, 3)
    called = []
    layer.register_forward_hook(lambda *_: called.append(1))
    state = atrous.get_rng_state()
    layer.explain(randn(1, 5).requires_grad_())
    assert not called and layer.weight.grad is None
    layer.explain()
    assert not atrous.equal(atrous.get_rng_state(), state)  # randn alone moved it


def test_without_an_input_there_are_small_whole_numbers():
    explanation = nn.Conv3d(2, 2, 3, stride=2, padding=1).explain()
    x = explanation.arrays["input"]
    assert x.shape == (2, 4, 4, 4)
    np.testing.assert_array_equal(x, numbers((2, 4, 4, 4), 3))
    assert set(np.unique(x)) == set(range(-3, 4))


def test_half_precision_is_shown_too():
    layer = nn.Conv1d(1, 1, 3).to(atrous.bfloat16)
    assert layer.explain().arrays["weight"].dtype == np.float32


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv1d(1, 1, 9, dilation=2),
        nn.Conv2d(1, 1, 3, padding=7, padding_mode="circular"),
        nn.Conv2d(1, 1, 1, padding=6, padding_mode="reflect"),
        nn.ConvTranspose3d(1, 1, 2, padding=3),
        nn.Conv3d(1, 1, 3, stride=4),
    ],
    ids=str,
)
def test_the_usual_size_fits_the_layer(layer):
    setting = Setting.of(layer)
    size = usual_size(setting)
    assert fault(setting, size) is None
    assert example(setting, size)["input"].shape == (1, *size)


LARGE = [
    (nn.Conv2d(1024, 868, 3, padding=1), (64, 64)),  # 8.0 M weights
    (nn.ConvTranspose2d(1024, 512, 4, stride=2), (16, 16)),
    (nn.Conv3d(1, 2, 3, padding=1), (64, 64, 64)),
    (nn.Conv2d(4096, 4096, 1, groups=4096), (32, 32)),
    (nn.Conv1d(200_000, 1, 1), (4,)),
]


@pytest.mark.parametrize("layer, size", LARGE, ids=lambda value: str(value)[:36])
def test_of_a_large_layer_a_part_is_carried(layer, size):
    setting = Setting.of(layer)
    shown = parts(setting, size)
    shapes = {"input": (setting.in_channels, *size), "weight": setting.weight_shape}
    for name, whole in shapes.items():
        assert np.prod(shown[name]) <= MOST
        assert all(a <= b for a, b in zip(shown[name], whole, strict=True))
    assert np.prod(shown["output"]) <= MOST
    if layer.in_channels * np.prod(layer.kernel_size) > MOST:
        return
    last = tuple(count - 1 for count in shown["output"])
    for tap in taps(setting, last, size):
        if tap.source is not None:
            place = (tap.channel, *tap.source)
            inside = zip(place, shown["input"], strict=True)
            assert all(cell < count for cell, count in inside)
        assert all(a < b for a, b in zip(tap.weight, shown["weight"], strict=True))


def test_a_page_of_eight_million_weights_stays_small():
    layer = nn.Conv2d(1024, 868, 3, padding=1)
    page = layer.explain(ones(1, 1024, 8, 8)).html()
    assert len(page.encode()) < 3 * MEGABYTE
    arrays = data_of(page)["arrays"]
    assert arrays["weight"]["whole"] == [868, 1024, 3, 3]
    assert arrays["weight"]["shape"] == [14, 1024, 3, 3]


def test_a_page_needs_nothing_else():
    page = nn.Conv1d(1, 1, 3).explain().html()
    for marker in ("/*STYLE*/", "/*SCRIPT*/", "/*LABELS*/", "/*DATA*/"):
        assert marker not in page
    loads = re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=\"?([^\"> ]*)", page)
    assert all(address.startswith("data:") for address in loads)
    assert not re.search(r"@import|url\((?!['\"]?(?:data:|#))", page)


def test_a_title_cannot_end_the_script():
    explanation = nn.Conv1d(1, 1, 3).explain(title="</script><!-- <b>")
    page = assemble(explanation.payload())
    assert "</script><!--" not in page
    assert '"<\\/script>\\u003c!-- <b>"' in page


def test_a_notebook_shows_the_page_in_a_frame():
    explanation = nn.Conv1d(1, 1, 3).explain()
    shown = explanation._repr_html_()
    source = re.fullmatch(
        r'<iframe srcdoc="([^"]*)" title="([^"]*)"[^>]*></iframe>', shown
    )
    assert html.unescape(source[1]) == explanation.html()
    assert source[2] == "Conv1d(1, 1, kernel_size=3)"
    assert repr(explanation) == (
        "Explanation of Conv1d(1, 1, kernel_size=3): (1, 8) -> (1, 6); in a notebook it"
        " shows itself, .save('page.html') writes it"
    )


def test_saving(tmp_path):
    explanation = nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect").explain()
    page = explanation.save(tmp_path / "page.html")
    assert page.read_text(encoding="utf-8") == explanation.html()
    picture = explanation.save(str(tmp_path / "one.svg"), at=(1, 0, 2))
    assert ElementTree.fromstring(picture.read_text(encoding="utf-8")).tag.endswith(
        "svg"
    )
    pytest.importorskip("matplotlib")
    painted = explanation.save(tmp_path / "one.png", at=(1, 0, 2), dark=True)
    assert painted.read_bytes().startswith(b"\x89PNG\r\n")


REFUSED = [
    (
        lambda: nn.Conv2d(3, 1, 3).explain([[1.0]]),
        TypeError,
        "explain: x is a tensor, not list.",
    ),
    (
        lambda: nn.Conv2d(3, 1, 3).explain(ones(5)),
        RuntimeError,
        "explain: Conv2d takes an input of 3 axes (in, height, width) or one more for a"
        " batch, not of 1.",
    ),
    (
        lambda: nn.Conv2d(3, 1, 3).explain(ones(0, 3, 5, 5)),
        RuntimeError,
        "explain: the batch is empty: there is nothing to show.",
    ),
    (
        lambda: nn.Conv2d(3, 1, 3).explain(ones(2, 5, 5)),
        RuntimeError,
        "explain: x has 2 channels, the layer takes 3.",
    ),
    (
        lambda: nn.Conv2d(3, 1, 7).explain(ones(3, 5, 9)),
        RuntimeError,
        "Conv2d: a kernel of 7 does not fit the 5 cells of the height. Smallest change:"
        " padding=(1, 0).",
    ),
    (
        lambda: nn.Conv1d(1, 1, 3).explain().save("page.pdf"),
        ValueError,
        "explain: a page ends in .html, a picture in .svg or .png, not '.pdf'.",
    ),
    (
        lambda: nn.Conv1d(1, 1, 3).explain().svg(at=(0, 9)),
        IndexError,
        "explain: there is no output cell (0, 9): the output is (1, 6).",
    ),
    (
        lambda: atrous.explain.explain(nn.Linear(1, 1), ones(1)),
        TypeError,
        "explain: a Conv1d, Conv2d or Conv3d, or the transpose of one, is needed, not"
        " Linear.",
    ),
]


@pytest.mark.parametrize(
    "call, error, text", REFUSED, ids=lambda value: str(value)[:30]
)
def test_refusals(call, error, text):
    with pytest.raises(error) as refused:
        call()
    assert str(refused.value) == text


def test_png_says_what_it_needs(monkeypatch):
    imported = builtins.__import__

    def without(name, *rest):
        if name.startswith("matplotlib"):
            raise ModuleNotFoundError(name)
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModuleNotFoundError) as refused:
        nn.Conv1d(1, 1, 3).explain().png()
    assert str(refused.value) == (
        "explain: a PNG is painted by matplotlib, which is not installed: pip install"
        " 'atrous[demo]'. An SVG needs nothing."
    )


def test_the_names_are_there_when_they_are_asked_for():
    assert atrous.explain.taps is taps
    assert atrous.summary is atrous.explain.summary
    with pytest.raises(
        AttributeError, match="module 'atrous' has no attribute 'sumary'"
    ):
        atrous.sumary  # noqa: B018
