"""What this machine can do at most: multiply-adds and bytes a second, measured.

The floor of a row is the larger of its products over the one and its bytes over the
other; "percent of peak" is that floor over the time taken.
"""

import time

import numpy as np

from atrous import compiler
from atrous.compiler import cache, pool
from atrous.compiler.emit import Emitter

TURNS, SUMS, CHUNKS = 20_000, 16, 64


def _fma_kernel(target):
    """Independent sums in registers: nothing but multiply-adds, no memory."""
    e = Emitter("peak", target)
    lanes = target.lanes(4)
    factor = e.splat(e.scalar(1, "float32"), lanes)
    sums = [e.constant(float(i), "float32", lanes) for i in range(SUMS)]
    with e.loop("turn", TURNS, carry=sums) as turn:
        turn.carry = [e.fma(each, factor, factor) for each in turn.carry]
    total = turn.carry[0]
    for each in turn.carry[1:]:
        total = total + each
    e.store(total, e.pointer(0, "float32") + e.chunk * lanes)
    return e.finish()


def best(call, seconds: float = 0.5) -> float:
    """Seconds of the fastest of the calls that `seconds` have room for."""
    taken = []
    end = time.perf_counter() + seconds
    while not taken or time.perf_counter() < end:
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return min(taken)


def products_a_second() -> float:
    """float32 multiply-adds a second on all threads."""
    target = compiler.target.here()
    lanes = target.lanes(4)
    out = np.zeros(CHUNKS * lanes, np.float32)
    half = int(np.float32(0.5).view(np.int32))
    address = cache.kernel(("peak", target.key), _fma_kernel)
    arguments = (out.ctypes.data, half)
    seconds = best(lambda: pool.run(address, arguments, CHUNKS))
    return CHUNKS * TURNS * SUMS * lanes / seconds


def bytes_a_second(size: int = 64 << 20) -> float:
    """Bytes a second through memory on all threads, reading half and writing half."""
    source = compiler.empty((size // 4,), "float32")
    target = compiler.empty((size // 4,), "float32")
    source.fill(1)
    seconds = best(lambda: compiler.pointwise(("in", 0), source, out=target))
    return 2 * size / seconds
