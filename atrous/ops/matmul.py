"""Matrix products: matmul and what is built on it, einsum, norms of matrices.

`matmul` has one product and two gradients, each a product again:
    y = a · b    →    ∂a = g · bᵀ    ∂b = aᵀ · g
"""

from __future__ import annotations

import math

import numpy as np

from .. import compiler, dtypes
from ..autograd import record, renamed
from ..errors import operands as worded
from ..tensor import Tensor
from .arguments import check_tensor
from .autocast import as_given, in_lower
from .elementwise import X, Y
from .operands import broadcast_shapes, evaluate, with_out
from .rounding import rounded_once

__all__ = """
    matmul mm bmm mv dot vdot inner outer ger addmm addmv addbmm baddbmm addr linear
    einsum tensordot chain_matmul bilinear
""".split()


def _product(a: np.ndarray, b: np.ndarray, kind) -> np.ndarray:
    """The product of arrays (…, m, k) and (…, k, n) of dtype `kind`, not rounded: that
    of half types is float32."""
    if kind is dtypes.bfloat16:
        a, b = dtypes.widen(a), dtypes.widen(b)
    elif kind is dtypes.float16:
        a, b = a.astype(np.float32), b.astype(np.float32)
    return (compiler.matmul if kind.is_floating_point else np.matmul)(a, b)


def _rounded(product: np.ndarray, kind) -> Tensor:
    out = Tensor._of(product)
    return out if out.dtype is kind else evaluate(X, (out,), None, kind)


_SUM = ("add", X, Y)


def _check_dtypes(name: str, a: Tensor, b: Tensor) -> None:
    if a.dtype is not b.dtype:
        raise RuntimeError(
            f"{name}: expected both operands to have the same dtype, but got {a.dtype}"
            f" and {b.dtype}."
        )


def _multiplied(name: str, node: str, a: Tensor, b: Tensor) -> Tensor:
    """a · b of (…, m, k) and (…, k, n) with equal leading axes; recorded."""
    _check_dtypes(name, a, b)
    if a._array.shape[-1] != b._array.shape[-2]:
        raise RuntimeError(
            worded(
                f"{name}: mat1 and mat2 shapes cannot be multiplied"
                f" ({a.shape[-2]}x{a.shape[-1]} and {b.shape[-2]}x{b.shape[-1]}).",
                mat1=(a.shape, "…, rows, inner"),
                mat2=(b.shape, "…, inner, columns"),
            )
        )
    out = _rounded(_product(a._array, b._array, a.dtype), a.dtype)

    def formula(g, a, b):
        return (lambda: matmul(g, b.mT)), (lambda: matmul(a.mT, g))

    return record(out, node, (a, b), formula, (a, b))


def _rank(name: str, argument: str, tensor: Tensor, rank: int) -> None:
    check_tensor(name, argument, tensor)
    if tensor._array.ndim != rank:
        raise RuntimeError(
            f"{name}: {argument} must have {rank} axes, but it is"
            f" {tuple(tensor.shape)}, with {tensor._array.ndim}."
        )


@in_lower
@with_out
def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """(m, k) · (k, n) -> (m, n)."""
    _rank("mm", "self", input, 2)
    _rank("mm", "mat2", mat2, 2)
    return _multiplied("mm", "MmBackward0", input, mat2)


@in_lower
@with_out
def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """(b, m, k) · (b, k, n) -> (b, m, n)."""
    _rank("bmm", "batch1", input, 3)
    _rank("bmm", "batch2", mat2, 3)
    if input.shape[0] != mat2.shape[0]:
        raise RuntimeError(
            f"bmm: batch sizes {input.shape[0]} and {mat2.shape[0]} differ:"
            f" {tuple(input.shape)} and {tuple(mat2.shape)}."
        )
    return _multiplied("bmm", "BmmBackward0", input, mat2)


@with_out
def mv(input: Tensor, vec: Tensor) -> Tensor:
    """(m, k) · (k) -> (m)."""
    _rank("mv", "input", input, 2)
    _rank("mv", "vec", vec, 1)
    product = _multiplied("mv", "MvBackward0", input, vec.unsqueeze(1)).squeeze(1)
    return renamed(product, "MvBackward0")


@with_out
def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """Σ input · tensor of two vectors."""
    _rank("dot", "self", input, 1)
    _rank("dot", "tensor", tensor, 1)
    _check_dtypes("dot", input, tensor)
    if input.shape != tensor.shape:
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor [{input.shape[0]}] and src"
            f" [{tensor.shape[0]}] to have the same number of elements"
        )
    kind = input.dtype
    product = compiler.reduce(
        "sum",
        ("mul", ("in", 0), ("in", 1)),
        input._array,
        tensor._array,
        axes=(0,),
        dtypes=(kind.name, kind.name),
        dtype=kind.name,
    )
    return record(
        Tensor._of(product, kind),
        "DotBackward0",
        (input, tensor),
        lambda g, a, b: ((lambda: g * b), (lambda: g * a)),
        (input, tensor),
    )


