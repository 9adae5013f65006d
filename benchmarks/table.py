"""The README's section on speed, from the results: what `make bench` wrote.

python benchmarks/table.py benchmarks/results/….json
"""

import json
import sys
from math import exp, log
from pathlib import Path

FAMILIES = {
    "dense": "dense k3, k5",
    "pointwise": "1×1, k = stride",
    "thin": "few channels in or out",
    "depthwise": "depthwise, grouped",
    "dilated": "dilated, strided, long",
    "borders": "reflect, replicate, circular borders",
    "layers": "pools, norms, activations, losses, optimiser",
    "block": "conv → BatchNorm → ReLU",
}


def mean_and_worst(rows: list[dict], what: str) -> tuple[float, float]:
    """The geometric mean of torch's time over ours, and the least."""
    ratios = [row[what]["ratio"] for row in rows]
    return exp(sum(map(log, ratios)) / len(ratios)), min(ratios)


def table(results: dict) -> str:
    """A line for each family."""
    lines = [
        "| family (rows) | forward: mean, worst | with backward: mean, worst |",
        "|---|---|---|",
    ]
    for family, words in FAMILIES.items():
        rows = [row for row in results["rows"] if row["family"] == family]
        pairs = [mean_and_worst(rows, what) for what in ("forward", "both")]
        cells = " | ".join(f"{mean:.2f}×, {worst:.2f}×" for mean, worst in pairs)
        lines.append(f"| {words} ({len(rows)}) | {cells} |")
    return "\n".join(lines)


def losing(results: dict) -> str:
    """The rows in which torch is ahead, a line each."""
    words = {"forward": "forward", "both": "with backward"}
    lines = []
    for row in results["rows"]:
        behind = [
            f"{row[what]['ratio']:.2f}× {word}"
            for what, word in words.items()
            if row[what]["ratio"] < 1
        ]
        if behind:
            lines.append(f"- {row['name']}: {', '.join(behind)}")
    return "\n".join(lines)


def costs(results: dict) -> str:
    """What is paid once or for each call."""
    paid = results["costs"]
    return "\n".join(
        (
            "- a training step of a 3-D ResNet-18 (2 × 64³):"
            f" {paid['resnet_tenth_s']:.2f} s beside torch's"
            f" {paid['torch_resnet_tenth_s']:.2f};",
            f"  the first one {paid['resnet_cold_s']:.1f} s with every kernel to"
            f" compile, {paid['resnet_warm_s']:.1f} s from the disk",
            f"- a kernel compiles in {paid['compile_ms']:.0f} ms: the median of"
            f" {paid['kernels']}; the longest takes {paid['compile_most_ms']:.0f}",
            f"- `x + x` of 8 numbers {paid['atrous_add_us']:.1f} µs beside"
            f" {paid['torch_add_us']:.1f}, `conv1d` {paid['atrous_conv1d_us']:.1f}"
            f" beside {paid['torch_conv1d_us']:.1f}; import {paid['import_s']:.2f} s",
        )
    )


def section(results: dict) -> str:
    """All of it, as it stands in the README."""
    return "\n\n".join(
        (
            table(results),
            "Torch is ahead in:",
            losing(results),
            "Besides:",
            costs(results),
        )
    )


if __name__ == "__main__":
    print(section(json.loads(Path(sys.argv[1]).read_text())))
