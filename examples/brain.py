"""Learn grey and white matter from a real MRI volume with a 3-D U-Net: `make demo`.

The volume is the MNI152 template, 1 mm a voxel (examples/data/README.md). It is its own
mirror image, so left against right would be no test; it is split from back to front:

    slices  0      40 44      68 72      112 116     140 144      184
            [ train ] [held out] [  train  ] [ held out ] [ train  ]

Patches of 32³ voxels come from the training slabs alone. The held-out slabs are
predicted from themselves and the four slices of the gap on either side, none of which
the network has met. Dice is 2 |A ∩ B| / (|A| + |B|), 1 where A and B agree.
"""

import argparse
import time
from pathlib import Path

import nibabel
import numpy as np
from brain_picture import draw

import atrous as torch
from atrous import nn
from atrous.nn import functional as F
from atrous.utils.data import DataLoader, Dataset

try:
    from tqdm import tqdm
except ImportError:  # the bar is a comfort: a line an epoch is printed in any case

    def tqdm(batches, **_):
        return batches


DATA = Path(__file__).parent / "data"
TISSUES = ("background", "grey", "white")
TRAINING = ((0, 40), (72, 112), (144, 184))
HELD_OUT = ((44, 68), (116, 140))
PATCH, WINDOW, MARGIN = 32, 32, 4


