"""The problems that are measured: each an operation on arrays, and its floor.

`operation(library, *tensors)` is run by every rival with its own library (atrous or
torch). `products` are its multiply-adds; its bytes are the operands' and the result's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import prod


@dataclass(frozen=True)
class Row:
    """One line of the table; `shapes` are the operands', differentiated if need be."""

    family: str
    name: str
    operation: Callable
    shapes: tuple[tuple[int, ...], ...]
    result: tuple[int, ...]
    products: int = 0
    differentiable: bool = True

    @property
    def bytes(self) -> int:
        """Bytes to move forward, float32: each operand and the result once."""
        return 4 * sum(prod(shape) for shape in (*self.shapes, self.result))


def _sizes(x, w, stride, padding, dilation) -> tuple[int, ...]:
    return tuple(
        (n + 2 * padding - dilation * (k - 1) - 1) // stride + 1
        for n, k in zip(x[2:], w[2:], strict=True)
    )


def conv(family, x, w, stride=1, padding=0, dilation=1, groups=1, border="zeros"):
    """A convolution of x (batch, in, sizes…) with w (out, in / groups, kernel…)."""
    rank = len(x) - 2
    name = f"{rank}-D {'x'.join(map(str, x))} → {w[0]}"
    name += " k" + "x".join(map(str, dict.fromkeys(w[2:])))
    for letter, value, usual in (
        ("s", stride, 1),
        ("p", padding, 0),
        ("d", dilation, 1),
        ("g", groups, 1),
    ):
        name += f" {letter}{value}" if value != usual else ""
    name += f" {border}" if border != "zeros" else ""

    def operation(library, x, w):
        convolve = getattr(library.nn.functional, f"conv{rank}d")
        if border == "zeros":
            return convolve(x, w, None, stride, padding, dilation, groups)
        if library.__name__ == "torch":  # what torch's own layers do
            x = library.nn.functional.pad(x, [padding] * 2 * rank, border)
            return convolve(x, w, None, stride, 0, dilation, groups)
        return library.ops.conv.convolution(
            x, w, None, stride, padding, dilation, groups=groups, padding_mode=border
        )

    result = (x[0], w[0], *_sizes(x, w, stride, padding, dilation))
    return Row(family, name, operation, (x, w), result, prod(result) * prod(w[1:]))


def transposed(x, w, stride):
    """A transposed convolution whose kernel is its stride; w (in, out, kernel…)."""
    rank = len(x) - 2
    name = f"{rank}-D {'x'.join(map(str, x))} → {w[1]} k{w[2]} s{stride} transposed"

    def operation(library, x, w):
        function = getattr(library.nn.functional, f"conv_transpose{rank}d")
        return function(x, w, None, stride)

    result = (x[0], w[1], *(n * stride for n in x[2:]))
    return Row("pointwise", name, operation, (x, w), result, prod(x) * prod(w[1:]))


def layer(name, operation, *shapes, result=None):
    """A layer that moves memory: pools, norms, activations …"""
    return Row("layers", name, operation, shapes, result or shapes[0])


def _batch_norm(library, x, weight, bias):
    return library.nn.functional.batch_norm(x, None, None, weight, bias, True)


def _block(library, x, w, weight, bias):
    y = library.nn.functional.conv3d(x, w, padding=1)
    return library.nn.functional.relu(_batch_norm(library, y, weight, bias))


def cross_entropy(shape):
    """The loss of logits (batch, classes, sizes…) and one class a place."""

    @lru_cache
    def classes(library):
        places = (shape[0], *shape[2:])
        return library.arange(prod(places)).reshape(places) % shape[1]

    def operation(library, x):
        return library.nn.functional.cross_entropy(x, classes(library))

    name = f"cross-entropy {'x'.join(map(str, shape))}"
    return layer(name, operation, shape, result=())


def optimiser(name, shapes):
    """A step of Adam; its rate is 0, so that every step has the same operands."""

    @lru_cache
    def made(library, parameters):
        for each in parameters:
            each.grad = each.detach() * 0.5
        return library.optim.Adam(parameters, lr=0.0)

    def operation(library, *parameters):
        made(library, parameters).step()
        return parameters[0]

    # besides the parameters, their gradients and two means: read; and three, written
    moved = (6 * sum(map(prod, shapes)),)
    return Row("layers", name, operation, shapes, moved, differentiable=False)


