"""Which schedule computes a convolution: a cost model, and a measurement in doubt.

"streamed" (few outputs, many weights) and "winograd" stand beside "direct", which is
whatever needs neither: sliding rows for depthwise and grouped, dots for few channels
out, else direct sums. Where the model is sure there is nothing to measure. Where it is
not, and the problem is large, the first call times the schedules and the fastest is
remembered on disk, beside the kernels: later calls, with any number of threads, and
later processes take the same, so that results keep their bits.

ATROUS_TUNE=0, or `use_deterministic_algorithms`, leaves it to the model alone;
ATROUS_SCHEDULE names one schedule for every convolution that it handles.
"""

import os
import time
from collections.abc import Callable
from math import prod

from . import cache
from .schedules import conv_streamed, winograd_choice
from .schedules.conv_taps import Taps, forward, input_gradient
from .spec import ConvSpec
from .target import Target

STREAMED, WINOGRAD, DIRECT = "streamed", "winograd", "direct"
#: How many times faster than another the model must find a schedule to be sure of it;
#: of groups, whose vectors may be short, it knows less.
SURE, SURE_OF_GROUPS = 1.5, 2.5
#: Multiply-adds from which on measuring is worth its calls.
FEWEST_PRODUCTS = 20_000_000
#: Times that each schedule is measured; the least counts.
ROUNDS = 3
#: False while the model decides alone.
measured = True

_known: dict[str, str] = {}


def candidates(spec: ConvSpec) -> tuple[str, ...]:
    """The schedules that may be fastest, the model's choice first."""
    pinned = os.environ.get("ATROUS_SCHEDULE")
    if pinned:
        return (pinned,)
    gain = _winograd_gain(spec)
    others = (
        [WINOGRAD, DIRECT] if gain > 1 / winograd_choice.GAIN else [DIRECT, WINOGRAD]
    )
    sure = SURE if spec.groups == 1 else SURE_OF_GROUPS
    if not 1 / sure < gain < sure:
        others.pop()
    if not conv_streamed.handles(spec):
        return tuple(others)
    patches = spec.batch * prod(spec.output_size)
    few = patches * conv_streamed.ROWS_A_PATCH * SURE <= spec.out_channels
    return (STREAMED,) if few else (STREAMED, *others)


def _winograd_gain(spec: ConvSpec) -> float:
    """How many times faster than direct sums Winograd is by the model; 0 if nowhere."""
    if spec.groups > 1 and spec.solves == "w":
        return 0.0  # sliding rows are as fast, and lose no digits
    parts: list[Taps] = input_gradient(spec) if spec.solves == "x" else [forward(spec)]
    parts = [taps for taps in parts if taps.products]
    if not any(winograd_choice.fits(taps) for taps in parts):
        return 0.0
    direct = sum(map(winograd_choice.direct_cost, parts))
    return direct / sum(
        winograd_choice.cost(taps, winograd_choice.choose_sizes(taps))
        if winograd_choice.fits(taps)
        else winograd_choice.direct_cost(taps)
        for taps in parts
    )


def choose(
    spec: ConvSpec,
    strides: tuple[tuple[int, ...], ...],
    target: Target,
    run: Callable[[str], object],
) -> str:
    """The schedule for operands of these strides; `run` solves the problem with one."""
    names = candidates(spec)
    if len(names) == 1 or not measured or spec.products < FEWEST_PRODUCTS:
        return names[0]
    if os.environ.get("ATROUS_TUNE") == "0":
        return names[0]
    key = f"{spec!r} {strides} {names} {target.name} {target.key}"
    found = _known.get(key) or cache.recall(key)
    if found not in names:
        found = _fastest(names, run)
        cache.keep(key, found)
    _known[key] = found
    return found


def _fastest(names: tuple[str, ...], run: Callable[[str], object]) -> str:
    """The name whose run takes least; they take turns, after one run each."""
    least = dict.fromkeys(names, float("inf"))
    for name in names:
        run(name)
    for _ in range(ROUNDS):
        for name in names:
            began = time.perf_counter()
            run(name)
            least[name] = min(least[name], time.perf_counter() - began)
    return min(names, key=least.__getitem__)
