"""`python -m atrous explain`: a page or a picture of a convolution from a terminal."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import io
from ..autograd import no_grad
from ..nn.modules import conv
from ..ops import create, sample, seeding
from ..tensor import Tensor
from . import gallery
from .example import example, usual_size
from .explanation import Explanation, explain
from .setting import Setting
from .sizes import advice, formula
from .words import LANGUAGES

LAYERS: dict[str, Any] = {
    "conv1d": conv.Conv1d,
    "conv2d": conv.Conv2d,
    "conv3d": conv.Conv3d,
    "conv_transpose1d": conv.ConvTranspose1d,
    "conv_transpose2d": conv.ConvTranspose2d,
    "conv_transpose3d": conv.ConvTranspose3d,
}
EXAMPLES = """examples:
  python -m atrous explain conv2d --kernel 3 --stride 2 --padding 1 -o page.html
  python -m atrous explain conv1d --in-channels 2 --size 7 --at 0 2 -o figure.svg
  python -m atrous explain conv3d --weights net.safetensors --name encoder.0 --size 5
  python -m atrous explain --gallery docs/gallery
"""
REFUSALS = (
    *(IndexError, KeyError, ModuleNotFoundError, OSError, RuntimeError, TypeError),
    ValueError,
)


def add_to(commands: Any) -> None:
    """Add `explain` to the subcommands of a parser."""
    parser = commands.add_parser(
        "explain",
        help="a page or a picture of a convolution, with its numbers",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("layer", nargs="?", choices=LAYERS, help="which convolution")
    add("--in-channels", type=int, default=1, metavar="N")
    add("--out-channels", type=int, default=1, metavar="N")
    add("--kernel", type=int, nargs="+", default=[3], metavar="N")
    add("--stride", type=int, nargs="+", default=[1], metavar="N")
    add("--padding", nargs="+", default=["0"], metavar="N", help="or same, or valid")
    add("--output-padding", type=int, nargs="+", default=[0], metavar="N")
    add("--dilation", type=int, nargs="+", default=[1], metavar="N")
    add("--groups", type=int, default=1, metavar="N")
    add("--no-bias", action="store_true")
    add("--padding-mode", default="zeros", choices=conv.PADDING_MODES)
    add("--size", type=int, nargs="+", metavar="N", help="of the input along each axis")
    add("--input", metavar="FILE.npy", help="the input, instead of whole numbers")
    add("--weights", metavar="FILE", help="safetensors to take weight and bias from")
    add("--name", default="", metavar="PATH", help="the layer's name in that file")
    add("--seed", type=int, metavar="N", help="random numbers instead of whole ones")
    add("--language", choices=LANGUAGES, default="en", help="of a picture's words")
    add("--at", type=int, nargs="+", metavar="N", help="output cell of a picture")
    add("--gallery", metavar="FOLDER", help="draw the handbook's figures instead")
    add(
        "-o", "--output", default="explain.html", metavar="FILE", help=".html .svg .png"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write what is asked for; returns the exit status, 1 after a refusal."""
    try:
        if options.gallery:
            for path in gallery.make(options.gallery):
                print(path)
            return 0
        print(_written(options))
        return 0
    except REFUSALS as refusal:
        print(f"atrous explain: {_reason(refusal)}", file=sys.stderr)
        return 1


def _reason(refusal: Exception) -> str:
    """A refusal as one sentence."""
    if isinstance(refusal, OSError) and refusal.filename:
        return f"{refusal.filename}: {(refusal.strerror or 'not read').lower()}."
    text = refusal.args[0] if isinstance(refusal, KeyError) else str(refusal)
    return text.removeprefix("explain: ")


def _written(options: argparse.Namespace) -> str:
    """Write the page or picture; returns a line that says what it shows."""
    if options.layer is None:
        raise ValueError(f"name a layer ({', '.join(LAYERS)}) or give --gallery.")
    explanation = _explanation(options)
    picture = Path(options.output).suffix in (".svg", ".png")
    words = {"at": options.at, "language": options.language}
    path = explanation.save(options.output, **(words if picture else {}))
    setting = explanation.setting
    lines = formula(setting, explanation.arrays["input"].shape[1:])
    sizes = [f"{a}: {line}" for a, line in zip(setting.axes, lines, strict=True)]
    return "\n".join([f"{path}: {setting}", *sizes])


