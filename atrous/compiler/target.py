"""The machines for which kernels are generated, and how many threads this one gives us.

A `Target` is a frozen value, so that any CPU can generate, and test, any other's code.
`here()` is this machine; ATROUS_TARGET names a lesser one to pretend to be.
"""

import functools
import os
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Target:
    """An instruction set as a schedule sees it.

    `vector_bytes` is the width of a register, `registers` how many there are;
    `l1` and `l2` are the bytes of cache that one thread may fill. The number of
    threads is not part of it: code, and results, never depend on that.
    """

    name: str
    triple: str
    cpu: str
    features: str
    vector_bytes: int
    registers: int
    l1: int = 32 << 10
    l2: int = 512 << 10
    fused: bool = True  # has a fused multiply-add
    halves: bool = False  # computes a full vector as two halves, so a half costs half

    def lanes(self, itemsize: int) -> int:
        """How many values of `itemsize` bytes one register holds."""
        return self.vector_bytes // itemsize

    @functools.cached_property
    def key(self) -> str:
        """What generated code depends on, as text, for the cache."""
        return f"{self.triple} {self.cpu} {self.features} {self.vector_bytes}"


_LINUX_X86 = "x86_64-unknown-linux-gnu"
NAMED = {
    target.name: target
    for target in (
        Target("avx512", _LINUX_X86, "skylake-avx512", "", 64, 32, l2=1 << 20),
        Target("avx2", _LINUX_X86, "haswell", "", 32, 16, l2=256 << 10),
        Target("sse2", _LINUX_X86, "x86-64", "", 16, 16, l2=256 << 10, fused=False),
        Target("neon", "aarch64-unknown-linux-gnu", "cortex-a72", "", 16, 32),
    )
}


def named(name: str) -> Target:
    """The target of that name: avx512, avx2, sse2 or neon."""
    if name not in NAMED:
        raise ValueError(f"no target is called {name!r}; there are {', '.join(NAMED)}")
    return NAMED[name]


@functools.cache
def detected() -> Target:
    """This machine, as its processor describes itself."""
    from . import jit

    cpu, features, triple = jit.host()
    if triple.startswith(("aarch64", "arm64")):
        base = NAMED["neon"]
    elif all(f in features for f in ("avx512f", "avx512vl", "avx512bw", "avx512dq")):
        base = NAMED["avx512"]
    elif "avx2" in features and "fma" in features:
        base = NAMED["avx2"]
    else:
        base = NAMED["sse2"]
    text = ",".join(f"+{feature}" for feature in sorted(features))
    halves = base.name == "avx512" and cpu == "znver4"
    return replace(base, triple=triple, cpu=cpu, features=text, halves=halves)


@functools.cache
def here() -> Target:
    """The target kernels are generated for: this machine, or what ATROUS_TARGET names.

    Raises RuntimeError if this processor cannot run the target that is named.
    """
    wanted = os.environ.get("ATROUS_TARGET")
    if not wanted:
        return detected()
    target = named(wanted)
    if not runs_here(target):
        raise RuntimeError(f"ATROUS_TARGET={wanted}: this processor cannot run it")
    return target


def runs_here(target: Target) -> bool:
    """Whether this processor can execute code generated for `target`."""
    machine = detected()
    family = machine.triple.split("-")[0] == target.triple.split("-")[0]
    return family and target.vector_bytes <= machine.vector_bytes


def _quota() -> int | None:
    """Whole processors that the cgroup grants, rounded up; None if unlimited."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()[:2]
    except (OSError, ValueError):
        folder = Path("/sys/fs/cgroup/cpu")
        try:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if quota == "max" or int(quota) <= 0:
        return None
    return max(1, -(-int(quota) // int(period)))


@functools.cache
def available_threads() -> int:
    """Processors that this process may use: affinity, cgroup quota, OMP_NUM_THREADS."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    quota = _quota()
    if quota is not None:
        count = min(count, quota)
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return max(1, int(asked)) if asked.strip().isdigit() else count


_threads: int | None = None


def threads() -> int:
    """How many threads a kernel may run on."""
    return _threads if _threads is not None else available_threads()


def set_num_threads(count: int) -> None:
    """Run later kernels on `count` threads; their results do not change."""
    global _threads
    if count < 1:
        raise RuntimeError(f"set_num_threads: expected a positive number, got {count}")
    _threads = count
