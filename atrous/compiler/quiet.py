"""NumPy without its floating-point warnings: overflow and 0/0 are results here.

`np.errstate` costs more than a small operation does. Its setting lives in a context
variable, so each thread keeps one context in which it is made once.
"""

import contextvars
import threading

import numpy as np


class _Quiet(threading.local):
    """`quiet.run(function, *arguments)`, with no warnings from within."""

    def __init__(self) -> None:
        context = contextvars.Context()
        context.run(np.seterr, all="ignore")
        self.run = context.run


quiet = _Quiet()
