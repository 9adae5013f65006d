"""Every layer against torch's: repr, default weights, output, gradients, evaluation."""

import warnings

import pytest

torch = pytest.importorskip("torch")

from oracle import array, check, difference  # noqa: E402

import atrous  # noqa: E402


def build(T, text):
    T.manual_seed(7)
    return eval(text, {"nn": T.nn, "T": T})


# (constructor, shape of the input)
LAYERS = [
    ("nn.Conv1d(2, 4, 3)", (2, 2, 9)),
    ("nn.Conv1d(2, 4, (3,), bias=False)", (2, 9)),
    ("nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2)", (1, 4, 7, 6)),
    ("nn.Conv2d(2, 4, (3, 2), padding='same', dilation=(2, 3))", (1, 2, 7, 6)),
    ("nn.Conv2d(2, 4, 3, padding='valid')", (1, 2, 7, 6)),
    ("nn.Conv2d(2, 4, 3, padding=(1, 2), padding_mode='reflect')", (1, 2, 7, 6)),
    ("nn.Conv2d(2, 4, 4, padding='same', padding_mode='replicate')", (1, 2, 7, 6)),
    ("nn.Conv3d(2, 4, 3, padding=1, padding_mode='circular')", (1, 2, 4, 5, 6)),
    ("nn.Conv3d(2, 2, 3, padding=1, groups=2)", (2, 2, 3, 4, 5)),
    ("nn.ConvTranspose1d(2, 4, 3, stride=2, output_padding=1)", (2, 2, 5)),
    ("nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1, groups=2)", (1, 4, 3, 4)),
    ("nn.ConvTranspose3d(2, 3, 2, stride=2, dilation=2)", (1, 2, 2, 3, 2)),
    ("nn.BatchNorm1d(3)", (4, 3)),
    ("nn.BatchNorm1d(3, momentum=None)", (4, 3, 2)),
    ("nn.BatchNorm2d(3, eps=1e-3, affine=False)", (4, 3, 2, 2)),
    ("nn.BatchNorm2d(3, bias=False)", (4, 3, 2, 2)),
    ("nn.BatchNorm3d(3, track_running_stats=False)", (4, 3, 2, 2, 1)),
    ("nn.InstanceNorm1d(3)", (2, 3, 5)),
    ("nn.InstanceNorm2d(3, affine=True)", (3, 4, 5)),
    ("nn.InstanceNorm3d(3, track_running_stats=True)", (2, 3, 2, 3, 4)),
    ("nn.GroupNorm(2, 4)", (2, 4, 3, 2)),
    ("nn.GroupNorm(2, 4, bias=False)", (2, 4, 3, 2)),
    ("nn.LayerNorm((3, 4))", (2, 3, 4)),
    ("nn.LayerNorm(4, bias=False)", (2, 3, 4)),
    ("nn.LayerNorm(4, elementwise_affine=False)", (2, 3, 4)),
    ("nn.RMSNorm(4)", (2, 3, 4)),
    ("nn.LocalResponseNorm(2)", (2, 4, 3, 3)),
    ("nn.MaxPool1d(3)", (2, 2, 9)),
    ("nn.MaxPool2d((3, 2), stride=1, padding=1, ceil_mode=True)", (2, 2, 7, 6)),
    ("nn.MaxPool2d(2, dilation=2)", (2, 7, 6)),
    ("nn.MaxPool3d(2)", (1, 2, 4, 4, 5)),
    ("nn.AvgPool1d(3, stride=2)", (2, 2, 9)),
    ("nn.AvgPool2d(3, padding=1, count_include_pad=False)", (2, 2, 7, 6)),
    ("nn.AvgPool3d(2, divisor_override=3)", (1, 2, 4, 4, 5)),
    ("nn.AdaptiveAvgPool1d(3)", (2, 2, 7)),
    ("nn.AdaptiveAvgPool2d((None, 2))", (2, 2, 7, 6)),
    ("nn.AdaptiveAvgPool3d(1)", (1, 2, 4, 4, 5)),
    ("nn.AdaptiveMaxPool1d(3)", (2, 2, 7)),
    ("nn.AdaptiveMaxPool2d((3, 2))", (2, 2, 7, 6)),
    ("nn.AdaptiveMaxPool3d(2)", (1, 2, 4, 4, 5)),
    ("nn.LPPool1d(2, 3)", (2, 2, 9)),
    ("nn.LPPool2d(2, 2, stride=1)", (2, 2, 5, 6)),
    ("nn.LPPool3d(2, 2)", (2, 2, 4, 4, 4)),
    ("nn.ConstantPad1d(2, 3.5)", (2, 2, 4)),
    ("nn.ConstantPad2d((1, 0, -1, 2), 1.0)", (2, 2, 4, 4)),
    ("nn.ConstantPad3d(1, 0.5)", (1, 1, 2, 3, 4)),
    ("nn.ZeroPad1d(1)", (1, 2, 4)),
    ("nn.ZeroPad2d(1)", (1, 2, 4, 3)),
    ("nn.ZeroPad3d(1)", (1, 2, 4, 3, 2)),
    ("nn.ReflectionPad1d(2)", (1, 2, 4)),
    ("nn.ReflectionPad2d((1, 2, 0, 1))", (1, 2, 4, 3)),
    ("nn.ReflectionPad3d(1)", (1, 2, 4, 3, 2)),
    ("nn.ReplicationPad1d(2)", (1, 2, 4)),
    ("nn.ReplicationPad2d(1)", (2, 4, 3)),
    ("nn.ReplicationPad3d(1)", (1, 2, 4, 3, 2)),
    ("nn.CircularPad1d(2)", (1, 2, 4)),
    ("nn.CircularPad2d((1, 2, 0, 1))", (1, 2, 4, 3)),
    ("nn.CircularPad3d(1)", (1, 2, 4, 3, 2)),
    ("nn.Linear(4, 3)", (2, 5, 4)),
    ("nn.Linear(4, 3, bias=False)", (4,)),
    ("nn.Identity(54, unused=True)", (2, 3)),
    ("nn.Flatten()", (2, 3, 4)),
    ("nn.Flatten(0, 1)", (2, 3, 4)),
    ("nn.Unflatten(1, (2, -1))", (3, 4)),
    ("nn.Upsample(scale_factor=2)", (1, 2, 3, 4)),
    ("nn.Upsample(size=(5, 7), mode='bilinear')", (1, 2, 3, 4)),
    ("nn.Upsample(scale_factor=(2, 1, 3), mode='trilinear')", (1, 2, 2, 3, 2)),
    ("nn.Upsample(size=9, mode='linear', align_corners=True)", (1, 2, 4)),
    ("nn.UpsamplingNearest2d(scale_factor=2)", (1, 2, 3, 4)),
    ("nn.UpsamplingBilinear2d(size=(5, 6))", (1, 2, 3, 4)),
    ("nn.PixelShuffle(2)", (1, 8, 2, 3)),
    ("nn.PixelUnshuffle(2)", (1, 2, 4, 6)),
    ("nn.ChannelShuffle(2)", (1, 6, 2, 2)),
    ("nn.Unfold(3, padding=1, stride=2)", (2, 2, 5, 6)),
    ("nn.Fold((4, 5), (2, 3), dilation=1)", (2, 12, 9)),
    ("nn.ReLU()", (3, 4)),
    ("nn.ReLU6()", (3, 4)),
    ("nn.Hardtanh(-0.5, 0.7)", (3, 4)),
    ("nn.Threshold(0.1, 0.5)", (3, 4)),
    ("nn.Sigmoid()", (3, 4)),
    ("nn.Tanh()", (3, 4)),
    ("nn.Hardsigmoid()", (3, 4)),
    ("nn.Hardswish()", (3, 4)),
    ("nn.SiLU()", (3, 4)),
    ("nn.Mish()", (3, 4)),
    ("nn.ELU(0.5)", (3, 4)),
    ("nn.CELU(0.5)", (3, 4)),
    ("nn.SELU()", (3, 4)),
    ("nn.GLU()", (3, 4)),
    ("nn.GELU()", (3, 4)),
    ("nn.GELU('tanh')", (3, 4)),
    ("nn.Hardshrink()", (3, 4)),
    ("nn.Softshrink(0.3)", (3, 4)),
    ("nn.LeakyReLU(0.2)", (3, 4)),
    ("nn.LogSigmoid()", (3, 4)),
    ("nn.Softplus(2.0)", (3, 4)),
    ("nn.Softsign()", (3, 4)),
    ("nn.Tanhshrink()", (3, 4)),
    ("nn.PReLU()", (3, 4)),
    ("nn.PReLU(4, init=0.1)", (3, 4)),
    ("nn.Softmin(1)", (3, 4)),
    ("nn.Softmax(dim=0)", (3, 4)),
    ("nn.LogSoftmax(-1)", (3, 4)),
    ("nn.Softmax2d()", (2, 3, 2, 2)),
]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("text, shape", LAYERS, ids=[text for text, _ in LAYERS])
def test_layer_is_torchs(text, shape):
    ours, theirs = build(atrous, text), build(torch, text)
    assert repr(ours) == repr(theirs)
    state, expected = ours.state_dict(), theirs.state_dict()
    assert list(state) == list(expected)
    assert state._metadata == expected._metadata
    for name in expected:
        assert (array(state[name]) == array(expected[name])).all(), name

    def train(T, x):
        layer = build(T, text)
        y = layer(x)
        weights = list(layer.parameters())
        (y * y).sum().backward(inputs=weights, retain_graph=True) if weights else None
        return y, *[weight.grad for weight in weights], *layer.buffers()

    x = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    check(train, x.requires_grad_())
    check(lambda T, x: build(T, text).eval()(x), x.requires_grad_())


