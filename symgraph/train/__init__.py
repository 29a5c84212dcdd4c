"""Training: initial values, optimizers, checkpoints, schedules, metrics and loops."""

from typing import TYPE_CHECKING

from symgraph.later import later
from symgraph.train.optimizers import Optimizer, Sgd, minimize, sgd

if TYPE_CHECKING:
    from symgraph.train import metrics
    from symgraph.train.checkpoint import Checkpoint
else:
    __getattr__ = later(
        __name__,
        {
            "Checkpoint": "symgraph.train.checkpoint:Checkpoint",
            "metrics": "symgraph.train.metrics",
        },
    )

__all__ = ["Checkpoint", "Optimizer", "Sgd", "metrics", "minimize", "sgd"]