def resnet18(rank):
    """The shapes of a ResNet-18's parameters."""

    def norm(channels):
        return [(channels,)] * 2

    found, before = [(64, 3, *(7,) * rank), *norm(64)], 64
    for channels in (64, 128, 256, 512):
        for inner in (before, channels):
            found += [(channels, inner, *(3,) * rank), *norm(channels)]
            found += [(channels, channels, *(3,) * rank), *norm(channels)]
        if channels != before:
            found += [(channels, before, *(1,) * rank), *norm(channels)]
        before = channels
    return (*found, (1000, 512), (1000,))


VOLUME = (1, 32, 64, 64, 64)
HALF = (1, 32, 32, 32, 32)

ROWS = (
    conv("dense", (2, 32, 32, 32, 32), (32, 32, 3, 3, 3), padding=1),
    conv("dense", (1, 64, 16, 16, 16), (64, 64, 3, 3, 3), padding=1),
    conv("dense", VOLUME, (32, 32, 3, 3, 3), padding=1),
    conv("dense", (2, 128, 8, 8, 8), (128, 128, 3, 3, 3), padding=1),
    conv("dense", (2, 256, 4, 4, 4), (256, 256, 3, 3, 3), padding=1),
    conv("dense", (2, 512, 2, 2, 2), (512, 512, 3, 3, 3), padding=1),
    conv("dense", (1, 32, 23, 41, 33), (48, 32, 3, 3, 3), padding=1),
    conv("dense", (1, 32, 24, 24, 24), (32, 32, 5, 5, 5), padding=2),
    conv("dense", (8, 64, 56, 56), (64, 64, 3, 3), padding=1),
    conv("dense", (1, 64, 112, 112), (64, 64, 3, 3), padding=1),
    conv("dense", (4, 128, 28, 28), (128, 128, 3, 3), padding=1),
    conv("dense", (8, 256, 14, 14), (256, 256, 3, 3), padding=1),
    conv("dense", (1, 512, 7, 7), (512, 512, 3, 3), padding=1),
    conv("dense", (1, 48, 61, 67), (64, 48, 3, 3), padding=1),
    conv("dense", (4, 32, 56, 56), (64, 32, 5, 5), padding=2),
    conv("dense", (8, 64, 4096), (64, 64, 3), padding=1),
    conv("dense", (8, 64, 4096), (64, 64, 5), padding=2),
    conv("dense", (1, 128, 16000), (128, 128, 3), padding=1),
    conv("pointwise", (8, 64, 56, 56), (128, 64, 1, 1)),
    conv("pointwise", (8, 256, 14, 14), (512, 256, 1, 1)),
    conv("pointwise", (1, 64, 32, 32, 32), (64, 64, 1, 1, 1)),
    conv("pointwise", (8, 128, 2048), (128, 128, 1)),
    conv("pointwise", (8, 3, 224, 224), (96, 3, 4, 4), stride=4),
    conv("pointwise", (2, 32, 32, 32, 32), (64, 32, 2, 2, 2), stride=2),
    transposed((1, 64, 16, 16, 16), (64, 32, 2, 2, 2), 2),
    transposed((4, 64, 56, 56), (64, 32, 2, 2), 2),
    conv("thin", (4, 1, 32, 32, 32), (12, 1, 3, 3, 3), padding=1),
    conv("thin", (1, 1, 64, 64, 64), (32, 1, 3, 3, 3), padding=1),
    conv("thin", (4, 12, 32, 32, 32), (12, 12, 3, 3, 3), padding=1),
    conv("thin", (1, 16, 64, 64, 64), (16, 16, 3, 3, 3), padding=1),
    conv("thin", (2, 4, 48, 48, 48), (8, 4, 3, 3, 3), padding=1),
    conv("thin", VOLUME, (3, 32, 1, 1, 1)),
    conv("thin", (8, 3, 112, 112), (32, 3, 3, 3), padding=1),
    conv("thin", (4, 3, 224, 224), (64, 3, 7, 7), stride=2, padding=3),
    conv("thin", (4, 64, 112, 112), (3, 64, 3, 3), padding=1),
    conv("thin", (16, 1, 16000), (32, 1, 9), padding=4),
    conv("depthwise", (8, 64, 56, 56), (64, 1, 3, 3), padding=1, groups=64),
    conv("depthwise", (4, 96, 56, 56), (96, 1, 7, 7), padding=3, groups=96),
    conv("depthwise", HALF, (32, 1, 3, 3, 3), padding=1, groups=32),
    conv("depthwise", HALF, (32, 1, 5, 5, 5), padding=2, groups=32),
    conv("depthwise", HALF, (32, 1, 7, 7, 7), padding=3, groups=32),
    conv("depthwise", (8, 128, 4096), (128, 1, 5), padding=2, groups=128),
    conv("depthwise", (8, 64, 56, 56), (64, 16, 3, 3), padding=1, groups=4),
    conv("depthwise", (1, 64, 24, 24, 24), (64, 8, 3, 3, 3), padding=1, groups=8),
    conv("depthwise", (8, 64, 4096), (64, 8, 5), padding=2, groups=8),
    conv("dilated", (2, 32, 32, 32, 32), (32, 32, 3, 3, 3), padding=2, dilation=2),
    conv("dilated", (4, 64, 56, 56), (64, 64, 3, 3), padding=4, dilation=4),
    conv("dilated", (8, 32, 4096), (32, 32, 7), padding=24, dilation=8),
    conv("dilated", HALF, (32, 1, 3, 3, 3), padding=2, dilation=2, groups=32),
    conv("dilated", (8, 64, 56, 56), (128, 64, 3, 3), stride=2, padding=1),
    conv("dilated", (1, 32, 48, 48, 48), (64, 32, 3, 3, 3), stride=2, padding=1),
    conv("dilated", (2, 128, 8, 8, 8), (256, 128, 3, 3, 3), stride=2, padding=1),
    conv("dilated", (8, 32, 8192), (64, 32, 8), stride=4, padding=2),
    conv("dilated", (4, 32, 4096), (32, 32, 31), padding=15),
    conv("dilated", (4, 32, 4096), (32, 32, 63), padding=31),
    conv("borders", (8, 64, 56, 56), (64, 64, 3, 3), padding=1, border="reflect"),
    conv("borders", HALF, (32, 32, 3, 3, 3), padding=1, border="replicate"),
    conv("borders", (8, 64, 4096), (64, 64, 3), padding=1, border="circular"),
    conv("borders", HALF, (32, 32, 3, 3, 3), padding=1, border="circular"),
    layer("ReLU 64³", lambda t, x: t.relu(x), VOLUME),
    layer("add 64³", lambda t, x, y: x + y, VOLUME, VOLUME),
    layer(
        "concat 64³",
        lambda t, x, y: t.cat((x, y), 1),
        VOLUME,
        VOLUME,
        result=(1, 64, 64, 64, 64),
    ),
    layer("BatchNorm 64³, training", _batch_norm, VOLUME, (32,), (32,)),
    layer("InstanceNorm 64³", lambda t, x: t.nn.functional.instance_norm(x), VOLUME),
    layer(
        "max pool 2³, 64³",
        lambda t, x: t.nn.functional.max_pool3d(x, 2),
        VOLUME,
        result=HALF,
    ),
    layer(
        "average pool 2³, 64³",
        lambda t, x: t.nn.functional.avg_pool3d(x, 2),
        VOLUME,
        result=HALF,
    ),
    layer(
        "trilinear ×2 to 64³",
        lambda t, x: t.nn.functional.interpolate(x, scale_factor=2, mode="trilinear"),
        HALF,
        result=VOLUME,
    ),
    layer(
        "nearest ×2 to 64³",
        lambda t, x: t.nn.functional.interpolate(x, scale_factor=2),
        HALF,
        result=VOLUME,
    ),
    layer(
        "log-softmax of 4 classes, 64³",
        lambda t, x: t.nn.functional.log_softmax(x, 1),
        (1, 4, 64, 64, 64),
    ),
    cross_entropy((1, 4, 64, 64, 64)),
    cross_entropy((8, 1000)),
    optimiser("Adam, 62 parameters of a ResNet-18", resnet18(2)),
    optimiser("Adam, 160 parameters of 64", ((64,),) * 160),
    Row(
        "block",
        "conv → BatchNorm → ReLU, 32 channels, 64³",
        _block,
        (VOLUME, (32, 32, 3, 3, 3), (32,), (32,)),
        VOLUME,
        prod(VOLUME) * 32 * 27,
    ),
)
