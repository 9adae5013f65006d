"""Layers, losses, initialisers: torch's `nn`."""

from atrous.nn import common_types, functional, init, modules, parallel, utils
from atrous.nn.modules import *  # noqa: F403
from atrous.nn.parallel import DataParallel
from atrous.nn.parameter import Buffer, Parameter
