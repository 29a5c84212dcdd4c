# %% [markdown]
# # Neural network from scratch
#
# Three networks that read handwritten digits, after the Scala talk of the same name:
#
# 1. logistic regression, with its gradient worked out by hand;
# 2. the same, declared as a graph whose gradient is found for us;
# 3. one hidden layer, which learns badly, and what is wrong with it.
#
# Between the second and the third we look into the machine: the gradient is a graph that can be drawn, and every
# rewrite that the compiler makes of it can be read back.

# %%
import numpy as np

import symgraph as sg
from symgraph.train import metrics, pictures

# %% [markdown]
# ## The data
#
# The pictures have 28×28 pixels, which we take as vectors $x \in [0, 1]^{784}$. The first question is whether a picture
# shows the digit 0, so its label $y$ is 1 for the digit 0 and else 0. `mnist()` gives MNIST; where there is no network
# it gives the 1,797 digits that come with scikit-learn, scaled to the same size, and all below runs on them as well.

# %%
data = sg.data.mnist()
print(f"{data.name}: {len(data.train):,} pictures to learn from, {len(data.test):,} to be tested on")


def pixels(images, dtype="float64"):
    """Pictures (n, 28, 28) as rows (n, 784) between 0 and 1."""
    return (images.reshape(len(images), 784) / 255).astype(dtype)


def is_zero(labels):
    """1 for the digit 0, else 0: (n, 1)."""
    return (labels == 0).astype("float64")[:, None]


SIZE = len(data.train) // 60  # sixty batches, as in the talk: of 1000 from MNIST


def stream():
    """The sixty batches, in the order of the file."""
    return sg.batches(data.train, SIZE, map=lambda batch: (pixels(batch.x), is_zero(batch.y)))


# %% [markdown]
# ## 1. By hand
#
# The log-odds that a picture is a 0 are $z = x w + b$, so its probability is
# $p = \sigma(z) = \dfrac{1}{1 + e^{-z}}$. With the right answer $y$, the loss is the negative logarithm of the
# probability that we gave it; for the two answers this is one formula,
#
# $$ L(z, y) = -y \ln p - (1 - y) \ln (1 - p) = \ln\left(1 + e^{(1 - 2y) z}\right). $$
#
# Its derivative is surprisingly simple. Since $\sigma' = \sigma (1 - \sigma)$,
#
# $$ \frac{\partial L}{\partial z} = -y (1 - p) + (1 - y) p = p - y, $$
#
# the error itself. By the chain rule, for the mean over a batch of $n$ pictures,
#
# $$ \frac{\partial L}{\partial w} = \frac{1}{n} x^T (p - y), \qquad
#    \frac{\partial L}{\partial b} = \frac{1}{n} \sum_i (p_i - y_i). $$
#
# Each batch moves the weights against the gradient, $w \leftarrow w - \alpha \, \partial L / \partial w$, here with a
# learning rate of $\alpha = 1$. All weights start at 0.01.

# %%
w, b = np.full((784, 1), 0.01), np.zeros(1)
by_hand = []
for x, y in stream():
    z = x @ w + b
    by_hand.append(np.mean(np.logaddexp(0, (1 - 2 * y) * z)))
    dz = (1 / (1 + np.exp(-z)) - y) / len(y)
    w, b = w - x.T @ dz, b - dz.sum(axis=0)

right = (pixels(data.test.x) @ w + b > 0) == is_zero(data.test.y)
print(f"loss from {by_hand[0]:.4f} to {by_hand[-1]:.4f}, right on {right.mean():.2%} of the test pictures")

# %% [markdown]
# On MNIST these are the talk's own figures: a first loss of 1.1942, and 98.99 % of the test pictures.
#
# ## 2. As a graph
#
# Now the same network as a *description*: nothing below computes anything. `batch` is a named size, which is bound when
# data is fed. The talk writes its network as three steps on a stack of operands, a matrix product, a sum and a
# cross-entropy, each of which takes its operands from the stack and puts its result back:


# %%
def cross_entropy(z, y):
    return sg.mean(sg.sigmoid_cross_entropy(z, y))


x = sg.placeholder("x", ("batch", 784), "float64")
y = sg.placeholder("y", ("batch", 1), "float64")
w = sg.variable("w", (784, 1), "float64", init=0.01)
b = sg.variable("b", (1,), "float64", init=0.0)

loss, _ = sg.run_build(sg.push(x, w, b, y).then(sg.steps(sg.matmul, sg.add, cross_entropy)))
graph = sg.define(loss=loss, z=x @ w + b)
graph

# %% [markdown]
# Ovals are fed, cylinders are kept from batch to batch, boxes are operations, each with the type of its result. The
# logits `z` were written a second time, as an ordinary expression, and are still one node: equal parts of a graph are
# the same part.
#
# ### The gradient is a graph, too
#
# `gradient` walks the graph from the loss backwards, and asks each operation for its rule: given the derivative of the
# loss by its result, what is that by its operands? For a matrix product $z = x w$ with $g = \partial L/\partial z$ that
# is $\partial L / \partial w = x^T g$. Such a rule is called a *vector-Jacobian product*, a VJP, and it gives no
# numbers but more graph. What it made is drawn in pink, each node with its rule:

