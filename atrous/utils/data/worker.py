"""What a data loader's worker does: fetch the batches of its tasks, one by one.

A worker is a thread or a process; this is the part that both share. It draws random
numbers so that a batch is the same whichever worker makes it: each sample from its own
stream, named by (seed, epoch, index), collation from the batch's.
"""

import copy
import operator
import random
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from ...random import Generator, derive, drawing_from
from .dataset import StackDataset, Subset


@dataclass(frozen=True)
class Setup:
    """What a worker has to know; goes to a process by pickle."""

    dataset: Any
    iterable: bool
    batched: bool
    drop_last: bool
    collate: Callable
    num_workers: int
    seed: int
    worker_init_fn: Callable | None


@dataclass(frozen=True)
class Task:
    """Batch `number` of pass `epoch`: the samples at `index` (a list, if batched).

    `repeats` says how often each of these had been taken before in this pass, so that
    a sample drawn twice is not twice the same.
    """

    epoch: int
    number: int
    index: Any
    repeats: Any


@dataclass(frozen=True)
class Restart:
    """Begin pass `epoch`."""

    epoch: int


@dataclass(frozen=True)
class Answer:
    """What became of a task: `result` is the batch, a Failure, or Ended."""

    worker: int
    epoch: int
    number: int
    result: Any


class Ended:
    """A worker's IterableDataset has given its last sample."""


@dataclass(frozen=True)
class WorkerInfo:
    """Which worker this is, of how many; its seed; its own copy of the dataset."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_here = threading.local()


def get_worker_info() -> WorkerInfo | None:
    """In a worker, who it is; elsewhere None."""
    return getattr(_here, "info", None)


class _Text(str):
    """Text that stays readable in a KeyError, which shows its argument's repr."""

    def __repr__(self):
        return str(self)


@dataclass(frozen=True)
class Failure:
    """An exception in a worker, to be raised again where the batch was wanted."""

    kind: type[BaseException]
    text: str
    cause: BaseException | None

    @classmethod
    def now(cls, worker: int, where: str, doing: str, keep_cause: bool) -> "Failure":
        """The exception being handled, in worker `worker`, a thread or process."""
        kind, error, _ = sys.exc_info()
        assert kind is not None and error is not None
        text = (
            f"Caught {kind.__name__} in DataLoader worker {worker} ({where}), "
            f"{doing}.\n{''.join(traceback.format_exception(error)).rstrip()}"
        )
        return cls(kind, text, error if keep_cause else None)

    def reraise(self) -> NoReturn:
        """Raise the same type of exception, with the worker's traceback as its text."""
        try:
            error = self.kind(_Text(self.text))
            faithful = self.text in str(error)
        except Exception:
            faithful = False
        if not faithful:  # a type made of something else than one text
            error = RuntimeError(self.text)
        try:
            raise error from self.cause
        finally:
            del error  # or error and frame would keep each other, and the workers


class Streams:
    """Lends the streams of one pass to the code that makes samples."""

    def __init__(self, seed: int, epoch: int, own_process: bool):
        self._seed, self._epoch, self._own_process = seed, epoch, own_process
        self._of_batch, self._of_sample = Generator(), Generator()

    @contextmanager
    def batch(self, number: int, work: str) -> Iterator[None]:
        """What belongs to no single sample: `work` is "samples" or "collation"."""
        with self._lent(f"{work} {number}", self._of_batch):
            yield

    @contextmanager
    def sample(self, index, repeat: int) -> Iterator[None]:
        """The `repeat`-th time that sample `index` is made in this pass."""
        index = _plain(index)
        with self._lent((index, repeat) if repeat else index, self._of_sample):
            yield

    @contextmanager
    def _lent(self, name, generator):
        derive(self._seed, self._epoch, name, into=generator)
        if self._own_process:
            seed_everything(generator.initial_seed())
        with drawing_from(generator):
            yield


def _plain(index):
    try:
        return operator.index(index)
    except TypeError:
        return index


def seed_everything(seed: int) -> None:
    """Seed Python's and NumPy's global streams, which a process has to itself."""
    random.seed(seed)
    np.random.seed([seed & 0xFFFFFFFF, seed >> 32])


class MapFetcher:
    """Batches of a dataset that is asked by index."""

    def __init__(self, dataset, batched: bool, collate: Callable):
        self._dataset, self._batched, self._collate = dataset, batched, collate
        self._at_once = callable(getattr(dataset, "__getitems__", None))
        self._one_by_one = _one_by_one(dataset)

    def fetch(self, index):
        """The batch (not batched: the sample) at `index`."""
        if not self._batched:
            data = self._dataset[index]
        elif self._at_once:
            data = self._dataset.__getitems__(index)
        else:
            data = [self._dataset[one] for one in index]
        return self._collate(data)

    def fetch_with_streams(self, task: Task, streams: Streams, stopped):
        """The same, each sample made with its own stream; None once `stopped()`."""
        if not self._batched:
            data = self._sample(task.index, task.repeats, streams)
        elif self._one_by_one:
            data = []
            for one, repeat in zip(task.index, task.repeats, strict=True):
                if stopped():
                    return None
                data.append(self._sample(one, repeat, streams))
        else:
            with streams.batch(task.number, "samples"):
                data = self._dataset.__getitems__(task.index)
        with streams.batch(task.number, "collation"):
            return self._collate(data)

    def _sample(self, index, repeat, streams):
        with streams.sample(index, repeat):
            return self._dataset[index]


