"""Optimisers and learning-rate schedules: torch's `optim`."""

import atrous.optim.lr_scheduler as lr_scheduler
from atrous.optim.adam import Adam, Adamax, AdamW, NAdam, RAdam
from atrous.optim.adaptive import Adadelta, Adagrad, RMSprop
from atrous.optim.lbfgs import LBFGS
from atrous.optim.optimizer import Optimizer
from atrous.optim.sgd import SGD
