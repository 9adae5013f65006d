"""Learning-rate schedules against torch: rates, momentum, state dicts, warnings."""

import warnings

import pytest

torch = pytest.importorskip("torch")

import atrous  # noqa: E402


class Decay:
    """A callable object: its attributes are in the state dict."""

    def __init__(self, share):
        self.share = share

    def __call__(self, epoch):
        return self.share**epoch


def optimizer(T, kind="SGD", groups=2, lr=0.1):
    options = {"momentum": 0.9} if kind == "SGD" else {}
    weights = [T.nn.Parameter(T.ones(1)) for _ in range(groups)]
    given = [
        {"params": [weight], "lr": lr * (place + 1)}
        for place, weight in enumerate(weights)
    ]
    return getattr(T.optim, kind)(given, lr=lr, **options)


def sequential(S, o):
    parts = [S.ConstantLR(o, 0.1, 2), S.ExponentialLR(o, 0.9), S.StepLR(o, 2)]
    return S.SequentialLR(o, parts, [2, 5])


SCHEDULES = {
    "lambda": lambda S, o: S.LambdaLR(o, [lambda e: 0.9**e, Decay(0.5)]),
    "multiplicative": lambda S, o: S.MultiplicativeLR(o, lambda e: 0.9),
    "step": lambda S, o: S.StepLR(o, 3, gamma=0.5),
    "multi step": lambda S, o: S.MultiStepLR(o, [2, 2, 5], gamma=0.5),
    "constant": lambda S, o: S.ConstantLR(o, 0.5, 4),
    "linear": lambda S, o: S.LinearLR(o, 0.25, 0.9, 4),
    "exponential": lambda S, o: S.ExponentialLR(o, 0.9),
    "polynomial": lambda S, o: S.PolynomialLR(o, 6, power=0.9),
    "cosine": lambda S, o: S.CosineAnnealingLR(o, 4, eta_min=0.01),
    "warm restarts": lambda S, o: S.CosineAnnealingWarmRestarts(o, 2, 2, 0.001),
    "restarts": lambda S, o: S.CosineAnnealingWarmRestarts(o, 3),
    "cyclic": lambda S, o: S.CyclicLR(o, [0.1, 0.2], 0.5, 3, 2),
    "cyclic 2": lambda S, o: S.CyclicLR(o, 0.1, 0.5, 2, mode="triangular2"),
    "cyclic exp": lambda S, o: S.CyclicLR(o, 0.1, 0.5, 2, mode="exp_range", gamma=0.9),
    "cyclic own": lambda S, o: S.CyclicLR(o, 0.1, 0.5, 2, scale_fn=Decay(0.5)),
    "one cycle": lambda S, o: S.OneCycleLR(o, 0.5, total_steps=12),
    "one cycle, three": lambda S, o: S.OneCycleLR(
        o, [0.5, 0.6], epochs=3, steps_per_epoch=4, three_phase=True
    ),
    "one cycle, linear": lambda S, o: S.OneCycleLR(
        o, 0.5, total_steps=12, anneal_strategy="linear", cycle_momentum=False
    ),
    "sequential": sequential,
    "chained": lambda S, o: S.ChainedScheduler(
        [S.ConstantLR(o, 0.1, 3), S.ExponentialLR(o, 0.9)]
    ),
}


def rates_of(o):
    keys = ("lr", "momentum", "betas", "initial_lr")
    return [{key: group.get(key) for key in keys} for group in o.param_groups]


def run(T, make, kind="SGD", epochs=11):
    o = optimizer(T, kind)
    scheduler = make(T.optim.lr_scheduler, o)
    yield rates_of(o), scheduler.get_last_lr(), plain(scheduler.state_dict())
    for _ in range(epochs):
        o.step()
        scheduler.step()
        yield rates_of(o), scheduler.get_last_lr(), plain(scheduler.state_dict())


def plain(state):
    """State that can be compared: functions are not."""
    if isinstance(state, dict):
        return {k: plain(v) for k, v in state.items() if not callable(v)}
    return [plain(each) for each in state] if isinstance(state, list) else state


@pytest.mark.filterwarnings("ignore:Detected call of:UserWarning")  # nested schedules
@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_is_torchs(name):
    make = SCHEDULES[name]
    with warnings.catch_warnings():
        for ours, theirs in zip(run(atrous, make), run(torch, make), strict=True):
            assert ours == theirs


@pytest.mark.parametrize("name", ("cyclic", "one cycle"))
def test_schedule_moves_the_first_beta(name):
    make = SCHEDULES[name]
    for ours, theirs in zip(
        run(atrous, make, "Adam"), run(torch, make, "Adam"), strict=True
    ):
        assert ours == theirs


