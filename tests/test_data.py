"""Datasets, samplers, collation and the loader, against torch's and by themselves."""

import collections
import gc
import multiprocessing
import os
import pickle
import random as python_random
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import atrous
from atrous import random
from atrous.utils import data

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
Point = collections.namedtuple("Point", "x y")


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


class Squares(data.Dataset):
    """i² for i < size; after `broken`, an error."""

    def __init__(self, size=10, broken=None, error=ValueError):
        self.size, self.broken, self.error = size, broken, error

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        if index == self.broken:
            raise self.error(f"no sample {index}")
        return index * index


class Noisy(data.Dataset):
    """Samples that draw from every stream a user would draw from."""

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return index, float(random.uniform(()))


class NoisyEverywhere(Noisy):
    def __getitem__(self, index):
        return index, python_random.random(), float(np.random.random())


class Count(data.IterableDataset):
    """start … end − 1, shared out among the workers."""

    def __init__(self, end):
        self.end = end

    def __len__(self):
        return self.end

    def __iter__(self):
        info = data.get_worker_info()
        first, step = (info.id, info.num_workers) if info else (0, 1)
        return iter(range(first, self.end, step))


def values(loader):
    """Everything a loader gives, as plain lists."""
    return [plain(batch) for batch in loader]


def plain(batch):
    if isinstance(batch, (list, tuple)):
        return [plain(item) for item in batch]
    return batch.tolist() if hasattr(batch, "tolist") else batch


def workers_alive():
    return [t for t in threading.enumerate() if t.name.startswith("DataLoader")]


def wait_until_gone(alive, seconds=5):
    gc.collect()  # what pytest has caught refers to the loop's iterator
    deadline = time.monotonic() + seconds
    while alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not alive()


# Order: torch's, after the same seed.

ORDERS = {
    "sequential": lambda d, t: d.DataLoader(t, batch_size=3),
    "shuffled": lambda d, t: d.DataLoader(t, batch_size=3, shuffle=True),
    "last dropped": lambda d, t: d.DataLoader(t, 4, shuffle=True, drop_last=True),
    "single samples": lambda d, t: d.DataLoader(t, None, shuffle=True),
    "replacement": lambda d, t: d.DataLoader(
        t, 4, sampler=d.RandomSampler(t, replacement=True, num_samples=70)
    ),
    "more than all": lambda d, t: d.DataLoader(
        t, 4, sampler=d.RandomSampler(t, num_samples=25)
    ),
    "subset": lambda d, t: d.DataLoader(t, 2, sampler=d.SubsetRandomSampler([3, 1, 7])),
    "weighted": lambda d, t: d.DataLoader(
        t, 2, sampler=d.WeightedRandomSampler([0.1, 0.2, 3.0, 0.5], 9)
    ),
    "weighted, all": lambda d, t: d.DataLoader(
        t, 2, sampler=d.WeightedRandomSampler([0.1, 0.2, 3.0, 0.5], 4, False)
    ),
    "batch sampler": lambda d, t: d.DataLoader(
        t, batch_sampler=d.BatchSampler(d.RandomSampler(t), 3, False)
    ),
    "split": lambda d, t: d.DataLoader(d.random_split(t, [7, 3])[0], 2, shuffle=True),
    "fractions": lambda d, t: d.DataLoader(d.random_split(t, [0.35, 0.65])[1], 2),
    "distributed": lambda d, t: d.DataLoader(
        t, 2, sampler=d.DistributedSampler(t, 3, 1, seed=4)
    ),
    "distributed, dropped": lambda d, t: d.DataLoader(
        t, 2, sampler=d.DistributedSampler(t, 3, 2, drop_last=True)
    ),
}


@pytest.mark.parametrize("name", ORDERS)
def test_order_is_torchs(name, torch):
    make = ORDERS[name]
    torch.manual_seed(3)
    theirs = make(torch.utils.data, range(10))
    expected = values(theirs), values(theirs), torch.rand(1).item()
    atrous.manual_seed(3)
    ours = make(data, range(10))
    assert (values(ours), values(ours), float(random.uniform(()))) == expected
    assert len(ours) == len(theirs)


