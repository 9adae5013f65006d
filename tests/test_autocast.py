"""Autocast: torch's dtypes operation by operation, its contexts, and its scaler."""

import threading

import pytest

torch = pytest.importorskip("torch")

import numpy as np  # noqa: E402
from oracle import array  # noqa: E402

import atrous  # noqa: E402

LABELS = [0, 1, 2, 3]


def functional(name, *more, **options):
    return lambda T, *given: getattr(T.nn.functional, name)(*given, *more, **options)


def operation(name, *more, **options):
    return lambda T, *given: getattr(T, name)(*given, *more, **options)


def of_classes(name, **options):
    return lambda T, x: getattr(T.nn.functional, name)(x, T.tensor(LABELS), **options)


def pad(mode, rank):
    return lambda T, x: T.nn.functional.pad(x, (1, 1) * rank, mode=mode)


IMAGES = {1: (2, 3, 6), 2: (2, 3, 6, 6), 3: (2, 3, 6, 6, 6)}
SQUARE, BATCH, VECTOR = (4, 4), (2, 4, 4), (4,)
#: Programs by name, with the shapes of their floating point operands.
PROGRAMS = {
    "linear": (functional("linear"), (2, 4), (3, 4), (3,)),
    "linear, no bias": (functional("linear"), (2, 5, 4), (3, 4)),
    "linear, a vector": (functional("linear"), (2, 4), (4,)),
    "bilinear": (functional("bilinear"), (2, 4), (2, 5), (3, 4, 5), (3,)),
    "@": (lambda T, a, b: a @ b, SQUARE, SQUARE),
    "Tensor.mm": (lambda T, a, b: a.mm(b), SQUARE, SQUARE),
    "addmm_": (lambda T, a, b: T.zeros(4, 4).addmm_(a, b), SQUARE, SQUARE),
    "einsum": (lambda T, a, b: T.einsum("ij,jk->ik", a, b), SQUARE, SQUARE),
    "einsum, outer": (lambda T, a, b: T.einsum("i,j->ij", a, b), VECTOR, VECTOR),
    "einsum, sums": (lambda T, a, b: T.einsum("ij,ij->i", a, b), SQUARE, SQUARE),
    "einsum, one": (lambda T, a: T.einsum("ij->i", a), SQUARE),
    "tensordot": (operation("tensordot", 1), SQUARE, SQUARE),
    "linalg.vecdot": (lambda T, a, b: T.linalg.vecdot(a, b), SQUARE, SQUARE),
    "linalg.multi_dot": (lambda T, a: T.linalg.multi_dot([a, a, a]), SQUARE),
    "matmul, vectors": (operation("matmul"), VECTOR, VECTOR),
    "matmul, a vector": (operation("matmul"), SQUARE, VECTOR),
    "prelu": (functional("prelu"), (2, 3, 6), (3,)),
    "affine_grid": (functional("affine_grid", (2, 3, 4, 4), False), (2, 2, 3)),
    "grid_sample": (
        functional("grid_sample", align_corners=False),
        *((2, 3, 5, 5), (2, 4, 4, 2)),
    ),
    "cross_entropy": (of_classes("cross_entropy"), SQUARE),
    "cross_entropy, shares": (functional("cross_entropy"), SQUARE, SQUARE),
    "smoothed": (of_classes("cross_entropy", label_smoothing=0.1), SQUARE),
    "nll_loss": (of_classes("nll_loss"), SQUARE),
    "multi_margin_loss": (of_classes("multi_margin_loss"), SQUARE),
    "kl_div": (functional("kl_div", reduction="sum"), SQUARE, SQUARE),
    "gaussian_nll_loss": (functional("gaussian_nll_loss"), SQUARE, SQUARE, SQUARE),
    "triplet_margin_loss": (functional("triplet_margin_loss"), SQUARE, SQUARE, SQUARE),
    "cosine_embedding_loss": (
        functional("cosine_embedding_loss"),
        *(SQUARE, SQUARE, VECTOR),
    ),
    "margin_ranking_loss": (
        functional("margin_ranking_loss"),
        *(VECTOR, VECTOR, VECTOR),
    ),
    "max_unpool2d": (
        lambda T, x: T.nn.functional.max_unpool2d(
            x, T.zeros(1, 1, 2, 2, dtype=T.int64), 2
        ),
        (1, 1, 2, 2),
    ),
    "local_response_norm": (functional("local_response_norm", 2), IMAGES[2]),
    "local_response_norm, 1-D": (functional("local_response_norm", 2), IMAGES[1]),
    "layer_norm": (functional("layer_norm", (4,)), SQUARE),
    "batch_norm": (
        lambda T, x: T.nn.functional.batch_norm(x, None, None, training=True),
        IMAGES[2],
    ),
    "group_norm": (functional("group_norm", 3), IMAGES[2]),
    "instance_norm": (functional("instance_norm"), IMAGES[2]),
    "quantile": (operation("quantile", 0.5), VECTOR),
    "nanquantile": (operation("nanquantile", 0.5), VECTOR),
    "prod of an axis": (operation("prod", 0), SQUARE),
    "softmax": (operation("softmax", 1), SQUARE),
    "log_softmax": (operation("log_softmax", 1), SQUARE),
    "cumsum": (operation("cumsum", 0), SQUARE),
    "cat": (lambda T, *each: T.cat(each), SQUARE, SQUARE, SQUARE),
    "stack": (lambda T, *each: T.stack(each), SQUARE, SQUARE, SQUARE),
    "hstack": (lambda T, *each: T.hstack(each), SQUARE, SQUARE),
    "index_copy": (
        lambda T, a, b: T.index_copy(a, 0, T.tensor(LABELS), b),
        *(SQUARE, SQUARE),
    ),
    "cosine_similarity": (functional("cosine_similarity"), SQUARE, SQUARE),
    "pairwise_distance": (functional("pairwise_distance"), SQUARE, SQUARE),
    "normalize": (functional("normalize"), SQUARE),
    "where": (lambda T, a, b: T.where(a > 0.5, a, b), SQUARE, SQUARE),
}
for rank, image in IMAGES.items():
    weight = (4, 3, *(3,) * rank)
    PROGRAMS |= {
        f"conv{rank}d": (functional(f"conv{rank}d"), image, weight, (4,)),
        f"conv_transpose{rank}d": (
            functional(f"conv_transpose{rank}d"),
            *(image, (3, *weight[:1], *weight[2:]), (4,)),
        ),
        **{
            f"{kind}{rank}d": (functional(f"{kind}{rank}d", *sizes), image)
            for kind, sizes in {
                "max_pool": (2,),
                "avg_pool": (2,),
                "lp_pool": (2.0, 2),
                "adaptive_avg_pool": (2,),
                "adaptive_max_pool": (2,),
            }.items()
        },
        **{
            f"pad {mode} {rank}": (pad(mode, rank), image)
            for mode in ("constant", "reflect", "replicate", "circular")
        },
        **{
            f"interpolate {mode} {rank}": (
                functional("interpolate", scale_factor=2, mode=mode),
                image,
            )
            for mode in (
                "nearest",
                "area",
                ("linear", "bilinear", "trilinear")[rank - 1],
            )
        },
    }
