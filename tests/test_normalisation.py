"""Norms against torch: values, running statistics, two orders of gradient, refusals."""

import pytest

torch = pytest.importorskip("torch")

from oracle import array, check, difference  # noqa: E402

import atrous  # noqa: E402
from atrous.nn import functional as F  # noqa: E402

SHAPES = [(4, 3), (3, 4, 5), (2, 4, 3, 4), (2, 3, 2, 3, 4)]
KINDS = [torch.float32, torch.float64]


def tensor(*shape, dtype=torch.float32):
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator).to(dtype).requires_grad_()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("affine", [False, True])
def test_batch_norm_is_torchs(shape, kind, affine):
    x = tensor(*shape, dtype=kind)
    parameters = [tensor(shape[1], dtype=kind) if affine else None for _ in range(2)]

    def training(T, x, weight, bias):
        return T.nn.functional.batch_norm(x, None, None, weight, bias, True)

    def evaluation(T, x, weight, bias):
        mean, variance = (T.arange(1.0, 1 + shape[1]).to(x.dtype) for _ in range(2))
        return T.nn.functional.batch_norm(x, mean, variance, weight, bias)

    check(training, x, *parameters, second=True)
    check(evaluation, x, *parameters, second=True)


def test_large_batch_norm_is_torchs():
    x, weight, bias = tensor(4, 8, 6, 6, 6), tensor(8), tensor(8)
    check(
        lambda T, x, w, b: T.nn.functional.batch_norm(x, None, None, w, b, True),
        *(x, weight, bias),
    )


@pytest.mark.parametrize("name", ["batch_norm", "instance_norm"])
@pytest.mark.parametrize("momentum", [0.0, 0.1, 1.0])
def test_running_statistics(name, momentum):
    x = tensor(3, 2, 5).detach() * 3 + 1
    results = []
    for T in (atrous, torch):
        mean, variance = T.zeros(2), T.ones(2)
        function = getattr(T.nn.functional, name)
        given = torch.clone(x) if T is torch else atrous.tensor(array(x))
        options = {"training": True} if name == "batch_norm" else {}
        function(given, mean, variance, momentum=momentum, **options)
        results.append((mean, variance))
    assert difference(*results, terms=15) is None


def test_running_statistics_of_half_types_stay_float32():
    def program(T, x):
        mean, variance = T.zeros(2), T.ones(2)
        y = T.nn.functional.batch_norm(x, mean, variance, training=True)
        return mean, variance, y

    check(program, tensor(8, 2, dtype=torch.bfloat16).detach())


@pytest.mark.parametrize("shape", SHAPES[1:])
@pytest.mark.parametrize("kind", KINDS)
def test_instance_norm_is_torchs(shape, kind):
    channels = shape[1]
    x, w, b = (tensor(*s, dtype=kind) for s in (shape, (channels,), (channels,)))
    check(
        lambda T, x, w, b: T.nn.functional.instance_norm(x, weight=w, bias=b),
        *(x, w, b),
        second=True,
    )

    def by_running(T, x):
        mean, variance = (T.arange(1.0, 1 + channels).to(x.dtype) for _ in range(2))
        return T.nn.functional.instance_norm(x, mean, variance, use_input_stats=False)

    check(by_running, x, second=True)


@pytest.mark.parametrize("shape", [(2, 4), (2, 4, 3), (2, 6, 3, 2)])
@pytest.mark.parametrize("kind", KINDS)
def test_group_norm_is_torchs(shape, kind):
    x, w, b = (tensor(*s, dtype=kind) for s in (shape, shape[1:2], shape[1:2]))
    check(
        lambda T, x, w, b: T.nn.functional.group_norm(x, 2, w, b), x, w, b, second=True
    )
    check(lambda T, x: T.nn.functional.group_norm(x, 1), x, second=True)


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_layer_and_rms_norm_are_torchs(axes, kind):
    x = tensor(3, 4, 5, dtype=kind)
    shape = x.shape[-axes:]
    w, b = (tensor(*shape, dtype=kind) for _ in range(2))
    check(
        lambda T, x, w, b: T.nn.functional.layer_norm(x, shape, w, b),
        *(x, w, b),
        second=True,
    )
    check(lambda T, x: T.nn.functional.layer_norm(x, shape), x, second=True)
    check(lambda T, x, w: T.nn.functional.rms_norm(x, shape, w), x, w, second=True)


@pytest.mark.parametrize("shape", [(2, 4, 3), (2, 5, 3, 4), (1, 3, 2, 3, 2)])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_local_response_norm_is_torchs(shape, size):
    check(
        lambda T, x: T.nn.functional.local_response_norm(x, size, 0.1, 0.5, 2.0),
        tensor(*shape),
        second=True,
    )


@pytest.mark.parametrize("p, dim", [(2.0, 1), (1.0, 0), (3.0, -1)])
def test_normalize_is_torchs(p, dim):
    check(lambda T, x: T.nn.functional.normalize(x, p, dim), tensor(3, 4))


def test_empty_batches():
    for training in (True, False):
        y = F.batch_norm(
            atrous.ones(0, 3), atrous.zeros(3), atrous.ones(3), training=training
        )
        assert y.shape == (0, 3)


