"""The persistent worker threads, generated like every other code.

    run(kernel, arguments, chunks)

calls `kernel(arguments, chunk, worker)` once for each chunk, on as many threads as
`target.threads()` allows, and returns when all are done. Chunks are handed out by an
atomic counter: which thread computes a chunk is open, what it computes is not.

Each worker owns a slot, a number that is even while a job is offered and odd
otherwise. The caller offers by writing an even number; the worker takes the job, or
the caller, who has meanwhile done all the chunks, takes it back, by compare-and-swap
to odd. So a launch never waits for a thread that has not yet woken. Workers spin for
some tens of microseconds before they sleep on a condition variable.

The threads start at the first launch that can use them. A forked child starts its own.
"""

import ctypes
import os
import signal
import threading
from array import array
from collections.abc import Sequence

from . import jit
from .target import detected, threads

#: How often a waiting thread looks before it sleeps: some tens of microseconds.
SPINS = 3000
#: Bytes a worker's slot takes, and the offsets in it. pthread types are at most 64
#: bytes each on Linux and macOS; the number workers spin on has lines of its own.
SLOT = 512
STATE, SLEEPS, MUTEX, CONDITION = 0, 128, 256, 384
#: The job, shared by all. `busy` is how many workers have taken it.
NEXT, BUSY, KERNEL, ARGUMENTS, CHUNKS = 0, 128, 256, 264, 272

_PAUSE = {"x86_64": "call void @llvm.x86.sse2.pause()", "aarch64": ""}
_DECLARE_PAUSE = {"x86_64": "declare void @llvm.x86.sse2.pause()", "aarch64": ""}

