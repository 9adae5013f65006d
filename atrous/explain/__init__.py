"""The picture of a convolution: which cells meet which weights, with the real numbers.

`layer.explain(x)` in a notebook, `python -m atrous explain conv2d -o page.html` in a
terminal. All views stand on one function, `taps`, which the tests hold to the kernels.
"""

from .document import assemble, payload
from .explanation import Explanation, explain
from .setting import Setting
from .sizes import advice, formula, output_size
from .summary import Summary, summary
from .taps import Tap, Touch, taps, touches, unread
