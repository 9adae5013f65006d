"""Tell waveforms apart: a 1-D convolutional network on noisy signals.

Each signal has a random pitch, phase, loudness and drift, and noise nearly as loud as
itself; the four shapes are equally frequent. Training and held-out signals are drawn
apart. Dilated kernels see a whole period without a large kernel.
"""

import math

import atrous as torch
from atrous import nn
from atrous.nn import functional as F
from atrous.utils.data import DataLoader, TensorDataset

LENGTH, SHAPES = 256, ("sine", "square", "sawtooth", "chirp")


def signals(count):
    """`count` signals (count, 1, LENGTH) and their shapes, 0–3."""
    time = torch.linspace(0, 1, LENGTH)
    pitch = 4 + 8 * torch.rand(count, 1)
    shape = torch.randint(len(SHAPES), (count,))
    bend = (shape == 3).float()[:, None] * (1 + torch.rand(count, 1))
    turns = pitch * time * (1 + bend * time) + torch.rand(count, 1)
    sine = torch.sin(2 * math.pi * turns)
    saw = 2 * (turns - torch.floor(turns)) - 1
    waves = torch.stack([sine, torch.sign(sine), saw, sine], dim=1)
    wave = waves[torch.arange(count), shape] * (0.5 + torch.rand(count, 1))
    drift = (torch.rand(count, 1) - 0.5) * 2 * time
    return (wave + drift + 0.5 * torch.randn(count, LENGTH))[:, None], shape


torch.manual_seed(0)
training, held_out = TensorDataset(*signals(2048)), signals(512)
layers, width = [], 16
for channels, dilation in ((1, 1), (width, 2), (width, 4), (width, 8)):
    layers += [
        nn.Conv1d(channels, width, 7, padding="same", dilation=dilation, bias=False),
        nn.BatchNorm1d(width),
        nn.ReLU(),
    ]
model = nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(16, 4))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
for epoch in range(1, 7):
    model.train()
    for data, target in DataLoader(training, batch_size=64, shuffle=True):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(data), target)
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch}   loss of the last batch {loss.item():.3f}")

model.eval()
with torch.no_grad():
    right = torch.eq(model(held_out[0]).argmax(dim=1), held_out[1])
print(f"accuracy {right.float().mean().item():.3f}")
