"""Operations: a file a family; in each, public function · shape rule · gradient · lowering.

A module's `__all__` are its public names; together they are those of `atrous`.
"""

from . import compare, create, index, matmul, order, pad, pointwise, reduce, shape

#: Every public operation by name.
NAMES = {
    name: getattr(module, name)
    for module in (
        *(pointwise, reduce, matmul, compare),
        *(create, shape, index, order, pad),
    )
    for name in module.__all__
}