@pytest.mark.parametrize("workers", (0, 2))
def test_order_from_a_generator(workers, torch):
    expected = values(
        torch.utils.data.DataLoader(
            range(10), 3, True, generator=torch.Generator().manual_seed(8)
        )
    )
    generator = random.Generator().manual_seed(8)
    loader = data.DataLoader(
        range(10), 3, True, generator=generator, num_workers=workers
    )
    assert values(loader) == expected


def test_seed_666_shuffles_so():
    atrous.manual_seed(666)
    assert values(data.DataLoader(range(10), 5, shuffle=True)) == SHUFFLED_666


SHUFFLED_666 = [[7, 1, 5, 0, 8], [4, 3, 6, 9, 2]]


# Datasets.


def test_tensor_dataset():
    dataset = data.TensorDataset(atrous.arange(4), atrous.arange(4) * 10)
    assert len(dataset) == 4
    assert plain(dataset[2]) == [2, 20]
    assert values(data.DataLoader(dataset, 3)) == [
        [[0, 1, 2], [0, 10, 20]],
        [[3], [30]],
    ]


def test_datasets_combine():
    both = Squares(3) + Squares(2)
    assert isinstance(both, data.ConcatDataset)
    assert (list(both), len(both), both[-1]) == ([0, 1, 4, 0, 1], 5, 1)
    chain = Count(2) + Count(3)
    assert isinstance(chain, data.ChainDataset)
    assert (list(chain), len(chain)) == ([0, 1, 0, 1, 2], 5)
    assert list(data.Subset(Squares(), [3, 1])) == [9, 1]
    pairs = data.StackDataset(Squares(3), range(3))
    assert (pairs[2], pairs.__getitems__([1, 2])) == ((4, 2), [(1, 1), (4, 2)])
    named = data.StackDataset(a=Squares(3), b=data.Subset(Squares(), [5, 6, 7]))
    assert named.__getitems__([0, 2]) == [{"a": 0, "b": 25}, {"a": 4, "b": 49}]
    assert (len(named), named[1]) == (3, {"a": 1, "b": 36})


def test_random_split_warns_of_an_empty_part():
    with pytest.warns(UserWarning) as caught:
        parts = data.random_split(range(3), [0.9, 0.05, 0.05])
    assert [len(part) for part in parts] == [3, 0, 0]
    assert str(caught[0].message) == (
        "random_split: part 1 (fraction 0.05 of 3 samples) is empty."
    )


# Collation.

BATCHES = {
    "ints": lambda t: [1, 2],
    "bools": lambda t: [True, False],
    "floats": lambda t: [1.5, 2.0],
    "tensors": lambda t: [t.arange(3), t.arange(3) * 2],
    "float32 arrays": lambda t: [np.ones(2, np.float32), np.zeros(2, np.float32)],
    "NumPy numbers": lambda t: [np.float32(1), np.float32(2)],
    "NumPy float64": lambda t: [np.float64(1), np.float64(2)],
    "text": lambda t: ["a", "b"],
    "bytes": lambda t: [b"a", b"b"],
    "tuples": lambda t: [(1, "a"), (2, "b")],
    "lists": lambda t: [[1, 2.0], [3, 4.0]],
    "named tuples": lambda t: [Point(1, 2), Point(3, 4)],
    "dicts": lambda t: [{"a": 1, "b": [1, 2]}, {"a": 2, "b": [3, 4]}],
    "ordered dicts": lambda t: [collections.OrderedDict(b=1, a=2)] * 2,
    "counters": lambda t: [collections.Counter("aab"), collections.Counter("aaab")],
    "ranges": lambda t: [range(2), range(2, 4)],
    "nested": lambda t: [{"a": (t.zeros(2), [1])}, {"a": (t.zeros(2) + 1, [2])}],
}


