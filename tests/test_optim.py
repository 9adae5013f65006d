"""Optimisers against torch: every digit of many steps, state dicts, hooks, refusals."""

import copy
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from oracle import array  # noqa: E402

import atrous  # noqa: E402

BOTH = pytest.mark.parametrize("T", (atrous, torch), ids=("atrous", "torch"))

CASES = [
    ("SGD", {}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.5, "foreach": False}),
    ("Adam", {}),
    ("Adam", {"lr": 0.1, "betas": (0.4, 0.9), "weight_decay": 0.1}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "maximize": True, "eps": 1e-3}),
    ("AdamW", {"lr": 0.1}),
    ("AdamW", {"lr": 0.1, "amsgrad": True, "weight_decay": 0.3, "fused": False}),
    ("NAdam", {"lr": 0.1}),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {"lr": 0.1, "betas": (0.9, 0.9)}),
    ("RAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("Adamax", {"lr": 0.1, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.1}),
    ("RMSprop", {"lr": 0.1, "momentum": 0.9, "centered": True, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.1, "alpha": 0.3, "centered": True, "maximize": True}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1}),
    ("Adagrad", {"initial_accumulator_value": 0.5, "maximize": True}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.5, "weight_decay": 0.1, "maximize": True}),
]
IDS = [f"{name} {options}" for name, options in CASES]
SHAPES = ((3, 5), (), (70, 90))


def trained(T, name, options, dtype="float32", steps=6):
    """Parameters and optimiser after some steps with given gradients."""
    random = np.random.default_rng(0)

    def draw(shape):
        values = np.asarray(random.standard_normal(shape))
        return T.from_numpy(values).to(getattr(T, dtype))

    weights = [T.nn.Parameter(draw(shape)) for shape in SHAPES]
    unused = T.nn.Parameter(T.ones(2))
    made = getattr(T.optim, name)([*weights, unused], **options)
    for _ in range(steps):
        for weight in weights:
            weight.grad = draw(tuple(weight.shape))
        made.step()
    return weights, made


def assert_close(ours, theirs, dtype="float32", ulps=8):
    ours, theirs = array(ours), array(theirs)
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
    eps = {"float32": 2.0**-23, "float64": 2.0**-52, "bfloat16": 2.0**-6}[dtype]
    largest = np.abs(theirs).max(initial=0)
    np.testing.assert_allclose(ours, theirs, rtol=ulps * eps, atol=ulps * eps * largest)


@pytest.mark.parametrize("name, options", CASES, ids=IDS)
def test_steps_are_torchs(name, options):
    weights, ours = trained(atrous, name, options)
    expected, theirs = trained(torch, name, options)
    for mine, other in zip(weights, expected, strict=True):
        assert_close(mine, other)
    state, known = ours.state_dict()["state"], theirs.state_dict()["state"]
    assert state.keys() == known.keys()
    for number, entries in known.items():
        assert list(state[number]) == list(entries)
        for key, value in entries.items():
            assert state[number][key].dtype is atrous.float32
            assert_close(state[number][key], value)
    assert ours.state_dict()["param_groups"] == theirs.state_dict()["param_groups"]
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize("dtype", ("float64", "bfloat16"))
@pytest.mark.parametrize("name", ("SGD", "Adam", "RMSprop"))
def test_other_dtypes(name, dtype):
    options = {"lr": 0.1, "weight_decay": 0.1}
    weights, _ = trained(atrous, name, options, dtype)
    expected, _ = trained(torch, name, options, dtype)
    for mine, other in zip(weights, expected, strict=True):
        assert_close(mine, other, dtype)


@pytest.mark.parametrize("name, options", CASES, ids=IDS)
def test_training_resumes_from_a_state_dict(name, options):
    weights, made = trained(atrous, name, options, steps=3)
    twins = [copy.deepcopy(weight) for weight in weights]
    unused = atrous.nn.Parameter(atrous.ones(2))
    again = getattr(atrous.optim, name)([*twins, unused], **options)
    again.load_state_dict(made.state_dict())
    for weight, twin in zip(weights, twins, strict=True):
        weight.grad = atrous.full_like(weight.detach(), 0.5)
        twin.grad = weight.grad.clone()
    made.step()
    again.step()
    for weight, twin in zip(weights, twins, strict=True):
        assert atrous.equal(weight, twin)


