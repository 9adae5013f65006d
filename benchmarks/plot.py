"""The results as a picture: a bar a row, torch's time over ours, forward and backward.

python benchmarks/plot.py benchmarks/results/….json docs/benchmarks.png
"""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

INK, FAINT, LINE = "#1d2433", "#707a8c", "#d8dde6"
COLOURS = {"forward": "#7fb2e5", "both": "#1f5f9e"}
WORDS = {"forward": "forward", "both": "forward + backward"}


def draw(content: dict, path: Path) -> None:
    """One panel: families from top to bottom, ratios on a logarithmic axis."""
    rows = [row for row in content["rows"] if "ratio" in row["forward"]]
    figure, axes = plt.subplots(figsize=(11, 0.27 * len(rows) + 2.2))
    position, ticks = 0.0, []
    previous = None
    for row in rows:
        position += 1.9 if previous not in (None, row["family"]) else 1
        if row["family"] != previous:
            axes.text(
                0.094,
                position - 0.75,
                row["family"],
                color=INK,
                weight="bold",
                ha="right",
                va="center",
                fontsize=9,
                clip_on=False,
            )
        previous = row["family"]
        for offset, what in ((-0.2, "forward"), (0.2, "both")):
            ratio = row[what]["ratio"]
            axes.barh(position + offset, ratio - 1, 0.38, left=1, color=COLOURS[what])
        ticks.append((position, row["name"]))
    axes.set_yticks(*zip(*ticks, strict=True), fontsize=7.5, color=INK)
    axes.set_xscale("log")
    axes.set_xlim(0.1, 60)
    marks = [0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32]
    axes.set_xticks(marks, [f"{mark:g}×" for mark in marks], color=INK)
    axes.set_xticks([], minor=True)
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.axvline(1, color=INK, linewidth=1)
    axes.grid(axis="x", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.xaxis.tick_top()
    for what, colour in COLOURS.items():
        axes.barh(position, 0, color=colour, label=WORDS[what])
    axes.legend(loc="lower right", frameon=False, fontsize=9)
    machine = content["machine"]
    figure.suptitle(
        f"torch {machine['torch']} / atrous {machine['atrous']}: how many times faster"
        " (left of 1: slower)",
        color=INK,
        x=0.02,
        ha="left",
        fontsize=12,
    )
    figure.text(
        0.02,
        0.004,
        f"{machine['processor']}, {machine['threads']} threads,"
        f" {machine['target']}, float32, commit {machine['commit']}",
        color=FAINT,
        fontsize=8,
    )
    figure.tight_layout(rect=(0, 0.012, 1, 0.985))
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:3])
    draw(json.loads(source.read_text()), target)
