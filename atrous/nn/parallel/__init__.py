"""Wrappers that spread work over devices. There is one device, so they pass it on."""

from atrous.nn.parallel.data_parallel import DataParallel
