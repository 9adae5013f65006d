"""Losses against torch: values, reductions, weights, gradients, refusals."""

import math

import pytest

torch = pytest.importorskip("torch")

from oracle import check  # noqa: E402

import atrous  # noqa: E402
from atrous.nn import functional as F  # noqa: E402

REDUCTIONS = ["mean", "sum", "none"]
KINDS = [torch.float32, torch.float64]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, dtype=torch.float32, seed=0):
    values = torch.randn(shape, generator=generator(seed))
    return values.to(dtype).requires_grad_()


def share(*shape, dtype=torch.float32, seed=1):
    """Between 0 and 1, not near either."""
    values = 0.05 + 0.9 * torch.rand(shape, generator=generator(seed))
    return values.to(dtype).requires_grad_()


def classes(count, *shape):
    return torch.randint(0, count, shape, generator=generator(3))


SHAPES = [(5, 3), (2, 3, 4), (2, 3, 2, 3), (2, 4, 2, 3, 2)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_is_torchs(shape, reduction, smoothing):
    target = classes(shape[1], shape[0], *shape[2:])
    for kind in KINDS:
        for weight in (None, share(shape[1], dtype=kind).detach()):
            for ignored in (-100, 1):
                check(
                    lambda T, x, t, w, i=ignored: T.nn.functional.cross_entropy(
                        *(x, t, w),
                        ignore_index=i,
                        reduction=reduction,
                        label_smoothing=smoothing,
                    ),
                    *(normal(*shape, dtype=kind), target, weight),
                    second=kind is torch.float64,
                )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_of_probabilities(shape, reduction, smoothing):
    for weight in (None, share(shape[1]).detach()):
        check(
            lambda T, x, t, w: T.nn.functional.cross_entropy(
                x, t, w, reduction=reduction, label_smoothing=smoothing
            ),
            *(normal(*shape), share(*shape), weight),
            second=True,
        )


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_cross_entropy_of_large_volumes(reduction):
    check(
        lambda T, x, t: T.nn.functional.cross_entropy(x, t, reduction=reduction),
        *(normal(2, 4, 12, 12, 12), classes(4, 2, 12, 12, 12)),
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_nll_loss_is_torchs(shape, reduction):
    target = classes(shape[1], shape[0], *shape[2:])
    check(
        lambda T, x, t, w: T.nn.functional.nll_loss(
            x, t, w, ignore_index=1, reduction=reduction
        ),
        *(normal(*shape), target, share(shape[1]).detach()),
    )


def test_one_row_of_classes():
    for reduction in REDUCTIONS:
        check(
            lambda T, x, t, r=reduction: T.nn.functional.cross_entropy(
                x, t, reduction=r
            ),
            *(normal(3), torch.tensor(1)),
        )


def test_logits_of_any_size_do_not_overflow():
    x = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4]], requires_grad=True)
    check(lambda T, x, t: T.nn.functional.cross_entropy(x, t), x, torch.tensor([1, 2]))


def test_targets_of_bytes():
    target = torch.tensor([0, 2], dtype=torch.uint8)
    check(lambda T, x, t: T.nn.functional.cross_entropy(x, t), normal(2, 3), target)


def test_nothing_to_average_is_nan_with_no_gradient():
    x = atrous.zeros(2, 3, requires_grad=True)
    loss = F.cross_entropy(x, atrous.tensor([-100, -100]))
    loss.backward()
    assert math.isnan(loss.item()) and x.grad.abs().sum() == 0
    empty = F.cross_entropy(atrous.zeros(0, 3), atrous.zeros(0).long())
    assert math.isnan(empty.item())


def test_half_types_are_rounded_once():
    check(
        lambda T, x, t: T.nn.functional.cross_entropy(x, t),
        *(normal(4, 3, dtype=torch.bfloat16).detach(), torch.tensor([0, 1, 2, 0])),
    )


