"""L-BFGS: quasi-Newton steps from the last gradients, for smooth losses of few weights.

Sources: Nocedal & Wright 2006, "Numerical Optimization", algorithms 3.5, 3.6 and 7.4;
Schmidt 2005, minFunc (the safeguards of the line search).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from atrous import autograd
from atrous.ops import create, join
from atrous.optim.optimizer import Optimizer, at_least_zero
from atrous.tensor import Tensor

DECREASE, CURVATURE, TRIES = 1e-4, 0.9, 25  # the Wolfe conditions, and when to give up


@dataclass
class Point:
    """A place on the line that is searched: step, loss, gradient, slope."""

    t: float
    loss: float
    gradient: Tensor
    slope: float


Evaluate = Callable[[float], Point]


def _lowest_of_cubic(a: Point, b: Point, bounds: tuple[float, float]) -> float:
    """Where the cubic through two points with their slopes is lowest, within bounds."""
    low, high = bounds
    mean = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = mean**2 - a.slope * b.slope
    if square < 0:
        return (low + high) / 2.0
    root = math.sqrt(square)
    if a.t > b.t:
        a, b = b, a
    share = (b.slope + root - mean) / (b.slope - a.slope + 2 * root)
    return min(max(b.t - (b.t - a.t) * share, low), high)


def _bracket(start: Point, t: float, evaluate: Evaluate) -> tuple[list[Point], int]:
    """Points between which the Wolfe conditions can be met, or one that meets them."""
    before, now = start, evaluate(t)
    for tries in range(TRIES):
        if now.loss > start.loss + DECREASE * now.t * start.slope or (
            tries > 1 and now.loss >= before.loss
        ):
            return [before, now], tries
        if abs(now.slope) <= -CURVATURE * start.slope:
            return [now], tries
        if now.slope >= 0:
            return [before, now], tries
        bounds = now.t + 0.01 * (now.t - before.t), now.t * 10
        t = _lowest_of_cubic(before, now, bounds)
        before, now = now, evaluate(t)
    return [start, now], TRIES


def _away_from_ends(
    t: float, low: float, high: float, stuck: bool
) -> tuple[float, bool]:
    """`t`, moved a tenth inwards if it stays too near an end for the second time."""
    margin = 0.1 * (high - low)
    if min(high - t, t - low) >= margin:
        return t, False
    if stuck or t >= high or t <= low:
        return (high - margin if abs(t - high) < abs(t - low) else low + margin), False
    return t, True


def _strong_wolfe(
    start: Point, t: float, evaluate: Evaluate, size: float, least: float
) -> Point:
    """A step that meets the strong Wolfe conditions, or the best one found.

    `size` is the largest entry of the direction, `least` the change that still counts.
    """
    points, tries = _bracket(start, t, evaluate)
    if len(points) == 1:
        return points[0]
    low, high = sorted(points, key=lambda point: point.loss)
    stuck = False
    while tries < TRIES and abs(high.t - low.t) * size >= least:
        first, last = sorted((low.t, high.t))
        ends = (low, high) if low.t < high.t else (high, low)
        t = _lowest_of_cubic(*ends, (first, last))
        t, stuck = _away_from_ends(t, first, last, stuck)
        now = evaluate(t)
        tries += 1
        if now.loss > start.loss + DECREASE * t * start.slope or now.loss >= low.loss:
            high = now
            low, high = sorted((low, high), key=lambda point: point.loss)
            continue
        if abs(now.slope) <= -CURVATURE * start.slope:
            return now
        if now.slope * (high.t - low.t) >= 0:
            high = low
        low = now
    return low


class LBFGS(Optimizer):
    """Steps along -H·g, H the inverse Hessian as the last gradients show it.

    max_iter, max_eval: iterations, and evaluations of the closure, in one step
    tolerance_grad, tolerance_change: stop where gradient or change are smaller
    history_size: how many gradients are kept
    line_search_fn: None (steps of lr) or "strong_wolfe"

    `step` needs a closure. One group only: raises ValueError for more.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ):
        at_least_zero("LBFGS", lr=lr)
        defaults: dict[str, Any] = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError(
                f"LBFGS: one parameter group is possible, got {len(self.param_groups)}"
            )
        if line_search_fn not in (None, "strong_wolfe"):
            raise RuntimeError(
                "LBFGS: line_search_fn must be None or 'strong_wolfe', got "
                f"{line_search_fn!r}"
            )
        self._params = self.param_groups[0]["params"]

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._params = self.param_groups[0]["params"]

    def _gradient(self) -> Tensor:
        """All gradients as one vector."""
        return join.cat(
            [
                create.zeros_like(p).view(-1) if p.grad is None else p.grad.reshape(-1)
                for p in self._params
            ]
        )

    def _move(self, t: float, direction: Tensor) -> None:
        start = 0
        for p in self._params:
            part = direction[start : start + p.numel()]
            p.add_(part.view_as(p), alpha=t)
            start += p.numel()

    def _direction(self, gradient: Tensor, state: dict[str, Any]) -> Tensor:
        """-H·g, by two loops over the history."""
        turned = -gradient
        history = list(
            zip(state["old_dirs"], state["old_stps"], state["ro"], strict=True)
        )
        shares = []
        for change, step, rate in reversed(history):
            share = step.dot(turned).item() * rate
            turned.add_(change, alpha=-share)
            shares.append(share)
        turned = turned * state["H_diag"]
        for (change, step, rate), share in zip(history, reversed(shares), strict=True):
            turned.add_(step, alpha=share - change.dot(turned).item() * rate)
        return turned

    def _remember(self, gradient: Tensor, state: dict[str, Any], keep: int) -> None:
        """Take the last step and how it changed the gradient into the history."""
        change = gradient - state["prev_flat_grad"]
        step = state["d"] * state["t"]
        curvature = change.dot(step).item()
        if curvature <= 1e-10:
            return
        for name, value in (
            ("old_dirs", change),
            ("old_stps", step),
            ("ro", 1.0 / curvature),
        ):
            if len(state[name]) == keep:
                state[name].pop(0)
            state[name].append(value)
        state["H_diag"] = curvature / change.dot(change).item()

    @autograd.no_grad()
    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Iterate until a limit is reached; returns the loss before."""
        closure = autograd.enable_grad()(closure)
        group, state = self.param_groups[0], self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss = closure()
        loss, evaluations = float(first_loss), 1
        state["func_evals"] += 1
        gradient = self._gradient()
        if gradient.abs().max() <= group["tolerance_grad"]:
            return first_loss
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            self._next_direction(gradient, state, group)
            before = loss
            state["prev_flat_grad"], state["prev_loss"] = gradient.clone(), loss
            slope = gradient.dot(state["d"]).item()
            if slope > -group["tolerance_change"]:
                break
            start = Point(0.0, loss, gradient, slope)
            final = iteration == group["max_iter"]
            reached, used = self._search(closure, start, state, group, final)
            loss, gradient = reached.loss, reached.gradient
            state["t"] = reached.t
            evaluations += used
            state["func_evals"] += used
            if (
                evaluations >= group["max_eval"]
                or gradient.abs().max() <= group["tolerance_grad"]
                or (state["d"] * reached.t).abs().max() <= group["tolerance_change"]
                or abs(loss - before) < group["tolerance_change"]
            ):
                break
        return first_loss

    def _next_direction(
        self, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        if state["n_iter"] == 1:
            state.update(d=-gradient, old_dirs=[], old_stps=[], ro=[], H_diag=1)
            state["t"] = min(1.0, 1.0 / gradient.abs().sum().item()) * group["lr"]
        else:
            self._remember(gradient, state, group["history_size"])
            state["d"] = self._direction(gradient, state)
            state["t"] = group["lr"]

    def _search(
        self,
        closure: Callable[[], Any],
        start: Point,
        state: dict[str, Any],
        group: dict[str, Any],
        final: bool,
    ) -> tuple[Point, int]:
        """Move along the direction; the point reached, and its evaluations."""
        direction, used = state["d"], 0
        if group["line_search_fn"] is None:
            self._move(state["t"], direction)
            if final:  # nobody would use the evaluation
                return Point(state["t"], start.loss, start.gradient, 0.0), 0
            loss = float(closure())
            return Point(state["t"], loss, self._gradient(), 0.0), 1
        places = [p.clone() for p in self._params]

        def evaluate(t: float) -> Point:
            nonlocal used
            used += 1
            self._move(t, direction)
            loss, gradient = float(closure()), self._gradient()
            for p, place in zip(self._params, places, strict=True):
                p.copy_(place)
            return Point(t, loss, gradient, gradient.dot(direction).item())

        size = direction.abs().max().item()
        reached = _strong_wolfe(
            start, state["t"], evaluate, size, group["tolerance_change"]
        )
        self._move(reached.t, direction)
        return reached, used
