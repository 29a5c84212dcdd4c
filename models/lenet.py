"""LeNet-5 (LeCun, Bottou, Bengio, Haffner, 1998), the first of the famous networks, on MNIST.

Two convolutions, each with pooling after it, then three dense layers.

    python -m models.lenet                      five epochs on MNIST: 0.990 of the test images are told rightly
    python -m models.lenet --dataset fashion    the same for clothes
"""

import symgraph as sg
from models import classifier, study
from symgraph import nn

LAYERS = nn.sequential(
    nn.conv2d(6, 5, padding="same", activation=sg.relu),
    nn.max_pool2d(2),
    nn.conv2d(16, 5, activation=sg.relu),
    nn.max_pool2d(2),
    nn.flatten(),
    nn.dense(120, sg.relu),
    nn.dense(84, sg.relu),
    nn.dense(10),
)


def declare(dtype: str = "float32") -> sg.Graph:
    """The network: its outputs are `loss`, `logits` and `probabilities`."""
    x = sg.placeholder("x", ("batch", 28, 28, 1), dtype)
    (logits, _), _ = sg.run_build(LAYERS(x))
    return sg.define(classifier.outputs(x, logits))


NETWORK = classifier.Network("lenet", declare, (28, 28, 1), "adam", 0.001)
graph = NETWORK.graph  # what the command line shows
STUDY = study.Study("lenet", __doc__, {"network": classifier.part(NETWORK)}, classifier.options, "float32")

if __name__ == "__main__":
    raise SystemExit(study.main(STUDY))
