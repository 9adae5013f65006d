"""No memory is read that was not written, and what is not finite stays in its place.

With ATROUS_POISON=1 fresh memory is NaN, and glibc fills its own with MALLOC_PERTURB_:
a program must print the same bits as without, on every target of this processor.
"""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

import atrous
from atrous.compiler import target
from atrous.nn import functional as F

#: Convolutions of every schedule: x, w, arguments.
CONVOLUTIONS = {
    "direct": ((1, 9, 7, 9), (20, 9, 3, 3), {"padding": 2, "dilation": 2}),
    "many channels": ((1, 33, 5, 6, 7), (35, 33, 3, 3, 3), {"padding": 1}),
    "winograd": ((2, 40, 9, 11), (48, 40, 3, 3), {"padding": 1}),
    "winograd, signals": ((2, 40, 35), (33, 40, 3), {}),
    "winograd, volumes": ((1, 40, 5, 6, 7), (40, 40, 3, 3, 3), {"padding": 1}),
    "strided": ((2, 7, 9, 10), (6, 7, 3, 3), {"stride": 2, "padding": 1}),
    "gaps": ((1, 5, 9, 10), (6, 5, 1, 2), {"stride": 3}),
    "first layer": ((2, 1, 6, 7, 8), (16, 1, 3, 3, 3), {"padding": 1}),
    "few out": ((2, 40, 9, 9), (3, 40, 3, 3), {"padding": 1}),
    "1×1": ((2, 35, 8, 8), (19, 35, 1, 1), {}),
    "patches": ((1, 3, 12, 12), (17, 3, 4, 4), {"stride": 4}),
    "depthwise": ((2, 19, 9, 8), (19, 1, 3, 3), {"groups": 19, "padding": 1}),
    "multiplied": ((1, 6, 9, 9), (18, 1, 3, 3), {"groups": 6}),
    "grouped": ((1, 12, 9, 8), (8, 3, 3, 3), {"groups": 4}),
    "groups of a vector": ((1, 24, 9, 8), (24, 8, 3, 3), {"groups": 3, "padding": 1}),
    "long signal": ((1, 3, 700), (5, 3, 31), {"padding": 15}),
}
SHAPE = (2, 5, 6, 9, 11)

#: Functions of a tensor of SHAPE.
FUNCTIONS = {
    "reflect": lambda x: F.pad(x, (2, 1, 3, 0, 1, 1), "reflect"),
    "batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
    "group_norm": lambda x: F.group_norm(x, 5),
    "layer_norm": lambda x: F.layer_norm(x, SHAPE[2:]),
    "instance_norm": F.instance_norm,
    "max_pool": lambda x: F.max_pool3d(x, 2),
    "overlapping max_pool": lambda x: F.max_pool3d(x, 3, 2, 1, ceil_mode=True),
    "avg_pool": lambda x: F.avg_pool3d(x, 3, 2, 1),
    "adaptive_avg_pool": lambda x: F.adaptive_avg_pool3d(x, 4),
    "adaptive_max_pool": lambda x: F.adaptive_max_pool3d(x, (2, 3, 4)),
    "nearest": lambda x: F.interpolate(x, scale_factor=2),
    "linear": lambda x: F.interpolate(x, size=(7, 4, 23), mode="trilinear"),
    "cubic": lambda x: F.interpolate(x[0], size=(7, 23), mode="bicubic"),
    "softmax": lambda x: F.softmax(x, 1),
    "log_softmax": lambda x: F.log_softmax(x, -1),
    "variance": lambda x: x.var((0, 2, 3, 4)),
    "cat": lambda x: atrous.cat([x, x[:, :2] * 2], 1),
    "product": lambda x: x.flatten(0, 2) @ x.flatten(0, 2).mT,
    "transposed": lambda x: x.transpose(1, 4).contiguous() + x.exp().transpose(1, 4),
}


def tensor(*shape, seed=0, T=atrous):
    values = np.random.default_rng(seed).standard_normal(shape)
    return T.from_numpy(values.astype("float32"))


