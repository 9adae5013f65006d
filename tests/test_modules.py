"""Module: registries, walks, state dicts, hooks, conversion, printing, containers."""

import copy
import pickle
from collections import OrderedDict

import pytest

torch = pytest.importorskip("torch")

from oracle import array  # noqa: E402

import atrous  # noqa: E402

BOTH = pytest.mark.parametrize("T", (atrous, torch), ids=("atrous", "torch"))


def net(T):
    """A small network with every kind of member."""
    nn = T.nn

    class Block(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.conv = nn.Conv2d(channels, channels, 3, padding=1)
            self.norm = nn.BatchNorm2d(channels)
            self.scale = nn.Parameter(T.ones(1))
            self.register_buffer("mask", T.zeros(2), persistent=False)

        def forward(self, x):
            return x + self.norm(self.conv(x)).relu() * self.scale

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(1, 2, 1)
            self.blocks = nn.ModuleList([Block(2), Block(2)])
            self.head = nn.Sequential(nn.Flatten(), nn.Linear(18, 2))
            self.again = self.stem  # shared
            self.nothing = None

        def forward(self, x):
            x = self.stem(x)
            for block in self.blocks:
                x = block(x)
            return self.head(x)

    T.manual_seed(0)
    return Net()


def text_of(raised):
    return str(raised.value)


def test_walks_are_torchs():
    ours, theirs = net(atrous), net(torch)
    for walk in ("named_parameters", "named_buffers", "named_modules"):
        for options in ({}, {"remove_duplicate": False}, {"prefix": "net"}):
            names = [name for name, _ in getattr(ours, walk)(**options)]
            assert names == [name for name, _ in getattr(theirs, walk)(**options)]
    for walk in ("named_children", "named_parameters"):
        assert [name for name, _ in getattr(ours.head, walk)()] == [
            name for name, _ in getattr(theirs.head, walk)()
        ]
    assert [*ours.head[1].parameters(recurse=False)] == [*ours.head.parameters()]
    assert repr(ours) == repr(theirs)
    assert set(dir(ours)) >= {"stem", "blocks", "forward", "training"}


def test_state_dict_is_torchs():
    ours, theirs = net(atrous).state_dict(), net(torch).state_dict()
    assert type(ours) is OrderedDict
    assert list(ours) == list(theirs)
    assert ours._metadata == theirs._metadata
    for name, value in theirs.items():
        assert (array(ours[name]) == array(value)).all(), name


@BOTH
def test_state_dict_shares_memory_and_goes_back(T):
    first, second = net(T), net(T)
    with T.no_grad():
        for parameter in first.parameters():
            parameter.add_(1)
    state = first.state_dict()
    assert not any(value.requires_grad for value in state.values())
    assert all(v.requires_grad for k, v in first.state_dict(keep_vars=True).items()
               if k.endswith("weight"))  # fmt: skip
    answer = second.load_state_dict(state)
    assert repr(answer) == "<All keys matched successfully>"
    assert answer.missing_keys == answer.unexpected_keys == []
    for name, value in second.state_dict().items():
        assert (value == state[name]).all()
    with T.no_grad():
        first.stem.weight.zero_()
    assert (state["stem.weight"] == 0).all()
    assert not (second.stem.weight == 0).all()


def test_all_offenders_stand_in_one_error():
    module = atrous.nn.Sequential(atrous.nn.Linear(2, 3), atrous.nn.BatchNorm1d(3))
    state = module.state_dict()
    del state["0.bias"], state["1.running_mean"]
    state["0.weight"] = atrous.ones(3, 4)
    state["1.weight"] = 3.0
    state["2.weight"] = state["0.extra"] = state["1"] = atrous.ones(1)
    with pytest.raises(RuntimeError) as raised:
        module.load_state_dict(state)
    assert text_of(raised) == (
        "load_state_dict: the state dict does not fit Sequential:\n"
        "  missing from the state dict (2): 0.bias, 1.running_mean\n"
        "  unexpected in the state dict (3): 2.weight, 1, 0.extra\n"
        "  size mismatch for 0.weight: the state dict has (3, 4), the model (3, 2)\n"
        "  1.weight: expected a Tensor, the state dict has builtins.float"
    )
    state["0.weight"], state["1.weight"] = atrous.ones(3, 2), atrous.ones(3)
    answer = module.load_state_dict(state, strict=False)
    assert answer.missing_keys == ["0.bias", "1.running_mean"]
    assert sorted(answer.unexpected_keys) == ["0.extra", "1", "2.weight"]
    assert (module[0].weight == 1).all()
    with pytest.raises(TypeError) as raised:
        module.load_state_dict([1])
    assert text_of(raised) == (
        "load_state_dict: expected a dict of tensors, got builtins.list"
    )


@BOTH
def test_assign_takes_the_tensors_themselves(T):
    module = T.nn.Linear(2, 3)
    weight = T.ones(3, 2, dtype=T.float64)
    module.load_state_dict({"weight": weight, "bias": T.zeros(3)}, assign=True)
    assert module.weight.dtype == T.float64 and module.weight.requires_grad
    assert isinstance(module.weight, T.nn.Parameter)
    weight.zero_()
    assert (module.weight == 0).all()


@BOTH
def test_batch_counts_are_added_to_old_state(T):
    module = T.nn.BatchNorm1d(2)
    state = {name: value for name, value in module.state_dict().items()}
    del state["num_batches_tracked"]
    module.load_state_dict(state)
    assert module.num_batches_tracked.item() == 0


@BOTH
def test_extra_state(T):
    class Counter(T.nn.Module):
        count = 3

        def get_extra_state(self):
            return {"count": self.count}

        def set_extra_state(self, state):
            self.count = state["count"]

    module = T.nn.Sequential(Counter())
    state = module.state_dict()
    assert state == {"0._extra_state": {"count": 3}}
    module[0].count = 0
    module.load_state_dict(state)
    assert module[0].count == 3
    with pytest.raises(RuntimeError):
        module.load_state_dict({})


@BOTH
def test_state_hooks(T):
    calls = []
    module = T.nn.Sequential(T.nn.Linear(1, 1))
    layer = module[0]
    layer.register_state_dict_pre_hook(lambda *args: calls.append(args[1:]))

    def renamed(owner, state, prefix, metadata):
        state[prefix + "w"] = state.pop(prefix + "weight")

    def back(owner, state, prefix, *rest):
        state[prefix + "weight"] = state.pop(prefix + "w")

    layer.register_state_dict_post_hook(renamed)
    layer.register_load_state_dict_pre_hook(back)
    layer.register_load_state_dict_post_hook(
        lambda owner, keys: keys.missing_keys.append("made up")
    )
    state = module.state_dict()
    assert list(state) == ["0.bias", "0.w"]
    assert calls == [("0.", False)]
    assert module.load_state_dict(state, strict=False).missing_keys == ["made up"]


@BOTH
def test_attributes_move_between_registries(T):
    nn = T.nn
    module = nn.Module()
    module.a = T.ones(1)
    assert "a" in module.__dict__
    module.a = nn.Parameter(T.ones(1))
    assert list(module._parameters) == ["a"] and "a" not in module.__dict__
    del module.a
    module.a = nn.ReLU()
    module.a = nn.Parameter(T.ones(1))
    assert list(module._parameters) == ["a"] and not module._modules
    del module.a
    module.a = nn.ReLU()
    module.a = None
    assert module.a is None and list(module._modules) == ["a"]
    del module.a
    assert not hasattr(module, "a")
    module.b = nn.Buffer(T.ones(2), persistent=False)
    assert list(module._buffers) == ["b"] and not module.state_dict()
    module.b = T.zeros(3)
    assert list(module._buffers) == ["b"]
    del module.b
    module.register_buffer("c", None)
    module.register_parameter("d", None)
    assert not module.state_dict() and module.d is None
    module.d = nn.Parameter(T.ones(1))
    assert list(module.state_dict()) == ["d"]


def unready(T):
    class Net(T.nn.Module):
        def __init__(self):
            self.weight = T.nn.Parameter(T.ones(1))

    return Net()


def assign(T, name, value):
    module = T.nn.Module()
    module.layer, module.weight = T.nn.ReLU(), T.nn.Parameter(T.ones(1))
    module.register_buffer("mean", T.ones(1))
    setattr(module, name, value)


REFUSALS = [
    (
        unready,
        AttributeError,
        "cannot assign parameters before Net has called super().__init__()",
    ),
    (
        lambda T: assign(T, "layer", 3),
        TypeError,
        "cannot assign builtins.int as child module 'layer' of Module (Module or None "
        "expected)",
    ),
    (
        lambda T: assign(T, "weight", 3.0),
        TypeError,
        "cannot assign builtins.float as parameter 'weight' of Module (Parameter or "
        "None expected)",
    ),
    (
        lambda T: assign(T, "weight", T.nn.ReLU()),
        TypeError,
        "cannot assign atrous.nn.modules.activation.ReLU as parameter 'weight' of "
        "Module (Parameter or None expected)",
    ),
    (
        lambda T: assign(T, "mean", [1]),
        TypeError,
        "cannot assign builtins.list as buffer 'mean' of Module (Buffer, Tensor or "
        "None expected)",
    ),
    (
        lambda T: T.nn.Module().register_buffer(3, None),
        TypeError,
        "buffer name should be a string, got builtins.int",
    ),
    (
        lambda T: T.nn.Module().register_buffer("a.b", None),
        KeyError,
        "buffer name can't contain '.', got 'a.b'",
    ),
    (
        lambda T: T.nn.Module().register_parameter("", None),
        KeyError,
        "parameter name can't be an empty string",
    ),
    (
        lambda T: T.nn.Module().register_parameter("train", None),
        KeyError,
        "Module already has attribute 'train'",
    ),
    (
        lambda T: T.nn.Module().register_parameter("a", T.ones(1)),
        TypeError,
        "cannot assign atrous.tensor.Tensor as parameter 'a' (Parameter or None "
        "expected)",
    ),
    (
        lambda T: T.nn.Module().add_module("a", 3),
        TypeError,
        "builtins.int is not a Module subclass",
    ),
    (lambda T: T.nn.Sequential(T.ones), TypeError, None),
    (
        lambda T: T.nn.Module(3),
        TypeError,
        "Module.__init__() got arguments that Module does not take: 3",
    ),
    (
        lambda T: T.nn.Module()(T.ones(1)),
        NotImplementedError,
        'Module [Module] is missing the required "forward" function',
    ),
    (
        lambda T: T.nn.ReLU().weights,
        AttributeError,
        "'ReLU' object has no attribute 'weights'",
    ),
    (
        lambda T: net(T).get_submodule("head.2"),
        AttributeError,
        "Sequential has no attribute '2' (looking for 'head.2' in Net)",
    ),
    (
        lambda T: net(T).get_submodule("stem.weight"),
        AttributeError,
        "'weight' of 'stem.weight' is atrous.nn.parameter.Parameter, not a Module",
    ),
    (
        lambda T: net(T).get_parameter("stem.stride"),
        AttributeError,
        "'stem.stride' is not a Parameter",
    ),
    (
        lambda T: T.nn.ReLU().train("yes"),
        ValueError,
        "training mode is expected to be boolean",
    ),
    (
        lambda T: T.nn.Linear(1, 1).to(T.int64),
        TypeError,
        "Module.to only accepts floating point dtypes, got dtype=torch.int64",
    ),
    (
        lambda T: T.nn.Sequential(T.nn.ReLU())[3],
        IndexError,
        "Sequential has 1 entries, index 3 is out of range",
    ),
    (
        lambda T: T.nn.Sequential(T.nn.ReLU()) + 3,
        ValueError,
        "Sequential + takes a Sequential, got <class 'int'>",
    ),
    (
        lambda T: T.nn.ModuleList(3),
        TypeError,
        "ModuleList.extend takes an iterable, got int",
    ),
    (
        lambda T: T.nn.ModuleDict([(1, 2, 3)]),
        ValueError,
        "ModuleDict.update: entry 0 has 3 values, not 2",
    ),
    (
        lambda T: T.nn.ParameterList()(),
        RuntimeError,
        "ParameterList should not be called.",
    ),
]


@pytest.mark.parametrize("number", range(len(REFUSALS)))
def test_refusal(number):
    program, raises, text = REFUSALS[number]
    with pytest.raises(raises) as raised:
        program(atrous)
    if text:
        assert raised.value.args[0] == text
    with pytest.raises(raises):
        program(torch)


def test_a_parameter_is_a_leaf():
    with pytest.raises(RuntimeError):
        atrous.nn.Parameter(atrous.arange(3))  # integers have no gradient
    computed = atrous.nn.Parameter(atrous.ones(2), requires_grad=False)
    computed.mul_(atrous.ones(2, requires_grad=True))
    with pytest.raises(ValueError) as raised:
        atrous.nn.Module().register_parameter("a", computed)
    assert text_of(raised) == (
        "parameter 'a' was computed from other tensors (MulBackward0); a weight must "
        "be a leaf. To express one weight by another, compute it in forward()"
    )


@BOTH
def test_parameter_shares_memory_and_copies(T):
    data = T.zeros(2)
    weight = T.nn.Parameter(data)
    data.fill_(3)
    assert weight.tolist() == [3, 3] and weight.requires_grad and weight.is_leaf
    assert repr(weight) == (
        "Parameter containing:\ntensor([3., 3.], requires_grad=True)"
    )
    for twin in (copy.deepcopy(weight), pickle.loads(pickle.dumps(weight))):
        assert type(twin) is T.nn.Parameter and twin.requires_grad
        assert twin.tolist() == [3, 3] and twin.data_ptr() != weight.data_ptr()
    assert not T.nn.Parameter(data, requires_grad=False).requires_grad


@BOTH
def test_networks_copy_and_pickle(T):
    module = T.nn.Sequential(T.nn.Conv1d(1, 2, 3), T.nn.BatchNorm1d(2), T.nn.ReLU())
    module.register_forward_hook(print)
    twin = copy.deepcopy(module)
    assert twin[0].weight is not module[0].weight
    module._forward_hooks.clear()
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert repr(other) == repr(module)
        assert (other[0].weight == module[0].weight).all()
        other[0].weight.data.zero_()
        assert not (module[0].weight == 0).all()


@BOTH
def test_conversion_keeps_parameters_identity(T):
    module = net(T)
    before = list(module.parameters())
    (module(T.ones(1, 1, 3, 3)) ** 2).sum().backward()
    assert module.double() is module
    assert [id(p) for p in module.parameters()] == [id(p) for p in before]
    assert {p.dtype for p in module.parameters()} == {T.float64}
    assert {p.grad.dtype for p in module.parameters()} == {T.float64}
    assert module.blocks[0].norm.num_batches_tracked.dtype == T.int64
    assert module(T.ones(1, 1, 3, 3, dtype=T.float64)).dtype == T.float64
    assert module.to(T.float32).stem.weight.dtype == T.float32
    assert module.to("cpu").to(T.device("cpu"), T.float64).stem.bias.dtype == T.float64
    assert module.to(T.ones(1)).stem.bias.dtype == T.float32
    assert module.half().stem.bias.dtype == T.float16
    assert module.bfloat16().stem.bias.dtype == T.bfloat16
    assert module.float().cpu().stem.bias.dtype == T.float32
    with pytest.raises(AssertionError, match="not compiled with CUDA"):
        module.cuda()


@BOTH
def test_modes_and_freezing(T):
    module = net(T)
    assert module.training and not module.eval().blocks[1].norm.training
    assert module.train().blocks[1].norm.training
    module.requires_grad_(False)
    assert not any(p.requires_grad for p in module.parameters())
    module.requires_grad_()
    module(T.ones(1, 1, 3, 3)).sum().backward()
    module.zero_grad(set_to_none=False)
    assert all((p.grad == 0).all() for p in module.parameters())
    module.zero_grad()
    assert all(p.grad is None for p in module.parameters())
    names = []
    module.apply(lambda child: names.append(type(child).__name__))
    assert names[0] == "Conv2d" and names[-1] == "Net"


@BOTH
def test_submodules_by_path(T):
    module = net(T)
    assert module.get_submodule("blocks.1.conv") is module.blocks[1].conv
    assert module.get_submodule("") is module
    assert module.get_parameter("blocks.0.scale") is module.blocks[0].scale
    assert module.get_buffer("blocks.0.mask") is module.blocks[0].mask
    module.set_submodule("blocks.0.norm", T.nn.Identity())
    assert isinstance(module.blocks[0].norm, T.nn.Identity)


@BOTH
def test_forward_hooks(T):
    calls = []
    layer = T.nn.ReLU()

    def before(module, args):
        calls.append("before")
        return (args[0] + 1,)

    def before_with_names(module, args, kwargs):
        calls.append("names")
        return args, {}

    def after(module, args, output):
        calls.append("after")
        return output * 10

    def first(module, args, kwargs, output):
        calls.append("first")

    handles = [
        layer.register_forward_pre_hook(before),
        layer.register_forward_pre_hook(
            before_with_names, with_kwargs=True, prepend=True
        ),
        layer.register_forward_hook(after),
        layer.register_forward_hook(first, with_kwargs=True, prepend=True),
    ]
    assert layer(T.ones(1), unused=3).tolist() == [20]
    assert calls == ["names", "before", "first", "after"]
    for handle in handles:
        handle.remove()
        handle.remove()
    assert layer(T.ones(1)).tolist() == [1]
    with layer.register_forward_hook(after):
        assert layer(T.ones(1)).tolist() == [10]
    assert layer(T.ones(1)).tolist() == [1]


@BOTH
def test_hooks_that_are_always_called(T):
    seen = []

    class Broken(T.nn.Module):
        def forward(self, x):
            raise KeyError("broken")

    module = Broken()
    module.register_forward_hook(lambda m, a, y: seen.append(("once", y)))
    module.register_forward_hook(lambda m, a, y: seen.append(y), always_call=True)
    with pytest.raises(KeyError):
        module(T.ones(1))
    assert seen == [None]


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@BOTH
def test_full_backward_hooks(T):
    seen = {}
    layer = T.nn.Linear(2, 1, bias=False)
    layer.weight.data.fill_(3.0)

    def before(module, grad_output):
        seen["before"] = [grad.tolist() for grad in grad_output]
        return (grad_output[0] * 2,)

    def after(module, grad_input, grad_output):
        seen["in"] = [grad if grad is None else grad.tolist() for grad in grad_input]
        seen["out"] = [grad.tolist() for grad in grad_output]
        return (grad_input[0] * 10,) if grad_input[0] is not None else None

    layer.register_full_backward_pre_hook(before)
    layer.register_full_backward_hook(after)
    x = T.ones(1, 2, requires_grad=True)
    layer(x).sum().backward()
    assert seen == {"before": [[[1.0]]], "in": [[[6.0, 6.0]]], "out": [[[2.0]]]}
    assert x.grad.tolist() == [[60.0, 60.0]]
    assert layer.weight.grad.tolist() == [[2.0, 2.0]]
    layer(T.ones(1, 2)).sum().backward()  # the input needs no gradient
    assert seen["in"] == [None]


def test_an_error_says_where_in_the_network():
    module = net(atrous)
    module.blocks[1].conv = atrous.nn.BatchNorm1d(2)
    with pytest.raises(ValueError) as raised:
        module(atrous.ones(1, 1, 3, 3))
    assert raised.value.__notes__ == [
        "in module 'blocks.1.conv' of Net: BatchNorm1d(2, eps=1e-05, momentum=0.1, "
        "affine=True, bias=True, track_running_stats=True)"
    ]


def test_the_note_names_the_innermost_module():
    class Broken(atrous.nn.Module):
        def forward(self, x):
            raise KeyError("broken")

    class Wrapper(atrous.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner[0](x)  # the list itself is not called

    module = Wrapper(atrous.nn.ModuleList([atrous.nn.Sequential(Broken())]))
    for _ in range(2):
        with pytest.raises(KeyError) as raised:
            module(1)
        assert raised.value.__notes__ == ["in module 'inner.0.0' of Wrapper: Broken()"]
    with pytest.raises(KeyError) as raised:
        Broken()(1)
    assert not hasattr(raised.value, "__notes__")


@BOTH
def test_sequential_is_a_list(T):
    nn = T.nn
    a, b, c = nn.ReLU(), nn.Sigmoid(), nn.Tanh()
    row = nn.Sequential(a, b)
    assert row.append(c) is row and len(row) == 3 and row[-1] is c
    assert row[1:][0] is b and list(row[1:]._modules) == ["1", "2"]
    row.insert(1, nn.GELU())
    assert [type(m).__name__ for m in row] == ["ReLU", "GELU", "Sigmoid", "Tanh"]
    assert isinstance(row.pop(1), nn.GELU) and list(row._modules) == ["0", "1", "2"]
    del row[0]
    assert list(row._modules) == ["0", "1"] and row[0] is b
    row[0] = a
    assert row[0] is a
    assert [*(row + nn.Sequential(b))] == [a, c, b]
    row += nn.Sequential(b)
    assert [*row] == [a, c, b]
    assert [*(nn.Sequential(a, b) * 2)] == [a, b, a, b]
    named = nn.Sequential(OrderedDict([("x", a), ("y", b)]))
    assert named.x is a and named[1] is b and list(named[:1]._modules) == ["x"]
    assert named(T.zeros(1)).tolist() == [0.5]


@BOTH
def test_module_list_and_dict(T):
    nn = T.nn
    a, b, c = nn.ReLU(), nn.Sigmoid(), nn.Tanh()
    row = nn.ModuleList([a])
    row += [b]
    row.insert(0, c)
    row.extend(nn.ModuleList([a]))
    assert [*row] == [c, a, b, a] and [*row[1:3]] == [a, b] and len(row) == 4
    assert [*(row + nn.ModuleList([c]))] == [c, a, b, a, c]
    assert row.pop(0) is c
    del row[0:1]
    assert [*row] == [b, a]
    names = nn.ModuleDict({"a": a, "b": b})
    names["c"] = c
    assert list(names) == ["a", "b", "c"] and names.pop("b") is b and "b" not in names
    names.update([("d", b)])
    assert list(names.items()) == [("a", a), ("c", c), ("d", b)]
    del names["a"]
    assert list(names.keys()) == ["c", "d"] and list(names.values()) == [c, b]
    names.clear()
    assert len(names) == 0


@BOTH
def test_parameter_list_and_dict(T):
    nn = T.nn
    row = nn.ParameterList([T.ones(1), nn.Parameter(T.zeros(2))])
    row.append(T.ones(3))
    assert isinstance(row[-1], nn.Parameter) and len(list(row.parameters())) == 3
    assert len(row[1:]) == 2 and list(row.state_dict()) == ["0", "1", "2"]
    row[0] = T.zeros(4)
    assert row[0].shape == (4,)
    row += [T.ones(1)]
    assert len(row) == 4
    names = nn.ParameterDict({"a": T.ones(1)})
    names["b"] = nn.Parameter(T.zeros(2))
    assert isinstance(names["a"], nn.Parameter) and list(names) == ["a", "b"]
    assert list(names.state_dict()) == ["a", "b"]
    assert list(names | nn.ParameterDict({"c": T.ones(1)})) == ["a", "b", "c"]
    assert names.get("z") is None and names.setdefault("c", T.ones(1)) is names["c"]
    assert names.popitem()[0] == "c" and names.pop("a").shape == (1,)
    assert list(names.keys()) == ["b"]


def test_containers_print_as_torchs():
    def shown(T):
        nn = T.nn
        yield nn.Sequential()
        yield nn.ModuleList()
        yield nn.ModuleList([nn.Linear(1, 2), nn.Linear(1, 2), nn.ReLU()])
        yield nn.ModuleList(nn.Sequential(nn.ReLU(), nn.Tanh()) for _ in range(3))
        yield nn.ModuleDict({"a": nn.ModuleList([nn.ReLU()])})
        yield nn.ParameterList([T.ones(2, 3), T.ones(())])
        yield nn.ParameterDict({"a": T.ones(2)})
        yield nn.ParameterDict({"a": T.ones(2), "b": T.ones(3, 1)})
        yield nn.Sequential(OrderedDict([("x", nn.Sequential(nn.ReLU()))]))

    for ours, theirs in zip(shown(atrous), shown(torch), strict=True):
        assert repr(ours) == repr(theirs)


def test_extra_repr_of_several_lines_prints_as_torchs():
    def shown(T):
        class Layer(T.nn.Module):
            def extra_repr(self):
                return "a=1\nb=2"

        return T.nn.Sequential(Layer(), T.nn.Sequential(Layer()))

    assert repr(shown(atrous)) == repr(shown(torch))
