# %% [markdown]
# # Famous networks: LeNet
#
# A dense layer takes a picture as a row of numbers. Shuffle the pixels of all pictures in the same way, and it learns
# just as well: that neighbours belong together, and that a 7 is a 7 also two pixels further to the right, it has to
# find out by itself, for each place anew. *Convolutional* networks are told. The first famous one is LeNet-5 (LeCun,
# Bottou, Bengio and Haffner, 1998), which read the amounts on cheques. We look at
#
# 1. convolution, what it computes, and its gradient;
# 2. pooling;
# 3. the network: its parameters, what they cost, and what a unit sees of the picture;
# 4. training;
# 5. what the units have learned to look for;
# 6. what becomes of a picture that is moved;
# 7. the digits that are told wrongly.
#
# The program of this lesson is `models/lenet.py`.

# %%
import numpy as np

import symgraph as sg
from models import study
from symgraph import nn
from symgraph.train import metrics, pictures

# %%
data = sg.data.mnist()
MNIST = data.name == "MNIST"
print(f"{data.name}: {len(data.train):,} pictures to learn from, {len(data.test):,} to be tested on")


def prepared(batch):
    """Pictures [n, height, width, channels] between 0 and 1, here with one channel, and digits as class numbers."""
    x = batch.x[..., None].astype("float32") / np.float32(255)
    return {"x": x, "y": batch.y.astype("int64")}


# %% [markdown]
# ## 1. Convolution
#
# A *kernel* $k$ is a small picture of what we look for, say 3×3. It is laid on the picture at each place, multiplied
# pixel by pixel, and summed:
#
# $$ z_{ij} = \sum_{a,b} k_{ab} \, x_{i+a,\, j+b}. $$
#
# The result is again a picture: bright where the picture looks like the kernel. (Mathematicians call this a
# correlation; their convolution has the kernel turned around. For a kernel that is learned it makes no difference.)
#
# As a graph it is one node. The type of its result follows: where the kernel may not stand out of the picture
# (`padding="valid"`), a picture loses two rows and two columns.

# %%
x = sg.placeholder("x", ("batch", 28, 28, 1))
k = sg.placeholder("k", (3, 3, 1, 1))
convolution = sg.define(z=sg.conv2d(x, k))
convolution

# %% [markdown]
# Some kernels are known for long. This one is positive on the left and negative on the right, so it finds vertical
# edges; its transpose finds horizontal ones; and one whose entries are all $\frac19$ blurs.

# %%
edges = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]], "float32")
kernels = {"vertical edges": edges, "horizontal edges": edges.T, "blurred": np.full((3, 3), 1 / 9, "float32")}

picture = prepared(data.train[1:2])["x"]
with sg.Session(convolution) as session:
    found = {
        name: session.run("z", {"x": picture, "k": kernel[:, :, None, None]})
        for name, kernel in kernels.items()
    }

images = [picture[0, 1:-1, 1:-1, 0], *(z[0, :, :, 0] for z in found.values())]
pictures.weight_images(
    np.stack([image / np.abs(image).max() for image in images]).reshape(4, -1),
    shape=(26, 26),
    titles=["the picture", *found],
)

# %% [markdown]
# A few lines of NumPy say the same, one place after the other:

# %%
by_hand = np.empty((26, 26), "float32")
for i in range(26):
    for j in range(26):
        by_hand[i, j] = (edges * picture[0, i : i + 3, j : j + 3, 0]).sum()

print("greatest difference:", f"{np.abs(by_hand - found['vertical edges'][0, :, :, 0]).max():.0e}")
assert np.allclose(by_hand, found["vertical edges"][0, :, :, 0], rtol=0, atol=1e-5)

# %% [markdown]
# With several channels in, say the red, green and blue of a photograph, a kernel has a slice for each, and their
# results are summed; with several kernels there are as many channels out:
#
# $$ z_{ijd} = b_d + \sum_{a,b,c} k_{abcd} \, x_{i+a,\, j+b,\, c}. $$
#
# There are two things to say about this formula. The kernel does not depend on the place $(i, j)$, so what was learned
# in one corner is known in all of them: *weights are shared*, and there are few. And $z_{ij}$ depends on nine pixels,
# not on 784: *connections are local*.
#
# ### Its gradient
#
# Since $z_{ij}$ is linear in $k_{ab}$ with the factor $x_{i+a,\,j+b}$, and the same weight is used at each place, its
# gradient is a sum over all places,
#
# $$ \frac{\partial L}{\partial k_{ab}} = \sum_{i,j} \frac{\partial L}{\partial z_{ij}} \, x_{i+a,\, j+b}, \qquad
#    \frac{\partial L}{\partial x_{ij}} = \sum_{a,b} k_{ab} \, \frac{\partial L}{\partial z_{i-a,\, j-b}}. $$
#
# Both are convolutions again: the first of the picture with the gradient, the second of the gradient with the kernel
# turned around.

