"""Schedules that go up and down, the momentum against the rate.

Sources: Smith 2017, arXiv:1506.01186 (cycles); Smith & Topin 2018, arXiv:1708.07120
(one cycle).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from atrous.optim.lr_scheduler.scheduler import (
    LRScheduler,
    check_optimizer,
    function_state,
    one_each,
    set_rate,
)
from atrous.optim.optimizer import Optimizer

MODES = ("triangular", "triangular2", "exp_range")


class _WithMomentum(LRScheduler):
    """A schedule that also moves the momentum, or Adam's first beta."""

    def _prepare_momentum(
        self, optimizer: Optimizer, base: Any, most: Any, last_epoch: int
    ) -> tuple[list, list]:
        options = optimizer.defaults
        if "momentum" not in options and "betas" not in options:
            raise ValueError(
                f"{type(self).__name__}: cycle_momentum needs an optimizer with "
                f"momentum or betas, {type(optimizer).__name__} has neither"
            )
        self.use_beta1 = "betas" in options
        bases = one_each("base_momentum", base, optimizer)
        mosts = one_each("max_momentum", most, optimizer)
        if last_epoch == -1:
            for group, low, high in zip(
                optimizer.param_groups, bases, mosts, strict=True
            ):
                self._set_momentum(group, high)
                group["max_momentum"], group["base_momentum"] = high, low
        return bases, mosts

    def _set_momentum(self, group: dict[str, Any], momentum: float) -> None:
        if self.use_beta1:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum


def _same(x: float) -> float:
    return 1.0


def _halved(x: float) -> float:
    return 1 / 2.0 ** (x - 1)


def _power(gamma: float, x: float) -> float:
    return gamma**x


class CyclicLR(_WithMomentum):
    """Between base_lr and max_lr, up in step_size_up batches, down in step_size_down.

    mode: "triangular"; "triangular2", whose height halves each cycle; "exp_range",
        whose height is multiplied by gamma each batch
    scale_fn, scale_mode: a height of the user's own, of the "cycle" or "iterations"
    cycle_momentum: the momentum goes from max_momentum to base_momentum and back

    Raises ValueError for an unknown mode, or an optimiser without momentum.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float = 0.8,
        max_momentum: float = 0.9,
        last_epoch: int = -1,
    ):
        check_optimizer(optimizer)
        self.optimizer = optimizer
        base_lrs = one_each("base_lr", base_lr, optimizer)
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, base_lrs, strict=True):
                set_rate(group, lr)
        self.max_lrs = one_each("max_lr", max_lr, optimizer)
        up = float(step_size_up)
        self.total_size = up + float(up if step_size_down is None else step_size_down)
        self.step_ratio = up / self.total_size
        if mode not in MODES and scale_fn is None:
            raise ValueError(
                f"CyclicLR: mode must be one of {', '.join(MODES)} unless scale_fn is "
                f"given, got {mode!r}"
            )
        self.mode = mode
        self.gamma = gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode
        self._choose_scale()
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.base_momentums, self.max_momentums = self._prepare_momentum(
                optimizer, base_momentum, max_momentum, last_epoch
            )
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def _choose_scale(self) -> None:
        if self._scale_fn_custom is not None:
            return
        self.scale_mode = "iterations" if self.mode == "exp_range" else "cycle"
        scales: dict[str, Callable[[float], float]] = {
            "triangular": _same,
            "triangular2": _halved,
            "exp_range": partial(_power, self.gamma),
        }
        self._scale_fn_ref = scales[self.mode]

    def scale_fn(self, x: float) -> float:
        """The height of the cycle."""
        return (self._scale_fn_custom or self._scale_fn_ref)(x)

    def get_lr(self) -> list[float]:
        self._warn_outside_step()
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        share = x / self.step_ratio
        if x > self.step_ratio:
            share = (x - 1) / (self.step_ratio - 1)
        height = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            for group, low, high in zip(
                self.optimizer.param_groups,
                self.base_momentums,
                self.max_momentums,
                strict=True,
            ):
                self._set_momentum(group, high - (high - low) * share * height)
        limits = zip(self.base_lrs, self.max_lrs, strict=True)
        return [low + (high - low) * share * height for low, high in limits]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimiser and functions."""
        state = super().state_dict()
        state.pop("_scale_fn_ref", None)
        custom = state.pop("_scale_fn_custom")
        state["_scale_fn_custom"] = None if custom is None else function_state(custom)
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        rest = dict(state_dict)
        custom = rest.pop("_scale_fn_custom")
        super().load_state_dict(rest)
        if custom is not None:
            self._scale_fn_custom.__dict__.update(custom)
        self._choose_scale()


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)


