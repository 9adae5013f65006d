"""One table: which operation each method and operator of Tensor is.

A method is the public function with the tensor as its first argument; `name_` is its
in-place form, derived by `inplace`.
"""

from __future__ import annotations

from .ops import (
    NAMES,
    activation,
    arithmetic,
    broadcast,
    choice,
    compare,
    comparison,
    convert,
    create,
    elementwise,
    extremes,
    index,
    mask,
    mathematics,
    matmul,
    order,
    parts,
    quantiles,
    rearrange,
    reduce,
    sample,
    scan,
    scatter,
    softmax,
    subscript,
    vector_norms,
    views,
    windows,
)
from .ops.autocast import unmarked
from .ops.operands import inplace
from .tensor import Tensor

#: Methods that are the function of the same name, and have an in-place form.
POINTWISE = """
    abs absolute neg negative square sqrt rsqrt reciprocal exp exp2 expm1 log log2 log10
    log1p sin cos tan asin acos atan sinh cosh tanh sigmoid erf erfc ceil floor trunc
    fix round sign sgn frac deg2rad rad2deg logical_not bitwise_not arcsin arccos arctan
    add sub mul multiply div floor_divide fmod remainder pow maximum minimum fmax fmin
    atan2 arctan2 hypot eq ne not_equal lt less le less_equal gt greater ge
    greater_equal logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor
    clamp clip clamp_min clamp_max lerp addcmul addcdiv divide subtract true_divide
    logaddexp xlogy nan_to_num acosh asinh atanh arccosh arcsinh arctanh copysign
    float_power heaviside
""".split()

#: Methods without an in-place form, by module.
PLAIN = {
    mathematics: "isnan isinf isfinite isposinf isneginf signbit positive".split(),
    reduce: """
        sum nansum mean nanmean prod any all var std count_nonzero trace
    """.split(),
    extremes: "max min amax amin aminmax argmax argmin".split(),
    vector_norms: "norm logsumexp dist".split(),
    quantiles: "median nanmedian mode quantile nanquantile".split(),
    matmul: """
        matmul mm bmm mv dot vdot inner outer ger addmm addmv addbmm baddbmm addr
    """.split(),
    compare: """
        allclose equal isclose is_nonzero is_same_size
    """.split(),
    views: """
        adjoint flatten moveaxis movedim permute ravel reshape reshape_as squeeze
        swapaxes swapdims t transpose unflatten unsqueeze view view_as
    """.split(),
    broadcast: "broadcast_to expand expand_as sum_to_size".split(),
    windows: "as_strided unfold".split(),
    parts: """
        chunk diagonal diagonal_scatter dsplit fill_diagonal_ hsplit narrow
        narrow_copy select select_scatter slice_scatter split split_with_sizes
        tensor_split unbind vsplit
    """.split(),
    rearrange: """
        diag diag_embed diagflat flip fliplr flipud repeat repeat_interleave roll rot90
        tile tril triu kron
    """.split(),
    convert: """
        apply_ clone contiguous copy_ cpu cuda fill_ map_ pin_memory resize_ resize_as_
        share_memory_ to type_as zero_
    """.split(),
    sample: """
        bernoulli bernoulli_ cauchy_ exponential_ geometric_ log_normal_ multinomial
        normal_ random_ uniform_
    """.split(),
    index: "index_add index_copy index_fill index_select put take".split(),
    scatter: "gather scatter scatter_add scatter_reduce take_along_dim".split(),
    subscript: "index_put index_put_".split(),
    mask: "argwhere masked_fill masked_scatter masked_select nonzero".split(),
    order: """
        argsort bincount histc isin kthvalue msort sort topk unique unique_consecutive
    """.split(),
    scan: "cummax cummin cumprod cumsum diff logcumsumexp".split(),
    activation: "relu relu_ prelu hardshrink".split(),
    softmax: "softmax log_softmax".split(),
}

#: Other functions that have an in-place form besides.
IN_PLACE = {
    matmul: "addmm addmv addbmm baddbmm addr".split(),
    rearrange: "tril triu".split(),
    index: "index_add index_copy index_fill put".split(),
    scatter: "scatter scatter_add scatter_reduce".split(),
    mask: "masked_fill masked_scatter".split(),
    scan: "cumsum cumprod".split(),
}

#: Methods whose in-place form changes the tensor's own shape.
RESHAPING = "squeeze unsqueeze transpose t swapaxes swapdims".split()

PROPERTIES = {
    "T": views.reversed_axes,
    "mT": views.matrix_transpose,
    "H": views.hermitian,
    "mH": views.matrix_transpose,
}


def _reflected(function):
    def operator(self, other):
        return function(other, self)

    return operator


def _where(self: Tensor, condition, other) -> Tensor:
    """This tensor's elements where `condition` holds, else those of `other`."""
    return choice.where(condition, self, other)


#: Methods whose name is not the function's.
RENAMED = {
    **convert.CASTS,
    **create.NEW,
    "type": convert.type_,
    "where": _where,
    "__getitem__": subscript.getitem,
    "__setitem__": subscript.setitem,
    "__iter__": subscript.iterate,
    "__matmul__": matmul.matmul,
    "__rmatmul__": _reflected(matmul.matmul),
    "__neg__": mathematics.neg,
    "__pos__": mathematics.positive,
    "__abs__": mathematics.abs,
    "__invert__": mathematics.bitwise_not,
}


def _operator(function):
    """An operator leaves to the other operand what it does not know."""

    function = getattr(function, "__wrapped__", function)  # which takes no out=

    def operator(self, other):
        if isinstance(other, elementwise.OPERANDS):
            return function(self, other)
        return NotImplemented

    return operator


OPERATORS = {
    "add": arithmetic.add,
    "sub": arithmetic.sub,
    "mul": arithmetic.mul,
    "truediv": arithmetic.div,
    "floordiv": arithmetic.floor_divide,
    "mod": arithmetic.remainder,
    "pow": arithmetic.pow,
    "and": comparison.bitwise_and,
    "or": comparison.bitwise_or,
    "xor": comparison.bitwise_xor,
}
COMPARISONS = {name: getattr(comparison, name) for name in "eq ne lt le gt ge".split()}


def install() -> None:
    """Give Tensor its methods; called once, when the package is imported."""
    for name in POINTWISE:
        function = NAMES[name]
        setattr(Tensor, name, function)
        setattr(Tensor, f"{name}_", inplace(function, f"{name}_"))
    for module, names in PLAIN.items():
        for name in names:
            setattr(Tensor, name, getattr(module, name))
    for module, names in IN_PLACE.items():
        for name in names:
            function = unmarked(getattr(module, name))
            setattr(Tensor, f"{name}_", inplace(function, f"{name}_"))
    for name in RESHAPING:
        setattr(Tensor, f"{name}_", views.in_place(getattr(views, name)))
    for name, function in RENAMED.items():
        setattr(Tensor, name, function)
    for name, function in PROPERTIES.items():
        setattr(Tensor, name, property(function))
    for name, function in OPERATORS.items():
        setattr(Tensor, f"__{name}__", _operator(function))
        setattr(Tensor, f"__r{name}__", _operator(_reflected(function)))
        setattr(Tensor, f"__i{name}__", inplace(function, f"__i{name}__"))
    for name, function in COMPARISONS.items():
        setattr(Tensor, f"__{name}__", _operator(function))
