"""How a tensor prints: character by character as torch prints it.

All elements of a tensor are written alike, so a number format is chosen first, from
the elements that will be shown; then the rows are laid out, and what the digits do
not say (dtype, size, gradient) follows as suffixes. Torch's rules, found by trying:

- floats with a fraction get `precision` digits, whole floats get none ("1.");
- scientific notation where the magnitudes span more than 1000 : 1, exceed 1e8, or
  (with a fraction) fall below 1e-4; zeros, infinities and nan have no say in it;
- more than `threshold` elements are summarised: `edgeitems` at each end of an axis.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from atrous import dtypes

LARGEST_PLAIN = 1e8
SMALLEST_PLAIN = 1e-4
WIDEST_RATIO = 1000.0

# dtypes that a literal gives by itself, beside the default float dtype
UNNAMED_DTYPES = (dtypes.int64, dtypes.bool_)
PLAIN_CLASSES = ("Tensor", "Parameter")


@dataclass(frozen=True)
class PrintOptions:
    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


PROFILES = {
    "default": PrintOptions(),
    "short": PrintOptions(precision=2, edgeitems=2),
    "full": PrintOptions(threshold=math.inf),
}

_options = PROFILES["default"]


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Change how tensors print from here on, as torch.set_printoptions.

    A `profile` ("default", "short", "full") is set first, then the other arguments.
    `sci_mode` returns to automatic whenever it is not given.

    Raises ValueError for an unknown profile (torch ignores one).
    """
    global _options
    if profile is not None and profile not in PROFILES:
        raise ValueError(
            f"set_printoptions: profile is {profile!r}, expected one of "
            + ", ".join(repr(name) for name in PROFILES)
        )
    base = _options if profile is None else PROFILES[profile]
    given = {
        "precision": precision,
        "threshold": threshold,
        "edgeitems": edgeitems,
        "linewidth": linewidth,
    }
    changes: dict[str, Any] = {
        name: value for name, value in given.items() if value is not None
    }
    _options = replace(base, sci_mode=sci_mode, **changes)


def get_printoptions() -> PrintOptions:
    """The options that hold now; a frozen value."""
    return _options


def format_tensor(tensor) -> str:
    """What `repr(tensor)` shows.

    Needs of a tensor: `_array`, `dtype`, `requires_grad` and `grad_fn`.
    """
    options = _options
    kind = type(tensor).__name__
    prefix = "tensor(" if kind in PLAIN_CLASSES else f"{kind}("
    numbers = format_numbers(tensor._array, tensor.dtype, len(prefix), options)
    text = add_suffixes(prefix + numbers, suffixes(tensor, options), options)
    return ("Parameter containing:\n" if kind == "Parameter" else "") + text + ")"


def suffixes(tensor, options: PrintOptions) -> Iterator[str]:
    """What the digits do not say, in the order in which it stands."""
    shape = tensor._array.shape
    is_empty = 0 in shape
    if (is_empty and len(shape) != 1) or (not is_empty and options.edgeitems == 0):
        yield f"size={shape}"
    is_default = tensor.dtype is dtypes.get_default_dtype()
    # Without an element to show it, int64 is named too.
    if not is_default and (is_empty or tensor.dtype not in UNNAMED_DTYPES):
        yield f"dtype={tensor.dtype}"
    if tensor.grad_fn is not None:
        yield f"grad_fn=<{tensor.grad_fn.name()}>"
    elif tensor.requires_grad:
        yield "requires_grad=True"


def add_suffixes(text: str, suffixes: Iterator[str], options: PrintOptions) -> str:
    """`text` and the suffixes, each on a new line where the last one is full."""
    indent = text.index("(") + 1
    # Torch keeps two characters free on a line of numbers, none on one of suffixes.
    used = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if used + len(", ") + len(suffix) > options.linewidth:
            text += ",\n" + " " * indent + suffix
            used = indent + len(suffix)
        else:
            text += ", " + suffix
            used += len(", ") + len(suffix)
    return text


def format_numbers(
    array: np.ndarray, dtype: dtypes.dtype, indent: int, options: PrintOptions
) -> str:
    """The numbers alone, in brackets, continued lines indented by `indent`."""
    if array.size == 0:
        return "[]"
    summarise = array.size > options.threshold
    cut = [summarise and size > 2 * options.edgeitems for size in array.shape]
    shown = edges(array, cut, options.edgeitems)
    if dtype is dtypes.bfloat16:
        shown = dtypes.widen(shown)
    write, width = number_format(shown, options)
    if array.ndim == 0:
        return write(shown.item())
    return Layout(write, width, options).rows(shown, cut, indent)


def edges(array: np.ndarray, cut: list[bool], count: int) -> np.ndarray:
    """`array` with only the first and last `count` elements of each cut axis."""
    if not any(cut):
        return array
    ends = [
        [*range(count), *range(size - count, size)] if is_cut else range(size)
        for size, is_cut in zip(array.shape, cut, strict=True)
    ]
    return array[np.ix_(*ends)]


def number_format(
    shown: np.ndarray, options: PrintOptions
) -> tuple[Callable[[object], str], int]:
    """A function that writes one element, and the width it fills."""
    if shown.dtype.kind != "f":
        width = max((len(str(value)) for value in shown.ravel().tolist()), default=1)
        return lambda value: str(value).rjust(width), width

    finite = shown[np.isfinite(shown) & (shown != 0)].astype(np.float64)
    whole = bool(np.all(finite == np.ceil(finite)))
    scientific = finite.size > 0 and options.sci_mode
    if scientific is None:
        scientific = needs_exponent(np.abs(finite), whole)
    as_whole = whole and not scientific
    digits = 0 if as_whole else options.precision
    chosen = f".{digits}{'e' if scientific else 'f'}"

    def bare(value) -> str:
        dot = "." if as_whole and math.isfinite(value) else ""
        return format(value, chosen) + dot

    width = max((len(bare(value)) for value in finite.tolist()), default=1)
    return lambda value: bare(value).rjust(width), width


def needs_exponent(magnitudes: np.ndarray, whole: bool) -> bool:
    smallest, largest = float(magnitudes.min()), float(magnitudes.max())
    return (
        largest / smallest > WIDEST_RATIO
        or largest > LARGEST_PLAIN
        or (not whole and smallest < SMALLEST_PLAIN)
    )


@dataclass(frozen=True)
class Layout:
    """Brackets, commas and line breaks around numbers that are `width` wide."""

    write: Callable[[object], str]
    width: int
    options: PrintOptions

    def rows(self, shown: np.ndarray, cut: list[bool], indent: int) -> str:
        """`cut` says of each axis whether its middle was left out of `shown`."""
        if shown.ndim == 1:
            return self.row(shown, cut[0], indent)
        texts = [self.rows(part, cut[1:], indent + 1) for part in shown]
        if cut[0]:
            texts.insert(self.options.edgeitems, "...")
        between = "," + "\n" * (shown.ndim - 1) + " " * (indent + 1)
        return "[" + between.join(texts) + "]"

    def row(self, shown: np.ndarray, is_cut: bool, indent: int) -> str:
        texts = [self.write(value) for value in shown.tolist()]
        if is_cut:
            # The space aligns it between numbers; alone it needs none.
            texts.insert(self.options.edgeitems, " ..." if texts else "...")
        room = self.options.linewidth - indent
        per_line = max(1, room // (self.width + len(", ")))
        lines = [
            ", ".join(texts[start : start + per_line])
            for start in range(0, len(texts), per_line)
        ]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
