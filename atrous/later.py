"""What is loaded when it is first asked for: the pictures, which few programs draw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .nn.modules.conv import _ConvNd
from .tensor import Tensor

if TYPE_CHECKING:
    from .explain import Explanation


def install() -> None:
    """Give every convolution layer `explain`; they lie below the pictures."""
    _ConvNd.explain = explain


def explain(
    self: _ConvNd, x: Tensor | None = None, title: str | None = None
) -> Explanation:
    """The picture of this layer at work on `x`: which cells meet which weights.

    x (in, *sizes) or (batch, in, *sizes), of which the first sample is shown; without
    x, small whole numbers. A notebook shows the result, and its `save` writes
    "page.html", "figure.svg" or "figure.png".

    Raises TypeError if `x` is no tensor, RuntimeError if it does not fit.
    """
    from .explain import explain

    return explain(self, x, title)


def find(name: str) -> Any:
    """`atrous.explain`, the package, or `atrous.summary`.

    Raises AttributeError for another name.
    """
    if name not in ("explain", "summary"):
        raise AttributeError(f"module 'atrous' has no attribute {name!r}")
    from importlib import import_module

    package = import_module("atrous.explain")
    return package if name == "explain" else package.summary