def test_nodes_print_as_torchs():
    x = atrous.arange(24.0).reshape(2, 4, 3).requires_grad_()
    y = F.batch_norm(x, None, None, training=True)
    assert y.grad_fn.name() == "NativeBatchNormBackward0"
    assert F.group_norm(x, 2).grad_fn.name() == "NativeGroupNormBackward0"
    assert F.layer_norm(x, (3,)).grad_fn.name() == "NativeLayerNormBackward0"
    assert F.instance_norm(x).grad_fn.name() == "ViewBackward0"


def ones(*shape):
    return atrous.ones(*shape)


# call -> exception, text
REFUSALS = {
    "one value a channel": (
        lambda: F.batch_norm(ones(1, 3), None, None, training=True),
        ValueError,
        "batch_norm: Expected more than 1 value per channel when training, got input"
        " size torch.Size([1, 3]).",
    ),
    "no channels": (
        lambda: F.batch_norm(ones(3), None, None, training=True),
        IndexError,
        "Dimension out of range (expected to be in range of [-1, 0], but got 1)",
    ),
    "no running statistics": (
        lambda: F.batch_norm(ones(2, 3), None, None),
        RuntimeError,
        "running_mean must be defined with training=False.",
    ),
    "running statistics of other channels": (
        lambda: F.batch_norm(ones(2, 3), ones(4), ones(3)),
        RuntimeError,
        "batch_norm: running_mean needs one number for each of the 3 channels.\n"
        "  input        (2, 3)  batch, channels, …\n"
        "  running_mean (4,)    expected (3,)",
    ),
    "weight of other channels": (
        lambda: F.batch_norm(ones(2, 3), ones(3), ones(3), ones(4)),
        RuntimeError,
        "batch_norm: weight needs one number for each of the 3 channels.\n"
        "  input  (2, 3)  batch, channels, …\n"
        "  weight (4,)    expected (3,)",
    ),
    "integers": (
        lambda: F.batch_norm(ones(2, 3).long(), ones(3), ones(3)),
        NotImplementedError,
        "batch_norm: not implemented for 'Long' tensors.",
    ),
    "mixed dtypes": (
        lambda: F.batch_norm(ones(2, 3).double(), ones(3), ones(3)),
        RuntimeError,
        "batch_norm: mixed dtype: input is torch.float64, running_mean torch.float32.",
    ),
    "no momentum": (
        lambda: F.batch_norm(ones(2, 3), None, None, training=True, momentum=None),
        TypeError,
        "batch_norm(): argument 'momentum' must be float, not NoneType",
    ),
    "one position": (
        lambda: F.instance_norm(ones(2, 3, 1)),
        ValueError,
        "instance_norm: Expected more than 1 spatial element when training, got input"
        " size torch.Size([2, 3, 1]).",
    ),
    "instance norm without statistics": (
        lambda: F.instance_norm(ones(2, 3, 4), use_input_stats=False),
        RuntimeError,
        "running_mean must be defined with use_input_stats=False.",
    ),
    "groups": (
        lambda: F.group_norm(ones(2, 4, 3), 3),
        RuntimeError,
        "group_norm: Expected number of channels in input to be divisible by"
        " num_groups, but got input of shape [2, 4, 3] and num_groups=3",
    ),
    "groups of one value": (
        lambda: F.group_norm(ones(1, 4), 4),
        ValueError,
        "group_norm: Expected more than 1 value per channel when training, got input"
        " size [1, 4]",
    ),
    "group norm of one axis": (
        lambda: F.group_norm(ones(4), 2),
        RuntimeError,
        "group_norm: Expected at least 2 dimensions for input tensor but received 1",
    ),
    "normalized shape": (
        lambda: F.layer_norm(ones(2, 4), (5,)),
        RuntimeError,
        "layer_norm: Given normalized_shape=[5], expected input with shape [*, 5], but"
        " got input of size [2, 4]",
    ),
    "no normalized shape": (
        lambda: F.layer_norm(ones(2, 4), ()),
        RuntimeError,
        "layer_norm: Expected normalized_shape to be at least 1-dimensional, i.e.,"
        " containing at least one element, but got normalized_shape = []",
    ),
    "weight of another shape": (
        lambda: F.layer_norm(ones(2, 4), (4,), ones(5)),
        RuntimeError,
        "layer_norm: Expected weight to be of same shape as normalized_shape, but got"
        " weight of shape [5] and normalized_shape = [4]",
    ),
    "layer norm of mixed dtypes": (
        lambda: F.layer_norm(ones(2, 4), (4,), ones(4).double()),
        RuntimeError,
        "layer_norm: mixed dtype: input is torch.float32, weight torch.float64.",
    ),
    "local response of two axes": (
        lambda: F.local_response_norm(ones(2, 4), 2),
        ValueError,
        "local_response_norm: Expected 3D or higher dimensionality input (got 2"
        " dimensions)",
    ),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_refusal(what):
    call, raises, text = REFUSALS[what]
    with pytest.raises(raises) as caught:
        call()
    assert str(caught.value) == text
