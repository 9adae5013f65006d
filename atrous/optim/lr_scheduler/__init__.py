"""Learning-rate schedules: torch's `optim.lr_scheduler`.

Each multiplies the rate that is there, so that several can act on one optimiser; call
`scheduler.step()` after `optimizer.step()`.
"""

from atrous.optim.lr_scheduler.composed import ChainedScheduler, SequentialLR
from atrous.optim.lr_scheduler.cosine import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
)
from atrous.optim.lr_scheduler.cyclic import CyclicLR, OneCycleLR
from atrous.optim.lr_scheduler.decay import (
    ConstantLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from atrous.optim.lr_scheduler.plateau import ReduceLROnPlateau
from atrous.optim.lr_scheduler.scheduler import LRScheduler, _LRScheduler
