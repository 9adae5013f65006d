"""Torch as the oracle: the same call, made in torch and in a namespace like it.

`check(program, *tensors)` serves every test: `program(T, *tensors)` is written once,
against a namespace T, and run twice. It compares value, dtype and shape, then first
and, where asked for, second gradients under the same random cotangents.

Tolerance: a sum of n terms, added in any order, errs by about sqrt(n) rounding steps of
its largest partial sum, an elementary function by a few steps of its own value. Both
are granted with a factor of 8, in units of the dtype's eps.
"""

import importlib
import math
from collections.abc import Callable, Iterator

import numpy as np
import torch

CASTS = {"torch.float16": 2.0**-10, "torch.bfloat16": 2.0**-7}
SLACK = 8


class NotConvertible(TypeError):
    """The value belongs to a part of torch that is out of scope, such as complex."""


def atrous():
    return importlib.import_module("atrous")


def convert(value, T):
    """A torch value, or a nest of them, as the same value of namespace T."""
    if isinstance(value, torch.Tensor):
        return convert_tensor(value, T)
    if isinstance(value, torch.Size):
        return T.Size(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(convert(item, T) for item in value))
    if isinstance(value, (list, tuple)):
        return type(value)(convert(item, T) for item in value)
    if isinstance(value, dict):
        return {name: convert(item, T) for name, item in value.items()}
    if isinstance(value, slice):
        return slice(*convert((value.start, value.stop, value.step), T))
    if isinstance(value, torch.device):
        return T.device(str(value))
    if isinstance(value, (torch.dtype, torch.memory_format, torch.layout)):
        name = str(value).removeprefix("torch.")
        if not hasattr(T, name):
            raise NotConvertible(str(value))
        return getattr(T, name)
    if isinstance(value, (bool, int, float, str, type(None), type(...))):
        return value
    raise NotConvertible(f"{type(value).__name__} as an argument")


def convert_tensor(source: torch.Tensor, T):
    if source.layout != torch.strided or not hasattr(T, str(source.dtype)[6:]):
        raise NotConvertible(f"{source.layout} {source.dtype}")
    copy = T.from_numpy(array(source).copy()).to(getattr(T, str(source.dtype)[6:]))
    return copy.requires_grad_() if source.requires_grad else copy


def array(tensor) -> np.ndarray:
    """The values of any namespace's tensor; bfloat16 is widened to float32."""
    tensor = tensor.detach()
    if "bfloat16" in str(tensor.dtype):
        tensor = tensor.float()
    # Force: torch has tensors that are zero, or negative, by a flag alone.
    is_torch = isinstance(tensor, torch.Tensor)
    return tensor.numpy(force=True) if is_torch else tensor.numpy()


