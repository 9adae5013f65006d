"""Rectangles, lines and words in named colours, written as SVG.

An SVG carries a light and a dark palette, and the reader's system chooses; `painting`
makes a PNG of the same shapes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import NamedTuple

# The page's own colours (page/style.css).
LIGHT = {
    "paper": "#ffffff",
    "ink": "#1d2026",
    "quiet": "#636a75",
    "line": "#c6cad1",
    "plus": "#e08214",
    "minus": "#2b74b8",
    "mark": "#7a2fb8",
}
DARK = {
    "paper": "#1b1e24",
    "ink": "#eceef1",
    "quiet": "#a2a9b4",
    "line": "#454b56",
    "plus": "#f09a3a",
    "minus": "#4f9fe6",
    "mark": "#cf9bff",
}
EAST = 0x2E80  # from here on letters are as wide as high
FONT = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"


class Rect(NamedTuple):
    """A box; `fill` and `stroke` are names of colours or None."""

    x: float
    y: float
    width: float
    height: float
    fill: str | None = None
    opacity: float = 1.0
    stroke: str | None = None
    thick: float = 1.0
    dashed: bool = False
    round: float = 0.0


class Line(NamedTuple):
    """From one point to another; `bend` bows it upwards, `arrow` ends it in a head."""

    x: float
    y: float
    to_x: float
    to_y: float
    stroke: str
    thick: float = 1.0
    dashed: bool = False
    bend: float = 0.0
    arrow: bool = False

    @property
    def middle(self) -> tuple[float, float]:
        """The control point of the bow."""
        return (self.x + self.to_x) / 2, (self.y + self.to_y) / 2 - self.bend


class Dot(NamedTuple):
    """A disc, or a ring where it is not `full`."""

    x: float
    y: float
    radius: float
    colour: str
    full: bool = True


class Words(NamedTuple):
    """A line of text; y is its baseline, `anchor` start, middle or end."""

    x: float
    y: float
    text: str
    colour: str = "ink"
    size: float = 13.0
    anchor: str = "start"
    bold: bool = False
    italic: bool = False

    @property
    def width(self) -> float:
        """About how wide the text is: fonts differ."""
        letter = 0.64 if self.bold else 0.58
        widths = (1.0 if ord(sign) >= EAST else letter for sign in self.text)
        return self.size * sum(widths)


Shape = Rect | Line | Dot | Words


@dataclass
class Scene:
    """Shapes in the order in which they are drawn, and what they are a picture of."""

    title: str
    description: str
    shapes: list[Shape] = field(default_factory=list)
    margin: float = 24.0

    def add(self, *shapes: Shape) -> None:
        """Draw shapes on top of what is there."""
        self.shapes.extend(shapes)

    @property
    def size(self) -> tuple[float, float]:
        """Width and height that hold every shape and a margin."""
        right = max(_right(shape) for shape in self.shapes)
        bottom = max(_bottom(shape) for shape in self.shapes)
        return round(right + self.margin), round(bottom + self.margin)

    def svg(self, dark: bool | None = None) -> str:
        """The SVG text; `dark` None leaves the choice to the reader's system."""
        width, height = self.size
        style = _rules(DARK if dark else LIGHT)
        if dark is None:
            style += f"@media(prefers-color-scheme:dark){{{_rules(DARK)}}}"
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
            f' viewBox="0 0 {width} {height}" role="img" font-family="{FONT}">\n'
            f"<title>{escape(self.title)}</title>\n"
            f"<desc>{escape(self.description)}</desc>\n"
            f"<style>text{{font-variant-numeric:tabular-nums}}{style}</style>\n"
        )
        paper = Rect(0, 0, width, height, "paper")
        return head + "\n".join(map(_element, [paper, *self.shapes])) + "\n</svg>\n"