vdot = dot


@in_lower
@with_out
def matmul(input: Tensor, other: Tensor) -> Tensor:
    """The matrix product; vectors are rows or columns, leading axes broadcast.

    Raises RuntimeError if the inner sizes differ or an operand has no axes.
    """
    check_tensor("matmul", "input", input)
    check_tensor("matmul", "other", other)
    a, b = input._array.ndim, other._array.ndim
    if not a or not b:
        raise RuntimeError(
            "both arguments to matmul need to be at least 1D, but they are"
            f" {a}D and {b}D"
        )
    if a == b == 1:
        return dot(input, other)
    if a == 1:
        row = matmul(input.unsqueeze(0), other).squeeze(-2)
        return renamed(row, "SqueezeBackward4")
    if b == 1 and a == 2:
        return mv(input, other)
    if b == 1:
        return matmul(input, other.unsqueeze(1)).squeeze(-1)
    if a == b == 2:
        return mm(input, other)
    if b == 2 and a > 2:
        # One large product: the leading axes are more rows.
        rows = input.reshape(math.prod(input.shape[:-1]), input.shape[-1])
        return mm(rows, other).reshape(*input.shape[:-1], other.shape[1])
    lead = broadcast_shapes(input.shape[:-2], other.shape[:-2])
    left = input.expand(*lead, *input.shape[-2:])
    right = other.expand(*lead, *other.shape[-2:])
    return _multiplied("matmul", "BmmBackward0", left, right)


@with_out
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """The product of every pair of elements of two vectors."""
    _rank("outer", "input", input, 1)
    _rank("outer", "vec2", vec2, 1)
    return input.unsqueeze(1) * vec2


ger = outer


@with_out
def inner(input: Tensor, other: Tensor) -> Tensor:
    """Sums of products along the last axes."""
    if not input.dim() or not other.dim():
        return input * other
    if input.shape[-1] != other.shape[-1]:
        raise RuntimeError(
            "inner() the last dimension must match on both input tensors but got shapes"
            f" {list(input.shape)} and {list(other.shape)}"
        )
    return tensordot(input, other, ([-1], [-1]))


def _plus(input: Tensor, product: Tensor, beta, alpha) -> Tensor:
    if product.dtype is dtypes.bool_:
        return (input & bool(beta)) | (product & bool(alpha))
    if not product.dtype.is_floating_point:
        beta, alpha = int(beta), int(alpha)
    if alpha != 1:
        product = product * alpha
    if beta == 0:
        return product
    return (input if beta == 1 else input * beta) + product


@in_lower
@with_out
@rounded_once
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta=1, alpha=1) -> Tensor:
    """beta · input + alpha · mat1 · mat2."""
    _rank("addmm", "mat1", mat1, 2)
    _rank("addmm", "mat2", mat2, 2)
    return renamed(_plus(input, mm(mat1, mat2), beta, alpha), "AddmmBackward0")


@with_out
@rounded_once
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta=1, alpha=1) -> Tensor:
    """beta · input + alpha · mat · vec."""
    return _plus(input, mv(mat, vec), beta, alpha)


@in_lower
@with_out
@rounded_once
def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta=1, alpha=1):
    """beta · input + alpha · batch1 · batch2, a product an entry of the batch."""
    return _plus(input, bmm(batch1, batch2), beta, alpha)


@in_lower
@with_out
@rounded_once
def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta=1, alpha=1):
    """beta · input + alpha · Σ batch1 · batch2 over the batch."""
    return _plus(input, bmm(batch1, batch2).sum(0), beta, alpha)


@with_out
@rounded_once
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta=1, alpha=1) -> Tensor:
    """beta · input + alpha · outer(vec1, vec2)."""
    return _plus(input, outer(vec1, vec2), beta, alpha)


