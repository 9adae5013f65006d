"""The specs: frozen values, each of which says a whole problem.

A spec is the cache key, the test case and the benchmark row at once. `reference.py`
defines each by plain NumPy.
"""

from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

BORDERS = ("zeros", "reflect", "replicate", "circular")
ACTIVATIONS = (None, "relu")


@dataclass(frozen=True)
class ConvSpec:
    """Convolution in any number of dimensions, solved for one of its three operands.

    One trilinear form ties input x, weight w and output y together (within a group):
        T(x, w, y) = Σ x[n, i, s·o - p + d·k] · w[j, i, k] · y[n, j, o]
    and `solves` names the operand that is computed from the two others.

    `size` is the spatial size of x; it and `kernel`, `stride`, `dilation`, `padding`
    (pairs: before, after) have one entry an axis. `border` says what x is beyond its
    edge. `bias` adds a number for each channel of the result ("y" or "x"), and
    `activation` is applied last.
    """

    solves: str
    dtype: str
    batch: int
    groups: int
    in_channels: int
    out_channels: int
    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    border: str = "zeros"
    bias: bool = False
    activation: str | None = None

    def __post_init__(self):
        rank = len(self.size)
        assert self.solves in ("x", "w", "y") and self.dtype in ("float32", "float64")
        assert self.border in BORDERS and self.activation in ACTIVATIONS
        for name in ("kernel", "stride", "dilation", "padding"):
            assert len(getattr(self, name)) == rank, name
        assert self.in_channels % self.groups == self.out_channels % self.groups == 0
        assert all(n >= 1 for n in (*self.stride, *self.dilation, *self.kernel))
        assert not (self.bias and self.solves == "w")

    @property
    def rank(self) -> int:
        """Spatial axes."""
        return len(self.size)

    @cached_property
    def output_size(self) -> tuple[int, ...]:
        """The spatial size of y; an axis the kernel does not fit into has none."""
        return tuple(
            max(0, (n + before + after - d * (k - 1) - 1) // s + 1)
            for n, (before, after), d, k, s in zip(
                self.size,
                self.padding,
                self.dilation,
                self.kernel,
                self.stride,
                strict=True,
            )
        )

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The logical shape of each operand."""
        return {
            "x": (self.batch, self.in_channels, *self.size),
            "w": (self.out_channels, self.in_channels // self.groups, *self.kernel),
            "y": (self.batch, self.out_channels, *self.output_size),
        }

    @property
    def products(self) -> int:
        """Multiply-adds of the definition, those with padding included."""
        within = self.in_channels // self.groups * prod(self.kernel)
        return self.batch * self.out_channels * prod(self.output_size) * within


@dataclass(frozen=True)
class PointwiseSpec:
    """Expressions over elements: for every index, results[k] = exprs[k](inputs).

    `text` is the expressions as they are written (1 and 1.0 differ in it), `dtypes`
    the inputs', `kinds` the scalars' ("weak float" …). `results` are the dtypes that
    are stored. Sizes and strides are given at run time; known beforehand are how many
    dimensions are left once neighbours are merged, and how each operand (inputs,
    then results) walks along the last one: "unit", "same" (stride 0), "strided", or
    "turned" (dense along the last but one). `tiled` says that the last two are walked
    in tiles, because some input is turned; `streams`, that results are written past the
    caches.
    """

    text: str
    dtypes: tuple[str, ...]
    kinds: tuple[str, ...]
    results: tuple[str, ...]
    rank: int
    walks: tuple[str, ...]
    tiled: bool = False
    streams: bool = False


def border_index(size: int, before: int, after: int, border: str) -> np.ndarray:
    """For each position of a padded axis its place among `size`; -1 where x is zero."""
    place = np.arange(-before, size + after)
    outside = (place < 0) | (place >= size)
    if border == "zeros":
        return np.where(outside, -1, place)
    if border == "replicate":
        return np.clip(place, 0, size - 1)
    if border == "circular":
        return place % size
    period = max(1, 2 * (size - 1))  # reflect: there and back, the edge not repeated
    place = place % period
    return np.minimum(place, period - place) if size > 1 else place * 0


@dataclass(frozen=True)
class ReduceSpec:
    """Expressions over elements, combined over some dimensions.

    `combine` is sum, prod, min, max, any, all, argmin or argmax; expressions share one
    pass. Dimensions, once merged, are `kept` ones and then `reduced` ones; lanes run
    along the last of either, as `lanes_along` says ("kept" or "reduced"). `walks` are
    those along it, of inputs and results. `still` are the inputs that do not move along
    reduced dimensions: each is read once where lanes run along kept ones. Floats are
    summed in float64, whole numbers in int64; `results` are the dtypes stored, of which
    arg- forms store an index too.
    """

    combine: str
    text: str
    dtypes: tuple[str, ...]
    kinds: tuple[str, ...]
    results: tuple[str, ...]
    kept: int
    reduced: int
    lanes_along: str
    walks: tuple[str, ...]
    still: tuple[int, ...] = ()


@dataclass(frozen=True)
class SoftmaxSpec:
    """exp(x) / Σ exp(x) along one axis, or its logarithm, or the gradient of either.

    Dimensions, once merged, are `kept` ones and then the axis. `lanes_along` is "kept"
    or "axis"; `walks` are those of inputs (x; or the result's gradient and the result)
    and of what is stored: along the lanes, or "rows" where rows of `held` elements
    lie densely one after another. `held` is the axis's length where a row is so short
    that it stays in registers, else 0.
    """

    log: bool
    gradient: bool
    dtype: str
    kept: int
    lanes_along: str
    walks: tuple[str, ...]
    held: int = 0


@dataclass(frozen=True)
class LikelihoodSpec:
    """-w_t · log(exp(x_t) / Σ exp(x)) of each row's class t, or its gradient for x.

    Rows are as in `SoftmaxSpec`. With `normalised`, x holds logarithms already: the
    loss is -w_t · x_t. `weighted`: there is a number w for each class. `each`: the loss
    of each row is stored, beside the sums over all. `target` is the dtype of classes.
    `walks` are those of x, the classes, and what lies beside: the gradient that arrived
    and the result, or the losses if `each`.
    """

    gradient: bool
    normalised: bool
    weighted: bool
    each: bool
    dtype: str
    target: str
    kept: int
    lanes_along: str
    walks: tuple[str, ...]
    held: int = 0


@dataclass(frozen=True)
class PoolSpec:
    """The maximum or the average of windows, in any number of dimensions.

    `size`, `kernel`, `stride`, `padding` (both sides alike) and `dilation` have one
    entry a spatial axis. `ceil_mode` keeps a last window that starts inside the input
    or its left padding. An average divides by the window's elements, those in the
    padding included if `count_include_pad`, or by `divisor_override`. With `adaptive`,
    the size of the output, windows tile the input instead, and the rest is not used.
    """

    kind: str
    dtype: str
    batch: int
    channels: int
    size: tuple[int, ...]
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor_override: int | None = None
    adaptive: tuple[int, ...] | None = None

    def __post_init__(self):
        assert self.kind in ("max", "average")
        if self.adaptive is not None:
            assert len(self.adaptive) == len(self.size)
            return
        for name in ("kernel", "stride", "padding", "dilation"):
            assert len(getattr(self, name)) == len(self.size), name
        assert all(n >= 1 for n in (*self.kernel, *self.stride, *self.dilation))
        assert self.kind == "max" or all(n == 1 for n in self.dilation)

    @cached_property
    def output_size(self) -> tuple[int, ...]:
        """The spatial size of the result, by torch's rule."""
        if self.adaptive is not None:
            return self.adaptive
        found = []
        for n, k, s, p, d in zip(
            self.size,
            self.kernel,
            self.stride,
            self.padding,
            self.dilation,
            strict=True,
        ):
            room = n + 2 * p - d * (k - 1) - 1
            out = (room + (s - 1 if self.ceil_mode else 0)) // s + 1
            if self.ceil_mode and (out - 1) * s >= n + p:
                out -= 1
            found.append(max(out, 0))
        return tuple(found)

    def windows(self, axis: int) -> list[tuple[int, int, int]]:
        """Of each output along `axis`: first element, how many, and the divisor's part.

        A window's elements are `dilation` apart; those in the padding are left out.
        """
        n, found = self.size[axis], []
        if self.adaptive is not None:
            out = self.adaptive[axis]
            for o in range(out):
                start, stop = o * n // out, -(-(o + 1) * n // out)
                found.append((start, stop - start, stop - start))
            return found
        k, s = self.kernel[axis], self.stride[axis]
        p, d = self.padding[axis], self.dilation[axis]
        for o in range(self.output_size[axis]):
            start = o * s - p
            stop = min(start + (k - 1) * d + 1, n + p)
            whole = stop - start
            if start < 0:
                start += -(start // d) * d
            count = max(0, -(-(min(stop, n) - start) // d))
            found.append((start, count, whole if self.count_include_pad else count))
        return found

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The logical shapes of input and result."""
        return {
            "x": (self.batch, self.channels, *self.size),
            "y": (self.batch, self.channels, *self.output_size),
        }


@dataclass(frozen=True)
class ResampleSpec:
    """Interpolation along spatial axes, one after the other: each is a banded matrix.

    `mode` is nearest, nearest-exact, linear or cubic; `scale` overrides the ratio of
    sizes as the distance between samples (None where it follows from the sizes).
    """

    mode: str
    size: tuple[int, ...]
    output: tuple[int, ...]
    align_corners: bool = False
    scale: tuple[float | None, ...] | None = None

    def __post_init__(self):
        assert self.mode in ("nearest", "nearest-exact", "linear", "cubic"), self.mode
        assert len(self.size) == len(self.output)