@pytest.mark.filterwarnings("ignore:Detected call of:UserWarning")
@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_resumes_from_its_state(name):
    o = optimizer(atrous)
    whole = SCHEDULES[name](atrous.optim.lr_scheduler, o)
    half = optimizer(atrous)
    resumed = SCHEDULES[name](atrous.optim.lr_scheduler, half)
    for epoch in range(10):
        if epoch == 5:
            half.load_state_dict(o.state_dict())
            resumed.load_state_dict(whole.state_dict())
        for each in (o, half):
            each.step()
        whole.step()
        if epoch >= 5:
            resumed.step()
    assert rates_of(o) == rates_of(half)
    assert whole.get_last_lr() == resumed.get_last_lr()


@pytest.mark.parametrize("name", ("step", "multi step", "constant", "linear", "cosine"))
def test_closed_forms_agree(name):
    make = SCHEDULES[name]
    for epoch in range(8):
        found = []
        for T in (atrous, torch):
            o = optimizer(T)
            scheduler = make(T.optim.lr_scheduler, o)
            o.step()
            with pytest.warns(UserWarning, match="epoch parameter"):
                scheduler.step(epoch)
            found.append(scheduler.get_last_lr())
        assert found[0] == found[1]


def test_resuming_at_an_epoch():
    for make in (
        lambda S, o: S.CosineAnnealingLR(o, 5, last_epoch=2),
        lambda S, o: S.StepLR(o, 3, last_epoch=2),
    ):
        found = []
        for T in (atrous, torch):
            o = optimizer(T)
            for group in o.param_groups:
                group["initial_lr"] = group["lr"]
            scheduler = make(T.optim.lr_scheduler, o)
            found.append([scheduler.get_last_lr()])
            for _ in range(4):
                o.step()
                scheduler.step()
                found[-1].append(scheduler.get_last_lr())
        assert found[0] == found[1]


def test_warm_restarts_take_fractions_of_epochs():
    found = []
    for T in (atrous, torch):
        o = optimizer(T)
        scheduler = T.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 2, 3)
        found.append([])
        for step in range(40):
            scheduler.step(step / 4)
            found[-1].append(scheduler.get_last_lr())
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "options",
    (
        {},
        {"mode": "max", "patience": 1, "threshold": 0.1},
        {"patience": 0, "cooldown": 2, "min_lr": [0.05, 0.01]},
        {"threshold_mode": "abs", "patience": 2, "threshold": 0.3, "factor": 0.5},
    ),
)
def test_plateau_is_torchs(options):
    measures = [3.0, 2.0, 2.1, 2.2, 1.9, 1.95, 2.5, 2.5, 2.4, 2.6, 2.6, 2.7, 2.8, 1.0]
    found = []
    for T in (atrous, torch):
        o = optimizer(T)
        scheduler = T.optim.lr_scheduler.ReduceLROnPlateau(o, **options)
        found.append([])
        for measure in measures:
            scheduler.step(T.tensor(measure))
            found[-1].append((scheduler.get_last_lr(), scheduler.state_dict()))
    assert found[0] == found[1]


def test_rates_kept_in_tensors_stay_there():
    rate = atrous.tensor(0.5)
    weight = atrous.nn.Parameter(atrous.ones(1))
    o = atrous.optim.SGD([weight], lr=rate)
    scheduler = atrous.optim.lr_scheduler.ExponentialLR(o, 0.5)
    weight.grad = atrous.ones(1)
    o.step()
    scheduler.step()
    assert o.param_groups[0]["lr"] is rate and rate.item() == 0.25
    assert weight.item() == 0.5


def test_stepping_before_the_optimizer_warns():
    for T in (atrous, torch):
        o = optimizer(T)
        scheduler = T.optim.lr_scheduler.StepLR(o, 3)
        with pytest.warns(UserWarning, match="before `optimizer.step"):
            scheduler.step()


def test_asking_for_the_next_rate_warns():
    for T in (atrous, torch):
        scheduler = T.optim.lr_scheduler.StepLR(optimizer(T), 3)
        with pytest.warns(UserWarning, match="please use `get_last_lr"):
            scheduler.get_lr()


def test_a_schedule_of_ones_own():
    for T in (atrous, torch):

        class Halving(T.optim.lr_scheduler.LRScheduler):
            def get_lr(self):
                return [base / 2**self.last_epoch for base in self.base_lrs]

        o = optimizer(T, groups=1)
        scheduler = Halving(o)
        o.step()
        scheduler.step()
        assert scheduler.get_last_lr() == [0.05]