for names, shapes in {
    "mm matmul inner add mul dist": (SQUARE, SQUARE),
    "chain_matmul addmm addcmul": (SQUARE, SQUARE, SQUARE),
    "bmm": (BATCH, BATCH),
    "baddbmm": (BATCH, BATCH, BATCH),
    "addbmm": (SQUARE, BATCH, BATCH),
    "mv": (SQUARE, VECTOR),
    "dot outer": (VECTOR, VECTOR),
    "addmv": (VECTOR, SQUARE, VECTOR),
    "addr": (SQUARE, VECTOR, VECTOR),
    "prod trace sum mean std var norm median exp log sqrt relu sigmoid tanh erf": (
        SQUARE,
    ),
}.items():
    PROGRAMS |= {name: (operation(name), *shapes) for name in names.split()}
for name in """
    mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy poisson_nll_loss
    binary_cross_entropy_with_logits soft_margin_loss hinge_embedding_loss
    multilabel_soft_margin_loss
""".split():
    PROGRAMS[name] = (functional(name), SQUARE, SQUARE)

KINDS = "float32 bfloat16 float16 float64 mixed".split()
STATES = [("bfloat16", True), ("float16", True), ("bfloat16", False)]


def operands(T, shapes, kind):
    """Values in (0.1, 0.9), all of a dtype, or the first of half the width."""
    random = np.random.default_rng(0)
    made = [T.from_numpy(random.uniform(0.1, 0.9, shape)) for shape in shapes]
    if kind == "mixed":
        return [made[0].bfloat16(), *(each.float() for each in made[1:])]
    return [each.to(getattr(T, kind)) for each in made]


