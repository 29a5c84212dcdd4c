# %% [markdown]
# # The network of the Keras lecture
#
# A lecture on Keras trains one network on handwritten digits: 784 pixels, 512 hidden units, ten probabilities. In Keras
# it is ten lines. Here it is as short, and each line can be opened: what a layer declares, what the loss becomes, what
# an optimizer adds, what a step costs.
#
# 1. the network and its 407,050 parameters;
# 2. softmax, cross-entropy, and what the compiler makes of $\log(\mathrm{softmax})$;
# 3. why nobody moves each weight to see whether it helps;
# 4. batch, stochastic and mini-batch descent;
# 5. optimizers, and RMSprop as a graph;
# 6. training, and the digits that are told wrongly;
# 7. overfitting, and what helps.
#
# The program of this lesson is `models/mnist_dense.py`; its experiments are in `models/descent.py`.

# %%
import numpy as np

import symgraph as sg
from models import descent, study
from symgraph import nn
from symgraph.train import metrics, pictures

# %% [markdown]
# ## 1. The network
#
# The data are pictures of 28×28 pixels, and the digit that each one shows. Where MNIST is not at hand these are the
# digits that come with scikit-learn, resized.

# %%
data = sg.data.mnist()
MNIST = data.name == "MNIST"
print(f"{data.name}: {len(data.train):,} pictures to learn from, {len(data.test):,} to be tested on")


def prepared(batch):
    """What the network is fed: pictures as rows of numbers between 0 and 1, digits as class numbers."""
    x = batch.x.reshape(-1, 784).astype("float32") / np.float32(255)
    return {"x": x, "y": batch.y.astype("int64")}


pictures.weight_images(data.train.x[:14].reshape(14, 784) / 255, titles=data.train.y[:14])

# %% [markdown]
# A *dense* layer lets each of its units see all of its inputs. The first has 512 units and the activation
# $\mathrm{relu}(z) = \max(z, 0)$, the second has one unit for each digit:
#
# $$ h = \mathrm{relu}(x W_1 + b_1), \qquad z = h W_2 + b_2. $$
#
# A layer is a value, and `sequential` makes one layer of several. It declares its weights when it is applied to
# something, since only then their shapes are known.

# %%
layers = nn.sequential(nn.dense(512, sg.relu), nn.dense(10))
layers

# %%
x = sg.placeholder("x", ("batch", 784))
y = sg.placeholder("y", ("batch",), "int64")

(logits, _), _ = sg.run_build(layers(x))
network = sg.define(logits=logits)
network

# %% [markdown]
# The boxes are the layers' *scopes*, which keep the names of their weights apart: `dense/w` is not `dense_1/w`. Keras
# prints a summary of a network. So do we, with its cost for one picture:

# %%
sg.summary(network, batch=1)

# %% [markdown]
# The parameters are easily checked: each unit has a weight for each input, and a bias.

# %%
print(f"{784 * 512 + 512:,} + {512 * 10 + 10:,} = {784 * 512 + 512 + 512 * 10 + 10:,}")

# %% [markdown]
# ## 2. Softmax and cross-entropy
#
# The ten numbers $z$ are *logits*, which may be anything. *Softmax* makes probabilities of them, positive numbers that
# add up to 1:
#
# $$ p_k = \frac{e^{z_k}}{\sum_j e^{z_j}}. $$
#
# If the picture shows the digit $y$, we gave it the probability $p_y$, and the loss is $-\ln p_y$: nothing if we were
# sure and right, a lot if we were sure and wrong. As a sum with the *one-hot* vector of $y$, which is 1 at $y$ and else
# 0, this is the **categorical cross-entropy**
#
# $$ L = -\frac{1}{n} \sum_{i=1}^n \sum_{k=0}^9 \mathbf{1}[k = y_i] \, \ln p_{ik}. $$
#
# Let us write it just so.

# %%
z = sg.placeholder("z", ("batch", 10))
p = sg.softmax(z)
as_written = sg.define(loss=-sg.mean(sg.sum(sg.one_hot(y, 10) * sg.log(p), axis=-1)))
as_written

# %% [markdown]
# Programmed as it stands this formula fails. One unit that is sure enough, and the exponential overflows; or the
# probability of the right digit is rounded to 0, and its logarithm is $-\infty$.

# %%
sure = np.zeros((1, 10), "float32")
sure[0, 3] = 200.0  # "it is a 3"

