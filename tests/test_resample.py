"""Resizing, embedding and dropout against torch: values, gradients, refusals."""

import pytest

torch = pytest.importorskip("torch")

from oracle import array, check  # noqa: E402

import atrous  # noqa: E402
from atrous.nn import functional as F  # noqa: E402

MODES = {
    1: ["nearest", "nearest-exact", "linear", "area"],
    2: ["nearest", "nearest-exact", "bilinear", "bicubic", "area"],
    3: ["nearest", "nearest-exact", "trilinear", "area"],
}
TARGETS = [
    {"size": 7},
    {"size": 3},
    {"scale_factor": 2},
    {"scale_factor": 1.7},
    {"scale_factor": 0.6},
    {"scale_factor": 1.7, "recompute_scale_factor": True},
]


def tensor(*shape, dtype=torch.float32):
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator).to(dtype).requires_grad_()


@pytest.mark.parametrize("rank, mode", [(r, m) for r in MODES for m in MODES[r]])
@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_interpolate_is_torchs(rank, mode, target):
    smooth = "linear" in mode or "cubic" in mode
    x = tensor(2, 2, *(5, 6, 4)[:rank])
    for align_corners in (False, True) if smooth else (None,):
        check(
            lambda T, x, a=align_corners: T.nn.functional.interpolate(
                x, mode=mode, align_corners=a, **target
            ),
            x,
            second=True,
        )


def test_sizes_an_axis():
    def program(T, x):
        return T.nn.functional.interpolate(x, (9, 5), mode="bilinear")

    check(program, tensor(1, 2, 4, 6, dtype=torch.float64))
    check(program, tensor(1, 40, 24, 26))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_types(kind):
    x = tensor(1, 2, 4, 4, dtype=kind).detach()
    check(lambda T, x: T.nn.functional.interpolate(x, 7, mode="bilinear"), x)


def test_bytes_are_rounded():
    x = torch.arange(16, dtype=torch.uint8).reshape(1, 1, 4, 4) * 16
    check(lambda T, x: T.nn.functional.interpolate(x, 8), x)
    y = F.interpolate(atrous.tensor(array(x)), 7, mode="bilinear", align_corners=True)
    assert y.dtype is atrous.uint8 and y[0, 0, 0].tolist() == [0, 8, 16, 24, 32, 40, 48]


def test_upsample_warns():
    with pytest.warns(UserWarning) as caught:
        F.upsample(atrous.ones(1, 1, 2), 4)
    assert str(caught[0].message) == (
        "`nn.functional.upsample` is deprecated. Use `nn.functional.interpolate`"
        " instead."
    )


# Sampling


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("border", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("align_corners", [False, True])
def test_grid_sample_is_torchs(mode, border, align_corners):
    def program(T, x, grid):
        return T.nn.functional.grid_sample(x, grid, mode, border, align_corners)

    for rank in (2,) if mode == "bicubic" else (2, 3):
        x = tensor(2, 3, *(4, 5, 3)[:rank], dtype=torch.float64)
        grid = tensor(2, *(3, 6, 2)[:rank], rank, dtype=torch.float64)
        check(program, x, grid)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(2, 3, 4, 5), (2, 1, 2, 3), (2, 3, 4, 5, 2)])
def test_affine_grid_is_torchs(size, align_corners):
    theta = tensor(2, len(size) - 2, len(size) - 1)
    check(lambda T, x: T.nn.functional.affine_grid(x, size, align_corners), theta)


def test_the_identity_map_gives_the_image_back():
    image = atrous.arange(12.0).reshape(1, 1, 3, 4)
    identity = atrous.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    grid = F.affine_grid(identity, (1, 1, 3, 4), align_corners=False)
    back = F.grid_sample(image, grid, align_corners=False)
    assert atrous.allclose(back, image, atol=1e-5)


def test_grids_warn_of_corners():
    with pytest.warns(UserWarning) as caught:
        F.grid_sample(atrous.ones(1, 1, 2, 2), atrous.zeros(1, 1, 1, 2))
    assert str(caught[0].message) == (
        "grid_sample: Default grid_sample and affine_grid behavior has changed to"
        " align_corners=False since 1.3.0. Please specify align_corners=True if the old"
        " behavior is desired."
    )


