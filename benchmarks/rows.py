"""The problems that are measured: each a convolution, by its shapes and options."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """`x` (batch, in, sizes…) convolved with `w` (out, in / groups, kernel…)."""

    family: str
    x: tuple[int, ...]
    w: tuple[int, ...]
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1

    @property
    def name(self) -> str:
        """`3-D 2x32x32x32x32 → 32 k3 p1`."""
        parts = [f"{len(self.x) - 2}-D {'x'.join(map(str, self.x))} → {self.w[0]}"]
        parts.append("k" + "x".join(map(str, dict.fromkeys(self.w[2:]))))
        for letter, value, usual in (
            ("s", self.stride, 1),
            ("p", self.padding, 0),
            ("d", self.dilation, 1),
            ("g", self.groups, 1),
        ):
            if value != usual:
                parts.append(f"{letter}{value}")
        return " ".join(parts)


ROWS = (
    Row("dense", (2, 32, 32, 32, 32), (32, 32, 3, 3, 3), padding=1),
    Row("dense", (1, 64, 16, 16, 16), (64, 64, 3, 3, 3), padding=1),
    Row("dense", (8, 64, 56, 56), (64, 64, 3, 3), padding=1),
    Row("dense", (8, 64, 4096), (64, 64, 3), padding=1),
    Row("pointwise", (8, 64, 56, 56), (128, 64, 1, 1)),
    Row("patches", (8, 3, 224, 224), (96, 3, 4, 4), stride=4),
    Row("thin", (4, 1, 32, 32, 32), (12, 1, 3, 3, 3), padding=1),
    Row("thin", (4, 12, 32, 32, 32), (12, 12, 3, 3, 3), padding=1),
    Row("thin", (8, 3, 112, 112), (32, 3, 3, 3), padding=1),
    Row("depthwise", (8, 64, 56, 56), (64, 1, 3, 3), padding=1, groups=64),
    Row("depthwise", (2, 32, 32, 32, 32), (32, 1, 3, 3, 3), padding=1, groups=32),
    Row("grouped", (8, 64, 56, 56), (64, 16, 3, 3), padding=1, groups=4),
    Row("dilated", (2, 32, 32, 32, 32), (32, 32, 3, 3, 3), padding=2, dilation=2),
    Row("dilated", (8, 32, 4096), (32, 32, 7), padding=24, dilation=8),
    Row("strided", (8, 64, 56, 56), (128, 64, 3, 3), stride=2, padding=1),
)