def dtype_of(T, program, shapes, kind, lower, enabled):
    """The result's dtype under autocast, or the type of the exception."""
    try:
        with T.autocast("cpu", dtype=getattr(T, lower), enabled=enabled):
            return str(program(T, *operands(T, shapes, kind)).dtype)
    except Exception as error:
        return type(error)


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.filterwarnings("ignore:An output with one or more elements was resized")
def test_results_have_torchs_dtypes(name):
    program, *shapes = PROGRAMS[name]
    compared = 0
    for kind in KINDS if len(shapes) > 1 else KINDS[:-1]:
        for lower, enabled in STATES if kind != "mixed" else STATES[:2]:
            expected = dtype_of(torch, program, shapes, kind, lower, enabled)
            if isinstance(expected, str):
                actual = dtype_of(atrous, program, shapes, kind, lower, enabled)
                assert actual == expected, (kind, lower, enabled)
                compared += 1
    assert compared >= 3


def test_out_is_not_cast():
    with atrous.autocast("cpu"):
        out = atrous.empty(2, 2)
        atrous.mm(atrous.ones(2, 2), atrous.full((2, 2), 1.001), out=out)
    assert out.dtype is atrous.float32 and out[0, 0].item() == pytest.approx(2.002)


# Contexts


def kinds_within(T):
    """Result dtypes through nested, disabled and left contexts."""
    x, found = T.ones(2, 2), []

    def note():
        found.append((str((x @ x).dtype), T.is_autocast_enabled("cpu")))
        found.append(str(T.get_autocast_dtype("cpu")))

    note()
    with T.autocast("cpu"):
        note()
        with T.autocast("cpu", dtype=T.float16):
            note()
            with T.autocast("cpu", enabled=False):
                note()
            note()
        note()
        with T.amp.autocast("cpu", enabled=False):
            note()
    note()
    return found


def test_contexts_nest_as_in_torch():
    assert kinds_within(atrous) == kinds_within(torch)


def test_an_exception_leaves_the_context():
    with pytest.raises(KeyError), atrous.autocast("cpu"):
        raise KeyError
    assert not atrous.is_autocast_enabled("cpu")


def test_it_decorates_functions_that_call_themselves():
    @atrous.autocast("cpu", dtype=atrous.bfloat16)
    def product(x, times):
        return product(x, times - 1) if times else x @ x

    assert product(atrous.ones(2, 2), 2).dtype is atrous.bfloat16
    assert product.__name__ == "product" and not atrous.is_autocast_enabled("cpu")


def test_autocast_is_the_threads_own():
    found = []
    with atrous.autocast("cpu"):
        asked = threading.Thread(
            target=lambda: found.append(atrous.is_autocast_enabled("cpu"))
        )
        asked.start()
        asked.join()
    assert found == [False]


def test_state_is_set_without_a_context():
    try:
        atrous.set_autocast_dtype("cpu", atrous.float16)
        atrous.set_autocast_enabled("cpu", True)
        assert (atrous.ones(2, 2) @ atrous.ones(2, 2)).dtype is atrous.float16
        atrous.set_autocast_dtype("cpu", atrous.bfloat16)
        assert (atrous.ones(2, 2) @ atrous.ones(2, 2)).dtype is atrous.bfloat16
    finally:
        atrous.set_autocast_enabled("cpu", False)
    assert atrous.is_autocast_cache_enabled()
    atrous.set_autocast_enabled("cuda", True)
    assert atrous.is_autocast_enabled() and not atrous.is_autocast_enabled("cpu")
    atrous.set_autocast_enabled("cuda", False)
    assert not atrous.is_autocast_enabled("cuda")
    assert atrous.get_autocast_dtype("cuda") is atrous.float16


def test_old_names_are_deprecated():
    with pytest.warns(DeprecationWarning) as caught:
        assert atrous.is_autocast_cpu_enabled() is False
    assert str(caught[0].message) == (
        "torch.is_autocast_cpu_enabled() is deprecated. Please use"
        " torch.is_autocast_enabled('cpu', …) instead."
    )
    for T in (torch, atrous):
        with pytest.warns(FutureWarning, match=r"torch.cpu.amp.autocast\(args...\)"):
            context = T.cpu.amp.autocast(dtype=T.float16)
        with context:
            assert str((T.ones(2, 2) @ T.ones(2, 2)).dtype) == "torch.float16"
        with pytest.warns(FutureWarning, match=r"torch.cpu.amp.GradScaler\(args...\)"):
            assert T.cpu.amp.GradScaler().is_enabled()
        with pytest.warns((FutureWarning, UserWarning)):
            assert not T.cuda.amp.GradScaler().is_enabled()


