"""Three axes as a picture: rows of slices, of which each depth has one."""

from __future__ import annotations

from collections.abc import Callable

from .board import HEADING, LEFT, Board, Scale
from .grids import frame_window
from .scene import Words
from .working import Square, Working, written

BETWEEN = 24.0  # between two slices
NEXT = 28.0  # between two channels
WIDEST = 1400.0  # the output stands beside the sums up to here, else below


def slices(board: Board, working: Working, top: float) -> float:
    """Draw from `top` on; returns the y below."""
    arrays = working.arrays
    board.heading(LEFT, top, board.say("input"), arrays["input"].shape)
    y = top + 40
    for channel in working.inputs:
        y = _row(
            board,
            board.say("channel", n=channel),
            y,
            working.ranges,
            lambda place, channel=channel: working.input(channel, place),
            Scale.of(arrays["input"]),
            lambda corner, depth, channel=channel: frame_window(
                board, working, channel, corner, depth
            ),
        )
    title = board.say("weight_to", n=working.output)
    board.heading(LEFT, y + 18, title, working.setting.weight_shape)
    y += 58
    kernel = tuple(map(range, working.kernel))
    for channel in working.inputs:
        if channel in working.setting.sees(working.output):
            y = _row(
                board,
                board.say("channel", n=channel),
                y,
                kernel,
                lambda tap, channel=channel: working.weight(
                    working.output, channel, tap
                ),
                Scale.of(arrays["weight"]),
                lambda corner, depth, channel=channel: board.mark(
                    corner[0],
                    corner[1],
                    [(y, x) for z, y, x in working.window(channel) if z == depth],
                ),
            )
    below = _sums(board, working, y + 18)
    aside = LEFT + max(board.across(working.kernel[0]) + 150, 330)
    depths, _, columns = working.results
    if aside + len(depths) * (board.across(len(columns)) + BETWEEN) < WIDEST:
        return max(below, _outputs(board, working, aside, y + 18))
    return _outputs(board, working, LEFT, below + 34)


def _row(
    board: Board,
    title: str,
    top: float,
    ranges: tuple[range, ...],
    square: Callable[..., Square],
    scale: Scale,
    frame: Callable[..., None],
) -> float:
    """The slices of one channel side by side; returns the y of the next channel."""
    depths, rows, columns = ranges
    board.label(top + board.down(len(rows)) / 2, title)
    for place, depth in enumerate(depths):
        left = LEFT + place * (board.across(len(columns)) + BETWEEN)
        cells = [[square((depth, y, x)) for x in columns] for y in rows]
        board.grid(left, top, cells, scale)
        middle = left + board.across(len(columns)) / 2
        board.above(middle, top, board.say("slice", n=depth))
        frame((left, top), depth)
    return top + board.down(len(rows)) + NEXT


def _sums(board: Board, working: Working, top: float) -> float:
    """The sum of x · w in each slice of each channel; returns the y below."""
    board.heading(LEFT, top, board.say("slice_sums"))
    depths = range(working.kernel[0])
    top += 40
    for depth in depths:
        middle = LEFT + board.across(depth) + board.width / 2
        board.above(middle, top, f"w {depth}")
    sums = {
        channel: [
            sum(p for tap, p in working.products(channel).items() if tap[0] == depth)
            for depth in depths
        ]
        for channel in working.inputs
        if channel in working.setting.sees(working.output)
    }
    most = max(abs(value) for row in sums.values() for value in row)
    scale = Scale(most or 1.0, working.whole)
    for channel, row in sums.items():
        board.label(top + board.height / 2, board.say("channel", n=channel))
        board.grid(LEFT, top, [[Square(value) for value in row]], scale)
        total = f"Σ = {written(working.total(channel), working.whole)}"
        x = LEFT + board.across(len(row)) + 12
        y = top + board.height / 2 + 0.36 * HEADING
        board.scene.add(Words(x, y, total, size=HEADING))
        top += board.height + 6
    return top


def _outputs(board: Board, working: Working, left: float, top: float) -> float:
    """The output's slices; returns the y below."""
    values = working.arrays["output"]
    depths, rows, columns = working.results
    board.heading(left, top, board.say("output"), values.shape)
    top += 40
    for channel in working.outputs:
        for place, depth in enumerate(depths):
            x = left + place * (board.across(len(columns)) + BETWEEN)
            cells = [
                [working.result(channel, (depth, row, column)) for column in columns]
                for row in rows
            ]
            board.grid(x, top, cells, Scale.of(values))
            middle = x + board.across(len(columns)) / 2
            phrase = "channel_slice" if len(working.outputs) > 1 else "slice"
            board.above(middle, top, board.say(phrase, channel=channel, n=depth))
            if (channel, depth) == (working.output, working.position[0]):
                _, row, column = working.position
                board.mark(x, top, [(row - rows.start, column - columns.start)])
        top += board.down(len(rows)) + NEXT
    return top
