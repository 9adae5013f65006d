"""Clipping, parameter vectors, fusion, weight norm and parametrizations."""

import copy
import pickle

import pytest

torch = pytest.importorskip("torch")

from oracle import difference  # noqa: E402

import atrous  # noqa: E402

BOTH = pytest.mark.parametrize("T", (atrous, torch), ids=("atrous", "torch"))


def same(program, *args):
    """Assert that the program gives in atrous what it gives in torch."""
    ours, theirs = program(atrous, *args), program(torch, *args)
    for mine, other in zip(ours, theirs, strict=True):
        reason = difference(mine.detach(), other.detach(), 100)
        assert reason is None, reason


def weights(T):
    made = [T.nn.Parameter(T.arange(float(n))) for n in (3, 5)]
    for parameter in made:
        parameter.grad = parameter.detach() - 2
    return [*made, T.nn.Parameter(T.ones(2))]  # the last has no gradient


@pytest.mark.parametrize("norm", (2.0, 1.0, 3.0, float("inf")))
@pytest.mark.parametrize("largest", (0.5, 100.0))
def test_clipping_by_norm(norm, largest):
    def program(T):
        made = weights(T)
        total = T.nn.utils.clip_grad_norm_(made, largest, norm)
        return total, made[0].grad, made[1].grad

    same(program)


def test_clipping_by_value():
    def program(T):
        made = weights(T)
        T.nn.utils.clip_grad_value_(made, 1.0)
        return made[0].grad, made[1].grad

    same(program)


def test_norms_of_nothing_and_of_one():
    for T in (atrous, torch):
        assert T.nn.utils.clip_grad_norm_([], 1.0).item() == 0
        assert T.nn.utils.get_total_norm(T.tensor([3.0, 4.0])).item() == 5
        one = weights(T)[1]
        T.nn.utils.clip_grads_with_norm_(one, 1.0, T.tensor(10.0))
        assert one.grad[-1].item() == pytest.approx(0.2)


def test_a_norm_that_is_not_finite():
    parameter = weights(atrous)[0]
    parameter.grad[0] = float("inf")
    with pytest.raises(RuntimeError) as raised:
        atrous.nn.utils.clip_grad_norm_(parameter, 1.0, error_if_nonfinite=True)
    assert str(raised.value) == (
        "the total norm of order 2.0 is inf, and cannot be clipped to; "
        "error_if_nonfinite=False scales by it all the same"
    )


@BOTH
def test_parameters_as_a_vector(T):
    made = weights(T)
    vector = T.nn.utils.parameters_to_vector(made)
    assert vector.tolist() == [0, 1, 2, 0, 1, 2, 3, 4, 1, 1]
    T.nn.utils.vector_to_parameters(vector.detach() * 2, made)
    assert made[1].tolist() == [0, 2, 4, 6, 8] and made[1].is_leaf
    with pytest.raises(TypeError):
        T.nn.utils.vector_to_parameters([1.0], made)


@pytest.mark.parametrize("layer", ("Conv2d", "ConvTranspose2d", "Linear"))
def test_fusing_batch_norm(layer):
    def program(T):
        T.manual_seed(0)
        linear = layer == "Linear"
        first = getattr(T.nn, layer)(4, 6, *(() if linear else (3,)), bias=linear)
        norm = (T.nn.BatchNorm1d if linear else T.nn.BatchNorm2d)(6).eval()
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        norm.weight.data.normal_()
        x = T.randn(2, 4, *(() if linear else (5, 5)))
        if linear:
            fused = T.nn.utils.fuse_linear_bn_eval(first.eval(), norm)
        else:
            fused = T.nn.utils.fuse_conv_bn_eval(
                first.eval(), norm, transpose=layer == "ConvTranspose2d"
            )
        assert type(fused) is type(first) and fused.weight.requires_grad
        assert T.allclose(fused(x), norm(first(x)), atol=1e-5)
        return fused.weight, fused.bias

    same(program)