REFUSED = {
    "T.autocast(5)": "autocast: `device_type` is a str, as 'cpu', not <class 'int'>.",
    "T.autocast('nope')": (
        "Expected one of cpu, cuda, mps, xpu, meta device type at start of device"
        " string: nope"
    ),
    "T.is_autocast_enabled(3)": (
        "is_autocast_enabled(): argument 'device_type' must be str, not int"
    ),
    "T.amp.custom_fwd(device_type=1)": (
        "autocast: `device_type` is a str, as 'cpu', not <class 'int'>."
    ),
    "T.amp.GradScaler('cpu', growth_factor=1.0)": (
        "GradScaler: growth_factor must be > 1, not 1.0."
    ),
    "T.amp.GradScaler('cpu', backoff_factor=2.0)": (
        "GradScaler: backoff_factor must be < 1, not 2.0."
    ),
    "T.amp.GradScaler('cpu').scale(5)": (
        "GradScaler.scale: takes a Tensor or an iterable of Tensors, not int."
    ),
    "T.amp.GradScaler('cpu').update()": (
        "GradScaler.update: nothing was scaled yet; call scale(loss) first."
    ),
    "T.amp.GradScaler('cpu').load_state_dict({})": (
        "GradScaler.load_state_dict: the state is empty: it was saved from a scaler"
        " that was disabled."
    ),
}


@pytest.mark.parametrize("expression", REFUSED)
def test_refusals_are_torchs(expression):
    with pytest.raises(Exception) as theirs:
        eval(expression, {"T": torch})
    with pytest.raises(theirs.type) as ours:
        eval(expression, {"T": atrous})
    assert str(ours.value) == REFUSED[expression]


@pytest.mark.parametrize(
    "arguments, text",
    [
        (
            "'cpu', dtype=T.float32",
            "autocast: takes torch.bfloat16 or torch.float16 on the CPU, not"
            " torch.float32. Disabling autocast.",
        ),
        ("'cuda'", "autocast: there is no CUDA device. Disabling autocast."),
    ],
)
def test_what_cannot_be_is_warned_of_and_disabled(arguments, text):
    for T in (torch, atrous):
        with pytest.warns(UserWarning, match="Disabling autocast") as caught:
            context = eval(f"T.autocast({arguments})", {"T": T})
        with context:
            assert (T.ones(2, 2) @ T.ones(2, 2)).dtype is T.float32
    assert str(caught[0].message) == text


def test_what_is_available():
    for kind in ("cpu", "cuda", "meta"):
        expected = torch.amp.is_autocast_available(kind)
        assert atrous.amp.is_autocast_available(kind) == expected


# Gradients


def model(T):
    nn = T.nn
    T.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.GroupNorm(2, 8),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 4, 2, stride=2),
        nn.Flatten(),
        nn.Linear(4 * 8 * 8, 3),
    )


def batch(T, seed=0, count=16):
    """Images of noise in which a band is brighter: which third it is in."""
    random = np.random.default_rng(seed)
    target = random.integers(0, 3, count)
    images = random.standard_normal((count, 1, 8, 8)).astype(np.float32)
    for image, place in zip(images, target, strict=True):
        image[:, 3 * place : 3 * place + 2] += 2
    return T.from_numpy(images), T.from_numpy(target)


def test_gradients_have_the_parameters_dtype_and_torchs_values():
    found = []
    for T in (torch, atrous):
        net, (x, y) = model(T), batch(T)
        x.requires_grad_()
        with T.autocast("cpu", dtype=T.bfloat16):
            out = net(x)
            loss = T.nn.functional.cross_entropy(out, y)
        loss.backward()
        kinds = [str(each.dtype) for each in (out, loss, x.grad)]
        assert kinds == ["torch.bfloat16", "torch.float32", "torch.float32"]
        assert all(p.dtype is T.float32 is p.grad.dtype for p in net.parameters())
        found.append([loss, x.grad, *(p.grad for p in net.parameters())])
    for expected, actual in zip(*found, strict=True):
        expected, actual = array(expected), array(actual)
        gap = np.linalg.norm(actual - expected)
        # Two roundings to 8 bits a layer, each 2⁻⁹ at most, in ten layers both ways;
        # a bias that BatchNorm removes has no gradient but noise.
        assert gap <= 0.05 * np.linalg.norm(expected) + 2e-3


