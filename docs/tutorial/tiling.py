"""The picture of one-convolution.md: slab, tile and registers of a convolution.

    python docs/tutorial/tiling.py

writes tiling.svg beside this file, with the numbers that the schedule chooses for AVX2.
"""

from pathlib import Path

from atrous.compiler.schedules import conv_direct
from atrous.compiler.schedules.conv_taps import forward
from atrous.compiler.spec import ConvSpec
from atrous.compiler.target import named

INK, QUIET, GRID, PAPER = "#1d2430", "#6b7484", "#c9cfd8", "#ffffff"
SUM, WEIGHT, VALUE, BORDER = "#2f7fd1", "#e0662f", "#3a9d5d", "#e6e9ee"
LEFT, CELL, LANE = 90, 24, 10  # pixels: margin, a position, a channel
TILE = 1  # the tile that is shown: the second of the first chunk

SPEC = ConvSpec(
    solves="y",
    dtype="float32",
    batch=1,
    groups=1,
    in_channels=3,
    out_channels=16,
    size=(480,),
    kernel=(5,),
    stride=(1,),
    dilation=(1,),
    padding=((2, 2),),
    bias=True,
)


def text(x, y, words, colour=INK, size=13, anchor="start"):
    return (
        f'<text x="{x}" y="{y}" fill="{colour}" font-size="{size}"'
        f' text-anchor="{anchor}">{words}</text>'
    )


def box(x, y, width, height, fill="none", stroke=GRID, line=1, opacity=1.0):
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="{fill}"'
        f' fill-opacity="{opacity}" stroke="{stroke}" stroke-width="{line}"/>'
    )


def draw_chunks(top, plan, count):
    """The whole result: a box a chunk, the first one marked."""
    words = f"y: {count} positions × {plan.kernel.channels} channels, in {plan.chunks}"
    yield text(LEFT, top, f"{words} chunks for the threads to take; below, the first")
    width = 34 * CELL / plan.chunks
    for chunk in range(plan.chunks):
        fill = {"fill": SUM, "opacity": 0.18} if chunk == 0 else {}
        yield box(round(LEFT + chunk * width, 1), top + 12, width, 22, **fill)


def draw_slab(top, kernel, positions, border, taps):
    """The slab: what a chunk reads of x, and what the shown tile reads of it."""
    channels = kernel.channel_block
    words = f"slab: {positions} positions × {channels} channels of x, the border zeros"
    yield text(LEFT, top, f"{words}; channels of one position are neighbours")
    first = LEFT + TILE * kernel.width * CELL
    reach = kernel.width + taps - 1
    yield box(first, top + 12, reach * CELL, channels * CELL, VALUE, "none", 0, 0.18)
    for position in range(positions):
        for channel in range(channels):
            x, y = LEFT + position * CELL, top + 12 + channel * CELL
            if position < border:
                yield box(x, y, CELL, CELL, BORDER)
                yield text(x + CELL / 2, y + 16, "0", QUIET, 11, "middle")
            else:
                yield box(x, y, CELL, CELL)
    yield box(first, top + 12, taps * CELL, channels * CELL, "none", VALUE, 3)
    below = top + 12 + channels * CELL + 18
    words = (
        f"framed: the run of a tile's first output, {taps} taps × {channels} channels"
    )
    words += f" = {kernel.run_length} values; shaded: all that the tile reads"
    yield text(LEFT, below, words, VALUE)


def draw_result(top, kernel, outputs, border):
    """The chunk's outputs under the slab positions of their middle taps."""
    words = f"the chunk's result: {outputs} positions × {kernel.channels} channels"
    origin, height = LEFT + border * CELL, kernel.lanes * LANE
    yield text(LEFT, top, f"{words}, in tiles of {kernel.width} × {kernel.channels}")
    top += 12
    yield box(origin, top, outputs * CELL, kernel.vectors * height, PAPER)
    first = origin + TILE * kernel.width * CELL
    for vector in range(kernel.vectors):
        middle = top + vector * height + height / 2 + 4
        yield text(origin - 8, middle, f"vector {vector}", QUIET, 12, "end")
        for lane in range(kernel.lanes):
            y = top + vector * height + lane * LANE
            yield box(origin, y, outputs * CELL, LANE, stroke=BORDER)
        for pixel in range(kernel.width):
            x, y = first + pixel * CELL, top + vector * height
            yield box(x, y, CELL, height, SUM, PAPER, 2, 0.55)
    for tile in range(outputs // kernel.width):
        x = origin + tile * kernel.width * CELL
        yield box(x, top, kernel.width * CELL, kernel.vectors * height, stroke=QUIET)
    words = (
        f"a blue box is a register of {kernel.lanes} lanes; all of them stay where they"
    )
    below = top + kernel.vectors * height + 18
    yield text(LEFT, below, f"{words} are for the {kernel.run_length} steps", SUM)


def draw_registers(top, kernel, registers):
    """The register file: sums, weights, one spread value."""
    sums = kernel.width * kernel.vectors
    kinds = [("sum", SUM)] * sums + [("w", WEIGHT)] * kernel.vectors + [("x", VALUE)]
    words = (
        f"the {registers} vector registers: {sums} sums, {kernel.vectors} of weights"
    )
    yield text(LEFT, top, f"{words}, one x in all lanes; one is left over")
    for number in range(registers):
        name, colour = kinds[number] if number < len(kinds) else ("", PAPER)
        x = LEFT + number * 51
        yield box(x, top + 12, 46, 30, colour, QUIET, 1, 0.55)
        yield text(x + 23, top + 32, name, INK, 12, "middle")
    steps = (
        f"for each of the {kernel.run_length} values of the run:"
        f"  load {kernel.vectors} w;  for each of {kernel.width} positions:"
        f"  x in all lanes, {kernel.vectors} × sum += x · w"
    )
    yield text(LEFT, top + 66, steps)


def picture() -> str:
    """The picture as SVG."""
    target, taps = named("avx2"), forward(SPEC)
    channels, length = SPEC.in_channels, SPEC.size[0]
    x_strides = (channels * length, channels * length, length, 1)
    y_strides = (SPEC.out_channels * length,) * 2 + (1, SPEC.out_channels)
    plan = conv_direct.plan(taps, x_strides, y_strides, target)
    kernel, axis = plan.kernel, taps.axes[0]
    outputs = axis.count // plan.chunks
    parts = [
        *draw_chunks(30, plan, axis.count),
        *draw_slab(100, kernel, axis.reach(outputs), -axis.first, len(axis.taps)),
        *draw_result(240, kernel, outputs, -axis.first),
        *draw_registers(466, kernel, target.registers),
    ]
    head = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 960 550"'
        ' font-family="Helvetica, Arial, sans-serif">'
    )
    return "\n".join([head, box(0, 0, 960, 550, PAPER, "none", 0), *parts, "</svg>\n"])


if __name__ == "__main__":
    Path(__file__).with_name("tiling.svg").write_text(picture())