def test_fusing_needs_evaluation():
    conv, norm = atrous.nn.Conv1d(1, 1, 1), atrous.nn.BatchNorm1d(1)
    with pytest.raises(AssertionError) as raised:
        atrous.nn.utils.fuse_conv_bn_eval(conv, norm)
    assert str(raised.value) == (
        "fuse_conv_bn_eval: both layers must be in evaluation: call eval()"
    )
    norm = atrous.nn.BatchNorm1d(1, track_running_stats=False)
    with pytest.raises(AssertionError) as raised:
        atrous.nn.utils.fuse_conv_bn_eval(conv.eval(), norm.eval())
    assert str(raised.value) == (
        "fuse_conv_bn_eval: BatchNorm1d has no running statistics: build it with "
        "track_running_stats=True"
    )


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")
@pytest.mark.parametrize("dim", (0, 1, None))
def test_old_weight_norm(dim):
    def program(T):
        T.manual_seed(0)
        layer = T.nn.utils.weight_norm(T.nn.Conv1d(2, 3, 3), dim=dim)
        assert list(layer.state_dict()) == ["bias", "weight_g", "weight_v"]
        layer.weight_g.data.mul_(2)
        y = layer(T.ones(1, 2, 5))
        y.sum().backward()
        results = [y, layer.weight_g.grad, layer.weight_v.grad]
        T.nn.utils.remove_weight_norm(layer)
        assert list(layer.state_dict()) == ["bias", "weight"]
        return [*results, layer.weight]

    same(program)


def test_old_weight_norm_warns_and_refuses():
    layer = atrous.nn.Linear(2, 3)
    with pytest.warns(FutureWarning, match="in favor of"):
        atrous.nn.utils.weight_norm(layer)
    with pytest.warns(FutureWarning), pytest.raises(RuntimeError) as raised:
        atrous.nn.utils.weight_norm(layer)
    assert str(raised.value) == (
        "weight_norm: parameter 'weight' of Linear has a weight norm already"
    )
    with pytest.raises(ValueError) as raised:
        atrous.nn.utils.remove_weight_norm(atrous.nn.ReLU())
    assert str(raised.value) == "weight_norm of 'weight' not found in ReLU()"


@pytest.mark.parametrize("name", ("weight_norm", "spectral_norm"))
def test_parametrizations_are_torchs(name):
    def program(T):
        T.manual_seed(0)
        layer = T.nn.Conv1d(2, 3, 3)
        assert getattr(T.nn.utils.parametrizations, name)(layer) is layer
        outputs = [layer(T.ones(1, 2, 5)), layer.eval()(T.ones(1, 2, 5))]
        outputs[1].sum().backward()
        return [
            *outputs,
            layer.weight,
            *(parameter.grad for parameter in layer.parameters()),
            *layer.state_dict().values(),
        ]

    same(program)

    def shown(T):
        made = getattr(T.nn.utils.parametrizations, name)(T.nn.Linear(2, 3))
        return repr(made), list(made.state_dict()), type(made).__name__

    assert shown(atrous) == shown(torch)


def test_weight_norm_reads_old_state_dicts():
    layer = atrous.nn.utils.parametrizations.weight_norm(atrous.nn.Linear(2, 3))
    old = {
        "bias": atrous.zeros(3),
        "weight_g": atrous.full((3, 1), 5.0),
        "weight_v": atrous.tensor([[3.0, 4.0]]).repeat(3, 1),
    }
    layer.load_state_dict(old)
    assert layer(atrous.ones(2)).tolist() == [7, 7, 7]


@BOTH
def test_parametrizations_of_ones_own(T):
    class Symmetric(T.nn.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).t()

        def right_inverse(self, x):
            return x.triu()

    class Doubled(T.nn.Module):
        def forward(self, x):
            return 2 * x

        def right_inverse(self, x):
            return x / 2

    P = T.nn.utils.parametrize
    layer = T.nn.Linear(3, 3)
    before = layer.weight.detach().clone()
    P.register_parametrization(layer, "weight", Symmetric())
    assert (layer.weight == layer.weight.t()).all()
    assert (layer.weight.triu() == before.triu()).all()
    P.register_parametrization(layer, "weight", Doubled())
    assert (layer.weight.triu() == 2 * before.triu()).all()
    assert isinstance(layer, T.nn.Linear) and P.is_parametrized(layer, "weight")
    assert not P.is_parametrized(layer, "bias")
    assert P.type_before_parametrizations(layer) is T.nn.Linear
    layer.weight = T.eye(3)
    assert (layer.weight == T.eye(3)).all()
    with P.cached():
        assert layer.weight is layer.weight
    assert layer.weight is not layer.weight
    P.register_parametrization(layer, "bias", Doubled())
    twin = copy.deepcopy(layer)
    assert (twin.weight == layer.weight).all() and twin.weight is not layer.weight
    P.remove_parametrizations(layer, "weight")
    assert P.is_parametrized(layer) and not P.is_parametrized(layer, "weight")
    P.remove_parametrizations(layer, "bias", leave_parametrized=False)
    assert type(layer) is T.nn.Linear and (layer.weight == T.eye(3)).all()
    assert sorted(layer.state_dict()) == ["bias", "weight"]


