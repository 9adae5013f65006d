"""`autocast`, and the functions that ask for and set its state.

The state is this thread's, in `ops.autocast`. Only the CPU's has an effect; that of
other devices is kept, so that code written for them runs.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

from .. import dtypes
from ..device import device
from ..dtypes import dtype as DType
from ..ops.autocast import converted, state

#: What operations may be lowered to.
LOWER = (dtypes.bfloat16, dtypes.float16)


class autocast:
    """Run the operations that lose little by it in `dtype`, bfloat16 unless told.

        with autocast("cpu", dtype=bfloat16):
            loss = cross_entropy(model(x), target)
        loss.backward()

    Convolutions, linear layers and matrix products take their operands in `dtype`;
    losses, sampling and pooling in three dimensions take half types as float32; what
    else there is computes in whatever it is given. float64 is left alone. Parameters
    stay float32, and so do their gradients; each is cast once in the outermost context
    unless `cache_enabled` is False. It also decorates functions.

    Only "cpu" has an effect. Warns, and is disabled, for a `dtype` other than bfloat16
    and float16, and for "cuda". Raises ValueError if `device_type` is no str.
    """

    def __init__(
        self,
        device_type: str,
        dtype: DType | None = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ):
        _check_type(device_type)
        self.device = device(device_type).type
        self.fast_dtype = dtype or get_autocast_dtype(self.device)
        self._enabled = bool(enabled)
        self._cache_enabled = state.caching if cache_enabled is None else cache_enabled
        self._before: list[tuple] = []
        if enabled and self.device == "cuda":
            warnings.warn(
                "autocast: there is no CUDA device. Disabling autocast.", stacklevel=2
            )
            self._enabled = False
        if enabled and self.device == "cpu" and self.fast_dtype not in LOWER:
            warnings.warn(
                f"autocast: takes torch.bfloat16 or torch.float16 on the CPU, not"
                f" {self.fast_dtype}. Disabling autocast.",
                stacklevel=2,
            )
            self._enabled = False

    def __enter__(self) -> autocast:
        kind = self.device
        self._before.append(
            (is_autocast_enabled(kind), get_autocast_dtype(kind), state.caching)
        )
        set_autocast_dtype(kind, self.fast_dtype)
        set_autocast_enabled(kind, self._enabled)
        set_autocast_cache_enabled(self._cache_enabled)
        autocast_increment_nesting()
        return self

    def __exit__(self, *_) -> None:
        if autocast_decrement_nesting() == 0:
            clear_autocast_cache()
        enabled, kind, caching = self._before.pop()
        set_autocast_dtype(self.device, kind)
        set_autocast_enabled(self.device, enabled)
        set_autocast_cache_enabled(caching)

    def __call__(self, function: Callable) -> Callable:
        @functools.wraps(function)
        def scoped(*args, **kwargs):
            with self:
                return function(*args, **kwargs)

        return scoped


def _check_type(device_type) -> None:
    if not isinstance(device_type, str):
        raise ValueError(
            f"autocast: `device_type` is a str, as 'cpu', not {type(device_type)}."
        )


# The state


def _named(name: str, device_type) -> str:
    """The device's type; TypeError or RuntimeError if it is none."""
    if not isinstance(device_type, str):
        raise TypeError(
            f"{name}(): argument 'device_type' must be str, not"
            f" {type(device_type).__name__}"
        )
    return device(device_type).type


def is_autocast_available(device_type: str) -> bool:
    """Whether `autocast` has a meaning for the device."""
    return _named("is_autocast_available", device_type) != "meta"


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether autocast is on, in this thread; torch's default asks for "cuda"."""
    kind = _named("is_autocast_enabled", device_type)
    return state.dtype is not None if kind == "cpu" else kind in state.elsewhere