# %%
slopes = sg.gradient(graph, of="loss", wrt=("w", "b"))
slopes

# %% [markdown]
# Read the pink part from the top: $\sigma(z) - y$, times $1/n$, and then $x^T(\ldots)$ for $w$ and a sum for $b$. These
# are the formulas that we found by hand. Numbers say so as well:

# %%
xs, ys = next(stream())
with sg.Session(slopes) as session:
    dw, db = session.run(
        [name for name, _ in slopes.outputs if name not in dict(graph.outputs)], {"x": xs, "y": ys}
    )
p = 1 / (1 + np.exp(-(xs @ np.full((784, 1), 0.01))))
print("greatest difference to the gradient by hand:", f"{np.abs(dw - xs.T @ (p - ys) / len(ys)).max():.1e}")
assert np.allclose(dw, xs.T @ (p - ys) / len(ys), rtol=0, atol=1e-12) and np.allclose(db, (p - ys).mean())

# %% [markdown]
# ### Training
#
# `minimize` adds the gradient and, in green, the next value of each variable: one *update group*, `train`. A session
# holds the variables, and runs the graph.

# %%
training = sg.train.minimize(graph, "loss", sg.train.sgd(1.0))
training

# %%
session = sg.Session(training)
by_graph = [float(session.run("loss", {"x": xs, "y": ys}, update="train")) for xs, ys in stream()]
print("greatest difference to the losses by hand:", f"{np.abs(np.subtract(by_hand, by_graph)).max():.1e}")
assert np.allclose(by_hand, by_graph, rtol=0, atol=1e-12)
pictures.curves({"by hand": by_hand, "graph": by_graph}, x="batch", y="training loss")

# %% [markdown]
# ### What the compiler did
#
# Before a graph runs it is rewritten. Every rewrite is a line of the *ledger*: the rule, what it may do to the numbers
# (`exact` is bit for bit, `reassociates` rounds in another order), the nodes, the change in cost for a batch of 100,
# and the lines of this notebook that it came from.

# %%
executable = sg.compile(training, backend="numpy")
print(sg.explain(executable, batch=100))

# %% [markdown]
# `mul-one` saw that a learning rate of 1 is a multiplication that nobody needs. `broadcast-of-operand` leaves it to the
# next operation to repeat $1/n$ for each picture. The `expand` lines open the cross-entropy and the sigmoid into what
# they are made of, in a form that no $z$ makes overflow. And `fuse` joins what can run as one loop over the data, so
# that what is between is never written to memory. The last lines are the fusions that were *not* made, with the reason.
#
# This is the graph that is left, and below it the program: a Python function that you can read.

# %%
executable.graph

# %%
print(executable.source(batch=100))

# %% [markdown]
# ### Where it is wrong
#
# The weights are a picture themselves: red is ink that speaks for a 0, blue is ink that speaks against it. The middle
# of a 0 is empty.

# %%
pictures.weight_images(session.variables["w"])

# %%
z = session.run("z", {"x": pixels(data.test.x)})[:, 0]
truth = (data.test.y == 0).astype(int)
sure = 1 / (1 + np.exp(-np.abs(z)))  # the probability of the answer that it gives
pictures.misclassified(data.test.x, truth, (z > 0).astype(int), sure, most=18, names=["other", "0"])

# %% [markdown]
# ## 3. One hidden layer
#
# The third network puts 64 sigmoids between the picture and the answer:
#
# $$ h = \sigma(x W_1^T + b_1), \qquad z = h W_2^T + b_2. $$
#
# The talk starts all its weights at 0.01 again, and trains with the first 100 pictures of each batch of 1000 only.


# %%
def hidden_layer(init, outputs=1):
    """The network: one logit for "is it a 0?", or one for each of ten digits."""
    x = sg.placeholder("x", ("batch", 784), "float64")
    W1 = sg.variable("W1", (64, 784), "float64", init)
    b1 = sg.variable("b1", (64,), "float64", 0.0)
    W2 = sg.variable("W2", (outputs, 64), "float64", init)
    b2 = sg.variable("b2", (outputs,), "float64", 0.0)
    h = sg.sigmoid(x @ W1.T + b1)
    logits = h @ W2.T + b2
    if outputs == 1:
        y = sg.placeholder("y", ("batch", 1), "float64")
        return sg.define(loss=sg.mean(sg.sigmoid_cross_entropy(logits, y)), logits=logits, h=h)
    y = sg.placeholder("y", ("batch",), "int64")
    return sg.define(loss=sg.mean(sg.softmax_cross_entropy(logits, y)), logits=logits, h=h)


