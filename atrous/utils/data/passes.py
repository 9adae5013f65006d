"""One pass over a loader's dataset, in the main thread or by workers."""

import itertools
import math
import queue
import time
import warnings
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...random import random_full
from .dataset import IterableDataset
from .team import GLANCE, ProcessTeam, ThreadTeam
from .worker import Ended, Failure, Restart, Setup, Task, fetcher_for


class Pass(Iterator):
    """One pass over the dataset of `loader`, a DataLoader."""

    def __init__(self, loader):
        if loader.pin_memory:
            warnings.warn(
                "DataLoader: pin_memory=True has no effect without an accelerator.",
                stacklevel=3,
            )
        self._sampler = loader._index_sampler
        self._indices = iter(self._sampler)
        # Drawn in every pass, workers or not: torch does, and the order of what
        # follows depends on it.
        seed = int(random_full((), dtype="int64", generator=loader.generator))
        self._setup = Setup(
            dataset=loader.dataset,
            iterable=isinstance(loader.dataset, IterableDataset),
            batched=loader.batch_sampler is not None,
            drop_last=loader.drop_last,
            collate=loader.collate_fn,
            num_workers=loader.num_workers,
            seed=seed,
            worker_init_fn=loader.worker_init_fn,
        )
        self._promised = loader._promised
        self._given = 0

    def __iter__(self):
        return self

    def __len__(self) -> int:
        return len(self._sampler)

    def __reduce__(self):
        raise NotImplementedError(f"{type(self).__name__} cannot be pickled.")

    def _next(self):
        raise NotImplementedError

    def __next__(self):
        data = self._next()
        self._given += 1
        if self._setup.iterable and self._promised is not None:
            self._warn_of_surplus()
        return data

    def _warn_of_surplus(self):
        if self._given <= self._promised:
            return
        dataset = type(self._setup.dataset).__name__
        advice = ""
        if self._setup.num_workers > 0:
            advice = " Do its workers share the samples out, by get_worker_info()?"
        warnings.warn(
            f"DataLoader: {dataset} promised a length of {self._promised}, "
            f"this is item {self._given}.{advice}",
            stacklevel=3,
        )


class MainPass(Pass):
    """Without workers: each batch is made when it is asked for."""

    def __init__(self, loader):
        super().__init__(loader)
        if loader.timeout:
            raise AssertionError(
                f"DataLoader: timeout={loader.timeout} needs num_workers > 0."
            )
        self._fetcher = fetcher_for(self._setup, self._setup.dataset)

    def _next(self):
        return self._fetcher.fetch(next(self._indices))


class Repeats:
    """How often an index has been taken before."""

    def __init__(self):
        self._counts = np.zeros(1024, np.uint32)  # of indices 0, 1, …
        self._others: dict = {}

    def count(self, index) -> int:
        """Take `index` once more; return how often it was before."""
        if isinstance(index, int) and 0 <= index < 1 << 32:
            if index >= len(self._counts):
                self._counts = np.pad(self._counts, (0, index + 1))
            before = int(self._counts[index])
            self._counts[index] += 1
            return before
        name = repr(index)
        before = self._others.get(name, 0)
        self._others[name] = before + 1
        return before


class WorkersPass(Pass):
    """With workers: tasks are handed out in turn, answers put into order."""

    def __init__(self, loader):
        super().__init__(loader)
        self._timeout = loader.timeout
        self._in_order = loader.in_order
        self._ahead = loader.num_workers * (loader.prefetch_factor or 1)
        self._keep = loader.persistent_workers
        self._epoch = 0
        self._waiting: dict[int, int] = {}  # number of a task → its worker, in order
        self._ready: dict[int, Any] = {}  # number of a task → its batch
        self.closed = False
        context = loader.multiprocessing_context
        self._team: ThreadTeam | ProcessTeam
        if context is None:
            self._team = ThreadTeam(self._setup)
        else:
            self._team = ProcessTeam(self._setup, context)
        self._end = weakref.finalize(self, self._team.close)
        self._hand_out_first()

    def restart(self, loader) -> None:
        """Begin another pass of `loader` with the same workers."""
        self._indices = iter(self._sampler)
        self._promised = loader._promised
        self._given = 0
        self._epoch += 1
        for id in range(self._setup.num_workers):
            self._team.send(id, Restart(self._epoch))
        self._hand_out_first()

    def close(self) -> None:
        """End the workers. Happens by itself after the last batch, and on `del`."""
        self.closed = True
        self._waiting.clear()
        self._end()

    def _hand_out_first(self):
        self._active = [True] * self._setup.num_workers
        self._turn = itertools.cycle(range(self._setup.num_workers))
        self._number = 0
        self._waiting.clear()
        self._ready.clear()
        self._repeats = Repeats()
        for _ in range(self._ahead):
            self._hand_out()

    def _hand_out(self, preferred: int | None = None):
        """Give the next task to `preferred`, or to the worker whose turn it is."""
        try:
            index = next(self._indices)
        except StopIteration:
            return
        if preferred is None or not self._active[preferred]:
            turns = itertools.islice(self._turn, len(self._active))
            preferred = next((id for id in turns if self._active[id]), None)
        if preferred is None:
            return
        repeats = None
        if not self._setup.iterable and self._setup.batched:
            index = index if hasattr(index, "__len__") else list(index)
            repeats = [self._repeats.count(one) for one in index]
        elif not self._setup.iterable:
            repeats = self._repeats.count(index)
        self._team.send(preferred, Task(self._epoch, self._number, index, repeats))
        self._waiting[self._number] = preferred
        self._number += 1

    def _next(self):
        while self._waiting:
            first = next(iter(self._waiting))
            ready = first if self._in_order else next(iter(self._ready), None)
            if ready in self._ready:
                return self._deliver(ready)
            answer = self._receive()
            if answer.epoch != self._epoch:
                continue
            if isinstance(answer.result, Ended):
                self._dismiss(answer.worker)
            else:
                self._ready[answer.number] = answer.result
        if not self._keep:
            self.close()
        raise StopIteration

    def _deliver(self, number: int):
        worker = self._waiting.pop(number)
        result = self._ready.pop(number)
        self._hand_out(None if self._in_order else worker)
        if isinstance(result, Failure):
            result.reraise()
        return result

    def _dismiss(self, worker: int):
        """The worker's stream has ended: nobody will answer its other tasks."""
        self._active[worker] = False
        for number, owner in list(self._waiting.items()):
            if owner == worker and number not in self._ready:
                del self._waiting[number]
        self._hand_out()

    def _receive(self):
        deadline = time.monotonic() + (self._timeout or math.inf)
        try:
            while True:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise RuntimeError(
                        f"DataLoader: no batch came within timeout={self._timeout} s."
                    )
                try:
                    return self._team.receive(min(left, GLANCE))
                except queue.Empty:
                    self._team.check()
        except BaseException:
            self.close()
            raise
