"""Gradients against finite differences; Jacobians and Hessians."""

from __future__ import annotations

from itertools import product

import numpy as np

from .engine import Make, grad


class GradcheckError(RuntimeError):
    """A gradient does not agree with the finite difference."""


def _tuple(value) -> tuple:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _numerical(function, inputs, which: int, eps: float) -> list[np.ndarray]:
    """d outputs / d inputs[which], by central differences: (inputs, outputs)."""
    values = inputs[which].detach()._array
    columns = []
    for place in product(*map(range, values.shape)):
        before = values[place]
        sides = []
        for step in (eps, -eps):
            values[place] = before + step
            sides.append(
                [each.detach()._array.copy() for each in _tuple(function(*inputs))]
            )
        values[place] = before
        columns.append(
            [(up - down) / (2 * eps) for up, down in zip(*sides, strict=True)]
        )
    outputs = len(columns[0]) if columns else 0
    return [
        np.stack([column[i].reshape(-1) for column in columns]) for i in range(outputs)
    ]


def _analytical(output, variable) -> np.ndarray:
    rows = []
    for place in product(*map(range, output.shape)):
        seed = Make.zeros(output.shape, output.dtype)
        seed._array[place] = 1
        (got,) = grad(output, variable, seed, retain_graph=True, allow_unused=True)
        size = variable.numel()
        rows.append(np.zeros(size) if got is None else got._array.reshape(-1).copy())
    return np.stack(rows, 1) if rows else np.zeros((variable.numel(), 0))


def gradcheck(
    func,
    inputs,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    **_,
) -> bool:
    """Does every gradient of `func` agree with central differences?

    Inputs that require grad should be float64. Raises GradcheckError (a RuntimeError)
    with both Jacobians where they differ, or returns False.
    """
    inputs = _tuple(inputs)
    checked = [
        i for i, each in enumerate(inputs) if getattr(each, "requires_grad", False)
    ]
    if not checked:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none"
            " of the them have requires_grad=True."
        )
    outputs = [
        each for each in _tuple(func(*inputs)) if getattr(each, "requires_grad", False)
    ]
    for which in checked:
        numerical = _numerical(
            lambda *given: tuple(
                each
                for each in _tuple(func(*given))
                if getattr(each, "requires_grad", False)
            ),
            inputs,
            which,
            eps,
        )
        for index, output in enumerate(outputs):
            analytical = _analytical(output, inputs[which])
            expected = numerical[index] if numerical else analytical
            if not np.allclose(analytical, expected, rtol, atol):
                if not raise_exception:
                    return False
                raise GradcheckError(
                    f"Jacobian mismatch for output {index} with respect to input"
                    f" {which},\nnumerical:{expected}\nanalytical:{analytical}\n"
                )
    return True


def gradgradcheck(func, inputs, grad_outputs=None, **options) -> bool:
    """Does every second gradient of `func` agree with differences of the first?"""
    inputs = _tuple(inputs)
    outputs = [each for each in _tuple(func(*inputs)) if each.requires_grad]
    if grad_outputs is None:
        generator = np.random.default_rng(0)
        seeds = []
        for output in outputs:
            seed = Make.zeros(output.shape, output.dtype)
            seed._array[...] = generator.standard_normal(output.shape)
            seeds.append(seed.requires_grad_())
    else:
        seeds = list(_tuple(grad_outputs))
    count = len(inputs)

    def first(*given):
        values, directions = given[:count], given[count:]
        results = [each for each in _tuple(func(*values)) if each.requires_grad]
        wanted = [each for each in values if getattr(each, "requires_grad", False)]
        got = grad(results, wanted, directions, create_graph=True, allow_unused=True)
        return tuple(each for each in got if each is not None)

    return gradcheck(first, (*inputs, *seeds), **options)


def jacobian(func, inputs, create_graph: bool = False, **_):
    """d func / d inputs: for each output and input, shape (*output, *input)."""
    given = [each.detach().requires_grad_() for each in _tuple(inputs)]
    outputs = func(*given)
    rows = tuple(
        tuple(_jacobian_of(output, variable, create_graph) for variable in given)
        for output in _tuple(outputs)
    )
    if not isinstance(inputs, (tuple, list)):
        rows = tuple(row[0] for row in rows)
    return rows if isinstance(outputs, tuple) else rows[0]


def _jacobian_of(output, variable, create_graph):
    flat = output.reshape(-1)
    total = Make.zeros((flat.numel(), *variable.shape), variable.dtype)
    for i in range(flat.numel()):
        (got,) = grad(flat[i], variable, None, True, create_graph, allow_unused=True)
        if got is not None:
            total[i] = got
    return total.reshape((*output.shape, *variable.shape))


def hessian(func, inputs, create_graph: bool = False, **_):
    """The second derivatives of a scalar function of one tensor."""

    def first(given):
        (got,) = grad(func(given), given, create_graph=True)
        return got

    return jacobian(first, inputs, create_graph)
