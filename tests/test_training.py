"""Whole networks trained beside torch: the same losses and the same weights."""

import pytest

torch = pytest.importorskip("torch")

import numpy as np  # noqa: E402
from oracle import array  # noqa: E402

import atrous  # noqa: E402


def unet(T):
    """A U-Net of one level for volumes."""
    nn = T.nn

    def block(inside, outside):
        return nn.Sequential(
            nn.Conv3d(inside, outside, 3, padding=1, bias=False),
            nn.BatchNorm3d(outside),
            nn.ReLU(inplace=True),
        )

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.down, self.pool = block(1, 4), nn.MaxPool3d(2)
            self.bottom = block(4, 8)
            self.up = nn.ConvTranspose3d(8, 4, 2, stride=2)
            self.head = nn.Sequential(block(8, 4), nn.Conv3d(4, 3, 1))

        def forward(self, x):
            high = self.down(x)
            low = self.up(self.bottom(self.pool(high)))
            return self.head(T.cat([high, low], 1))

    return UNet()


def classifier(T):
    nn = T.nn
    return nn.Sequential(
        nn.Embedding(20, 8),
        nn.Dropout(0.0),
        nn.Flatten(),
        nn.Unflatten(1, (8, -1)),
        nn.Conv1d(8, 6, 3, padding="same", padding_mode="circular"),
        nn.GroupNorm(2, 6),
        nn.GELU(),
        nn.AdaptiveAvgPool1d(2),
        nn.Flatten(),
        nn.LayerNorm(12),
        nn.Linear(12, 3),
    )


def image_net(T):
    nn = T.nn
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, padding_mode="reflect"),
        nn.InstanceNorm2d(8, affine=True),
        nn.LeakyReLU(0.1),
        nn.Conv2d(8, 8, 3, groups=8, dilation=2, padding=2),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.AvgPool2d(2),
        nn.SiLU(),
        nn.ConvTranspose2d(8, 3, 3, stride=2, padding=1, output_padding=1),
    )


CASES = {
    "volumes": (unet, (2, 1, 4, 6, 4), (2, 4, 6, 4), "AdamW", {"lr": 0.01}),
    "texts": (classifier, (4, 7), (4,), "SGD", {"lr": 0.1, "momentum": 0.9}),
    "images": (image_net, (2, 3, 8, 8), (2, 8, 8), "RMSprop", {"lr": 0.001}),
}


def train(T, make, shape, target_shape, optimizer, options):
    T.manual_seed(0)
    net = make(T)
    made = getattr(T.optim, optimizer)(net.parameters(), weight_decay=0.01, **options)
    schedule = T.optim.lr_scheduler.CosineAnnealingLR(made, 5)
    random = np.random.default_rng(0)
    losses = []
    for _ in range(5):
        x = random.integers(0, 20, shape) if len(shape) == 2 else random.random(shape)
        x = T.from_numpy(x) if len(shape) == 2 else T.from_numpy(x).float()
        y = T.from_numpy(random.integers(0, 3, target_shape))
        made.zero_grad()
        loss = T.nn.functional.cross_entropy(net(x), y)
        loss.backward()
        T.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        made.step()
        schedule.step()
        losses.append(loss.item())
    net.eval()
    with T.no_grad():
        last = net(x)
    return losses, net, last


@pytest.mark.parametrize("name", CASES)
def test_training_is_torchs(name):
    losses, net, last = train(atrous, *CASES[name])
    expected, other, their_last = train(torch, *CASES[name])
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    assert list(net.state_dict()) == list(other.state_dict())
    for key, value in other.state_dict().items():
        np.testing.assert_allclose(
            array(net.state_dict()[key]), array(value), rtol=1e-3, atol=1e-4
        )
    np.testing.assert_allclose(array(last), array(their_last), rtol=1e-3, atol=1e-3)
    assert repr(net) == repr(other)
