"""What operands make together, and the two forms every operation is derived into.

`evaluate` lowers an expression over tensors and numbers to `compiler.pointwise`;
`write` puts a result into an existing tensor: `inplace(f)` is `f_`, and `with_out(f)`
adds `out=`. None of them is ever written by hand.
"""

from __future__ import annotations

import functools
from functools import lru_cache

import numpy as np

from .. import compiler, deferred, dtypes
from ..autograd import record
from ..autograd.modes import modes, no_grad
from ..deferred import Pending
from ..dtypes import dtype
from ..tensor import Tensor
from .arguments import translated

#: Python's numbers, which leave the dtype of a floating point tensor as it is.
PLAIN = (float, int, bool)


def result_type(*operands) -> dtype:
    """The dtype of tensors and numbers together, by torch's rules.

    Tensors with axes decide; those without, then numbers, count only where they are of
    a higher category (bool < integer < floating point).
    """
    first, *others = operands
    floating = isinstance(first, Tensor) and first.dtype.is_floating_point
    if floating and first._form.ndim and all([type(each) in PLAIN for each in others]):
        return first.dtype
    ranked: list[dtype | None] = [None, None, None]
    for each in operands:
        if isinstance(each, Tensor):
            rank, kind = (0 if each._form.ndim else 1), each.dtype
        else:
            rank, kind = 2, dtypes.of_number(each)
        held = ranked[rank]
        ranked[rank] = kind if held is None else dtypes.promote_types(held, kind)
    result: dtype | None = None
    for held in ranked:
        if held is not None and (result is None or held.category > result.category):
            result = held
    assert result is not None
    return result


@lru_cache(maxsize=4096)
def lowered(expression, kinds: tuple, common: dtype | None):
    """The expression with each ("operand", i) an input or scalar, cast to `common`."""
    leaves, inputs, scalars = [], 0, 0
    for kind in kinds:
        if kind is None:
            leaves.append(("scalar", scalars))
            scalars += 1
        else:
            leaf: tuple = ("in", inputs)
            if common is not None and kind is not common:
                leaf = ("cast", common.name, leaf)
            leaves.append(leaf)
            inputs += 1

    def lower(part):
        if not isinstance(part, tuple):
            return part
        if part[0] == "operand":
            return leaves[part[1]]
        return tuple(lower(each) for each in part)

    return lower(expression)


def evaluate(expression, operands, common: dtype | None, result: dtype) -> Tensor:
    """A fresh tensor of dtype `result` with the expression's values; not recorded.

    Operands (tensors, numbers) are ("operand", i) in the expression; tensors are cast
    to `common` first (None: taken as they are).
    """
    arrays, scalars = [], []
    key = [expression, common, result]
    for each in operands:
        if isinstance(each, Tensor):
            if each._pending is not None:
                work = _postponed(expression, operands, common, result)
                if work is not None:
                    return Tensor._later(work)
            key.append(each.dtype)
            arrays.append(each._array)
        else:
            key.append(type(each))
            scalars.append(each)
    signature = tuple(key)
    plan = _plans.get(signature)
    if plan is None:
        kinds = [each.dtype if isinstance(each, Tensor) else None for each in operands]
        lowest, names = form(expression, tuple(kinds), common, result)
        plan = compiler.plan((lowest,), names, scalars)
        compiler.remember(_plans, signature, plan)
    check_broadcast(arrays)
    return Tensor._of(compiler.compute(plan, arrays, scalars)[0], result)


def _postponed(expression, operands, common, result: dtype) -> Pending | None:
    """The work on operands of which one is pending; None if it should not wait."""
    tensors = [each for each in operands if isinstance(each, Tensor)]
    kinds = tuple(each.dtype if isinstance(each, Tensor) else None for each in operands)
    scalars = [each for each in operands if not isinstance(each, Tensor)]
    shape = broadcast_shapes(*(each._form.shape for each in tensors))
    lowest, names = form(expression, kinds, common, result)
    return deferred.postponed(lowest, tensors, names, scalars, result, shape)


