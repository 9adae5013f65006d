"""GradScaler beside torch's: scales, steps left out, state."""

import pytest

torch = pytest.importorskip("torch")

import atrous  # noqa: E402

INF, NAN = float("inf"), float("nan")
NAMESPACES = pytest.mark.parametrize("T", [torch, atrous], ids=["torch", "atrous"])


def history(T, gradients, update=None, **options):
    """Weight and scale after each step; a step's gradient is a number times 1."""
    scaler = T.amp.GradScaler("cpu", **options)
    weight = T.ones(2, requires_grad=True)
    optimizer = T.optim.SGD([weight], lr=0.5)
    found = []
    for factor in gradients:
        optimizer.zero_grad()
        scaler.scale((weight * factor).sum()).backward()
        scaler.step(optimizer)
        scaler.update(*([] if update is None else [update]))
        found.append((weight.tolist(), scaler.get_scale()))
    return found, scaler.state_dict(), scaler.is_enabled()


@pytest.mark.parametrize(
    "options",
    [
        {"init_scale": 4.0, "growth_interval": 2},
        {"init_scale": 8.0, "growth_interval": 1, "growth_factor": 4.0},
        {"init_scale": 2.0**127, "growth_interval": 1},
        {"init_scale": 3.0, "backoff_factor": 0.25},
        {"update": 7.0},
        {"enabled": False},
        {},
    ],
)
def test_scales_and_steps_are_torchs(options):
    gradients = [1.0, 0.5, INF, 0.25, NAN, 0.125, 0.0, 0.5]
    if not options.get("enabled", True):
        gradients = [1.0, 0.5]
    expected = history(torch, gradients, **options)
    assert repr(history(atrous, gradients, **options)) == repr(expected)


@NAMESPACES
def test_gradients_can_be_clipped_between(T):
    scaler = T.amp.GradScaler("cpu", init_scale=1024.0)
    weight = T.ones(2, requires_grad=True)
    optimizer = T.optim.SGD([weight], lr=1.0)
    scaler.scale((weight * 10).sum()).backward()
    assert weight.grad.tolist() == [10240.0, 10240.0]
    scaler.unscale_(optimizer)
    assert weight.grad.tolist() == [10.0, 10.0]
    T.nn.utils.clip_grad_norm_([weight], 0.5)
    scaler.step(optimizer)
    scaler.update()
    assert weight[0].item() == pytest.approx(1 - 0.5 / 2**0.5)


@NAMESPACES
def test_nests_of_losses_are_scaled(T):
    scaler = T.amp.GradScaler("cpu", init_scale=2.0)
    losses = [T.ones(()), (T.ones(1), T.ones(2))]
    scaled = scaler.scale(losses)
    assert type(scaled) is list and type(scaled[1]) is tuple
    assert scaled[0].item() == 2.0 and scaled[1][1].tolist() == [2.0, 2.0]
    assert [each.item() for each in scaler.scale(iter(losses[:1]))] == [2.0]


@NAMESPACES
def test_state_goes_into_a_checkpoint_and_back(T):
    scaler = T.amp.GradScaler("cpu", init_scale=32.0, growth_interval=3)
    scaler.set_growth_factor(3.0)
    scaler.set_backoff_factor(0.125)
    scaler.set_growth_interval(5)
    other = T.amp.GradScaler("cpu")
    other.load_state_dict(scaler.state_dict())
    assert other.state_dict() == {
        "scale": 32.0,
        "growth_factor": 3.0,
        "backoff_factor": 0.125,
        "growth_interval": 5,
        "_growth_tracker": 0,
    }
    assert other.get_growth_factor() == 3.0 and other.get_backoff_factor() == 0.125
    assert other.get_growth_interval() == 5 and other.get_scale() == 32.0
    disabled = T.amp.GradScaler("cpu", enabled=False)
    disabled.load_state_dict({})
    assert disabled.get_scale() == 1.0 and disabled.state_dict() == {}


def misuse(T, name):
    scaler = T.amp.GradScaler("cpu")
    weight = T.ones(2, requires_grad=True)
    optimizer = T.optim.SGD([weight], lr=1.0)
    if name == "no gradients":
        scaler.scale(T.ones(1))
        scaler.step(optimizer)
    if name == "no steps":
        scaler.scale(T.ones(1))
        scaler.update()
    half = weight.detach().half().requires_grad_()
    loss = (half if name == "float16" else weight).sum()
    scaler.scale(loss).backward()
    if name == "float16":
        scaler.step(T.optim.SGD([half], lr=1.0))
    if name == "closure":
        scaler.step(optimizer, closure=lambda: None)
    scaler.unscale_(optimizer)
    if name == "unscaled twice":
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    if name == "unscaled after":
        scaler.unscale_(optimizer)
    scaler.step(optimizer)


REFUSED = {
    "no gradients": (
        "GradScaler.step: none of the optimizer's parameters has a gradient."
    ),
    "no steps": "GradScaler.update: no gradients were looked at since the last one.",
    "float16": "Attempting to unscale FP16 gradients.",
    "closure": (
        "GradScaler.step: a closure is not supported while scaling is enabled."
    ),
    "unscaled twice": (
        "unscale_() has already been called on this optimizer since the last update()."
    ),
    "unscaled after": "unscale_() is being called after step().",
    "stepped twice": "step() has already been called since the last update().",
}


@pytest.mark.parametrize("name", REFUSED)
def test_misuse_is_refused_as_in_torch(name):
    with pytest.raises(Exception) as theirs:
        misuse(torch, name)
    with pytest.raises(theirs.type) as ours:
        misuse(atrous, name)
    assert str(ours.value) == REFUSED[name]
