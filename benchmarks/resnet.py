"""The first training step of a 3-D ResNet-18: what a user waits for at the start.

    python benchmarks/resnet.py atrous

prints JSON: seconds of the first step, with compiling or loading each kernel, and of
the tenth. The network is He et al. 2015, arXiv:1512.03385, with volumes for images.
"""

import importlib
import json
import sys
import time


def network(torch):
    """ResNet-18 on volumes of one channel, ten classes."""
    nn = torch.nn

    def conv(inputs, outputs, kernel, stride):
        return nn.Conv3d(inputs, outputs, kernel, stride, kernel // 2, bias=False)

    class Block(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.conv1 = conv(inputs, outputs, 3, stride)
            self.bn1 = nn.BatchNorm3d(outputs)
            self.conv2 = conv(outputs, outputs, 3, 1)
            self.bn2 = nn.BatchNorm3d(outputs)
            self.relu = nn.ReLU(inplace=True)
            self.shortcut = nn.Identity()
            if stride > 1 or inputs != outputs:
                self.shortcut = nn.Sequential(
                    conv(inputs, outputs, 1, stride), nn.BatchNorm3d(outputs)
                )

        def forward(self, x):
            y = self.relu(self.bn1(self.conv1(x)))
            return self.relu(self.bn2(self.conv2(y)) + self.shortcut(x))

    stem = [conv(1, 64, 7, 2), nn.BatchNorm3d(64), nn.ReLU(), nn.MaxPool3d(3, 2, 1)]
    blocks, inputs = [], 64
    for outputs in (64, 128, 256, 512):
        blocks.append(Block(inputs, outputs, 1 if outputs == 64 else 2))
        blocks.append(Block(outputs, outputs, 1))
        inputs = outputs
    head = [nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(512, 10)]
    return nn.Sequential(*stem, *blocks, *head)


def main() -> None:
    torch = importlib.import_module(sys.argv[1])
    torch.manual_seed(0)
    model = network(torch)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    x, classes = torch.randn(2, 1, 64, 64, 64), torch.tensor([3, 7])
    taken = []
    for _ in range(10):
        began = time.perf_counter()
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), classes)
        loss.backward()
        optimizer.step()
        loss.item()
        taken.append(time.perf_counter() - began)
    print(json.dumps({"first": taken[0], "tenth": taken[-1], "loss": loss.item()}))


if __name__ == "__main__":
    main()