def _line(start: float, end: float, share: float) -> float:
    return (end - start) * share + start


ANNEAL = {"cos": _cosine, "linear": _line}


class OneCycleLR(_WithMomentum):
    """Up to max_lr in a share `pct_start` of all batches, then down to almost nothing.

    total_steps, or epochs and steps_per_epoch: how many batches there will be
    anneal_strategy: "cos" or "linear"
    div_factor: the initial rate is max_lr / div_factor
    final_div_factor: the last rate is the initial rate / final_div_factor
    three_phase: down to the initial rate first, then to the last

    Raises ValueError for options out of range, and when stepped too often.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ):
        check_optimizer(optimizer)
        self.optimizer = optimizer
        self.total_steps = _total(total_steps, epochs, steps_per_epoch)
        self._schedule_phases = _phases(self.total_steps, pct_start, three_phase)
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ValueError(
                f"OneCycleLR: pct_start must be a float in [0, 1], got {pct_start}"
            )
        if anneal_strategy not in ANNEAL:
            raise ValueError(
                "OneCycleLR: anneal_strategy must be 'cos' or 'linear', got "
                f"{anneal_strategy!r}"
            )
        self._anneal_func_type = anneal_strategy
        highest = one_each("max_lr", max_lr, optimizer)
        if last_epoch == -1:
            for group, high in zip(optimizer.param_groups, highest, strict=True):
                group["initial_lr"] = high / div_factor
                group["max_lr"] = high
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._prepare_momentum(optimizer, base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        self._warn_outside_step()
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueError(
                f"OneCycleLR: step {step} is beyond the {self.total_steps} total steps"
            )
        start, place = 0.0, 0
        while (
            step > self._schedule_phases[place]["end_step"]
            and place < len(self._schedule_phases) - 1
        ):
            start = self._schedule_phases[place]["end_step"]
            place += 1
        phase = self._schedule_phases[place]
        share = (step - start) / (phase["end_step"] - start)
        anneal = ANNEAL[self._anneal_func_type]
        new = []
        for group in self.optimizer.param_groups:
            new.append(anneal(group[phase["start_lr"]], group[phase["end_lr"]], share))
            if self.cycle_momentum:
                ends = group[phase["start_momentum"]], group[phase["end_momentum"]]
                self._set_momentum(group, anneal(*ends, share))
        return new


def _total(steps: Any, epochs: Any, steps_per_epoch: Any) -> int:
    """How many steps there will be."""
    if steps is None and (epochs is None or steps_per_epoch is None):
        raise ValueError(
            "OneCycleLR: give total_steps, or epochs and steps_per_epoch, got "
            f"total_steps={steps}, epochs={epochs}, steps_per_epoch={steps_per_epoch}"
        )
    given = {"total_steps": steps}
    if steps is None:
        given = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    for name, value in given.items():
        if not isinstance(value, int) or value <= 0:
            raise ValueError(f"OneCycleLR: {name} must be a positive int, got {value}")
    return math.prod(given.values())


def _phases(total: int, share: float, three: bool) -> list[dict[str, Any]]:
    """The last step of each phase, and the names of the rates that it goes between."""
    ends: list[float] = [float(share * total) - 1, total - 1]
    rates = ["initial_lr", "max_lr", "min_lr"]
    momentums = ["max_momentum", "base_momentum", "max_momentum"]
    if three:
        ends.insert(1, float(2 * share * total) - 2)
        rates.insert(2, "initial_lr")
        momentums.append("max_momentum")
    return [
        {
            "end_step": end,
            "start_lr": rates[place],
            "end_lr": rates[place + 1],
            "start_momentum": momentums[place],
            "end_momentum": momentums[place + 1],
        }
        for place, end in enumerate(ends)
    ]
