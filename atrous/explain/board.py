"""Grids of numbers on a scene: coloured by sign, legible without colour."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .scene import Dot, Line, Rect, Scene, Words
from .words import Say
from .working import Square, is_whole, written

STRONGEST = 0.55  # opacity of the largest number's colour: ink stays readable on it
LEFT = 114.0  # where grids begin: row titles stand left of them
GAP = 38.0  # between grids side by side; an operator fits in
HEADING, LABEL, SMALL = 14.0, 12.0, 10.5  # sizes of type


class Scale(NamedTuple):
    """How the numbers of one array are shown."""

    peak: float  # the magnitude with the strongest colour
    whole: bool  # written without decimals

    @classmethod
    def of(cls, values: np.ndarray) -> Scale:
        """The scale that suits an array."""
        finite = np.abs(values[np.isfinite(values)])
        peak = float(finite.max()) if finite.size else 1.0
        return cls(peak or 1.0, is_whole(values))

    def strength(self, value: float) -> float:
        """How strong a number's colour is, 0 to 1; that of a zero or nan is none."""
        if not value or math.isnan(value):
            return 0.0
        return min(1.0, 0.12 + 0.88 * abs(value) / self.peak)


@dataclass(frozen=True)
class Board:
    """Where grids are drawn, and how large their cells are.

    scene: what is drawn on; width, height: of a cell; font: of its number
    say: a phrase in the reader's language
    """

    scene: Scene
    width: float
    height: float
    font: float
    say: Say

    def across(self, columns: int) -> float:
        """The width of so many cells."""
        return columns * self.width

    def down(self, rows: int) -> float:
        """The height of so many cells."""
        return rows * self.height

    def grid(
        self, left: float, top: float, rows: Sequence[Sequence[Square]], scale: Scale
    ) -> None:
        """Draw rows of cells."""
        for line, row in enumerate(rows):
            for column, square in enumerate(row):
                x, y = left + self.across(column), top + self.down(line)
                self._square(x, y, square, scale)

    def _square(self, x: float, y: float, square: Square, scale: Scale) -> None:
        """One cell: its colour, its number, its kind."""
        box = Rect(x, y, self.width, self.height)
        if square.value is None:
            self.scene.add(box._replace(stroke="line", dashed=True))
            return
        ghost, unread = square.kind == "ghost", square.kind == "unread"
        strength = STRONGEST * scale.strength(square.value) * (0.5 if ghost else 1)
        if strength and not unread:
            colour = "plus" if square.value > 0 else "minus"
            box = box._replace(fill=colour, opacity=strength)
        self.scene.add(box._replace(stroke="line", dashed=ghost))
        if unread:
            self.scene.add(Line(x, y + self.height, x + self.width, y, "line"))
        self.scene.add(
            Words(
                x + self.width / 2,
                y + self.height / 2 + 0.36 * self.font,
                "0"
                if ghost and not square.value
                else written(square.value, scale.whole),
                "quiet" if ghost or unread else "ink",
                self.font,
                "middle",
                italic=ghost,
            )
        )

    def mark(
        self,
        left: float,
        top: float,
        cells: Iterable[tuple[int, int]],
        dashed: bool = False,
    ) -> None:
        """Frame (row, column) cells: as one block if they are, else each, and all."""
        places = sorted(set(cells))
        if not places:
            return
        rows, columns = zip(*places, strict=True)
        height = max(rows) - min(rows) + 1
        width = max(columns) - min(columns) + 1
        x, y = left + self.across(min(columns)), top + self.down(min(rows))
        whole = Rect(x, y, self.across(width), self.down(height), stroke="mark")
        thick = 2.0 if dashed else 3.0
        if len(places) == width * height:
            self.scene.add(whole._replace(thick=thick, dashed=dashed))
            return
        self.scene.add(whole._replace(thick=1.5, dashed=True))
        for row, column in places if not dashed else ():
            x, y = left + self.across(column), top + self.down(row)
            self.scene.add(
                Rect(x, y, self.width, self.height, stroke="mark", thick=thick)
            )

    def positions(self, left: float, top: float, places: Iterable[int]) -> None:
        """The numbers of the columns, small, above a grid."""
        for column, place in enumerate(places):
            middle = left + self.across(column) + self.width / 2
            text = str(place).replace("-", "−")
            self.scene.add(Words(middle, top - 6, text, "quiet", SMALL, "middle"))

    def rows(self, left: float, top: float, places: Iterable[int]) -> None:
        """The numbers of the rows, small, left of a grid."""
        for row, place in enumerate(places):
            y = top + self.down(row) + self.height / 2 + 0.36 * SMALL
            text = str(place).replace("-", "−")
            self.scene.add(Words(left - 6, y, text, "quiet", SMALL, "end"))

    def heading(self, left: float, y: float, name: str, shape: Any = None) -> None:
        """The name of an array, and its shape."""
        self.scene.add(Words(left, y, name, size=HEADING, bold=True))
        if shape is not None:
            size = " × ".join(map(str, shape))
            left += Words(0, 0, name, size=HEADING, bold=True).width + 8
            self.scene.add(Words(left, y, size, "quiet", LABEL))

    def label(self, middle: float, text: str, strong: bool = False) -> None:
        """A row's title, at the left edge."""
        colour = "mark" if strong else "quiet"
        y = middle + 0.36 * LABEL
        self.scene.add(Words(24, y, text, colour, LABEL, bold=strong))

    def above(self, middle: float, top: float, text: str, strong: bool = False) -> None:
        """A grid's own title, centred over it."""
        colour = "mark" if strong else "quiet"
        self.scene.add(Words(middle, top - 7, text, colour, SMALL, "middle", strong))

    def operator(self, left: float, middle: float, sign: str) -> None:
        """A sign in the gap that begins at `left`."""
        x, y = left + GAP / 2, middle + 0.36 * 18
        self.scene.add(Words(x, y, sign, "quiet", 18, "middle"))

    def arrow(
        self,
        left: float,
        top: float,
        here: tuple[int, int],
        there: tuple[int, int],
        bowed: bool,
    ) -> None:
        """From a border cell (row, column) to the cell that it repeats.

        Bowed over the cells by `lift`, or straight along their edges.
        """
        x, y = self._end(left, top, here, bowed)
        to_x, to_y = self._end(left, top, there, bowed)
        bend = 2 * self.lift(to_x - x) if bowed else 0.0
        self.scene.add(
            Dot(x, y, 2, "mark"),
            Line(x, y, to_x, to_y, "mark", 1.2, bend=bend, arrow=True),
        )

    def _end(
        self, left: float, top: float, cell: tuple[int, int], bowed: bool
    ) -> tuple[float, float]:
        """Where an arrow meets a cell, clear of its number."""
        x = left + self.across(cell[1]) + (0.5 * self.width if bowed else 4)
        return x, top + self.down(cell[0]) + 4

    @staticmethod
    def lift(distance: float) -> float:
        """How high an arrow bows over so long a way."""
        return 7 + 0.045 * abs(distance)
