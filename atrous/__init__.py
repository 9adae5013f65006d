"""Atrous: convolutional networks on signals, images and volumes.

`import atrous as torch` gives PyTorch's interface; the kernels are generated from
Python. This module holds names only: each is explained where it is defined.
"""

from . import autograd, backends, jit, linalg, methods
from .autograd import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from .device import (
    channels_last,
    channels_last_3d,
    contiguous_format,
    device,
    layout,
    memory_format,
    preserve_format,
    strided,
)
from .dtypes import (
    bfloat16,
    double,
    dtype,
    finfo,
    float16,
    float32,
    float64,
    get_default_dtype,
    half,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    long,
    set_default_dtype,
    short,
    uint8,
)
from .dtypes import bool_ as bool
from .dtypes import float_ as float
from .dtypes import int_ as int
from .errors import OutOfMemoryError
from .formatting import set_printoptions
from .ops import NAMES as _NAMES
from .settings import (
    are_deterministic_algorithms_enabled,
    float32_matmul_precision,
    get_float32_matmul_precision,
    get_num_interop_threads,
    get_num_threads,
    set_float32_matmul_precision,
    set_num_interop_threads,
    set_num_threads,
    use_deterministic_algorithms,
)
from .tensor import Size, Tensor
from .version import __version__

methods.install()
globals().update(_NAMES)

from . import amp, cpu, cuda, later, nn, optim, utils  # noqa: E402  (they use these)
from .amp.autocast_mode import OLD_NAMES as _OLD_NAMES  # noqa: E402
from .amp.autocast_mode import (  # noqa: E402
    autocast,
    autocast_decrement_nesting,
    autocast_increment_nesting,
    clear_autocast_cache,
    get_autocast_dtype,
    is_autocast_cache_enabled,
    is_autocast_enabled,
    set_autocast_cache_enabled,
    set_autocast_dtype,
    set_autocast_enabled,
)
from .constants import e, inf, nan, newaxis, pi  # noqa: E402
from .io import load, save  # noqa: E402
from .later import find as __getattr__  # noqa: E402

globals().update(_OLD_NAMES)
later.install()