def set_autocast_enabled(device_type: str, enabled: bool) -> None:
    """Switch autocast on or off, in this thread, until told otherwise."""
    kind = _named("set_autocast_enabled", device_type)
    if kind == "cpu":
        state.dtype = state.preferred[kind] if enabled else None
    elif enabled:
        state.elsewhere.add(kind)
    else:
        state.elsewhere.discard(kind)


def get_autocast_dtype(device_type: str) -> DType:
    """The dtype that autocast lowers to."""
    kind = _named("get_autocast_dtype", device_type)
    return state.preferred.get(kind, dtypes.float16)


def set_autocast_dtype(device_type: str, dtype: DType) -> None:
    """What autocast lowers to from now on, in this thread."""
    kind = _named("set_autocast_dtype", device_type)
    state.preferred[kind] = dtype
    if kind == "cpu" and state.dtype is not None:
        state.dtype = dtype


def is_autocast_cache_enabled() -> bool:
    """Whether a parameter is cast once within the outermost context."""
    return state.caching


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Whether a parameter is cast once within the outermost context."""
    state.caching = bool(enabled)


def clear_autocast_cache() -> None:
    """Forget the casts of parameters."""
    state.casts.clear()


def autocast_increment_nesting() -> int:
    """Enter one more context; how many there are now."""
    state.depth += 1
    return state.depth


def autocast_decrement_nesting() -> int:
    """Leave a context; how many remain."""
    state.depth -= 1
    return state.depth


def _deprecated(name: str, function: Callable, device_type: str) -> Callable:
    """`function` of one device under the name that torch gave it before."""

    def named(*args):
        warnings.warn(
            f"torch.{name}() is deprecated. Please use"
            f" torch.{function.__name__}('{device_type}', …) instead.",
            DeprecationWarning,
            stacklevel=2,
        )
        return function(device_type, *args)

    named.__name__ = named.__qualname__ = name
    named.__doc__ = f"`{function.__name__}` of '{device_type}'; deprecated in torch."
    return named


OLD_NAMES = {
    name: _deprecated(name, function, device_type)
    for name, function, device_type in (
        ("is_autocast_cpu_enabled", is_autocast_enabled, "cpu"),
        ("set_autocast_cpu_enabled", set_autocast_enabled, "cpu"),
        ("get_autocast_cpu_dtype", get_autocast_dtype, "cpu"),
        ("set_autocast_cpu_dtype", set_autocast_dtype, "cpu"),
        ("get_autocast_gpu_dtype", get_autocast_dtype, "cuda"),
        ("set_autocast_gpu_dtype", set_autocast_dtype, "cuda"),
    )
}


# autograd.Function under autocast


def custom_fwd(
    fwd: Callable | None = None, *, device_type: str, cast_inputs: DType | None = None
) -> Callable:
    """Marks the `forward` of an autograd.Function, for `custom_bwd` to know its state.

    With `cast_inputs`, and autocast on, its floating point tensors but float64 arrive
    in that dtype and autocast is off within.
    """
    _check_type(device_type)
    if fwd is None:
        return functools.partial(
            custom_fwd, device_type=device_type, cast_inputs=cast_inputs
        )

    @functools.wraps(fwd)
    def forward(ctx, *args, **kwargs):
        ctx._dtype = get_autocast_dtype(device_type)
        on = is_autocast_enabled(device_type)
        ctx._fwd_used_autocast = on and cast_inputs is None
        if not on or cast_inputs is None:
            return fwd(ctx, *args, **kwargs)
        with autocast(device_type, enabled=False):
            return fwd(
                ctx, *converted(args, cast_inputs), **converted(kwargs, cast_inputs)
            )

    return forward


def custom_bwd(bwd: Callable | None = None, *, device_type: str) -> Callable:
    """Marks the `backward`: it runs in the autocast state that `forward` ran in."""
    _check_type(device_type)
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def backward(ctx, *grads, **kwargs):
        with autocast(device_type, dtype=ctx._dtype, enabled=ctx._fwd_used_autocast):
            return bwd(ctx, *grads, **kwargs)

    return backward