#: What expressions were lowered to, by expression and dtypes.
_plans: dict[tuple, compiler.Plan] = {}


@lru_cache(maxsize=4096)
def form(expression, kinds: tuple, common: dtype | None, result: dtype):
    """The expression to compile, and the names of its inputs' dtypes."""
    lowest = ("cast", result.name, lowered(expression, kinds, common))
    return lowest, tuple(kind.name for kind in kinds if kind is not None)


def check_broadcast(arrays) -> None:
    """RuntimeError where shapes do not broadcast, naming the sizes and the axis."""
    first = arrays[0].shape
    for other in arrays[1:]:
        if other.shape != first:
            broadcast_shapes(*(each.shape for each in arrays))
            return


def broadcast_shapes(*shapes) -> tuple[int, ...]:
    """The shape that all broadcast to; RuntimeError names the first clash."""
    rank = max(map(len, shapes), default=0)
    result = [1] * rank
    for shape in shapes:
        for axis, size in enumerate(shape, rank - len(shape)):
            if size == 1:
                continue
            if result[axis] not in (1, size):
                raise RuntimeError(
                    f"The size of tensor a ({result[axis]}) must match the size of"
                    f" tensor b ({size}) at non-singleton dimension {axis}: shapes"
                    f" {', '.join(str(tuple(each)) for each in shapes)} do not"
                    " broadcast."
                )
            result[axis] = size
    return tuple(result)


def as_tensor(value, like: Tensor | None = None) -> Tensor:
    """A number as a tensor without axes, of `like`'s dtype where it fits."""
    if isinstance(value, Tensor):
        return value
    kind = result_type(like, value) if like is not None else dtypes.of_number(value)
    return Tensor._of(stored(np.asarray(value), kind), kind)


def stored(values: np.ndarray, kind: dtype) -> np.ndarray:
    """Plain values as the memory of a tensor of `kind`; fresh where converted."""
    if kind is dtypes.bfloat16:
        return dtypes.narrow(values.astype(np.float32, copy=False))
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(kind.storage, copy=False)


# Writing into tensors that exist


def check_writable(target: Tensor) -> None:
    """RuntimeError if a write would change a leaf whose gradient is wanted.

    Pending work that reads the memory is done now, before it changes.
    """
    if target._pending is None:
        target._storage.settle_readers()
    if target._inference and not modes.inference:
        raise RuntimeError(
            "Inplace update to inference tensor outside InferenceMode is not allowed."
            " You can make a clone to get a normal tensor before doing inplace update."
        )
    if not modes.recording:
        return
    if target.requires_grad and target.grad_fn is None:
        raise RuntimeError(
            "a leaf Variable that requires grad is being used in an in-place operation."
        )
    base = target._base
    if base is not None and base.requires_grad and base.grad_fn is None:
        raise RuntimeError(
            "a view of a leaf Variable that requires grad is being used in an in-place"
            " operation."
        )


def write(target: Tensor, result: Tensor) -> Tensor:
    """Make `result` the value of `target`, in memory and graph; returns `target`.

    `result` broadcasts to the target's shape and is cast to its dtype.
    """
    check_writable(target)
    if _takes_over(target, result):
        return target
    if _overlaps_itself(target._array):
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor"
            " refers to a single memory location. Please clone() the tensor before"
            " performing the operation."
        )
    if result.dtype is target.dtype and target._array.size < compiler.SMALL:
        np.copyto(target._array, result._array)
    else:
        compiler.pointwise(
            ("cast", target.dtype.name, ("in", 0)),
            result._array,
            dtypes=(result.dtype.name,),
            out=target._array,
        )
    target._bump()
    if modes.recording and (result.requires_grad or target.requires_grad):
        _rebase(target, result)
    return target


