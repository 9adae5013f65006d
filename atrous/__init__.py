"""Atrous: convolutional networks on signals, images and volumes.

`import atrous as torch` gives PyTorch's interface; the kernels are generated from
Python. This module holds names only: each is explained where it is defined.
"""

from . import autograd, backends, cpu, cuda, jit, linalg, methods
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

from . import later, nn, optim, utils  # noqa: E402  (they use the names above)
from .constants import e, inf, nan, newaxis, pi  # noqa: E402
from .io import load, save  # noqa: E402
from .later import find as __getattr__  # noqa: E402

later.install()
