"""Samplers: in which order a loader takes the samples."""

import itertools
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Generic, TypeVar

import numpy as np

from ...random import Generator, multinomial, randint, random_full, randperm

Index = TypeVar("Index", covariant=True)


class Sampler(Generic[Index]):
    """An order of indices: a subclass defines `__iter__` and, mostly, `__len__`."""

    def __init__(self, data_source: Sized | None = None):
        """`data_source` is taken for old subclasses' sake, and not used."""

    def __iter__(self) -> Iterator[Index]:
        raise NotImplementedError(
            f"{type(self).__name__}: a Sampler defines __iter__(self)."
        )


class SequentialSampler(Sampler[int]):
    """0, 1, …, len(data_source) − 1."""

    def __init__(self, data_source: Sized):
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """A random order of the samples, or `num_samples` of them.

    With `replacement` each is drawn from all. Without a `generator`, each pass draws a
    seed from the default one and shuffles by that.
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ):
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        if not isinstance(replacement, bool):
            raise TypeError(
                f"RandomSampler: replacement is True or False, got {replacement!r}."
            )
        if not isinstance(self.num_samples, int) or self.num_samples <= 0:
            what = "num_samples" if num_samples is not None else "the dataset's length"
            raise ValueError(
                f"RandomSampler: {what} is a positive integer, "
                f"got {self.num_samples!r}."
            )

    @property
    def num_samples(self) -> int:
        """How many indices a pass gives."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        generator = self.generator
        if generator is None:
            seed = int(random_full((), dtype="int64"))
            generator = Generator().manual_seed(seed)
        size = len(self.data_source)
        if self.replacement:
            rounds, rest = divmod(self.num_samples, 32)
            for count in [32] * rounds + [rest]:
                yield from randint((count,), 0, size, generator=generator).tolist()
        else:
            rounds, rest = divmod(self.num_samples, size)
            for count in [size] * rounds + [rest]:
                yield from randperm(size, generator=generator).tolist()[:count]

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """The given indices in random order."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None):
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        order = randperm(len(self.indices), generator=self.generator)
        return (self.indices[place] for place in order.tolist())

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """`num_samples` indices, drawn with chances in proportion to `weights`."""

    def __init__(
        self,
        weights: Sequence[float],
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ):
        _check_count("WeightedRandomSampler", "num_samples", num_samples)
        _check_flag("WeightedRandomSampler", "replacement", replacement)
        self.weights = np.asarray(weights, np.float64)
        if self.weights.ndim != 1:
            raise ValueError(
                "WeightedRandomSampler: weights are one number a sample, "
                f"got shape {self.weights.shape}."
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        picks = multinomial(
            self.weights,
            self.num_samples,
            self.replacement,
            dtype="float64",
            generator=self.generator,
        )
        return iter(picks.tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list]):
    """Lists of `batch_size` indices of `sampler`; a shorter last one may be dropped."""

    def __init__(
        self, sampler: Sampler[int] | Iterable[int], batch_size: int, drop_last: bool
    ):
        _check_count("BatchSampler", "batch_size", batch_size)
        _check_flag("BatchSampler", "drop_last", drop_last)
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list]:
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        whole, rest = divmod(len(self.sampler), self.batch_size)  # type: ignore[arg-type]
        return whole + bool(rest and not self.drop_last)


class Endless(Sampler[None]):
    """None, for ever: the order of an IterableDataset is its own."""

    def __iter__(self) -> Iterator[None]:
        return itertools.repeat(None)


def _check_count(owner, name, value):
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ValueError(f"{owner}: {name} is a positive integer, got {value!r}.")


def _check_flag(owner, name, value):
    if not isinstance(value, bool):
        raise ValueError(f"{owner}: {name} is True or False, got {value!r}.")
