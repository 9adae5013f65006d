"""Named results of several tensors: they unpack, index and print as torch's."""

from __future__ import annotations

from functools import cache
from operator import itemgetter


class _Result(tuple):
    _fields: tuple[str, ...] = ()

    def __repr__(self) -> str:
        parts = ",\n".join(
            f"{field}={value!r}" for field, value in self._asdict().items()
        )
        return f"torch.return_types.{type(self).__name__}(\n{parts})"

    def _asdict(self) -> dict:
        return dict(zip(self._fields, self, strict=True))

    def __reduce__(self):
        return _make, (type(self).__name__, self._fields, tuple(self))


def _make(name: str, fields: tuple, values: tuple):
    return named(name, *fields)(*values)


@cache
def named(name: str, *fields: str):
    """The result type `torch.return_types.<name>` with these fields.

    >>> named("max", "values", "indices")(1, 2).indices
    2
    """

    def new(cls, *values):
        return tuple.__new__(cls, values)

    members = {field: property(itemgetter(i)) for i, field in enumerate(fields)}
    return type(name, (_Result,), {"_fields": fields, "__new__": new, **members})
