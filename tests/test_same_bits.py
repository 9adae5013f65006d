"""The same bits from 1, 2 and 4 threads, and from every run."""

import hashlib

import numpy as np
import pytest

import atrous
from atrous import nn
from atrous.nn import functional as F


@pytest.fixture(autouse=True)
def threads():
    """Tests set the number of threads; it is put back."""
    before = atrous.get_num_threads()
    yield
    atrous.set_num_threads(before)


def tensor(*shape, seed=0):
    values = np.random.default_rng(seed).standard_normal(shape)
    return atrous.from_numpy(values.astype("float32"))


def digest(tensors) -> str:
    """The bits of many tensors in few letters."""
    found = hashlib.sha256()
    for each in tensors:
        found.update(np.ascontiguousarray(each.detach().numpy()).tobytes())
    return found.hexdigest()


def assert_same_bits(compute) -> None:
    """`compute()` gives tensors: the same ones whatever the threads, and again."""
    found = []
    for count in (1, 2, 4, 4, 2):
        atrous.set_num_threads(count)
        found.append(digest(compute()))
    assert len(set(found)) == 1, found


def with_gradients(function, *inputs):
    """The result of `function` and the gradients of its inputs."""

    def compute():
        leaves = [x.clone().requires_grad_() for x in inputs]
        y = function(*leaves)
        y.backward(tensor(*y.shape, seed=9))
        return [y, *(leaf.grad for leaf in leaves)]

    return compute


