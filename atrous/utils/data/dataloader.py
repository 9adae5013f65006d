"""The data loader: samples, batched, in order, made ahead by workers."""

import multiprocessing
from collections.abc import Callable, Iterable
from multiprocessing.context import BaseContext
from typing import Any, Generic, TypeVar

from ...random import Generator
from .collate import default_collate, default_convert
from .dataset import Dataset, IterableDataset
from .passes import MainPass, Pass, WorkersPass
from .sampler import BatchSampler, Endless, RandomSampler, Sampler, SequentialSampler

Sample = TypeVar("Sample", covariant=True)

# Changing one of these would leave the others describing another loader.
_FIXED = ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset")


class DataLoader(Generic[Sample]):
    """Iterates over a dataset in batches, in torch's order.

    `dataset` has `__getitem__` and `__len__`, or is an IterableDataset.
    `batch_size`, `shuffle`, `drop_last`, or a `sampler` of indices, or a
    `batch_sampler` of lists of indices, say what is in a batch; `batch_size=None`
    gives samples as they are. `collate_fn` makes a batch from a list of samples.
    `generator` is the stream of the order (and of the workers' seed).

    With `num_workers` > 0, as many threads make `prefetch_factor` batches each ahead;
    they need no pickling and no `if __name__ == "__main__"`. `multiprocessing_context`
    ("fork", "spawn", …) asks for processes instead. `worker_init_fn(id)` is called in
    each; `persistent_workers` keeps them between passes; `timeout` is how many seconds
    a batch may take; `in_order=False` gives batches as they come.

    In a worker, each sample draws from a stream of its own, named by seed, epoch and
    index, so the batches do not depend on the number of workers. That stream is the
    library's default generator; in a process also Python's `random` and NumPy's, which
    threads share and draw from in no fixed order. Without workers, samples draw from
    the main stream.

    `pin_memory` needs an accelerator; without one it warns, as torch does.

    Raises ValueError for arguments that exclude each other.
    """

    _initialised = False

    def __init__(
        self,
        dataset: Dataset[Sample],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Sampler | Iterable | None = None,
        batch_sampler: Sampler[list] | Iterable[list] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: str | BaseContext | None = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ):
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        iterable = isinstance(dataset, IterableDataset)
        if iterable:
            _check_iterable(shuffle, sampler, batch_sampler)
        _check_batching(batch_size, shuffle, sampler, batch_sampler, drop_last)

        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = prefetch_factor or (2 if num_workers else None)
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.in_order = in_order
        self.generator = generator
        self.persistent_workers = persistent_workers

        if batch_sampler is not None:
            batch_size = None
        if sampler is None:
            if iterable:
                sampler = Endless()
            elif shuffle:
                sampler = RandomSampler(dataset, generator=generator)  # type: ignore
            else:
                sampler = SequentialSampler(dataset)  # type: ignore[arg-type]
        if batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)  # type: ignore
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        if collate_fn is None:
            collate_fn = default_convert if batch_sampler is None else default_collate
        self.collate_fn = collate_fn

        self._promised: int | None = None
        self._iterator: WorkersPass | None = None
        self._initialised = True

    def __setattr__(self, name: str, value) -> None:
        if self._initialised and name in (*_FIXED, "persistent_workers"):
            raise ValueError(
                f"DataLoader: {name} cannot be changed once the loader is made."
            )
        super().__setattr__(name, value)

    @property
    def multiprocessing_context(self) -> BaseContext | None:
        """How worker processes are started; None means threads."""
        return self._context

    @multiprocessing_context.setter
    def multiprocessing_context(self, context: str | BaseContext | None) -> None:
        self._context = _checked_context(context, self.num_workers)

    @property
    def _index_sampler(self):
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def __iter__(self) -> "Pass":
        if self.num_workers == 0:
            return MainPass(self)
        if not self.persistent_workers:
            return WorkersPass(self)
        if self._iterator is None or self._iterator.closed:
            self._iterator = WorkersPass(self)
        else:
            self._iterator.restart(self)
        return self._iterator

    def __len__(self) -> int:
        """How many batches a pass gives.

        For an IterableDataset, what its own `__len__` promises.
        """
        if not isinstance(self.dataset, IterableDataset):
            return len(self._index_sampler)
        length = self._promised = len(self.dataset)  # type: ignore[arg-type]
        if self.batch_size is None:
            return length
        whole, rest = divmod(length, self.batch_size)
        return whole + bool(rest and not self.drop_last)


def _check_workers(num_workers, timeout, prefetch_factor, persistent_workers):
    if num_workers < 0:
        raise ValueError(f"DataLoader: num_workers is at least 0, got {num_workers}.")
    if timeout < 0:
        raise ValueError(f"DataLoader: timeout is at least 0 s, got {timeout}.")
    if prefetch_factor is not None and num_workers == 0:
        raise ValueError(
            f"DataLoader: prefetch_factor={prefetch_factor} needs num_workers > 0."
        )
    if prefetch_factor is not None and prefetch_factor < 1:
        raise ValueError(
            f"DataLoader: prefetch_factor is at least 1, got {prefetch_factor}."
        )
    if persistent_workers and num_workers == 0:
        raise ValueError("DataLoader: persistent_workers needs num_workers > 0.")


def _check_iterable(shuffle, sampler, batch_sampler):
    for name, value in (
        ("shuffle", shuffle or None),
        ("sampler", sampler),
        ("batch_sampler", batch_sampler),
    ):
        if value is not None:
            raise ValueError(
                "DataLoader: an IterableDataset has its own order; "
                f"it takes no {name} (got {value!r})."
            )


def _check_batching(batch_size, shuffle, sampler, batch_sampler, drop_last):
    if sampler is not None and shuffle:
        raise ValueError("DataLoader: give a sampler or shuffle=True, not both.")
    if batch_sampler is not None:
        given = {
            "batch_size": batch_size != 1,
            "shuffle": shuffle,
            "sampler": sampler is not None,
            "drop_last": drop_last,
        }
        if any(given.values()):
            raise ValueError(
                "DataLoader: a batch_sampler decides alone; leave out "
                f"{', '.join(name for name in given if given[name])}."
            )
    elif batch_size is None and drop_last:
        raise ValueError(
            "DataLoader: batch_size=None gives single samples, "
            "of which drop_last=True has none to drop."
        )


def _checked_context(context, num_workers) -> BaseContext | None:
    if context is None:
        return None
    if num_workers == 0:
        raise ValueError("DataLoader: multiprocessing_context needs num_workers > 0.")
    if isinstance(context, str):
        methods = multiprocessing.get_all_start_methods()
        if context not in methods:
            raise ValueError(
                f"DataLoader: multiprocessing_context={context!r} is no way to start "
                f"a process here; there are {', '.join(map(repr, methods))}."
            )
        return multiprocessing.get_context(context)
    if not isinstance(context, BaseContext):
        raise TypeError(
            "DataLoader: multiprocessing_context is a start method's name or a "
            f"context of multiprocessing, got {type(context).__name__}."
        )
    return context
