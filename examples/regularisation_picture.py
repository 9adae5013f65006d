"""The picture of examples/regularisation.py: the weights, and how they shrink."""

import numpy as np
from matplotlib.figure import Figure

INK, QUIET, GRID = "#1d2430", "#7b8494", "#e6e9ee"
COLOURS = {"none": "#7b8494", "L2 (ridge)": "#2f7fd1", "L1 (lasso)": "#e0662f"}


def style(axes, title):
    axes.set_title(title, color=INK, loc="left", fontsize=12)
    axes.tick_params(colors=QUIET, length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def draw_weights(axes, name, weights, truth, strength):
    """A bar a weight; rings are the weights that made the data."""
    places = np.arange(len(truth))
    axes.bar(places, weights, color=COLOURS[name], width=0.7)
    axes.plot(places, truth, "o", color=INK, markersize=5, markerfacecolor="none")
    of = f", strength {strength:g}" if strength else ""
    style(axes, f"{'no penalty' if name == 'none' else name}{of}")
    axes.set_ylim(-3.4, 3.9)
    axes.set_xlabel("weight", color=QUIET)


def draw_path(axes, name, path, truth):
    """Each weight as its penalty grows; those that matter are coloured."""
    values = np.stack([weights.numpy() for weights in path.values()])
    steps = np.arange(len(path))
    for index in np.argsort(np.abs(truth)):
        matters = truth[index] != 0
        axes.plot(
            steps,
            values[:, index],
            color=COLOURS[name] if matters else "#c3c9d3",
            linewidth=2 if matters else 0.9,
        )
    style(axes, f"{name}: every weight, as the penalty grows")
    axes.set_xticks(steps, [f"{strength:g}" for strength in path])
    axes.set_xlabel("strength", color=QUIET)
    axes.set_ylim(-3.4, 3.9)


def draw(path, truth, paths, chosen):
    """Write the picture. `paths`: penalty -> strength -> weights; `chosen`: which."""
    figure = Figure(figsize=(13, 7.6), facecolor="white", layout="constrained")
    above, below = figure.subfigures(2, 1)
    for axes, (name, strength) in zip(
        above.subplots(1, 3), chosen.items(), strict=True
    ):
        draw_weights(axes, name, paths[name][strength].numpy(), truth, strength)
    for axes, name in zip(below.subplots(1, 2), list(chosen)[1:], strict=True):
        draw_path(axes, name, paths[name], truth)
    beside = path.with_name("partial-" + path.name)
    figure.savefig(beside, dpi=110)
    beside.replace(path)
