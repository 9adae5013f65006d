"""Whether operations are recorded, in each thread: no_grad, inference_mode …"""

from __future__ import annotations

import functools
import inspect
import threading


class _Modes(threading.local):
    recording = True
    inference = False
    anomaly = False  # see anomaly.py
    check_nan = True


modes = _Modes()


def is_grad_enabled() -> bool:
    """Are operations recorded for backward, in this thread?"""
    return modes.recording


def is_inference_mode_enabled() -> bool:
    return modes.inference


class _Scope:
    """A context manager that also decorates functions and generators."""

    def _set(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> None:
        self._before = modes.recording, modes.inference
        self._set()

    def __exit__(self, *_) -> None:
        modes.recording, modes.inference = self._before

    def _again(self) -> _Scope:
        return type(self)()

    def __call__(self, function):
        if inspect.isclass(function):
            function.__init__ = self(function.__init__)
            return function
        if inspect.isgeneratorfunction(function):
            return self._generator(function)

        @functools.wraps(function)
        def scoped(*args, **kwargs):
            with self._again():
                return function(*args, **kwargs)

        return scoped

    def _generator(self, function):
        """Each step runs in the scope; what the caller does between steps does not."""

        @functools.wraps(function)
        def scoped(*args, **kwargs):
            with self._again():
                steps = function(*args, **kwargs)
            answer = None
            try:
                while True:
                    with self._again():
                        item = steps.send(answer)
                    answer = yield item
            except StopIteration as stop:
                return stop.value
            finally:
                steps.close()

        return scoped


class no_grad(_Scope):
    """Operations inside are not recorded; as a `with` block or a decorator."""

    def __new__(cls, function=None):
        scope = super().__new__(cls)
        return scope if function is None else scope(function)

    def _set(self) -> None:
        modes.recording = False


class enable_grad(_Scope):
    """Operations inside are recorded, even within `no_grad`."""

    def __new__(cls, function=None):
        scope = super().__new__(cls)
        return scope if function is None else scope(function)

    def _set(self) -> None:
        modes.recording = True


class set_grad_enabled(_Scope):
    """Recording on or off: at once as a function, or for a `with` block."""

    def __init__(self, mode: bool):
        self.mode = bool(mode)
        self._before = modes.recording, modes.inference
        modes.recording = self.mode

    def _set(self) -> None:
        modes.recording = self.mode

    def __enter__(self) -> None:
        modes.recording = self.mode

    def _again(self) -> _Scope:
        return set_grad_enabled(self.mode)

    def __call__(self, function):
        modes.recording, modes.inference = self._before
        return super().__call__(function)


class inference_mode(_Scope):
    """As `no_grad`, and tensors made inside can never take part in a backward."""

    def __new__(cls, mode=True):
        scope = super().__new__(cls)
        if callable(mode):
            scope.mode = True
            return scope(mode)
        return scope

    def __init__(self, mode: bool = True):
        self.mode = bool(mode)

    def _set(self) -> None:
        if self.mode:
            modes.recording, modes.inference = False, True
        else:
            modes.inference = False

    def _again(self) -> _Scope:
        return inference_mode(self.mode)