def test_state_goes_over_from_torch():
    _, theirs = trained(torch, "AdamW", {"lr": 0.1})
    weights, ours = trained(atrous, "AdamW", {"lr": 0.1}, steps=1)
    state = copy.deepcopy(theirs.state_dict())
    state["state"] = {
        number: {
            key: atrous.from_numpy(array(value).copy()) for key, value in s.items()
        }
        for number, s in state["state"].items()
    }
    ours.load_state_dict(state)
    assert ours.state[weights[0]]["step"].item() == 6
    assert_close(
        ours.state[weights[2]]["exp_avg"], theirs.state_dict()["state"][2]["exp_avg"]
    )


@BOTH
def test_a_training_loop_with_closure_and_groups(T):
    T.manual_seed(0)
    net = T.nn.Sequential(T.nn.Linear(3, 4), T.nn.Tanh(), T.nn.Linear(4, 1))
    groups = [{"params": net[0].parameters(), "lr": 0.05}, {"params": net[2].weight}]
    made = T.optim.SGD(groups, lr=0.1, momentum=0.9)
    made.add_param_group({"params": [net[2].bias], "weight_decay": 0.1})
    x, y = T.ones(2, 3), T.zeros(2, 1)

    def closure():
        made.zero_grad()
        loss = ((net(x) - y) ** 2).sum()
        loss.backward()
        return loss

    losses = [made.step(closure).item() for _ in range(20)]
    assert losses[-1] < 0.3 * losses[0]
    assert [group["lr"] for group in made.param_groups] == [0.05, 0.1, 0.1]
    made.zero_grad(set_to_none=False)
    assert (net[0].weight.grad == 0).all()
    made.zero_grad()
    assert net[0].weight.grad is None


@BOTH
def test_a_step_makes_saved_weights_out_of_date(T):
    weight = T.nn.Parameter(T.ones(2))
    loss = (weight**2).sum()
    weight.grad = T.ones(2)
    T.optim.SGD([weight], lr=0.1).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@BOTH
def test_gradients_in_any_layout(T):
    weight = T.nn.Parameter(T.zeros(80, 60))
    weight.grad = T.arange(4800.0).view(60, 80).t()
    T.optim.SGD([weight], lr=1.0).step()
    assert (weight == -weight.grad).all()


@BOTH
def test_names_of_parameters(T):
    net = T.nn.Linear(2, 1)
    made = T.optim.SGD(net.named_parameters(), lr=0.1)
    assert made.param_groups[0]["param_names"] == ["weight", "bias"]
    state = made.state_dict()
    assert state["param_groups"][0]["param_names"] == ["weight", "bias"]
    made.load_state_dict(state)
    assert made.param_groups[0]["params"][0] is net.weight
    with pytest.raises(ValueError):
        made.add_param_group({"params": [T.nn.Parameter(T.ones(1))]})


@BOTH
def test_hooks_around_steps_and_state_dicts(T):
    calls = []
    weight = T.nn.Parameter(T.ones(1))
    made = T.optim.SGD([weight], lr=0.1)
    made.register_step_pre_hook(lambda o, args, kwargs: calls.append("before"))
    handle = made.register_step_post_hook(lambda o, a, k: calls.append("after"))
    made.register_state_dict_post_hook(lambda o, state: {**state, "more": 3})
    made.register_load_state_dict_pre_hook(lambda o, state: calls.append("load"))
    made.step()
    handle.remove()
    made.step()
    assert calls == ["before", "after", "before"]
    state = made.state_dict()
    assert state["more"] == 3
    made.load_state_dict(state)
    assert calls[-1] == "load"


@BOTH
def test_an_optimizer_of_ones_own(T):
    class SignSGD(T.optim.Optimizer):
        def __init__(self, params, lr=0.1):
            super().__init__(params, {"lr": lr})

        def step(self, closure=None):
            with T.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        p.add_(p.grad.sign(), alpha=-group["lr"])

    weight = T.nn.Parameter(T.ones(1))
    made, calls = SignSGD([weight]), []
    made.register_step_post_hook(lambda *args: calls.append(1))
    weight.grad = T.full((1,), 7.0)
    made.step()
    assert weight.item() == pytest.approx(0.9) and calls == [1]