hidden_layer(0.01)

# %%
USED = max(SIZE // 10, min(SIZE, 25))  # of each batch


def learn(init):
    """Train as the talk does: one pass, a learning rate of 1; returns the session and the losses."""
    session = sg.Session(sg.train.minimize(hidden_layer(init), "loss", sg.train.sgd(1.0)), seed=0)
    step = session.prepare("loss", ("x", "y"), update="train")
    return session, [float(step(xs[:USED], ys[:USED])) for xs, ys in stream()]


def zeros_found(session):
    """Of the pictures of a 0, the share that is found, and of all pictures the share that is answered rightly."""
    logits = session.run("logits", {"x": pixels(data.test.x)})
    return metrics.recall()(logits, is_zero(data.test.y)), metrics.accuracy()(logits, is_zero(data.test.y))


constant, constant_losses = learn(0.01)
print(
    "right on {1:.2%} of the test pictures; of the zeros among them it finds {0:.1%}".format(
        *zeros_found(constant)
    )
)

# %% [markdown]
# A network with 50,000 weights does worse than one with 785. Look at what its hidden units have learned:

# %%
W1 = constant.variables["W1"]
pictures.weight_images(W1, most=16, title="the weights of 16 of the 64 hidden units")

# %%
h = constant.run("h", {"x": pixels(data.test.x[:1000])})
print("greatest difference between two hidden units, weights:", f"{np.ptp(W1, axis=0).max():.1e}")
print("greatest difference between two hidden units, outputs:", f"{np.ptp(h, axis=1).max():.1e}")
print("rank of W1:", np.linalg.matrix_rank(W1))
assert np.ptp(W1, axis=0).max() < 1e-12 and np.linalg.matrix_rank(W1, tol=1e-9) == 1

# %% [markdown]
# All 64 units are one and the same. It cannot be otherwise. Suppose that before a step the units are equal: the rows of
# $W_1$, the entries of $b_1$ and the columns of $W_2$. Then so are the outputs $h_1 = \ldots = h_{64}$, and in the
# gradient
#
# $$ \frac{\partial L}{\partial W_{1,k}} = \frac{1}{n}\sum_i (p_i - y_i)\, W_{2,k}\, h_{ik} (1 - h_{ik})\, x_i $$
#
# nothing depends on $k$: each unit takes the same step, and after it they are equal again. By induction they stay so
# for ever. The network has one hidden unit, whose voice is counted 64 times; and with 64 equal steps at once, a
# learning rate of 1 is 64 times what that one unit would bear.
#
# ### Mended
#
# What is missing is a difference to begin with. Glorot's start draws each weight at random, between
# $\pm\sqrt{6 / (n_\text{in} + n_\text{out})}$, so that the sums that reach the units are neither too small nor too
# large for the slope of a sigmoid. Nothing else changes:

# %%
glorot, glorot_losses = learn(sg.init.glorot_uniform)
found = {"constant 0.01": zeros_found(constant), "Glorot": zeros_found(glorot)}
for start, (share, accuracy) in found.items():
    print(f"{start:14} right on {accuracy:.2%}, finds {share:.1%} of the zeros")
print("rank of W1:", np.linalg.matrix_rank(glorot.variables["W1"]))
pictures.curves({"constant 0.01": constant_losses, "Glorot": glorot_losses}, x="batch", y="training loss")

# %%
pictures.weight_images(
    glorot.variables["W1"], most=16, title="the weights of 16 of the 64 hidden units, after Glorot's start"
)

# %% [markdown]
# ### All ten digits
#
# The other fault was thrift: nine in ten pictures were never looked at. With all of them, smaller batches, and ten
# logits in the place of one, the same 64 units tell all digits apart. `fit` does what our loops did, in one call.

# %%
ten = sg.train.minimize(hidden_layer(sg.init.glorot_uniform, outputs=10), "loss", sg.train.sgd(1.0))
session = sg.Session(ten, seed=0)
history = sg.train.fit(
    session,
    data.train,
    validation=data.test,
    map=lambda batch: {"x": pixels(batch.x), "y": batch.y.astype("int64")},
    metrics={"accuracy": metrics.accuracy("logits", "y")},
    epochs=5,
    batch_size=50,
    quiet=True,
)
print(f"right on {history['val_accuracy'][-1]:.2%} of the test pictures")
pictures.curves(history)

# %%
logits = session.run("logits", {"x": pixels(data.test.x)})
pictures.confusion(metrics.confusion_matrix()(logits, data.test.y), title="which digit was taken for which")

# %% [markdown]
# And these are the pictures that it gets wrong, the most certain errors first: the digit that it is, the one that the
# network saw, and the probability that it gave it.

# %%
chances = np.exp(logits - logits.max(axis=1, keepdims=True))
chances /= chances.sum(axis=1, keepdims=True)
pictures.misclassified(data.test.x, data.test.y, logits.argmax(axis=1), chances, most=21)