class Patches(Dataset):
    """`count` random cubes of the training slabs, each around a voxel of the brain."""

    def __init__(self, scan, tissue, count):
        self.scan, self.tissue, self.count = scan, tissue, count
        slabs = np.zeros(scan.shape, bool)
        for first, last in TRAINING:
            slabs[:, first:last] = True
        self.centres = np.argwhere(slabs & (tissue > 0))

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        centre = self.centres[torch.randint(len(self.centres), ()).item()]
        slab = next(s for s in TRAINING if s[0] <= centre[1] < s[1])
        limits = ((0, self.scan.shape[0]), slab, (0, self.scan.shape[2]))
        start = [
            min(max(c - PATCH // 2, low), high - PATCH)
            for c, (low, high) in zip(centre, limits, strict=True)
        ]
        cube = tuple(slice(s, s + PATCH) for s in start)
        scan = torch.from_numpy(self.scan[cube][None].copy())
        return scan, torch.from_numpy(self.tissue[cube].astype(np.int64))


def block(channels_in, channels_out):
    """Two 3×3×3 convolutions, each normalised and rectified."""
    layers = []
    for channels in (channels_in, channels_out):
        layers += [
            nn.Conv3d(channels, channels_out, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm3d(channels_out),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Down by pooling, up by transposed convolution, the fine levels handed across.

    (batch, 1, depth, height, width) -> (batch, classes, depth, height, width); sizes
    must be multiples of 4. Source: Çiçek and others 2016, arXiv:1606.06650.
    """

    def __init__(self, classes=3, widths=(12, 24, 48)):
        super().__init__()
        fine, middle, coarse = widths
        self.down_fine = block(1, fine)
        self.down_middle = block(fine, middle)
        self.bottom = block(middle, coarse)
        self.up_middle = nn.ConvTranspose3d(coarse, middle, kernel_size=2, stride=2)
        self.join_middle = block(2 * middle, middle)
        self.up_fine = nn.ConvTranspose3d(middle, fine, kernel_size=2, stride=2)
        self.join_fine = block(2 * fine, fine)
        self.head = nn.Conv3d(fine, classes, kernel_size=1)
        self.pool = nn.MaxPool3d(2)

    def forward(self, x):
        fine = self.down_fine(x)
        middle = self.down_middle(self.pool(fine))
        coarse = self.bottom(self.pool(middle))
        middle = self.join_middle(torch.cat([self.up_middle(coarse), middle], dim=1))
        fine = self.join_fine(torch.cat([self.up_fine(middle), fine], dim=1))
        return self.head(fine)


def overlaps(predicted, truth):
    """Dice of each tissue, as a list of floats; arrays of equal shape, any rank."""
    return [
        float(2 * np.sum(p & t) / max(1, np.sum(p) + np.sum(t)))
        for p, t in ((predicted == c, truth == c) for c in range(len(TISSUES)))
    ]


def table(dice):
    return "   ".join(f"{n} {d:.3f}" for n, d in zip(TISSUES, dice, strict=True))


def train_epoch(model, loader, optimizer, scheduler, title):
    """One pass over the loader: the loss of each step, Dice over all its patches."""
    model.train()
    losses, predicted, truth = [], [], []
    for data, target in tqdm(loader, desc=title, leave=False, disable=None):
        optimizer.zero_grad()
        output = model(data)
        loss = F.cross_entropy(output, target)
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
        predicted.append(output.argmax(dim=1).numpy())
        truth.append(target.numpy())
    return losses, overlaps(np.concatenate(predicted), np.concatenate(truth))


def predict(model, scan):
    """The tissue of every voxel, in windows of 32 slices; the inner 24 count."""
    model.eval()
    inner = WINDOW - 2 * MARGIN
    padded = np.pad(
        scan, ((0, 0), (WINDOW, WINDOW), (0, 0)), constant_values=scan.min()
    )
    predicted = np.zeros(scan.shape, np.uint8)
    offset = HELD_OUT[0][0] % inner - inner  # a window's inner part is a held-out slab
    with torch.no_grad():
        for first in range(offset, scan.shape[1], inner):
            window = padded[:, first - MARGIN + WINDOW :][:, :WINDOW]
            scores = model(torch.from_numpy(window[None, None].copy()))
            tissue = scores.argmax(dim=1)[0].numpy()[:, MARGIN : MARGIN + inner]
            low, high = max(first, 0), min(first + inner, scan.shape[1])
            predicted[:, low:high] = tissue[:, low - first : high - first]
    return predicted


def load():
    """The scan, standardised by its training slabs, the tissues, the NIfTI image.

    What is darker than fluid is cut off at -3: how much empty space happens to lie in
    a batch would otherwise rule its batch statistics.
    """
    image = nibabel.load(DATA / "mni152_t1.nii.gz")
    tissue = np.asarray(nibabel.load(DATA / "mni152_tissue.nii.gz").dataobj)
    scan = np.asarray(image.dataobj).astype(np.float32)
    known = np.concatenate([scan[:, first:last] for first, last in TRAINING], axis=1)
    known = known[known > 0]
    return np.maximum((scan - known.mean()) / known.std(), -3), tissue, image


def replace(path, write):
    """Write beside and rename, so that `path` is never half a file."""
    beside = path.with_name("partial-" + path.name)
    write(beside)
    beside.replace(path)
    print(f"wrote {path}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20, help="batches an epoch")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--outputs", type=Path, default=Path("outputs"))
    options = parser.parse_args()
    options.outputs.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()

    torch.manual_seed(0)
    scan, tissue, image = load()
    patches = Patches(scan, tissue, options.steps * options.batch_size)
    loader = DataLoader(patches, batch_size=options.batch_size)
    model = UNet()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.01, total_steps=options.epochs * options.steps
    )
    size = sum(p.numel() for p in model.parameters())
    print(f"3-D U-Net, {size:,} weights, on a volume of {scan.shape} voxels")

    losses = []
    for epoch in range(1, options.epochs + 1):
        title = f"epoch {epoch}/{options.epochs}"
        epoch_losses, dice = train_epoch(model, loader, optimizer, scheduler, title)
        losses += epoch_losses
        seconds = time.perf_counter() - began
        loss = sum(epoch_losses) / len(epoch_losses)
        print(f"{title}   loss {loss:.3f}   Dice {table(dice)}   {seconds:4.0f} s")

    predicted = predict(model, scan)
    held_out = np.concatenate([np.arange(*slab) for slab in HELD_OUT])
    dice = overlaps(predicted[:, held_out], tissue[:, held_out])
    print(f"held-out slabs         Dice {table(dice)}")

    volume = nibabel.Nifti1Image(predicted, image.affine)
    volume.header.set_xyzt_units("mm")
    folder = options.outputs
    replace(folder / "brain.safetensors", lambda p: torch.save(model.state_dict(), p))
    replace(folder / "brain_tissue.nii.gz", lambda p: nibabel.save(volume, p))
    raw = np.asarray(image.dataobj)
    slabs = {"train": TRAINING, "held out": HELD_OUT}
    replace(
        folder / "brain.png",
        lambda p: draw(p, raw, tissue, predicted, slabs, losses, dice),
    )
    print(f"{time.perf_counter() - began:.0f} s in all")
    print(f"mean Dice {(dice[1] + dice[2]) / 2:.2f} on held-out slabs")


if __name__ == "__main__":
    main()