@BOTH
def test_optimizers_copy_and_pickle(T):
    weight = T.nn.Parameter(T.ones(2))
    weight.grad = T.ones(2)
    made = T.optim.Adam([weight], lr=0.1)
    made.step()
    for twin in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        (other,) = twin.param_groups[0]["params"]
        assert other is not weight and twin.state[other]["step"].item() == 1
        other.grad = T.ones(2)
        twin.step()
        assert twin.state[other]["step"].item() == 2
    assert made.state[weight]["step"].item() == 1


def weight(T):
    return T.nn.Parameter(T.ones(2))


def shared(T):
    one = weight(T)
    return T.optim.SGD([{"params": [one]}, {"params": [weight(T), one]}])


def loaded(T, groups):
    made = T.optim.SGD([{"params": [weight(T)]}, {"params": [weight(T), weight(T)]}])
    state = made.state_dict()
    state["param_groups"] = groups(state["param_groups"])
    made.load_state_dict(state)


REFUSALS = [
    (lambda T: T.optim.SGD([]), ValueError, "SGD: got an empty parameter list"),
    (
        lambda T: T.optim.Adam(T.ones(2)),
        TypeError,
        "Adam: params should be an iterable of Tensors or dicts, got one Tensor (2,): "
        "write [tensor]",
    ),
    (
        lambda T: T.optim.SGD([weight(T), 3]),
        TypeError,
        "SGD optimises Tensors, parameter 1 is int",
    ),
    (
        lambda T: T.optim.SGD([weight(T) * 2]),
        ValueError,
        "SGD: can't optimize a non-leaf Tensor: parameter 0 (2,) was computed by "
        "MulBackward0",
    ),
    (
        shared,
        ValueError,
        "SGD: some parameters appear in more than one parameter group: parameter 1 "
        "(2,)",
    ),
    (
        lambda T: T.optim.SGD([{"params": {weight(T)}}]),
        TypeError,
        "SGD: parameters need a fixed order, and a set has none: use a list",
    ),
    (
        lambda T: T.optim.SGD([weight(T)]).add_param_group([weight(T)]),
        TypeError,
        "SGD: a parameter group must be a dict, got <class 'list'>",
    ),
    (
        lambda T: T.optim.SGD([weight(T)], lr=-1),
        ValueError,
        "SGD: lr must be at least 0, got -1",
    ),
    (
        lambda T: T.optim.SGD([weight(T)], lr=T.ones(2)),
        ValueError,
        "SGD: lr as a Tensor must have one element, got (2,)",
    ),
    (
        lambda T: T.optim.SGD([("a", weight(T)), weight(T)]),
        ValueError,
        "SGD: give names for all parameters of a group, or for none; parameter 1 has "
        "no name",
    ),
    (
        lambda T: T.optim.SGD([weight(T)], momentum=-0.5),
        ValueError,
        "SGD: momentum must be at least 0, got -0.5",
    ),
    (
        lambda T: T.optim.SGD([weight(T)], nesterov=True),
        ValueError,
        "SGD: nesterov needs a momentum and no dampening, got momentum=0 and "
        "dampening=0",
    ),
    (
        lambda T: T.optim.AdamW([weight(T)], betas=(0.9, 1.0)),
        ValueError,
        "AdamW: betas[1] must be in [0, 1), got 1.0",
    ),
    (
        lambda T: T.optim.Adam([weight(T)], weight_decay=-1),
        ValueError,
        "Adam: weight_decay must be at least 0, got -1",
    ),
    (
        lambda T: T.optim.Adadelta([weight(T)], rho=1.5),
        ValueError,
        "Adadelta: rho must be in [0, 1], got 1.5",
    ),
    (
        lambda T: T.optim.RMSprop([weight(T)], eps=-1),
        ValueError,
        "RMSprop: eps must be at least 0, got -1",
    ),
    (
        lambda T: loaded(T, lambda groups: groups[:1]),
        ValueError,
        "SGD: the state dict has 1 parameter groups, the optimizer 2",
    ),
    (
        lambda T: loaded(T, lambda groups: groups[::-1]),
        ValueError,
        "SGD: the state dict's parameter groups have [2, 1] parameters, the "
        "optimizer's [1, 2]",
    ),
]


