"""Static pictures: numbers as the library has them, the handbook's gallery as it is."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import atrous
from atrous import nn, randn
from atrous.explain import gallery
from atrous.explain.figures import figure
from atrous.explain.scene import DARK, LIGHT, Line, Rect, Words
from atrous.explain.setting import Setting
from atrous.explain.words import LANGUAGES, PHRASES
from atrous.explain.working import Working, written

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "gallery"
HANDBOOK = ROOT / "tests" / "handbook"
NUMBER = re.compile(r"\d+(?:\.\d+)?")

# Where the handbook prints a figure's output: the file, and which tensor of it.
PRINTED = {
    "conv1d": ("01_conv1d_kernel.out", -1),
    "stride1d": ("03_conv1d_stride.out", -1),
    "padding1d": ("04_conv1d_padding.out", -1),
    "dilation1d": ("05_conv1d_dilation.out", -1),
    "groups1d": ("07_conv1d_groups.out", -1),
    "bias1d": ("09_conv1d_bias.out", -1),
    "conv2d": ("11_conv2d.out", -1),
    "conv3d": ("13_conv3d.out", -1),
    "padding3d": ("14_conv3d_padding.out", -1),
}


def words(svg):
    """The texts of a picture."""
    return [text.text for text in ElementTree.fromstring(svg).iter() if text.text]


def figure_of(name):
    return next(figure for figure in gallery.FIGURES if figure.name == name)


@pytest.mark.parametrize("name", [figure.name for figure in gallery.FIGURES])
def test_the_gallery_is_as_the_code_draws_it(name):
    """All but the last digit, which another processor may round otherwise."""
    entry = figure_of(name)
    drawn = gallery.explanation(entry).svg(at=entry.at)
    kept = (FOLDER / f"{name}.svg").read_text(encoding="utf-8")
    assert NUMBER.split(kept) == NUMBER.split(drawn)
    pairs = zip(NUMBER.findall(kept), NUMBER.findall(drawn), strict=True)
    assert all(abs(float(a) - float(b)) < 0.011 for a, b in pairs)


def test_the_gallery_has_every_figure_of_the_handbook_and_an_index(tmp_path):
    named = (
        "conv1d stride1d padding1d dilation1d groups1d bias1d conv2d stride2d padding2d"
        " dilation2d groups2d conv3d padding3d"
    )
    files = [path.name for path in gallery.make(tmp_path)]
    assert {f"{name}.svg" for name in named.split()} < set(files)
    index = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert index == (FOLDER / "README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"\]\((\w+\.svg)\)", index)) == sorted(files[:-1])


@pytest.mark.parametrize("name", PRINTED)
def test_the_numbers_are_those_that_the_handbook_prints(name):
    file, place = PRINTED[name]
    printed = (HANDBOOK / file).read_text().split("tensor(")[place]
    numbers = re.findall(r"-?\d+\.\d{4}", printed)
    entry = figure_of(name)
    drawn = words((FOLDER / f"{name}.svg").read_text(encoding="utf-8"))
    shown = gallery.explanation(entry).arrays["output"]
    first = [number.replace("-", "−") for number in numbers[: shown.size]]
    assert [written(float(value), False) for value in shown.reshape(-1)] == first
    assert set(first) <= set(drawn)


def test_drawing_the_gallery_leaves_the_random_stream_alone():
    state = atrous.get_rng_state()
    gallery.explanation(gallery.FIGURES[0])
    assert atrous.equal(atrous.get_rng_state(), state)


LAYERS = [
    (nn.Conv1d(2, 2, 3, padding=2, padding_mode="reflect"), (6,), (1, 0)),
    (nn.Conv1d(20, 20, 3, dilation=4), (40,), (13, 30)),
    (nn.ConvTranspose1d(2, 2, 4, stride=3, padding=1), (5,), (0, 7)),
    (nn.Conv2d(4, 4, 2, stride=(2, 3), padding=1, groups=2), (6, 6), (3, 3, 2)),
    (nn.Conv2d(8, 1, 5, padding="same"), (30, 30), (0, 29, 0)),
    (nn.ConvTranspose2d(2, 6, 3, stride=2, groups=2), (4, 4), (4, 8, 8)),
    (nn.Conv3d(8, 8, 3, padding=1, stride=2), (9, 9, 9), (3, 2, 2, 4)),
    (nn.ConvTranspose3d(1, 2, 2, stride=2), (3, 3, 3), (1, 5, 0, 3)),
]


@pytest.mark.parametrize("layer, size, at", LAYERS, ids=lambda value: str(value)[:40])
def test_the_sum_in_words_is_the_output(layer, size, at):
    """The terms of the sum line, and the products behind them, make the value."""
    explanation = layer.explain(randn(layer.in_channels, *size))
    working = Working(explanation.setting, explanation.arrays, at)
    sees = explanation.setting.sees(at[0])
    total = sum(map(working.total, sees)) + (working.bias or 0)
    assert abs(total - working.value) < 1e-4
    line = next(
        text for text in words(explanation.svg(at)) if text.startswith("output[")
    )
    left, *middle, right = line.split(" = ")
    assert left == f"output[{', '.join(map(str, at))}]"
    terms = (
        re.sub(r"\([^)]*\)", "", middle[0] if middle else right)
        .replace("− ", "+ −")
        .split("+")
    )
    values = [float(term.strip().replace("−", "-")) for term in terms if term.strip()]
    value = float(right.replace("−", "-"))
    assert abs(sum(values) - value) < 1e-4 * (len(values) + 1)


@pytest.mark.parametrize("layer, size, at", LAYERS, ids=lambda value: str(value)[:40])
def test_nothing_overlaps_or_leaves_the_picture(layer, size, at):
    explanation = layer.explain(randn(layer.in_channels, *size))
    scene = explanation.scene(at)
    width, height = scene.size
    cells = set()
    for shape in scene.shapes:
        if isinstance(shape, Rect):
            assert shape.x >= 0 and shape.x + shape.width <= width
            assert shape.y >= 0 and shape.y + shape.height <= height
            if shape.fill:
                assert (shape.x, shape.y) not in cells
                cells.add((shape.x, shape.y))
        elif isinstance(shape, Words):
            assert 0 <= shape.x <= width and 0 < shape.y <= height
        elif isinstance(shape, Line):
            assert min(shape.y, shape.to_y) > 0


def test_a_picture_of_either_palette_or_both():
    explanation = nn.Conv1d(1, 1, 3).explain()
    both, dark, light = (explanation.svg(dark=dark) for dark in (None, True, False))
    assert "prefers-color-scheme:dark" in both
    assert "prefers-color-scheme" not in dark + light
    for text, palette in ((dark, DARK), (light, LIGHT)):
        assert all(colour in text for colour in palette.values())


def test_a_picture_says_what_is_left_out_and_what_its_signs_mean():
    layer = nn.Conv2d(8, 8, 3, stride=4, padding=1, padding_mode="circular")
    notes = words(layer.explain(randn(8, 32, 32)).svg())[-3:]
    assert notes == [
        "Dashed cells are the border: copies, padding_mode='circular'.",
        "Struck through: no output reads these cells.",
        "A part is drawn: 4 of 8 input channels, input height 0 to 8 of 32, input"
        " width 0 to 8 of 32, 1 of 8 output channels.",
    ]


def test_whole_numbers_stay_whole():
    setting = Setting.of(nn.Conv1d(1, 1, 2, bias=False))
    x, w = atrous.tensor([[1.0, -2, 3]]).numpy(), atrous.tensor([[[2.0, 1]]]).numpy()
    y = atrous.tensor([[0.0, -1]]).numpy()
    arrays = {"input": x, "weight": w, "bias": None, "output": y}
    texts = words(figure(setting, arrays, (0, 1)).svg())
    assert "output[0, 1] = −1" in texts
    assert not any("." in text for text in texts if NUMBER.fullmatch(text.lstrip("−")))


def test_numbers_that_are_none_and_sums_of_nothing():
    x = atrous.tensor([[float("nan"), float("inf"), -1e6, 0.5]])
    svg = nn.Conv1d(1, 1, 1).explain(x).svg((0, 3))
    assert {"nan", "inf", "−1.00e+06", "0.5000"} <= set(words(svg))
    assert not re.search(r'="[^"]*(?:nan|inf)', svg)
    layer = nn.ConvTranspose1d(1, 1, 1, stride=3, bias=False)
    assert "output[0, 1] = 0.0000" in words(
        layer.explain(atrous.ones(1, 2)).svg((0, 1))
    )


def test_a_picture_speaks_each_language():
    for phrases in PHRASES.values():
        assert len(set(phrases)) == len(LANGUAGES)
        names = [sorted(re.findall(r"\{(\w+)", phrase)) for phrase in phrases]
        assert names == names[:1] * len(LANGUAGES)
    layer = nn.Conv3d(8, 8, 3, padding=1, padding_mode="circular")
    explanation = layer.explain(randn(8, 9, 9, 9))
    english = words(explanation.svg())
    chinese = words(explanation.svg(language="zh"))
    assert len(chinese) == len(english)
    assert {"输入", "深度 −1", "通道 0", "到输出通道 0 的权重"} < set(chinese)
    assert chinese[-2] == "虚线单元是边界：副本，padding_mode='circular'。"
    assert "출력" in words(explanation.svg(language="ko"))
    with pytest.raises(ValueError) as refused:
        explanation.svg(language="fr")
    assert str(refused.value) == "explain: pictures speak en, zh, ko, not 'fr'."
