"""Offsets of 64 bits, requests that cannot fit, and the workspace of a convolution.

Arrays past 2³¹ elements cost nothing here: a tensor is expanded, or it is a view of
reserved memory of which it touches few pages.
"""

import mmap
import subprocess
import sys
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided
from test_compiler_conv import laid_out, spec

import atrous
from atrous import compiler
from atrous.compiler import memory
from atrous.nn import functional as F

#: Past what an int32 counts, in elements.
FAR = 2**31 + 5
#: One more than memory holds, in elements, and how its size is said.
BEYOND = 10**15
_NORESERVE = 0x4000  # Linux: pages are promised when they are touched


def bytes_of_zeros(count: int) -> np.ndarray:
    """Bytes that take memory once they are written."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE
    try:
        space = mmap.mmap(-1, count, flags=flags)
    except OSError as refusal:
        pytest.skip(f"no address space for {count} bytes: {refusal}")
    return np.frombuffer(space, np.uint8)


@pytest.fixture(scope="module")
def reserved():
    """Four times as many bytes of zeros as FAR, and some to spare."""
    return bytes_of_zeros(4 * FAR + (64 << 20))


def far(reserved, *shape: int, axis: int) -> np.ndarray:
    """Random float32 values, the last of `axis` FAR elements behind the first."""
    strides, step = [0] * len(shape), 4
    for other in reversed(range(len(shape))):
        if other != axis:
            strides[other], step = step, step * shape[other]
    strides[axis] = FAR // (shape[axis] - 1) * 4
    view = as_strided(reserved.view(np.float32), shape, strides)
    view[...] = np.random.default_rng(0).standard_normal(shape)
    return view


def kernels_of(shape):
    return np.random.default_rng(1).standard_normal(shape).astype("float32")


#: Functions of x (3, 8, 24, 26), of which one axis is spread over 2³¹ elements.
FUNCTIONS = {
    "pointwise": lambda x: x * 2 + x.exp(),
    "copy": lambda x: x.clone(),
    "turned copy": lambda x: x.transpose(1, 3).contiguous(),
    "sum": lambda x: x.double().sum(),
    "sum over places": lambda x: x.sum((0, 2, 3)),
    "maximum": lambda x: x.amax((1, 2)),
    "argmax": lambda x: x.argmax(2),
    "softmax": lambda x: F.softmax(x, 1),
    "batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
    "max_pool": lambda x: F.max_pool2d(x, 2),
    "avg_pool": lambda x: F.avg_pool2d(x, 3, 2, 1),
    "interpolate": lambda x: F.interpolate(x, size=(11, 40), mode="bilinear"),
    "product": lambda x: x @ x.mT,
    "cat": lambda x: atrous.cat([x, x], 2),
    "indexed": lambda x: x[atrous.tensor([2, 0]), :, atrous.tensor([5, 23])],
    "masked": lambda x: x[x > 0.5],
    "gather": lambda x: x.gather(2, atrous.tensor([[[[3] * 26]]]).expand(3, 8, 1, 26)),
    "cumsum": lambda x: x.cumsum(2),
    "conv": lambda x: F.conv2d(x, atrous.from_numpy(kernels_of((16, 8, 3, 3)))),
    "few out": lambda x: F.conv2d(x, atrous.from_numpy(kernels_of((2, 8, 3, 3)))),
    "depthwise": lambda x: F.conv2d(
        x, atrous.from_numpy(kernels_of((8, 1, 3, 3))), padding=1, groups=8
    ),
}


@pytest.mark.parametrize("axis", range(4))
@pytest.mark.parametrize("name", FUNCTIONS)
def test_elements_far_apart(name, axis, reserved):
    view = far(reserved, 3, 8, 24, 26, axis=axis)
    near = np.ascontiguousarray(view)
    got = FUNCTIONS[name](atrous.from_numpy(view)).numpy()
    want = FUNCTIONS[name](atrous.from_numpy(near)).numpy()
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("axis", range(4))
def test_gradients_of_a_convolution_far_apart(axis, reserved):
    w = kernels_of((16, 8, 3, 3))
    view = far(reserved, 3, 8, 24, 26, axis=axis)
    found = []
    for x in (view, np.ascontiguousarray(view)):
        x, leaf = atrous.from_numpy(x), atrous.from_numpy(w).requires_grad_()
        F.conv2d(x, leaf, padding=1).square().sum().backward()
        found.append(leaf.grad.numpy())
    np.testing.assert_allclose(*found, rtol=1e-4)


@pytest.mark.parametrize("axis", range(4))
def test_writing_far_apart(axis, reserved):
    view = far(reserved, 3, 8, 24, 26, axis=axis)
    x = atrous.from_numpy(view)
    before = x.clone()
    x.mul_(2)
    x[:, :, 3] = 7
    before = before * 2
    before[:, :, 3] = 7
    np.testing.assert_array_equal(view, before.numpy())
    x.index_fill_(3, atrous.tensor([1]), 5)
    assert (view[..., 1] == 5).all()
    F.relu(x, inplace=True)
    assert view.min() == 0


def test_more_than_2_to_the_31_elements():
    x = atrous.ones(1, dtype=atrous.uint8).expand(FAR)
    assert x.numel() == FAR and x[FAR - 1] == 1 and x[-1] == 1
    assert x.sum() == FAR
    assert x[:: 2**28].shape == (9,) and x.view(7, -1).shape == (7, FAR // 7)


def test_places_past_2_to_the_31():
    """The flat index of an extreme, and elements picked by such an index."""
    values = bytes_of_zeros(FAR + 8)
    values[FAR] = 1
    x = atrous.from_numpy(values)
    assert x.argmax() == FAR
    assert x[atrous.tensor([FAR, 0])].tolist() == [1, 0]
    assert x.any() and x[FAR - 1 : FAR + 2].tolist() == [0, 1, 0]


def test_convolutions_over_expanded_signals():
    x = atrous.ones(1, 1, 1).expand(1, 1, FAR)
    w = atrous.tensor([[[1.0, 2.0, 3.0]]]).requires_grad_()
    y = F.conv1d(x, w, stride=2**28)
    assert y.tolist() == [[[6.0] * 9]]
    y.sum().backward()
    assert w.grad.tolist() == [[[9.0] * 3]]
    plane = atrous.ones(1, 1, 1, 1).expand(1, 1, 2**16, 2**16 + 3)
    assert F.conv2d(plane, w[None], stride=2**14).sum().item() == 4 * 5 * 6
    assert F.max_pool2d(plane, 2, 2**14).shape == (1, 1, 4, 5)
    assert F.avg_pool2d(plane, 2, 2**14).sum() == 20


def nothing(*shape):
    """A tensor of any size that takes no memory."""
    return atrous.zeros(1).expand(*shape)


#: Calls whose result would be beyond memory.
REFUSED = {
    "empty": lambda: atrous.empty(BEYOND),
    "zeros": lambda: atrous.zeros(10**8, 10**7),
    "rand": lambda: atrous.rand(BEYOND),
    "arange": lambda: atrous.arange(BEYOND),
    "randperm": lambda: atrous.randperm(BEYOND),
    "eye": lambda: atrous.eye(10**8),
    "clone": lambda: nothing(BEYOND).clone(),
    "sum of two": lambda: nothing(BEYOND) + 1,
    "comparison": lambda: nothing(BEYOND) > 0,
    "cast": lambda: nothing(BEYOND).double(),
    "cat": lambda: atrous.cat([nothing(BEYOND)] * 2),
    "repeat": lambda: atrous.zeros(3).repeat(BEYOND),
    "pad": lambda: F.pad(atrous.zeros(1, 1, 3), (BEYOND, 0)),
    "softmax": lambda: nothing(10**14, 10).softmax(1),
    "cumsum": lambda: nothing(BEYOND).cumsum(0),
    "sort": lambda: nothing(BEYOND).sort(),
    "bincount": lambda: atrous.bincount(atrous.tensor([BEYOND])),
    "outer": lambda: atrous.outer(nothing(10**8), nothing(10**8)),
    "conv": lambda: F.conv2d(nothing(1, 1, 10**7, 10**7), atrous.zeros(4, 1, 1, 1)),
    "conv, padded": lambda: F.conv1d(
        atrous.zeros(1, 1, 3), atrous.zeros(1, 1, 1), padding=BEYOND
    ),
    "transposed": lambda: F.conv_transpose1d(
        atrous.zeros(1, 1, 3), atrous.zeros(1, 1, 1), stride=BEYOND
    ),
    "pool": lambda: F.max_pool2d(nothing(1, 1, 10**7, 10**7), 2, 1),
    "interpolate": lambda: F.interpolate(atrous.zeros(1, 1, 3), size=BEYOND),
    "weights": lambda: atrous.nn.Conv3d(10**6, 10**6, 3),
}


@pytest.mark.parametrize("name", REFUSED)
def test_sizes_beyond_memory_are_refused_with_the_size(name):
    with pytest.raises(atrous.OutOfMemoryError) as refusal:
        REFUSED[name]()
    text = str(refusal.value)
    assert text.startswith("cannot allocate ") and " GiB), this machine has " in text
    size = int(text.split(": ")[1].split(" bytes")[0])
    assert size > 10**13 and f"({size / 2**30:.1f} GiB)" in text


#: Leaves one page free above nine gigabytes: code fits there, its constants do not.
CROWDED = """
import ctypes, mmap
from atrous.compiler import jit, target
constants = ", ".join(f"i64 {n}" for n in range(65536))
code = jit.assemble(f'''
@table = private constant [65536 x i64] [{constants}]
define i64 @kernel(i64 %i) {{
  %p = getelementptr [65536 x i64], ptr @table, i64 0, i64 %i
  %v = load i64, ptr %p
  ret i64 %v
}}''', target.here())
jit.link(code, "kernel")
def take(size):
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)
held = [take(1 << bits) for bits in range(26, 11, -1) for _ in range(30)]
hole, wall, far = take(4096), take(4096), take(9 << 30)
hole.close()
kernel = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(jit.link(code, "kernel")[0])
print(kernel(12345))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux's mmap")
def test_kernels_link_where_arrays_fill_the_space_around():
    """Code that reaches its constants within ±2 GB must lie beside them."""
    command = [sys.executable, "-c", CROWDED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout == "12345\n", done.stderr


class Taken:
    """The most bytes at once that are taken from the allocator and from NumPy."""

    def __init__(self, monkeypatch):
        self.live = self.most = 0
        plain, give_back = memory._large, memory._give_back

        def take(size, what):
            self.live += size
            self.most = max(self.most, self.live)
            array = plain(size, what)
            self.sizes[array.base.block.address] = size
            return array

        def free(block):
            self.live -= self.sizes.pop(block.address, 0)
            give_back(block)

        self.sizes: dict[int, int] = {}
        monkeypatch.setattr(memory, "_large", take)
        monkeypatch.setattr(memory, "_give_back", free)

    def during(self, call) -> tuple[np.ndarray, int]:
        """What `call` gives, and the most bytes it took at once."""
        self.live = self.most = 0
        tracemalloc.start()
        try:
            result = call()
            return result, self.most + tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


WORKSPACES = {
    "dense": spec((1, 32, 48, 48, 48), 32, 3, padding=1),
    "planes": spec((4, 64, 96, 96), 64, 3, padding=1),
    "5 taps": spec((2, 32, 160, 160), 32, 5, padding=2),
    "dilated": spec((2, 32, 160, 160), 32, 3, padding=4, dilation=4),
    "first layer": spec((1, 1, 96, 96, 96), 16, 3, padding=1),
    "strided": spec((2, 32, 200, 200), 32, 3, padding=1, stride=2),
    "1×1": spec((4, 64, 128, 128), 64, 1),
    "depthwise": spec((4, 64, 128, 128), 64, 3, padding=1, groups=64),
    "few out": spec((2, 32, 200, 200), 3, 3, padding=1),
    "reflect": spec((2, 32, 160, 160), 32, 3, padding=1, border="reflect"),
    "signal": spec((2, 8, 300_000), 8, 31, padding=15),
    "many weights": spec((1, 512, 14, 14), 512, 3, padding=1),
}


@pytest.mark.parametrize("solves", "yxw")
@pytest.mark.parametrize("name", WORKSPACES)
def test_workspace(name, solves, monkeypatch):
    """Beside its operands a convolution takes at most a quarter of them or 32 MB; one
    that unfolds its input into patches takes k times the input. The operands lie as
    between layers: one whose channels are apart is first reordered, whole."""
    problem = replace(WORKSPACES[name], solves=solves)
    taken = Taken(monkeypatch)
    known = {
        operand: laid_out(np.zeros(shape, "float32"), "channels last")
        for operand, shape in problem.shapes.items()
        if operand != solves
    }
    compiler.convolve(problem, **known)  # compiles
    result, most = taken.during(lambda: compiler.convolve(problem, **known))
    operands = result.nbytes + sum(array.nbytes for array in known.values())
    beside = most - result.nbytes
    assert beside <= max(operands / 4, 32 << 20), (
        f"{beside / 2**20:.1f} MB beside {operands / 2**20:.1f} MB"
    )
