"""`_single`, `_pair`, `_triple`: model code imports them from here, as from torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from atrous.nn.modules.sizes import spread


def _ntuple(n: int, name: str = "parse") -> Callable[[Any], tuple]:
    """A function that spreads one number over `n` axes; an iterable becomes a tuple."""

    def parse(x: Any) -> tuple:
        return tuple(x) if hasattr(x, "__iter__") else spread(x, n)

    parse.__name__ = name
    return parse


_single = _ntuple(1, "_single")
_pair = _ntuple(2, "_pair")
_triple = _ntuple(3, "_triple")
_quadruple = _ntuple(4, "_quadruple")
