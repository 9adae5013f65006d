"""Static pictures of a convolution: one output cell, worked by hand.

Of one axis as strips, with a comb of taps for each output; of two as grids; of three as
rows of slices. The sum stands below, term by term.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .board import HEADING, LABEL, LEFT, Board
from .grids import grids
from .scene import Scene, Words
from .setting import Setting
from .sizes import formula
from .slices import slices
from .strips import strips
from .taps import unread
from .words import Say, speaker
from .working import Working, is_whole, written

TITLE = 18.0
WHOLE = {1: (40, 30, 14), 2: (36, 28, 13), 3: (29, 23, 11.5)}  # width, height, font
DECIMALS = {1: (60, 30, 12.5), 2: (57, 27, 12), 3: (49, 22, 10.5)}
DRAWN = {1: strips, 2: grids, 3: slices}


def figure(
    setting: Setting,
    arrays: Mapping[str, Any],
    at: tuple[int, ...] | None = None,
    title: str | None = None,
    language: str = "en",
) -> Scene:
    """The picture of one output cell.

    arrays: input (in, *size), weight, bias (out,) or None, output (out, *size')
    at: (channel, *position) of the output cell; the first one if None
    language: "en", "zh" or "ko"

    Raises IndexError if there is no such cell, ValueError for another language.
    """
    say = speaker(language)
    cell = tuple(at) if at is not None else (0,) * (setting.rank + 1)
    working = Working(setting, arrays, cell)
    whole = all(is_whole(values) for values in arrays.values() if values is not None)
    terms = _terms(working, say)
    scene = Scene(title or str(setting), f"{setting}. {terms}")
    board = Board(scene, *(WHOLE if whole else DECIMALS)[setting.rank], say)
    top = _header(board, working, title)
    y = DRAWN[setting.rank](board, working, top) + 26
    scene.add(Words(24, y, say("sum"), "quiet", 12))
    scene.add(Words(LEFT, y, terms, size=HEADING + 1, bold=True))
    for note in _notes(working, say):
        y += 22
        scene.add(Words(LEFT, y, note, "quiet", LABEL))
    return scene


def _header(board: Board, working: Working, title: str | None) -> float:
    """Title, the line that makes the layer, the size formula; the y below them."""
    scene, setting = board.scene, working.setting
    y = 44.0
    scene.add(Words(24, y, title or str(setting), size=TITLE, bold=True))
    if title:
        y += 24
        scene.add(Words(24, y, str(setting), size=HEADING))
    axes_of: dict[str, list[str]] = {}
    for axis, line in zip(setting.axes, formula(setting, working.size), strict=True):
        axes_of.setdefault(line, []).append(axis)
    for line, axes in axes_of.items():
        y += 21
        scene.add(
            Words(24, y, f"{', '.join(map(board.say, axes))}: {line}", "quiet", HEADING)
        )
    return y + 44


def _terms(working: Working, say: Say) -> str:
    """The sum that makes the output cell, with a term for each input channel."""
    whole = working.whole
    sees = working.setting.sees(working.output)
    shown = [channel for channel in working.inputs if channel in sees]
    terms = [written(working.total(channel), whole) for channel in shown]
    rest = [channel for channel in sees if channel not in shown]
    if rest:
        total = sum(map(working.total, rest))
        terms.append(f"{written(total, whole)} ({say('more', n=len(rest))})")
    if working.bias is not None:
        terms.append(
            f"{written(working.bias, working.bias.is_integer())} ({say('bias')})"
        )
    place = ", ".join(map(str, working.cell))
    value = written(working.value, is_whole(working.arrays["output"]))
    if terms == [value]:
        return f"output[{place}] = {value}"
    left = " + ".join(terms).replace("+ −", "− ")
    return f"output[{place}] = {left} = {value}"


def _notes(working: Working, say: Say) -> list[str]:
    """What the signs in the picture mean, and what is left out."""
    setting, notes = working.setting, []
    if any(map(any, setting.border)) and not setting.transposed:
        mode = setting.padding_mode
        notes.append(say("zeros" if mode == "zeros" else "copies", mode=mode))
    if any(unread(setting, working.size)):
        notes.append(say("unread"))
    if setting.groups > 1 and setting.rank < 3:
        notes.append(say("groups"))
    if setting.transposed and set(setting.stride) != {1} and setting.rank < 3:
        notes.append(say("past"))
    parts = _parts(working, say)
    if parts:
        notes.append(say("part", parts=", ".join(parts)))
    return notes


def _parts(working: Working, say: Say) -> list[str]:
    """Of what is not drawn whole, how much is."""
    setting, parts = working.setting, []
    for name, channels, ranges in (
        ("input", working.inputs, working.ranges),
        ("output", working.outputs, working.results),
    ):
        shape = working.arrays[name].shape
        if len(channels) < shape[0]:
            counts = {"shown": len(channels), "all": shape[0]}
            parts.append(say("part_channels", name=say(name), **counts))
        axes = zip(setting.axes, shape[1:], ranges[3 - setting.rank :], strict=True)
        for axis, cells, drawn in axes:
            inside = [cell for cell in drawn if 0 <= cell < cells]
            if len(inside) < cells:
                ends = {"first": inside[0], "last": inside[-1], "all": cells}
                parts.append(say("part_axis", name=say(name), axis=say(axis), **ends))
    return parts
