"""torch's random stream, bit for bit: generators, and distributions that return NumPy.

The stream is that of torch's x86 build with AVX2. It differs where torch itself does:
on Intel's CPUs, torch draws `bernoulli` with one probability (dropout) and
`exponential` (thus `multinomial` without replacement) from MKL's own generator.
"""

from .continuous import cauchy as cauchy
from .continuous import exponential as exponential
from .continuous import log_normal as log_normal
from .continuous import normal as normal
from .continuous import uniform as uniform
from .discrete import bernoulli as bernoulli
from .discrete import geometric as geometric
from .discrete import multinomial as multinomial
from .discrete import randint as randint
from .discrete import random_full as random_full
from .discrete import randperm as randperm
from .generator import Generator as Generator
from .generator import current_generator as current_generator
from .generator import derive as derive
from .generator import drawing_from as drawing_from
from .generator import get_rng_state as get_rng_state
from .generator import initial_seed as initial_seed
from .generator import manual_seed as manual_seed
from .generator import seed as seed
from .generator import set_rng_state as set_rng_state
