"""The persistent worker threads, generated like every other code.

    run(kernel, arguments, chunks)

calls `kernel(arguments, chunk, worker)` once for each chunk, on as many threads as
`target.threads()` allows, and returns when all are done. Chunks are handed out by an
atomic counter: which thread computes a chunk is open, what it computes is not.

    replay = replayer(launches, …)
    replay(array, …)

does the same for a list of launches that is known beforehand, and finds the addresses
itself. It is a built-in function, as one of an extension module would be: through
ctypes a call costs more than a small operation.

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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from . import cache
from .target import Target, detected, threads

#: How often a waiting thread looks before it sleeps: some tens of microseconds.
SPINS = 3000
#: Bytes a worker's slot takes, and the offsets in it. pthread types are at most 64
#: bytes each on Linux and macOS; the number workers spin on has lines of its own.
SLOT = 512
STATE, SLEEPS, MUTEX, CONDITION = 0, 128, 256, 384
#: The job, shared by all. `busy` is how many workers have taken it.
NEXT, BUSY, KERNEL, ARGUMENTS, CHUNKS, LOCK = 0, 128, 256, 264, 272, 384
#: Where NumPy's C interface puts the address of an array's first element.
DATA = object.__basicsize__

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
declare i64 @llvm.smin.i64(i64, i64)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare void @Py_IncRef(ptr)
@_Py_NoneStruct = external global i8
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

define internal void @launch(ptr %job, ptr %slots, i64 %helpers,
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
define internal void @serial(ptr %kernel, ptr %arguments, i64 %count) {{
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

; on the team that %current points to, if there is one and nobody else has it
define void @dispatch(ptr %current, i64 %wanted, ptr %kernel, ptr %arguments,
                      i64 %count) {{
entry:
  %many = icmp sgt i64 %wanted, 0
  br i1 %many, label %look, label %alone
look:
  %team = load atomic ptr, ptr %current seq_cst, align 8
  %none = icmp eq ptr %team, null
  br i1 %none, label %alone, label %hired
hired:
  %job = load ptr, ptr %team
  %slots.p = getelementptr i64, ptr %team, i64 1
  %slots = load ptr, ptr %slots.p
  %hired.p = getelementptr i64, ptr %team, i64 2
  %hired.n = load i64, ptr %hired.p
  %helpers = call i64 @llvm.smin.i64(i64 %wanted, i64 %hired.n)
  %lock = getelementptr i8, ptr %job, i64 {LOCK}
  %pair = cmpxchg ptr %lock, i64 0, i64 1 seq_cst seq_cst
  %ours = extractvalue {{ i64, i1 }} %pair, 1
  br i1 %ours, label %together, label %alone
together:
  call void @launch(ptr %job, ptr %slots, i64 %helpers,
                    ptr %kernel, ptr %arguments, i64 %count)
  store atomic i64 0, ptr %lock seq_cst, align 8
  ret void
alone:
  call void @serial(ptr %kernel, ptr %arguments, i64 %count)
  ret void
}}

; the launches of a plan (see `replayer`) on buffers that begin at %starts
define internal void @steps(ptr %plan, ptr %starts) {{
entry:
  %steps = load i64, ptr %plan
  %most.p = getelementptr i64, ptr %plan, i64 1
  %most = load i64, ptr %most.p
  %current.p = getelementptr i64, ptr %plan, i64 2
  %current = load ptr, ptr %current.p
  %arguments = alloca i64, i64 %most
  %first = getelementptr i64, ptr %plan, i64 3
  br label %steps.head
steps.head:
  %step = phi i64 [ 0, %entry ], [ %step.next, %launch ]
  %at = phi ptr [ %first, %entry ], [ %at.next, %launch ]
  %more = icmp slt i64 %step, %steps
  br i1 %more, label %copy, label %done
copy:
  %kernel = load ptr, ptr %at
  %count.p = getelementptr i64, ptr %at, i64 1
  %count = load i64, ptr %count.p
  %wanted.p = getelementptr i64, ptr %at, i64 2
  %wanted = load i64, ptr %wanted.p
  %pointers.p = getelementptr i64, ptr %at, i64 3
  %pointers = load i64, ptr %pointers.p
  %words.p = getelementptr i64, ptr %at, i64 4
  %words = load i64, ptr %words.p
  %places = getelementptr i64, ptr %at, i64 5
  %places.words = mul i64 %pointers, 3
  %given = getelementptr i64, ptr %places, i64 %places.words
  %bytes = mul i64 %words, 8
  call void @llvm.memcpy.p0.p0.i64(ptr %arguments, ptr %given, i64 %bytes, i1 false)
  %at.next = getelementptr i64, ptr %given, i64 %words
  br label %point
point:
  %i = phi i64 [ 0, %copy ], [ %i.next, %point.one ]
  %more.i = icmp slt i64 %i, %pointers
  br i1 %more.i, label %point.one, label %launch
point.one:
  %i.words = mul i64 %i, 3
  %place.p = getelementptr i64, ptr %places, i64 %i.words
  %place = load i64, ptr %place.p
  %buffer.p = getelementptr i64, ptr %place.p, i64 1
  %buffer = load i64, ptr %buffer.p
  %byte.p = getelementptr i64, ptr %place.p, i64 2
  %byte = load i64, ptr %byte.p
  %start.p = getelementptr i64, ptr %starts, i64 %buffer
  %start = load i64, ptr %start.p
  %value = add i64 %start, %byte
  %argument = getelementptr i64, ptr %arguments, i64 %place
  store i64 %value, ptr %argument
  %i.next = add i64 %i, 1
  br label %point
launch:
  call void @dispatch(ptr %current, i64 %wanted, ptr %kernel, ptr %arguments,
                      i64 %count)
  %step.next = add i64 %step, 1
  br label %steps.head
done:
  ret void
}}

; a built-in function (METH_FASTCALL): %self is an array that holds the plan, %arrays
; are the buffers
define ptr @replay(ptr %self, ptr %arrays, i64 %count) {{
entry:
  %starts = alloca ptr, i64 %count
  br label %find
find:
  %i = phi i64 [ 0, %entry ], [ %i.next, %one ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %one, label %found
one:
  %array.p = getelementptr ptr, ptr %arrays, i64 %i
  %array = load ptr, ptr %array.p
  %data.p = getelementptr i8, ptr %array, i64 {DATA}
  %data = load ptr, ptr %data.p
  %start = getelementptr ptr, ptr %starts, i64 %i
  store ptr %data, ptr %start
  %i.next = add i64 %i, 1
  br label %find
found:
  %plan.p = getelementptr i8, ptr %self, i64 {DATA}
  %plan = load ptr, ptr %plan.p
  %thread = call ptr @PyEval_SaveThread()
  call void @steps(ptr %plan, ptr %starts)
  call void @PyEval_RestoreThread(ptr %thread)
  call void @Py_IncRef(ptr @_Py_NoneStruct)
  ret ptr @_Py_NoneStruct
}}
"""


