"""Schedules along a cosine. Source: Loshchilov & Hutter 2017, arXiv:1608.03983."""

from __future__ import annotations

import math

from atrous.optim.lr_scheduler.scheduler import LRScheduler
from atrous.optim.optimizer import Optimizer


class CosineAnnealingLR(LRScheduler):
    """From the initial rate down to `eta_min` in T_max epochs, along half a cosine."""

    def __init__(
        self,
        optimizer: Optimizer,
        T_max: int,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ):
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def _next(self, lr: float, base: float) -> float:
        if self._is_initial:
            return lr
        height, turn = base - self.eta_min, math.pi / self.T_max
        if self._step_count == 1 and self.last_epoch > 0:  # resumed
            return self.eta_min + height * (1 + math.cos(self.last_epoch * turn)) / 2
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:
            # The cosine was at its lowest, where a ratio would be 0/0.
            return lr + height * (1 - math.cos(turn)) / 2
        now = 1 + math.cos(math.pi * self.last_epoch / self.T_max)
        before = 1 + math.cos(math.pi * (self.last_epoch - 1) / self.T_max)
        return now / before * (lr - self.eta_min) + self.eta_min

    def _get_closed_form_lr(self) -> list[float]:
        share = 1 + math.cos(math.pi * self.last_epoch / self.T_max)
        return [
            self.eta_min + (base - self.eta_min) * share / 2 for base in self.base_lrs
        ]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half a cosine of T_0 epochs, then again from the top, T_mult times as long.

    `step(epoch)` may be given fractions: `step(epoch + batch / batches)`.

    Raises ValueError unless T_0 and T_mult are positive ints.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ):
        owner = type(self).__name__
        for name, value in (("T_0", T_0), ("T_mult", T_mult)):
            if value < 1 or not isinstance(value, int):
                raise ValueError(f"{owner}: {name} must be a positive int, got {value}")
        if not isinstance(eta_min, (float, int)):
            raise ValueError(f"{owner}: eta_min must be a number, got {eta_min!r}")
        self.T_0 = T_0
        self.T_i: float = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def _next(self, lr: float, base: float) -> float:
        share = 1 + math.cos(math.pi * self.T_cur / self.T_i)
        return self.eta_min + (base - self.eta_min) * share / 2

    def step(self, epoch: float | None = None) -> None:
        """Set the rates of the next epoch, or of `epoch`, perhaps a fraction."""
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        else:
            self._find_cycle(epoch)
        self.last_epoch = math.floor(epoch)
        self._get_lr_called_within_step = True
        try:
            new = self.get_lr()
        finally:
            self._get_lr_called_within_step = False
        self._set(new)

    def _find_cycle(self, epoch: float) -> None:
        """Length of the cycle that `epoch` falls into, and how far it is in it."""
        if epoch < 0:
            raise ValueError(
                f"{type(self).__name__}: epoch must be at least 0, got {epoch}"
            )
        first, times = self.T_0, self.T_mult
        if epoch < first:
            self.T_i, self.T_cur = first, epoch
        elif times == 1:
            self.T_cur = epoch % first
        else:
            cycle = int(math.log(epoch / first * (times - 1) + 1, times))
            self.T_cur = epoch - first * (times**cycle - 1) / (times - 1)
            self.T_i = first * times**cycle
