"""Loss scaling: gradients too small for float16 are made larger, then small again.

float16 reaches down to 6e-8. A loss that is multiplied by 65536 has gradients 65536
times as large, which fit; before a step they are divided again, and a step whose
gradients are not finite is left out. bfloat16 reaches as far as float32 and needs none.
Source: Micikevicius et al. 2018, arXiv:1710.03740.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from .. import dtypes
from ..autograd import no_grad
from ..optim import Optimizer
from ..tensor import Tensor


class GradScaler:
    """Scales losses, unscales gradients, and steps where all of them are finite.

        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    The scale starts at `init_scale`, is multiplied by `growth_factor` after
    `growth_interval` steps in a row without inf or NaN, and by `backoff_factor` after
    one with. With `enabled=False` every method does what there is without scaling.

    Raises AssertionError if the factors do not grow and shrink.
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ):
        self._enabled = enabled
        if enabled and device == "cuda":
            warnings.warn(
                "GradScaler: there is no CUDA device. Disabling.", stacklevel=2
            )
            self._enabled = False
        if self._enabled and growth_factor <= 1.0:
            raise AssertionError(
                f"GradScaler: growth_factor must be > 1, not {growth_factor}."
            )
        if self._enabled and backoff_factor >= 1.0:
            raise AssertionError(
                f"GradScaler: backoff_factor must be < 1, not {backoff_factor}."
            )
        self._scale = float(init_scale)
        self._growth_factor = growth_factor
        self._backoff_factor = backoff_factor
        self._growth_interval = growth_interval
        self._growth_tracker = 0
        self._started = False  # whether anything was scaled
        #: Since the last update, by optimizer: whether all gradients were finite.
        self._finite: dict[int, bool] = {}
        self._stepped: set[int] = set()

    def scale(self, outputs):
        """A tensor, or each of an iterable of tensors, times the scale."""
        if not self._enabled:
            return outputs
        self._started = True
        if isinstance(outputs, Tensor):
            return outputs * self._scale_tensor()
        if isinstance(outputs, Iterable):
            scaled = map(self.scale, outputs)
            return (
                type(outputs)(scaled) if isinstance(outputs, (list, tuple)) else scaled
            )
        raise ValueError(
            "GradScaler.scale: takes a Tensor or an iterable of Tensors, not"
            f" {type(outputs).__name__}."
        )

    def _scale_tensor(self) -> Tensor:
        return Tensor([self._scale]).squeeze()

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients of the optimizer's parameters by the scale, once.

        Raises RuntimeError if that was done, or stepped, since the last `update`;
        ValueError for float16 gradients, which the division would lose.
        """
        if not self._enabled:
            return
        self._check_started("unscale_")
        if id(optimizer) in self._stepped:
            raise RuntimeError("unscale_() is being called after step().")
        if id(optimizer) in self._finite:
            raise RuntimeError(
                "unscale_() has already been called on this optimizer since the last"
                " update()."
            )
        inverse = float(1.0 / self._scale)
        finite = [
            _divide(parameter.grad, inverse)
            for group in optimizer.param_groups
            for parameter in group["params"]
            if parameter.grad is not None
        ]
        if finite:
            self._finite[id(optimizer)] = all(finite)

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """`optimizer.step(…)`, unscaled; left out (None) where a gradient is not
        finite.

        Raises RuntimeError for a closure, or a second step without `update`;
        AssertionError if the optimizer has no gradients.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError(
                "GradScaler.step: a closure is not supported while scaling is enabled."
            )
        if id(optimizer) in self._stepped:
            raise RuntimeError(
                "step() has already been called since the last update()."
            )
        self._check_started("step")
        if id(optimizer) not in self._finite:
            self.unscale_(optimizer)
        if id(optimizer) not in self._finite:
            raise AssertionError(
                "GradScaler.step: none of the optimizer's parameters has a gradient."
            )
        self._stepped.add(id(optimizer))
        if self._finite[id(optimizer)]:
            return optimizer.step(*args, **kwargs)
        return None

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Grow or shrink the scale by what the steps found, or set it."""
        if not self._enabled:
            return
        self._check_started("update")
        if new_scale is not None:
            self._scale = float(new_scale)
        elif not self._finite:
            raise AssertionError(
                "GradScaler.update: no gradients were looked at since the last one."
            )
        elif not all(self._finite.values()):
            self._scale, self._growth_tracker = self._scale * self._backoff_factor, 0
        else:
            self._grow()
        self._finite.clear()
        self._stepped.clear()

    def _grow(self) -> None:
        self._growth_tracker += 1
        if self._growth_tracker < self._growth_interval:
            return
        self._growth_tracker = 0
        grown = self._scale * self._growth_factor
        if grown <= dtypes.finfo(dtypes.float32).max:
            self._scale = grown

    def _check_started(self, method: str) -> None:
        if not self._started:
            raise AssertionError(
                f"GradScaler.{method}: nothing was scaled yet; call scale(loss) first."
            )

    # What it is set to

    def is_enabled(self) -> bool:
        """Whether anything is scaled."""
        return self._enabled

    def get_scale(self) -> float:
        """The scale; 1 where disabled."""
        return self._scale if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        self._growth_interval = new_interval

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs, under torch's names; empty where disabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self._scale,
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._growth_tracker,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` gave; RuntimeError if that was disabled."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "GradScaler.load_state_dict: the state is empty: it was saved from a"
                " scaler that was disabled."
            )
        for name in self.state_dict():
            setattr(self, name if name[0] == "_" else f"_{name}", state_dict[name])


def _divide(gradient: Tensor, inverse: float) -> bool:
    """gradient *= inverse; whether it was finite."""
    if gradient.dtype is dtypes.float16:
        raise ValueError("Attempting to unscale FP16 gradients.")
    with no_grad():
        finite = bool(gradient.isfinite().all())
        gradient.mul_(inverse)
    return finite