def _aligned(size: int) -> tuple[int, ctypes.Array]:
    """The 128-byte aligned address of `size` zero bytes, and what keeps them."""
    memory = (ctypes.c_char * (size + 128))()
    return -(-ctypes.addressof(memory) // 128) * 128, memory


def _text(target: Target) -> str:
    """The pool's IR."""
    family = "x86_64" if target.triple.startswith("x86_64") else "aarch64"
    return _IR.format(
        pause=_PAUSE[family],
        declare_pause=_DECLARE_PAUSE[family],
        JOB=SLEEPS + 64,
        NUMBER=SLEEPS + 72,
        **{name: value for name, value in globals().items() if name.isupper()},
    )


class _MethodDef(ctypes.Structure):
    """CPython's description of a built-in function."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


_FASTCALL = 0x80


class _Code:
    """The pool's functions; ctypes, as `replay` does, lets go of the GIL meanwhile."""

    def __init__(self):
        target = detected()
        pointer, integer = ctypes.c_void_p, ctypes.c_int64
        symbols = "start", "dispatch", "replay"
        key = f"pool {DATA}"
        address = cache.link(key, lambda: _text(target), target, *symbols)
        self.start = ctypes.CFUNCTYPE(integer, pointer, pointer, integer)(address[0])
        self.dispatch = ctypes.CFUNCTYPE(
            None, pointer, integer, pointer, pointer, integer
        )(address[1])
        self.definition = _MethodDef(b"replay", address[2], _FASTCALL, None)
        #: Points to the team of the workers there are, or nowhere.
        self.current, self._memory = _aligned(8)
        self.new_function = ctypes.pythonapi.PyCFunction_NewEx
        self.new_function.restype = ctypes.py_object
        self.new_function.argtypes = pointer, ctypes.py_object, pointer


class _Workers:
    """The threads that help, the job they share, and both as a `team` for @dispatch."""

    def __init__(self, code: _Code, wanted: int):
        self.wanted = wanted
        self.job, self._job_memory = _aligned(512)
        self.slots, self._slot_memory = _aligned(SLOT * wanted)
        helpers = 0
        # Signals belong to Python's own threads: the new ones inherit this mask.
        previous = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            for number in range(1, wanted + 1):
                slot = self.slots + SLOT * (number - 1)
                if not code.start(slot, self.job, number):
                    break
                helpers += 1
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, previous)
        self.team = (ctypes.c_int64 * 3)(self.job, self.slots, helpers)


