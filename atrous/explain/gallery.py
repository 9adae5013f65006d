"""The figures of a handbook's page on convolution, from the handbook's own numbers.

    python -m atrous explain --gallery docs/gallery

The handbook is github.com/itmorn/AI.handbook, DL/module/Convolution, whose figures are
drawn by hand; here the library draws them, and a few that the handbook has not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from ..nn.modules.conv import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose2d,
)
from ..ops import sample, seeding
from .explanation import Explanation, explain

SEED = 666  # the handbook's
INDEX = "README.md"
INTRODUCTION = """# Convolution in pictures

The figures of a handbook's page on convolution
([itmorn/AI.handbook](https://github.com/itmorn/AI.handbook), DL/module/Convolution),
drawn by the library from its own numbers (`manual_seed(666)`), and three more.
Orange is positive, blue negative; a violet frame is what the worked output cell reads.
They follow your system's light or dark colours. `make gallery` draws them anew.

For any layer of yours: `layer.explain(x)` in a notebook, its `.save("page.html")` for a
page whose cells one can point at, or in a terminal

    python -m atrous explain conv2d --kernel 3 --stride 2 --padding 1 -o page.html
"""


class Figure(NamedTuple):
    """A figure of the gallery: the layer that it shows, and what it is about."""

    name: str
    title: str
    says: str
    layer: type
    channels: tuple[int, int]
    kernel: int
    batch: int  # samples that the handbook draws, of which the first is shown
    size: tuple[int, ...]
    at: tuple[int, ...]
    options: dict[str, Any] = {}  # noqa: RUF012  (read only)
    after: tuple[
        dict[str, Any], ...
    ] = ()  # layers made before it, from the same stream


def _signal(name: str, title: str, says: str, at: tuple, **more: Any) -> Figure:
    options = {"bias": False, **more.pop("options", {})}
    channels = more.pop("channels", (2, 2))
    return Figure(
        *(name, title, says, Conv1d, channels, 3, 2, (5,), at, options), **more
    )


def _image(name: str, title: str, says: str, at: tuple, **options: Any) -> Figure:
    channels = (3, options.pop("out", 2))
    layer = options.pop("layer", Conv2d)
    options = {"bias": False, **options}
    return Figure(name, title, says, layer, channels, 3, 2, (5, 5), at, options)


def _volume(name: str, title: str, says: str, at: tuple, **options: Any) -> Figure:
    options = {"bias": False, **options}
    return Figure(name, title, says, Conv3d, (3, 1), 4, 1, (4, 5, 5), at, options)


FIGURES = (
    _signal(
        "conv1d",
        "Channels and kernel",
        "Every output channel has a kernel for every input channel; the products of all"
        " of them are one sum.",
        (0, 0),
    ),
    _signal(
        "stride1d",
        "Stride",
        "The kernel moves on by two cells: every other output is left out.",
        (0, 1),
        options={"stride": 2},
    ),
    _signal(
        "padding1d",
        "Padding",
        "Three zeros on either side: the output grows. A ring is a tap that meets a"
        " zero.",
        (0, 2),
        options={"padding": 3},
    ),
    _signal(
        "dilation1d",
        "Dilation",
        "The taps are two cells apart: a kernel of three sees five cells.",
        (0, 0),
        options={"dilation": 2},
    ),
    _signal(
        "groups1d",
        "Groups",
        "With two groups each output channel sees one input channel; the other weights"
        " do not exist.",
        (1, 0),
        options={"groups": 2},
        after=({"bias": False},),
    ),
    _signal(
        "bias1d",
        "Bias",
        "One number for each output channel, added to the sum.",
        (0, 0),
        options={"bias": True},
    ),
    _image(
        "conv2d",
        "Two axes: channels and kernel",
        "As in one axis; the window is a square.",
        (0, 0, 0),
    ),
    _image(
        "stride2d",
        "Two axes: stride",
        "A step of two along both axes; 3 × 3 outputs become 2 × 2.",
        (0, 0, 1),
        stride=2,
    ),
    _image(
        "padding2d",
        "Two axes: padding",
        "A border of one zero keeps the size of the image.",
        (0, 0, 0),
        padding=1,
    ),
    _image(
        "dilation2d",
        "Two axes: dilation",
        "Nine taps spread over 5 × 5 cells.",
        (0, 0, 0),
        dilation=2,
    ),
    _image(
        "groups2d",
        "Two axes: groups",
        "Three groups of one channel each: a depthwise convolution, the diagonal of the"
        " block matrix.",
        (1, 1, 1),
        out=3,
        groups=3,
    ),
    _volume(
        "conv3d",
        "Three axes: channels and kernel",
        "A volume is drawn as its slices; the window is a block through four of them.",
        (0, 0, 0, 0),
    ),
    _volume(
        "padding3d",
        "Three axes: padding",
        "A border of zeros on all six sides: also a slice before the first.",
        (0, 0, 0, 0),
        padding=1,
    ),
    _signal(
        "reflect1d",
        "Border: reflect",
        "The border mirrors the signal without its edge; arrows lead to what is"
        " repeated. Nothing is copied in memory.",
        (0, 0),
        options={"padding": 2, "padding_mode": "reflect"},
    ),
    _image(
        "circular2d",
        "Border: circular",
        "The image goes on at its other end.",
        (0, 0, 0),
        padding=1,
        padding_mode="circular",
    ),
    _image(
        "transposed2d",
        "Transposed",
        "A transposed convolution spreads each input cell over the output; here is what"
        " one output cell gathers.",
        (0, 2, 3),
        layer=ConvTranspose2d,
        stride=2,
        padding=1,
        output_padding=1,
    ),
)


def explanation(figure: Figure) -> Explanation:
    """The layer of a figure with its numbers; the random state stays as it was."""
    state = seeding.get_rng_state()
    try:
        seeding.manual_seed(SEED)
        inputs, outputs = figure.channels
        x = sample.randn(figure.batch, inputs, *figure.size)
        for options in figure.after:
            figure.layer(inputs, outputs, figure.kernel, **options)
        layer = figure.layer(inputs, outputs, figure.kernel, **figure.options)
    finally:
        seeding.set_rng_state(state)
    return explain(layer, x, title=figure.title)


def make(folder: str | Path) -> list[Path]:
    """Write every figure and their index into `folder`; returns the files."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files, lines = [], [INTRODUCTION]
    for figure in FIGURES:
        path = folder / f"{figure.name}.svg"
        files.append(explanation(figure).save(path, at=figure.at))
        lines.append(
            f"## {figure.name}: {figure.title.lower()}\n\n{figure.says}\n\n"
            f"![{figure.name}]({path.name})\n"
        )
    index = folder / INDEX
    index.write_text("\n".join(lines), encoding="utf-8")
    return [*files, index]
