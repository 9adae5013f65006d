"""A nest of dicts, lists, tuples, numbers and tensors <-> named tensors and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..tensor import Tensor

RESERVED = "__metadata__"  # safetensors' own word in a file's header
PLAIN = (bool, int, float, str, type(None))


def flatten(value: Any) -> tuple[dict[str, Tensor], str]:
    """The tensors by name, and the nest as JSON, which also keeps their order.

    A tensor's name is its path, joined by dots: {"model": {"weight": w}} gives
    "model.weight".
    """
    tensors: dict[str, Tensor] = {}
    described = _describe(value, (), tensors)
    return tensors, json.dumps(described)


def _describe(value: Any, path: tuple[str, ...], tensors: dict[str, Tensor]) -> Any:
    """`value` in terms of JSON; its tensors go into `tensors`."""
    if isinstance(value, Tensor):
        name = ".".join(path) or "tensor"
        while name in tensors or name == RESERVED:
            name += "_"
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, Mapping):
        pairs = []
        for key, held in value.items():
            if type(key) not in (str, int):
                raise TypeError(
                    f"save: the key {key!r}{_place(path)} is a {type(key).__name__}; "
                    "keys can be strings or whole numbers."
                )
            pairs.append([key, _describe(held, (*path, str(key)), tensors)])
        return {"dict": pairs}
    if isinstance(value, (list, tuple)):
        kind = "list" if isinstance(value, list) else "tuple"
        return {
            kind: [
                _describe(held, (*path, str(index)), tensors)
                for index, held in enumerate(value)
            ]
        }
    if type(value) in PLAIN:
        return value
    advice = " Save its state_dict()." if hasattr(value, "state_dict") else ""
    raise TypeError(
        f"save: cannot store a {type(value).__name__}{_place(path)}; only tensors, "
        f"numbers, strings, None and dicts, lists and tuples of them.{advice}"
    )


def _place(path: tuple[str, ...]) -> str:
    return f" at {'.'.join(path)!r}" if path else ""


def rebuild(tensors: dict[str, Tensor], described: str, name: str) -> Any:
    """The nest again; RuntimeError if its description does not fit the tensors."""
    left = dict(tensors)
    try:
        value = _build(json.loads(described), left)
        if left:
            raise ValueError(f"it lacks {', '.join(map(repr, left))}")
        return value
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        raise RuntimeError(
            f"load: {name} is damaged: its description does not fit its "
            f"{len(tensors)} tensors ({type(problem).__name__}: {problem})."
        ) from None


def _build(node: Any, tensors: dict[str, Tensor]) -> Any:
    """`node` again; its tensors are taken out of `tensors`."""
    if not isinstance(node, dict):
        return node
    ((kind, held),) = node.items()
    if kind == "tensor":
        return tensors.pop(held)
    if kind == "dict":
        return {key: _build(value, tensors) for key, value in held}
    if kind not in ("list", "tuple"):
        raise ValueError(f"unknown kind {kind!r}")
    items = [_build(value, tensors) for value in held]
    return items if kind == "list" else tuple(items)
