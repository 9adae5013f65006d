"""Tools around training: data loading."""

from . import data as data