def test_a_parameter_is_cast_once_in_a_context():
    weight = atrous.ones(2, 2, requires_grad=True)
    x = atrous.ones(2, 2)
    with atrous.autocast("cpu"):
        first, second = x @ weight, x @ weight
        held = [each.grad_fn.next_functions[1][0] for each in (first, second)]
        assert held[0] is held[1]
        with atrous.no_grad():
            weight.mul_(3)
        assert (x @ weight)[0, 0].item() == 6  # torch's cast would be the old one
    with atrous.autocast("cpu", cache_enabled=False):
        first, second = x @ weight, x @ weight
        held = [each.grad_fn.next_functions[1][0] for each in (first, second)]
        assert held[0] is not held[1]
    (first + second).sum().backward()
    assert weight.grad.dtype is atrous.float32 and weight.grad[0, 0].item() == 4


def test_a_cast_made_without_recording_is_not_used_with_it():
    weight = atrous.ones(2, 2, requires_grad=True)
    with atrous.autocast("cpu"):
        with atrous.no_grad():
            assert not (weight @ weight).requires_grad
        (weight @ weight).float().sum().backward()
    assert weight.grad is not None


def test_no_parameter_outlives_its_context():
    weight = atrous.ones(2, 2, requires_grad=True)
    with atrous.autocast("cpu"), atrous.autocast("cpu"):
        assert (weight @ weight).dtype is atrous.bfloat16
    assert not atrous.ops.autocast.state.casts


def custom(T, cast):
    """A product of the user's own; what dtypes its two passes see."""
    seen = []

    class Product(T.autograd.Function):
        @staticmethod
        @T.amp.custom_fwd(device_type="cpu", cast_inputs=T.float32 if cast else None)
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            out = a @ b
            seen.extend([str(a.dtype), str(out.dtype), T.is_autocast_enabled("cpu")])
            return out

        @staticmethod
        @T.amp.custom_bwd(device_type="cpu")
        def backward(ctx, g):
            a, b = ctx.saved_tensors
            back = g @ b.mT
            seen.extend([str(back.dtype), T.is_autocast_enabled("cpu")])
            return back, a.mT @ g

    a, b = (T.ones(2, 2).bfloat16().requires_grad_() for _ in range(2))
    with T.autocast("cpu", dtype=T.bfloat16):
        out = Product.apply(a, b)
    out.sum().backward()
    Product.apply(a.float(), b.float())
    return [*seen, str(out.dtype), str(a.grad.dtype)]


@pytest.mark.parametrize("cast_inputs", [False, True])
def test_custom_functions_run_as_in_torch(cast_inputs):
    assert custom(atrous, cast_inputs) == custom(torch, cast_inputs)


# Training


def train(T, steps=40, autocast=None, scaler=None):
    """The mean loss of the last ten of `steps`, and the network."""
    net, losses = model(T), []
    optimizer = T.optim.AdamW(net.parameters(), lr=0.005)
    for step in range(steps):
        x, y = batch(T, step)
        optimizer.zero_grad()
        with T.autocast("cpu", dtype=autocast, enabled=autocast is not None):
            loss = T.nn.functional.cross_entropy(net(x), y)
        if scaler is None:
            loss.backward()
            optimizer.step()
        else:
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        losses.append(loss.item())
    return float(np.mean(losses[-10:])), net


def test_training_in_bfloat16_reaches_the_loss_of_float32():
    exact, _ = train(atrous)
    lower, net = train(atrous, autocast=atrous.bfloat16)
    assert exact < 0.2 and abs(lower - exact) < 0.05
    assert all(p.dtype is atrous.float32 for p in net.parameters())
    assert net[1].running_mean.dtype is atrous.float32


def test_training_in_float16_with_a_scaler_does_too():
    scaler = atrous.amp.GradScaler("cpu", init_scale=2.0**10)
    loss, _ = train(atrous, autocast=atrous.float16, scaler=scaler)
    assert loss < 0.2
