"""`layer.explain(x)`: what a notebook shows and what is saved as a page or picture."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..autograd import no_grad
from ..ops import create
from ..tensor import Tensor
from . import document
from .example import numbers, usual_size
from .figures import figure
from .painting import png
from .scene import Scene
from .setting import Setting
from .sizes import output_size

HEIGHT = 760  # pixels of the frame in a notebook
KINDS = (".html", ".svg", ".png")


class Explanation:
    """A convolution with its numbers: shows itself in a notebook, `save` writes it.

    setting: the layer's parameters
    input (in, *size), weight, bias (out,) or None, output (out, *size'): NumPy float32
    """

    def __init__(
        self,
        setting: Setting,
        arrays: Mapping[str, Any],
        stack: Sequence[Mapping[str, Any]] | None = None,
        title: str | None = None,
    ):
        self.setting = setting
        self.arrays = dict(arrays)
        self.stack = stack
        self.title = title

    def __repr__(self) -> str:
        sizes = " -> ".join(
            str(tuple(self.arrays[name].shape)) for name in ("input", "output")
        )
        return (
            f"Explanation of {self.setting}: {sizes}; in a notebook it shows itself,"
            " .save('page.html') writes it"
        )

    def payload(self) -> dict[str, Any]:
        """What the page is told."""
        return document.payload(self.setting, self.arrays, self.stack, self.title)

    def html(self) -> str:
        """The page, one file that needs no network."""
        return document.assemble(self.payload())

    def _repr_html_(self) -> str:
        """The page in a frame of its own, so that it and the notebook cannot mix."""
        page = html.escape(self.html(), quote=True)
        return (
            f'<iframe srcdoc="{page}" title="{html.escape(str(self.setting))}"'
            f' style="width: 100%; height: {HEIGHT}px; border: 0"></iframe>'
        )

    def scene(self, at: Sequence[int] | None = None, language: str = "en") -> Scene:
        """The picture of output cell `at` (channel, *position), by default the first.

        language: "en", "zh" or "ko"

        Raises IndexError if there is no such cell, ValueError for another language.
        """
        cell = None if at is None else tuple(at)
        return figure(self.setting, self.arrays, cell, self.title, language)

    def svg(
        self,
        at: Sequence[int] | None = None,
        dark: bool | None = None,
        language: str = "en",
    ) -> str:
        """`scene` as SVG; if `dark` is None the reader's system chooses."""
        return self.scene(at, language).svg(dark)

    def png(
        self,
        at: Sequence[int] | None = None,
        dark: bool = False,
        scale: float = 2.0,
        language: str = "en",
    ) -> bytes:
        """`scene` as PNG, `scale` pixels a unit; needs matplotlib and its fonts."""
        return png(self.scene(at, language), dark, scale)

    def save(self, path: str | Path, **options: Any) -> Path:
        """Write the page (.html) or a picture of one output cell (.svg, .png).

        `options` are those of `svg` or `png`. Raises ValueError for another ending.
        """
        path = Path(path)
        if path.suffix not in KINDS:
            raise ValueError(
                f"explain: a page ends in .html, a picture in .svg or .png, not"
                f" {path.suffix or path.name!r}."
            )
        if path.suffix == ".png":
            path.write_bytes(self.png(**options))
        else:
            text = self.svg(**options) if path.suffix == ".svg" else self.html()
            path.write_text(text, encoding="utf-8")
        return path


def explain(layer: Any, x: Any = None, title: str | None = None) -> Explanation:
    """The picture of a convolution layer, with the real numbers of an input.

    x (in, *size) or (batch, in, *size), of which the first sample is shown; without x,
    small whole numbers are its input.

    Raises TypeError if `layer` is no convolution or `x` no tensor, RuntimeError if `x`
    does not fit.

    >>> from atrous import nn, ones
    >>> explain(nn.Conv1d(1, 1, 3), ones(1, 5)).arrays["output"].shape
    (1, 3)
    """
    setting = Setting.of(layer)
    if x is None:
        values = numbers((setting.in_channels, *usual_size(setting)), 3)
        x = create.tensor(values).to(layer.weight.dtype)
    x = _sample(setting, x)
    with no_grad():
        output = layer.forward(x)
    arrays = {
        "input": _plain(x),
        "weight": _plain(layer.weight),
        "bias": None if layer.bias is None else _plain(layer.bias),
        "output": _plain(output),
    }
    return Explanation(setting, arrays, title=title)


def _sample(setting: Setting, x: Any) -> Tensor:
    """The first sample of `x`, if it fits the layer."""
    if not isinstance(x, Tensor):
        raise TypeError(f"explain: x is a tensor, not {type(x).__name__}.")
    if x.dim() not in (setting.rank + 1, setting.rank + 2):
        axes = ", ".join(("in", *setting.axes))
        raise RuntimeError(
            f"explain: {setting.name} takes an input of {setting.rank + 1} axes"
            f" ({axes}) or one more for a batch, not of {x.dim()}."
        )
    if x.dim() == setting.rank + 2:
        if not x.shape[0]:
            raise RuntimeError("explain: the batch is empty: there is nothing to show.")
        x = x[0]
    if x.shape[0] != setting.in_channels:
        raise RuntimeError(
            f"explain: x has {x.shape[0]} channels, the layer takes"
            f" {setting.in_channels}."
        )
    output_size(setting, tuple(x.shape[1:]))
    return x


def _plain(tensor: Tensor) -> np.ndarray:
    """The values as NumPy float32."""
    return tensor.detach().float().numpy()
