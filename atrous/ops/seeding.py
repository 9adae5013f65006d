"""The generator with tensors for states; functions that seed the default one."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np

from .. import random
from ..device import cpu
from ..random import generator as streams
from ..tensor import Tensor

__all__ = """
    Generator default_generator get_rng_state initial_seed manual_seed seed
    set_rng_state
""".split()


class Generator(streams.Generator):
    """A stream of random numbers: torch's, for the same seed. As torch.Generator."""

    def __init__(self, device="cpu"):
        super().__init__(device)
        self.device = cpu

    def get_state(self) -> Tensor:  # type: ignore[override]
        """The state as a uint8 tensor of 5056 bytes, laid out as torch's."""
        return Tensor._of(super().get_state())

    def set_state(self, state) -> Generator:
        """Continue from a state that `get_state` has returned, here or in torch."""
        super().set_state(_bytes(state))
        return self


def _bytes(state) -> np.ndarray:
    if isinstance(state, Tensor):
        state = state._array
    block = np.asarray(state)
    if block.dtype != np.uint8:
        raise TypeError(f"RNG state must be a torch.ByteTensor, not {block.dtype}")
    return block


# The stream that is drawn from by default is one whose state is a tensor.
default_generator = Generator()
default_generator.seed()
streams.default_generator = default_generator


def manual_seed(seed) -> streams.Generator:
    """Start the default generator's stream of `seed`; returns the generator."""
    return streams.manual_seed(seed)


def seed() -> int:
    """Start the default generator where nobody can foresee; returns the seed."""
    return streams.seed()


def initial_seed() -> int:
    """The seed that the default generator was started with."""
    return streams.initial_seed()


def get_rng_state() -> Tensor:
    """The default generator's state: (5056,) uint8."""
    return Tensor._of(
        np.array(streams.Generator.get_state(streams.current_generator()))
    )


def set_rng_state(new_state) -> None:
    """Let the default generator go on from `new_state`."""
    streams.Generator.set_state(streams.current_generator(), _bytes(new_state))


@contextmanager
def fork_rng(devices=None, enabled: bool = True, **_):
    """Within the block random numbers are drawn, after it the stream is as before."""
    before = get_rng_state() if enabled else None
    try:
        yield
    finally:
        if before is not None:
            set_rng_state(before)


# `atrous.random` is torch.random too: its functions speak of tensors.
for _function in (
    fork_rng,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
):
    setattr(random, _function.__name__, _function)
