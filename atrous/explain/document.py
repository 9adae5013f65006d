"""The payload of a page, and the page itself: one HTML file that needs no network."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from .parts import parts
from .setting import Setting
from .sizes import advice

__all__ = ["advice", "assemble", "payload"]

PAGE = Path(__file__).with_name("page")
LANGUAGES = ("en", "zh", "ko")


def payload(
    setting: Setting,
    arrays: Mapping[str, Any],
    stack: Sequence[Mapping[str, Any]] | None = None,
    title: str | None = None,
) -> dict[str, Any]:
    """What a page is told, ready for JSON.

    arrays: input (in, *size), weight, bias (out,) or None, output (out, *size')

    Of a large array a part is carried (see `parts`); an array says its own `shape`, the
    `first` cell that it begins with, and the shape of the `whole`.
    """
    carried = parts(setting, arrays["input"].shape[1:])
    layer = {"rank": setting.rank, **asdict(setting)}
    return {
        "version": 1,
        "name": setting.name,
        "title": title or str(setting),
        "layer": layer,
        "arrays": {
            name: None if values is None else _carried(values, carried[name])
            for name, values in arrays.items()
        },
        "stack": list(stack) if stack is not None else None,
        "dark": None,
    }


def assemble(data: Mapping[str, Any]) -> str:
    """The page that shows a payload, as one HTML text."""
    order = (PAGE / "order.txt").read_text(encoding="utf-8").split()
    script = "\n".join(_file(name) for name in order)
    labels = {
        language: json.loads(_file(f"labels.{language}.json")) for language in LANGUAGES
    }
    fillings = {
        "/*STYLE*/": _file("style.css"),
        "/*SCRIPT*/": script,
        "/*LABELS*/": _json(labels),
        "/*DATA*/": _json(data),
    }
    page = _file("page.html")
    for marker, text in fillings.items():
        before, found, after = page.partition(marker)
        if not found:
            raise AssertionError(f"page.html has no {marker}")
        page = before + text + after
    return page


def _file(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")


def _json(value: Any) -> str:
    """JSON that may stand inside a script element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("</", "<\\/").replace("<!--", "\\u003c!--")


def _carried(values: np.ndarray, part: tuple[int, ...]) -> dict[str, Any]:
    """The first `part` of an array along each axis, as little-endian float32."""
    shown = values[tuple(slice(count) for count in part)]
    plain = np.ascontiguousarray(shown, dtype="<f4")
    return {
        "shape": list(part),
        "base64": base64.b64encode(plain.tobytes()).decode("ascii"),
        "first": [0] * len(part),
        "whole": list(values.shape),
    }