# The pool is one fixed text: six atomic operations and no arithmetic to schedule.
_IR = """
declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @pthread_detach(ptr)
declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_signal(ptr)
declare i32 @sched_yield()
{declare_pause}

define internal void @chunks(ptr %job, i64 %worker) {{
  %kernel.p = getelementptr i8, ptr %job, i64 {KERNEL}
  %kernel = load ptr, ptr %kernel.p
  %arguments.p = getelementptr i8, ptr %job, i64 {ARGUMENTS}
  %arguments = load ptr, ptr %arguments.p
  %count.p = getelementptr i8, ptr %job, i64 {CHUNKS}
  %count = load i64, ptr %count.p
  br label %take
take:
  %chunk = atomicrmw add ptr %job, i64 1 monotonic
  %more = icmp slt i64 %chunk, %count
  br i1 %more, label %do, label %done
do:
  call void %kernel(ptr %arguments, i64 %chunk, i64 %worker)
  br label %take
done:
  ret void
}}

; what a worker does for ever: %self is its slot; job and number stand at its end
define ptr @worker(ptr %self) {{
entry:
  %sleeps = getelementptr i8, ptr %self, i64 {SLEEPS}
  %mutex = getelementptr i8, ptr %self, i64 {MUTEX}
  %condition = getelementptr i8, ptr %self, i64 {CONDITION}
  %job.p = getelementptr i8, ptr %self, i64 {JOB}
  %job = load ptr, ptr %job.p
  %number.p = getelementptr i8, ptr %self, i64 {NUMBER}
  %number = load i64, ptr %number.p
  %busy = getelementptr i8, ptr %job, i64 {BUSY}
  br label %wait
wait:
  br label %spin
spin:
  %turn = phi i64 [ 0, %wait ], [ %turn.next, %again ]
  %state = load atomic i64, ptr %self seq_cst, align 8
  %odd = and i64 %state, 1
  %offered = icmp eq i64 %odd, 0
  br i1 %offered, label %claim, label %again
again:
  {pause}
  %turn.next = add i64 %turn, 1
  %patient = icmp slt i64 %turn.next, {SPINS}
  br i1 %patient, label %spin, label %sleep
claim:
  %taken.state = or i64 %state, 1
  %pair = cmpxchg ptr %self, i64 %state, i64 %taken.state seq_cst seq_cst
  %won = extractvalue {{ i64, i1 }} %pair, 1
  br i1 %won, label %work, label %wait
work:
  call void @chunks(ptr %job, i64 %number)
  %old = atomicrmw sub ptr %busy, i64 1 seq_cst
  br label %wait
sleep:
  %l = call i32 @pthread_mutex_lock(ptr %mutex)
  store atomic i64 1, ptr %sleeps seq_cst, align 8
  br label %asleep
asleep:
  %state.now = load atomic i64, ptr %self seq_cst, align 8
  %odd.now = and i64 %state.now, 1
  %offered.now = icmp eq i64 %odd.now, 0
  br i1 %offered.now, label %awake, label %nap
nap:
  %w = call i32 @pthread_cond_wait(ptr %condition, ptr %mutex)
  br label %asleep
awake:
  store atomic i64 0, ptr %sleeps seq_cst, align 8
  %u = call i32 @pthread_mutex_unlock(ptr %mutex)
  br label %wait
}}

; start worker %number in %slot; 0 if the system has no thread for us
define i64 @start(ptr %slot, ptr %job, i64 %number) {{
  %mutex = getelementptr i8, ptr %slot, i64 {MUTEX}
  %condition = getelementptr i8, ptr %slot, i64 {CONDITION}
  %job.p = getelementptr i8, ptr %slot, i64 {JOB}
  %number.p = getelementptr i8, ptr %slot, i64 {NUMBER}
  store i64 1, ptr %slot
  store ptr %job, ptr %job.p
  store i64 %number, ptr %number.p
  %a = call i32 @pthread_mutex_init(ptr %mutex, ptr null)
  %b = call i32 @pthread_cond_init(ptr %condition, ptr null)
  %thread = alloca ptr
  %failed = call i32 @pthread_create(ptr %thread, ptr null, ptr @worker, ptr %slot)
  %fine = icmp eq i32 %failed, 0
  br i1 %fine, label %detach, label %none
detach:
  %handle = load ptr, ptr %thread
  %d = call i32 @pthread_detach(ptr %handle)
  ret i64 1
none:
  ret i64 0
}}

define void @launch(ptr %job, ptr %slots, i64 %helpers,
                    ptr %kernel, ptr %arguments, i64 %count) {{
entry:
  %kernel.p = getelementptr i8, ptr %job, i64 {KERNEL}
  store ptr %kernel, ptr %kernel.p
  %arguments.p = getelementptr i8, ptr %job, i64 {ARGUMENTS}
  store ptr %arguments, ptr %arguments.p
  %count.p = getelementptr i8, ptr %job, i64 {CHUNKS}
  store i64 %count, ptr %count.p
  store atomic i64 0, ptr %job seq_cst, align 8
  %busy = getelementptr i8, ptr %job, i64 {BUSY}
  store atomic i64 %helpers, ptr %busy seq_cst, align 8
  br label %offer
offer:
  %i = phi i64 [ 0, %entry ], [ %i.next, %offered ]
  %more = icmp slt i64 %i, %helpers
  br i1 %more, label %offer.one, label %own
offer.one:
  %i.bytes = mul i64 %i, {SLOT}
  %slot = getelementptr i8, ptr %slots, i64 %i.bytes
  %state = load atomic i64, ptr %slot seq_cst, align 8
  %even = add i64 %state, 1
  store atomic i64 %even, ptr %slot seq_cst, align 8
  %sleeps = getelementptr i8, ptr %slot, i64 {SLEEPS}
  %asleep = load atomic i64, ptr %sleeps seq_cst, align 8
  %wake = icmp ne i64 %asleep, 0
  br i1 %wake, label %rouse, label %offered
rouse:
  %mutex = getelementptr i8, ptr %slot, i64 {MUTEX}
  %condition = getelementptr i8, ptr %slot, i64 {CONDITION}
  %l = call i32 @pthread_mutex_lock(ptr %mutex)
  %s = call i32 @pthread_cond_signal(ptr %condition)
  %u = call i32 @pthread_mutex_unlock(ptr %mutex)
  br label %offered
offered:
  %i.next = add i64 %i, 1
  br label %offer
own:
  call void @chunks(ptr %job, i64 0)
  br label %revoke
revoke:
  %j = phi i64 [ 0, %own ], [ %j.next, %revoked ]
  %more.j = icmp slt i64 %j, %helpers
  br i1 %more.j, label %revoke.one, label %wait
revoke.one:
  %j.bytes = mul i64 %j, {SLOT}
  %slot.j = getelementptr i8, ptr %slots, i64 %j.bytes
  %state.j = load atomic i64, ptr %slot.j seq_cst, align 8
  %odd.j = and i64 %state.j, 1
  %open = icmp eq i64 %odd.j, 0
  br i1 %open, label %take.back, label %revoked
take.back:
  %closed = or i64 %state.j, 1
  %pair = cmpxchg ptr %slot.j, i64 %state.j, i64 %closed seq_cst seq_cst
  %won = extractvalue {{ i64, i1 }} %pair, 1
  br i1 %won, label %count.down, label %revoked
count.down:
  %old = atomicrmw sub ptr %busy, i64 1 seq_cst
  br label %revoked
revoked:
  %j.next = add i64 %j, 1
  br label %revoke
wait:
  %turn = phi i64 [ 0, %revoke ], [ %turn.next, %patience ], [ 0, %yield ]
  %left = load atomic i64, ptr %busy seq_cst, align 8
  %busy.still = icmp sgt i64 %left, 0
  br i1 %busy.still, label %patience, label %done
patience:
  {pause}
  %turn.next = add i64 %turn, 1
  %patient = icmp slt i64 %turn.next, {SPINS}
  br i1 %patient, label %wait, label %yield
yield:
  %y = call i32 @sched_yield()
  br label %wait
done:
  ret void
}}

; all chunks on the calling thread
define void @serial(ptr %kernel, ptr %arguments, i64 %count) {{
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %i.next, %do ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %do, label %done
do:
  call void %kernel(ptr %arguments, i64 %i, i64 0)
  %i.next = add i64 %i, 1
  br label %loop
done:
  ret void
}}
"""


