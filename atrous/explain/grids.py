"""Two axes as a picture: input, weights, products and output side by side.

A row is an input channel and a column of weights an output channel, so that groups show
as the blocks of a matrix; where groups keep two channels apart, the weight is empty.
"""

from __future__ import annotations

from .board import GAP, HEADING, LEFT, Board, Scale
from .scene import Words
from .working import Square, Working, written

NARROW = 18.0  # between the weights of two output channels


def grids(board: Board, working: Working, top: float) -> float:
    """Draw from `top` on; returns the y below."""
    return product_rows(board, working, top, whole_input=True)


def product_rows(
    board: Board, working: Working, top: float, whole_input: bool
) -> float:
    """x, w and x · w, a row an input channel; returns the y below.

    Of the input the whole (and then the output, too) or only the window.
    """
    _, high, wide = working.kernel
    rows, columns = working.ranges[1:] if whole_input else (range(high), range(wide))
    weights = LEFT + board.across(len(columns)) + GAP
    pitch = board.across(wide) + NARROW
    products = weights + pitch * len(working.outputs) - NARROW + GAP
    shape = working.arrays["input"].shape if whole_input else None
    board.heading(LEFT, top, board.say("input") if whole_input else "x", shape)
    board.heading(weights, top, board.say("weight"), working.setting.weight_shape)
    board.heading(products, top, "x · w")
    first = y = top + 40
    if whole_input:
        board.positions(LEFT, y, columns)
    for place, output in enumerate(working.outputs):
        middle = weights + place * pitch + board.across(wide) / 2
        board.above(middle, y, board.say("to", n=output), output == working.output)
    tall = max(len(rows), high)
    for channel in working.inputs:
        middle = y + board.down(tall) / 2
        board.label(middle, board.say("channel", n=channel))
        if whole_input:
            _whole(board, working, channel, y)
        elif channel in working.setting.sees(working.output):
            _window(board, working, channel, y)
        drop = y + board.down(tall - high) / 2
        for place, output in enumerate(working.outputs):
            _weight(board, working, (output, channel), weights + place * pitch, drop)
        if channel in working.setting.sees(working.output):
            board.operator(weights - GAP, middle, "×")
            board.operator(products - GAP, middle, "=")
            _products(board, working, channel, products, drop)
        y += board.down(tall) + (22 if whole_input else 10)
    if not whole_input:
        return y
    left = products + board.across(wide) + 150
    return max(y, _outputs(board, working, top, first, left))


def _whole(board: Board, working: Working, channel: int, top: float) -> None:
    """An input channel, its window framed."""
    rows, columns = working.ranges[1:]
    cells = [[working.input(channel, (0, y, x)) for x in columns] for y in rows]
    board.grid(LEFT, top, cells, Scale.of(working.arrays["input"]))
    board.rows(LEFT, top, rows)
    frame_window(board, working, channel, (LEFT, top), 0)


def frame_window(
    board: Board,
    working: Working,
    channel: int,
    corner: tuple[float, float],
    depth: int,
) -> None:
    """Frame the window in one slice; arrows lead to what its border cells repeat."""
    rows, columns = working.ranges[1:]

    def place(position: tuple[int, ...]) -> tuple[int, int]:
        return position[1] - rows.start, position[2] - columns.start

    window = working.window(channel).values()
    board.mark(*corner, [place(p) for p in window if p[0] == depth])
    strip = working.setting.rank == 1
    drawn: set[tuple[bool, ...]] = set()
    for ghost, origin in working.sources(channel).items():
        way = tuple(a != b for a, b in zip(ghost, origin, strict=True))
        shown = origin[1] in rows and origin[2] in columns
        # Of grids an arrow along each axis is enough, and leaves the numbers legible.
        new = strip or (way not in drawn and sum(way) == 1)
        if ghost[0] == origin[0] == depth and shown and new:
            drawn.add(way)
            board.arrow(*corner, place(ghost), place(origin), bowed=strip)


def _window(board: Board, working: Working, channel: int, top: float) -> None:
    """What the window of an input channel holds, by tap."""
    window = working.window(channel)
    taps = range(working.kernel[2])
    row = [
        working.input(channel, window[0, 0, tap])
        if (0, 0, tap) in window
        else Square(None)
        for tap in taps
    ]
    board.grid(LEFT, top, [row], Scale.of(working.arrays["input"]))


def _weight(
    board: Board, working: Working, pair: tuple[int, int], left: float, top: float
) -> None:
    """The weight from an input to an output channel, the used taps framed."""
    _, high, wide = working.kernel
    cells = [
        [working.weight(*pair, (0, y, x)) for x in range(wide)] for y in range(high)
    ]
    board.grid(left, top, cells, Scale.of(working.arrays["weight"]))
    if pair[0] == working.output:
        board.mark(left, top, [(y, x) for _, y, x in working.window(pair[1])])


def _products(
    board: Board, working: Working, channel: int, left: float, top: float
) -> None:
    """x · w of one input channel by tap, and their sum."""
    _, high, wide = working.kernel
    products = working.products(channel)
    cells = [
        [Square(products.get((0, y, x))) for x in range(wide)] for y in range(high)
    ]
    board.grid(left, top, cells, Scale(working.peak, working.whole))
    total = f"Σ = {written(working.total(channel), working.whole)}"
    x, y = left + board.across(wide) + 12, top + board.down(high) / 2
    board.scene.add(Words(x, y + 0.36 * HEADING, total, size=HEADING))


def _outputs(
    board: Board, working: Working, heading: float, top: float, left: float
) -> float:
    """The output, a grid a channel; returns the y below."""
    values = working.arrays["output"]
    rows, columns = working.results[1:]
    board.heading(left, heading, board.say("output"), values.shape)
    board.positions(left, top, columns)
    for channel in working.outputs:
        cells = [[working.result(channel, (0, y, x)) for x in columns] for y in rows]
        board.grid(left, top, cells, Scale.of(values))
        board.rows(left, top, rows)
        if channel == working.output:
            _, row, column = working.position
            board.mark(left, top, [(row - rows.start, column - columns.start)])
        top += board.down(len(rows)) + 22
    return top
