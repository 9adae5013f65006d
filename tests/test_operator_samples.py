"""Torch's own operator samples, run through atrous: value, gradients, refusals.

Torch describes every operator with inputs to try and inputs to refuse (`op_db`). Each
of them is converted and handed to the operator of the same name here.

As a tool:  python tests/test_operator_samples.py --table [--all] [operator ...]
prints how many checks of an operator agree, and why the others do not.
"""

import argparse
import collections
import functools
import re
import sys
import tomllib
import types
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest", reason="torch.testing needs it")

import oracle  # noqa: E402
from operator_names import OPERATORS  # noqa: E402

EXCEPTIONS = Path(__file__).with_name("operator_exceptions.toml")
DTYPES = ("float32", "float64", "int64", "bool")
SEED = 666
MOST_SAMPLES = 8
MOST_VARIANTS = 3
MOST_SECOND = 4
WANTED_AGREEMENT = 0.98


@dataclass(frozen=True)
class Check:
    """One comparison with torch; `kind` is value, method, inplace, gradient …"""

    operator: str
    kind: str
    sample: str
    verdict: str  # agree, disagree, raises, missing, skipped
    reason: str = ""


class Missing(Exception):
    """Atrous has no operator of that name."""


@functools.cache
def op_db() -> dict:
    """Torch's operators by their full names, `div.floor_rounding` among them."""
    import hypothesis
    from torch.testing._internal import common_methods_invocations

    # The import loads torch's hypothesis profile, which is not for our tests.
    hypothesis.settings.load_profile("default")
    return {
        ".".join(filter(None, (each.name, each.variant_test_name))): each
        for each in common_methods_invocations.op_db
    }


def find(op, T):
    """The callable of namespace T that stands where `op.op` stands in torch."""
    function = op.op
    if getattr(function, "__module__", "").startswith("torch.testing"):
        return rebind(function, T)
    try:
        return functools.reduce(getattr, op.name.split("."), T)
    except AttributeError:
        method = getattr(T.Tensor, op.name, None)
        if method is None:
            raise Missing(op.name) from None
        return method


