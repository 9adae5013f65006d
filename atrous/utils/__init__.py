"""Tools around training: data loading, sharing memory with other libraries."""

from . import data as data
from . import dlpack as dlpack
