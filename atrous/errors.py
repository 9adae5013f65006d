"""How a refusal is worded: who, what, with which numbers, what would fit.

Exception types are torch's (RuntimeError, ValueError, TypeError, IndexError …); the
text is ours. `operands` aligns the operands' shapes under the sentence.
"""


class OutOfMemoryError(RuntimeError):
    """A request for memory that cannot fit; it names the size."""


def operands(sentence: str, **shapes: tuple[tuple[int, ...], str]) -> str:
    """`sentence`, then a line an operand: name, shape, what its axes mean.

    >>> print(operands("conv1d: input has 2 channels, weight takes 3.",
    ...                input=((1, 2, 5), "batch, in, width")))
    conv1d: input has 2 channels, weight takes 3.
      input (1, 2, 5)  batch, in, width
    """
    name_width = max(map(len, shapes), default=0)
    texts = {name: str(tuple(shape)) for name, (shape, _) in shapes.items()}
    shape_width = max(map(len, texts.values()), default=0)
    lines = [
        f"  {name:<{name_width}} {texts[name]:<{shape_width}}  {axes}"
        for name, (_, axes) in shapes.items()
    ]
    return "\n".join([sentence, *lines])


def plural(count: int, noun: str) -> str:
    """`1 channel`, `2 channels`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