def described(value):
    """Types, dtypes and numbers of a structure, without saying whose tensors."""
    if isinstance(value, dict):
        return type(value), [(key, described(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value), [described(item) for item in value]
    if hasattr(value, "dtype"):
        return str(value.dtype).split(".")[-1], value.tolist()
    return value


@pytest.mark.parametrize("name", BATCHES)
def test_collation_is_torchs(name, torch):
    ours = data.default_collate(BATCHES[name](atrous))
    theirs = torch.utils.data.default_collate(BATCHES[name](torch))
    assert described(ours) == described(theirs)
    for sample, other in zip(BATCHES[name](atrous), BATCHES[name](torch), strict=True):
        converted = torch.utils.data.default_convert(other)
        assert described(data.default_convert(sample)) == described(converted)


def test_collation_of_own_types():
    def together(batch, *, collate_fn_map=None):
        return "+".join(point.x for point in batch)

    batch = [{"p": Point("a", 1)}, {"p": Point("b", 2)}]
    assert data.collate(batch, collate_fn_map={Point: together}) == {"p": "a+b"}


# Workers.


@pytest.mark.parametrize("how", (None, "fork"))
def test_batches_do_not_depend_on_the_workers(how):
    if how not in (None, *multiprocessing.get_all_start_methods()):
        pytest.skip(f"{how} is not a start method here")
    runs = []
    for workers in (1, 2, 3):
        atrous.manual_seed(1)
        loader = data.DataLoader(
            Noisy(), 5, True, num_workers=workers, multiprocessing_context=how
        )
        runs.append((values(loader), values(loader)))
    assert runs[0] == runs[1] == runs[2]
    first, second = runs[0]
    noise = [number for batch in first + second for number in batch[1]]
    assert len(set(noise)) == 24


def test_a_sample_has_its_stream_in_any_batch():
    def noise(batch_size, dataset, **how):
        atrous.manual_seed(1)
        loader = data.DataLoader(dataset, batch_size, num_workers=2, **how)
        return dict(
            pair for batch in loader for pair in zip(*plain(batch), strict=True)
        )

    expected = noise(3, Noisy())
    assert noise(5, Noisy()) == expected
    assert noise(5, data.Subset(Noisy(), range(12))) == expected
    assert noise(5, Noisy(), multiprocessing_context="fork") == expected
    seed = int(random.random_full((), dtype="int64", generator=reseeded(1)))
    stream = random.derive(seed, 0, 7)
    assert expected[7] == float(random.uniform((), generator=stream))


def reseeded(seed):
    return random.Generator().manual_seed(seed)


def test_a_sample_drawn_twice_is_not_twice_the_same():
    loader = data.DataLoader(Noisy(), 2, sampler=[4, 4, 4], num_workers=2)
    noise = [number for batch in values(loader) for number in batch[1]]
    assert len(set(noise)) == 3


def test_processes_seed_pythons_and_numpys_streams_too():
    def noise(workers):
        atrous.manual_seed(1)
        loader = data.DataLoader(
            NoisyEverywhere(), 5, num_workers=workers, multiprocessing_context="fork"
        )
        return values(loader)

    assert noise(1) == noise(2)


def test_without_workers_samples_draw_from_the_main_stream(torch):
    class Theirs(torch.utils.data.Dataset):
        def __len__(self):
            return 12

        def __getitem__(self, index):
            return index, torch.rand(()).item()

    torch.manual_seed(2)
    expected = values(torch.utils.data.DataLoader(Theirs(), 5, shuffle=True))
    atrous.manual_seed(2)
    assert values(data.DataLoader(Noisy(), 5, shuffle=True)) == expected


def test_collation_draws_from_the_batchs_stream():
    def mixed(samples):
        return [*samples, float(random.uniform(()))]

    def run(workers):
        atrous.manual_seed(1)
        return values(
            data.DataLoader(Squares(), 3, num_workers=workers, collate_fn=mixed)
        )

    assert run(1) == run(3)
    assert len({batch[-1] for batch in run(2)}) == 4


@pytest.mark.parametrize("batch_size", (None, 3))
@pytest.mark.parametrize("workers", (0, 1, 2, 3))
def test_iterable_datasets(workers, batch_size, torch):
    class Theirs(torch.utils.data.IterableDataset):
        def __iter__(self):
            info = torch.utils.data.get_worker_info()
            first, step = (info.id, info.num_workers) if info else (0, 1)
            return iter(range(first, 13, step))

    def loader(module, dataset):
        return module.DataLoader(dataset, batch_size, num_workers=workers)

    ours = values(loader(data, Count(13)))
    if workers < 3:  # torch warns if there are fewer cores than workers
        assert ours == values(loader(torch.utils.data, Theirs()))
    flat = [n for batch in ours for n in (batch if batch_size else [batch])]
    assert sorted(flat) == list(range(13))


def test_an_iterable_dataset_that_gives_more_than_it_promised():
    class Surplus(Count):
        def __len__(self):
            return 2

    loader = data.DataLoader(Surplus(3), None)
    assert len(loader) == 2
    with pytest.warns(UserWarning) as caught:
        assert values(loader) == [0, 1, 2]
    assert str(caught[0].message) == (
        "DataLoader: Surplus promised a length of 2, this is item 3."
    )


def test_length_of_iterable_datasets():
    assert len(data.DataLoader(Count(10), 4)) == 3
    assert len(data.DataLoader(Count(10), 4, drop_last=True)) == 2
    assert values(data.DataLoader(Count(10), 4, drop_last=True, num_workers=2)) == [
        [0, 2, 4, 6],
        [1, 3, 5, 7],
    ]


def test_worker_info_and_initialisation():
    seen = []

    def begin(id):
        info = data.get_worker_info()
        info.dataset.size = 100 + id  # each worker has its own
        seen.append((id, info.id, info.num_workers, info.seed - atrous.initial_seed()))

    class Sized(Squares):
        def __getitem__(self, index):
            return self.size

    dataset = Sized(8)
    loader = data.DataLoader(dataset, 2, num_workers=2, worker_init_fn=begin)
    assert values(loader) == [[100, 100], [101, 101]] * 2
    assert sorted(seen) == [(0, 0, 2, 0), (1, 1, 2, 0)]
    assert dataset.size == 8
    assert data.get_worker_info() is None


@pytest.mark.parametrize("how", (None, "fork"))
def test_persistent_workers(how):
    starts = multiprocessing.get_context("fork").Value("i", 0)

    def count(id):
        with starts.get_lock():
            starts.value += 1

    options = dict(num_workers=2, multiprocessing_context=how, worker_init_fn=count)
    loader = data.DataLoader(Noisy(), 5, True, persistent_workers=True, **options)
    first, second = values(loader), values(loader)
    assert next(iter(loader))  # leaves tasks of this pass behind
    third = values(loader)
    assert starts.value == 2
    assert all(
        sorted(i for b in run for i in b[0]) == [*range(12)] for run in (first, third)
    )
    assert first != second != third
    loader._iterator.close()
    loader = data.DataLoader(Count(5), 2, persistent_workers=True, **options)
    assert values(loader) == values(loader) == [[0, 2], [1, 3], [4]]
    loader._iterator.close()


def test_out_of_order():
    gate = threading.Event()

    class Slow(Squares):
        def __getitem__(self, index):
            if index == 0:
                gate.wait(10)
            elif index == 5:
                gate.set()
            return index

    loader = data.DataLoader(Slow(6), None, num_workers=2, in_order=False)
    got = values(loader)
    assert sorted(got) == [0, 1, 2, 3, 4, 5]
    assert got[0] != 0


@pytest.mark.parametrize("how", (None, "fork"))
@pytest.mark.parametrize("error", (ValueError, KeyError, OSError))
def test_a_workers_exception_is_handed_over(how, error):
    dataset = Squares(10, broken=7, error=error)
    loader = data.DataLoader(dataset, 2, num_workers=2, multiprocessing_context=how)
    got = []
    with pytest.raises(error) as caught:
        for batch in loader:
            got.append(batch.tolist())
    assert got == [[0, 1], [4, 9], [16, 25]]
    text = str(caught.value)
    where = "process" if how else "thread"
    start = (
        f"Caught {error.__name__} in DataLoader worker 1 ({where}), fetching batch 3."
    )
    assert text.startswith(f"{start}\nTraceback (most recent call last):\n")
    assert "in __getitem__" in text
    assert text.endswith(f"{error.__name__}: {error(f'no sample {7}')}")
    if how is None:
        assert isinstance(caught.value.__cause__, error)


class Peculiar(Exception):
    def __init__(self, one, two):
        super().__init__(one, two)


def test_an_exception_of_many_arguments_becomes_a_runtime_error():
    def fail(samples):
        raise Peculiar(1, 2)

    with pytest.raises(RuntimeError, match="Caught Peculiar in DataLoader worker 0"):
        values(data.DataLoader(Squares(), num_workers=1, collate_fn=fail))


def test_a_failing_initialisation():
    def fail(id):
        raise OSError("no disk")

    with pytest.raises(
        OSError, match=r"worker 0 \(thread\), on starting.\n(.|\n)*no disk"
    ):
        values(data.DataLoader(Squares(), num_workers=2, worker_init_fn=fail))


def test_a_batch_that_cannot_be_sent():
    loader = data.DataLoader(
        Squares(),
        num_workers=1,
        multiprocessing_context="fork",
        collate_fn=lambda samples: lambda: samples,
    )
    with pytest.raises(Exception, match=r"worker 0 \(process\), sending a batch"):
        values(loader)


def test_a_worker_that_dies():
    class Fatal(Squares):
        def __getitem__(self, index):
            os._exit(3)

    loader = data.DataLoader(Fatal(), num_workers=1, multiprocessing_context="fork")
    with pytest.raises(RuntimeError, match=r"worker 0 \(pid \d+, exit code 3\) ended"):
        values(loader)


def test_timeout():
    gate = threading.Event()

    class Stuck(Squares):
        def __getitem__(self, index):
            gate.wait(10)

    loader = data.DataLoader(Stuck(), num_workers=1, timeout=0.05)
    with pytest.raises(RuntimeError) as caught:
        next(iter(loader))
    gate.set()
    assert str(caught.value) == "DataLoader: no batch came within timeout=0.05 s."
    wait_until_gone(workers_alive)


@pytest.mark.parametrize("how", (None, "fork"))
def test_dropping_the_iterator_ends_the_workers(how):
    def alive():
        return workers_alive() + multiprocessing.active_children()

    loader = data.DataLoader(
        Squares(1000), 2, num_workers=2, multiprocessing_context=how
    )
    wait_until_gone(alive)
    for _ in loader:
        assert len(alive()) == 2
        break
    wait_until_gone(alive)
    values(loader)
    wait_until_gone(alive)


def test_ctrl_c_ends_the_workers():
    class Interrupted(data.Dataset):
        def __len__(self):
            return 10

        def __getitem__(self, index):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        values(data.DataLoader(Interrupted(), num_workers=2))
    wait_until_gone(workers_alive)


def run_script(tmp_path, text):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(text))
    return subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": ROOT},
    )