def with_gradients(function, *inputs):
    """The result of `function` and the gradients of its inputs."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    y = function(*leaves)
    y.backward(atrous.ones_like(y) + y.detach())
    return [y, *(leaf.grad for leaf in leaves)]


def convolution(name: str, transposed: bool = False):
    x, w, options = CONVOLUTIONS[name]
    convolve = getattr(F, f"conv{'_transpose' * transposed}{len(x) - 2}d")
    if transposed:  # x's channels are the ones that w leads with
        x = (x[0], w[0], *x[2:])
    inputs = tensor(*x), tensor(*w, seed=1)
    return with_gradients(lambda x, w: convolve(x, w, **options), *inputs)


def trained():
    """The weights after two steps of a network."""
    from test_same_bits import network

    atrous.manual_seed(0)
    net = network()
    made = atrous.optim.Adam(net.parameters(), 0.01, weight_decay=0.01)
    for seed in range(2):
        target = np.random.default_rng(seed).integers(0, 3, (2, 6, 8, 8))
        made.zero_grad()
        y = net(tensor(2, 1, 6, 8, 8, seed=seed))
        F.cross_entropy(y, atrous.from_numpy(target)).backward()
        made.step()
    return list(net.state_dict().values())


def program() -> None:
    """Print, for everything above, a digest of its bits, and whether it is finite."""
    for name in CONVOLUTIONS:
        pin(name)
        shown(name, convolution(name))
    for name in ("strided", "gaps", "patches", "grouped"):
        shown(f"{name}, transposed", convolution(name, transposed=True))
    shown("training", trained())
    atrous.compiler.SMALL = 0  # kernels for what is left to NumPy otherwise
    for name, function in FUNCTIONS.items():
        shown(name, with_gradients(function, tensor(*SHAPE)))


def pin(name: str) -> None:
    """Winograd for the problems that name it, which are too small to be worth it."""
    os.environ.pop("ATROUS_SCHEDULE", None)
    if name.startswith("winograd"):
        os.environ["ATROUS_SCHEDULE"] = "winograd"


def shown(name: str, tensors) -> None:
    arrays = [np.ascontiguousarray(each.detach().numpy()) for each in tensors]
    digest = hashlib.sha256(b"".join(array.tobytes() for array in arrays))
    finite = all(np.isfinite(array).all() for array in arrays)
    print(f"{name}: {digest.hexdigest()[:16]} {'finite' if finite else 'NOT FINITE'}")


def printed(**variables) -> list[str]:
    """What the program prints in a process with these variables."""
    done = subprocess.run(
        [sys.executable, __file__],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    "name", [t.name for t in target.NAMED.values() if target.runs_here(t)]
)
def test_fresh_memory_is_not_read(name):
    plain = printed(ATROUS_TARGET=name, ATROUS_POISON="0")
    poisoned = printed(ATROUS_TARGET=name, ATROUS_POISON="1", MALLOC_PERTURB_="165")
    assert poisoned == plain
    assert len(plain) == len(CONVOLUTIONS) + 4 + len(FUNCTIONS) + 1
    assert [line for line in plain if "NOT FINITE" in line] == []


def kinds(values: np.ndarray) -> np.ndarray:
    """Of each element: 0 finite, 1 and -1 infinite, 2 not a number."""
    return np.where(np.isnan(values), 2, np.where(np.isinf(values), np.sign(values), 0))


def solved(T, operands: dict, options: dict) -> list[np.ndarray]:
    """y and the gradients of x and w."""
    x, w = (T.from_numpy(operands[k].copy()).requires_grad_() for k in "xw")
    y = getattr(T.nn.functional, f"conv{x.ndim - 2}d")(x, w, **options)
    y.backward(T.from_numpy(operands["gradient"].copy()))
    return [each.detach().numpy() for each in (y, x.grad, w.grad)]


def padded_and_solved(T, operands: dict, options: dict) -> list[np.ndarray]:
    """As `solved`, with explicit zeros beyond every edge, that of y included."""
    x, w, y = (T.from_numpy(operands[k].copy()) for k in ("x", "w", "gradient"))
    rank, options = x.ndim - 2, dict(options)
    padding, stride = options.pop("padding", 0), options.get("stride", 1)
    reach = options.get("dilation", 1) * (max(w.shape[2:]) - 1) // stride + 1
    wide = T.nn.functional.pad(y, [reach, reach + 1] * rank)
    spread = getattr(T.nn.functional, f"conv_transpose{rank}d")(wide, w, **options)
    first = padding + stride * reach
    inside = tuple(slice(first, first + n) for n in x.shape[2:])
    padded = T.nn.functional.pad(x, [padding] * 2 * rank).numpy()
    others = solved(T, {**operands, "x": padded}, options)
    return [others[0], spread[(..., *inside)].numpy(), others[2]]


def with_places_changed(T, operands: dict, options: dict) -> list[np.ndarray]:
    """As `solved`, but for w, x meets explicit zeros beyond every edge of y."""
    padding, reach = options["padding"], max(operands["w"].shape[2:]) - 1
    rank = operands["x"].ndim - 2
    wide = {
        name: T.nn.functional.pad(T.from_numpy(operands[name]), [size] * 2 * rank)
        for name, size in (("x", padding + reach), ("gradient", reach))
    }
    wide = {name: tensor.numpy() for name, tensor in wide.items()}
    y, x, _ = solved(T, operands, options)
    return [y, x, solved(T, {**operands, **wide}, {})[2]]


@pytest.mark.parametrize("where", ["x", "w", "gradient"])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_what_is_not_finite_is_where_torch_has_it(name, where, monkeypatch):
    """Zeros beyond an edge are multiplied, as torch does in some of its algorithms:
    where w or the gradient is not finite that shows, so torch is given the zeros. For
    groups of one channel it leaves them out, as we do. With few channels out, x and y
    change places for w, and so do the zeros."""
    torch = pytest.importorskip("torch")
    monkeypatch.setenv("ATROUS_SCHEDULE", "")
    pin(name)
    shape, w_shape, options = CONVOLUTIONS[name]
    random = np.random.default_rng(0)
    operands = {
        "x": random.standard_normal(shape).astype("float32"),
        "w": random.standard_normal(w_shape).astype("float32"),
    }
    convolve = getattr(torch.nn.functional, f"conv{len(shape) - 2}d")
    size = convolve(*map(torch.from_numpy, operands.values()), **options).shape
    operands["gradient"] = random.standard_normal(size).astype("float32")
    flat = operands[where].reshape(-1)
    for value in (np.nan, np.inf, -np.inf):
        flat[random.integers(flat.size)] = value
    groups = ("depthwise", "multiplied", "groups of a vector")
    leaves_out = where == "x" or name in groups
    expected = solved if leaves_out else padded_and_solved
    if name == "few out" and where != "w":
        expected = with_places_changed if where == "x" else solved
    found = solved(atrous, operands, options), expected(torch, operands, options)
    for what, got, want in zip("yxw", *found, strict=True):
        np.testing.assert_array_equal(kinds(got), kinds(want), err_msg=what)


if __name__ == "__main__":
    program()
