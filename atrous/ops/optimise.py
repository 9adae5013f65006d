"""Optimiser steps: one pass over all parameters, whatever the formula.

A formula is a pure function of values: it gets the parameter `p`, its gradient `g` and
the optimiser's state, and returns what each becomes. It is traced once into expressions
of the compiler, and one generated kernel reads and writes every array in place. Steps
asked for within `together` wait for its end, where those of one formula and the same
numbers are one launch, be the parameters ten or a thousand.

Its order of operations is torch's, and so are its roundings: `fma` stands where torch
adds a multiple in one rounding.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

import numpy as np

from atrous import compiler
from atrous.tensor import Tensor


class Value:
    """A value in a formula: arithmetic builds the expression."""

    __slots__ = ("tree",)

    def __init__(self, tree: tuple):
        self.tree = tree

    def __neg__(self) -> Value:
        return _make("neg", self)

    def __add__(self, other: Value | float) -> Value:
        return _make("add", self, other)

    def __sub__(self, other: Value | float) -> Value:
        return _make("sub", self, other)

    def __mul__(self, other: Value | float) -> Value:
        return _make("mul", self, other)

    def __truediv__(self, other: Value | float) -> Value:
        return _make("div", self, other)


def _make(name: str, *operands: Value | float) -> Value:
    trees = (o.tree if isinstance(o, Value) else ("const", o) for o in operands)
    return Value((name, *trees))


def fma(a: Value, b: Value, c: Value) -> Value:
    """a·b + c, rounded once."""
    return _make("fma", a, b, c)


def sqrt(a: Value) -> Value:
    """√a."""
    return _make("sqrt", a)


def lerp(a: Value, b: Value, share: Value, mostly_b: bool) -> Value:
    """a + share·(b - a), reckoned from b where the share is at least a half."""
    return fma(b - a, share - 1.0, b) if mostly_b else fma(b - a, share, a)


Results = dict[str, Value]


def sgd(
    p, g, momentum_buffer, *, lr, momentum, fresh, decay, first, nesterov, maximize
) -> Results:
    """Gradient descent; `fresh` is 1 - dampening."""
    g = _directed(p, g, decay, maximize)
    if momentum_buffer is None:
        return {"p": fma(g, -lr, p)}
    buffer = g if first else fma(g, fresh, momentum_buffer * momentum)
    g = fma(buffer, momentum, g) if nesterov else buffer
    return {"p": fma(g, -lr, p), "momentum_buffer": buffer}


def _directed(p: Value, g: Value, decay: Value | None, maximize: bool) -> Value:
    """The gradient with its sign, and with the L2 penalty's decay·p added."""
    g = -g if maximize else g
    return g if decay is None else fma(p, decay, g)


def _moments(g, exp_avg, exp_avg_sq, fresh, mostly_new, keep_sq, fresh_sq):
    """The running mean of g and of g²."""
    mean = lerp(exp_avg, g, fresh, mostly_new)
    return mean, fma(fresh_sq * g, g, exp_avg_sq * keep_sq)


def adam(
    p,
    g,
    exp_avg,
    exp_avg_sq,
    max_exp_avg_sq,
    *,
    step_size,
    root,
    eps,
    fresh,
    mostly_new,
    keep_sq,
    fresh_sq,
    decay,
    shrink,
    maximize,
) -> Results:
    """Adam, AdamW (`shrink` the parameter), AMSGrad (the largest g² so far).

    step_size is lr / (1 - beta1^t), root is √(1 - beta2^t).
    """
    g = _directed(p, g, decay, maximize)
    p = p if shrink is None else p * shrink
    mean, square = _moments(
        g, exp_avg, exp_avg_sq, fresh, mostly_new, keep_sq, fresh_sq
    )
    results = {"exp_avg": mean, "exp_avg_sq": square}
    if max_exp_avg_sq is not None:
        largest = _make("maximum", max_exp_avg_sq, square)
        results["max_exp_avg_sq"] = square = largest
    scale = sqrt(square) / root + eps
    return {"p": p + -step_size * mean / scale, **results}


def nadam(
    p,
    g,
    exp_avg,
    exp_avg_sq,
    *,
    of_gradient,
    of_mean,
    correction,
    eps,
    fresh,
    mostly_new,
    keep_sq,
    fresh_sq,
    decay,
    shrink,
    maximize,
) -> Results:
    """Adam with Nesterov's momentum: steps along the gradient and along the mean."""
    g = _directed(p, g, decay, maximize)
    p = p if shrink is None else p * shrink
    mean, square = _moments(
        g, exp_avg, exp_avg_sq, fresh, mostly_new, keep_sq, fresh_sq
    )
    scale = sqrt(square / correction) + eps
    p = p + of_gradient * g / scale
    return {
        "p": p + of_mean * mean / scale,
        "exp_avg": mean,
        "exp_avg_sq": square,
    }


