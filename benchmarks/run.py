"""Atrous beside PyTorch, row by row: `make bench`.

The rivals take turns in one process, each with all its threads; medians are shown. Of
torch's contiguous and channels-last layouts the faster counts. "error" is the largest
difference from a float64 convolution, over that result's largest value. ×: torch's time
over ours, so above 1 we are ahead. Where torch is not installed its columns are empty.
"""

import argparse
import statistics
import time

import numpy as np
from rows import ROWS, Row

import atrous

try:
    import torch
except ImportError:
    torch = None


class Rival:
    """One library in one layout, with one row's operands."""

    def __init__(self, library, x: np.ndarray, w: np.ndarray, row: Row, last=False):
        rank = x.ndim - 2
        self.convolve = getattr(library.nn.functional, f"conv{rank}d")
        self.x, self.w = (library.from_numpy(a.copy()) for a in (x, w))
        if last:
            layout = library.channels_last if rank == 2 else library.channels_last_3d
            self.x, self.w = (t.to(memory_format=layout) for t in (self.x, self.w))
        self.x.requires_grad_()
        self.w.requires_grad_()
        self.options = (None, row.stride, row.padding, row.dilation, row.groups)
        self.library = library
        self.grad = library.ones_like(self.forward())

    def forward(self):
        with self.library.no_grad():
            return self.convolve(self.x, self.w, *self.options)

    def both(self):
        self.x.grad = self.w.grad = None
        self.convolve(self.x, self.w, *self.options).backward(self.grad)


def medians(calls: list, seconds: float) -> list[float]:
    """Milliseconds of each call, taking turns for about `seconds`, twice at least."""
    for call in calls:
        call()
    taken: list[list[float]] = [[] for _ in calls]
    end = time.perf_counter() + seconds
    while len(taken[0]) < 2 or time.perf_counter() < end:
        for call, times in zip(calls, taken, strict=True):
            began = time.perf_counter()
            call()
            times.append(1e3 * (time.perf_counter() - began))
    return [statistics.median(times) for times in taken]


def errors(rivals: list[Rival], x: np.ndarray, w: np.ndarray, row: Row) -> list[float]:
    """Each rival's distance from the same convolution in float64."""
    exact = Rival(rivals[-1].library, x.astype(float), w.astype(float), row).forward()
    truth = exact.numpy()
    return [
        float(np.abs(r.forward().numpy() - truth).max() / np.abs(truth).max())
        for r in rivals
    ]


def measure(row: Row, seconds: float) -> str:
    """The row's line of figures."""
    random = np.random.default_rng(0)
    x, w = (random.standard_normal(s, dtype=np.float32) for s in (row.x, row.w))
    rivals = [Rival(atrous, x, w, row)]
    if torch:
        rivals.append(Rival(torch, x, w, row))
        if x.ndim > 3:
            rivals.append(Rival(torch, x, w, row, last=True))
    figures = []
    for calls in ([r.forward for r in rivals], [r.both for r in rivals]):
        ours, *theirs = medians(calls, seconds)
        figures.append(f"{ours:8.2f}")
        other = f"{min(theirs):8.2f} {min(theirs) / ours:6.2f}" if theirs else " " * 15
        figures.append(other)
    wrong = " ".join(f"{e:8.1e}" for e in errors(rivals, x, w, row)[:2])
    return f"{row.family:<10} {row.name:<34} {' '.join(figures)} {wrong}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="for each figure")
    parser.add_argument("--family", help="only rows of this family")
    options = parser.parse_args()
    rows = [row for row in ROWS if options.family in (None, row.family)]
    print(f"atrous {atrous.__version__}, torch {torch and torch.__version__}")
    print(f"{'':45} {'forward, ms':^24} {'with backward, ms':^24} {'error':^17}")
    figures = f"{'atrous':>8} {'torch':>8} {'×':>6} "
    print(f"{'family':<10} {'problem':<34} {2 * figures}{'atrous':>8} {'torch':>8}")
    for row in rows:
        print(measure(row, options.seconds), flush=True)


if __name__ == "__main__":
    main()
