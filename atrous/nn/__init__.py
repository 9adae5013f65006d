"""Layers, losses, initialisers: torch's `nn`."""

from atrous.nn import common_types, functional, init, modules, utils
from atrous.nn.modules import *  # noqa: F403
from atrous.nn.parameter import Buffer, Parameter