def rebind(function: types.FunctionType, T) -> types.FunctionType:
    """A wrapper from torch's samples, with T for what it calls `torch`."""

    def with_seed(op, *args, **kwargs):
        T.manual_seed(SEED)
        return op(*args, **kwargs)

    names = {**function.__globals__, "torch": T, "wrapper_set_seed": with_seed}
    rebound = types.FunctionType(
        function.__code__,
        names,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    rebound.__kwdefaults__ = function.__kwdefaults__
    return rebound


def checks(name: str, T, everything: bool = False) -> list[Check]:
    """All checks of one operator."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        return [
            Check(name, *result)
            for part in (samples_of, refusals_of)
            for result in part(op_db()[name], T, everything)
        ]


def evenly(items: list, most: int, everything: bool) -> list[tuple[int, object]]:
    """At most `most` of `items`, spread over all of them, with their indices."""
    if everything or len(items) <= most:
        return list(enumerate(items))
    chosen = [index * (len(items) - 1) // (most - 1) for index in range(most)]
    return [(index, items[index]) for index in chosen]


def samples_of(op, T, everything: bool) -> Iterator[tuple]:
    for name in DTYPES:
        dtype = getattr(torch, name)
        if dtype not in op.supported_dtypes("cpu"):
            continue
        with_gradient = name == "float64" and op.supports_autograd
        samples = list(op.sample_inputs("cpu", dtype, requires_grad=with_gradient))
        picked = evenly(samples, MOST_SAMPLES, everything)
        for count, (index, sample) in enumerate(picked):
            label = f"{name} {index}"
            yield from sample_checks(op, T, sample, label, with_gradient, count)
            if name == "float32" and (everything or count < MOST_VARIANTS):
                yield from variant_checks(op, T, sample, label)


def program(function, T, process=lambda output: output, copy_input: bool = False):
    """`function` as `oracle.verdicts` takes it: from (input, args, kwargs)."""

    def run(first, args, kwargs):
        T.manual_seed(SEED)
        first = first.clone() if copy_input else first
        output = function(first, *args, **kwargs)
        return output, process(output)

    return run


def inputs_of(sample) -> list:
    return [sample.input, list(sample.args), sample.kwargs]


def failure(error: Exception, T) -> tuple[str, str]:
    text = f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]
    absent = isinstance(error, Missing) or (
        isinstance(error, AttributeError)
        and any(owner in str(error) for owner in (f"'{T.__name__}", "'Tensor'"))
    )
    return "missing" if absent else "raises", text


def compared(ours, theirs, T, inputs, orders=1, kinds=oracle.KINDS) -> Iterator[tuple]:
    """(kind, verdict, reason) of each order, up to the first that raises."""
    done = 0
    try:
        for _, reason in oracle.verdicts(ours, theirs, T, inputs, orders):
            yield kinds[done], "disagree" if reason else "agree", reason or ""
            done += 1
    except oracle.NotConvertible as error:
        yield kinds[done], "skipped", str(error)
    except Exception as error:
        yield kinds[done], *failure(error, T)


def sample_checks(op, T, sample, label, with_gradient, count) -> Iterator[tuple]:
    """The value of one sample, then its first and second gradients."""
    try:
        function = find(op, T)
    except Missing as error:
        yield "value", label, "missing", f"no {error}"
        return
    second = with_gradient and op.supports_gradgrad and count < MOST_SECOND
    process = sample.output_process_fn_grad
    ours = program(function, T, process)
    theirs = program(find(op, torch), torch, process)
    orders = 1 + with_gradient + second
    for kind, *verdict in compared(ours, theirs, T, inputs_of(sample), orders):
        yield kind, label, *verdict


def variant_checks(op, T, sample, label) -> Iterator[tuple]:
    """The same sample through the method and the in-place method."""
    variants = {"method": op.method_variant, "inplace": op.inplace_variant}
    for kind, variant in variants.items():
        name = getattr(variant, "__name__", "")
        if not isinstance(sample.input, torch.Tensor) or not hasattr(
            torch.Tensor, name
        ):
            continue
        theirs = program(
            getattr(torch.Tensor, name), torch, copy_input=kind == "inplace"
        )
        inputs = inputs_of(sample)
        try:
            list(oracle.results(theirs, torch, inputs, 1))
        except (RuntimeError, TypeError, ValueError, IndexError):
            continue  # the sample is meant for the function alone
        if not hasattr(T.Tensor, name):
            yield kind, label, "missing", f"no Tensor.{name}"
            continue
        ours = program(getattr(T.Tensor, name), T, copy_input=kind == "inplace")
        for _, *verdict in compared(ours, theirs, T, inputs):
            yield kind, label, *verdict


def refusals_of(op, T, everything: bool) -> Iterator[tuple]:
    """What torch refuses must be refused with its exception type."""
    if op.error_inputs_func is None:
        return
    for index, error_input in evenly(
        list(op.error_inputs("cpu")), 2 * MOST_SAMPLES, everything
    ):
        label, sample = f"error {index}", error_input.sample_input
        try:
            call(find(op, torch), sample, torch)
        except oracle.NotConvertible:
            continue
        except Exception as error:
            expected = error
        else:
            continue  # torch 2.13 accepts it after all
        yield "refusal", label, *refusal(op, T, sample, expected)


def call(function, sample, T):
    return list(oracle.results(program(function, T), T, inputs_of(sample), 1))


def refusal(op, T, sample, expected: Exception) -> tuple[str, str]:
    wanted = f"expected {type(expected).__name__}: {str(expected).strip()[:90]!r}"
    try:
        call(find(op, T), sample, T)
    except oracle.NotConvertible as error:
        return "skipped", str(error)
    except type(expected):
        return "agree", ""
    except Exception as error:
        verdict, text = failure(error, T)
        return verdict, f"{text}; {wanted}".replace("\n", " ")
    return "disagree", f"accepted; {wanted}".replace("\n", " ")


@functools.cache
def exceptions() -> list[dict[str, str]]:
    return tomllib.loads(EXCEPTIONS.read_text())["exception"]


def covers(exception: dict[str, str], check: Check) -> bool:
    return (
        check.verdict not in ("agree", "skipped")
        and exception["operator"] == check.operator
        and exception["kind"] in (check.kind, "*")
        and re.fullmatch(exception.get("samples", ".*"), check.sample) is not None
        and re.search(exception.get("text", ""), check.reason) is not None
    )


def is_listed(check: Check) -> bool:
    return any(covers(each, check) for each in exceptions())


@functools.cache
def checked(name: str) -> list[Check]:
    return checks(name, oracle.atrous())


@pytest.mark.parametrize("name", OPERATORS)
def test_operator(name):
    unlisted = [
        f"{check.kind} {check.sample}: {check.verdict} {check.reason}"
        for check in checked(name)
        if check.verdict not in ("agree", "skipped") and not is_listed(check)
    ]
    assert not unlisted, "\n".join(unlisted)


def test_agreement():
    verdicts = collections.Counter(
        check.verdict for name in OPERATORS for check in checked(name)
    )
    agreeing = verdicts["agree"] / (verdicts.total() - verdicts["skipped"])
    assert agreeing >= WANTED_AGREEMENT, verdicts


def test_exceptions_name_known_operators_and_give_reasons():
    for each in exceptions():
        assert each["operator"] in OPERATORS
        assert len(each["reason"]) > 20


def test_every_exception_is_needed():
    idle = [
        each
        for each in exceptions()
        if not any(covers(each, check) for check in checked(each["operator"]))
    ]
    assert not idle


class Wrong:
    """Torch with an operator that errs, one that accepts all, and one missing."""

    def __getattr__(self, name):
        if name == "sinh":
            raise AttributeError(name)
        return getattr(torch, name)

    __name__ = "wrong"
    Tensor = type("Tensor", (), {})
    cosh = staticmethod(lambda x: torch.cosh(x) * (1 + 1e-4))
    roll = staticmethod(lambda x, *shifts, **dims: x.clone())


@pytest.mark.parametrize(
    ("name", "kind", "verdict"),
    [
        ("cosh", "value", "disagree"),
        ("cosh", "gradient", "disagree"),
        ("cosh", "second", "disagree"),
        ("cosh", "method", "missing"),
        ("roll", "refusal", "disagree"),
        ("sinh", "value", "missing"),
    ],
)
def test_a_wrong_operator_is_noticed(name, kind, verdict):
    verdicts = {each.verdict for each in checks(name, Wrong()) if each.kind == kind}
    assert verdict in verdicts


def print_table(names: list[str], T, everything: bool, quiet: bool) -> None:
    total: collections.Counter[str] = collections.Counter()
    for name in names:
        print(f"{name:42}", end=" ", flush=True)
        found = checks(name, T, everything)
        verdicts = collections.Counter(check.verdict for check in found)
        total += verdicts
        print(counts(verdicts), flush=True)
        if not quiet:
            print_reasons(found)
    print(f"\n{'total':42} {counts(total)}")
    compared = total.total() - total["skipped"]
    print(f"agreement {total['agree'] / max(1, compared):.2%} of {compared} checks")


def counts(verdicts: collections.Counter) -> str:
    order = ("agree", "disagree", "raises", "missing", "skipped")
    return "  ".join(f"{each} {verdicts[each]}" for each in order if verdicts[each])


def print_reasons(found: list[Check]) -> None:
    """One line for each kind and cause, with the samples that show it."""
    reasons = collections.defaultdict(list)
    for check in found:
        if check.verdict not in ("agree", "skipped"):
            listed = " (listed)" if is_listed(check) else ""
            cause = f"{check.kind} {check.verdict}{listed}", check.reason[:160]
            reasons[cause].append(check.sample)
    for (kind, reason), samples in reasons.items():
        shown = ", ".join(samples[:3]) + (" …" if len(samples) > 3 else "")
        print(f"    {kind}: {reason}  [{shown}]")


def chosen_names(words: list[str]) -> list[str]:
    """A word is an operator's name or, if there is none of that name, a part of it."""
    if not words:
        return OPERATORS
    chosen: set[str] = set()
    for word in words:
        parts = [name for name in OPERATORS if word in name]
        chosen.update([word] if word in parts else parts)
    return [name for name in OPERATORS if name in chosen]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("operators", nargs="*", help="full names, or parts of them")
    parser.add_argument("--table", action="store_true", help="print counts and reasons")
    parser.add_argument("--all", action="store_true", help="every sample of torch's")
    parser.add_argument("--quiet", action="store_true", help="counts without reasons")
    parser.add_argument("--namespace", default="atrous", help="the library to test")
    chosen = parser.parse_args()
    names = chosen_names(chosen.operators)
    T = oracle.importlib.import_module(chosen.namespace)
    print_table(names, T, chosen.all, chosen.quiet)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main()
