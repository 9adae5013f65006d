"""Expressions that must come to the same in torch and here: text, or refusal."""

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import atrous  # noqa: E402


def lines(text: str) -> list[str]:
    """A table of expressions, one a line."""
    return text.strip().splitlines()


def names(T, gradient: bool) -> dict:
    """What the expressions may name: tensors of every rank, and the namespace."""
    x = T.arange(12.0).reshape(3, 4)
    volume = T.arange(24.0).reshape(1, 2, 3, 4)
    return {
        "T": T,
        "np": np,
        "F": T.nn.functional,
        "L": T.tensor,
        "x": x.requires_grad_() if gradient else x,
        "y": volume,
        "i": T.tensor([0, 2]),
        "after": after(T),
    }


def after(T):
    """`after("t[0] = 5")`: the tensor t = x after a statement."""

    def run(statement: str):
        t = T.arange(12.0).reshape(3, 4)
        exec(statement, {**names(T, False), "t": t})
        return t

    return run


def outcome(T, expression: str, gradient: bool) -> tuple[str, str]:
    """The printed value of an expression, or the type and text of its refusal."""
    T.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return repr(eval(expression, names(T, gradient))), ""
        except Exception as error:
            return type(error).__name__, str(error)


def assert_same(expression: str, gradient: bool = False) -> None:
    """The same printed value, or the same type of exception, as in torch."""
    expected, theirs = outcome(torch, expression, gradient)
    actual, ours = outcome(atrous, expression, gradient)
    assert actual == expected, f"{ours or actual}\nin torch: {theirs or expected}"


def assert_refused(expression: str, error: type[Exception], text: str) -> None:
    """The exception and the whole of its text, and the same exception in torch."""
    assert outcome(torch, expression, False)[0] == error.__name__
    assert outcome(atrous, expression, False) == (error.__name__, text)
