"""`atrous.summary`: shapes, parameters, work, memory and receptive field by hand."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import atrous
from atrous import nn, ones
from atrous.explain import Setting
from atrous.nn import functional as F


def only(model, x):
    """The row of the last layer."""
    return atrous.summary(model, x).rows[-1]


WORK = [
    (nn.Conv2d(3, 8, 3, padding=1), (2, 3, 5, 5), 2 * 8 * 25 * 3 * 9),
    (nn.Conv2d(4, 8, 3, groups=4), (1, 4, 5, 5), 8 * 9 * 1 * 9),
    (nn.ConvTranspose2d(4, 6, 2, stride=2), (1, 4, 5, 5), 4 * 25 * 6 * 4),
    (nn.ConvTranspose3d(4, 6, 3, groups=2), (1, 4, 2, 2, 2), 4 * 8 * 3 * 27),
    (nn.Linear(6, 5), (3, 2, 6), 3 * 2 * 5 * 6),
    (nn.ReLU(), (2, 3), 0),
]


@pytest.mark.parametrize("layer, shape, count", WORK, ids=lambda value: str(value)[:30])
def test_multiply_adds(layer, shape, count):
    row = only(layer, ones(*shape))
    assert row.multiply_adds == count
    assert row.input == shape
    assert row.output == tuple(layer(ones(*shape)).shape)
    assert row.activation_bytes == 4 * layer(ones(*shape)).numel()


def test_a_transposed_convolution_does_what_its_convolution_does():
    """They are one trilinear form: as many products, whichever way it is solved."""
    forward = only(nn.Conv3d(2, 4, 2, stride=2), ones(1, 2, 6, 6, 6))
    back = only(nn.ConvTranspose3d(4, 2, 2, stride=2), ones(1, 4, 3, 3, 3))
    assert forward.multiply_adds == back.multiply_adds
    assert forward.input == back.output


class Network(nn.Module):
    """A small U-Net with steps between its modules, one layer used twice."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(inplace=True))
        self.pool = nn.MaxPool2d(2)
        self.middle = nn.Conv2d(4, 4, 3, padding=1)
        self.up = nn.ConvTranspose2d(4, 4, 2, stride=2)
        self.last = nn.Conv2d(8, 2, 1)
        self.norm = nn.BatchNorm2d(2)

    def forward(self, x):
        kept = self.first(x)
        y = F.relu(self.middle(F.relu(self.middle(self.pool(kept)))))
        return self.norm(self.last(atrous.cat([self.up(y), kept], 1)))


def test_a_network():
    network = Network()
    table = atrous.summary(network, ones(2, 1, 8, 8))
    rows = {f"{place} {row.name}": row for place, row in enumerate(table.rows)}
    fields = [(row.name, row.receptive_field) for row in table.rows]
    assert fields == [
        ("first.0", (3, 3)),
        ("first.1", (3, 3)),
        ("pool", (4, 4)),
        ("middle", (8, 8)),
        ("middle", (12, 12)),
        ("up", (12, 12)),
        ("last", (12, 12)),
        ("norm", (12, 12)),
    ]
    assert rows["1 first.1"].activation_bytes == 0  # in place
    assert rows["3 middle"].parameters == 4 * 4 * 9 + 4
    assert rows["4 middle"].parameters == 0  # counted above
    assert rows["4 middle"].multiply_adds == 2 * 4 * 16 * 4 * 9
    assert rows["6 last"].layer == Setting.of(network.last)
    total = sum(parameter.numel() for parameter in network.parameters())
    assert table.parameters == total == sum(row.parameters for row in table.rows)


def test_the_network_is_left_as_it_was():
    network = Network()
    network.pool.eval()
    mean = network.norm.running_mean.clone()
    x = ones(2, 1, 8, 8)
    atrous.summary(network, x)
    assert network.training and network.norm.training and not network.pool.training
    assert atrous.equal(network.norm.running_mean, mean)
    assert not any(module._forward_hooks for module in network.modules())
    assert not x.requires_grad
    assert all(parameter.grad is None for parameter in network.parameters())