@pytest.mark.parametrize("number", range(len(REFUSALS)))
def test_refusal(number):
    program, raises, text = REFUSALS[number]
    with pytest.raises(raises) as raised:
        program(atrous)
    assert str(raised.value) == text
    with pytest.raises(raises):
        program(torch)


def test_forms_that_one_kernel_cannot_take():
    for name in ("SGD", "Adam", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam"):
        with pytest.raises(NotImplementedError) as raised:
            getattr(atrous.optim, name)([weight(atrous)], differentiable=True)
        assert str(raised.value) == (
            f"{name}: differentiable=True is not offered, the step is one kernel"
        )
    with pytest.raises(NotImplementedError) as raised:
        atrous.optim.Adam([weight(atrous)], capturable=True)
    assert str(raised.value) == (
        "Adam: capturable=True is for CUDA graphs, and there is no CUDA here"
    )


def test_a_parameter_given_twice_steps_twice():
    weight = atrous.nn.Parameter(atrous.ones(3))
    with pytest.warns(UserWarning, match="duplicate parameters"):
        made = atrous.optim.SGD([weight, weight], lr=0.25, momentum=0.5)
    weight.grad = atrous.full((3,), 0.5)
    made.step()
    made.step()
    assert weight.tolist() == [0.234375] * 3  # as after four steps


def test_parameters_step_the_same_alone_and_together():
    random = np.random.default_rng(3)
    values = [random.standard_normal(n).astype("f4") for n in (1, 30, 5000, 40000)]

    def stepped(groups):
        weights = [atrous.nn.Parameter(atrous.from_numpy(v.copy())) for v in values]
        for weight in weights:
            weight.grad = weight.detach() * 3
        for group in groups:
            chosen = [weights[i] for i in group]
            atrous.optim.Adam(chosen, weight_decay=0.1).step()
        return [array(weight).tobytes() for weight in weights]

    assert stepped([(0, 1, 2, 3)]) == stepped([(0,), (1,), (2,), (3,)])


def test_duplicates_warn():
    for T in (atrous, torch):
        one = weight(T)
        with pytest.warns(UserWarning, match="duplicate parameters"):
            T.optim.SGD([one, one])


def test_constructors_take_torchs_arguments():
    import inspect

    names = ("SGD", "Adam", "AdamW", "NAdam", "RAdam", "Adamax", "RMSprop", "Adagrad")
    for name in (*names, "Adadelta"):
        ours = inspect.signature(getattr(atrous.optim, name)).parameters
        theirs = inspect.signature(getattr(torch.optim, name)).parameters
        assert [(p.name, p.default, p.kind) for p in ours.values()] == [
            (p.name, p.default, p.kind) for p in theirs.values()
        ]


@pytest.mark.parametrize("search", (None, "strong_wolfe"))
def test_lbfgs_walks_torchs_way(search):
    def walk(T):
        place = T.nn.Parameter(T.tensor([-1.5, 2.0], dtype=T.float64))
        lr = 1.0 if search else 0.1
        made = T.optim.LBFGS([place], lr=lr, history_size=4, line_search_fn=search)

        def closure():
            made.zero_grad()
            x, y = place[0], place[1]
            loss = (1 - x) ** 2 + 10 * (y - x * x) ** 2  # Rosenbrock's valley
            loss.backward()
            return loss

        for _ in range(3):
            loss = made.step(closure)
            yield [*place.tolist(), loss.item()]
        state = made.state[place]
        yield [state["func_evals"], state["n_iter"], state["t"]]

    for ours, theirs in zip(walk(atrous), walk(torch), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)


def test_lbfgs_refuses():
    for T, texts in ((atrous, True), (torch, False)):
        one, other = weight(T), weight(T)
        with pytest.raises(ValueError) as raised:
            T.optim.LBFGS([{"params": [one]}, {"params": [other]}])
        if texts:
            assert str(raised.value) == (
                "LBFGS: one parameter group is possible, got 2"
            )
    with pytest.raises(RuntimeError) as raised:
        atrous.optim.LBFGS([weight(atrous)], line_search_fn="wolfe")
    assert str(raised.value) == (
        "LBFGS: line_search_fn must be None or 'strong_wolfe', got 'wolfe'"
    )
