"""Sequences and grids: arange, linspace, eye, indices of triangles, meshgrid."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np

from .. import dtypes
from ..compiler import memory
from ..device import strided, usable
from ..dtypes import dtype
from ..random.arithmetic import fma32, fma64
from ..tensor import Tensor
from .arguments import integers
from .arguments import tensors as checked
from .copying import filled
from .create import finished, with_out_dtype
from .data import checked_dtype
from .join import stack
from .operands import stored

__all__ = """
    arange cartesian_prod combinations eye linspace logspace meshgrid range
    tril_indices triu_indices
""".split()

_range = range


def _number(value):
    return value.item() if isinstance(value, Tensor) else value


# Sequences


@with_out_dtype
def arange(
    start=None,
    end=None,
    step=1,
    *,
    dtype: dtype | None = None,
    layout=strided,
    device=None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """start, start + step, … below end; `arange(end)` starts at 0.

    int64 if all three are integers, otherwise the default dtype.
    """
    usable(device)
    if end is None:
        start, end = None, start
    if end is None:
        raise TypeError("arange() missing 1 required argument: 'end'")
    start = 0 if start is None else start
    start, end, step = map(_number, (start, end, step))
    kind = checked_dtype("arange", dtype) or _kind(start, end, step)
    count = _count(start, end, step, kind)
    if kind is dtypes.bool_:
        raise NotImplementedError("arange: not implemented for torch.bool")
    return finished(_steps(start, step, count, kind), kind, requires_grad)


def _kind(*numbers) -> dtype:
    whole = all(isinstance(each, (int, np.integer)) for each in numbers)
    return dtypes.int64 if whole else dtypes.get_default_dtype()


def _count(start, end, step, kind: dtype) -> int:
    """How many steps lie in [start, end); RuntimeError as torch."""
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) * step < 0:
        raise RuntimeError(
            "upper bound and lower bound inconsistent with step sign: start"
            f" {start}, end {end}, step {step}"
        )
    if kind is dtypes.int64:
        start, end, step = int(start), int(end), int(step)
        if step == 0:
            raise ValueError("step must be nonzero as an integer")
        return max(-((start - end) // step), 0)
    return math.ceil((end - start) / step)


def _steps(start, step, count: int, kind: dtype) -> np.ndarray:
    """start + i · step for i < count, rounded where torch's kernel rounds."""
    memory.require((count,), kind.storage)
    if not kind.is_floating_point:
        whole = np.arange(count, dtype=np.int64) * int(step) + int(start)
        return whole.astype(kind.storage)
    i = np.arange(count, dtype=np.float64)
    if float(start).is_integer() and float(step).is_integer():
        return stored(i * float(step) + start, kind)  # exact: nothing is rounded
    values = stored(fma64(i, float(step), float(start)), kind)
    # Blocks of one register start anew from a rounded number, in pairs of registers.
    lanes = {dtypes.float32: 8, dtypes.float64: 4}.get(kind)
    if lanes:
        even = count // (2 * lanes) * (2 * lanes)
        first = values[:even:lanes].astype(np.float64)
        block = fma64(i[:lanes], float(step), first[:, None])
        values[:even] = block.reshape(-1).astype(kind.storage)
    return values


@with_out_dtype
def range(
    start=0, end=None, step=1, *, dtype: dtype | None = None, **options
) -> Tensor:
    """start, start + step, … up to and including end; torch advises `arange`."""
    warnings.warn(
        "torch.range is deprecated and will be removed in a future release because its"
        " behavior is inconsistent with Python's range builtin. Instead, use"
        " torch.arange, which produces values in [start, end).",
        UserWarning,
        stacklevel=2,
    )
    if end is None:
        start, end = 0, start
    if step == 0:
        raise RuntimeError("step must be nonzero")
    count = math.floor((end - start) / step) + 1
    kind = dtype or dtypes.get_default_dtype()
    return finished(_steps(start, step, count, kind), kind, False)


def _check_steps(name: str, steps) -> int:
    (steps,) = integers((steps,), name, "steps")
    if steps < 0:
        raise RuntimeError(f"number of steps must be non-negative, not {steps}")
    return steps


def _line(start, end, steps: int, compute: np.dtype) -> np.ndarray:
    """`steps` numbers from start to end, counted from the nearer end, rounded once."""
    if steps == 1:
        return np.array([start], compute)
    start, end = compute.type(start), compute.type(end)
    step = (end - start) / compute.type(max(steps - 1, 1))
    i = np.arange(steps)
    forward, backward = i.astype(compute), (steps - 1 - i).astype(compute)
    fused = fma32 if compute == np.float32 else fma64
    return np.where(
        i < steps // 2, fused(forward, step, start), fused(backward, -step, end)
    )


def _between(name: str, make):
    @with_out_dtype
    def create(
        start,
        end,
        steps,
        *args,
        dtype: dtype | None = None,
        layout=strided,
        device=None,
        requires_grad: bool = False,
        pin_memory: bool = False,
        **options,
    ) -> Tensor:
        usable(device)
        kind = checked_dtype(name, dtype) or dtypes.get_default_dtype()
        for place, value in (("start", start), ("end", end)):
            if isinstance(value, Tensor) and value.dim():
                raise RuntimeError(
                    f"{name} only supports 0-dimensional start and end tensors, but got"
                    f" {place} with {value.dim()} dimension(s)."
                )
        ends = _number(start), _number(end)
        steps = _check_steps(name, steps)
        memory.require((steps,), kind.storage)
        array = make(*ends, steps, kind, *args, **options)
        return finished(array, kind, requires_grad)

    create.__name__ = create.__qualname__ = name
    create.__doc__ = make.__doc__
    return create


