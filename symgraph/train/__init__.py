"""Training: initial values, optimizers, checkpoints, schedules, metrics and loops."""

from symgraph.train.optimizers import Optimizer, Sgd, minimize, sgd

__all__ = ["Optimizer", "Sgd", "minimize", "sgd"]