PAIRS = ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"]


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_losses_of_pairs(name, reduction):
    function = lambda T, *pair: getattr(T.nn.functional, name)(
        *pair, reduction=reduction
    )
    for kind in KINDS:
        pair = normal(3, 4, dtype=kind), normal(3, 4, dtype=kind, seed=1)
        check(function, *pair, second=True)
    check(function, normal(60, 100), normal(60, 100, seed=1))


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_weighted_losses_of_pairs(name, reduction):
    check(
        lambda T, x, t, w: getattr(T.nn.functional, name)(
            x, t, reduction=reduction, weight=w
        ),
        *(normal(3, 4), normal(3, 4, seed=1), share(3, 4).detach()),
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_thresholds_of_losses(reduction):
    pair = normal(3, 4), normal(3, 4, seed=1)
    for beta in (0.0, 0.3):
        check(
            lambda T, x, t, b=beta: T.nn.functional.smooth_l1_loss(
                x, t, beta=b, reduction=reduction
            ),
            *pair,
        )
    check(
        lambda T, x, t: T.nn.functional.huber_loss(
            x, t, delta=0.3, reduction=reduction
        ),
        *pair,
    )


def test_shapes_that_broadcast_warn():
    pair = atrous.ones(2, 3), atrous.ones(3)
    with pytest.warns(UserWarning) as caught:
        F.mse_loss(*pair)
    assert str(caught[0].message) == (
        "mse_loss: Using a target size (torch.Size([3])) that is different to the input"
        " size (torch.Size([2, 3])). This will likely lead to incorrect results due to"
        " broadcasting. Please ensure they have the same size."
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
def test_binary_cross_entropies(reduction, weighted):
    weight = share(4).detach() if weighted else None
    check(
        lambda T, x, t, w: T.nn.functional.binary_cross_entropy(
            x, t, w, reduction=reduction
        ),
        *(share(3, 4), share(3, 4, seed=2), weight),
        second=True,
    )
    for positive in (None, share(4, seed=5).detach()):
        check(
            lambda T, x, t, *w: T.nn.functional.binary_cross_entropy_with_logits(
                x, t, w[0], reduction=reduction, pos_weight=w[1]
            ),
            *(normal(3, 4), share(3, 4, seed=2), weight, positive),
            second=True,
        )


def test_binary_cross_entropy_at_the_ends():
    x = torch.tensor([0.0, 1.0, 0.5, 0.0, 1.0], requires_grad=True)
    t = torch.tensor([0.0, 1.0, 0.5, 1.0, 0.0])
    check(lambda T, x, t: T.nn.functional.binary_cross_entropy(x, t), x, t)
    logits = torch.tensor([0.0, 1e3, -1e3, 1e3, -1e3], requires_grad=True)
    check(
        lambda T, x, t: T.nn.functional.binary_cross_entropy_with_logits(x, t),
        *(logits, t),
    )


@pytest.mark.parametrize("reduction", ["sum", "none", "batchmean"])
@pytest.mark.parametrize("log_target", [False, True])
def test_kl_div(reduction, log_target):
    check(
        lambda T, x, t: T.nn.functional.kl_div(
            x, t, reduction=reduction, log_target=log_target
        ),
        *(normal(3, 4), share(3, 4)),
        second=True,
    )


def test_kl_div_warns_of_its_mean():
    with pytest.warns(UserWarning) as caught:
        F.kl_div(atrous.ones(2), atrous.ones(2))
    assert str(caught[0].message) == (
        "kl_div: reduction='mean' divides the total loss by both the batch size and the"
        " support size. 'batchmean' divides only by the batch size, and aligns with the"
        " KL math definition."
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("full", [False, True])
def test_likelihoods(reduction, full):
    counts = (4 * share(3, 4, seed=7)).detach()
    for log_input in (False, True):
        check(
            lambda T, x, t, li=log_input: T.nn.functional.poisson_nll_loss(
                x, t, li, full, reduction=reduction
            ),
            *(share(3, 4), counts),
            second=True,
        )
    for shape in ((3, 4), (3, 1), (3,)):
        check(
            lambda T, *given: T.nn.functional.gaussian_nll_loss(
                *given, full=full, reduction=reduction
            ),
            *(normal(3, 4), normal(3, 4, seed=1), share(*shape)),
            second=True,
        )


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_margins(reduction):
    signs = torch.tensor([1, -1, 1, -1])
    rows = [normal(4, 3, seed=i) for i in range(3)]
    column = [normal(4, seed=i) for i in range(2)]
    r = {"reduction": reduction}
    calls = [
        (lambda N, x, t: N.margin_ranking_loss(*x, t, 0.2, **r), column, signs),
        (lambda N, x, t: N.hinge_embedding_loss(x[0], t, 0.7, **r), column, signs),
        (lambda N, x, t: N.soft_margin_loss(x[0], t, **r), column, signs.float()),
        (lambda N, x, t: N.cosine_embedding_loss(*x[:2], t, 0.1, **r), rows, signs),
        (lambda N, x, t: N.triplet_margin_loss(*x, **r), rows, signs),
        (lambda N, x, t: N.triplet_margin_loss(*x, swap=True, **r), rows, signs),
        (
            lambda N, x, t: N.triplet_margin_with_distance_loss(*x, margin=0.5, **r),
            *(rows, signs),
        ),
    ]
    for call, tensors, target in calls:
        check(lambda T, x, t, f=call: f(T.nn.functional, x, t), tensors, target)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_margins_of_many_classes(reduction):
    r = {"reduction": reduction}
    x, target = normal(3, 4), torch.tensor([0, 3, 1])
    for p in (1, 2):
        check(
            lambda T, x, t, w, p=p: T.nn.functional.multi_margin_loss(
                x, t, p, 0.8, w, **r
            ),
            *(x, target, share(4).detach()),
        )
    labels = torch.tensor([[0, -1, 1, 2], [0, 1, -1, 2], [1, 2, 3, 0]])
    check(lambda T, x, t: T.nn.functional.multilabel_margin_loss(x, t, **r), x, labels)
    check(
        lambda T, x, t: T.nn.functional.multilabel_soft_margin_loss(x, t, **r),
        *(x, (share(3, 4) > 0.5).float()),
        second=True,
    )


def test_distances():
    a, b = normal(3, 4), normal(3, 4, seed=1)
    check(lambda T, a, b: T.nn.functional.cosine_similarity(a, b), a, b, second=True)
    check(lambda T, a, b: T.cosine_similarity(a, b[:, :1], 0), a, b)
    check(lambda T, a, b: T.nn.functional.pairwise_distance(a, b), a, b, second=True)
    check(lambda T, a, b: T.pairwise_distance(a, b[0], 1.0, keepdim=True), a, b)
    for p in (0, 1, 2, 3, math.inf):
        check(lambda T, a, p=p: T.pdist(a, p), a)


def test_old_reductions():
    x, t = normal(2, 3), torch.tensor([0, 1])
    for old in ({"reduce": False}, {"size_average": False}, {"size_average": True}):
        with pytest.warns(UserWarning):
            expected = torch.nn.functional.cross_entropy(x, t, **old)
        ours = F.cross_entropy(
            atrous.tensor(x.tolist()), atrous.tensor(t.tolist()), **old
        )
        assert atrous.allclose(ours, atrous.tensor(expected.tolist()))


def test_nodes_print_as_torchs():
    x = atrous.ones(2, 3, requires_grad=True)
    y = atrous.zeros(2, 3)
    t = atrous.tensor([0, 1])
    names = {
        "NllLossBackward0": F.cross_entropy(x, t),
        "NllLoss2DBackward0": F.cross_entropy(x[:, :, None], t[:, None]),
        "MseLossBackward0": F.mse_loss(x, y),
        "MeanBackward0": F.l1_loss(x, y),
        "SmoothL1LossBackward0": F.smooth_l1_loss(x, y),
        "HuberLossBackward0": F.huber_loss(x, y),
        "BinaryCrossEntropyBackward0": F.binary_cross_entropy(x, y),
        "SoftMarginLossBackward0": F.soft_margin_loss(x, y),
    }
    for name, loss in names.items():
        assert loss.grad_fn.name() == name


def ones(*shape):
    return atrous.ones(*shape)


def tensor(*values):
    return atrous.tensor(values)


# call -> exception, text
REFUSALS = {
    "class outside": (
        lambda: F.cross_entropy(ones(2, 3), tensor(0, 5)),
        IndexError,
        "cross_entropy: Target 5 is out of bounds: the input has 3 classes (0 … 2),"
        " ignore_index=-100.",
    ),
    "negative class": (
        lambda: F.nll_loss(ones(2, 3, 1), tensor([0], [-1])),
        IndexError,
        "nll_loss: Target -1 is out of bounds: the input has 3 classes (0 … 2),"
        " ignore_index=-100.",
    ),
    "batch": (
        lambda: F.cross_entropy(ones(2, 3), tensor(0, 1, 2)),
        ValueError,
        "cross_entropy: Expected input batch_size (2) to match target batch_size (3).\n"
        "  input  (2, 3)  batch, classes, …\n"
        "  target (3,)    batch, …",
    ),
    "positions": (
        lambda: F.cross_entropy(ones(2, 3, 4), tensor([0, 1], [0, 0])),
        RuntimeError,
        "cross_entropy: Expected target size [2, 4], got [2, 2].\n"
        "  input  (2, 3, 4)  batch, classes, …\n"
        "  target (2, 2)     batch, …",
    ),
    "many targets": (
        lambda: F.cross_entropy(ones(2, 3), tensor([0, 1], [0, 0])),
        RuntimeError,
        "cross_entropy: 0D or 1D target tensor expected, multi-target not supported.\n"
        "  input  (2, 3)  batch, classes, …\n"
        "  target (2, 2)  batch, …",
    ),
    "dtype of the target": (
        lambda: F.cross_entropy(ones(2, 3), tensor(0, 1).int()),
        RuntimeError,
        "cross_entropy: expected target dtype to be Long or Byte, but got Int"
        " (classes), or the input's shape (probabilities).",
    ),
    "weights": (
        lambda: F.cross_entropy(ones(2, 3), tensor(0, 1), ones(4)),
        RuntimeError,
        "cross_entropy: weight tensor should be defined either for all 3 classes or no"
        " classes but got weight tensor of shape: [4]",
    ),
    "dtype of the weights": (
        lambda: F.cross_entropy(ones(2, 3), tensor(0, 1), ones(3).double()),
        RuntimeError,
        "cross_entropy: expected scalar type Float but found Double (weight).",
    ),
    "smoothing": (
        lambda: F.cross_entropy(ones(2, 3), tensor(0, 1), label_smoothing=1.5),
        RuntimeError,
        "cross_entropy: label_smoothing must be between 0.0 and 1.0, got 1.5.",
    ),
    "ignored probabilities": (
        lambda: F.cross_entropy(ones(2, 3), ones(2, 3), ignore_index=0),
        RuntimeError,
        "cross_entropy: ignore_index is not supported for targets that are"
        " probabilities (floating point).",
    ),
    "integers": (
        lambda: F.cross_entropy(ones(2, 3).long(), tensor(0, 1)),
        NotImplementedError,
        "cross_entropy: not implemented for 'Long' inputs.",
    ),
    "reduction": (
        lambda: F.mse_loss(ones(2), ones(2), reduction="average"),
        ValueError,
        "mse_loss: 'average' is not a valid value for reduction.",
    ),
    "no tensor": (
        lambda: F.cross_entropy([[1.0]], tensor(0)),
        TypeError,
        "cross_entropy(): argument 'input' must be Tensor, not list",
    ),
    "beta": (
        lambda: F.smooth_l1_loss(ones(2), ones(2), beta=-1.0),
        RuntimeError,
        "smooth_l1_loss: beta must be zero or more, got -1.0.",
    ),
    "delta": (
        lambda: F.huber_loss(ones(2), ones(2), delta=0.0),
        RuntimeError,
        "huber_loss: delta must be positive, got 0.0.",
    ),
    "sizes of probabilities": (
        lambda: F.binary_cross_entropy(ones(2, 3), ones(3)),
        ValueError,
        "binary_cross_entropy: target and input must have the same size.\n"
        "  input  (2, 3)  \n"
        "  target (3,)    expected (2, 3)",
    ),
    "no probability": (
        lambda: F.binary_cross_entropy(ones(2) * 2, ones(2)),
        RuntimeError,
        "binary_cross_entropy: all elements of input should be between 0 and 1, but"
        " they reach from 2 to 2.",
    ),
    "no probability as target": (
        lambda: F.binary_cross_entropy(ones(2), ones(2) * -1),
        RuntimeError,
        "binary_cross_entropy: all elements of target should be between 0 and 1, but"
        " they reach from -1 to -1.",
    ),
    "variance": (
        lambda: F.gaussian_nll_loss(ones(2), ones(2), -ones(2)),
        ValueError,
        "gaussian_nll_loss: var has negative entry/entries.",
    ),
    "shape of the variance": (
        lambda: F.gaussian_nll_loss(ones(2, 3), ones(2, 3), ones(3)),
        ValueError,
        "gaussian_nll_loss: var is of incorrect size.\n"
        "  input (2, 3)  \n"
        "  var   (3,)    the input's, with one axis 1, or no last axis",
    ),
    "margin of a class outside": (
        lambda: F.multi_margin_loss(ones(2, 3), tensor(0, 5)),
        RuntimeError,
        "multi_margin_loss: target out of range: 5 of 3 classes.",
    ),
    "triplet margin": (
        lambda: F.triplet_margin_loss(ones(2, 3), ones(2, 3), ones(2, 3), margin=0),
        ValueError,
        "triplet_margin_loss: margin must be greater than 0, got 0.",
    ),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_refusal(what):
    call, raises, text = REFUSALS[what]
    with pytest.raises(raises) as caught:
        call()
    assert str(caught.value) == text
