"""The picture of examples/brain.py: prediction beside truth, the split, the loss."""

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

PAPER, INK, QUIET = "#0e1116", "#e8eaee", "#8b93a1"
GREY, WHITE, WRONG, ACCENT = "#f2a65a", "#6ec6ff", "#ff4d6d", "#7ee0a8"


def grey(scan, strength=1.0):
    """The scan (height, width), 0–255, as (height, width, 3) on the paper's colour."""
    light = (scan / 255.0)[..., None]
    return np.array(to_rgb(PAPER)) * (1 - light) + strength * light


def coloured(scan, tissue):
    """The scan with its tissues tinted; the folds still show through."""
    picture = grey(scan)
    light = (0.25 + 0.75 * scan / 255.0)[..., None]
    for number, colour in ((1, GREY), (2, WHITE)):
        where = tissue == number
        picture[where] = 0.25 * picture[where] + 0.75 * light[where] * to_rgb(colour)
    return picture


def disagreement(scan, predicted, truth):
    """The scan, faint, with the voxels in red where prediction and truth differ."""
    picture = grey(scan, strength=0.45)
    picture[predicted != truth] = to_rgb(WRONG)
    return picture


def show(axes, picture, title=""):
    axes.imshow(picture, origin="lower", interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(title, color=INK, fontsize=13, pad=8)


def caption(axes, text):
    axes.text(0.5, -0.04, text, color=QUIET, ha="center", transform=axes.transAxes)


def draw_slice(row, scan, truth, predicted, position, titles):
    """One coronal slice in four pictures: scan, truth, prediction, disagreement."""
    scan, truth, predicted = (a[:, position].T for a in (scan, truth, predicted))
    pictures = (
        grey(scan),
        coloured(scan, truth),
        coloured(scan, predicted),
        disagreement(scan, predicted, truth),
    )
    for axes, picture, title in zip(row, pictures, titles, strict=True):
        show(axes, picture, title)
    agreement = np.mean((predicted == truth)[(truth > 0) | (predicted > 0)])
    caption(row[0], f"slice {position}")
    caption(row[3], f"{agreement:.1%} of the tissue agrees")


def draw_split(axes, scan, predicted, slabs):
    """From the side: where the network learned and where it was judged."""
    middle = scan.shape[0] // 2 - 12
    below = np.zeros((18, scan.shape[1]), scan.dtype)  # room for the labels
    scan, predicted = (np.vstack([below, a[middle].T]) for a in (scan, predicted))
    title = "where it learned, and where it is judged"
    picture = coloured(scan, predicted)
    seen = np.ones(scan.shape[1], bool)
    for first, last in slabs["held out"]:
        seen[first:last] = False
    picture[:, seen] = 0.45 * picture[:, seen] + 0.55 * np.array(to_rgb(PAPER))
    show(axes, picture, title)
    for name, colour in (("train", QUIET), ("held out", ACCENT)):
        for first, last in slabs[name]:
            axes.fill_between((first, last), 0, 2, color=colour, linewidth=0)
            centre = (first + last) / 2
            axes.text(centre, 5, name, color=colour, ha="center", va="bottom")


def draw_losses(axes, losses):
    """The loss of each step, and a running mean over it."""
    steps = np.arange(1, len(losses) + 1)
    width = min(10, len(losses))
    smooth = np.convolve(losses, np.ones(width) / width, mode="valid")
    axes.plot(steps, losses, color=QUIET, linewidth=0.9, alpha=0.7)
    axes.plot(steps[width - 1 :], smooth, color=ACCENT, linewidth=2.2)
    axes.set_title("cross-entropy, step by step", color=INK, fontsize=13, pad=8)
    axes.set_ylim(bottom=0)
    axes.set_xlim(1, max(2, len(losses)))
    style(axes)


def draw_dice(axes, dice, names):
    """A bar for each tissue, with its number."""
    colours = (QUIET, GREY, WHITE)
    axes.barh(range(len(dice)), dice, color=colours, height=0.55)
    for row, (name, value) in enumerate(zip(names, dice, strict=True)):
        axes.text(0.02, row, name, color=PAPER, va="center", fontweight="bold")
        axes.text(value + 0.015, row, f"{value:.3f}", color=INK, va="center")
    axes.set_xlim(0, 1.15)
    axes.set_title("Dice on held-out slabs", color=INK, fontsize=13, pad=8)
    style(axes)
    axes.set_yticks([])
    axes.set_xticks([0, 0.5, 1])
    axes.invert_yaxis()


def style(axes):
    axes.set_facecolor(PAPER)
    axes.tick_params(colors=QUIET, length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.grid(color="#232a34", linewidth=0.8)
    axes.set_axisbelow(True)


def draw(path, scan, truth, predicted, slabs, losses, dice):
    """Write the picture to `path`; volumes are (right, back to front, up) in voxels.

    `scan` holds 0–255, `truth` and `predicted` 0 background, 1 grey, 2 white; `slabs`
    maps "train" and "held out" to (first, last) slices; `dice` is one number a tissue.
    """
    figure = Figure(figsize=(15, 13.4), facecolor=PAPER)
    figure.text(0.03, 0.962, "Grey and white matter", color=INK, fontsize=26)
    note = (
        "learned by a 3-D U-Net from the MNI152 head. The slices shown are from slabs "
        f"it has never seen: mean Dice {(dice[1] + dice[2]) / 2:.2f}"
    )
    figure.text(0.03, 0.938, note, color=QUIET, fontsize=13)
    place = {"left": 0.03, "right": 0.97, "wspace": 0.03}
    above = figure.add_gridspec(2, 4, top=0.905, bottom=0.36, hspace=0.05, **place)
    titles = ("scan", "truth", "prediction", "where they differ")
    for row, (first, last) in enumerate(slabs["held out"]):
        axes = [figure.add_subplot(above[row, column]) for column in range(4)]
        shown = titles if row == 0 else ("",) * 4
        draw_slice(axes, scan, truth, predicted, (first + last) // 2, shown)
    place["wspace"] = 0.12
    below = figure.add_gridspec(1, 20, top=0.315, bottom=0.035, **place)
    draw_split(figure.add_subplot(below[0, :8]), scan, predicted, slabs)
    draw_losses(figure.add_subplot(below[0, 8:14]), losses)
    draw_dice(figure.add_subplot(below[0, 15:]), dice, ("background", "grey", "white"))
    figure.savefig(path, dpi=110, facecolor=PAPER)
