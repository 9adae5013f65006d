"""Generators: torch's mt19937 stream, where it is kept, and which one is in use.

NumPy's MT19937 supplies the raw 32-bit words; torch seeds it by `init_genrand` and
reads every distribution from these words, so the same seed gives the same stream.
"""

import operator
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property

import numpy as np

# The seed of a Generator nobody has seeded, the same as torch's.
DEFAULT_SEED = 67280421310721
WORDS = 624

# torch's CPU generator state, byte for byte: the legacy block of 5048 bytes, then the
# cached float normal (which nothing on the CPU fills) with padding.
STATE = np.dtype(
    {
        "names": [
            *("seed", "left", "seeded", "next", "key", "normal_x", "normal_y"),
            *("normal_rho", "normal_is_valid", "float_normal", "float_is_valid"),
        ],
        "formats": [
            *("<u8", "<i4", "<i4", "<u8", ("<u8", WORDS), "<f8", "<f8"),
            *("<f8", "<i4", "<f4", "?"),
        ],
        "offsets": [0, 8, 12, 16, 24, 5016, 5024, 5032, 5040, 5048, 5052],
        "itemsize": 5056,
    }
)


class Generator:
    """A stream of random numbers, the one torch's CPU generator gives for its seed.

    Two threads may draw from one generator: each fill holds `lock`.
    """

    def __init__(self, device="cpu"):
        if str(device) != "cpu":
            raise RuntimeError(
                f"Generator: device {str(device)!r} is unknown; the only one is 'cpu'."
            )
        self.device = device
        self.lock = threading.RLock()
        self.manual_seed(DEFAULT_SEED)

    # NumPy's random part takes long to load: it waits for the first draw.

    @cached_property
    def _bits(self) -> "np.random.MT19937":
        """The words of the stream."""
        bits = np.random.MT19937(0)
        np.random.RandomState(bits).seed(self._seed & 0xFFFFFFFF)
        return bits

    @cached_property
    def _seeder(self) -> "np.random.RandomState":
        """What starts them anew."""
        return np.random.RandomState(self._bits)

    def manual_seed(self, seed: int) -> "Generator":
        """Start the stream of `seed` (−2**63 … 2**64 − 1; −n means 2**64 − n).

        Raises RuntimeError for anything but an integer, ValueError out of that range.
        """
        seed = checked_seed(seed)
        with self.lock:
            self._seed = seed
            if "_bits" in self.__dict__:
                self._seeder.seed(seed & 0xFFFFFFFF)  # mt19937 takes 32 bits of it
            self._untouched = True
            self.cached_normal: float | None = None
        return self

    def seed(self) -> int:
        """Start a stream nobody can foresee; return its seed."""
        self.manual_seed(int.from_bytes(os.urandom(8), "little"))
        return self._seed

    def initial_seed(self) -> int:
        """The seed that this stream was started with."""
        return self._seed

    def get_state(self) -> np.ndarray:
        """The state as (5056,) uint8, laid out as torch's."""
        with self.lock:
            engine = self._bits.state["state"]
            state = np.zeros((), STATE)
            position = 0 if self._untouched else engine["pos"]
            state["seed"] = self._seed
            state["next"] = position
            state["left"] = 1 if self._untouched else WORDS + 1 - position
            state["seeded"] = 1
            state["key"] = engine["key"]
            if self.cached_normal is not None:
                state["normal_y"] = self.cached_normal
                state["normal_is_valid"] = 1
        return np.frombuffer(state.tobytes(), np.uint8).copy()

    def set_state(self, state) -> "Generator":
        """Continue from a state that `get_state`, here or in torch, has returned.

        Raises TypeError unless it is uint8, RuntimeError unless it is a state.
        """
        block = np.asarray(state)
        if block.dtype != np.uint8:
            raise TypeError(f"Generator: a state is uint8, this one is {block.dtype}.")
        if block.size != STATE.itemsize:
            raise RuntimeError(
                f"Generator: a state has {STATE.itemsize} bytes, "
                f"this one has {block.size}."
            )
        fields = np.frombuffer(block.tobytes(), STATE)[0]
        left, position = int(fields["left"]), int(fields["next"])
        untouched = (left, position) == (1, 0)
        if not untouched and (position > WORDS or left != WORDS + 1 - position):
            raise RuntimeError(
                "Generator: this state was not written by a generator "
                f"(left={left}, next={position})."
            )
        with self.lock:
            self._seed = int(fields["seed"])
            self._untouched = untouched
            self._restart(fields["key"], WORDS if untouched else position)
            valid = bool(fields["normal_is_valid"])
            self.cached_normal = float(fields["normal_y"]) if valid else None
        return self

    def clone_state(self) -> "Generator":
        """A new generator that goes on from here by itself."""
        return type(self)().set_state(Generator.get_state(self))

    def words(self, count: int) -> np.ndarray:
        """The next `count` words of the stream: (count,) uint32."""
        if count:
            self._untouched = False
        return self._bits.random_raw(count).astype(np.uint32)

    def double_words(self, count: int) -> np.ndarray:
        """The next `count` pairs of words, first word high: (count,) uint64."""
        if count:
            self._untouched = False
        pairs = self._bits.random_raw(2 * count)
        return (pairs[0::2] << np.uint64(32)) | pairs[1::2]

    def start(self, name: bytes) -> "Generator":
        """Start the stream that belongs to `name`, through all 624 words of state.

        An integer seed has only 32 effective bits, in which the streams of a million
        samples would collide.
        """
        from hashlib import blake2b  # OpenSSL comes with it

        digest = blake2b(name, digest_size=32).digest()
        with self.lock:
            self._seeder.seed(np.frombuffer(digest, "<u4"))
            self._seed = int.from_bytes(digest[:8], "little")
            self._untouched = False
            self.cached_normal = None
        return self

    def _restart(self, key, position):
        words = {"key": key.astype(np.uint32), "pos": position}
        self._bits.state = {"bit_generator": "MT19937", "state": words}

    def __reduce__(self):
        return _restore, (type(self), Generator.get_state(self).tobytes())

    def __deepcopy__(self, memo):
        return self.clone_state()


