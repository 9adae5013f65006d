"""What convolutions refuse: torch's exception types, with names, shapes and axes."""

from __future__ import annotations

from .. import dtypes
from ..errors import operands as worded
from ..tensor import Tensor
from .arguments import check_tensor
from .sizes import KERNEL, SPATIAL, by


def refusal(
    sentence: str,
    input: Tensor,
    weight: Tensor,
    transposed: bool,
    **more: tuple[tuple[int, ...], str],
) -> RuntimeError:
    """The exception that says `sentence` over the operands' shapes."""
    rank = weight._array.ndim - 2
    batch = "batch, " if input._array.ndim == rank + 2 else ""
    return RuntimeError(
        worded(
            sentence,
            input=(input.shape, f"{batch}in, {SPATIAL.get(rank, 'size')}"),
            weight=(weight.shape, weight_axes(rank, transposed)),
            **more,
        )
    )


def weight_axes(rank: int, transposed: bool) -> str:
    """What the axes of a weight mean."""
    first = "in, out / groups" if transposed else "out, in / groups"
    return f"{first}, {KERNEL.get(rank, 'kernel')}"


def check_operands(name, rank, input, weight, bias, transposed) -> None:
    """Types, ranks and dtypes."""
    check_tensor(name, "input", input)
    check_tensor(name, "weight", weight)
    if bias is not None:
        check_tensor(name, "bias", bias)
    axes = weight_axes(rank, transposed)
    if weight._array.ndim != rank + 2:
        raise RuntimeError(
            worded(
                f"{name}: weight needs {rank + 2} dimensions, got"
                f" {weight._array.ndim}.",
                weight=(weight.shape, f"expected {axes}"),
            )
        )
    if input._array.ndim not in (rank + 1, rank + 2):
        spatial = SPATIAL.get(rank, "size")
        raise RuntimeError(
            worded(
                f"{name}: expected {rank + 1}D (unbatched) or {rank + 2}D (batched)"
                f" input, got {input._array.ndim}D.",
                input=(input.shape, f"expected (batch,) in, {spatial}"),
                weight=(weight.shape, axes),
            )
        )
    for other, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None and tensor.dtype is not input.dtype:
            raise RuntimeError(
                f"{name}: Input type ({input.type_name()}) and {other} type"
                f" ({tensor.type_name()}) should be the same."
            )
    kind = input.dtype
    narrow = kind.category == 1 and kind is not dtypes.int64
    if kind is dtypes.bool_ or (transposed and narrow):
        raise NotImplementedError(f"{name}: not implemented for {kind.alias} tensors.")


def check_channels(name, input, weight, bias, groups, transposed) -> None:
    """Do the channels of input, weight and bias fit, and do the groups divide them?"""
    operands = input, weight, transposed
    if groups < 1:
        raise RuntimeError(f"{name}: groups must be positive, got {groups}.")
    first, per_group, *kernel = weight._array.shape
    if first % groups or first < groups:
        what = "input" if transposed else "output"
        raise refusal(
            f"{name}: groups={groups} does not divide the {first} {what} channels of"
            " weight.",
            *operands,
        )
    if min(kernel) < 1:
        raise refusal(
            f"{name}: kernel sizes must be positive, got {by(kernel)}.", *operands
        )
    channels = input._array.shape[1]
    takes = first if transposed else per_group * groups
    if channels != takes:
        meaning = "in" if transposed else "in / groups, groups=1"
        if groups > 1 and not transposed:
            meaning = f"{per_group} in each of {groups} groups"
        raise refusal(
            f"{name}: input has {channels} channels, weight takes {takes} ({meaning}).",
            *operands,
        )
    if 0 in input._array.shape[2:]:
        raise refusal(
            f"{name}: batch and channels may be empty, axes may not.", *operands
        )
    out = per_group * groups if transposed else first
    if bias is not None and bias._array.shape != (out,):
        raise refusal(
            f"{name}: bias needs one number for each of the {out} output channels.",
            *operands,
            bias=(bias.shape, f"expected ({out},)"),
        )


def check_border(name, border, size, padding) -> None:
    """RuntimeError where a border would need more of the input than there is."""
    if border not in ("reflect", "circular"):
        return
    most = tuple(n - 1 if border == "reflect" else n for n in size)
    if any(max(pair) > limit for pair, limit in zip(padding, most, strict=True)):
        widths = tuple(max(pair) for pair in padding)
        reason = (
            "reflecting needs padding smaller than the input"
            if border == "reflect"
            else "padding wraps around more than once"
        )
        raise RuntimeError(
            f"{name}: {reason}: padding {by(widths)}, input {by(size)},"
            f" padding_mode={border!r}."
        )