LOSSES = [
    ("nn.L1Loss()", "real"),
    ("nn.MSELoss(reduction='sum')", "real"),
    ("nn.SmoothL1Loss(beta=0.5)", "real"),
    ("nn.HuberLoss(delta=0.5)", "real"),
    ("nn.CrossEntropyLoss()", "class"),
    ("nn.CrossEntropyLoss(T.arange(1.0, 5.0), ignore_index=2)", "class"),
    ("nn.CrossEntropyLoss(label_smoothing=0.1, reduction='none')", "class"),
    ("nn.NLLLoss()", "class"),
    ("nn.BCELoss()", "probability"),
    ("nn.BCEWithLogitsLoss(pos_weight=T.arange(1.0, 5.0))", "probability"),
    ("nn.KLDivLoss(reduction='batchmean')", "probability"),
    ("nn.PoissonNLLLoss(full=True)", "probability"),
    ("nn.SoftMarginLoss()", "sign"),
    ("nn.HingeEmbeddingLoss()", "sign"),
    ("nn.MultiMarginLoss(p=2)", "class"),
    ("nn.MultiLabelSoftMarginLoss()", "probability"),
]


def target(kind, shape):
    made = torch.Generator().manual_seed(5)
    values = torch.rand(shape, generator=made)
    if kind == "class":
        return torch.randint(0, shape[1], shape[:1], generator=made)
    if kind == "sign":
        return (values > 0.5).float() * 2 - 1
    return values


