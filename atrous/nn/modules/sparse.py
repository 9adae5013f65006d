"""Embedding, EmbeddingBag: a table of vectors, looked up by index."""

from __future__ import annotations

from typing import Any

from atrous import autograd
from atrous.nn import functional as F
from atrous.nn import init
from atrous.nn.modules.module import Module
from atrous.nn.parameter import Parameter
from atrous.ops import create
from atrous.tensor import Tensor


class Embedding(Module):
    """weight[index]: integer indices (…) -> vectors (…, embedding_dim).

    num_embeddings, embedding_dim: the table's shape; it starts standard normal
    padding_idx: this row starts at 0 and gets no gradient
    max_norm, norm_type: rows looked up are first shortened to this norm, in place
    scale_grad_by_freq: divide gradients by how often a row occurs in the batch
    sparse: accepted; gradients here are dense

    Raises AssertionError if padding_idx is no row of the table.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = _row(self, padding_idx)
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.sparse = sparse
        _take_table(self, _weight, device, dtype, _freeze)

    def reset_parameters(self) -> None:
        """Draw the table anew, standard normal."""
        _draw_table(self)

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(
            input,
            self.weight,
            self.padding_idx,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.sparse,
        )

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """An Embedding over a given table (rows, dim), frozen unless told otherwise."""
        if embeddings.dim() != 2:
            raise AssertionError(
                "Embedding.from_pretrained: the table is expected to be 2D, got "
                f"{tuple(embeddings.shape)}"
            )
        rows, columns = embeddings.shape
        return cls(
            num_embeddings=rows,
            embedding_dim=columns,
            padding_idx=padding_idx,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            sparse=sparse,
            _weight=embeddings,
            _freeze=freeze,
        )

    def extra_repr(self) -> str:
        return ", ".join(_described(self, self.padding_idx))


class EmbeddingBag(Module):
    """The sum, mean or max of the rows of each bag of indices.

    (bags, length), or one axis cut at `offsets` -> (bags, embedding_dim). The other
    arguments are `Embedding`'s; rows of `padding_idx` do not count.

    Raises AssertionError if padding_idx is no row of the table.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.padding_idx = _row(self, padding_idx)
        self.mode = mode
        self.sparse = sparse
        self.include_last_offset = include_last_offset
        _take_table(self, _weight, device, dtype)

    def reset_parameters(self) -> None:
        """Draw the table anew, standard normal."""
        _draw_table(self)

    def forward(
        self,
        input: Tensor,
        offsets: Tensor | None = None,
        per_sample_weights: Tensor | None = None,
    ) -> Tensor:
        return F.embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    def extra_repr(self) -> str:
        parts = [*_described(self), f"mode={self.mode!r}"]
        if self.padding_idx is not None:
            parts.append(f"padding_idx={self.padding_idx}")
        return ", ".join(parts)


def _row(layer: Any, padding_idx: int | None) -> int | None:
    """`padding_idx` counted from the first row."""
    if padding_idx is None:
        return None
    rows = layer.num_embeddings
    if not -rows <= padding_idx < rows:
        raise AssertionError(
            f"{type(layer).__name__}: padding_idx {padding_idx} is not within the "
            f"{rows} rows"
        )
    return padding_idx % rows


def _take_table(
    layer: Any,
    weight: Tensor | None,
    device: Any = None,
    dtype: Any = None,
    freeze: bool = False,
) -> None:
    """Set the layer's table: a given one, or a new one."""
    shape = (layer.num_embeddings, layer.embedding_dim)
    if weight is None:
        table = create.empty(shape, device=device, dtype=dtype)
        layer.weight = Parameter(table, requires_grad=not freeze)
        layer.reset_parameters()
        return
    if tuple(weight.shape) != shape:
        raise AssertionError(
            f"{type(layer).__name__}: the weight is {tuple(weight.shape)}, "
            f"num_embeddings and embedding_dim ask for {shape}"
        )
    layer.weight = Parameter(weight, requires_grad=not freeze)


def _draw_table(layer: Any) -> None:
    init.normal_(layer.weight)
    if layer.padding_idx is not None:
        with autograd.no_grad():
            layer.weight[layer.padding_idx].fill_(0)


def _described(layer: Any, padding_idx: int | None = None) -> list[str]:
    """What the repr of both says, where it is not the default."""
    parts = [f"{layer.num_embeddings}, {layer.embedding_dim}"]
    if padding_idx is not None:
        parts.append(f"padding_idx={padding_idx}")
    if layer.max_norm is not None:
        parts.append(f"max_norm={layer.max_norm}")
    if layer.norm_type != 2:
        parts.append(f"norm_type={layer.norm_type}")
    if layer.scale_grad_by_freq is not False:
        parts.append(f"scale_grad_by_freq={layer.scale_grad_by_freq}")
    if layer.sparse is not False:
        parts.append("sparse=True")
    return parts
