"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from atrous.ops import create, optimise
from atrous.optim.optimizer import Optimizer, at_least_zero, check_forms


class SGD(Optimizer):
    """p -= lr·v with v = momentum·v + (1 - dampening)·g.

    weight_decay adds weight_decay·p to the gradient g: the L2 (ridge) penalty
    nesterov steps along g + momentum·v; maximize climbs instead of descending
    foreach, fused: accepted; every step is one fused kernel for all of a group

    Raises ValueError for a negative option, or nesterov without momentum.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        at_least_zero("SGD", lr=lr, momentum=momentum, weight_decay=weight_decay)
        check_forms("SGD", differentiable)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError(
                "SGD: nesterov needs a momentum and no dampening, got momentum="
                f"{momentum} and dampening={dampening}"
            )
        defaults: dict[str, Any] = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def _update(self, group: dict[str, Any]) -> None:
        momentum = float(group["momentum"])
        for parameter, gradient in self._each(group):
            buffer, first = None, False
            if momentum:
                state = self.state[parameter]
                buffer = state.get("momentum_buffer")
                first = buffer is None
                if first:
                    buffer = state["momentum_buffer"] = create.empty_like(gradient)
            optimise.step(
                optimise.sgd,
                parameter,
                gradient,
                buffer,
                lr=float(group["lr"]),
                momentum=momentum or None,
                fresh=1 - float(group["dampening"]) if momentum else None,
                decay=float(group["weight_decay"]) or None,
                first=first,
                nesterov=group["nesterov"],
                maximize=group["maximize"],
            )