@pytest.mark.parametrize("text, kind", LOSSES, ids=[text for text, _ in LOSSES])
def test_loss_is_torchs(text, kind):
    assert repr(build(atrous, text)) == repr(build(torch, text))
    x = torch.rand(3, 4, generator=torch.Generator().manual_seed(3)).requires_grad_()

    def loss(T, x, y):
        return build(T, text)(x, y)

    check(loss, x, target(kind, (3, 4)))


PAIRS = [
    ("nn.CosineSimilarity()", 2),
    ("nn.PairwiseDistance(keepdim=True)", 2),
    ("nn.Bilinear(4, 4, 2)", 2),
    ("nn.TripletMarginLoss(swap=True)", 3),
    ("nn.TripletMarginWithDistanceLoss()", 3),
]


@pytest.mark.parametrize("text, count", PAIRS, ids=[text for text, _ in PAIRS])
def test_layer_of_several_inputs_is_torchs(text, count):
    made = torch.Generator().manual_seed(3)
    inputs = [torch.rand(3, 4, generator=made) for _ in range(count)]
    check(lambda T, *given: build(T, text)(*given), *inputs)


def test_losses_of_pairs_are_torchs():
    made = torch.Generator().manual_seed(3)
    a, b = (torch.rand(3, 4, generator=made) for _ in range(2))
    sign = torch.tensor([1.0, -1.0, 1.0])
    for text in ("nn.CosineEmbeddingLoss(0.1)", "nn.MarginRankingLoss(0.1)"):
        rows = (a, b) if "Cosine" in text else (a[:, 0], b[:, 0])
        check(lambda T, *given, text=text: build(T, text)(*given), *rows, sign)
    check(lambda T, *given: build(T, "nn.GaussianNLLLoss()")(*given), a, b, b + 1)
    labels = torch.tensor([[1, 0, -1, -1], [3, -1, 0, 0], [-1, 0, 0, 0]])
    check(lambda T, *given: build(T, "nn.MultiLabelMarginLoss()")(*given), a, labels)