# %%
z = sg.conv2d(x, k)
slopes = sg.gradient(sg.define(loss=sg.mean(z**2) / 2), "loss", ("x", "k"))
slopes

# %% [markdown]
# ## 2. Pooling
#
# After a convolution it matters that an edge was seen, and about where, not at which pixel. *Pooling* keeps the largest
# value of each 2×2 window,
#
# $$ p_{ij} = \max_{a, b \in \{0, 1\}} z_{2i+a,\, 2j+b}, $$
#
# so the picture has half the height and half the width, and a pattern may move a little without being lost. The
# gradient goes to where the largest value was.

# %%
pooling = sg.define(p=sg.max_pool2d(sg.relu(sg.conv2d(x, k)), 2))
pooling

# %%
with sg.Session(pooling) as session:
    feeds = [{"x": picture, "k": kernel[:, :, None, None]} for kernel in kernels.values()]
    pooled = np.stack([session.run("p", fed)[0, :, :, 0] for fed in feeds])
pictures.weight_images(pooled.reshape(3, -1), shape=(13, 13), titles=list(kernels))

# %% [markdown]
# ## 3. The network
#
# LeNet does this twice, with kernels of 5×5, six of them and then sixteen, and ends with three dense layers. (The paper
# has sigmoids, averages in the place of maxima, and connects its second convolution only in part; this is how it has
# been built since.)

# %%
LAYERS = {
    "conv1": nn.conv2d(6, 5, padding="same", activation=sg.relu),
    "pool1": nn.max_pool2d(2),
    "conv2": nn.conv2d(16, 5, activation=sg.relu),
    "pool2": nn.max_pool2d(2),
    "flat": nn.flatten(),
    "dense1": nn.dense(120, sg.relu),
    "dense2": nn.dense(84, sg.relu),
    "logits": nn.dense(10),
}


@sg.do
def network(layers=LAYERS):
    """What each layer makes of the pictures `x`, by its name."""
    made, h = {}, x
    for name, layer in layers.items():
        h, _ = yield from nn.named(name, layer)(h)
        made[name] = h
    return made


def declare(made):
    """The graph of a network that makes logits, with its loss, and with what each layer makes."""
    y = sg.placeholder("y", ("batch",), "int64")
    loss = sg.mean(sg.softmax_cross_entropy(made["logits"], y))
    return sg.define({"loss": loss, **made, "probabilities": sg.softmax(made["logits"])})


made, _ = sg.run_build(network())
sg.define(logits=made["logits"])

# %% [markdown]
# Follow the types: 28×28 pixels of one channel become 14×14 of six, then 5×5 of sixteen; ever less *where*, ever more
# *what*. At the end 400 numbers are left, and dense layers do the rest.
#
# ### Parameters, and what they cost

# %%
graph = declare(made)
summary = sg.summary(graph, "logits", batch=1)
summary

# %% [markdown]
# By hand: $5 \cdot 5 \cdot 1 \cdot 6 + 6 = 156$, then $5 \cdot 5 \cdot 6 \cdot 16 + 16 = 2{,}416$, and so on, together
# 61,706: a seventh of the network with 512 dense units. A dense layer in the place of the first convolution, from 784
# pixels to $28 \cdot 28 \cdot 6$ numbers, would have 3,692,640.
#
# Where parameters are and where time goes are two questions. The convolutions have few weights, and use each of them at
# each place:

# %%
rows = [
    {
        "layer": layer.name,
        "share of the parameters": f"{layer.parameters / summary.parameters.count:.1%}",
        "share of the flops": f"{layer.flops / summary.flops:.1%}",
    }
    for layer in summary.layers
]
print(study.table(rows))
assert summary.trainable.count == 61_706

# %% [markdown]
# ### Receptive fields
#
# How much of the picture does a unit see? A unit of the first convolution sees 5×5 pixels. Let $r$ be the width of what
# a unit sees, and $s$ how many pixels lie between neighbours. A layer with windows of width $k$ and strides $t$ makes
# of them
#
# $$ r \leftarrow r + (k - 1)\, s, \qquad s \leftarrow s\, t. $$

# %%
r, s = 1, 1
for name, k_width, stride in (("conv1", 5, 1), ("pool1", 2, 2), ("conv2", 5, 1), ("pool2", 2, 2)):
    r, s = r + (k_width - 1) * s, s * stride
    print(f"{name}: a unit sees {r}x{r} pixels, its neighbour is {s} further")

# %% [markdown]
# The gradient shows it. The derivative of a unit by the pixels is 0 for all pixels that it does not see. Here it is for
# the unit in the middle of each layer, before any training, its absolute value averaged over a hundred pictures:


# %%
def seen(name):
    """The mean absolute derivative of the middle units of a layer by the pixels."""
    middle = made[name].shape[1] // 2
    one = sg.define(unit=sg.sum(made[name][:, middle, middle, :]))
    slopes = sg.gradient(one, "unit", ("x",))
    (slope,) = (name for name, _ in slopes.outputs if name != "unit")
    with sg.Session(slopes, seed=0) as session:
        return np.abs(session.run(slope, {"x": prepared(data.train[:100])["x"]})).mean(axis=0)[..., 0]