REFUSALS = [
    (
        lambda S, o: S.StepLR(3, 2),
        TypeError,
        "int is not an Optimizer",
    ),
    (
        lambda S, o: S.StepLR(o, 2, last_epoch=3),
        KeyError,
        "param 'initial_lr' is not in param_groups[0]: to resume at last_epoch=3, load "
        "the optimizer's state dict first",
    ),
    (
        lambda S, o: S.LambdaLR(o, [len]),
        ValueError,
        "lr_lambda has 1 values, the optimizer 2 parameter groups",
    ),
    (
        lambda S, o: S.ConstantLR(o, 1.5),
        ValueError,
        "ConstantLR: factor must be in [0, 1], got 1.5",
    ),
    (
        lambda S, o: S.LinearLR(o, 0.0),
        ValueError,
        "LinearLR: start_factor must be in (0, 1], got 0.0",
    ),
    (
        lambda S, o: S.LinearLR(o, 0.5, 2),
        ValueError,
        "LinearLR: end_factor must be in [0, 1], got 2",
    ),
    (
        lambda S, o: S.CosineAnnealingWarmRestarts(o, 0),
        ValueError,
        "CosineAnnealingWarmRestarts: T_0 must be a positive int, got 0",
    ),
    (
        lambda S, o: S.CosineAnnealingWarmRestarts(o, 2).step(-1),
        ValueError,
        "CosineAnnealingWarmRestarts: epoch must be at least 0, got -1",
    ),
    (
        lambda S, o: S.CyclicLR(o, 0.1, 0.2, mode="saw"),
        ValueError,
        "CyclicLR: mode must be one of triangular, triangular2, exp_range unless "
        "scale_fn is given, got 'saw'",
    ),
    (
        lambda S, o: S.OneCycleLR(o, 0.1),
        ValueError,
        "OneCycleLR: give total_steps, or epochs and steps_per_epoch, got "
        "total_steps=None, epochs=None, steps_per_epoch=None",
    ),
    (
        lambda S, o: S.OneCycleLR(o, 0.1, total_steps=0),
        ValueError,
        "OneCycleLR: total_steps must be a positive int, got 0",
    ),
    (
        lambda S, o: S.OneCycleLR(o, 0.1, total_steps=9, pct_start=2.0),
        ValueError,
        "OneCycleLR: pct_start must be a float in [0, 1], got 2.0",
    ),
    (
        lambda S, o: S.OneCycleLR(o, 0.1, total_steps=9, anneal_strategy="saw"),
        ValueError,
        "OneCycleLR: anneal_strategy must be 'cos' or 'linear', got 'saw'",
    ),
    (
        lambda S, o: S.ReduceLROnPlateau(o, factor=1.0),
        ValueError,
        "ReduceLROnPlateau: factor must be below 1, got 1.0",
    ),
    (
        lambda S, o: S.ReduceLROnPlateau(o, mode="least"),
        ValueError,
        "ReduceLROnPlateau: mode must be 'min' or 'max', got 'least'",
    ),
    (
        lambda S, o: S.ReduceLROnPlateau(o, min_lr=[0.1]),
        ValueError,
        "min_lr has 1 values, the optimizer 2 parameter groups",
    ),
    (
        lambda S, o: S.SequentialLR(o, [S.ExponentialLR(o, 0.9)], [2]),
        ValueError,
        "SequentialLR: 1 schedulers need 0 milestones, got 1",
    ),
    (
        lambda S, o: S.SequentialLR(o, [S.ReduceLROnPlateau(o)], []),
        ValueError,
        "SequentialLR: scheduler 0 (ReduceLROnPlateau) needs a measure in each step: "
        "it can't take part",
    ),
    (
        lambda S, o: S.ChainedScheduler([]),
        ValueError,
        "ChainedScheduler expects at least one scheduler, got none",
    ),
]


@pytest.mark.parametrize("number", range(len(REFUSALS)))
def test_refusal(number):
    program, raises, text = REFUSALS[number]
    with pytest.raises(raises) as raised:
        program(atrous.optim.lr_scheduler, optimizer(atrous))
    assert raised.value.args[0] == text
    with pytest.raises(raises):
        program(torch.optim.lr_scheduler, optimizer(torch))


def test_more_refusals():
    plain_sgd = atrous.optim.SGD([atrous.nn.Parameter(atrous.ones(1))])
    other = optimizer(atrous)
    S = atrous.optim.lr_scheduler
    with pytest.raises(ValueError) as raised:
        S.ChainedScheduler([S.StepLR(other, 1)], optimizer(atrous))
    assert str(raised.value) == (
        "ChainedScheduler: scheduler 0 (StepLR) belongs to another optimizer"
    )
    with pytest.raises(ValueError) as raised:
        S.CyclicLR(atrous.optim.Adagrad(plain_sgd.param_groups[0]["params"]), 0.1, 0.2)
    assert str(raised.value) == (
        "CyclicLR: cycle_momentum needs an optimizer with momentum or betas, Adagrad "
        "has neither"
    )
    cycle = S.OneCycleLR(other, 0.1, total_steps=2)
    with pytest.raises(ValueError) as raised:
        for _ in range(4):
            other.step()
            cycle.step()
    assert str(raised.value) == "OneCycleLR: step 3 is beyond the 2 total steps"