@in_lower
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input · weightᵀ + bias.

    (…, in_features), (out_features, in_features) -> (…, out_features).
    Raises RuntimeError if the feature counts or dtypes differ.
    """
    check_tensor("linear", "input", input)
    check_tensor("linear", "weight", weight)
    if weight.dim() == 1:
        out = input.matmul(weight)
        return out if bias is None else out + bias
    if not input.dim() or input.shape[-1] != weight.shape[-1]:
        rows = math.prod(input.shape[:-1])
        raise RuntimeError(
            worded(
                "linear: mat1 and mat2 shapes cannot be multiplied"
                f" ({rows}x{input.shape[-1] if input.dim() else 1} and"
                f" {weight.shape[1]}x{weight.shape[0]}): input has"
                f" {input.shape[-1] if input.dim() else 1} features, weight takes"
                f" {weight.shape[1]}.",
                input=(input.shape, "…, in_features"),
                weight=(weight.shape, "out_features, in_features"),
            )
        )
    _check_dtypes("linear", input, weight)
    kind = input.dtype
    flat = input._array.reshape(-1, input._array.shape[-1])
    product = _product(flat, weight._array.T, kind)
    product = product.reshape(*input._array.shape[:-1], weight._array.shape[0])
    if bias is None:
        out = _rounded(product, kind)
    else:
        _check_dtypes("linear", input, bias)
        wide = Tensor._of(product)
        out = evaluate(_SUM, (wide, bias.detach()), wide.dtype, kind)

    def formula(g, input, weight):
        def by_weight():
            rows = g.reshape(-1, g.shape[-1])
            return rows.mT.matmul(input.reshape(-1, input.shape[-1]))

        gradients = (lambda: g.matmul(weight)), by_weight
        return gradients if bias is None else (g, *gradients)

    if bias is None:
        node = "MmBackward0" if input.dim() == 2 else "UnsafeViewBackward0"
        return record(out, node, (input, weight), formula, (input, weight))
    node = "AddmmBackward0" if input.dim() == 2 else "ViewBackward0"
    return record(out, node, (bias, input, weight), formula, (input, weight))


@as_given
def bilinear(input1, input2, weight, bias=None) -> Tensor:
    """Σᵢⱼ input1[i] · weight[o, i, j] · input2[j] + bias."""
    out = einsum("...i,oij,...j->...o", input1, weight, input2)
    return out if bias is None else out + bias


@with_out
def tensordot(a: Tensor, b: Tensor, dims=2) -> Tensor:
    """Sums of products over `dims`: a count of inner axes, or two lists of axes."""
    if isinstance(dims, int):
        first = list(range(a.dim() - dims, a.dim()))
        second = list(range(dims))
    else:
        first, second = (
            [each] if isinstance(each, int) else list(each) for each in dims
        )
    first, second = [a._axis(i) for i in first], [b._axis(i) for i in second]
    for i, j in zip(first, second, strict=True):
        if a.shape[i] == 1 != b.shape[j]:
            b = b.sum(j, keepdim=True)
        elif b.shape[j] == 1 != a.shape[i]:
            a = a.sum(i, keepdim=True)
        if a.shape[i] != b.shape[j]:
            raise RuntimeError(
                "contracted dimensions need to match, but first has size"
                f" {a.shape[i]} in dim {i} and second has size {b.shape[j]} in dim {j}"
            )
    rest_a = [i for i in range(a.dim()) if i not in first]
    rest_b = [i for i in range(b.dim()) if i not in second]
    inner_size = math.prod(a.shape[i] for i in first)
    rows = math.prod(a.shape[i] for i in rest_a)
    columns = math.prod(b.shape[i] for i in rest_b)
    left = a.permute(*rest_a, *first).reshape(rows, inner_size)
    right = b.permute(*second, *rest_b).reshape(inner_size, columns)
    shape = [a.shape[i] for i in rest_a] + [b.shape[i] for i in rest_b]
    return mm(left, right).reshape(shape)


def chain_matmul(*matrices: Tensor) -> Tensor:
    """The product of several matrices."""
    result = matrices[0]
    for each in matrices[1:]:
        result = result.matmul(each)
    return result


# einsum: each pair of operands becomes one batched matrix product


def einsum(equation, *operands) -> Tensor:
    """Sums of products by the letters of `equation`; "..." broadcasts.

    >>> import atrous
    >>> atrous.einsum("ij,jk->ik", atrous.ones(2, 3), atrous.ones(3, 4)).shape
    torch.Size([2, 4])
    """
    if not isinstance(equation, str):
        equation, operands = _from_lists(equation, operands)
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    labels, output = _parsed(equation.replace(" ", ""), operands)
    sizes = _sizes(labels, operands)
    terms = [
        _diagonals(operand, label)
        for operand, label in zip(operands, labels, strict=True)
    ]
    result, held = terms[0]
    for position, (operand, label) in enumerate(terms[1:], 1):
        later = set("".join(terms_label for _, terms_label in terms[position + 1 :]))
        result, held = _pair(result, held, operand, label, later | set(output), sizes)
    gone = [axis for axis, letter in enumerate(held) if letter not in output]
    if gone:
        result = result.sum(gone)
        held = "".join(letter for letter in held if letter in output)
    return result.permute([held.index(letter) for letter in output])


def _from_lists(first, rest):
    """The form einsum(a, [0, 1], b, [1, 2], [0, 2])."""
    sequence = [first, *rest]
    output = sequence.pop() if len(sequence) % 2 else None
    operands, lists = sequence[::2], sequence[1::2]

    def text(numbers) -> str:
        return "".join("..." if each is Ellipsis else _letter(each) for each in numbers)

    equation = ",".join(map(text, lists))
    return equation + ("" if output is None else "->" + text(output)), tuple(operands)


def _letter(number: int) -> str:
    return chr(ord("A") + number) if number < 26 else chr(ord("a") + number - 26)


def _parsed(equation: str, operands) -> tuple[list[str], str]:
    """A letter for each axis of operands and output; "..." gets its own."""
    left, arrow, output = equation.partition("->")
    parts = left.split(",")
    if len(parts) != len(operands):
        raise RuntimeError(
            f"einsum(): the equation has {len(parts)} operands, but {len(operands)}"
            f" were given: '{equation}'"
        )
    covers = [
        operand.dim() - len(part.replace("...", "")) if "..." in part else 0
        for part, operand in zip(parts, operands, strict=True)
    ]
    hidden = [chr(0x4E00 + i) for i in range(max(covers, default=0))]
    labels = [
        part.replace("...", "".join(hidden[len(hidden) - cover :]))
        for part, cover in zip(parts, covers, strict=True)
    ]
    for label, operand, part in zip(labels, operands, parts, strict=True):
        if len(label) != operand.dim():
            raise RuntimeError(
                f"einsum(): the number of subscripts in '{part}' does not match the"
                f" {operand.dim()} axes of an operand of shape {tuple(operand.shape)}"
            )
    if arrow:
        output = output.replace("...", "".join(hidden))
    else:
        letters = "".join(part.replace("...", "") for part in parts)
        once = sorted(each for each in set(letters) if letters.count(each) == 1)
        output = "".join(hidden) + "".join(once)
    for letter in output:
        if not [label for label in labels if letter in label]:
            raise RuntimeError(
                f"einsum(): output subscript {letter} does not appear in the equation"
                " for any input operand"
            )
    return labels, output


def _sizes(labels, operands) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for label, operand in zip(labels, operands, strict=True):
        for letter, size in zip(label, operand.shape, strict=True):
            known = sizes.get(letter, 1)
            if known not in (1, size) and size != 1:
                raise RuntimeError(
                    f"einsum(): subscript {letter} has size {size} for an operand which"
                    f" does not broadcast with previously seen size {known}"
                )
            sizes[letter] = max(known, size) if 0 not in (known, size) else 0
    return sizes


def _diagonals(operand: Tensor, label: str) -> tuple[Tensor, str]:
    """A repeated letter takes the diagonal of its axes."""
    for letter in dict.fromkeys(label):
        while label.count(letter) > 1:
            first = label.index(letter)
            second = label.index(letter, first + 1)
            operand = operand.diagonal(0, first, second)
            label = label[:first] + label[first + 1 : second] + label[second + 1 :]
            label += letter
    return operand, label


def _pair(a, a_label, b, b_label, needed, sizes) -> tuple[Tensor, str]:
    """Contract two operands over the letters that nothing later needs."""
    a, a_label = _summed_alone(a, a_label, needed | set(b_label))
    b, b_label = _summed_alone(b, b_label, needed | set(a_label))
    shared = [each for each in a_label if each in b_label]
    batch = [each for each in shared if each in needed]
    inner = [each for each in shared if each not in needed]
    rows = [each for each in a_label if each not in b_label]
    columns = [each for each in b_label if each not in a_label]
    left = _arranged(a, a_label, batch, rows, inner, sizes)
    right = _arranged(b, b_label, batch, inner, columns, sizes)
    product = left.bmm(right) if inner else left * right
    held = batch + rows + columns
    return product.reshape([sizes[each] for each in held]), "".join(held)


def _summed_alone(a: Tensor, label: str, needed) -> tuple[Tensor, str]:
    gone = [axis for axis, letter in enumerate(label) if letter not in needed]
    if gone:
        a = a.sum(gone)
    return a, "".join(letter for letter in label if letter in needed)


def _arranged(a, label, batch, rows, columns, sizes) -> Tensor:
    """(batch, rows, columns) as three axes, broadcast to full sizes."""
    order = [label.index(each) for each in (*batch, *rows, *columns)]
    full = a.permute(order).expand([sizes[label[i]] for i in order])
    shape = [math.prod(sizes[each] for each in part) for part in (batch, rows, columns)]
    return full.reshape(shape)
