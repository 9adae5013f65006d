"""Saving and loading: state dicts and checkpoints as safetensors files."""

from .checkpoint import load as load
from .checkpoint import metadata as metadata
from .checkpoint import save as save
