"""What bfloat16 costs: errors against float64, and a U-Net trained in both.

Trains the network of examples/brain.py for a short while under float32 and under
autocast, from several seeds: what seeds do to the loss is the noise that a difference
between precisions must exceed to count.
"""

import argparse
from pathlib import Path

import numpy as np
from brain import Patches, UNet, load, overlaps
from precision_picture import draw

import atrous as torch
from atrous.nn import functional as F
from atrous.utils.data import DataLoader

#: Functions of (input, weight), their shapes, and how many products one sum has.
OPERATIONS = {
    "conv3d 32 → 32, k3": (
        lambda x, w: F.conv3d(x, w, padding=1),
        *((1, 32, 16, 16, 16), (32, 32, 3, 3, 3)),
    ),
    "conv2d 64 → 64, k3": (
        lambda x, w: F.conv2d(x, w, padding=1),
        *((2, 64, 28, 28), (64, 64, 3, 3)),
    ),
    "conv3d depthwise, k3": (
        lambda x, w: F.conv3d(x, w, padding=1, groups=32),
        *((2, 32, 16, 16, 16), (32, 1, 3, 3, 3)),
    ),
    "linear 1024 → 256": (F.linear, (128, 1024), (256, 1024)),
}
MODES = {"float32": False, "bfloat16": True}


def results(function, tensors, cotangent, autocast=False):
    """The result and both gradients, as float64 arrays."""
    leaves = [each.clone().requires_grad_() for each in tensors]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        out = function(*leaves)
    out.backward(cotangent.to(out.dtype))
    return [each.detach().double().numpy() for each in (out, *(x.grad for x in leaves))]


def errors(function, *shapes):
    """Relative errors (of norms) of result and gradients, by mode."""
    tensors = [torch.randn(*shape) for shape in shapes]
    cotangent = torch.randn(*function(*tensors).shape)
    truth = results(function, [x.double() for x in tensors], cotangent.double())
    return {
        mode: [
            np.linalg.norm(got - exact) / np.linalg.norm(exact)
            for got, exact in zip(
                results(function, tensors, cotangent, autocast), truth, strict=True
            )
        ]
        for mode, autocast in MODES.items()
    }


def train(scan, tissue, autocast, seed, steps, batch_size):
    """The loss of every step, and the Dice over the last quarter's patches."""
    torch.manual_seed(seed)
    patches = Patches(scan, tissue, steps * batch_size)
    model, losses, predicted, truth = UNet(), [], [], []
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.01, total_steps=steps
    )
    for data, target in DataLoader(patches, batch_size=batch_size):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            output = model(data)
            loss = F.cross_entropy(output, target)
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
        if len(losses) > steps * 3 // 4:
            predicted.append(output.argmax(dim=1).numpy())
            truth.append(target.numpy())
    return losses, overlaps(np.concatenate(predicted), np.concatenate(truth))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--outputs", type=Path, default=Path("outputs"))
    options = parser.parse_args()
    options.outputs.mkdir(parents=True, exist_ok=True)

    torch.manual_seed(0)
    found = {name: errors(*operation) for name, operation in OPERATIONS.items()}
    print(f"{'error':22} {'mode':9}   result    ∂input   ∂weight")
    for name, by_mode in found.items():
        for mode, values in by_mode.items():
            print(f"{name:22} {mode:9}  " + "  ".join(f"{e:.1e}" for e in values))

    scan, tissue, _ = load()
    losses = {mode: [] for mode in MODES}
    for seed in range(options.seeds):
        for mode, autocast in MODES.items():
            run = train(scan, tissue, autocast, seed, options.steps, options.batch_size)
            losses[mode].append(run[0])
            last = np.mean(run[0][-options.steps // 4 :])
            dice = "  ".join(f"{value:.3f}" for value in run[1])
            print(f"seed {seed}  {mode:9}  last loss {last:.3f}   Dice {dice}")
    path = options.outputs / "precision.png"
    draw(path, found, losses)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
