"""Training: an optimizer adds its step to a graph, and `fit` runs it over data. Pure functions, but for the loop.

    descent       minimize : Graph -> loss -> optimizer -> Graph with its update group           start here
      optimizers         sgd ... lars, each a chain of transformations
      transformations    gradients -> directions: clipping, moments, weight decay, chain
      combinators        optimizers of optimizers: parts, frozen ones, accumulation, averages of weights
      schedules          number of updates -> learning rate
      penalties          L1 and L2, added to a loss
      state, arguments   what an optimizer remembers; what it is given, checked
    initializers  what variables hold at first

    loop          fit : Session -> data -> History                                              start here
      run                the records: what stays the same in a run, where training is
      feeding            data -> batches, epoch by epoch, from any place on
      evaluation         evaluate, predict, and how a pass over batches is prepared and folded
      divergence         a step that left the finite numbers -> the node where that began
      interruption       Ctrl-C, noted between two steps
      callbacks, logs    folds over the events of a run: early stopping, CSV, TensorBoard
      history, progress  what came of a run; what is shown of it meanwhile
    checkpoints   which files a run writes, keeps and goes on from
      checkpoint         the file: safetensors, whole or not at all
      resumption         a run <-> a checkpoint
      packing            states of callbacks and metrics <-> JSON and arrays

    metrics       folds over batches; `answers` checks what they take, `ranking` holds curves over thresholds
    pictures      of training; `series` reads what is drawn, `figures` draws and writes

A new callback is a `Callback` record, a new metric a `Metric`, a new optimizer a chain: none needs a change here.
"""

from typing import TYPE_CHECKING

from symgraph.later import later

if TYPE_CHECKING:
    from symgraph.train import metrics, pictures, schedules
    from symgraph.train.callbacks import Callback, EarlyStopping, LambdaCallback, Progress, Stop
    from symgraph.train.checkpoint import Checkpoint
    from symgraph.train.checkpoints import Checkpoints
    from symgraph.train.combinators import (
        Accumulate,
        Ema,
        Named,
        Partition,
        accumulate,
        averaged,
        ema,
        freeze,
        named,
        partition,
        with_averages,
    )
    from symgraph.train.descent import minimize
    from symgraph.train.evaluation import evaluate, predict
    from symgraph.train.history import History
    from symgraph.train.interruption import Interrupted
    from symgraph.train.logs import CsvLog, TensorBoard
    from symgraph.train.loop import fit
    from symgraph.train.optimizers import (
        Adagrad,
        Adam,
        AdamW,
        Lars,
        Lion,
        Momentum,
        RmsProp,
        Sgd,
        adagrad,
        adam,
        adamw,
        lars,
        lion,
        momentum,
        nesterov,
        rmsprop,
        sgd,
    )
    from symgraph.train.penalties import L1, L2, Penalty, l1, l2
    from symgraph.train.transformations import (
        Optimizer,
        Transformation,
        chain,
        clip_by_global_norm,
        clip_by_norm,
        clip_by_value,
        scale,
        scale_by_adam,
        scale_by_lion,
        scale_by_rms,
        scale_by_rss,
        scale_by_trust_ratio,
        weight_decay,
    )