def _linspace(start, end, steps: int, kind: dtype) -> np.ndarray:
    """`steps` numbers at equal distances, `start` and `end` among them."""
    if kind.is_floating_point:
        return stored(_line(start, end, steps, kind.compute), kind)
    line = _line(int(start), int(end), steps, np.dtype(np.float64))
    return line.astype(np.int64).astype(kind.storage)


def _logspace(start, end, steps: int, kind: dtype, base: float = 10.0) -> np.ndarray:
    """`steps` powers of `base`, whose exponents lie at equal distances."""
    compute = np.dtype(np.float64) if not kind.is_floating_point else kind.compute
    if not kind.is_floating_point:
        start, end = int(start), int(end)
    powers = np.power(compute.type(base), _line(start, end, steps, compute))
    return stored(powers, kind)


linspace = _between("linspace", _linspace)
logspace = _between("logspace", _logspace)


# Matrices


@with_out_dtype
def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: dtype | None = None,
    layout=strided,
    device=None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Ones on the diagonal of an n × m matrix (m = n by default), zeros elsewhere."""
    usable(device)
    m = n if m is None else m
    for name, size in (("n", n), ("m", m)):
        if size < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {size}")
    kind = checked_dtype("eye", dtype) or dtypes.get_default_dtype()
    array = filled((n, m), kind)
    array[np.arange(min(n, m)), np.arange(min(n, m))] = filled((), kind, 1)[()]
    return finished(array, kind, requires_grad)


def _triangle_indices(name: str, indices):
    def create(
        row: int,
        col: int,
        offset: int = 0,
        *,
        dtype: dtype = dtypes.int64,
        device=None,
        layout=strided,
    ) -> Tensor:
        usable(device)
        for what, size in (("row", row), ("col", col)):
            if size < 0:
                raise RuntimeError(f"{what} must be non-negative, got {size}")
        memory.require((row, col), bool)  # NumPy reads the triangle off a mask
        pair = np.stack(indices(row, offset, col))
        return Tensor._of(pair.astype(dtype.storage), dtype)

    create.__name__ = create.__qualname__ = name
    create.__doc__ = "(2, count): rows and columns of a triangle of a matrix."
    return create


tril_indices = _triangle_indices("tril_indices", np.tril_indices)
triu_indices = _triangle_indices("triu_indices", np.triu_indices)


# Grids


def meshgrid(*tensors, indexing: str | None = None) -> tuple[Tensor, ...]:
    """A grid for each vector, expanded along the axes of the others.

    `indexing` is "ij" (the default, with a warning) or "xy": the first two exchanged.
    """
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    given = checked(tensors, "meshgrid")
    if not given:
        raise ValueError("meshgrid expects a non-empty TensorList")
    if indexing is None:
        warnings.warn(
            "torch.meshgrid: in an upcoming release, it will be required to pass the"
            " indexing argument.",
            UserWarning,
            stacklevel=2,
        )
    if indexing not in (None, "ij", "xy"):
        raise RuntimeError(
            'torch.meshgrid: indexing must be one of "xy" or "ij", but received:'
            f" {indexing}"
        )
    _check_vectors(given)
    swap = indexing == "xy" and len(given) > 1
    if swap:
        given[:2] = given[1], given[0]
    shape = [each.numel() for each in given]
    grids = []
    for place, each in enumerate(given):
        sizes = [1] * len(given)
        sizes[place] = shape[place]
        grids.append(each.reshape(sizes).expand(shape))
    if swap:
        grids[:2] = grids[1], grids[0]
    return tuple(grids)


def _check_vectors(given: list[Tensor]) -> None:
    for each in given:
        if each.dim() > 1:
            raise RuntimeError(
                "torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got:"
                f" {tuple(each.shape)}"
            )
        if each.dtype is not given[0].dtype:
            raise RuntimeError(
                "torch.meshgrid expects all tensors to have the same dtype, but got"
                f" {given[0].dtype} and {each.dtype}"
            )


def cartesian_prod(*tensors) -> Tensor:
    """All ways to take one element of each vector: (product of lengths, vectors)."""
    given = checked(tensors, "cartesian_prod")
    for each in given:
        if each.dim() != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(each.shape)}")
    if len(given) == 1:
        return given[0]
    grids = meshgrid(*given, indexing="ij")
    return stack([grid.reshape(-1) for grid in grids], 1)


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All ways to take r elements of a vector: (count, r)."""
    if input.dim() != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    every = _range(input.numel())
    if with_replacement:
        picks = list(itertools.combinations_with_replacement(every, r))
    else:
        picks = list(itertools.combinations(every, r))
    index = np.array(picks, np.int64).reshape(len(picks), r)
    return input[Tensor._of(index)] if r else input.new_empty(0)