# Embedding


@pytest.mark.parametrize("options", [{}, {"padding_idx": 2}, {"padding_idx": -3}])
@pytest.mark.parametrize("kind", [torch.int64, torch.int32])
def test_embedding_is_torchs(options, kind):
    index = torch.tensor([[1, 2, 2], [0, 2, 1]], dtype=kind)
    check(
        lambda T, i, w: T.nn.functional.embedding(i, w, **options),
        *(index, tensor(3, 4)),
        second=True,
    )


def test_embedding_by_frequency():
    check(
        lambda T, i, w: T.nn.functional.embedding(i, w, scale_grad_by_freq=True),
        *(torch.tensor([1, 2, 2, 0, 2]), tensor(3, 4)),
    )


def test_embedding_shortens_rows_in_place():
    index = torch.tensor([1, 2, 2])

    def program(T, w):
        rows = T.nn.functional.embedding(
            T.tensor(index.tolist()), w, max_norm=0.5, norm_type=1.0
        )
        return rows, w

    check(program, tensor(3, 4).detach())


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_embedding_bag_is_torchs(mode):
    bags = torch.tensor([1, 2, 2, 0])
    w = tensor(3, 4)
    calls = [
        (bags, torch.tensor([0, 2, 2]), {}),
        (bags.reshape(2, 2), None, {}),
        (bags, torch.tensor([0, 2, 4]), {"include_last_offset": True}),
        (bags, torch.tensor([0, 2, 2]), {"padding_idx": 2}),
    ]
    for index, offsets, options in calls:
        check(
            lambda T, i, o, w, k=options: T.nn.functional.embedding_bag(
                i, w, o, mode=mode, **k
            ),
            *(index, offsets, w),
        )


def test_weighted_bags():
    check(
        lambda T, i, o, w, s: T.nn.functional.embedding_bag(
            i, w, o, mode="sum", per_sample_weights=s
        ),
        *(torch.tensor([1, 2, 2, 0]), torch.tensor([0, 3]), tensor(3, 4), tensor(4)),
    )


def test_one_hot_is_torchs():
    index = torch.tensor([[1, 2], [0, 0]])
    check(lambda T, i: T.nn.functional.one_hot(i), index)
    check(lambda T, i: T.nn.functional.one_hot(i, 5), index)


# Dropout: the masks are torch's only where torch does not ask MKL for them.

DROPOUTS = ["dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout"]
DROPOUTS += ["feature_alpha_dropout"]
RANKS = {"dropout1d": 3, "dropout2d": 4, "dropout3d": 5}


@pytest.mark.parametrize("name", DROPOUTS)
def test_no_dropout_gives_the_input_itself(name):
    function = getattr(F, name)
    x = atrous.ones(*[2] * RANKS.get(name, 3))
    assert function(x, 0.5, training=False) is x
    assert function(x, 0.0, training=True) is x
    assert (function(x, 1.0, training=True) == 0).all()


def test_dropout_keeps_the_mean():
    atrous.manual_seed(0)
    y = F.dropout(atrous.ones(20000), 0.3)
    assert abs(y.mean() - 1) < 0.02
    kept = y[y != 0]
    assert atrous.allclose(kept, atrous.ones_like(kept) / 0.7)


@pytest.mark.parametrize("name", ["dropout1d", "dropout2d", "dropout3d"])
def test_whole_channels_are_dropped(name):
    atrous.manual_seed(0)
    x = atrous.ones(8, 8, *[3] * (RANKS[name] - 2))
    y = getattr(F, name)(x, 0.5).flatten(2)
    assert ((y == 0).all(2) | (y == 2).all(2)).all() and 0 < (y == 0).sum() < y.numel()


def test_alpha_dropout_keeps_mean_and_deviation():
    atrous.manual_seed(0)
    x = atrous.randn(40000)
    y = F.alpha_dropout(x, 0.3, training=True)
    assert abs(y.mean()) < 0.02 and abs(y.std() - 1) < 0.02


