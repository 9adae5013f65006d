"""Which schedule computes a convolution."""

import numpy as np
import pytest
from test_compiler_conv import operands, spec

import atrous
from atrous.compiler import cache, choice, target
from atrous.compiler.convolution import Convolution

DOUBTFUL = spec((2, 128, 8, 8), 160, 3, padding=1)
SURE = spec((1, 64, 56, 56), 64, 3, padding=1)
DEEP = spec((1, 512, 2, 2), 512, 3, padding=1)


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    """Every problem is large enough to measure, and nothing is remembered yet."""
    monkeypatch.setattr(choice, "FEWEST_PRODUCTS", 0)
    monkeypatch.setattr(choice, "_known", {})
    monkeypatch.setenv("ATROUS_CACHE", str(tmp_path))
    monkeypatch.delenv("ATROUS_SCHEDULE", raising=False)
    monkeypatch.delenv("ATROUS_TUNE", raising=False)


def asked(problem, slow=()):
    """The schedule chosen and those that ran; the `slow` ones pretend to be slow."""
    ran, clock = [], [0.0]

    def run(name):
        ran.append(name)
        clock[0] += 2.0 if name in slow else 1.0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice.time, "perf_counter", lambda: clock[0])
        found = choice.choose(problem, ((1,),), target.here(), run)
    return found, set(ran)


def test_the_model_alone_where_it_is_sure():
    assert choice.candidates(SURE) == (choice.WINOGRAD,)
    assert choice.candidates(DEEP) == (choice.STREAMED,)
    strided = spec((1, 64, 56, 56), 64, 3, stride=3)
    assert choice.candidates(strided) == (choice.DIRECT,)
    assert asked(SURE) == (choice.WINOGRAD, set())


def test_in_doubt_the_fastest_is_measured_and_remembered():
    names = choice.candidates(DOUBTFUL)
    assert len(names) > 1
    first, *others = names
    assert asked(DOUBTFUL, slow=[first]) == (others[0], set(names))
    assert asked(DOUBTFUL, slow=others) == (others[0], set())  # in this process
    choice._known.clear()
    assert asked(DOUBTFUL, slow=others) == (others[0], set())  # and in the next
    choice._known.clear()
    for file in cache.folder().rglob("*"):
        if file.is_file():
            file.write_bytes(b"damaged")
    assert asked(DOUBTFUL, slow=others) == (first, set(names))


def test_no_measuring(monkeypatch):
    first = choice.candidates(DOUBTFUL)[0]
    monkeypatch.setenv("ATROUS_TUNE", "0")
    assert asked(DOUBTFUL, slow=[first]) == (first, set())
    monkeypatch.delenv("ATROUS_TUNE")
    atrous.use_deterministic_algorithms(True)
    try:
        assert atrous.are_deterministic_algorithms_enabled()
        assert asked(DOUBTFUL, slow=[first]) == (first, set())
    finally:
        atrous.use_deterministic_algorithms(False)
    monkeypatch.setattr(choice, "FEWEST_PRODUCTS", 1 << 40)
    assert asked(DOUBTFUL, slow=[first]) == (first, set())


def test_pinned(monkeypatch):
    monkeypatch.setenv("ATROUS_SCHEDULE", "direct")
    for problem in (DOUBTFUL, SURE, DEEP):
        assert choice.candidates(problem) == ("direct",)


def test_measured_on_real_operands():
    known = operands(DOUBTFUL)
    x, w = known["x"], known["w"]
    convolution = Convolution(DOUBTFUL)
    first = convolution(x, w)
    assert len(choice._known) == 1
    for count in (1, 2):
        target.set_num_threads(count)
        try:
            assert np.array_equal(convolution(x, w), first)
        finally:
            target.set_num_threads(target.available_threads())
    assert len(choice._known) == 1
