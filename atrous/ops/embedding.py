"""Embedding: rows of a table by index, alone or a bag at a time; one-hot vectors."""

from __future__ import annotations

import numpy as np

from .. import compiler, dtypes
from ..autograd import record
from ..errors import operands as worded
from ..tensor import Tensor
from .arguments import check_tensor
from .operands import stored


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The rows of `weight` that `input` names.

    (…) of int64 or int32, (rows, features) -> (…, features). The row `padding_idx` gets
    no gradient. Rows longer than `max_norm` are first shortened in place.
    `scale_grad_by_freq` divides a row's gradient by how often it was named. Gradients
    are dense, whatever `sparse` says.

    Raises IndexError for a row that is not there.
    """
    name = "embedding"
    _check_table(name, input, weight)
    padding_idx = _padding(name, padding_idx, weight)
    if max_norm is not None:
        _shorten(weight, input._array, max_norm, norm_type)
    return _rows(input._array, weight, padding_idx, scale_grad_by_freq)


def _rows(index: np.ndarray, weight: Tensor, padding_idx, by_frequency) -> Tensor:
    out = Tensor._of(weight._array[index], weight.dtype)
    count = weight._array.shape[0]

    def formula(g):
        return (lambda: _scattered(g, index, count, padding_idx, by_frequency),)

    return record(out, "EmbeddingBackward0", (weight,), formula)


def _scattered(g: Tensor, index, count: int, padding_idx, by_frequency) -> Tensor:
    """Each row of `g` added where `index` says, (count, features): `_rows` transposed.

    Rows are sorted by index first, so that each is summed in one sweep and in the order
    in which they came.
    """
    features = g._array.shape[-1]
    flat, values = index.reshape(-1), g._values().reshape(-1, features)
    factor = np.ones(count, values.dtype)
    if by_frequency:
        factor /= np.maximum(np.bincount(flat, minlength=count), 1)
    if padding_idx is not None:
        factor[padding_idx] = 0
    order = np.argsort(flat, kind="stable")
    rows, starts = np.unique(flat[order], return_index=True)
    total = np.zeros((count, features), g.dtype.compute)
    if rows.size:
        sums = np.add.reduceat(values[order], starts, axis=0, dtype=total.dtype)
        total[rows] = sums * factor[rows, None]
    out = Tensor._of(stored(total, g.dtype), g.dtype)

    def formula(gg):
        scaled = gg * Tensor._of(stored(factor[:, None], gg.dtype), gg.dtype)
        return (lambda: _rows(index, scaled, None, False),)

    return record(out, "EmbeddingDenseBackwardBackward0", (g,), formula)


def _check_table(name: str, input, weight) -> None:
    check_tensor(name, "indices", input)
    check_tensor(name, "weight", weight)
    if input.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following"
            f" scalar types: Long, Int; but got {input.type_name()} instead (while"
            f" checking arguments for {name})"
        )
    if weight.ndim != 2:
        raise RuntimeError(
            worded(
                f"{name}: 'weight' must be 2-D.",
                weight=(weight.shape, "rows, features"),
            )
        )
    count = weight.shape[0]
    index = input._array
    if index.size and (index.min() < 0 or index.max() >= count):
        wrong = index[(index < 0) | (index >= count)].flat[0]
        raise IndexError(
            f"{name}: index out of range in self: {wrong}, the table has {count} rows"
            f" (0 … {count - 1})."
        )


def _padding(name: str, padding_idx: int | None, weight: Tensor) -> int | None:
    if padding_idx is None:
        return None
    count = weight.shape[0]
    if not -count <= padding_idx < count:
        raise AssertionError(
            f"Padding_idx must be within num_embeddings: padding_idx={padding_idx},"
            f" num_embeddings={count}."
        )
    return padding_idx % count


def _shorten(weight: Tensor, index: np.ndarray, most: float, p: float) -> None:
    """Scale the named rows, in place, to a p-norm of at most `most`."""
    rows = np.unique(index)
    values = weight._values()[rows]
    lengths = np.linalg.norm(values, p, axis=1)
    long = lengths > most
    if long.any():
        scaled = values[long] * (most / (lengths[long] + 1e-7))[:, None]
        weight._array[rows[long]] = stored(scaled.astype(values.dtype), weight.dtype)
        weight._bump()


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """The sum, mean or maximum of the rows of each bag; 0 for an empty bag.

    (bags, length), or one axis cut at `offsets` -> (bags, features). Rows of
    `padding_idx` do not count. `per_sample_weights` scale rows (mode "sum").
    """
    name = "embedding_bag"
    _check_table(name, input, weight)
    _check_bags(name, input, offsets, mode, per_sample_weights)
    padding_idx = _padding(name, padding_idx, weight)
    if max_norm is not None:
        _shorten(weight, input._array, max_norm, norm_type)
    places, counted = _bags(input, offsets, include_last_offset)
    if not places.shape[1]:
        return weight.new_zeros((places.shape[0], weight.shape[1]))
    index = input._array.reshape(-1)[places]
    if padding_idx is not None:
        counted = counted & (index != padding_idx)
    rows = _rows(index, weight, None, scale_grad_by_freq)
    if per_sample_weights is not None:
        chosen = per_sample_weights.reshape(-1)[Tensor._of(places)]
        rows = rows * chosen.unsqueeze(2)
    mask = Tensor._of(counted[:, :, None])
    if mode == "max":
        best = rows.masked_fill(~mask, -float("inf")).max(1)[0]
        return best.masked_fill(Tensor._of(~counted.any(1))[:, None], 0.0)
    total = rows.masked_fill(~mask, 0.0).sum(1)
    if mode == "sum":
        return total
    count = np.maximum(counted.sum(1, keepdims=True), 1)
    return total / Tensor._of(count.astype(weight.dtype.compute)).to(weight.dtype)


def _check_bags(name, input, offsets, mode, per_sample_weights) -> None:
    if mode not in ("sum", "mean", "max"):
        raise ValueError(f"{name}: mode is 'sum', 'mean' or 'max', not {mode!r}.")
    if input.ndim == 2 and offsets is not None:
        raise ValueError(
            f"{name}: if input is 2D, then offsets has to be None, as input is treated"
            " as a mini-batch of fixed length sequences."
        )
    if input.ndim == 1 and (offsets is None or offsets.ndim != 1):
        raise ValueError(f"{name}: offsets has to be a 1D Tensor where input is 1D.")
    if input.ndim not in (1, 2):
        raise ValueError(
            f"{name}: input has to be 1D or 2D Tensor, but got Tensor of dimension"
            f" {input.ndim}."
        )
    if per_sample_weights is None:
        return
    if mode != "sum":
        raise NotImplementedError(
            f"{name}: per_sample_weights was not None. It is only supported for"
            f" mode='sum' (got mode={mode!r})."
        )
    if per_sample_weights.shape != input.shape:
        raise ValueError(
            f"{name}: expected per_sample_weights of the input's shape"
            f" {tuple(input.shape)}, got {tuple(per_sample_weights.shape)}."
        )


def _bags(input: Tensor, offsets, include_last: bool) -> tuple:
    """(bags, length): where each bag's entries lie, and which of them are any."""
    if offsets is None:
        places = np.arange(input.numel()).reshape(input.shape)
        return places, np.ones(places.shape, bool)
    ends = offsets._array
    if not ends.size or ends[0] != 0:
        raise RuntimeError(
            "embedding_bag: offsets[0] has to be 0, i.e., the first sequence in the"
            " mini-batch has to start from position 0."
        )
    if ends.max() > input.numel():
        raise RuntimeError(
            f"embedding_bag: offsets[-1] can not be greater than input's length"
            f" ({input.numel()}), but got {ends.max()}."
        )
    starts = ends[:-1] if include_last else ends
    ends = ends[1:] if include_last else np.append(ends[1:], input.numel())
    lengths = ends - starts
    steps = np.arange(lengths.max(initial=0))
    counted = steps < lengths[:, None]
    return np.where(counted, starts[:, None] + steps, 0), counted


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """(…) of classes -> (…, classes), int64: 1 at the class, 0 elsewhere.

    `num_classes` -1: the largest and one. Raises RuntimeError for a class outside.
    """
    check_tensor("one_hot", "input", tensor)
    if tensor.dtype is not dtypes.int64:
        raise RuntimeError(
            "one_hot is only applicable to index tensor of type LongTensor, not"
            f" {tensor.type_name()}."
        )
    index = tensor._array
    if not index.size and num_classes <= 0:
        raise RuntimeError(
            "one_hot: Can not infer total number of classes from empty tensor."
        )
    if index.size and index.min() < 0:
        raise RuntimeError(
            f"one_hot: Class values must be non-negative, got {index.min()}."
        )
    if num_classes == -1:
        num_classes = int(index.max()) + 1
    elif num_classes < 1:
        raise RuntimeError(
            f"one_hot: num_classes should be positive, not {num_classes}."
        )
    elif index.size and index.max() >= num_classes:
        raise RuntimeError(
            "one_hot: Class values must be smaller than num_classes: got"
            f" {index.max()}, num_classes={num_classes}."
        )
    out = compiler.zeros((*index.shape, num_classes), np.int64)
    np.put_along_axis(out, index[..., None], 1, -1)
    return Tensor._of(out)
