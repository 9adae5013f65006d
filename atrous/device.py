"""Where a tensor lives, how its axes lie in memory: device, layout, memory_format."""

from __future__ import annotations


class device:
    """`device("cpu")`. Others can be named, as in torch; nothing can be put there."""

    __slots__ = ("index", "type")

    _TYPES = ("cpu", "cuda", "mps", "xpu", "meta")

    def __init__(self, type, index: int | None = None):
        if isinstance(type, device):
            type, index = str(type), None
        elif isinstance(type, int):
            type = f"cuda:{type}"
        kind, colon, number = type.partition(":")
        if kind not in self._TYPES:
            raise RuntimeError(
                f"Expected one of {', '.join(self._TYPES)} device type at start of"
                f" device string: {type}"
            )
        if colon:
            if not number.isdigit():
                raise RuntimeError(f"Invalid device string: '{type}'")
            index = int(number)
        self.type: str = kind
        self.index: int | None = index

    def __eq__(self, other) -> bool:
        return (
            isinstance(other, device)
            and self.type == other.type
            and (self.index or 0) == (other.index or 0)
        )

    def __hash__(self) -> int:
        return hash((self.type, self.index or 0))

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type='{self.type}'{index})"

    def __reduce__(self):
        return device, (self.type, self.index)


cpu = device("cpu")


def usable(where: device | str | int | None) -> device:
    """The device, if tensors can be put there; torch's errors if not."""
    if where is None or where is cpu:
        return cpu
    where = device(where)
    if where.type == "cpu":
        return cpu
    if where.type == "cuda":
        raise AssertionError("Torch not compiled with CUDA enabled")
    raise NotImplementedError(
        f"Atrous has no kernels for device '{where}', only 'cpu'."
    )


class layout:
    """The kind of storage; only dense (`strided`) tensors exist."""

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"


class memory_format:
    """An order of the axes in memory, as `contiguous(memory_format=…)` takes."""

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"


strided = layout("strided")
contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last")
channels_last_3d = memory_format("channels_last_3d")