def _rules(colours: dict[str, str]) -> str:
    """CSS that gives each name of a colour a fill and a stroke class."""
    return "".join(
        f".{name}{{fill:{colour}}}.{name}-line{{stroke:{colour}}}"
        for name, colour in colours.items()
    )


def _right(shape: Shape) -> float:
    match shape:
        case Rect():
            return shape.x + shape.width
        case Line():
            return max(shape.x, shape.to_x)
        case Dot():
            return shape.x + shape.radius
    share = {"start": 1.0, "middle": 0.5, "end": 0.0}[shape.anchor]
    return shape.x + share * shape.width


def _bottom(shape: Shape) -> float:
    match shape:
        case Rect():
            return shape.y + shape.height
        case Line():
            return max(shape.y, shape.to_y)
        case Dot():
            return shape.y + shape.radius
    return shape.y + 0.25 * shape.size


def _short(number: float) -> str:
    """A coordinate without needless digits."""
    return f"{number:.2f}".rstrip("0").rstrip(".")


def _attributes(**values: object) -> str:
    """` name="value"` for each that is not None; numbers kept short."""
    texts = {
        name: _short(value) if isinstance(value, int | float) else str(value)
        for name, value in values.items()
        if value is not None
    }
    return "".join(
        f' {name.rstrip("_").replace("_", "-")}="{text}"'
        for name, text in texts.items()
    )


def _outline(stroke: str | None, thick: float, dashed: bool) -> dict[str, object]:
    return {
        "stroke_width": thick if stroke and thick != 1 else None,
        "stroke_dasharray": "4 3" if dashed else None,
    }


def _element(shape: Shape) -> str:
    """A shape as an SVG element."""
    match shape:
        case Rect(x, y, width, height, fill, opacity, stroke, thick, dashed, rounded):
            names = ([fill] if fill else []) + ([f"{stroke}-line"] if stroke else [])
            more = _attributes(
                class_=" ".join(names),
                fill=None if fill else "none",
                fill_opacity=opacity if opacity != 1 else None,
                **_outline(stroke, thick, dashed),
                rx=rounded or None,
            )
            return f"<rect{_attributes(x=x, y=y, width=width, height=height)}{more}/>"
        case Line():
            return _path(shape)
        case Dot(x, y, radius, colour, full):
            name = colour if full else f"paper {colour}-line"
            return f"<circle{_attributes(cx=x, cy=y, r=radius, class_=name)}/>"
        case Words():
            more = _attributes(
                x=shape.x,
                y=shape.y,
                class_=shape.colour,
                font_size=shape.size,
                text_anchor=None if shape.anchor == "start" else shape.anchor,
                font_weight=600 if shape.bold else None,
                font_style="italic" if shape.italic else None,
            )
            return f"<text{more}>{escape(shape.text)}</text>"
    raise AssertionError(f"no such shape: {shape}")


def _path(line: Line) -> str:
    """A line, bowed or straight, with its head."""
    middle = line.middle
    points = [(line.x, line.y), middle, (line.to_x, line.to_y)]
    start, bow, end = (f"{_short(x)} {_short(y)}" for x, y in points)
    drawn = f"M{start}Q{bow} {end}" if line.bend else f"M{start}L{end}"
    if line.arrow:
        drawn += "".join(f"M{end}L{_short(x)} {_short(y)}" for x, y in head(line))
    return (
        "<path"
        + _attributes(
            d=drawn,
            fill="none",
            class_=f"{line.stroke}-line",
            **_outline(line.stroke, line.thick, line.dashed),
        )
        + "/>"
    )


def head(line: Line, length: float = 6.0) -> list[tuple[float, float]]:
    """The two ends of the strokes of an arrow's head."""
    from_x, from_y = line.middle
    along = complex(from_x - line.to_x, from_y - line.to_y)
    along *= length / (abs(along) or 1)
    ends = (along * complex(0.88, 0.47), along * complex(0.88, -0.47))
    return [(line.to_x + end.real, line.to_y + end.imag) for end in ends]