def _explanation(options: argparse.Namespace) -> Explanation:
    """The layer that the options describe, with its numbers."""
    kept = _kept(options.weights, options.name) if options.weights else {}
    setting = _setting(options, kept)
    given = _array(options.input) if options.input else None
    size = tuple(options.size or ()) or usual_size(setting)
    if len(size) == 1:
        size *= setting.rank
    if given is not None:
        size = given.shape[-setting.rank :]
    problem = advice(setting, size)
    if problem:
        raise RuntimeError(f"{setting.name}: {problem}")
    if options.seed is not None:
        seeding.manual_seed(options.seed)
    layer, x = _layer(options.layer, setting), None
    if given is not None:
        x = create.tensor(given)
    elif options.seed is not None:
        x = sample.randn(setting.in_channels, *size)
    values = example(setting, size)
    with no_grad():
        if kept or options.seed is None:
            for name, parameter in layer.named_parameters():
                parameter.copy_(kept[name] if kept else create.tensor(values[name]))
    return explain(layer, create.tensor(values["input"]) if x is None else x)


def _array(path: str) -> np.ndarray:
    """The numbers of a .npy file as float32."""
    try:
        return np.asarray(np.load(path), dtype=np.float32)
    except (ValueError, TypeError, EOFError):
        raise ValueError(f"{path} is no .npy file of numbers.") from None


def _setting(options: argparse.Namespace, kept: dict[str, Tensor]) -> Setting:
    """The options as a setting; `kept` weights decide its shapes, if there are any."""
    layer = LAYERS[options.layer]
    axes = layer.axes
    words = options.padding[0] in conv.PADDING_WORDS
    setting = Setting(
        transposed=issubclass(layer, conv._ConvTransposeNd),
        in_channels=options.in_channels,
        out_channels=options.out_channels,
        kernel_size=_each("kernel", options.kernel, axes),
        stride=_each("stride", options.stride, axes),
        padding=options.padding[0]
        if words
        else _each("padding", [_number(text) for text in options.padding], axes),
        output_padding=_each("output-padding", options.output_padding, axes),
        dilation=_each("dilation", options.dilation, axes),
        groups=options.groups,
        bias=not options.no_bias,
        padding_mode=options.padding_mode,
    )
    if not kept:
        return setting
    first, second, *kernel = kept["weight"].shape
    if len(kernel) != axes:
        raise RuntimeError(
            f"{options.layer} needs a weight of {axes + 2} axes;"
            f" {options.name or 'the file'} has one of {len(kernel) + 2}."
        )
    outputs, inputs = first, second * setting.groups
    if setting.transposed:
        outputs, inputs = second * setting.groups, first
    return replace(
        setting,
        in_channels=inputs,
        out_channels=outputs,
        kernel_size=tuple(kernel),
        bias="bias" in kept,
    )


def _number(text: str) -> int:
    """A padding as a number."""
    try:
        return int(text)
    except ValueError:
        raise ValueError(
            f"--padding takes numbers, 'same' or 'valid', not {text!r}."
        ) from None


def _each(name: str, numbers: list[int], axes: int) -> tuple[int, ...]:
    """A number for each axis; one stands for all."""
    if len(numbers) not in (1, axes):
        raise ValueError(f"--{name} takes 1 or {axes} numbers, not {len(numbers)}.")
    return tuple(numbers) * (axes // len(numbers) if len(numbers) == 1 else 1)


def _layer(name: str, setting: Setting) -> Any:
    """A layer of the setting."""
    options = {
        key: getattr(setting, key)
        for key in ("stride", "padding", "dilation", "groups", "bias", "padding_mode")
    }
    if setting.transposed:
        options["output_padding"] = setting.output_padding
    return LAYERS[name](
        setting.in_channels, setting.out_channels, setting.kernel_size, **options
    )


def _kept(path: str, name: str) -> dict[str, Tensor]:
    """Weight and bias of layer `name` in a file of tensors."""
    tensors = io.load(path)
    prefix = f"{name}." if name else ""
    if f"{prefix}weight" not in tensors:
        layers = [key[: -len("weight")].rstrip(".") for key in tensors]
        there = [
            layer
            for layer, key in zip(layers, tensors, strict=True)
            if key.endswith("weight") and tensors[key].dim() > 2
        ]
        raise KeyError(
            f"{path} has no tensor {prefix}weight; convolutions in it:"
            f" {', '.join(there) or 'none'}."
        )
    found = {key: tensors.get(f"{prefix}{key}") for key in ("weight", "bias")}
    return {key: value for key, value in found.items() if value is not None}