else:
    __getattr__ = later(
        __name__,
        {
            "Accumulate": "symgraph.train.combinators:Accumulate",
            "Adagrad": "symgraph.train.optimizers:Adagrad",
            "Adam": "symgraph.train.optimizers:Adam",
            "AdamW": "symgraph.train.optimizers:AdamW",
            "Callback": "symgraph.train.callbacks:Callback",
            "Checkpoint": "symgraph.train.checkpoint:Checkpoint",
            "Checkpoints": "symgraph.train.checkpoints:Checkpoints",
            "CsvLog": "symgraph.train.logs:CsvLog",
            "EarlyStopping": "symgraph.train.callbacks:EarlyStopping",
            "Ema": "symgraph.train.combinators:Ema",
            "History": "symgraph.train.history:History",
            "Interrupted": "symgraph.train.interruption:Interrupted",
            "L1": "symgraph.train.penalties:L1",
            "L2": "symgraph.train.penalties:L2",
            "LambdaCallback": "symgraph.train.callbacks:LambdaCallback",
            "Lars": "symgraph.train.optimizers:Lars",
            "Lion": "symgraph.train.optimizers:Lion",
            "Momentum": "symgraph.train.optimizers:Momentum",
            "Named": "symgraph.train.combinators:Named",
            "Optimizer": "symgraph.train.transformations:Optimizer",
            "Partition": "symgraph.train.combinators:Partition",
            "Penalty": "symgraph.train.penalties:Penalty",
            "Progress": "symgraph.train.callbacks:Progress",
            "RmsProp": "symgraph.train.optimizers:RmsProp",
            "Sgd": "symgraph.train.optimizers:Sgd",
            "Stop": "symgraph.train.callbacks:Stop",
            "TensorBoard": "symgraph.train.logs:TensorBoard",
            "Transformation": "symgraph.train.transformations:Transformation",
            "accumulate": "symgraph.train.combinators:accumulate",
            "adagrad": "symgraph.train.optimizers:adagrad",
            "adam": "symgraph.train.optimizers:adam",
            "adamw": "symgraph.train.optimizers:adamw",
            "averaged": "symgraph.train.combinators:averaged",
            "chain": "symgraph.train.transformations:chain",
            "clip_by_global_norm": "symgraph.train.transformations:clip_by_global_norm",
            "clip_by_norm": "symgraph.train.transformations:clip_by_norm",
            "clip_by_value": "symgraph.train.transformations:clip_by_value",
            "ema": "symgraph.train.combinators:ema",
            "evaluate": "symgraph.train.evaluation:evaluate",
            "fit": "symgraph.train.loop:fit",
            "freeze": "symgraph.train.combinators:freeze",
            "l1": "symgraph.train.penalties:l1",
            "l2": "symgraph.train.penalties:l2",
            "lars": "symgraph.train.optimizers:lars",
            "lion": "symgraph.train.optimizers:lion",
            "metrics": "symgraph.train.metrics",
            "minimize": "symgraph.train.descent:minimize",
            "momentum": "symgraph.train.optimizers:momentum",
            "named": "symgraph.train.combinators:named",
            "nesterov": "symgraph.train.optimizers:nesterov",
            "partition": "symgraph.train.combinators:partition",
            "predict": "symgraph.train.evaluation:predict",
            "pictures": "symgraph.train.pictures",
            "rmsprop": "symgraph.train.optimizers:rmsprop",
            "scale": "symgraph.train.transformations:scale",
            "scale_by_adam": "symgraph.train.transformations:scale_by_adam",
            "scale_by_lion": "symgraph.train.transformations:scale_by_lion",
            "scale_by_rms": "symgraph.train.transformations:scale_by_rms",
            "scale_by_rss": "symgraph.train.transformations:scale_by_rss",
            "scale_by_trust_ratio": "symgraph.train.transformations:scale_by_trust_ratio",
            "schedules": "symgraph.train.schedules",
            "sgd": "symgraph.train.optimizers:sgd",
            "weight_decay": "symgraph.train.transformations:weight_decay",
            "with_averages": "symgraph.train.combinators:with_averages",
        },
    )

__all__ = [
    "L1",
    "L2",
    "Accumulate",
    "Adagrad",
    "Adam",
    "AdamW",
    "Callback",
    "Checkpoint",
    "Checkpoints",
    "CsvLog",
    "EarlyStopping",
    "Ema",
    "History",
    "Interrupted",
    "LambdaCallback",
    "Lars",
    "Lion",
    "Momentum",
    "Named",
    "Optimizer",
    "Partition",
    "Penalty",
    "Progress",
    "RmsProp",
    "Sgd",
    "Stop",
    "TensorBoard",
    "Transformation",
    "accumulate",
    "adagrad",
    "adam",
    "adamw",
    "averaged",
    "chain",
    "clip_by_global_norm",
    "clip_by_norm",
    "clip_by_value",
    "ema",
    "evaluate",
    "fit",
    "freeze",
    "l1",
    "l2",
    "lars",
    "lion",
    "metrics",
    "minimize",
    "momentum",
    "named",
    "nesterov",
    "partition",
    "pictures",
    "predict",
    "rmsprop",
    "scale",
    "scale_by_adam",
    "scale_by_lion",
    "scale_by_rms",
    "scale_by_rss",
    "scale_by_trust_ratio",
    "schedules",
    "sgd",
    "weight_decay",
    "with_averages",
]


def __dir__() -> list[str]:
    return __all__
