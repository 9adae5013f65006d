"""Calls that are worked out once: what is recorded, and what a repeated call sees."""

import subprocess
import sys
import threading

import numpy as np
import pytest

import atrous
from atrous.compiler import launch, memory, target
from atrous.compiler.convolution import prepared
from atrous.compiler.recording import Recorder, StandIn
from atrous.compiler.spec import ConvSpec
from atrous.nn import functional as F
from atrous.ops import conv


@pytest.fixture(autouse=True)
def poisoned(monkeypatch):
    monkeypatch.setattr(memory, "POISON", True)


def replayed(record, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """What `record(x, y)` writes into a y of that shape, recorded on one array and
    replayed on another that lies as it does."""
    y = np.full(shape, np.nan, np.float32)
    recorder = Recorder(target.here())
    record(recorder.given(np.empty_like(x)), recorder.given(y))
    assert not recorder.recording()(x, y)
    return y


def numbers(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def test_assignments_are_replayed():
    x = numbers(6, 4, 5)

    def record(x, y):
        y[...] = x.transpose(2, 0, 1)[::-1]

    want = x.transpose(2, 0, 1)[::-1]
    np.testing.assert_array_equal(replayed(record, x, want.shape), want)


def test_parts_are_filled_and_reshaped():
    x = numbers(4, 6)

    def record(x, y):
        y.fill(0)
        y[1:3, :8] = x.swapaxes(0, 1).reshape(3, 8)[:2]  # which takes a copy

    want = np.zeros((4, 9), np.float32)
    want[1:3, :8] = x.T.reshape(3, 8)[:2]
    np.testing.assert_array_equal(replayed(record, x, want.shape), want)


def test_places_are_taken():
    x, places = numbers(3, 7), np.array([2, 3, 4, 0, 6])

    def record(x, y):
        y[...] = x[:, places]

    np.testing.assert_array_equal(replayed(record, x, (3, 5)), x[:, places])


@pytest.mark.parametrize("parts", [1, 2, 8, 23])
def test_sums_are_added_in_order(parts):
    x = np.random.default_rng(0).standard_normal((parts, 5, 9)).astype("float32")

    def record(x, y):
        y[...] = x.sum(axis=0)

    want = x[0].copy()
    for part in x[1:]:
        want += part
    np.testing.assert_array_equal(replayed(record, x, (5, 9)), want)


def test_a_stand_in_has_no_values_to_copy():
    recorder = Recorder(target.here())
    far = np.lib.stride_tricks.as_strided(np.zeros(1), (4, 4), (1 << 40, 8))
    stand_in = recorder.given(far)
    assert isinstance(stand_in[1:].T, StandIn)
    assert stand_in[1:, 2:].place == (0, (1 << 40) + 16)


SPEC = ConvSpec(
    *("y", "float32", 2, 1, 3, 5, (6, 7), (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1)))
)


def test_operands_that_lie_otherwise_get_a_recording_of_their_own():
    convolution = prepared(SPEC)
    x, w = numbers(*SPEC.shapes["x"]), numbers(*SPEC.shapes["w"])
    last = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    want = convolution(x, w)
    known = len(convolution._recordings)
    for again in (x, x.copy()):
        np.testing.assert_array_equal(convolution(again, w), want)
    assert len(convolution._recordings) == known
    convolution(np.moveaxis(last, -1, 1), w)
    assert len(convolution._recordings) == known + 1
    assert convolution.solving("w") is convolution.solving("w")


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(launch, "REMEMBERED", 3)
    known: dict = {}
    for number in range(10):
        assert launch.remember(known, (number,), -number) == -number
        assert (number,) in known and len(known) <= 3


def test_a_repeated_call_sees_what_was_written():
    """Nothing of a weight is kept from call to call, however it is written to."""
    held = np.ones((4, 3, 3), np.float32)
    x, weight = atrous.ones(1, 3, 9), atrous.from_numpy(held)
    assert F.conv1d(x, weight)[0, 0, 0].item() == 9
    held *= 2
    assert F.conv1d(x, weight)[0, 0, 0].item() == 18
    weight.data[:, :2] = 0
    assert F.conv1d(x, weight)[0, 0, 0].item() == 6
    weight[0].mul_(0.5)
    assert F.conv1d(x, weight)[0, :2, 0].tolist() == [3, 6]
    x.view(-1)[0] = 5
    assert F.conv1d(x, weight)[0, 1, 0].item() == 6
    x[0, 2, 0] = 2
    assert F.conv1d(x, weight)[0, 1, 0].item() == 8


def test_a_known_call_refuses_what_the_first_would():
    x, weight = atrous.ones(1, 2, 9), atrous.ones(3, 2, 3)
    assert F.conv1d(x, weight, stride=1).shape == (1, 3, 7)
    for stride in (1.0, (1.0,)):
        with pytest.raises(TypeError) as refusal:
            F.conv1d(x, weight, stride=stride)
        assert str(refusal.value) == (
            "conv1d(): argument 'stride' must be an int or a tuple of 1 ints, not"
            f" {stride!r}"
        )
    assert F.conv1d(x, weight, stride=[2], padding="valid").shape == (1, 3, 4)
    with pytest.raises(RuntimeError, match="stride must be positive"):
        F.conv1d(x, weight, stride=0)


def test_calls_are_known_by_shapes_dtypes_and_arguments():
    conv._known.clear()
    x, weight = atrous.ones(1, 2, 9), atrous.ones(3, 2, 3)
    for _ in range(3):
        F.conv1d(x, weight)
        F.conv1d(x, weight, atrous.ones(3))
        F.conv1d(x, weight, padding=1)
        F.conv1d(x.double(), weight.double())
    assert len(conv._known) == 4


def test_several_threads_replay_at_once():
    x = np.random.default_rng(0).standard_normal((2, 8, 40, 40)).astype("float32")
    w = np.random.default_rng(1).standard_normal((8, 8, 3, 3)).astype("float32")
    image, weight = atrous.from_numpy(x), atrous.from_numpy(w)
    want, wrong = F.conv2d(image, weight).numpy(), []

    def work():
        for _ in range(30):
            if not np.array_equal(F.conv2d(image, weight).numpy(), want):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_import_loads_nothing_that_is_not_used():
    program = (
        "import sys, atrous; print([name for name in ('llvmlite', 'numpy.random',"
        " 'multiprocessing', 'socket', 'hashlib', 'atrous.compiler.spec',"
        " 'atrous.compiler.elementwise') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "[]\n", done.stdout + done.stderr
