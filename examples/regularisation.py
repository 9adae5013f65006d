"""L1 (lasso) and L2 (ridge) side by side, on weights that visibly shrink.

40 samples, 32 features, of which 5 matter: few enough data to learn the noise by heart.
L2 is the optimiser's `weight_decay`: it shrinks every weight in proportion to itself.
L1 is added to the loss by hand: it pulls every weight by the same amount, so that those
the data do not hold fall to zero. docs/regularisation.md explains the picture.
"""

import argparse
from pathlib import Path

import atrous as torch
from atrous import nn
from atrous.nn import functional as F

STRENGTHS = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
CHOSEN = {"none": 0.0, "L2 (ridge)": 0.1, "L1 (lasso)": 0.3}


def make_data(count, truth):
    """(count, 32) normal features, and what they give with noise of deviation 1."""
    features = torch.randn(count, len(truth))
    return features, features @ truth + torch.randn(count)


def fit(features, values, l1=0.0, l2=0.0):
    """The weights (32,) after 400 steps; the penalty is l1 Σ|w| + l2/2 Σw²."""
    model = nn.Linear(features.shape[1], 1, bias=False)
    nn.init.zeros_(model.weight)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.05, momentum=0.9, weight_decay=l2
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=400)
    for _ in range(400):
        optimizer.zero_grad()
        loss = F.mse_loss(model(features)[:, 0], values)
        loss = loss + l1 * model.weight.abs().sum()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.weight.detach()[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--outputs", type=Path, default=Path("outputs"))
    options = parser.parse_args()

    torch.manual_seed(4)
    truth = torch.zeros(32)
    truth[3::6] = torch.tensor([3.0, -2.0, 1.5, -1.0, 2.5])
    features, values = make_data(40, truth)
    unseen, answers = make_data(1000, truth)

    paths = {
        "L2 (ridge)": {s: fit(features, values, l2=s) for s in STRENGTHS},
        "L1 (lasso)": {s: fit(features, values, l1=s) for s in STRENGTHS},
    }
    paths["none"] = paths["L2 (ridge)"]
    print("penalty      weights   under 0.01   sum of |w|   error on unseen data")
    for name, strength in CHOSEN.items():
        weights = paths[name][strength]
        small = (weights.abs() < 0.01).sum().item()
        error = F.mse_loss(unseen @ weights, answers).item()
        total = weights.abs().sum().item()
        print(f"{name:<12} {len(weights):7} {small:12} {total:12.2f} {error:22.2f}")

    try:
        from regularisation_picture import draw
    except ImportError:
        print("no picture: it takes matplotlib, pip install 'atrous[demo]'")
        return
    options.outputs.mkdir(parents=True, exist_ok=True)
    path = options.outputs / "regularisation.png"
    draw(path, truth.numpy(), paths, CHOSEN)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
