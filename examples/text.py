"""Whose sentence is it, NumPy's or Python's? An embedding and 1-D convolutions.

The text is what every user has at hand: docstrings, 1500 of each. Guessing gives 0.5.
"""

import ast
from pathlib import Path

import numpy as np

import atrous as torch
from atrous import nn
from atrous.nn import functional as F
from atrous.utils.data import DataLoader, TensorDataset, random_split


def sentences(library, pattern):
    """Codes (1500, 60) of the first lines of its docstrings, 0 after the end."""
    found = set()
    for path in Path(library.__file__).parent.glob(pattern):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add((ast.get_docstring(node) or "").partition("\n")[0][:60])
    lines = sorted(line for line in found if len(line) > 20 and line.isascii())
    chosen = [lines[i] for i in torch.randperm(len(lines))[:1500].tolist()]
    return torch.tensor([list(line.ljust(60, "\0").encode()) for line in chosen])


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.letters = nn.Embedding(128, 12)
        self.syllables = nn.Conv1d(12, 96, kernel_size=5, padding=2)
        self.score = nn.Linear(96, 2)

    def forward(self, text):
        found = F.relu(self.syllables(self.letters(text).mT)).amax(dim=2)
        return self.score(F.dropout(found, 0.5, self.training))


torch.manual_seed(0)
numpy = sentences(np, "[_a-z]*/*.py")
python = sentences(ast, "[a-z]*.py")
owner = torch.arange(2).repeat_interleave(1500)
dataset = TensorDataset(torch.cat([numpy, python]), owner)
training, held_out = random_split(dataset, [2400, 600])
model = Reader()
optimizer = torch.optim.AdamW(model.parameters(), lr=0.005, weight_decay=0.01)
for epoch in range(1, 9):
    for text, target in DataLoader(training, batch_size=32, shuffle=True):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(text), target)
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch}   loss of the last batch {loss.item():.3f}")

model.eval()
text, target = held_out[:]
print(f"accuracy {(model(text).argmax(dim=1) == target).float().mean().item():.3f}")