def _aligned(size: int) -> tuple[int, ctypes.Array]:
    """The 128-byte aligned address of `size` zero bytes, and what keeps them."""
    memory = (ctypes.c_char * (size + 128))()
    return -(-ctypes.addressof(memory) // 128) * 128, memory


class _Code:
    """The pool's functions, callable; ctypes lets go of the GIL around each call."""

    def __init__(self):
        target = detected()
        family = "x86_64" if target.triple.startswith("x86_64") else "aarch64"
        text = _IR.format(
            pause=_PAUSE[family],
            declare_pause=_DECLARE_PAUSE[family],
            JOB=SLEEPS + 64,
            NUMBER=SLEEPS + 72,
            **{name: value for name, value in globals().items() if name.isupper()},
        )
        code = jit.assemble(text, target)
        pointer, integer = ctypes.c_void_p, ctypes.c_int64
        address = jit.link(code, "start", "launch", "serial")
        self.start = ctypes.CFUNCTYPE(integer, pointer, pointer, integer)(address[0])
        self.launch = ctypes.CFUNCTYPE(
            None, pointer, pointer, integer, pointer, pointer, integer
        )(address[1])
        self.serial = ctypes.CFUNCTYPE(None, pointer, pointer, integer)(address[2])


class _Workers:
    """The threads that help, and the job they share."""

    def __init__(self, code: _Code, wanted: int):
        self.wanted = wanted
        self.job, self._job_memory = _aligned(512)
        self.slots, self._slot_memory = _aligned(SLOT * wanted)
        self.helpers = 0
        # Signals belong to Python's own threads: the new ones inherit this mask.
        previous = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            for number in range(1, wanted + 1):
                slot = self.slots + SLOT * (number - 1)
                if not code.start(slot, self.job, number):
                    break
                self.helpers += 1
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, previous)


_code: _Code | None = None
_workers: _Workers | None = None
_retired: list[_Workers] = []  # smaller pools, asleep: their threads read their slots
_launching = threading.Lock()


def run(kernel: int, arguments: Sequence[int], chunks: int) -> None:
    """Call `kernel` for each of `chunks` chunks; `arguments` are 64-bit integers, which
    an array("q") holds already.

    Launches from several Python threads are safe: the first one has the workers, the
    others compute all their chunks themselves meanwhile, with the same result.
    """
    if chunks <= 0:
        return
    code = _code or _loaded()
    held = arguments if type(arguments) is array else array("q", arguments)
    address = held.buffer_info()[0]
    helpers = min(threads(), chunks) - 1
    if helpers > 0 and _launching.acquire(blocking=False):
        try:
            workers = _workers
            if workers is None or workers.wanted < helpers:
                workers = _hire(code)
            helpers = min(helpers, workers.helpers)
            code.launch(workers.job, workers.slots, helpers, kernel, address, chunks)
        finally:
            _launching.release()
    else:
        code.serial(kernel, address, chunks)


def workers_of(chunks: int) -> int:
    """How many workers a launch of `chunks` may use: for workspace per worker."""
    return max(1, min(threads(), chunks))


def _loaded() -> _Code:
    global _code
    _code = _code or _Code()
    return _code


def _hire(code: _Code) -> _Workers:
    global _workers
    if _workers is not None:
        _retired.append(_workers)
    _workers = _Workers(code, threads() - 1)
    return _workers


def _after_fork() -> None:
    """Threads do not follow into a child: it hires its own when it needs them."""
    global _workers, _launching
    if _workers is not None:
        _retired.append(_workers)
    _workers, _launching = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
