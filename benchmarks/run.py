"""Atrous beside PyTorch, row by row: `make bench`.

The rivals take turns in one process, each with all its threads; medians are shown. Of
the contiguous and the channels-last layout the faster counts, for either library.
×: torch's time over ours, so above 1 we are ahead. "peak": the least time that the
machine's multiply-adds or memory allow, over ours (with backward: three times that
floor). "error": the distance from float64, over its largest value. "space": the most
memory held beside operands, results and their gradients, over these, in the worse
layout. Where torch is not installed its columns are empty.

Results go to benchmarks/results/ as JSON, with the processor, versions and commit;
`plot.py` draws them, `table.py` writes what the README says of them.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import machine
import numpy as np
from rows import ROWS, Row
from table import mean_and_worst

import atrous

try:
    import torch
except ImportError:
    torch = None

HERE = Path(__file__).parent
#: Seconds of each half of a turn: OpenMP's idle threads spin for a few milliseconds.
SETTLE = 0.01


class Rival:
    """One library in one layout, with one row's operands."""

    def __init__(self, library, arrays, row: Row, channels_last=False):
        self.library, self.row = library, row
        self.operands = [library.from_numpy(a.copy()) for a in arrays]
        if channels_last:
            self.operands = [self._reordered(each) for each in self.operands]
        for each in self.operands:
            each.requires_grad_()
        self.grad = library.ones_like(self.forward())

    def _reordered(self, tensor):
        layouts = {4: self.library.channels_last, 5: self.library.channels_last_3d}
        layout = layouts.get(tensor.dim())
        return tensor.to(memory_format=layout) if layout else tensor

    def forward(self):
        with self.library.no_grad():
            result = self.row.operation(self.library, *self.operands)
        self.library.cpu.synchronize()
        return result

    def both(self):
        if not self.row.differentiable:
            self.forward()
            return
        for each in self.operands:
            each.grad = None
        self.row.operation(self.library, *self.operands).backward(self.grad)
        self.library.cpu.synchronize()


def repeat(call: Callable[[], object]) -> list[float]:
    """Milliseconds of each of the calls that `SETTLE` seconds have room for."""
    taken: list[float] = []
    end = time.perf_counter() + SETTLE
    while not taken or time.perf_counter() < end:
        began = time.perf_counter()
        call()
        taken.append(1e3 * (time.perf_counter() - began))
    return taken


def medians(calls: list, seconds: float) -> list[float]:
    """Milliseconds of each call, taking turns for about `seconds`, three at least.

    A turn begins with calls that are not timed: until they have taken `SETTLE` seconds
    the other's idle threads may still spin for work, and the caches are the other's.
    """
    taken: list[list[float]] = [[] for _ in calls]
    end = time.perf_counter() + seconds
    while len(taken[0]) < 3 or time.perf_counter() < end:
        for call, times in zip(calls, taken, strict=True):
            repeat(call)
            times += repeat(call)
    return [statistics.median(times) for times in taken]


def errors(rivals: list[Rival], arrays, row: Row) -> list[float]:
    """Each rival's distance from the same operation in float64."""
    wide = [a.astype(np.float64) for a in arrays]
    truth = Rival(rivals[-1].library, wide, row).forward().detach().numpy()
    scale = np.abs(truth).max()
    return [
        float(np.abs(r.forward().detach().numpy() - truth).max() / scale)
        for r in rivals
    ]


def measure(row: Row, seconds: float, peak: dict) -> dict:
    """The row's figures."""
    random = np.random.default_rng(0)
    arrays = [random.standard_normal(s, dtype=np.float32) for s in row.shapes]
    libraries = [atrous, torch] if torch else [atrous]
    rivals = [
        Rival(library, arrays, row, last)
        for library in libraries
        for last in (False, True)
    ]
    floor = 1e3 * max(row.products / peak["products"], row.bytes / peak["bytes"])
    figures: dict = {"family": row.family, "name": row.name, "floor_ms": floor}
    for what, passes in (("forward", 1), ("both", 3 if row.differentiable else 1)):
        taken = medians([getattr(r, what) for r in rivals], seconds)
        ours, theirs = min(taken[:2]), taken[2:]
        figures[what] = {"ms": ours, "peak": passes * floor / ours}
        if theirs:
            figures[what] |= {"torch_ms": min(theirs), "ratio": min(theirs) / ours}
    figures["error"] = errors(rivals[::2], arrays, row)
    figures["workspace"] = [workspace(rival, row) for rival in rivals[:2]]
    return figures


def workspace(rival: Rival, row: Row) -> float:
    """The most bytes that forward and backward hold at once beside the row's operands,
    its result and the gradients of both, over the bytes of these."""
    rival.both()
    for each in rival.operands:
        each.grad = None
    held = atrous.cpu.memory_allocated()
    atrous.cpu.reset_peak_memory_stats()
    rival.both()
    taken = atrous.cpu.max_memory_allocated() - held - row.bytes
    return max(0, taken) / (2 * row.bytes)