def test_embedding_is_torchs():
    indices = torch.tensor([[1, 2], [0, 1]])
    text = "nn.Embedding(3, 4, padding_idx=-1, max_norm=1.0)"
    assert repr(build(atrous, text)) == repr(build(torch, text))
    check(lambda T, i: build(T, "nn.Embedding(3, 4, padding_idx=-1)")(i), indices)
    check(
        lambda T, table, i: T.nn.Embedding.from_pretrained(table)(i),
        torch.rand(3, 4),
        indices,
    )


def test_unpooling_puts_values_back():
    def program(T, x):
        pool, unpool = T.nn.MaxPool2d(2, return_indices=True), T.nn.MaxUnpool2d(2)
        y, places = pool(x)
        return places, unpool(y, places, output_size=x.shape)

    check(program, torch.randn(1, 2, 4, 5))
    assert repr(atrous.nn.MaxUnpool3d(2)) == repr(torch.nn.MaxUnpool3d(2))


def test_running_statistics_follow_the_batches():
    def program(T, x):
        layer = T.nn.BatchNorm2d(3, momentum=None)
        for _ in range(3):
            x = layer(x) * 2 + 1
        return layer.eval()(x), *layer.buffers()

    check(program, torch.randn(2, 3, 4, 4))


@pytest.mark.parametrize(
    "name", ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout")
)
def test_dropout_layers(name):
    ours, theirs = getattr(atrous.nn, name)(0.25), getattr(torch.nn, name)(0.25)
    assert repr(ours) == repr(theirs)
    x = atrous.ones(2, 3, *(4, 4, 4)[: int(name[-2]) if name[-1] == "d" else 1])
    assert (ours.eval()(x) == x).all()


def test_dropout_keeps_the_mean():
    kept = atrous.nn.Dropout(0.5)(atrous.ones(10000))
    assert set(kept.tolist()) == {0.0, 2.0}
    assert 4500 < (kept > 0).sum().item() < 5500
    channels = atrous.nn.Dropout2d(0.5)(atrous.ones(8, 16, 3, 3)).flatten(2)
    assert (channels.amin(-1) == channels.amax(-1)).all()


@pytest.mark.parametrize("axes", (1, 2, 3))
def test_transposed_convolution_reaches_an_output_size(axes):
    def program(T, x):
        layer = build(T, f"nn.ConvTranspose{axes}d(2, 3, 3, stride=2, padding=1)")
        sizes = [2 * size for size in x.shape[2:]]
        return layer(x, output_size=sizes), layer(x, output_size=(2, 3, *sizes))

    check(program, torch.randn(2, 2, *(3, 4, 2)[:axes]))