fields = {name: seen(name) for name in ("conv1", "pool1", "conv2", "pool2")}
pictures.weight_images(
    np.stack([field / field.max() for field in fields.values()]).reshape(4, -1), titles=list(fields)
)

# %%
widths = {name: int((field > 0).any(axis=0).sum()) for name, field in fields.items()}
print(widths)
assert widths == {"conv1": 5, "pool1": 6, "conv2": 14, "pool2": 16}

# %% [markdown]
# ## 4. Training
#
# Nothing is new here: the loss is the cross-entropy, the optimizer is Adam. The gradient, in pink, goes back through
# each layer, and each has its update, in green. The graph is large by now, so it is drawn with one box for each layer:

# %%
training = sg.train.minimize(graph, "loss", sg.train.adam(0.001))
training

# %%
session = sg.Session(training, seed=0)
history = sg.train.fit(
    session,
    data.train,
    validation=data.test,
    epochs=2 if MNIST else 10,
    batch_size=64,
    map=prepared,
    metrics={"accuracy": metrics.accuracy()},
    train_metrics=True,
    quiet=True,
)
print(f"training {history['accuracy'][-1]:.2%}, test {history['val_accuracy'][-1]:.2%}")
pictures.curves(history)

# %% [markdown]
# `python -m models.lenet` trains for five epochs on MNIST, and tells about 99 % of the test pictures rightly.
#
# ## 5. What the units look for
#
# The six kernels of the first layer were random to begin with. Red and blue side by side is an edge, red alone a stroke
# or a spot; after so little training some still look like noise.

# %%
kernels = session.variables["conv1/kernel"]
pictures.weight_images(kernels.reshape(25, 6), shape=(5, 5), titles=[f"kernel {k}" for k in range(6)])

# %% [markdown]
# What they make of a picture is easier to read: the *feature maps*, bright where the kernel found what it looks for.
# First the six maps of the first convolution, then, after pooling, the sixteen of the second. The latter see 14×14
# pixels, and look for combinations.

# %%
maps = session.run(("conv1", "conv2"), {"x": picture})
first, second = (np.moveaxis(part[0], -1, 0) for part in maps)
pictures.weight_images(first.reshape(6, -1) / first.max(), shape=(28, 28), title="conv1")

# %%
pictures.weight_images(second.reshape(16, -1) / second.max(), shape=(10, 10), title="conv2")

# %% [markdown]
# ## 6. A few pixels further to the right
#
# We said that a convolution knows a pattern wherever it is. Let us hold the network to it, and move the test pictures
# to the right, which none of the training pictures was. Beside it is the dense network of the Keras lecture.

# %%
dense, _ = sg.run_build(
    network({"flat": nn.flatten(), "hidden": nn.dense(512, sg.relu), "logits": nn.dense(10)})
)
other = sg.Session(sg.train.minimize(declare(dense), "loss", sg.train.adam(0.001)), seed=0)
options = {"epochs": 2 if MNIST else 10, "batch_size": 64, "map": prepared, "quiet": True}
sg.train.fit(other, data.train, **options)


def moved(pixels):
    """The test pictures, so many pixels further to the right."""
    fed = prepared(data.test)
    width = fed["x"].shape[2]
    return {**fed, "x": np.pad(fed["x"], ((0, 0), (0, 0), (pixels, 0), (0, 0)))[:, :, :width]}


def right(session, pixels):
    """The share of the moved pictures that are told rightly."""
    fed = moved(pixels)
    return float((session.run("logits", {"x": fed["x"]}).argmax(axis=1) == fed["y"]).mean())


shifts = range(6)
shares = {name: [right(s, by) for by in shifts] for name, s in {"LeNet": session, "dense": other}.items()}
pictures.lines(
    {name: (list(shifts), found) for name, found in shares.items()},
    x="pixels to the right",
    y="accuracy on test pictures",
)

# %% [markdown]
# Where nothing is moved, and pictures are few, the dense network is no worse. Both lose when pictures are moved, as the
# dense layers at LeNet's end have learned where things use to be; but its convolutions with their pooling forgive a
# pixel or two.
#
# ## 7. Where it is wrong

# %%
chances = sg.train.predict(session, "probabilities", data.test, map=prepared)
pictures.misclassified(data.test.x, data.test.y, chances.argmax(axis=1), chances, most=14)

# %%
pictures.confusion(metrics.confusion_matrix()(chances, data.test.y), title="which digit was taken for which")

# %% [markdown]
# LeNet's successors are the other famous networks. AlexNet (2012) is LeNet with more of everything, relus and dropout.
# VGG (2014) has many convolutions of 3×3: two of them see what one of 5×5 does, with fewer weights. ResNet (2015) adds
# to what a layer makes what it was given, so that gradients find their way through a hundred layers; here that is
# `nn.residual(layer)`. All of them are built from what this lesson has shown.
