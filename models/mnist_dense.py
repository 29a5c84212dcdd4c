"""The network of the Keras lecture: 784 pixels, 512 relus, softmax over 10 digits, trained by RMSprop.

python -m models.mnist_dense --only network        five epochs on MNIST: 0.979 of the test images are told rightly
python -m models.mnist_dense --pictures FOLDER     and the lecture's experiments: see --help
"""

import symgraph as sg
from models import classifier, descent, study
from symgraph import nn


def declare(dtype: str = "float32", units: int = 512) -> sg.Graph:
    """The network: its outputs are `loss`, `logits` and `probabilities`."""
    x = sg.placeholder("x", ("batch", 784), dtype)
    (logits, _), _ = sg.run_build(nn.sequential(nn.dense(units, sg.relu), nn.dense(10))(x))
    return sg.define(classifier.outputs(x, logits))


NETWORK = classifier.Network("mnist_dense", declare, (784,), "rmsprop", 0.001)
graph = NETWORK.graph  # what the command line shows
PARTS = {"network": classifier.part(NETWORK), **descent.parts(declare)}
STUDY = study.Study("mnist_dense", __doc__, PARTS, classifier.options, "float32")

if __name__ == "__main__":
    raise SystemExit(study.main(STUDY))
