"""Read handwritten digits: a 2-D convolutional network on 1797 real images of 8 × 8."""

from pathlib import Path

import numpy as np

import atrous as torch
from atrous import nn
from atrous.nn import functional as F
from atrous.utils.data import DataLoader, TensorDataset, random_split

torch.manual_seed(0)
data = np.load(Path(__file__).parent / "data" / "digits.npz")
images = torch.from_numpy(data["images"][:, None].astype(np.float32) / 16)
labels = torch.from_numpy(data["labels"].astype(np.int64))
training, held_out = random_split(TensorDataset(images, labels), [1397, 400])

model = nn.Sequential(
    nn.Conv2d(1, 16, kernel_size=3, padding=1),
    nn.BatchNorm2d(16),
    nn.ReLU(),
    nn.Conv2d(16, 32, kernel_size=3, padding=1),
    nn.BatchNorm2d(32),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Dropout(0.25),
    nn.Linear(32 * 4 * 4, 10),
)
optimizer = torch.optim.SGD(
    model.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-3, nesterov=True
)
# Workers are threads: a script needs no `if __name__ == "__main__"` for them.
loader = DataLoader(training, batch_size=64, shuffle=True, num_workers=2)
for epoch in range(1, 6):
    model.train()
    for data, target in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(data), target)
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch}   loss of the last batch {loss.item():.3f}")

model.eval()
with torch.no_grad():
    data, target = next(iter(DataLoader(held_out, batch_size=len(held_out))))
    predicted = model(data).argmax(dim=1)
wrong = torch.ne(predicted, target).sum().item()
print(f"{wrong} of {len(held_out)} held-out digits read wrong")
print(f"accuracy {torch.eq(predicted, target).float().mean().item():.3f}")