def radam(
    p,
    g,
    exp_avg,
    exp_avg_sq,
    *,
    lr,
    correction,
    root,
    rectification,
    eps,
    fresh,
    mostly_new,
    keep_sq,
    fresh_sq,
    decay,
    shrink,
    maximize,
) -> Results:
    """Adam, rectified: adaptive once the variance of g² is known well enough."""
    g = _directed(p, g, decay, maximize)
    p = p if shrink is None else p * shrink
    mean, square = _moments(
        g, exp_avg, exp_avg_sq, fresh, mostly_new, keep_sq, fresh_sq
    )
    move = mean / correction * lr
    if rectification is not None:
        move = move * (root / (sqrt(square) + eps)) * rectification
    return {"p": p - move, "exp_avg": mean, "exp_avg_sq": square}


def adamax(
    p,
    g,
    exp_avg,
    exp_inf,
    *,
    step_size,
    eps,
    fresh,
    mostly_new,
    keep_inf,
    decay,
    maximize,
) -> Results:
    """Adam with the largest |g| in place of the root of the mean of g²."""
    g = _directed(p, g, decay, maximize)
    mean = lerp(exp_avg, g, fresh, mostly_new)
    largest = _make("maximum", exp_inf * keep_inf, _make("abs", g) + eps)
    return {
        "p": p + -step_size * mean / largest,
        "exp_avg": mean,
        "exp_inf": largest,
    }


def rmsprop(
    p,
    g,
    square_avg,
    grad_avg,
    momentum_buffer,
    *,
    lr,
    keep,
    fresh,
    mostly_new,
    eps,
    momentum,
    decay,
    maximize,
) -> Results:
    """g over the root of the running mean of g², centred and with momentum if asked."""
    g = _directed(p, g, decay, maximize)
    square = fma(fresh * g, g, square_avg * keep)
    results = {"square_avg": square}
    variance = square
    if grad_avg is not None:
        mean = results["grad_avg"] = lerp(grad_avg, g, fresh, mostly_new)
        variance = fma(-mean, mean, square)
    scale = sqrt(variance) + eps
    if momentum_buffer is None:
        return {"p": p + -lr * g / scale, **results}
    buffer = results["momentum_buffer"] = momentum_buffer * momentum + g / scale
    return {"p": fma(buffer, -lr, p), **results}


def adagrad(p, g, sum, *, step_size, eps, decay, maximize) -> Results:
    """g over the root of the sum of all g² so far."""
    g = _directed(p, g, decay, maximize)
    total = fma(g, g, sum)
    return {"p": p + -step_size * g / (sqrt(total) + eps), "sum": total}


def adadelta(
    p, g, square_avg, acc_delta, *, lr, keep, fresh, eps, decay, maximize
) -> Results:
    """g scaled by the ratio of two running roots: of past moves, and of past g."""
    g = _directed(p, g, decay, maximize)
    square = fma(fresh * g, g, square_avg * keep)
    move = sqrt(acc_delta + eps) / sqrt(square + eps) * g
    return {
        "p": fma(move, -lr, p),
        "square_avg": square,
        "acc_delta": fma(fresh * move, move, acc_delta * keep),
    }


class _Waiting(threading.local):
    """The steps that wait for the end of `together`: tensors by problem."""

    steps: dict[tuple, list[list[Tensor]]] | None = None
    parameters: set[int]


_waiting = _Waiting()


@contextmanager
def together() -> Iterator[None]:
    """Steps asked for within are done at the end, in as few launches as can be."""
    if _waiting.steps is not None:
        yield
        return
    _waiting.steps, _waiting.parameters = {}, set()
    try:
        yield
        _run_waiting()
    finally:
        _waiting.steps = None


def _run_waiting() -> None:
    steps, _waiting.steps, _waiting.parameters = _waiting.steps or {}, {}, set()
    for problem, rows in steps.items():
        _run(problem, rows)


