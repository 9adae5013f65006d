"""How long each kernel of the benchmark takes to compile: JSON, name -> milliseconds.

A first call of each row, forward and backward, with an empty cache and one thread.
"""

import json
import os
import sys
import time

os.environ["ATROUS_CACHE"] = ""

import numpy as np
from rows import ROWS
from run import Rival

import atrous
from atrous.compiler import cache


def main() -> None:
    """Print what loading each kernel took, from its writing to its linking."""
    taken: dict[str, list[float]] = {}
    load = cache._load

    def timed(key, build, target):
        began = time.perf_counter()
        address = load(key, build, target)
        kernel = type(key[-1]).__name__
        taken.setdefault(f"{key[0]} {kernel}", []).append(
            1e3 * (time.perf_counter() - began)
        )
        return address

    cache._load = timed
    atrous.set_num_threads(1)
    family = sys.argv[1] if len(sys.argv) > 1 else None
    for row in ROWS:
        if family in (None, row.family):
            Rival(atrous, [np.ones(s, np.float32) for s in row.shapes], row).both()
    print(json.dumps(taken))


if __name__ == "__main__":
    main()
