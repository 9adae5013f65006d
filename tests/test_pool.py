"""The worker threads: every chunk once, forks, several callers, interrupts."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from atrous.compiler import cache, jit, target
from atrous.compiler.emit import Emitter, Kernel
from atrous.compiler.pool import run, workers_of


@pytest.fixture
def threads():
    """Sets the number of threads, for this test alone."""
    yield target.set_num_threads
    target.set_num_threads(target.available_threads())


def count_kernel(on: target.Target) -> Kernel:
    """Each chunk adds to its own number what a loop of `turns` sums up."""
    e = Emitter("count", on)
    numbers, turns = e.pointer(0, "int64", "numbers"), e.argument(1, "turns")
    with e.loop("i", turns, carry=[e.zero("int64")]) as i:
        i.carry = [i.carry[0] ^ (i.index * 3)]
    here = numbers + e.chunk
    e.store(e.load(here) + e.chunk + 1 + (i.carry[0] & 0), here)
    return e.finish()


def count(chunks: int, turns: int = 10) -> None:
    numbers = np.zeros(chunks + 3, np.int64)
    kernel = cache.kernel(("test_pool",), count_kernel)
    run(kernel, (numbers.ctypes.data, turns), chunks)
    np.testing.assert_array_equal(numbers[:chunks], np.arange(1, chunks + 1))
    assert not numbers[chunks:].any()


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("chunks", [0, 1, 2, 3, 200])
def test_every_chunk_once(workers, chunks, threads):
    threads(workers)
    for _ in range(20):
        count(chunks)


def test_workers_asleep_wake_and_late_ones_are_not_waited_for(threads):
    threads(3)
    for pause in (0, 0.0003, 0.003):
        for _ in range(20):
            time.sleep(pause)
            count(7, turns=2000)


def test_several_python_threads(threads):
    threads(2)
    failures = []

    def work():
        try:
            for _ in range(50):
                count(9, turns=500)
        except BaseException as failure:
            failures.append(failure)

    callers = [threading.Thread(target=work) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not failures


SCRIPT = """
import os, sys
import numpy as np
from atrous.compiler import target
from atrous.compiler.convolution import convolve
from atrous.compiler.spec import ConvSpec

target.set_num_threads(2)
each = (1, 1)
spec = ConvSpec("y", "float32", 2, 1, 4, 8, (9, 9), (3, 3), each, each, (each, each))
x, w = np.ones(spec.shapes["x"], "f"), np.ones(spec.shapes["w"], "f")
first = convolve(spec, x=x, w=w)
child = os.fork()
if child == 0:
    same = np.array_equal(convolve(spec, x=x, w=w), first)
    grandchild = os.fork()
    if grandchild == 0:
        os._exit(0 if np.array_equal(convolve(spec, x=x, w=w), first) else 1)
    same = same and os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]) == 0
    os._exit(0 if same else 1)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
again = np.array_equal(convolve(spec, x=x, w=w), first)
sys.exit(status if again else 2)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_fork_in_a_process_with_workers():
    done = subprocess.run([sys.executable, "-c", SCRIPT], timeout=60)
    assert done.returncode == 0


def test_interrupts_arrive_between_launches(threads):
    threads(2)
    timer = threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        end = time.monotonic() + 30
        while time.monotonic() < end:
            count(4)
    timer.join()
    count(4)


def test_workers_of(threads):
    threads(4)
    assert [workers_of(n) for n in (0, 1, 3, 100)] == [1, 1, 3, 4]


def test_threads_must_be_positive():
    with pytest.raises(RuntimeError) as refusal:
        target.set_num_threads(0)
    assert str(refusal.value) == "set_num_threads: expected a positive number, got 0"


def test_quota_affinity_and_variable(monkeypatch):
    target.available_threads.cache_clear()
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert target.available_threads() == 3
    target.available_threads.cache_clear()
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(target, "_quota", lambda: 1)
    assert target.available_threads() == 1
    target.available_threads.cache_clear()


def test_damaged_cache_files_are_compiled_again(tmp_path, monkeypatch):
    monkeypatch.setenv("ATROUS_CACHE", str(tmp_path))
    monkeypatch.setattr(cache, "_addresses", {})
    cache.kernel(("test_damage",), count_kernel)
    (file,) = tmp_path.rglob("*.o")
    whole = file.read_bytes()
    for damaged in (b"", whole[:100], whole[:-1] + bytes([whole[-1] ^ 1])):
        file.write_bytes(damaged)
        monkeypatch.setattr(cache, "_addresses", {})
        cache.kernel(("test_damage",), count_kernel)
        assert file.read_bytes() == whole
    monkeypatch.setattr(cache, "_addresses", {})
    monkeypatch.setattr(jit, "assemble", None)  # a whole file needs no compiler
    cache.kernel(("test_damage",), count_kernel)


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("ATROUS_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(cache, "_addresses", {})
    count(3)


def test_unknown_targets_are_refused(monkeypatch):
    with pytest.raises(ValueError) as refusal:
        target.named("vax")
    assert str(refusal.value) == (
        "no target is called 'vax'; there are avx512, avx2, sse2, neon"
    )
    foreign = "avx2" if target.detected().triple.startswith("aarch64") else "neon"
    monkeypatch.setenv("ATROUS_TARGET", foreign)
    target.here.cache_clear()
    with pytest.raises(RuntimeError) as refusal:
        target.here()
    assert str(refusal.value) == (
        f"ATROUS_TARGET={foreign}: this processor cannot run it"
    )
    monkeypatch.delenv("ATROUS_TARGET")
    target.here.cache_clear()