def _one_by_one(dataset) -> bool:
    """Whether `__getitems__`, if there is one, does what `__getitem__` would."""
    if not callable(getattr(dataset, "__getitems__", None)):
        return True
    kind = type(dataset)
    if kind.__getitems__ is Subset.__getitems__:
        return _one_by_one(dataset.dataset)
    if kind.__getitems__ is StackDataset.__getitems__:
        parts = dataset.datasets
        parts = parts.values() if isinstance(parts, dict) else parts
        return all(map(_one_by_one, parts))
    return False


class StreamFetcher:
    """Batches of an IterableDataset; StopIteration after the last."""

    def __init__(self, dataset, batched: bool, collate: Callable, drop_last: bool):
        self._samples = iter(dataset)
        self._batched, self._collate, self._drop_last = batched, collate, drop_last
        self._ended = False

    def fetch(self, index):
        """The next len(index) samples, as a batch (not batched: the next sample)."""
        if self._ended:
            raise StopIteration
        if not self._batched:
            return self._collate(next(self._samples))
        data = []
        for _ in index:
            try:
                data.append(next(self._samples))
            except StopIteration:
                self._ended = True
                break
        if not data or (self._drop_last and len(data) < len(index)):
            raise StopIteration
        return self._collate(data)


def fetcher_for(setup: Setup, dataset) -> MapFetcher | StreamFetcher:
    """Who fetches from `dataset`."""
    if setup.iterable:
        return StreamFetcher(dataset, setup.batched, setup.collate, setup.drop_last)
    return MapFetcher(dataset, setup.batched, setup.collate)


class Worker:
    """Worker `id`: answers tasks until it is told to stop."""

    def __init__(self, setup: Setup, id: int, own_process: bool):
        self._setup, self._id, self._own_process = setup, id, own_process
        self._dataset = setup.dataset if own_process else _own_copy(setup.dataset)
        self._fetcher: MapFetcher | StreamFetcher | None = None
        self._failure: Failure | None = None
        self._ended = False

    def run(
        self,
        receive: Callable[[], Task | Restart | None],
        answer: Callable[[Answer], None],
        stopped: Callable[[], bool],
    ) -> None:
        """Serve until `receive` gives None or `stopped()`."""
        setup = self._setup
        seed = setup.seed + self._id
        _here.info = WorkerInfo(self._id, setup.num_workers, seed, self._dataset)
        if self._own_process:
            seed_everything(seed)
        # An IterableDataset draws from this one, as in torch: its samples have no
        # index by which a stream could be named.
        with drawing_from(Generator().manual_seed(seed)):
            self._begin(0, setup.worker_init_fn)
            while (task := receive()) is not None and not stopped():
                if isinstance(task, Restart):
                    self._begin(task.epoch, None)
                elif not self._ended:
                    result = self._result(task, stopped)
                    answer(Answer(self._id, task.epoch, task.number, result))

    def _begin(self, epoch: int, initialise: Callable | None) -> None:
        self._ended = False
        self._streams = Streams(self._setup.seed, epoch, self._own_process)
        if self._failure:
            return
        try:
            if initialise is not None:
                initialise(self._id)
            self._fetcher = fetcher_for(self._setup, self._dataset)
        except BaseException:
            self._failure = self._failed("on starting")

    def _result(self, task: Task, stopped) -> Any:
        if self._failure:
            return self._failure
        try:
            if isinstance(self._fetcher, MapFetcher):
                return self._fetcher.fetch_with_streams(task, self._streams, stopped)
            assert self._fetcher is not None
            return self._fetcher.fetch(task.index)
        except BaseException as error:
            if isinstance(error, StopIteration) and self._setup.iterable:
                self._ended = True
                return Ended()
            return self._failed(f"fetching batch {task.number}")

    def _failed(self, doing: str) -> Failure:
        where = "process" if self._own_process else "thread"
        return Failure.now(self._id, where, doing, keep_cause=not self._own_process)


def _own_copy(dataset):
    """A copy whose attributes a worker may set; their values stay shared.

    What `worker_init_fn` writes to `get_worker_info().dataset`, or a dataset opens
    lazily, is then each worker's own, without a second copy of the data.
    """
    if not hasattr(dataset, "__dict__"):
        return dataset
    try:
        return copy.copy(dataset)
    except Exception:  # a dataset that refuses to be copied is shared
        return dataset