# name: x, w, arguments; at least 16 chunks each, so that four threads have work
CONVOLUTIONS = {
    "direct": ((2, 24, 40, 41), (40, 24, 3, 3), {"padding": 1, "dilation": 2}),
    "strided": ((2, 24, 9, 20, 21), (24, 24, 3, 3, 3), {"stride": 2}),
    "winograd": ((2, 40, 8, 24, 25), (48, 40, 3, 3, 3), {"padding": 1}),
    "first layer": ((2, 1, 16, 20, 20), (16, 1, 3, 3, 3), {"padding": 1}),
    "few out": ((2, 40, 50, 50), (3, 40, 3, 3), {"padding": 1}),
    "1×1": ((2, 70, 40, 40), (50, 70, 1, 1), {}),
    "patches": ((2, 8, 40, 40), (50, 8, 4, 4), {"stride": 4}),
    "depthwise": ((2, 40, 30, 31), (40, 1, 3, 3), {"groups": 40, "padding": 1}),
    "multiplied": ((2, 20, 30, 31), (40, 1, 5, 5), {"groups": 20}),
    "grouped": ((2, 24, 30, 31), (36, 6, 3, 3), {"groups": 4}),
    "long signal": ((1, 3, 9001), (8, 3, 31), {"padding": 15}),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution(name, monkeypatch):
    if name == "winograd":
        monkeypatch.setenv("ATROUS_SCHEDULE", name)
    x, w, options = CONVOLUTIONS[name]
    convolve = getattr(F, f"conv{len(x) - 2}d")
    inputs = tensor(*x), tensor(*w, seed=1), tensor(w[0], seed=2)
    assert_same_bits(with_gradients(lambda *each: convolve(*each, **options), *inputs))


def test_transposed_convolution():
    function = lambda x, w: F.conv_transpose3d(x, w, stride=2)
    inputs = tensor(2, 20, 9, 10, 11), tensor(20, 12, 3, 3, 3, seed=1)
    assert_same_bits(with_gradients(function, *inputs))


def test_double():
    function = lambda x, w: F.conv2d(x, w, padding=1)
    inputs = tensor(2, 20, 30, 30).double(), tensor(24, 20, 3, 3, seed=1).double()

    def compute():
        x, w = (each.clone().requires_grad_() for each in inputs)
        y = function(x, w)
        y.sum().backward()
        return y, x.grad, w.grad

    assert_same_bits(compute)


WIDE = (2, 24, 12, 30, 31)

#: Functions of one tensor of the shape WIDE.
FUNCTIONS = {
    "batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
    "group_norm": lambda x: F.group_norm(x, 4),
    "layer_norm": lambda x: F.layer_norm(x, WIDE[2:]),
    "instance_norm": F.instance_norm,
    "sum": lambda x: x.sum(),
    "sum over places": lambda x: x.sum((0, 2, 3, 4)),
    "mean over channels": lambda x: x.mean(1),
    "variance": lambda x: x.var((0, 2, 3, 4)),
    "norm": lambda x: x.norm(),
    "prod": lambda x: (1 + x / 100).prod(-1),
    "cumsum": lambda x: x.cumsum(2),
    "logsumexp": lambda x: x.logsumexp(1),
    "softmax of channels": lambda x: F.softmax(x, 1),
    "softmax of rows": lambda x: F.softmax(x, -1),
    "log_softmax": lambda x: F.log_softmax(x, 1),
    "max_pool": lambda x: F.max_pool3d(x, 2),
    "overlapping max_pool": lambda x: F.max_pool3d(x, 3, 1, 1),
    "avg_pool": lambda x: F.avg_pool3d(x, 3, 2, 1),
    "adaptive_avg_pool": lambda x: F.adaptive_avg_pool3d(x, 5),
    "interpolate": lambda x: F.interpolate(x, size=(7, 40, 41), mode="trilinear"),
    "gelu": F.gelu,
    "product": lambda x: x.flatten(0, 2) @ x.flatten(0, 2).mT,
    "gather": lambda x: x[:, atrous.arange(24) // 2],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(name):
    assert_same_bits(with_gradients(FUNCTIONS[name], tensor(*WIDE)))


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_cross_entropy(reduction):
    target = atrous.from_numpy(np.random.default_rng(0).integers(0, 5, (2, 30, 40, 41)))
    weight = tensor(5, seed=3).abs()
    function = lambda x: F.cross_entropy(
        x, target, weight, reduction=reduction, label_smoothing=0.1
    )
    assert_same_bits(with_gradients(function, tensor(2, 5, 30, 40, 41)))


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"])
def test_optimiser_step(name):
    options = {"momentum": 0.9} if name == "SGD" else {}

    def compute():
        weights = [nn.Parameter(tensor(*s)) for s in ((300, 301), (7,), (40, 40, 3, 3))]
        made = getattr(atrous.optim, name)(weights, 0.1, weight_decay=0.01, **options)
        for seed in range(3):
            for each in weights:
                each.grad = tensor(*each.shape, seed=seed)
            nn.utils.clip_grad_norm_(weights, 1.0)
            made.step()
        return weights

    assert_same_bits(compute)


def network():
    """A small network with a branch, in which every family of kernels has a part."""
    return nn.Sequential(
        nn.Conv3d(1, 8, 3, padding=1, bias=False),
        nn.BatchNorm3d(8),
        nn.ReLU(inplace=True),
        nn.Conv3d(8, 32, 3, padding=1, padding_mode="replicate"),
        nn.MaxPool3d(2),
        nn.GELU(),
        nn.Conv3d(32, 32, 3, padding=1),
        nn.GroupNorm(4, 32),
        nn.Dropout(0.1),
        nn.ConvTranspose3d(32, 8, 2, stride=2),
        nn.Conv3d(8, 8, 3, padding=1, groups=8),
        nn.Conv3d(8, 3, 1),
    )


def test_whole_training_steps():
    def compute():
        atrous.manual_seed(0)
        net = network()
        made = atrous.optim.AdamW(net.parameters(), 0.01, weight_decay=0.01)
        losses = []
        for seed in range(3):
            target = np.random.default_rng(seed).integers(0, 3, (2, 12, 16, 16))
            made.zero_grad()
            y = net(tensor(2, 1, 12, 16, 16, seed=seed))
            loss = F.cross_entropy(y, atrous.from_numpy(target))
            loss.backward()
            made.step()
            losses.append(loss)
        return [*losses, *net.state_dict().values()]

    assert_same_bits(compute)
