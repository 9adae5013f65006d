"""Torch as the oracle: the same call, made in torch and in a namespace like it.

`check(program, *tensors)` serves every test: `program(T, *tensors)` is written once,
against a namespace T, and run twice. It compares value, dtype and shape, then first
and, where asked for, second gradients under the same random cotangents.

Tolerance: a sum of n terms, added in any order, errs by about sqrt(n) rounding steps of
its largest partial sum, an elementary function by a few steps of its own value. Both
are granted with a factor of 8, in units of the dtype's eps. Where a problem magnifies
errors (the variance of a nearly constant channel), that is measured: by how much
torch's own result changes if every input changes by one rounding step. It counts up to
sqrt(eps) of the result (of 1, if that is smaller).
"""

import importlib
import math
from collections.abc import Callable, Iterator

import numpy as np
import torch

CASTS = {"torch.float16": 2.0**-10, "torch.bfloat16": 2.0**-7}
SLACK = 8
NEARBY = 8  # how many neighbours of the inputs show how a problem magnifies rounding


class NotConvertible(TypeError):
    """The value belongs to a part of torch that is out of scope, such as complex."""


def atrous():
    return importlib.import_module("atrous")


def keep(values: np.ndarray) -> np.ndarray:
    return values.copy()


def rounding_step(seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """A change of every floating point value by about one rounding step."""
    random = np.random.default_rng(seed)

    def change(values: np.ndarray) -> np.ndarray:
        if values.dtype.kind != "f":
            return values.copy()
        step = np.array(
            random.uniform(-1, 1, values.shape) * np.finfo(values.dtype).eps
        )
        return np.array(values * (1 + step), values.dtype)

    return change


def convert(value, T, change: Callable[[np.ndarray], np.ndarray] = keep):
    """A torch value, or a nest of them, as the same value of namespace T."""
    if isinstance(value, torch.Tensor):
        return convert_tensor(value, T, change)
    if isinstance(value, torch.Size):
        return T.Size(value)
    if isinstance(value, (list, tuple)):
        items = [convert(item, T, change) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, dict):
        return {name: convert(item, T, change) for name, item in value.items()}
    if isinstance(value, slice):
        return slice(*convert([value.start, value.stop, value.step], T, change))
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


def convert_tensor(source: torch.Tensor, T, change=keep):
    if source.layout != torch.strided or not hasattr(T, str(source.dtype)[6:]):
        raise NotConvertible(f"{source.layout} {source.dtype}")
    copy = tensor_of(change(array(source)), str(source.dtype), T)
    return copy.requires_grad_() if source.requires_grad else copy


def tensor_of(values: np.ndarray, dtype: str, T):
    """A tensor of namespace T and dtype "torch.…"; NumPy has no bfloat16."""
    if dtype == "torch.bfloat16":
        return T.from_numpy(values.astype(np.float32)).to(T.bfloat16)
    array = values.astype(dtype.removeprefix("torch."), copy=False)
    return T.from_numpy(array).clone()  # memory of its own, which torch can resize


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


def difference(actual, expected, terms: int = 1, noise: float = 0) -> str | None:
    """Why `actual` is not torch's `expected`; None where it is.

    `terms` is the number of values that may have been summed into one element, `noise`
    how much the result changes with a rounding step of the inputs.
    """
    if isinstance(expected, (list, tuple)):
        if not isinstance(actual, (list, tuple)) or len(actual) != len(expected):
            return f"{describe(actual)}, expected {describe(expected)}"
        pairs = zip(actual, expected, strict=True)
        found = (difference(*pair, terms, noise) for pair in pairs)
        return next((reason for reason in found if reason), None)
    if isinstance(expected, torch.Tensor):
        if not hasattr(actual, "requires_grad"):
            return f"{describe(actual)}, expected {describe(expected)}"
        return tensor_difference(actual, expected, terms, noise)
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


def tensor_difference(
    actual, expected: torch.Tensor, terms: int, noise: float
) -> str | None:
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
        allowed = tolerance(
            theirs.astype(np.float64), str(expected.dtype), terms, noise
        )
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


def tolerance(expected: np.ndarray, dtype: str, terms: int, noise: float) -> np.ndarray:
    """The largest error that rounding explains, element by element."""
    eps = CASTS.get(dtype) or torch.finfo(getattr(torch, dtype[6:])).eps
    finite = np.abs(np.where(np.isfinite(expected), expected, 0))
    largest = finite.max(initial=0)
    rounding = SLACK * eps * (finite + math.sqrt(terms) * largest)
    return rounding + min(SLACK * noise, math.sqrt(eps) * max(largest, 1))


def noise_between(first, second) -> float:
    """The largest finite difference between two nests of torch tensors."""
    most = 0.0
    for one, other in zip(leaves(first), leaves(second), strict=True):
        if one.dtype.is_floating_point and one.shape == other.shape:
            gap = np.abs(array(one).astype(np.float64) - array(other))
            most = max(most, gap[np.isfinite(gap)].max(initial=0))
    return float(most)


def step_of(value) -> float:
    """The rounding step at 1 of the coarsest floating point tensor in a nest."""
    dtypes = {each.dtype for each in leaves(value) if each.dtype.is_floating_point}
    return max((torch.finfo(dtype).eps for dtype in dtypes), default=0.0)


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
            cotangents.append(tensor_of(values, str(output.dtype), T))
    if not wanted or not inputs:
        return [None] * len(inputs)
    grad = T.autograd.grad
    return list(
        grad(wanted, inputs, cotangents, allow_unused=True, create_graph=create_graph)
    )


def gradient_difference(
    actual: list, expected: list, terms: int, noise: float = 0
) -> str | None:
    """As `difference`; None (an input without influence) equals a gradient of zero."""
    for index, (ours, theirs) in enumerate(zip(actual, expected, strict=True)):
        if ours is None or theirs is None:
            given = theirs if ours is None else ours
            reason = given is not None and array(given).any() and "one is None"
        else:
            reason = difference(ours.detach(), theirs.detach(), terms, noise)
        if reason:
            return f"gradient {index}: {reason}"
    return None


KINDS = ("value", "gradient", "second")
COMPARE = (difference, gradient_difference, gradient_difference)


def results(program: Callable, T, inputs, orders: int, change=keep) -> Iterator:
    """The value of `program(*inputs)` in namespace T, then its gradients.

    `program` gets the converted inputs and returns (the output, what of it to
    differentiate); `orders` is 1 for the value alone, 2 with gradients, 3 with second.
    """
    given = convert(inputs, T, change)
    output, roots = program(*given)
    yield output
    if orders == 1:
        return
    targets = [each for each in leaves(given) if each.requires_grad]
    first = gradients(list(leaves(roots)), targets, T, 1, create_graph=orders > 2)
    yield first
    if orders > 2:
        yield gradients(first, targets, T, 2)


def verdicts(ours: Callable, theirs: Callable, T, inputs, orders: int) -> Iterator:
    """(kind, why it differs or None) of each order; what `ours` raises is passed on."""
    expected = list(results(theirs, torch, inputs, orders))
    actual = results(ours, T, inputs, orders)
    terms = max((math.prod(each.shape) for each in leaves(inputs)), default=1) or 1
    for index, wanted in enumerate(expected):
        got = next(actual)
        reason = COMPARE[index](got, wanted, terms)
        if reason:
            near = (
                list(results(theirs, torch, inputs, orders, rounding_step(seed)))[index]
                for seed in range(NEARBY)
            )
            noise = max(noise_between(each, wanted) for each in near)
            # A cotangent is about 1: its own rounding step is what cancellation leaves.
            noise = max(noise, step_of(wanted)) if index else noise
            reason = COMPARE[index](got, wanted, terms, noise)
        yield KINDS[index], reason


def check(program: Callable, *inputs, T=None, second: bool = False) -> None:
    """Assert that `program(T, *inputs)` is in atrous what it is in torch.

    Inputs are torch tensors (or anything `convert` takes); gradients are compared for
    those that require them, second gradients too where `second` is set.

    >>> check(lambda T, x: T.relu(x) * 2, torch.randn(3, requires_grad=True))
    """
    T = T or atrous()

    def bound(namespace):
        def run(*given):
            output = program(namespace, *given)
            return output, output

        return run

    orders = 3 if second else 2
    for kind, reason in verdicts(bound(T), bound(torch), T, list(inputs), orders):
        assert reason is None, f"{kind}: {reason}"
