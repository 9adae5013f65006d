"""Adam and its relatives: steps scaled by running means of the gradient."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from atrous.ops import create, data, optimise
from atrous.optim.optimizer import (
    Optimizer,
    at_least_zero,
    below_one,
    check_forms,
    count,
)
from atrous.tensor import Tensor

Betas = tuple[float, float]


def _check(owner: str, lr: float, betas: Betas, eps: float, decay: float) -> None:
    at_least_zero(owner, lr=lr, eps=eps, weight_decay=decay)
    below_one(owner, **{f"betas[{place}]": beta for place, beta in enumerate(betas)})


def _decay(group: dict[str, Any]) -> dict[str, float | None]:
    """The weight decay: in the gradient, or taken off the parameter by itself."""
    decay = float(group["weight_decay"])
    decoupled = group["decoupled_weight_decay"]
    return {
        "decay": decay if decay and not decoupled else None,
        "shrink": 1 - float(group["lr"]) * decay if decay and decoupled else None,
    }


def _shares(beta1: float, beta2: float) -> dict[str, float | bool]:
    """How much of the old means stays, and how much of the new gradient comes in."""
    return {
        "fresh": 1 - beta1,
        "mostly_new": 1 - beta1 >= 0.5,
        "keep_sq": beta2,
        "fresh_sq": 1 - beta2,
    }


def _betas(group: dict[str, Any]) -> Betas:
    beta1, beta2 = group["betas"]
    return float(beta1), float(beta2)


def _start(state: dict[str, Any], parameter: Tensor, *names: str) -> None:
    """Make the state of a parameter at its first step."""
    if not state:
        state["step"] = count()
        state.update((name, create.zeros_like(parameter)) for name in names)


class Adam(Optimizer):
    """p -= lr·m/(√v + eps), m and v the running means of g and g², bias corrected.

    betas: how much of m and of v stays in a step
    weight_decay: the L2 penalty, added to the gradient; with decoupled_weight_decay
        taken off the parameter by itself, as AdamW does
    amsgrad: use the largest v so far
    foreach, fused: accepted; every step is one fused kernel for all of a group

    Raises ValueError for options out of range. Source: Kingma & Ba 2015,
    arXiv:1412.6980.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ):
        _check(type(self).__name__, lr, betas, eps, weight_decay)
        check_forms(type(self).__name__, differentiable, capturable)
        defaults: dict[str, Any] = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def _update(self, group: dict[str, Any]) -> None:
        lr, (beta1, beta2) = float(group["lr"]), _betas(group)
        largest = ("max_exp_avg_sq",) if group["amsgrad"] else ()
        names = ("exp_avg", "exp_avg_sq", *largest)
        rows: dict[int, list[tuple]] = {}
        for parameter, gradient in self._each(group):
            state = self.state[parameter]
            _start(state, parameter, *names)
            means = state["exp_avg"], state["exp_avg_sq"]
            most = state["max_exp_avg_sq"] if largest else None
            row = (parameter, gradient, *means, most)
            rows.setdefault(optimise.counted(state["step"]), []).append(row)
        for t, alike in rows.items():
            optimise.steps(
                optimise.adam,
                alike,
                step_size=lr / (1 - beta1**t),
                root=(1 - beta2**t) ** 0.5,
                eps=float(group["eps"]),
                maximize=group["maximize"],
                **_shares(beta1, beta2),
                **_decay(group),
            )


class AdamW(Adam):
    """Adam with decoupled weight decay: p shrinks by lr·weight_decay each step.

    Source: Loshchilov & Hutter 2019, arXiv:1711.05101.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True


class NAdam(Optimizer):
    """Adam with Nesterov's momentum, whose share grows over the steps.

    momentum_decay: how fast it grows. Source: Dozat 2016.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 2e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ):
        _check("NAdam", lr, betas, eps, weight_decay)
        at_least_zero("NAdam", momentum_decay=momentum_decay)
        check_forms("NAdam", differentiable, capturable)
        defaults: dict[str, Any] = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _update(self, group: dict[str, Any]) -> None:
        lr, (beta1, beta2) = float(group["lr"]), _betas(group)

        def momentum(t: int) -> float:
            return beta1 * (1.0 - 0.5 * 0.96 ** (t * group["momentum_decay"]))

        for parameter, gradient in self._each(group):
            state = self.state[parameter]
            if not state:
                state["step"] = count()
                state["mu_product"] = data.tensor(1.0)
                state["exp_avg"] = create.zeros_like(parameter)
                state["exp_avg_sq"] = create.zeros_like(parameter)
            t = optimise.counted(state["step"])
            now, after = momentum(t), momentum(t + 1)
            product = state["mu_product"].mul_(now).item()
            optimise.step(
                optimise.nadam,
                parameter,
                gradient,
                state["exp_avg"],
                state["exp_avg_sq"],
                of_gradient=-lr * (1.0 - now) / (1.0 - product),
                of_mean=-lr * after / (1.0 - product * after),
                correction=1 - beta2**t,
                eps=float(group["eps"]),
                maximize=group["maximize"],
                **_shares(beta1, beta2),
                **_decay(group),
            )


class RAdam(Optimizer):
    """Adam, rectified: plain momentum until the variance of g² is known.

    Source: Liu et al. 2019, arXiv:1908.03265.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ):
        _check("RAdam", lr, betas, eps, weight_decay)
        check_forms("RAdam", differentiable, capturable)
        defaults: dict[str, Any] = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _update(self, group: dict[str, Any]) -> None:
        lr, (beta1, beta2) = float(group["lr"]), _betas(group)
        for parameter, gradient in self._each(group):
            state = self.state[parameter]
            _start(state, parameter, "exp_avg", "exp_avg_sq")
            t = optimise.counted(state["step"])
            optimise.step(
                optimise.radam,
                parameter,
                gradient,
                state["exp_avg"],
                state["exp_avg_sq"],
                lr=lr,
                correction=1 - beta1**t,
                root=math.sqrt(1 - beta2**t),
                rectification=_rectification(beta2, t),
                eps=float(group["eps"]),
                maximize=group["maximize"],
                **_shares(beta1, beta2),
                **_decay(group),
            )


def _rectification(beta2: float, t: int) -> float | None:
    """The factor for the variance of the adaptive step; None while it is not finite."""
    most = 2 / (1 - beta2) - 1
    length = most - 2 * t * beta2**t / (1 - beta2**t)
    if length <= 5.0:
        return None
    return math.sqrt(
        (length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length)
    )


class Adamax(Optimizer):
    """Adam with the decaying maximum of |g| in place of √v.

    Source: Kingma & Ba 2015, arXiv:1412.6980, section 7.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 2e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ):
        _check("Adamax", lr, betas, eps, weight_decay)
        check_forms("Adamax", differentiable, capturable)
        defaults: dict[str, Any] = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _update(self, group: dict[str, Any]) -> None:
        lr, (beta1, beta2) = float(group["lr"]), _betas(group)
        for parameter, gradient in self._each(group):
            state = self.state[parameter]
            _start(state, parameter, "exp_avg", "exp_inf")
            t = optimise.counted(state["step"])
            optimise.step(
                optimise.adamax,
                parameter,
                gradient,
                state["exp_avg"],
                state["exp_inf"],
                step_size=lr / (1 - beta1**t),
                eps=float(group["eps"]),
                fresh=1 - beta1,
                mostly_new=1 - beta1 >= 0.5,
                keep_inf=beta2,
                decay=float(group["weight_decay"]) or None,
                maximize=group["maximize"],
            )
