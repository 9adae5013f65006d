"""RMSprop, Adagrad, Adadelta: steps scaled by the size of past gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from atrous.ops import create, optimise
from atrous.optim.optimizer import (
    Optimizer,
    at_least_zero,
    check_forms,
    count,
)


class RMSprop(Optimizer):
    """p -= lr·g/(√v + eps), v the running mean of g².

    alpha: how much of v stays in a step; centered: subtract the square of the mean of g
    momentum: keep a running sum of the scaled gradients and step along it

    Raises ValueError for a negative option.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        at_least_zero(
            "RMSprop",
            lr=lr,
            eps=eps,
            momentum=momentum,
            weight_decay=weight_decay,
            alpha=alpha,
        )
        check_forms("RMSprop", differentiable, capturable)
        defaults: dict[str, Any] = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _update(self, group: dict[str, Any]) -> None:
        alpha = float(group["alpha"])
        for parameter, gradient in self._each(group):
            state = self.state[parameter]
            if not state:
                state["step"] = count()
                state["square_avg"] = create.zeros_like(parameter)
                if group["momentum"] > 0:
                    state["momentum_buffer"] = create.zeros_like(parameter)
                if group["centered"]:
                    state["grad_avg"] = create.zeros_like(parameter)
            optimise.counted(state["step"])
            optimise.step(
                optimise.rmsprop,
                parameter,
                gradient,
                state["square_avg"],
                state["grad_avg"] if group["centered"] else None,
                state["momentum_buffer"] if group["momentum"] > 0 else None,
                lr=float(group["lr"]),
                keep=alpha,
                fresh=1 - alpha,
                mostly_new=1 - alpha >= 0.5,
                eps=float(group["eps"]),
                momentum=float(group["momentum"]) or None,
                decay=float(group["weight_decay"]) or None,
                maximize=group["maximize"],
            )


class Adagrad(Optimizer):
    """p -= lr·g/(√s + eps), s the sum of all g² so far.

    lr_decay: lr becomes lr / (1 + steps·lr_decay)
    initial_accumulator_value: what s starts with

    Raises ValueError for a negative option. Source: Duchi, Hazan & Singer 2011.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        at_least_zero(
            "Adagrad",
            lr=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
        )
        check_forms("Adagrad", differentiable)
        defaults: dict[str, Any] = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As `Optimizer.add_param_group`; the state exists from the start."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        value = group["initial_accumulator_value"]
        for parameter in group["params"]:
            state = self.state[parameter]
            state["step"] = count()
            state["sum"] = create.full_like(parameter.detach(), value)

    def _update(self, group: dict[str, Any]) -> None:
        for parameter, gradient in self._each(group):
            state = self.state[parameter]
            t = optimise.counted(state["step"])
            optimise.step(
                optimise.adagrad,
                parameter,
                gradient,
                state["sum"],
                step_size=float(group["lr"]) / (1 + (t - 1) * group["lr_decay"]),
                eps=float(group["eps"]),
                decay=float(group["weight_decay"]) or None,
                maximize=group["maximize"],
            )


class Adadelta(Optimizer):
    """p -= lr·d, d = g·√(u + eps)/√(v + eps); u and v the running means of d² and g².

    rho: how much of u and v stays in a step

    Raises ValueError for options out of range. Source: Zeiler 2012, arXiv:1212.5701.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        at_least_zero("Adadelta", lr=lr, eps=eps, weight_decay=weight_decay)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Adadelta: rho must be in [0, 1], got {rho}")
        check_forms("Adadelta", differentiable, capturable)
        defaults: dict[str, Any] = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _update(self, group: dict[str, Any]) -> None:
        rho = float(group["rho"])
        for parameter, gradient in self._each(group):
            state = self.state[parameter]
            if not state:
                state["step"] = count()
                state["square_avg"] = create.zeros_like(parameter)
                state["acc_delta"] = create.zeros_like(parameter)
            optimise.counted(state["step"])
            optimise.step(
                optimise.adadelta,
                parameter,
                gradient,
                state["square_avg"],
                state["acc_delta"],
                lr=float(group["lr"]),
                keep=rho,
                fresh=1 - rho,
                eps=float(group["eps"]),
                decay=float(group["weight_decay"]) or None,
                maximize=group["maximize"],
            )