_code: _Code | None = None
_workers: _Workers | None = None
_retired: list[_Workers] = []  # smaller pools, asleep: their threads read their slots
_hiring = threading.Lock()
#: Whether launches were prepared for threads that a fork has left behind: see `rehire`.
orphaned = False


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
    helpers = min(threads(), chunks) - 1
    if helpers > 0 and (_workers is None or _workers.wanted < helpers):
        _hire(code)
    code.dispatch(code.current, helpers, kernel, held.buffer_info()[0], chunks)


@dataclass(frozen=True)
class Step:
    """One launch of a list: `pointers` are (argument, buffer, byte), each an argument
    that is to be the address of a byte in one of the buffers."""

    kernel: int
    arguments: tuple[int, ...]
    pointers: tuple[tuple[int, int, int], ...]
    chunks: int


def replayer(steps: Sequence[Step]) -> Callable[..., None]:
    """A function that runs these launches, one after the other, on the buffers that it
    is called with: NumPy arrays. The threads allowed now are those it may use."""
    code = _code or _loaded()
    most = max((len(step.arguments) for step in steps), default=0)
    plan = [len(steps), most, code.current]
    for step in steps:
        helpers = min(threads(), step.chunks) - 1
        if helpers > 0 and (_workers is None or _workers.wanted < helpers):
            _hire(code)
        plan += [step.kernel, step.chunks, helpers]
        plan += [len(step.pointers), len(step.arguments)]
        plan += [*chain(*step.pointers), *step.arguments]
    held = np.array(plan, np.int64)
    return code.new_function(ctypes.addressof(code.definition), held, None)


def workers_of(chunks: int) -> int:
    """How many workers a launch of `chunks` may use: for workspace per worker."""
    return max(1, min(threads(), chunks))


def _loaded() -> _Code:
    global _code
    _code = _code or _Code()
    return _code


def _hire(code: _Code) -> None:
    """Start the threads that may be used, unless another caller just did."""
    global _workers
    with _hiring:
        wanted = threads() - 1
        if _workers is not None:
            if _workers.wanted >= wanted:
                return
            _retired.append(_workers)
        _workers = _Workers(code, wanted)
        _set(code, ctypes.addressof(_workers.team))


def _set(code: _Code, team: int) -> None:
    """Make `team` the one that launches look for."""
    ctypes.c_int64.from_address(code.current).value = team


def rehire() -> None:
    """Start threads in a child, whose parent had some."""
    global orphaned
    orphaned = False
    if threads() > 1:
        _hire(_loaded())


def _after_fork() -> None:
    """Threads do not follow into a child: it hires its own when it needs them."""
    global _workers, _hiring, orphaned
    if _workers is not None:
        _retired.append(_workers)
        _set(_loaded(), 0)
        orphaned = True
    _workers, _hiring = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