def test_dropout_passes_its_mask_to_the_gradient():
    x = atrous.ones(100, requires_grad=True)
    y = F.dropout(x)
    y.sum().backward()
    assert (x.grad == y.detach()).all() and y.grad_fn.name() == "MulBackward0"


def test_dropout_in_place():
    x = atrous.ones(100)
    assert F.dropout(x, 0.5, inplace=True) is x and (x != 1).all()
    y = atrous.ones(4, 4, 3)
    assert F.alpha_dropout(y, 0.5, training=True, inplace=True) is y


def test_unusual_ranks_of_dropout2d_warn():
    with pytest.warns(UserWarning) as caught:
        F.dropout2d(atrous.ones(2, 2, 2))
    assert str(caught[0].message).startswith(
        "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D"
    )
    with pytest.warns(UserWarning, match="dropout3d: Received a 3-D input"):
        F.dropout3d(atrous.ones(2, 2, 2))


def ones(*shape):
    return atrous.ones(*shape)


def tensor_of(*values):
    return atrous.tensor(values)


# call -> exception, text
REFUSALS = {
    "no target": (
        lambda: F.interpolate(ones(1, 1, 4)),
        ValueError,
        "interpolate: either size or scale_factor should be defined.",
    ),
    "two targets": (
        lambda: F.interpolate(ones(1, 1, 4), 2, 2),
        ValueError,
        "interpolate: only one of size or scale_factor should be defined.",
    ),
    "sizes": (
        lambda: F.interpolate(ones(1, 1, 4, 4), (2, 2, 2)),
        ValueError,
        "interpolate: Input and output must have the same number of spatial dimensions,"
        " but got input with spatial dimensions of [4, 4] and size of (2, 2, 2).",
    ),
    "corners of nearest": (
        lambda: F.interpolate(ones(1, 1, 4), 2, align_corners=True),
        ValueError,
        "interpolate: align_corners option can only be set with the interpolating"
        " modes: linear | bilinear | bicubic | trilinear, not 'nearest'.",
    ),
    "rank": (
        lambda: F.interpolate(ones(4, 4), 2),
        NotImplementedError,
        "interpolate: Only 3D, 4D and 5D input Tensors supported (got 2D) for the"
        " modes: nearest | linear | bilinear | bicubic | trilinear | area |"
        " nearest-exact (got nearest).",
    ),
    "rank of a mode": (
        lambda: F.interpolate(ones(1, 1, 4), 2, mode="bilinear"),
        NotImplementedError,
        "interpolate: Got 3D input, but bilinear mode needs 4D input.",
    ),
    "nothing left": (
        lambda: F.interpolate(ones(1, 1, 4, 4), 0),
        RuntimeError,
        "interpolate: Input and output sizes should be greater than 0, but got input"
        " (4 × 4) output (0 × 0).",
    ),
    "recomputed size": (
        lambda: F.interpolate(ones(1, 1, 4), 2, recompute_scale_factor=True),
        ValueError,
        "interpolate: recompute_scale_factor is not meaningful with an explicit size.",
    ),
    "integers": (
        lambda: F.interpolate(ones(1, 1, 4).long(), 2),
        NotImplementedError,
        "interpolate: not implemented for 'Long' tensors.",
    ),
    "antialias": (
        lambda: F.interpolate(ones(1, 1, 4, 4), 2, mode="bilinear", antialias=True),
        NotImplementedError,
        "interpolate: antialias=True is not offered; blur before shrinking, or use"
        " mode='area'.",
    ),
    "mode of sampling": (
        lambda: F.grid_sample(ones(1, 1, 2, 2), ones(1, 1, 1, 2), mode="cubic"),
        ValueError,
        "grid_sample: mode is one of 'bilinear', 'nearest', 'bicubic', not 'cubic'.",
    ),
    "coordinates": (
        lambda: F.grid_sample(ones(1, 1, 2, 2), ones(1, 1, 1, 3)),
        RuntimeError,
        "grid_sample: expected 4D or 5D input and a grid of as many axes, with 2 or 3"
        " coordinates a place and the same batch.\n"
        "  input (1, 1, 2, 2)  batch, channels, height, width\n"
        "  grid  (1, 1, 1, 3)  batch, …, coordinates",
    ),
    "affine map": (
        lambda: F.affine_grid(ones(1, 2, 2), (1, 1, 2, 2)),
        ValueError,
        "affine_grid: theta is no batch of 2D affine matrices.\n"
        "  theta (1, 2, 2)  expected (1, 2, 3)",
    ),
    "row outside": (
        lambda: F.embedding(tensor_of(1, 5), ones(3, 2)),
        IndexError,
        "embedding: index out of range in self: 5, the table has 3 rows (0 … 2).",
    ),
    "rows by fractions": (
        lambda: F.embedding(ones(2), ones(3, 2)),
        RuntimeError,
        "Expected tensor for argument #1 'indices' to have one of the following scalar"
        " types: Long, Int; but got torch.FloatTensor instead (while checking arguments"
        " for embedding)",
    ),
    "table": (
        lambda: F.embedding(tensor_of(1), ones(3)),
        RuntimeError,
        "embedding: 'weight' must be 2-D.\n  weight (3,)  rows, features",
    ),
    "padding": (
        lambda: F.embedding(tensor_of(1), ones(3, 2), padding_idx=4),
        AssertionError,
        "Padding_idx must be within num_embeddings: padding_idx=4, num_embeddings=3.",
    ),
    "offsets": (
        lambda: F.embedding_bag(tensor_of(1), ones(3, 2)),
        ValueError,
        "embedding_bag: offsets has to be a 1D Tensor where input is 1D.",
    ),
    "first offset": (
        lambda: F.embedding_bag(tensor_of(1), ones(3, 2), tensor_of(1)),
        RuntimeError,
        "embedding_bag: offsets[0] has to be 0, i.e., the first sequence in the"
        " mini-batch has to start from position 0.",
    ),
    "mode": (
        lambda: F.embedding_bag(tensor_of(1), ones(3, 2), mode="all"),
        ValueError,
        "embedding_bag: mode is 'sum', 'mean' or 'max', not 'all'.",
    ),
    "negative class": (
        lambda: F.one_hot(tensor_of(1, -1)),
        RuntimeError,
        "one_hot: Class values must be non-negative, got -1.",
    ),
    "class too large": (
        lambda: F.one_hot(tensor_of(1, 5), 3),
        RuntimeError,
        "one_hot: Class values must be smaller than num_classes: got 5, num_classes=3.",
    ),
    "one hot of int32": (
        lambda: F.one_hot(tensor_of(1).int()),
        RuntimeError,
        "one_hot is only applicable to index tensor of type LongTensor, not"
        " torch.IntTensor.",
    ),
    "probability": (
        lambda: F.dropout(ones(2), 1.5),
        ValueError,
        "dropout: dropout probability has to be between 0 and 1, but got 1.5.",
    ),
    "rank of dropout": (
        lambda: F.dropout1d(ones(2)),
        RuntimeError,
        "dropout1d: Expected 2D or 3D input, but received a 1D input: (batch,)"
        " channels, length.",
    ),
    "channels of dropout": (
        lambda: F.feature_alpha_dropout(ones(2), training=True),
        RuntimeError,
        "feature_alpha_dropout: Feature dropout requires at least 2 dimensions in the"
        " input, got 1.",
    ),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_refusal(what):
    call, raises, text = REFUSALS[what]
    with pytest.raises(raises) as caught:
        call()
    assert str(caught.value) == text


HUGE = [
    lambda: F.conv1d(ones(1, 1, 4), ones(1, 1, 1), padding=10**13),
    lambda: F.conv_transpose1d(ones(1, 1, 4), ones(1, 1, 1), stride=10**13),
    lambda: F.interpolate(ones(1, 1, 4), 10**13),
    lambda: F.adaptive_avg_pool1d(ones(1, 1, 4), 10**13),
    lambda: F.one_hot(tensor_of(0, 1), 10**14),
    lambda: F.unfold(ones(1, 1, 4, 4), 1, padding=10**7),
]


@pytest.mark.parametrize("call", HUGE)
def test_sizes_beyond_memory(call):
    with pytest.raises(atrous.OutOfMemoryError, match=r"cannot allocate .* GiB"):
        call()
