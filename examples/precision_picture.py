"""The picture of examples/precision.py: errors by operation, losses by step."""

import numpy as np
from matplotlib.figure import Figure
from regularisation_picture import QUIET, style

COLOURS = {"float32": "#2f7fd1", "bfloat16": "#e0662f"}
PARTS = ("result", "∂input", "∂weight")
MARKERS = ("o", "s", "D")


def draw_errors(axes, errors):
    """A row an operation; a mark for its result and for each gradient."""
    for row, by_mode in enumerate(errors.values()):
        for mode, values in by_mode.items():
            for value, marker, shift in zip(values, MARKERS, (-1, 0, 1), strict=True):
                axes.plot(
                    value, row + 0.18 * shift, marker, color=COLOURS[mode], markersize=7
                )
    style(axes, "Error against float64")
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_yticks(range(len(errors)), list(errors))
    axes.invert_yaxis()
    axes.set_xlabel("relative, of norms", color=QUIET)
    for part, marker in zip(PARTS, MARKERS, strict=True):
        axes.plot([], [], marker, color=QUIET, label=part)
    axes.legend(frameon=False, loc="upper center", labelcolor=QUIET)


def draw_losses(axes, losses):
    """A thin line a seed, a thick one their mean, each a running mean of five."""
    for mode, runs in losses.items():
        width = min(5, len(runs[0]))
        smooth = [np.convolve(run, np.ones(width) / width, "valid") for run in runs]
        steps = np.arange(width, width + len(smooth[0]))
        for each in smooth:
            axes.plot(steps, each, color=COLOURS[mode], linewidth=0.8, alpha=0.5)
        mean = np.mean(smooth, axis=0)
        label = "float32" if mode == "float32" else "bfloat16 autocast"
        line = "-" if mode == "float32" else (0, (2, 1.5))
        axes.plot(
            steps, mean, color=COLOURS[mode], linewidth=2.4, linestyle=line, label=label
        )
    style(axes, f"Loss of the 3-D U-Net, {len(runs)} seeds")
    axes.set_xlabel("step", color=QUIET)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, labelcolor=QUIET)


def draw(path, errors, losses):
    """Write the picture. `errors`: operation -> mode -> values; `losses`: mode ->
    seed -> loss of each step."""
    figure = Figure(figsize=(13, 4.6), facecolor="white", layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_errors(left, errors)
    draw_losses(right, losses)
    beside = path.with_name("partial-" + path.name)
    figure.savefig(beside, dpi=110)
    beside.replace(path)