def test_parametrized_layers_pickle():
    layer = atrous.nn.utils.parametrizations.weight_norm(atrous.nn.Linear(2, 3))
    twin = pickle.loads(pickle.dumps(layer))
    assert repr(twin) == repr(layer) and (twin.weight == layer.weight).all()


@pytest.mark.parametrize("layer", ("Conv2d", "ConvTranspose2d"))
def test_old_spectral_norm(layer):
    def program(T):
        T.manual_seed(0)
        made = T.nn.utils.spectral_norm(getattr(T.nn, layer)(2, 3, 3))
        assert list(made.state_dict()) == [
            *("bias", "weight_orig", "weight_u", "weight_v"),
        ]
        x = T.ones(1, 2, 5, 5)
        outputs = [made(x), made(x), made.eval()(x)]
        sum(y.sum() for y in outputs).backward()
        results = [*outputs, made.weight_orig.grad, made.weight_u, made.weight_v]
        T.nn.utils.remove_spectral_norm(made)
        assert list(made.state_dict()) == ["bias", "weight"]
        return [*results, made.weight]

    same(program)


def test_old_spectral_norm_refuses():
    layer = atrous.nn.utils.spectral_norm(atrous.nn.Linear(2, 3))
    with pytest.raises(RuntimeError) as raised:
        atrous.nn.utils.spectral_norm(layer)
    assert str(raised.value) == (
        "spectral_norm: parameter 'weight' of Linear has a spectral norm already"
    )
    with pytest.raises(ValueError) as raised:
        atrous.nn.utils.spectral_norm(atrous.nn.Linear(2, 3), n_power_iterations=0)
    assert str(raised.value) == (
        "spectral_norm: n_power_iterations must be at least 1, got 0"
    )
    with pytest.raises(ValueError) as raised:
        atrous.nn.utils.remove_spectral_norm(atrous.nn.ReLU())
    assert str(raised.value) == "spectral_norm of 'weight' not found in ReLU()"


@BOTH
def test_data_parallel_passes_on(T):
    net = T.nn.DataParallel(T.nn.Linear(2, 3))
    assert list(net.state_dict()) == ["module.weight", "module.bias"]
    x = T.ones(4, 2)
    assert (net(x) == net.module(x)).all() and isinstance(net, T.nn.Module)


def test_tuples_of_sizes():
    for T in (atrous, torch):
        import importlib

        utils = importlib.import_module(f"{T.__name__}.nn.modules.utils")
        assert utils._pair(3) == (3, 3) and utils._triple([1, 2, 3]) == (1, 2, 3)
        assert utils._single(1) == (1,) and utils._ntuple(4)(0) == (0, 0, 0, 0)


def test_parametrizations_refuse():
    class Halved(atrous.nn.Module):
        def forward(self, x):
            return x[:1]

    P = atrous.nn.utils.parametrize
    layer = atrous.nn.Linear(2, 3)
    with pytest.raises(ValueError) as raised:
        P.register_parametrization(layer, "weight", Halved())
    assert str(raised.value) == (
        "a parametrization makes torch.float32 (1, 2) of a weight that is "
        "torch.float32 (3, 2); unsafe=True allows that"
    )
    with pytest.raises(ValueError) as raised:
        P.register_parametrization(layer, "height", Halved())
    assert str(raised.value) == (
        "Linear has no parameter or buffer 'height' to parametrize"
    )
    with pytest.raises(ValueError) as raised:
        P.remove_parametrizations(layer, "weight")
    assert str(raised.value) == "Linear has no parametrization of 'weight'"
    atrous.nn.utils.parametrizations.weight_norm(layer)
    with pytest.raises(ValueError) as raised:
        P.remove_parametrizations(layer, "weight", leave_parametrized=False)
    assert str(raised.value) == (
        "'weight' is computed from 2 tensors, so that leave_parametrized must be True"
    )
