"""One axis as a picture: strips, a comb of taps for each output, then the products."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .board import GAP, LEFT, Board, Scale
from .grids import frame_window, product_rows
from .scene import Dot, Line
from .working import Working


def strips(board: Board, working: Working, top: float) -> float:
    """Draw from `top` on; returns the y below."""
    columns, values = working.ranges[2], working.arrays["input"]
    board.heading(LEFT, top, board.say("input"), values.shape)
    y = top + 32
    board.positions(LEFT, y, columns)
    y += _headroom(board, working)
    for channel in working.inputs:
        row = [working.input(channel, (0, 0, x)) for x in columns]
        board.grid(LEFT, y, [row], Scale.of(values))
        board.label(y + board.height / 2, board.say("channel", n=channel))
        frame_window(board, working, channel, (LEFT, y), 0)
        y += board.height + 6
    y = _combs(board, working, top, y + 6)
    return product_rows(board, working, y + 40, whole_input=False)


def _headroom(board: Board, working: Working) -> float:
    """Room above the first strip for the arrows from its border."""
    ways = working.sources(working.inputs[0]).items()
    lifts = [board.lift(board.across(here[2] - there[2])) for here, there in ways]
    return max(lifts, default=0.0)


def _combs(board: Board, working: Working, heading: float, top: float) -> float:
    """For each output position its taps under the strip, and its values beside them."""
    columns, values = working.ranges[2], working.arrays["output"]
    left = LEFT + board.across(len(columns)) + GAP
    head = top - 44 if len(working.inputs) > 1 else heading
    board.heading(left, head, board.say("output"), values.shape)
    for place, channel in enumerate(working.outputs):
        middle = left + board.across(place) + board.width / 2
        board.above(
            middle, top, board.say("short", n=channel), channel == working.output
        )
    y = top
    for position in working.results[2]:
        here = position == working.position[2]
        board.label(y + board.height / 2, board.say("place", n=position), here)
        cell = (working.output, position)
        other = Working(working.setting, working.arrays, cell)
        reached = {tap.position[0]: tap.source for tap in other.taps}
        _comb(board, columns, reached, y + board.height / 2, here)
        row = [working.result(channel, (0, 0, position)) for channel in working.outputs]
        board.grid(left, y, [row], Scale.of(values))
        y += board.height
    marked = working.position[2] - working.results[2].start
    board.mark(left, top, [(marked, working.outputs.index(working.output))])
    return y


def _comb(
    board: Board, columns: range, reached: Mapping[int, Any], y: float, here: bool
) -> None:
    """A dot under each cell that an output reads; a ring where it reads a zero."""
    colour = "mark" if here else "quiet"
    seen = [place for place in sorted(reached) if place in columns]
    if not seen:
        return
    centres = [LEFT + board.across(p - columns.start) + board.width / 2 for p in seen]
    end = LEFT + board.across(len(columns)) + GAP - 8
    board.scene.add(
        Line(centres[0], y, centres[-1], y, colour, 2 if here else 1.2),
        Line(centres[-1] + 12, y, end, y, "line", dashed=True),
    )
    for place, x in zip(seen, centres, strict=True):
        radius = 5.5 if here else 4.0
        board.scene.add(Dot(x, y, radius, colour, full=reached[place] is not None))
