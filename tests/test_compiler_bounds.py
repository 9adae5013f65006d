"""No kernel reads or writes beyond an array: every array ends at a forbidden page."""

import ctypes
import mmap
import sys

import numpy as np
import pytest
from test_compiler_conv import CASES, operands, solved_for

from atrous.compiler import memory, reference
from atrous.compiler.convolution import convolve
from atrous.compiler.matrix import matmul

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="mprotect as Linux has it"
)

PAGE = mmap.PAGESIZE
FORBIDDEN = 0  # PROT_NONE


class Guard:
    """Lays arrays out with a page before and after them that may not be touched."""

    def __init__(self, at_end: bool):
        self.at_end = at_end
        self.mappings: list[mmap.mmap] = []
        self.protect = ctypes.CDLL(None).mprotect
        self.protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

    def __call__(self, array: np.ndarray) -> np.ndarray:
        """A copy in the same memory order, flush against a forbidden page."""
        order = np.argsort([-stride for stride in array.strides], kind="stable")
        base = np.ascontiguousarray(array.transpose(order))
        pages = -(-base.nbytes // PAGE) + 2
        mapping = mmap.mmap(-1, pages * PAGE)
        self.mappings.append(mapping)
        first = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
        last = first + (pages - 1) * PAGE
        for page in (first, last):
            assert self.protect(page, PAGE, FORBIDDEN) == 0
        start = last - base.nbytes if self.at_end else first + PAGE
        space = (ctypes.c_char * max(1, base.nbytes)).from_address(start)
        copy = np.frombuffer(space, base.dtype, base.size).reshape(base.shape)
        copy[...] = base
        return copy.transpose(np.argsort(order))


@pytest.fixture(params=[True, False], ids=["end", "start"])
def guard(request, monkeypatch):
    """Guards arrays, those that the compiler allocates included."""
    guard = Guard(request.param)
    plain = memory.empty
    monkeypatch.setattr(memory, "empty", lambda *asked: guard(plain(*asked)))
    return guard


@pytest.mark.parametrize(
    "case",
    [c for c in CASES if c.spec.batch and c.spec.dtype == "float32"],
    ids=lambda c: c.name,
)
def test_convolution_stays_within_its_arrays(case, guard):
    for solves in "yxw":
        problem = solved_for(case.spec, solves)
        known = {k: guard(v) for k, v in operands(problem, "channels last").items()}
        got = convolve(problem, **known)
        want = reference.convolve(problem, **known)
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3)


def test_products_stay_within_their_arrays(guard):
    for m, k, n in ((33, 50, 17), (64, 40, 100), (100, 70, 7)):
        a, b = guard(np.ones((m, k), "f")), guard(np.ones((k, n), "f"))
        np.testing.assert_array_equal(matmul(a, b), np.full((m, n), k))
