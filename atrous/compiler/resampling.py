"""The weights of interpolation: along one axis, every mode is a banded matrix.

A result o lies at a real place in the input,

    s·(o + ½) - ½   (s: elements of the input a step; clamped at 0, but for cubic)
    o·(n - 1)/(m - 1)   with align_corners

and is a weighted sum of its neighbours: one (nearest), two (linear) or four (cubic:
Keys 1981, a = -0.75, as torch's).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .spec import ResampleSpec


@dataclass(frozen=True, eq=False)
class Band:
    """Rows of a sparse matrix: row o has weights[o, :count] from column `first` on."""

    table: np.ndarray  # (rows, 2): first, count
    weights: np.ndarray  # (rows, most taps), float64
    columns: int

    @property
    def rows(self) -> int:
        return len(self.table)

    def entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Row, column and weight of everything stored."""
        taps = np.arange(self.weights.shape[1])
        used = taps < self.table[:, 1:]
        rows = np.broadcast_to(np.arange(self.rows)[:, None], used.shape)
        columns = self.table[:, :1] + taps
        return rows[used], columns[used], self.weights[used]

    def transposed(self) -> Band:
        rows, columns, weights = self.entries()
        return _band(columns, rows, weights, self.columns, self.rows)


def _band(rows, columns, weights, count: int, width: int) -> Band:
    """A Band of entries; those of one place are added."""
    first = np.full(count, width, np.int64)
    last = np.full(count, -1, np.int64)
    np.minimum.at(first, rows, columns)
    np.maximum.at(last, rows, columns)
    taps = np.maximum(last - first + 1, 0)
    stored = np.zeros((count, max(1, int(taps.max(initial=0)))), np.float64)
    np.add.at(stored, (rows, columns - first[rows]), weights)
    table = np.stack([np.where(taps > 0, first, 0), taps], axis=1)
    return Band(np.ascontiguousarray(table), stored, width)


@lru_cache(maxsize=256)
def bands(spec: ResampleSpec) -> tuple[Band, ...]:
    """The matrix of each spatial axis."""
    scales = spec.scale or (None,) * len(spec.size)
    return tuple(
        _axis(spec.mode, n, m, spec.align_corners, scale)
        for n, m, scale in zip(spec.size, spec.output, scales, strict=True)
    )


def _axis(mode: str, n: int, m: int, align_corners: bool, scale: float | None) -> Band:
    step = n / m if scale is None else scale
    o = np.arange(m)
    if mode.startswith("nearest"):
        # torch places these in float32
        shift = 0.5 if mode == "nearest-exact" else 0.0
        place = (o + np.float32(shift)).astype(np.float32) * np.float32(step)
        near = np.minimum(np.floor(place).astype(np.int64), n - 1)
        return _band(o, near, np.ones(m), m, n)
    if align_corners:
        place = o * ((n - 1) / (m - 1) if m > 1 else 0.0)
    else:
        place = step * (o + 0.5) - 0.5
    offsets: tuple[int, ...] = (-1, 0, 1, 2)
    weigh = _cubic
    if mode == "linear":
        place = np.clip(place, 0, n - 1)
        offsets, weigh = (0, 1), _linear
    low = np.floor(place).astype(np.int64)
    rows, columns, weights = [], [], []
    for offset in offsets:
        weight = weigh(place - (low + offset))
        rows.append(o)
        columns.append(np.clip(low + offset, 0, n - 1))
        weights.append(weight)
    joined = [np.concatenate(part) for part in (rows, columns, weights)]
    return _band(joined[0], joined[1], joined[2], m, n)


def _linear(t: np.ndarray) -> np.ndarray:
    """The triangle, of distance t."""
    return np.maximum(0, 1 - np.abs(t))


def _cubic(t: np.ndarray) -> np.ndarray:
    """Keys' kernel of distance t."""
    t, a = np.abs(t), -0.75
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0.0))