def _takes_over(target: Tensor, result: Tensor) -> bool:
    """Whether the pending work of `target`, which nobody else waits for, gave way to
    that of `result`: neither was written to memory."""
    before, after = target._pending, result._pending
    if before is None or after is None or before.shared:
        return False
    if after.shape != before.shape or result.dtype is not target.dtype:
        return False
    target._pending, after.shared = after, True
    target._rewritten += 1
    if modes.recording and (result.requires_grad or target.requires_grad):
        _rebase(target, result)
    return True


def _overlaps_itself(array: np.ndarray) -> bool:
    if 0 not in array.strides or not array.size:
        return False
    return any(
        step == 0 and size > 1
        for step, size in zip(array.strides, array.shape, strict=True)
    )


def _rebase(target: Tensor, result: Tensor) -> None:
    """The target's history is now the result's; a view's base learns of the write."""
    if result._form.shape != target._form.shape:
        result = result.expand(target._form.shape)
    if result.dtype is not target.dtype:
        result = result.to(target.dtype)
    base = target._base
    if base is None:
        if result.requires_grad:
            node = result.grad_fn
            assert node is not None, "an operation's result, so never a leaf"
            target._attach(node, result.output_nr)
        else:
            record(target, "ZeroBackward0", (target,), lambda g: (None,))
        target._history += 1  # views made before follow
        return
    replay = target._replay

    def without_view(grad):
        rest = grad.clone()
        replay(rest).zero_()
        return rest

    def formula(grad):
        return (lambda: without_view(grad)), (lambda: replay(grad).clone())

    # The base is both input and output of the write.
    before = base._alias()
    if base.requires_grad:
        node = base.grad_fn
        assert node is not None, "a leaf's views are refused: see check_writable"
        before._attach(node, base.output_nr)
    record(base, "CopySlices", (before, result), formula)
    base._history += 1


def inplace(function, name: str | None = None):
    """`f_` from `f`: the result is written into the first argument and returned."""

    @functools.wraps(function)
    def in_place(self, *args, **kwargs):
        check_writable(self)
        result = function(self, *args, **kwargs)
        check_fits(self, result)
        return write(self, result)

    in_place.__name__ = in_place.__qualname__ = name or f"{function.__name__}_"
    in_place.__doc__ = f"As `{function.__name__}`, written into the tensor itself."
    return in_place


def check_fits(target: Tensor, result: Tensor) -> None:
    """RuntimeError where a result cannot be held by the tensor it is written into."""
    if result._form.shape != target._form.shape:
        raise RuntimeError(
            f"output with shape {list(target.shape)} doesn't match the broadcast shape"
            f" {list(result.shape)}"
        )
    if not dtypes.can_cast(result.dtype, target.dtype):
        raise RuntimeError(
            f"result type {result.dtype.alias} can't be cast to the desired output type"
            f" {target.dtype.alias}"
        )


def with_out(function):
    """Adds `out=`: the result is written there (resized if need be) and returned.

    As everywhere in torch, NumPy's words are taken too: axis for dim, keepdims.
    """

    @functools.wraps(function)
    def public(*args, out=None, **kwargs):
        if kwargs:
            kwargs = translated(kwargs)
        if out is None:
            return function(*args, **kwargs)
        results = function(*args, **kwargs)
        if isinstance(results, tuple):
            for target, result in zip(out, results, strict=True):
                _write_out(target, result, function.__name__)
            return type(results)(*out) if hasattr(results, "_fields") else tuple(out)
        return _write_out(out, results, function.__name__)

    return public


def _write_out(out: Tensor, result: Tensor, name: str) -> Tensor:
    if modes.recording and (result.requires_grad or out.requires_grad):
        raise RuntimeError(
            f"{name}(): functions with out=... arguments don't support automatic"
            " differentiation, but one of the arguments requires grad."
        )
    if not dtypes.can_cast(result.dtype, out.dtype):
        raise RuntimeError(
            f"result type {result.dtype.alias} can't be cast to the desired output type"
            f" {out.dtype.alias}"
        )
    if out._array.shape != result._array.shape:
        fresh = np.empty(result._array.shape, out.dtype.storage)
        out.data = Tensor._of(fresh, out.dtype)
    with no_grad():
        return write(out, result)