def line(figures: dict) -> str:
    """The figures as a line of the table."""
    parts = []
    for what in ("forward", "both"):
        f = figures[what]
        parts.append(f"{f['ms']:8.2f}")
        torchs = f"{f['torch_ms']:8.2f} {f['ratio']:6.2f}" if torch else " " * 15
        parts.append(f"{torchs} {f['peak']:5.0%}")
    wrong = " ".join(f"{e:8.1e}" for e in figures["error"])
    beside = f"{max(figures['workspace']):5.0%}"
    named = f"{figures['family']:<10} {figures['name']:<46}"
    return f"{named} {' '.join(parts)} {wrong} {beside}"


def summary(results: list[dict]) -> list[str]:
    """For each family, the geometric mean of the ratios and the worst."""
    lines = []
    for family in dict.fromkeys(f["family"] for f in results):
        rows = [f for f in results if f["family"] == family]
        text = f"{family:<10}"
        for what in ("forward", "both"):
            mean, worst = mean_and_worst(rows, what)
            text += f"  {what}: mean {mean:5.2f}, worst {worst:5.2f}"
        lines.append(text)
    return lines


def processor() -> str:
    """The processor's name, as the system says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        named = next(each for each in lines if each.startswith("model name"))
        return named.split(":")[1].strip()
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def circumstances(peak: dict) -> dict:
    """What the figures depend on besides the code."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        cwd=HERE,
    )
    return {
        "processor": processor(),
        "target": atrous.compiler.target.here().name,
        "threads": atrous.get_num_threads(),
        "atrous": atrous.__version__,
        "torch": torch and torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "commit": commit.stdout.strip(),
        "gigaflops": 2e-9 * peak["products"],
        "gigabytes_a_second": 1e-9 * peak["bytes"],
    }


def costs() -> dict:
    """What is paid once or for each call, whatever the size: seconds, microseconds."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import atrous"], check=True)
    imported = time.perf_counter() - began
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    found = {"import_s": imported - (time.perf_counter() - began)}
    for library in filter(None, (atrous, torch)):
        x = library.ones(8)
        image, weight = library.ones(1, 1, 8), library.ones(1, 1, 3)
        convolve = library.nn.functional.conv1d
        for name, call in (
            ("add", lambda x=x: x + x),
            ("conv1d", lambda c=convolve, i=image, w=weight: c(i, w)),
        ):
            call()
            taken = machine.best(lambda call=call: [call() for _ in range(1000)])
            found[f"{library.__name__}_{name}_us"] = 1e3 * taken
    return found | compiling() | first_steps()


def compiling() -> dict:
    """The median and the longest of the benchmark's kernels: milliseconds."""
    taken = sorted(ms for each in printed("compiling.py").values() for ms in each)
    return {
        "kernels": len(taken),
        "compile_ms": statistics.median(taken),
        "compile_most_ms": taken[-1],
    }


def first_steps() -> dict:
    """The first training step of a 3-D ResNet-18, from an empty cache and from a full
    one, and the tenth: seconds."""
    with tempfile.TemporaryDirectory() as cache:
        cold, warm = (
            printed("resnet.py", "atrous", ATROUS_CACHE=cache) for _ in range(2)
        )
    found = {
        "resnet_cold_s": cold["first"],
        "resnet_warm_s": warm["first"],
        "resnet_tenth_s": warm["tenth"],
    }
    if torch:
        theirs = printed("resnet.py", "torch")
        found |= {f"torch_resnet_{name}_s": theirs[name] for name in ("first", "tenth")}
    return found


def printed(script: str, *arguments: str, **environment: str) -> dict:
    """The JSON that a script beside this one prints."""
    command = [sys.executable, str(HERE / script), *arguments]
    environment = os.environ | environment
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.6, help="for each figure")
    parser.add_argument("--family", help="only rows of this family; nothing is saved")
    options = parser.parse_args()
    peak = {
        "products": machine.products_a_second(),
        "bytes": machine.bytes_a_second(),
    }
    facts = circumstances(peak)
    print("  ".join(f"{name} {value}" for name, value in facts.items()))
    print(f"{'':57} {'forward, ms':^29}  {'with backward, ms':^29} {'error':^17} space")
    figures = f"{'atrous':>8} {'torch':>8} {'×':>6} {'peak':>5} "
    print(f"{'family':<10} {'problem':<46} {2 * figures}{'atrous':>8} {'torch':>8}")
    results = []
    for row in ROWS:
        if options.family in (None, row.family):
            results.append(measure(row, options.seconds, peak))
            print(line(results[-1]), flush=True)
    if torch:
        print(*summary(results), sep="\n")
    if options.family is None:
        paid = costs()
        print("  ".join(f"{name} {value:.3g}" for name, value in paid.items()))
        slug = "".join(c if c.isalnum() else "-" for c in facts["processor"]).lower()
        path = HERE / "results" / f"{slug}-{facts['target']}.json"
        path.parent.mkdir(exist_ok=True)
        beside = path.with_suffix(".part")
        content = {"machine": facts, "rows": results, "costs": paid}
        beside.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        beside.replace(path)
        print(f"wrote {path.relative_to(Path.cwd())}")


if __name__ == "__main__":
    main()