with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
    chances = np.exp(sure) / np.exp(sure).sum()
    print("in NumPy, as written, if it is a 7:", -np.log(chances[0, 7]))
    print("in NumPy, as written, if it is a 3:", -np.log(chances[0, 3]))

with sg.Session(as_written) as session:
    for digit in (7, 3):
        loss = session.run("loss", {"z": sure, "y": np.array([digit])})
        print(f"compiled, if it is a {digit}: {abs(loss):g}")

# %% [markdown]
# The compiled one is right, because it is not what we wrote. The compiler knows that
#
# $$ \ln p_k = z_k - \ln \sum_j e^{z_j} = (z_k - m) - \ln \sum_j e^{z_j - m}, \qquad m = \max_j z_j, $$
#
# where no exponent is above 0 and the sum is at least 1. What it does is in the *ledger*, a line for each rewrite.
# These are the lines that made the loss safe:

# %%
executable = sg.compile(as_written, backend="numpy")


def stabilised(executable):
    """The rewrites that keep the value and lose no digits."""
    rows = [row for row in executable.ledger if row.numerics == "stabilises"]
    return study.table(
        [{"pass": row.pass_name, "rule": row.rule, "lines": ", ".join(row.lines)} for row in rows]
    )


print(stabilised(executable))

# %% [markdown]
# First $\ln(\mathrm{softmax}(z))$ became `log_softmax`; then the product with the one-hot vector, summed, became one
# `softmax_cross_entropy`. The same holds for the gradient, which is where it matters. By the chain rule, from
# $\partial L / \partial p$ through the softmax, it is a long expression with $p$ in a denominator. By hand it is
#
# $$ \frac{\partial L}{\partial z_k} = \frac{1}{n} \left( p_k - \mathbf{1}[k = y] \right), $$
#
# the error itself.

# %%
slopes = sg.compile(sg.gradient(as_written, "loss", ("z",)), backend="numpy")
print(stabilised(slopes))

# %% [markdown]
# `cancel-in-mul` is the one that counts: $p \cdot \frac{1}{p}$ is 1, also where $p$ is too small for a number. In the
# end the long expression is the short one:

# %%
(slope,) = (name for name, _ in slopes.graph.outputs if name != "loss")
with sg.Session(sg.gradient(as_written, "loss", ("z",))) as session:
    found = session.run(slope, {"z": sure, "y": np.array([7])})
print(found.round(3))
assert np.array_equal(found.round(3), np.eye(10)[[3]] - np.eye(10)[[7]])

# %% [markdown]
# Whoever knows this writes `softmax_cross_entropy` at once. So do we from here on, and are none the better for it.

# %%
loss = sg.mean(sg.softmax_cross_entropy(logits, y))
network = sg.define(loss=loss, logits=logits, probabilities=sg.softmax(logits))
print(f"{len(network)} nodes")

# %% [markdown]
# ## 3. Backpropagation, and the naive update
#
# How should a weight be changed? Here is an answer that needs no mathematics: make it a little larger, and look whether
# the loss goes down; if not, make it a little smaller. It is right, and it is hopeless. For each weight the whole
# network has to be computed again:

# %%
weights = sg.summary(network).trainable.count
print(f"{weights:,} weights: {3 * weights:,} passes through the network, for one step")

# %% [markdown]
# *Backpropagation* takes one pass forward and one back, whatever the number of weights: $\partial L / \partial h$ is
# computed once, and all the weights below it use it. To see both at work we need a small problem: XOR, with 8 hidden
# units and 42 weights. Both start from the same weights and may make as many passes.

# %%
naive, back = descent.ways(updates=40)
columns = ("update", "passes an update", "updates", "first loss", "last loss")
print(study.table([{name: way.row[name] for name in columns} for way in (naive, back)]))
pictures.curves(
    {way.name: way.curve for way in (naive, back)}, x="passes through the network", y="loss", logarithmic=True
)

# %% [markdown]
# The gradient is a graph, and for our network it is not much larger than the network. In pink is what
# backpropagation adds; follow it from the loss, through $z$, to the weights:

# %%
alone = sg.define(loss=loss)
sg.gradient(alone, "loss", tuple(alone.variables))

# %% [markdown]
# ## 4. Batch, stochastic, mini-batch
#
# The gradient is a mean over examples, $\nabla L = \frac{1}{n} \sum_i \nabla L_i$. Over which?
#
# - **batch** descent takes all of them: each step is the right one, and costs a pass over the data;
# - **stochastic** descent takes a single one: many cheap steps, most of them nearly right, some of them wrong;
# - **mini-batch** descent takes a few: their mean is good enough, and a processor multiplies matrices gladly.
#
# A loss of two weights can be looked at. Here are 200 points, $\hat y = w_0 x_0 + w_1 x_1$, and the mean squared error,
# a valley that is steep in one direction and flat in the other. All start at the upper left; the star is the best.