PLAIN_SCRIPT = """
    import atrous
    from atrous.utils.data import DataLoader, Dataset

    class Ten(Dataset):
        def __len__(self):
            return 10
        def __getitem__(self, index):
            return index

    atrous.manual_seed(666)
    loader = DataLoader(Ten(), 5, shuffle=True, num_workers=2{more})
    print([batch.tolist() for batch in loader])
    unfinished = iter(loader)
    next(unfinished)
"""


@pytest.mark.parametrize("how", ("", ", multiprocessing_context='fork'"))
def test_a_plain_script(tmp_path, how):
    done = run_script(tmp_path, PLAIN_SCRIPT.format(more=how))
    assert done.stdout == f"{SHUFFLED_666}\n"
    assert (done.stderr, done.returncode) == ("", 0)


def test_a_plain_script_cannot_spawn(tmp_path):
    text = PLAIN_SCRIPT.format(more=", multiprocessing_context='spawn'")
    done = run_script(tmp_path, text)
    assert done.stderr.splitlines()[-1] == (
        "RuntimeError: DataLoader: worker processes started by 'spawn' run the script "
        "again from its top, so the loop over the loader belongs under "
        '`if __name__ == "__main__":` (or leave out multiprocessing_context, '
        "to get threads)."
    )


def test_a_guarded_script_spawns(tmp_path):
    text = textwrap.dedent(
        PLAIN_SCRIPT.format(more=", multiprocessing_context='spawn'")
    )
    head, _, tail = text.partition("atrous.manual_seed")
    body = textwrap.indent(f"atrous.manual_seed{tail}", "    ")
    done = run_script(tmp_path, f"{head}if __name__ == '__main__':\n{body}")
    assert done.stdout == f"{SHUFFLED_666}\n"
    assert (done.stderr, done.returncode) == ("", 0)


