"""Finding the operation at fault: where it was recorded, and NaN in its gradient."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Sequence

from .modes import modes


class set_detect_anomaly:
    """Anomaly detection on or off: at once as a function, or for a `with` block.

    While it is on, each operation remembers where it was called: if its gradient
    fails, a warning says where that was. With `check_nan`, a gradient that holds NaN
    is such a failure. It slows everything down: for finding an error only.
    """

    def __init__(self, mode: bool, check_nan: bool = True):
        self._before = modes.anomaly, modes.check_nan
        modes.anomaly, modes.check_nan = bool(mode), check_nan

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_) -> None:
        modes.anomaly, modes.check_nan = self._before


class detect_anomaly(set_detect_anomaly):
    """As `set_detect_anomaly(True)`, for a `with` block; warns that it is slow."""

    def __init__(self, check_nan: bool = True):
        super().__init__(True, check_nan)
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime"
            " and should only be enabled for debugging.",
            stacklevel=2,
        )


def remember(node) -> None:
    """Keep where the node was recorded, in its metadata, as torch does."""
    node.metadata["traceback_"] = traceback.format_stack()[:-3]


def run(node, grads: list, wanted: Sequence[bool]) -> list:
    """The node's gradients; a failure is reported with the call it comes from."""
    try:
        results = node.run(grads, wanted)
        if modes.check_nan:
            _check(node, results)
    except Exception:
        place = "".join(node.metadata.get("traceback_", ()))
        told = (
            f"Traceback of forward call that caused the error:\n{place}"
            if place
            else "No forward pass information available. Enable detect anomaly during"
            " the forward pass for more information."
        )
        warnings.warn(f"Error detected in {node.name()}. {told}", stacklevel=2)
        raise
    return results


def _check(node, results: list) -> None:
    """RuntimeError if a gradient holds NaN."""
    for place, each in enumerate(results):
        if each is not None and bool(each.detach().isnan().any()):
            raise RuntimeError(
                f"Function '{node.name()}' returned nan values in its {place}th output."
            )