def reached(model, rank, size=161):
    """How many input cells, along each axis, the middle output has a gradient from."""
    x = ones(1, 1, *(size,) * rank).double().requires_grad_()
    for parameter in model.parameters():
        parameter.data.fill_(1.0)
    out = model.double()(x)
    widest = [0] * rank
    for shift in range(-8, 8):  # whatever the pattern behind transposed layers
        middle = tuple(n // 2 + shift for n in out.shape[2:])
        (gradient,) = atrous.autograd.grad(out[(0, 0, *middle)], x, retain_graph=True)
        for axis in range(rank):
            hit = (gradient[0, 0] != 0).nonzero()[:, axis]
            widest[axis] = max(widest[axis], int(hit.max() - hit.min()) + 1)
    return tuple(widest)


@st.composite
def chains(draw):
    layers = []
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["conv", "pool", "transposed"]))
        kernel, stride = draw(st.integers(1, 3)), draw(st.integers(1, 2))
        if kind == "conv":
            hole = draw(st.integers(1, 2))
            layers.append(nn.Conv1d(1, 1, kernel, stride, dilation=hole, bias=False))
        elif kind == "pool":
            layers.append(nn.AvgPool1d(kernel, stride))
        else:
            layers.append(nn.ConvTranspose1d(1, 1, kernel + 1, 2, bias=False))
    return nn.Sequential(*layers, nn.Identity())


@settings(max_examples=20, deadline=None)
@given(chains())
def test_the_receptive_field_is_what_gradients_reach(model):
    row = only(model.double(), ones(1, 1, 41).double())
    assert row.receptive_field == reached(model, 1)


def test_fields_of_other_layers():
    model = nn.Sequential(
        nn.Conv2d(1, 1, 3),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.ReflectionPad2d(1),
        nn.GELU(),
        nn.Conv2d(1, 1, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(1, 2),
    )
    fields = [
        row.receptive_field for row in atrous.summary(model, ones(1, 1, 8, 8)).rows
    ]
    assert fields == [*[(3, 3)], *[(4, 4)] * 3, (5, 5), (10, 10), None, None]


class Reshaping(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv1d(1, 2, 3), nn.Conv1d(2, 2, 3)

    def forward(self, x):
        return self.b(self.a(x).flip(2))


def test_a_field_behind_an_unknown_step_is_not_guessed():
    table = atrous.summary(Reshaping(), ones(1, 1, 8))
    assert [row.receptive_field for row in table.rows] == [(3,), None]
    assert str(table).splitlines()[3].endswith("–")


def test_words_instead_of_numbers_go_in_too():
    model = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 2))
    table = atrous.summary(model, atrous.tensor([[1, 2, 3]]))
    assert [row.parameters for row in table.rows] == [40, 10]


def test_several_inputs():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(1, 1, 3)

        def forward(self, a, b):
            return self.conv(a + b)

    table = atrous.summary(Sum(), (ones(1, 1, 8), ones(1, 1, 8)))
    assert [row.receptive_field for row in table.rows] == [(3,)]


def test_the_page_gets_the_stack_and_the_layers_own_input():
    network = Network()
    table = atrous.summary(network, ones(2, 1, 8, 8))
    explanation = table.explain("last")
    assert explanation.arrays["input"].shape == (8, 8, 8)
    stack = json.loads(json.dumps(explanation.payload()))["stack"]
    assert [row["name"] for row in stack] == [row.name for row in table.rows]
    assert stack[6]["layer"]["rank"] == 2 and stack[1]["layer"] is None
    assert table.explain().title.startswith("first.0: Conv2d(1, 4")


REFUSED = [
    (
        lambda: atrous.summary(ones(1), ones(1)),
        TypeError,
        "summary: model is a Module, not Tensor.",
    ),
    (
        lambda: atrous.summary(nn.ReLU(), (1, 3, 8)),
        TypeError,
        "summary: input is a tensor or a tuple of tensors, not int.",
    ),
    (
        lambda: atrous.summary(Network(), ones(1, 1, 8, 8)).explain("third"),
        KeyError,
        "summary: there is no convolution 'third'; there are: first.0, middle, up,"
        " last.",
    ),
    (
        lambda: atrous.summary(nn.Conv1d(1, 1, 3), ones(1, 1, 8)).explain("0"),
        KeyError,
        "summary: there is no convolution '0'; there are: ''.",
    ),
]


@pytest.mark.parametrize(
    "call, error, text", REFUSED, ids=lambda value: str(value)[:30]
)
def test_refusals(call, error, text):
    with pytest.raises(error) as refused:
        call()
    assert refused.value.args[0] == text
