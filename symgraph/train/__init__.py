"""Training: initial values, optimizers, checkpoints, schedules, metrics and loops."""

from symgraph.train.checkpoint import Checkpoint
from symgraph.train.optimizers import Optimizer, Sgd, minimize, sgd

__all__ = ["Checkpoint", "Optimizer", "Sgd", "minimize", "sgd"]
