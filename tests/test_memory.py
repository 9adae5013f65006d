"""The caching allocator: layout, alignment, reuse, refusal."""

import gc
import threading

import numpy as np
import pytest

from atrous import cpu
from atrous.compiler import memory


@pytest.fixture(autouse=True)
def empty_list():
    gc.collect()
    memory.empty_cache()
    yield
    memory.empty_cache()


LARGE = (3, 1 << 20)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 64, 40, 50), (2, 0, 4, 5)])
def test_order_says_how_axes_lie(shape):
    array = memory.empty(shape, "float32", (0, 2, 3, 1))
    assert array.shape == shape and array.flags.writeable
    assert array.transpose(0, 2, 3, 1).flags.c_contiguous
    assert memory.empty(shape, np.float64).flags.c_contiguous
    assert memory.channels_last(4) == (0, 2, 3, 1)


def test_scalars_and_every_dtype():
    assert memory.empty((), "int64").shape == ()
    for dtype in ("bool", "uint8", "int16", "float16", "float64"):
        assert memory.empty((100_000,), dtype).dtype == dtype


def test_large_blocks_are_aligned():
    assert memory.empty((20_000,), "float64").ctypes.data % 64 == 0
    assert memory.empty(LARGE, "float32").ctypes.data % (2 << 20) == 0


def test_a_block_returns_when_its_last_view_dies():
    array = memory.empty(LARGE, "float32")
    address, view = array.ctypes.data, array[1:, ::2].T
    del array
    assert memory.cached_bytes() == 0
    del view
    assert memory.cached_bytes() >= 12 << 20
    again = memory.empty((3, (1 << 20) - 5), "float32")  # nearly the size
    assert again.ctypes.data == address and memory.cached_bytes() == 0


def test_two_arrays_alive_never_share():
    first, second = memory.empty(LARGE, "uint8"), memory.empty(LARGE, "uint8")
    assert not np.shares_memory(first, second)


def test_the_waiting_bytes_are_bounded(monkeypatch):
    monkeypatch.setattr(memory, "CACHE_LIMIT", 20 << 20)
    arrays = [memory.empty(LARGE, "float32") for _ in range(3)]
    arrays.clear()
    assert memory.cached_bytes() <= 20 << 20
    memory.empty_cache()
    assert memory.cached_bytes() == 0


def test_zeros_are_zero_in_a_used_block():
    memory.empty(LARGE, "float32").fill(7)
    assert not memory.zeros(LARGE, "float32").any()


def test_poison(monkeypatch):
    monkeypatch.setattr(memory, "POISON", True)
    assert np.isnan(memory.empty(LARGE, "float32", (1, 0))).all()
    assert np.isnan(memory.empty((3,), "float64")).all()
    assert (memory.empty((3,), "int32") == -1).all()


@pytest.mark.parametrize("shape", [(10**6, 10**7), (2**40, 2**40)])
def test_a_size_beyond_memory_is_refused_with_its_size(shape):
    size = shape[0] * shape[1] * 4
    with pytest.raises(RuntimeError) as refusal:
        memory.empty(shape, "float32")
    text = str(refusal.value)
    assert text.startswith(
        f"cannot allocate float32 {shape}: {size} bytes ({size / 2**30:.1f} GiB), "
        "this machine has "
    )


def test_threads_take_and_give_back_at_once():
    failures = []

    def work(mark):
        try:
            for _ in range(200):
                array = memory.empty((1 << 17,), "uint8")
                array.fill(mark)
                assert (array == mark).all()
        except BaseException as failure:
            failures.append(failure)

    workers = [threading.Thread(target=work, args=(mark,)) for mark in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures


def test_what_is_held_is_counted():
    before = cpu.memory_allocated()
    cpu.reset_peak_memory_stats()
    first = memory.empty(LARGE, "float32")
    held = cpu.memory_allocated() - before
    assert first.nbytes <= held <= 1.125 * first.nbytes
    second = memory.empty(LARGE, "float32")
    del first, second
    assert cpu.memory_allocated() == before
    assert cpu.max_memory_allocated() == before + 2 * held
    assert cpu.memory_reserved() >= before + 2 * held
    cpu.reset_peak_memory_stats()
    assert cpu.max_memory_allocated() == before