# %%
paths = descent.paths(steps=120)
descent.paths_picture(paths)

# %%
rows = []
for name, path in paths.items():
    heights = descent.plane_loss(path)
    rows.append({"descent": name, **{f"after {k}": heights[k] for k in (0, 10, 30, 120)}})
print(study.table(rows, "the loss on all points, after so many steps"))

# %% [markdown]
# The same with a network on digits. An epoch is one pass over 300 examples: one step of batch descent, ten of
# mini-batch descent, 300 of stochastic descent.

# %%
few = data.train[:300]


def descend(size, rate):
    """A network of 64 hidden units, trained in steps of `size` examples; the loss on all 300 after each epoch."""
    made = sg.run_build(nn.sequential(nn.dense(64, sg.relu), nn.dense(10))(x))[0].value
    graph = sg.define(loss=sg.mean(sg.softmax_cross_entropy(made, y)))
    with sg.Session(sg.train.minimize(graph, "loss", sg.train.sgd(rate)), seed=0) as session:
        return sg.train.fit(
            session, few, validation=few, epochs=10, batch_size=size, map=prepared, quiet=True
        )


sizes = {"batch": (300, 0.1), "mini-batch": (30, 0.05), "stochastic": (1, 0.01)}
runs = {name: descend(*options) for name, options in sizes.items()}
pictures.curves(
    {name: run["val_loss"] for name, run in runs.items()},
    x="epoch",
    y="loss on all examples",
    logarithmic=True,
)

# %% [markdown]
# By the number of examples that it has seen, stochastic descent wins. But it took 3,000 steps for that, where
# mini-batch descent took 100 and batch descent 10, and a processor does the work of a few examples in hardly more time
# than that of one. That is why everyone uses mini-batches. The times come with
# `python -m models.mnist_dense --only descents`.
#
# ## 5. Optimizers
#
# With the gradient $g = \nabla L(w)$ of a mini-batch, an optimizer decides on the step. *Momentum* lets the weights
# roll,
#
# $$ v \leftarrow \mu v - \alpha g, \qquad w \leftarrow w + v, $$
#
# which goes fast where gradients agree, and overshoots where they do not. *Nesterov*'s variant takes the gradient where
# the ball will be. The others give each weight a rate of its own, by the size of its gradients so far. *Adagrad* adds
# up their squares, and is ever more careful; *RMSprop*, which the lecture uses, forgets the old ones:
#
# $$ s \leftarrow \rho s + (1 - \rho) g^2, \qquad w \leftarrow w - \alpha \frac{g}{\sqrt{s + \varepsilon}}. $$
#
# *Adam* is RMSprop with momentum, both corrected for having started at 0:
#
# $$ m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad s \leftarrow \beta_2 s + (1 - \beta_2) g^2, \quad
#    w \leftarrow w - \alpha \frac{m / (1 - \beta_1^t)}{\sqrt{s / (1 - \beta_2^t)} + \varepsilon}. $$
#
# Look at the right picture above once more: plain descent falls to the bottom of the valley and then creeps along it.
# Adagrad, RMSprop and Adam, with rates of their own, go rather straight for the star, since they do not know how steep
# it is. *Lion* takes only the sign of a running mean, so all its steps are equally long; that mean is slow to turn, and
# when the picture ends it has run past the star.
#
# An optimizer is a function from variables and gradients to their next values, so it adds nodes to the graph and is
# compiled with the rest. For a single weight, $L = (wx - y)^2$, we can see all of RMSprop:

# %%
w = sg.variable("w", (), init=0.5)
one = sg.define(loss=(w * sg.placeholder("x", ()) - sg.placeholder("y", ())) ** 2)
sg.train.minimize(one, "loss", sg.train.rmsprop(0.001))

# %% [markdown]
# Pink is the gradient; green are the next values of $w$ and of its running square $s$, a variable like any other.
# Nothing of it runs until a session is told to update the group `train`, and then all variables change at once.
#
# ## 6. Training
#
# Now the lecture's network, by RMSprop, in batches of 128. `minimize` adds the gradient and the updates, and `fit` does
# the rest: it shuffles, cuts batches, steps, and tests the network after each epoch.

