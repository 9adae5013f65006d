"""Operations, a file a family: public function · shape rule · gradient · lowering.

A module's `__all__` are its public names; together they are those of `atrous`.
"""

import importlib
import pkgutil

#: Every public operation by name.
NAMES: dict = {}

for _module in pkgutil.iter_modules(__path__):
    _loaded = importlib.import_module(f"{__name__}.{_module.name}")
    _public = getattr(_loaded, "__all__", ())
    NAMES.update((each, getattr(_loaded, each)) for each in _public)
