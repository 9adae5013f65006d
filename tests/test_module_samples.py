"""Torch's own samples for its modules: repr, state, output and gradients agree."""

import warnings

import pytest

torch = pytest.importorskip("torch")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_modules import module_db

from oracle import (  # noqa: E402
    NotConvertible,
    convert,
    difference,
    gradient_difference,
    gradients,
    leaves,
)

import atrous  # noqa: E402

INFOS = {
    info.module_cls.__name__: info
    for info in module_db
    if hasattr(atrous.nn, info.module_cls.__name__)
}
RANDOM = {name for name in INFOS if "Dropout" in name} | {"RReLU"}
# Gradients that cancel to nothing show the rounding of long sums.
TERMS = 10_000


def test_every_module_in_scope_has_samples():
    assert len(INFOS) >= 90


def samples(info, training):
    options = {"device": "cpu", "dtype": torch.float32, "requires_grad": True}
    for sample in info.module_inputs_func(info, training=training, **options):
        if sample.forward_input is not None:
            yield sample.constructor_input, sample.forward_input


def assert_agrees(info, made, given, training):
    """Build the module in both, with torch's weights in ours, and compare."""
    name = info.module_cls.__name__
    theirs = info.module_cls(*made.args, **made.kwargs).train(training)
    args, kwargs = convert([list(made.args), dict(made.kwargs)], atrous)
    ours = getattr(atrous.nn, name)(*args, **kwargs).train(training)
    assert repr(ours) == repr(theirs)
    ours.load_state_dict(convert(dict(theirs.state_dict()), atrous))
    if training and name in RANDOM:
        return
    args, kwargs = convert([list(given.args), dict(given.kwargs)], atrous)
    expected = theirs(*given.args, **given.kwargs)
    actual = ours(*args, **kwargs)
    assert (reason := difference(actual, expected, TERMS)) is None, reason
    wanted = list(theirs.parameters())
    mine = list(ours.parameters())
    inputs = list(leaves([list(given.args), dict(given.kwargs)]))
    if len({id(each) for each in inputs}) != len(inputs):
        return  # one tensor given twice in torch is two in atrous
    own = leaves([args, kwargs])
    mine += [
        each for each, other in zip(own, inputs, strict=True) if other.requires_grad
    ]
    wanted += [each for each in inputs if each.requires_grad]
    first = gradients(list(leaves(expected)), wanted, torch, 1)
    again = gradients(list(leaves(actual)), mine, atrous, 1)
    assert (reason := gradient_difference(again, first, TERMS)) is None, reason


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(INFOS))
def test_samples_agree(name):
    info = INFOS[name]
    modes = (True, False) if info.train_and_eval_differ else (True,)
    for training in modes:
        torch.manual_seed(0)
        for made, given in samples(info, training):
            try:
                assert_agrees(info, made, given, training)
            except NotConvertible:  # a part of torch that is out of scope
                continue