def _restore(kind, state):
    return kind().set_state(np.frombuffer(state, np.uint8))


def checked_seed(seed) -> int:
    """`seed` as torch keeps it, 0 … 2**64 − 1."""
    if isinstance(seed, bool) or not hasattr(seed, "__index__"):
        raise RuntimeError(
            f"manual_seed: a seed is an integer, got {seed!r} ({type(seed).__name__})."
        )
    number = operator.index(seed)
    if not -(2**63) <= number < 2**64:
        raise ValueError(
            f"manual_seed: the seed {number} is outside −2**63 … 2**64 − 1."
        )
    return number % 2**64


default_generator = Generator()
default_generator.seed()

# A data loader's worker lends each sample its own stream: whatever the sample's code
# draws in this thread, without naming a generator, comes from there.
_borrowed: ContextVar[Generator | None] = ContextVar("atrous_generator", default=None)


def current_generator(generator: Generator | None = None) -> Generator:
    """`generator`, or else this thread's stream, or else the default generator."""
    return generator or _borrowed.get() or default_generator


@contextmanager
def drawing_from(generator: Generator) -> Iterator[Generator]:
    """Within the block, and in this thread only, `generator` is the default one."""
    token = _borrowed.set(generator)
    try:
        yield generator
    finally:
        _borrowed.reset(token)


def derive(seed: int, epoch: int, index, into: Generator | None = None) -> Generator:
    """The stream of sample `index` in pass `epoch`: the same wherever it is drawn.

    `index` is whatever names a sample, by its `repr`. `into`, a generator to be
    restarted, saves making one (0.1 ms).
    """
    name = f"{int(seed)}/{int(epoch)}/{index!r}".encode()
    return (into or Generator()).start(name)


def manual_seed(seed: int) -> Generator:
    """Seed the default generator (in a data loader's sample: that sample's stream)."""
    return current_generator().manual_seed(int(seed))


def seed() -> int:
    """Seed the default generator from the system's entropy; return the seed."""
    return current_generator().seed()


def initial_seed() -> int:
    """The seed that the default generator was started with."""
    return current_generator().initial_seed()


def get_rng_state() -> np.ndarray:
    """The default generator's state, (5056,) uint8."""
    return current_generator().get_state()


def set_rng_state(state) -> None:
    """Let the default generator continue from `state`."""
    current_generator().set_state(state)