def leaves(value) -> Iterator:
    """The tensors in a nest of lists, tuples and dictionaries, in order."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, dict):
        yield from leaves(list(value.values()))
    elif hasattr(value, "requires_grad"):
        yield value


def difference(actual, expected, terms: int = 1) -> str | None:
    """Why `actual` is not torch's `expected`; None where it is.

    `terms` is the number of values that may have been summed into one element.
    """
    if isinstance(expected, (list, tuple)):
        if not isinstance(actual, (list, tuple)) or len(actual) != len(expected):
            return f"{describe(actual)}, expected {describe(expected)}"
        found = (
            difference(*pair, terms) for pair in zip(actual, expected, strict=True)
        )
        return next((reason for reason in found if reason), None)
    if isinstance(expected, torch.Tensor):
        if not hasattr(actual, "requires_grad"):
            return f"{describe(actual)}, expected {describe(expected)}"
        return tensor_difference(actual, expected, terms)
    if isinstance(expected, float) and isinstance(actual, float):
        same = math.isclose(actual, expected, rel_tol=1e-6) or (
            math.isnan(actual) and math.isnan(expected)
        )
        return None if same else f"{actual}, expected {expected}"
    if type(expected).__module__.startswith("torch"):
        return None if str(actual) == str(expected) else f"{actual}, not {expected}"
    return None if actual == expected else f"{actual!r}, expected {expected!r}"


def describe(value) -> str:
    if hasattr(value, "requires_grad"):
        return f"{value.dtype} {tuple(value.shape)}"
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__} of {len(value)}"
    return repr(value)


def tensor_difference(actual, expected: torch.Tensor, terms: int) -> str | None:
    if str(actual.dtype) != str(expected.dtype):
        return f"dtype {actual.dtype}, expected {expected.dtype}"
    if tuple(actual.shape) != tuple(expected.shape):
        return f"shape {tuple(actual.shape)}, expected {tuple(expected.shape)}"
    if expected.requires_grad != actual.requires_grad:
        return f"requires_grad {actual.requires_grad}, not {expected.requires_grad}"
    ours, theirs = array(actual), array(expected)
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return f"array {ours.dtype} {ours.shape}, not {theirs.dtype} {theirs.shape}"
    if not expected.dtype.is_floating_point:
        wrong = ours != theirs
    else:
        allowed = tolerance(theirs.astype(np.float64), str(expected.dtype), terms)
        with np.errstate(invalid="ignore"):
            error = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
            wrong = ~((error <= allowed) | (ours == theirs))
        wrong &= ~(np.isnan(ours) & np.isnan(theirs))
    if not wrong.any():
        return None
    place = tuple(int(index) for index in np.argwhere(wrong)[0])
    return (
        f"{wrong.sum()} of {wrong.size} differ, "
        f"at {place}: {ours[place]!r}, expected {theirs[place]!r}"
    )


def tolerance(expected: np.ndarray, dtype: str, terms: int) -> np.ndarray:
    """The largest error that rounding explains, element by element."""
    eps = CASTS.get(dtype) or torch.finfo(getattr(torch, dtype[6:])).eps
    finite = np.abs(np.where(np.isfinite(expected), expected, 0))
    largest = finite.max(initial=0)
    return SLACK * eps * (finite + math.sqrt(terms) * largest)


def gradients(outputs: list, inputs: list, T, seed: int, create_graph=False) -> list:
    """The gradients of all differentiable outputs under random cotangents.

    Outputs may be None. A cotangent depends on its place alone, so that it is the same
    in two namespaces that disagree about which outputs are constant.
    """
    wanted, cotangents = [], []
    for index, output in enumerate(outputs):
        if output is not None and output.requires_grad:
            random = np.random.default_rng((seed, index))
            values = np.array(random.standard_normal(tuple(output.shape)))
            wanted.append(output)
            cotangents.append(T.from_numpy(values).to(output.dtype))
    if not wanted or not inputs:
        return [None] * len(inputs)
    grad = T.autograd.grad
    return list(
        grad(wanted, inputs, cotangents, allow_unused=True, create_graph=create_graph)
    )


def gradient_difference(actual: list, expected: list, terms: int) -> str | None:
    """As `difference`; None (an input without influence) equals a gradient of zero."""
    for index, (ours, theirs) in enumerate(zip(actual, expected, strict=True)):
        if ours is None or theirs is None:
            given = theirs if ours is None else ours
            reason = given is not None and array(given).any() and "one is None"
        else:
            reason = difference(ours.detach(), theirs.detach(), terms)
        if reason:
            return f"gradient {index}: {reason}"
    return None


def differentiable(value) -> list:
    return [each for each in leaves(value) if each.requires_grad]


def terms_in(value) -> int:
    return max((math.prod(each.shape) for each in leaves(value)), default=1) or 1


def check(program: Callable, *inputs, T=None, second: bool = False) -> None:
    """Assert that `program(T, *inputs)` is in atrous what it is in torch.

    Inputs are torch tensors (or anything `convert` takes); gradients are compared for
    those that require them, second gradients too where `second` is set.

    >>> check(lambda T, x: T.relu(x) * 2, torch.randn(3, requires_grad=True))
    """
    T = T or atrous()
    results = []
    for namespace in (torch, T):
        given = convert(list(inputs), namespace)
        outputs = program(namespace, *given)
        targets = differentiable(given)
        first = gradients(
            list(leaves(outputs)), targets, namespace, 1, create_graph=second
        )
        again = gradients(first, targets, namespace, 2) if second else []
        results.append((outputs, first, again))
    (expected, first, again), (actual, own_first, own_again) = results
    terms = terms_in(list(inputs))
    assert (reason := difference(actual, expected, terms)) is None, reason
    reason = gradient_difference(own_first, first, terms)
    assert reason is None, f"first {reason}"
    reason = gradient_difference(own_again, again, terms)
    assert reason is None, f"second {reason}"