REFUSALS = [
    (
        "nn.Conv2d(3, 4, 3, groups=2)",
        ValueError,
        "Conv2d: in_channels=3 is not divisible by groups=2",
    ),
    (
        "nn.ConvTranspose1d(4, 3, 3, groups=2)",
        ValueError,
        "ConvTranspose1d: out_channels=3 is not divisible by groups=2",
    ),
    (
        "nn.Conv3d(4, 4, 3, groups=0)",
        ValueError,
        "Conv3d: groups must be at least 1, got 0",
    ),
    (
        "nn.Conv1d(4, 4, 3, padding_mode='mirror')",
        ValueError,
        "Conv1d: padding_mode must be one of zeros, reflect, replicate, circular, got "
        "'mirror'",
    ),
    (
        "nn.ConvTranspose2d(4, 4, 3, padding_mode='reflect')",
        ValueError,
        "ConvTranspose2d: padding_mode must be 'zeros', got 'reflect'",
    ),
    (
        "nn.Conv2d(4, 4, 3, padding='full')",
        ValueError,
        "Conv2d: padding must be a number of cells, 'valid' or 'same', got 'full'",
    ),
    (
        "nn.Conv2d(4, 4, 3, padding='same', stride=(1, 2))",
        ValueError,
        "Conv2d: padding='same' needs stride 1, got stride=(1, 2)",
    ),
    (
        "nn.Dropout(1.5)",
        ValueError,
        "Dropout: the probability p must be between 0 and 1, got 1.5",
    ),
    (
        "nn.GroupNorm(2, 3)",
        ValueError,
        "GroupNorm: num_channels=3 is not divisible by num_groups=2",
    ),
    (
        "nn.BatchNorm2d(3)(T.ones(2, 3))",
        ValueError,
        "BatchNorm2d: expected 4D input, got 2D: (2, 3)",
    ),
    (
        "nn.BatchNorm1d(3)(T.ones(3))",
        ValueError,
        "BatchNorm1d: expected 2D or 3D input, got 1D: (3,)",
    ),
    (
        "nn.InstanceNorm2d(3, affine=True)(T.ones(1, 4, 2, 2))",
        ValueError,
        "InstanceNorm2d: input has 4 channels, num_features is 3: (1, 4, 2, 2)",
    ),
    (
        "nn.ConvTranspose2d(2, 2, 3, stride=2)(T.ones(2, 4, 4), output_size=(20, 9))",
        ValueError,
        "ConvTranspose2d: output_size 20 on axis 0 cannot come from 4: 9 to 10 can",
    ),
    (
        "nn.ConvTranspose2d(2, 2, 3)(T.ones(1, 2, 4, 4), output_size=(6,))",
        ValueError,
        "ConvTranspose2d: output_size has 1 numbers, 2 or 4 expected for an input of 4 "
        "axes",
    ),
    (
        "nn.Embedding(3, 4, padding_idx=3)",
        AssertionError,
        "Embedding: padding_idx 3 is not within the 3 rows",
    ),
    ("nn.MultiMarginLoss(p=3)", ValueError, "MultiMarginLoss: p must be 1 or 2, got 3"),
    (
        "nn.Unflatten(1, 3)",
        TypeError,
        "Unflatten: unflattened_size must be a tuple of ints, got 3",
    ),
    ("nn.Bilinear(0, 1, 1)", ValueError, "Bilinear: in1_features must be > 0, got 0"),
    (
        "nn.Hardtanh(2.0, 1.0)",
        AssertionError,
        "Hardtanh: max_val must be larger than min_val, got 1.0 and 2.0",
    ),
    (
        "nn.Softmax2d()(T.ones(2))",
        ValueError,
        "Softmax2d: expected input to be 3D or 4D, got (2,)",
    ),
    (
        "nn.CircularPad2d(1)(T.ones(2))",
        ValueError,
        "CircularPad2d: expected 3D or 4D input, got 1D: (2,)",
    ),
    (
        "nn.ChannelShuffle(4)(T.ones(1, 6, 2, 2))",
        RuntimeError,
        "ChannelShuffle: 6 channels are not divisible by groups=4",
    ),
]