# %%
training = sg.train.minimize(network, "loss", sg.train.rmsprop(0.001))
session = sg.Session(training, seed=0)
history = sg.train.fit(
    session,
    data.train,
    validation=data.test,
    epochs=5 if MNIST else 25,
    batch_size=128,
    map=prepared,
    metrics={"accuracy": metrics.accuracy()},
    train_metrics=True,
    quiet=True,
)
print(f"training {history['accuracy'][-1]:.2%}, test {history['val_accuracy'][-1]:.2%}")
pictures.curves(history)

# %% [markdown]
# The lecture has 98.9 % in training and 97.9 % in the test, after five epochs of MNIST; `python -m models.mnist_dense`
# gives the same. The small digits are fewer, and the curves are rougher.
#
# A network is also asked for its probabilities. Here are the pictures that it gets wrong, the most certain errors
# first: the digit that it is, the one that was seen, and the probability that it gave that.

# %%
chances = sg.train.predict(session, "probabilities", data.test, map=prepared)
pictures.misclassified(data.test.x, data.test.y, chances.argmax(axis=1), chances, most=21)

# %%
pictures.confusion(metrics.confusion_matrix()(chances, data.test.y), title="which digit was taken for which")

# %% [markdown]
# ## 7. Overfitting
#
# 407,050 weights can learn some hundred pictures by heart, whatever they are told about them. To see it, we take few
# pictures and give a fifth of them the label of another one. A network that has understood digits gets at most four
# fifths of these labels right; one that gets more has learned them by heart, and will be wrong on other pictures.
#
# Three remedies are
#
# - a **penalty** on large weights, $L + \lambda \sum w^2$: a network that must be frugal finds simpler answers;
# - **dropout**: in training each hidden unit is left out with probability $\frac12$ (and the others count double), so
#   that none can rely on another;
# - **early stopping**: watch the loss on other examples, and keep the weights with which it was lowest.
#
# Dropout behaves otherwise in training than in use, and draws random numbers. A layer returns both its output and its
# next state, here the key of the random numbers; `with_evaluation` builds the network twice with the same weights.


# %%
@sg.do
def with_dropout():
    h, state = yield from nn.sequential(nn.dense(512, sg.relu), nn.dropout(0.5), nn.dense(10))(x)
    return nn.Output({"loss": sg.mean(sg.softmax_cross_entropy(h, y)), "logits": h}, state)


dropped = nn.graph(nn.with_evaluation(with_dropout()))
print("outputs:", ", ".join(name for name, _ in dropped.outputs))


# %%
few = descent.spoiled(data.train[:300], share=0.2)


def learn(graph, penalty=None, callbacks=()):
    """Learn the 300 pictures, and be tested on others."""
    made = sg.train.minimize(graph, "loss", sg.train.adam(0.001), penalty=penalty)
    with sg.Session(made, seed=0) as session:
        return sg.train.fit(
            session,
            few,
            validation=data.test[:1000],
            epochs=40,
            batch_size=32,
            map=prepared,
            metrics={"accuracy": metrics.accuracy()},
            callbacks=callbacks,
            quiet=True,
        )


runs = {
    "plain": learn(network),
    "penalty": learn(network, penalty=sg.train.l2(5e-3, exclude="*/b")),
    "dropout": learn(dropped),
    "stopped early": learn(network, callbacks=[sg.train.EarlyStopping("val_loss", patience=3)]),
}
descent.overfitting_picture(runs)

# %%
rows = []
for name, run in runs.items():
    best = run.best("val_loss")
    kept = best if name == "stopped early" else run.rows[-1]  # the epoch whose weights are kept
    rows.append(
        {
            "run": name,
            "epochs": len(run),
            "loss in training": kept["loss"],
            "loss in the test": kept["val_loss"],
            "least of it": best["val_loss"],
            "in epoch": best["epoch"],
            "test accuracy": kept["val_accuracy"],
        }
    )
print(study.table(rows))
assert runs["plain"]["val_loss"][-1] > 1.2 * min(runs["plain"]["val_loss"])

# %% [markdown]
# The figures are those of the last epoch; of the run that was stopped early, those of its best one, whose weights are
# kept.
#
# The plain network's loss in training goes down and down. On other pictures it is lowest after a few epochs, and then
# rises: from there on it learns what is not so. Each of the remedies keeps it from that, and each has its price. A
# penalty and dropout have a strength that must be found, and learn more slowly; whoever stops early needs examples that
# are not learned from.
#
# What helps most is more data. With all of MNIST the same network, without any remedy, is right on 97.9 % of the test
# pictures.