def step(formula: Callable, *tensors: Tensor | None, **values: float | None) -> None:
    """Run `formula` on `tensors` (p, g, then the state), writing its results in place.

    Numbers among `values` are given to the kernel when it runs; booleans and None
    choose between forms of the formula, each of which is a kernel of its own.
    """
    given = [tensor for tensor in tensors if tensor is not None]
    problem = (
        formula,
        tuple([tensor is not None for tensor in tensors]),
        tuple(values.items()),
        tuple([tensor.dtype.name for tensor in given]),
    )
    if _waiting.steps is None:
        _run(problem, [given])
        return
    if id(given[0]) in _waiting.parameters:  # the same one again: one after the other
        _run_waiting()
    _waiting.parameters.add(id(given[0]))
    _waiting.steps.setdefault(problem, []).append(given)


def steps(formula: Callable, rows: Sequence[tuple], **values: float | None) -> None:
    """As `step`, for rows of tensors whose numbers are the same."""
    if len({id(row[0]) for row in rows}) < len(rows):  # one after the other
        for row in rows:
            step(formula, *row, **values)
        return
    present = tuple([tensor is not None for tensor in rows[0]])
    alike: dict[tuple, list[list[Tensor]]] = {}
    for row in rows:
        given = [tensor for tensor in row if tensor is not None]
        names = tuple([tensor.dtype.name for tensor in given])
        alike.setdefault(names, []).append(given)
    for names, each in alike.items():
        _run((formula, present, tuple(values.items()), names), each)


def _run(problem: tuple, rows: list[list[Tensor]]) -> None:
    """One formula with the same numbers, on the tensors of each row."""
    formula, present, values, names = problem
    form = tuple(
        (name, "number" if _is_number(value) else value) for name, value in values
    )
    numbers = [float(value) for name, value in values if _is_number(value)]
    expressions, written = _traced(formula, present, form)
    arrays = [[tensor._array for tensor in given] for given in rows]
    alike: list[list] = []
    others: list[list] = []
    for given in rows:
        for place in written:
            storage = given[place]._storage
            if storage.readers:
                storage.settle_readers()
    for row in arrays:
        (alike if _lie_alike(row) else others).append(row)
    if alike:
        compiler.pointwise_each(
            expressions, alike, scalars=numbers, dtypes=names, written=written
        )
    for row in others:
        compiler.pointwise(
            expressions,
            *row,
            scalars=numbers,
            dtypes=names,
            out=[row[place] for place in written],
        )
    for given in rows:
        for place in written:
            given[place]._bump()


def _is_number(value: float | bool | None) -> bool:
    return value is not None and not isinstance(value, bool)


def _lie_alike(row: list) -> bool:
    """Whether the arrays are dense and have their elements in the same order."""
    first = row[0]
    shape, strides, itemsize = first.shape, first.strides, first.itemsize
    for each in row:
        if each.strides != strides or each.shape != shape:
            # of sizes 1, or of other dtypes, the strides may say nothing
            return all([a.flags.c_contiguous and a.shape == shape for a in row])
    if first.flags.c_contiguous:
        return all([each.flags.c_contiguous for each in row])
    return all([each.itemsize == itemsize for each in row]) and _dense(
        shape, strides, itemsize
    )


@lru_cache(maxsize=4096)
def _dense(shape: tuple[int, ...], strides: tuple[int, ...], step: int) -> bool:
    """Whether elements of `step` bytes fill their memory, in some order of axes."""
    for stride, size in sorted(zip(strides, shape, strict=True)):
        if size == 1:
            continue
        if stride != step:
            return False
        step *= size
    return True


def counted(count: Tensor) -> int:
    """Add one to a count, a tensor of one number; returns it."""
    array = count._array
    np.add(array, 1, array)
    count._bump()
    return int(array)


@lru_cache(maxsize=256)
def _traced(
    formula: Callable, present: tuple[bool, ...], form: tuple
) -> tuple[tuple[tuple, ...], tuple[int, ...]]:
    """The formula's expressions, and which of the given tensors each is written to."""
    arguments: list[Value | None] = []
    for given in present:
        place = len([a for a in arguments if a is not None])
        arguments.append(Value(("in", place)) if given else None)
    values: dict[str, Value | bool | None] = {}
    count = 0
    for name, kind in form:
        if kind == "number":
            values[name] = Value(("scalar", count))
            count += 1
        else:
            values[name] = kind
    results = formula(*arguments, **values)
    names = inspect.signature(formula).parameters
    at = {n: a.tree[1] for n, a in zip(names, arguments, strict=False) if a is not None}
    places = tuple(at[name] for name in results)
    return tuple(value.tree for value in results.values()), places