# Refusals.

REFUSALS = [
    (
        lambda: data.DataLoader([1], num_workers=-1),
        ValueError,
        "DataLoader: num_workers is at least 0, got -1.",
    ),
    (
        lambda: data.DataLoader([1], timeout=-2),
        ValueError,
        "DataLoader: timeout is at least 0 s, got -2.",
    ),
    (
        lambda: data.DataLoader([1], prefetch_factor=2),
        ValueError,
        "DataLoader: prefetch_factor=2 needs num_workers > 0.",
    ),
    (
        lambda: data.DataLoader([1], num_workers=1, prefetch_factor=0),
        ValueError,
        "DataLoader: prefetch_factor is at least 1, got 0.",
    ),
    (
        lambda: data.DataLoader([1], persistent_workers=True),
        ValueError,
        "DataLoader: persistent_workers needs num_workers > 0.",
    ),
    (
        lambda: data.DataLoader(Count(3), shuffle=True),
        ValueError,
        "DataLoader: an IterableDataset has its own order; it takes no shuffle "
        "(got True).",
    ),
    (
        lambda: data.DataLoader([1], sampler=[0], shuffle=True),
        ValueError,
        "DataLoader: give a sampler or shuffle=True, not both.",
    ),
    (
        lambda: data.DataLoader([1], 4, batch_sampler=[[0]], drop_last=True),
        ValueError,
        "DataLoader: a batch_sampler decides alone; leave out batch_size, drop_last.",
    ),
    (
        lambda: data.DataLoader([1], None, drop_last=True),
        ValueError,
        "DataLoader: batch_size=None gives single samples, of which drop_last=True "
        "has none to drop.",
    ),
    (
        lambda: data.DataLoader([1], 0),
        ValueError,
        "BatchSampler: batch_size is a positive integer, got 0.",
    ),
    (
        lambda: data.DataLoader([], shuffle=True),
        ValueError,
        "RandomSampler: the dataset's length is a positive integer, got 0.",
    ),
    (
        lambda: data.DataLoader([1], multiprocessing_context="fork"),
        ValueError,
        "DataLoader: multiprocessing_context needs num_workers > 0.",
    ),
    (
        lambda: data.DataLoader([1], num_workers=1, multiprocessing_context=3),
        TypeError,
        "DataLoader: multiprocessing_context is a start method's name or a context "
        "of multiprocessing, got int.",
    ),
    (
        lambda: setattr(data.DataLoader([1]), "batch_size", 2),
        ValueError,
        "DataLoader: batch_size cannot be changed once the loader is made.",
    ),
    (
        lambda: iter(data.DataLoader([1], timeout=1)),
        AssertionError,
        "DataLoader: timeout=1 needs num_workers > 0.",
    ),
    (
        lambda: pickle.dumps(iter(data.DataLoader([1]))),
        NotImplementedError,
        "MainPass cannot be pickled.",
    ),
    (
        lambda: data.TensorDataset(atrous.zeros(2), atrous.zeros(3)),
        AssertionError,
        "TensorDataset: the tensors have [2, 3] samples; they differ.",
    ),
    (
        lambda: data.ConcatDataset([]),
        AssertionError,
        "ConcatDataset: needs at least one dataset.",
    ),
    (
        lambda: data.ConcatDataset([[1], Count(2)]),
        AssertionError,
        "ConcatDataset: dataset 1 is an IterableDataset (Count); ChainDataset "
        "concatenates those.",
    ),
    (
        lambda: (Squares(2) + Squares(2))[4],
        IndexError,
        "ConcatDataset: index 4 is out of range for 4 samples.",
    ),
    (
        lambda: (Squares(2) + Squares(2))[-5],
        ValueError,
        "ConcatDataset: index -5 is below -4, the first.",
    ),
    (
        lambda: list(data.ChainDataset([[1]])),
        AssertionError,
        "ChainDataset: dataset 0 is no IterableDataset (list); ConcatDataset "
        "concatenates those.",
    ),
    (
        lambda: data.StackDataset(),
        ValueError,
        "StackDataset: needs at least one dataset.",
    ),
    (
        lambda: data.StackDataset([1], b=[1]),
        ValueError,
        "StackDataset: datasets come by position (samples are tuples) or by name "
        "(samples are dicts), not 1 so and 1 so.",
    ),
    (
        lambda: data.StackDataset([1], [1, 2]),
        ValueError,
        "StackDataset: the datasets have [1, 2] samples.",
    ),
    (
        lambda: type("Half", (data.Subset,), {"__getitem__": lambda s, i: i})([1], [0]),
        NotImplementedError,
        "Half overrides Subset.__getitem__ but not __getitems__, by which batches are "
        "fetched; define it too, for instance as `return [self[i] for i in indices]`.",
    ),
    (
        lambda: data.random_split([1, 2], [1, 2]),
        ValueError,
        "random_split: lengths [1, 2] add up to 3, the dataset has 2 samples.",
    ),
    (
        lambda: data.random_split([1, 2], [1.5, -0.5]),
        ValueError,
        "random_split: fraction 0 is 1.5, not between 0 and 1.",
    ),
    (
        lambda: data.RandomSampler([1], replacement=1),
        TypeError,
        "RandomSampler: replacement is True or False, got 1.",
    ),
    (
        lambda: data.RandomSampler([1], num_samples=0),
        ValueError,
        "RandomSampler: num_samples is a positive integer, got 0.",
    ),
    (
        lambda: data.WeightedRandomSampler([[1.0]], 1),
        ValueError,
        "WeightedRandomSampler: weights are one number a sample, got shape (1, 1).",
    ),
    (
        lambda: data.BatchSampler([0], 2, None),
        ValueError,
        "BatchSampler: drop_last is True or False, got None.",
    ),
    (
        lambda: data.DistributedSampler([1]),
        ValueError,
        "DistributedSampler: give num_replicas and rank; got num_replicas=None, "
        "rank=None.",
    ),
    (
        lambda: data.DistributedSampler([1], 2, 2),
        ValueError,
        "DistributedSampler: rank 2 is outside 0 … 1.",
    ),
    (
        lambda: data.Dataset()[0],
        NotImplementedError,
        "Dataset: a Dataset defines __getitem__(self, index).",
    ),
    (
        lambda: iter(data.IterableDataset()),
        NotImplementedError,
        "IterableDataset: an IterableDataset defines __iter__(self).",
    ),
    (
        lambda: iter(data.Sampler()),
        NotImplementedError,
        "Sampler: a Sampler defines __iter__(self).",
    ),
    (
        lambda: data.default_collate([object(), None]),
        TypeError,
        "default_collate: collates tensors, NumPy arrays, numbers, strings, dicts, "
        "tuples and lists; the samples hold builtins.object, builtins.NoneType.",
    ),
    (
        lambda: data.default_collate([[1], [1, 2]]),
        RuntimeError,
        "default_collate: the samples' lists have different lengths: 1, 2.",
    ),
    (
        lambda: data.default_collate([np.array(["a"])]),
        TypeError,
        "default_collate: arrays of dtype <U1 cannot become a tensor.",
    ),
]


@pytest.mark.parametrize(("call", "kind", "text"), REFUSALS)
def test_refusals(call, kind, text):
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == text


def test_pinned_memory_needs_an_accelerator():
    with pytest.warns(UserWarning) as caught:
        values(data.DataLoader(Squares(3), pin_memory=True))
    assert str(caught[0].message) == (
        "DataLoader: pin_memory=True has no effect without an accelerator."
    )
