"""A scene painted as PNG by matplotlib, the one optional dependency of pictures."""

from __future__ import annotations

import io
from typing import Any

from .scene import DARK, EAST, LIGHT, Dot, Line, Rect, Scene, Shape, Words, head

FONT = "DejaVu Sans"  # it comes with matplotlib
EASTERN = ("Noto Sans CJK SC", "Noto Sans CJK KR", "WenQuanYi Zen Hei")
NARROWER = 0.9  # matplotlib's DejaVu Sans is wider than the fonts of a browser


def png(scene: Scene, dark: bool = False, scale: float = 2.0) -> bytes:
    """The picture as a PNG file, `scale` pixels for a unit of the scene.

    Raises ModuleNotFoundError where matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            "explain: a PNG is painted by matplotlib, which is not installed: pip"
            " install 'atrous[demo]'. An SVG needs nothing."
        ) from missing
    width, height = scene.size
    colours = DARK if dark else LIGHT
    figure = Figure((width / 72, height / 72), dpi=72 * scale)
    figure.patch.set_facecolor(colours["paper"])
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    for order, shape in enumerate(scene.shapes):
        _paint(axes, shape, colours, order)
    file = io.BytesIO()
    canvas.print_png(file)
    return file.getvalue()


def _paint(axes: Any, shape: Shape, colours: dict[str, str], order: int) -> None:
    """A shape on matplotlib's axes, whose unit is the scene's."""
    match shape:
        case Words():
            _write(axes, shape, colours, order)
        case Rect():
            _box(axes, shape, colours, order)
        case Dot():
            _disc(axes, shape, colours, order)
        case Line():
            _stroke(axes, shape, colours, order)


def _write(axes: Any, words: Words, colours: dict[str, str], order: int) -> None:
    eastern = any(ord(sign) >= EAST for sign in words.text)
    axes.text(
        words.x,
        words.y,
        words.text,
        color=colours[words.colour],
        fontsize=words.size * NARROWER,
        ha={"start": "left", "middle": "center", "end": "right"}[words.anchor],
        va="baseline",
        family=[FONT, *EASTERN] if eastern else FONT,
        weight="bold" if words.bold else "normal",
        style="italic" if words.italic else "normal",
        zorder=order,
    )


def _box(axes: Any, box: Rect, colours: dict[str, str], order: int) -> None:
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Rectangle

    axes.add_patch(
        Rectangle(
            (box.x, box.y),
            box.width,
            box.height,
            facecolor=to_rgba(colours[box.fill], box.opacity) if box.fill else "none",
            edgecolor=colours[box.stroke] if box.stroke else "none",
            linewidth=box.thick,
            linestyle=(0, (4, 3)) if box.dashed else "solid",
            zorder=order,
        )
    )


def _disc(axes: Any, dot: Dot, colours: dict[str, str], order: int) -> None:
    from matplotlib.patches import Circle

    axes.add_patch(
        Circle(
            (dot.x, dot.y),
            dot.radius,
            facecolor=colours[dot.colour if dot.full else "paper"],
            edgecolor=colours[dot.colour],
            zorder=order,
        )
    )


def _stroke(axes: Any, line: Line, colours: dict[str, str], order: int) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    points = [(line.x, line.y), line.middle, (line.to_x, line.to_y)]
    codes = [Path.MOVETO, Path.CURVE3, Path.CURVE3]
    for end in head(line) if line.arrow else ():
        points += [(line.to_x, line.to_y), end]
        codes += [Path.MOVETO, Path.LINETO]
    axes.add_patch(
        PathPatch(
            Path(points, codes),
            facecolor="none",
            edgecolor=colours[line.stroke],
            linewidth=line.thick,
            linestyle=(0, (4, 3)) if line.dashed else "solid",
            zorder=order,
        )
    )
