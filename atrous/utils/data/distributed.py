"""Each process of a group takes its share of the samples."""

import math
from collections.abc import Iterator

from ...random import Generator, randperm
from .dataset import Dataset
from .sampler import Sampler


class DistributedSampler(Sampler[int]):
    """Every `num_replicas`-th index of a common order, from `rank` on.

    The order is shuffled by seed + epoch; call `set_epoch` before each pass for a new
    one. So that all processes get equally many, the first indices are repeated at the
    end, or, with `drop_last`, the last are left out.

    Both `num_replicas` and `rank` are needed: there is no process group to ask.
    """

    def __init__(
        self,
        dataset: Dataset,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ):
        if num_replicas is None or rank is None:
            raise ValueError(
                "DistributedSampler: give num_replicas and rank; "
                f"got num_replicas={num_replicas}, rank={rank}."
            )
        if not 0 <= rank < num_replicas:
            raise ValueError(
                f"DistributedSampler: rank {rank} is outside 0 … {num_replicas - 1}."
            )
        self.dataset = dataset
        self.num_replicas = num_replicas
        self.rank = rank
        self.epoch = 0
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        share = len(dataset) / num_replicas  # type: ignore[arg-type]
        self.num_samples = math.floor(share) if drop_last else math.ceil(share)
        self.total_size = self.num_samples * num_replicas

    def __iter__(self) -> Iterator[int]:
        size = len(self.dataset)  # type: ignore[arg-type]
        order = list(range(size))
        if self.shuffle:
            generator = Generator().manual_seed(self.seed + self.epoch)
            order = randperm(size, generator=generator).tolist()
        repeats = math.ceil(self.total_size / size) if size else 0
        order = (order * repeats)[: self.total_size]
        return iter(order[self.rank :: self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
        self.epoch = epoch