@pytest.mark.parametrize(
    "text, raises, message", REFUSALS, ids=[text for text, *_ in REFUSALS]
)
def test_refusal(text, raises, message):
    with pytest.raises(raises) as caught:
        build(atrous, text)
    assert str(caught.value) == message
    with pytest.raises(raises):
        build(torch, text)


@pytest.mark.parametrize("what", ("kernel_size=-1", "stride=0", "dilation=0"))
def test_convolution_refuses_what_no_input_fits(what):
    """Torch refuses these when the layer is called, with the same type."""
    name, number = what.split("=")
    arguments = {"kernel_size": 3, name: int(number)}
    least = 0 if name == "kernel_size" else 1
    with pytest.raises(RuntimeError) as caught:
        atrous.nn.Conv2d(2, 2, **arguments)
    expected = f"Conv2d: {name} must be at least {least}, got ({number}, {number})"
    assert str(caught.value) == expected


def test_old_arguments_of_losses_warn():
    with pytest.warns(UserWarning, match="please use reduction='sum'"):
        loss = atrous.nn.MSELoss(size_average=False)
    assert loss.reduction == "sum"
    with pytest.warns(UserWarning, match="please use reduction='none'"):
        assert atrous.nn.MSELoss(reduce=False).reduction == "none"


def test_instance_norm_warns_of_unused_channels():
    with pytest.warns(UserWarning, match="input has 4 channels, num_features is 3"):
        atrous.nn.InstanceNorm1d(3)(atrous.ones(2, 4, 5))


def test_private_bases_stand_where_torch_has_them():
    places = {
        "conv": ("_ConvNd", "_ConvTransposeNd"),
        "batchnorm": ("_NormBase", "_BatchNorm"),
        "instancenorm": ("_InstanceNorm",),
        "dropout": ("_DropoutNd",),
        "loss": ("_Loss", "_WeightedLoss"),
        "pooling": ("_MaxPoolNd", "_AvgPoolNd", "_AdaptiveAvgPoolNd"),
        "padding": ("_ConstantPadNd", "_ReflectionPadNd"),
    }
    for module, names in places.items():
        for name in names:
            ours = getattr(getattr(atrous.nn.modules, module), name)
            theirs = getattr(getattr(torch.nn.modules, module), name)
            for layer in atrous.nn.modules.__all__:
                if hasattr(torch.nn, layer):
                    ours_is = issubclass(getattr(atrous.nn, layer), ours)
                    assert ours_is == issubclass(getattr(torch.nn, layer), theirs)


def test_constructors_take_torchs_arguments():
    import inspect

    for name in atrous.nn.modules.__all__:
        if name in ("Module", "ParameterDict"):
            continue
        ours = inspect.signature(getattr(atrous.nn, name)).parameters
        theirs = inspect.signature(getattr(torch.nn, name)).parameters
        defaults = {key: value.default for key, value in ours.items()}
        assert defaults == {key: value.default for key, value in theirs.items()}, name


def test_convert_sync_batchnorm_keeps_values():
    net = atrous.nn.Sequential(atrous.nn.BatchNorm2d(3), atrous.nn.ReLU())
    converted = atrous.nn.SyncBatchNorm.convert_sync_batchnorm(net)
    assert type(converted[0]) is atrous.nn.SyncBatchNorm
    assert converted.state_dict().keys() == net.state_dict().keys()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (
            difference(converted(atrous.ones(2, 3, 1, 1)).tolist()[0][0], [[0.0]])
            is None
        )


def test_embedding_bag_is_torchs():
    text = "nn.EmbeddingBag(5, 3, mode='sum', padding_idx=1)"
    assert repr(build(atrous, text)) == repr(build(torch, text))
    indices = torch.tensor([1, 2, 4, 0, 3])
    check(lambda T, *given: build(T, text)(*given), indices, torch.tensor([0, 3]))
