"""The numbers that torch names."""

import math

e, pi, inf, nan, newaxis = math.e, math.pi, math.inf, math.nan, None
