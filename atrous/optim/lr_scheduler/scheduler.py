"""LRScheduler: what every schedule is."""

from __future__ import annotations

import types
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from atrous.optim.optimizer import Optimizer
from atrous.tensor import Tensor

BEFORE_OPTIMIZER = (
    "Detected call of `lr_scheduler.step()` before `optimizer.step()`. Call them in "
    "the opposite order, or the first value of the learning rate schedule is skipped."
)
USE_LAST_LR = (
    "To get the last learning rate computed by the scheduler, please use "
    "`get_last_lr()`."
)
EPOCH_IS_DEPRECATED = (
    "The epoch parameter in `scheduler.step()` is deprecated: call `scheduler.step()` "
    "without it."
)


def check_optimizer(optimizer: object) -> None:
    """Raise TypeError for what is no Optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")


def set_rate(group: dict[str, Any], lr: float) -> None:
    """Change a group's rate; a rate kept in a tensor stays that tensor."""
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(lr)
    else:
        group["lr"] = lr


def rates(optimizer: Optimizer) -> list[Any]:
    """The groups' rates; tensors as copies."""
    found = [group["lr"] for group in optimizer.param_groups]
    return [lr.clone() if isinstance(lr, Tensor) else lr for lr in found]


def one_each(name: str, value: Any, optimizer: Optimizer) -> list[Any]:
    """`value` for every group, or the list of one value a group that it is."""
    groups = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [value] * groups
    if len(value) != groups:
        raise ValueError(
            f"{name} has {len(value)} values, the optimizer {groups} parameter groups"
        )
    return list(value)


class LRScheduler:
    """A schedule of the learning rate.

    last_epoch: steps already done; -1 starts anew and remembers the optimiser's rates
        as "initial_lr". To resume, give the optimiser groups with "initial_lr".

    A subclass defines `_next(lr, base)`, a group's new rate from its present one and
    its initial one, or `get_lr()`, the new rates of all groups; and, where there is a
    formula for any epoch, `_get_closed_form_lr()`.

    Raises TypeError for what is no Optimizer, KeyError if "initial_lr" is missing.
    """

    _get_lr_called_within_step = False
    _is_initial = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1):
        check_optimizer(optimizer)
        self.optimizer = optimizer
        for place, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                lr = group["lr"]
                group.setdefault(
                    "initial_lr", lr.clone() if isinstance(lr, Tensor) else lr
                )
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not in param_groups[{place}]: to resume at "
                    f"last_epoch={last_epoch}, load the optimizer's state dict first"
                )
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._initial_step()

    def _initial_step(self) -> None:
        """The step to epoch 0."""
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimiser."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.__dict__.update(state_dict)

    def get_last_lr(self) -> list[float]:
        """The rates that the last step set, one a group."""
        return self._last_lr

    def get_lr(self) -> list[float]:
        """The rates of the next epoch; for `step`, others want `get_last_lr()`."""
        self._warn_outside_step()
        groups = self.optimizer.param_groups
        pairs = zip(groups, self.base_lrs, strict=True)
        return [self._next(group["lr"], base) for group, base in pairs]

    def _warn_outside_step(self) -> None:
        if not self._get_lr_called_within_step:
            warnings.warn(USE_LAST_LR, UserWarning, stacklevel=3)

    def _next(self, lr: float, base: float) -> float:
        raise NotImplementedError(f"{type(self).__name__} defines no get_lr")

    def step(self, epoch: int | None = None) -> None:
        """Set the rates of the next epoch. Call it after `optimizer.step()`."""
        if self._step_count == 1 and not self.optimizer._opt_called:
            warnings.warn(BEFORE_OPTIMIZER, UserWarning, stacklevel=2)
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_IS_DEPRECATED, UserWarning, stacklevel=2)
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        self._get_lr_called_within_step = True
        try:
            if epoch is None:
                self.last_epoch += 1
                new = self.get_lr()
            else:
                self.last_epoch = epoch
                closed = getattr(self, "_get_closed_form_lr", self.get_lr)
                new = closed()
        finally:
            self._get_lr_called_within_step = False
        self._set(new)

    def _set(self, new: Iterable[float]) -> None:
        for group, lr in zip(self.optimizer.param_groups, new, strict=True):
            set_rate(group, lr)
        self._last_lr = rates(self.optimizer)


_LRScheduler = LRScheduler


def function_state(function: Callable) -> dict[str, Any] | None:
    """What a state dict keeps of a function: the attributes of an object, else None."""
    plain = isinstance(function, types.FunctionType)
    return None if plain else dict(function.__dict__)
