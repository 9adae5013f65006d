"""The handbook's programs print here, to the character, what they print in torch.

`handbook/` holds the cells of Conv.ipynb from github.com/itmorn/AI.handbook
(`.cell`) and the outputs recorded there (`.out`). Two records stop in the middle of
a tensor (`.recorded`): their `.out` is what torch 2.13 prints. The notes beside
the notebook follow as tests of their own.
"""

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import atrous

HANDBOOK = Path(__file__).with_name("handbook")
CELLS = sorted(HANDBOOK.glob("*.cell"))


def printed(program: str) -> str:
    """What a program prints, run in a namespace of its own."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(program, "<cell>", "exec"), {"__name__": "__main__"})
    return out.getvalue()


def with_atrous(program: str) -> str:
    """A program for torch, as one for atrous: only its imports change."""
    program = re.sub(r"^import torch\.(.*)$", r"import atrous.\1", program, flags=re.M)
    return re.sub(r"^import torch$", "import atrous as torch", program, flags=re.M)


@pytest.mark.parametrize("cell", CELLS, ids=lambda path: path.stem)
def test_cell(cell):
    output = printed(with_atrous(cell.read_text()))
    assert output == cell.with_suffix(".out").read_text()
    recorded = cell.with_suffix(".recorded")
    if recorded.exists():
        assert output.startswith(recorded.read_text())


@pytest.mark.parametrize("cell", CELLS, ids=lambda path: path.stem)
def test_the_record_is_what_torch_prints(cell):
    pytest.importorskip("torch")
    assert printed(cell.read_text()) == cell.with_suffix(".out").read_text()


# The notes. Each program takes the library as an argument, so that torch can answer.


def libraries():
    return atrous, pytest.importorskip("torch")


def test_ne_and_eq():
    """EX) torch.ne(…) # 결과 : tensor([[False, True], [True, False]])"""
    first = atrous.tensor([[2, 5], [4, 3]])
    second = atrous.tensor([[2, 8], [2, 3]])
    differs = atrous.ne(first, second)
    assert repr(differs) == "tensor([[False,  True],\n        [ True, False]])"
    assert atrous.equal(atrous.not_equal(first, second), differs)
    assert atrous.equal(atrous.eq(first, second), ~differs)
    assert atrous.ne(first, 2).tolist() == [[False, True], [True, True]]
    assert (first != second).tolist() == differs.tolist()
    out = atrous.empty(2, 2, dtype=atrous.bool)
    assert atrous.ne(first, second, out=out) is out
    assert out.tolist() == differs.tolist()


def small_network(library):
    nn = library.nn
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * 6 * 6, 3),
    )


def initialised(library):
    """The usual loop over modules: isinstance, kaiming_normal_, constant_, normal_."""
    nn = library.nn
    library.manual_seed(666)
    model = small_network(library)
    for m in model.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(m, nn.BatchNorm2d):
            nn.init.constant_(m.weight, 1)
            nn.init.constant_(m.bias, 0)
        elif isinstance(m, nn.Linear):
            nn.init.normal_(m.weight, 0, 0.01)
    return model


def test_isinstance_and_initialisation():
    m = atrous.nn.Conv2d(1, 1, 1)
    assert isinstance(m, atrous.nn.Conv2d)
    assert not isinstance(m, atrous.nn.Conv3d)
    ours, theirs = (initialised(library).state_dict() for library in libraries())
    assert list(ours) == list(theirs)
    for name in ours:
        np.testing.assert_array_equal(ours[name].numpy(), theirs[name].numpy(), name)


def train(model, train_loader, optimizer, F, DEVICE="cpu"):
    """The note's function; the last line is ours."""
    model.train()
    losses = []
    for data, target in train_loader:
        data, target = data.to(DEVICE), target.to(DEVICE)
        optimizer.zero_grad()
        output = model(data)
        loss = F.cross_entropy(output, target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def trained(library, epochs=3):
    data = library.utils.data
    model = initialised(library)
    images = library.randn(24, 1, 6, 6)
    labels = library.randint(0, 3, (24,))
    loader = data.DataLoader(data.TensorDataset(images, labels), 8, shuffle=True)
    optimizer = library.optim.SGD(
        model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3
    )
    F = library.nn.functional
    return [train(model, loader, optimizer, F) for _ in range(epochs)]


def test_train_function():
    ours = trained(atrous)
    assert np.mean(ours[-1]) < 0.5 * np.mean(ours[0])


def test_training_is_that_of_torch():
    """Same seed, same order of samples: the losses agree within float32 rounding."""
    ours, theirs = (trained(library) for library in libraries())
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def test_train_and_eval_switch_dropout_and_batch_norm():
    nn = atrous.nn
    model = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(4))
    x = atrous.randn(64, 4)
    model.train()
    assert not atrous.equal(model(x), model(x))
    model.eval()
    assert atrous.equal(model(x), model(x))


def test_batch_norm_formula():
    """y = (x - E(x)) / sqrt(Var(x) + eps) · gamma + beta, a channel at a time."""
    norm = atrous.nn.BatchNorm3d(3, eps=1e-5)
    atrous.nn.init.normal_(norm.weight)
    atrous.nn.init.normal_(norm.bias)
    x = atrous.randn(2, 3, 4, 5, 6)
    values = x.numpy().astype(np.float64)
    mean = values.mean((0, 2, 3, 4), keepdims=True)
    deviation = np.sqrt(values.var((0, 2, 3, 4), keepdims=True) + 1e-5)
    gamma, beta = (
        each.detach().numpy()[:, None, None, None] for each in (norm.weight, norm.bias)
    )
    expected = (values - mean) / deviation * gamma + beta
    np.testing.assert_allclose(norm(x).detach().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(
    "kernel, stride, padding, dilation", [(3, 1, 0, 1), (2, 2, 1, 3)]
)
def test_conv3d_output_shape_formula(kernel, stride, padding, dilation):
    """Out = (in + 2·padding - dilation·(kernel_size - 1) - 1) / stride + 1."""
    layer = atrous.nn.Conv3d(2, 5, kernel, stride, padding, dilation)
    sizes = (7, 8, 9)
    expected = [
        (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        for size in sizes
    ]
    assert layer(atrous.zeros(1, 2, *sizes)).shape == (1, 5, *expected)


UNGUARDED = """
import atrous as torch
from atrous.utils.data import DataLoader, TensorDataset
loader = DataLoader(TensorDataset(torch.arange(6)), batch_size=2, num_workers=2)
print([batch.tolist() for batch, in loader])
"""


def test_loader_with_workers_needs_no_main_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED)
    result = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert result.stdout == "[[0, 1], [2, 3], [4, 5]]\n", result.stderr
