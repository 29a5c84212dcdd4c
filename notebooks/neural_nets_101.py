# %% [markdown]
# # Neural nets 101
#
# From a straight line to a network with branches, one small experiment after the other:
#
# 1. a linear neuron, trained, and solved in closed form;
# 2. a perceptron that makes decisions;
# 3. a sigmoid neuron, which can learn them;
# 4. activations, and why their slopes matter;
# 5. momentum;
# 6. symbols: declare, differentiate, draw;
# 7. a network of five kinds of layers, with branches and two losses, in a few lines.
#
# The program of this lesson is `models/neural_nets_101.py`.

# %%
from itertools import product

import numpy as np

import symgraph as sg
from models import neural_nets_101, study
from symgraph.train import metrics, pictures

# %% [markdown]
# ## 1. A linear neuron
#
# A neuron adds up its inputs, each with a weight: $\hat y = x w$. The first input is always 1, so that its weight is a
# *bias*. Our data is 200 points that were made with the weights below, and some noise.

# %%
X, Y = neural_nets_101.line()
made_with = np.array(neural_nets_101.WEIGHTS)
print(X.shape, Y.shape, "made with", made_with)

# %% [markdown]
# We want the weights with the least mean squared error
#
# $$ L(w) = \frac{1}{2n} \lVert X w - Y \rVert^2, \qquad \frac{\partial L}{\partial w} = \frac{1}{n} X^T (X w - Y). $$
#
# For once there are two ways to them. We can go downhill, $w \leftarrow w - \alpha \, \partial L / \partial w$. Or we
# can ask where the gradient is zero, and solve: $X^T X w = X^T Y$, so
#
# $$ w = (X^T X)^{-1} X^T Y. $$
#
# Both are expressions, and both go into one graph.

# %%
x, y = sg.placeholder("x", ("n", 4), "float64"), sg.placeholder("y", ("n", 1), "float64")
w = sg.variable("w", (4, 1), "float64", init=0.0)
linear = sg.define(loss=sg.mean((x @ w - y) ** 2) / 2, closed=sg.inverse(x.T @ x) @ x.T @ y)
linear = sg.train.minimize(linear, "loss", sg.train.sgd(0.3))
linear

# %%
with sg.Session(linear) as session:
    losses = [float(session.run("loss", {"x": X, "y": Y}, update="train")) for _ in range(150)]
    trained, closed = session.variables["w"].ravel(), session.run("closed", {"x": X, "y": Y}).ravel()

for name, weights in (("made with", made_with), ("trained", trained), ("closed form", closed)):
    print(f"{name:12}", "  ".join(f"{value: .6f}" for value in weights))
print(f"trained and closed form differ by {np.abs(trained - closed).max():.0e}")
assert np.allclose(trained, closed, rtol=0, atol=1e-9)
pictures.curves({"loss": losses}, x="step", y="loss", logarithmic=True)

# %% [markdown]
# The loss does not fall to zero but to the noise, which no weights explain. And the closed form was not computed as it
# was written. One of the compiler's rewrites saw an inverse that is only multiplied with:


# %%
def ledger(executable, *passes):
    """The rewrites of some passes: the rule, what it does to the numbers, the operations that went and that came."""
    for row in executable.ledger:
        if row.pass_name in passes:
            out, into = (" ".join(o.op.name for o in part) or "-" for part in (row.removed, row.added))
            print(f"{row.rule:22} {row.numerics:13} {out} -> {into}   # {', '.join(row.lines)}")


ledger(sg.compile(linear, backend="numpy"), "stabilise", "canonicalise", "matmul")

# %% [markdown]
# `inverse-times` makes $A^{-1} B$ a `solve`, which is cheaper and loses fewer digits; that is what one does by hand if
# one knows. And $X^T$ is never made: the matrix product reads $X$ the other way round.
#
# ## 2. A perceptron decides
#
# Shall I go to the festival? A perceptron weighs facts, each of them true or not, and says yes where their sum is above
# a threshold. With $b$ for minus the threshold:
#
# $$ \text{go} \iff b + w \cdot x > 0. $$
#
# Here are four persons. Each has a bias and three weights, and all four decide at once: their weights are the columns
# of one matrix, and there is nothing to learn.

# %%
FACTS = ("good weather", "with friends", "near a station")
PERSONS = {
    "weather decides": (-5, 6, 2, 2),
    "weather, or both others": (-3, 6, 2, 2),
    "any of them": (-1, 2, 2, 2),
    "all of them": (-5, 2, 2, 2),
}
inputs = np.array(list(product((0.0, 1.0), repeat=3)))

x = sg.placeholder("x", ("inputs", 3), "float64")
weights = sg.placeholder("weights", (4, "perceptrons"), "float64")
perceptron = sg.define(go=x @ weights[1:] + weights[0] > 0)
perceptron

# %% [markdown]
# Three facts make eight inputs, so the whole behaviour of a perceptron is a table:

# %%
with sg.Session(perceptron) as session:
    go = session.run("go", {"x": inputs, "weights": np.array(list(PERSONS.values()), float).T})
print(
    study.table(
        [
            {fact: "yes" if known else "no" for fact, known in zip(FACTS, facts, strict=True)}
            | {name: "go" if says else "-" for name, says in zip(PERSONS, decided, strict=True)}
            for facts, decided in zip(inputs, go, strict=True)
        ]
    )
)
assert (go[:, 0] == (inputs[:, 0] == 1)).all()  # the first one looks at the weather alone
assert (go[:, 1] == ((inputs[:, 0] == 1) | (inputs[:, 1:].sum(axis=1) == 2))).all()
assert (go[:, 2] == inputs.any(axis=1)).all() and (go[:, 3] == inputs.all(axis=1)).all()

# %% [markdown]
# The first two differ in their threshold alone, and so do the last two. A smaller threshold is a person who is
# more eager to go.
#
# ## 3. A sigmoid neuron learns
#
# A perceptron cannot be taught by small steps: a small change of a weight changes nothing, until it changes everything.
# A sigmoid neuron answers with a number between 0 and 1 that moves a little where a weight moves a little:
#
# $$ p = \sigma(b + x w), \qquad \sigma(z) = \frac{1}{1 + e^{-z}}, \qquad
#    L = \frac{1}{2n} \sum (p - y)^2, \qquad
#    \frac{\partial L}{\partial z} = \frac{1}{n} (p - y)\, p\, (1 - p). $$

# %%
x, y = sg.placeholder("x", ("n", 3), "float64"), sg.placeholder("y", ("n", 1), "float64")
w, b = sg.variable("w", (3, 1), "float64", init=0.0), sg.variable("b", (1,), "float64", init=0.0)
p = sg.sigmoid(b + x @ w)
neuron = sg.define(loss=sg.mean((p - y) ** 2) / 2, p=p)
sg.gradient(neuron, "loss", ["w", "b"])

# %% [markdown]
# Let it learn the second person from the eight decisions:

# %%
wanted = go[:, 1]
with sg.Session(sg.train.minimize(neuron, "loss", sg.train.sgd(10.0))) as session:
    feeds = {"x": inputs, "y": wanted[:, None].astype(float)}
    losses = [float(session.run("loss", feeds, update="train")) for _ in range(500)]
    learned = session.run("p", {"x": inputs}).ravel()
    bias, weights = session.variables["b"], session.variables["w"].ravel()

for facts, chance, decided in zip(inputs.astype(int), learned, wanted, strict=True):
    print(facts, f"{chance:.3f}", "go" if decided else "-")
print("bias and weights, in shares of the first weight:", (np.append(bias, weights) / weights[0]).round(2))
assert ((learned > 0.5) == wanted).all()
pictures.curves({"loss": losses}, x="step", y="loss")

# %% [markdown]
# It found a bias and weights of its own: not $(-3, 6, 2, 2)$, but with the same signs and the same order, and the same
# decisions.
#
# ## 4. Activations
#
# What a neuron does with its sum $z$ is its *activation* $f$. Here are the usual ones, and the derivatives, which our
# graph finds:

# %%
ACTIVATIONS = {
    "step": lambda z: sg.cast(z > 0, z.dtype),
    "linear": sg.identity,
    "sigmoid": sg.sigmoid,
    "tanh": sg.tanh,
    "relu": sg.relu,
    "softplus": sg.softplus,
}
z = sg.placeholder("z", ("n",), "float64")
graph = sg.define(
    {name: f(z) for name, f in ACTIVATIONS.items()},
    **{f"sum_{name}": sg.sum(f(z)) for name, f in ACTIVATIONS.items()},
)
for name in ACTIVATIONS:  # the sum of all f(z) has the derivative f'(z) by each z
    graph = sg.gradient(graph, f"sum_{name}", "z", disconnected="zero")

at = np.linspace(-4, 4, 401)
with sg.Session(graph) as session:
    values, slopes = session.run(
        ({name: name for name in ACTIVATIONS}, {name: f"d_sum_{name}/d_z" for name in ACTIVATIONS}), {"z": at}
    )
pictures.lines({name: (at, value) for name, value in values.items()}, x="z", y="f(z)")

# %%
pictures.lines({name: (at, value) for name, value in slopes.items()}, x="z", y="f'(z)")

# %% [markdown]
# The step has no slope anywhere, which is why descent cannot train a perceptron. Sigmoid and tanh have none far from
# zero: a unit that is very sure learns slowly. The slope of a relu is 1 as long as it is awake, and the derivative of
# softplus, $\ln(1 + e^z)$, is the sigmoid:

# %%
assert np.allclose(slopes["softplus"], values["sigmoid"], rtol=0, atol=1e-15)
assert np.allclose(slopes["tanh"], 1 - values["tanh"] ** 2, rtol=0, atol=1e-15)
print("greatest slopes:", {name: round(float(slope.max()), 3) for name, slope in slopes.items()})

# %% [markdown]
# ## 5. Momentum
#
# A narrow valley, $L(w) = \frac{1}{2} (w_0^2 + 50\, w_1^2)$, is fifty times as steep across as along. Descent with one
# learning rate $\alpha$ makes $w_0 \leftarrow (1 - \alpha)\, w_0$ and $w_1 \leftarrow (1 - 50 \alpha)\, w_1$. Across it
# must have $\alpha < 2/50$ or it leaps out of the valley; and along, with such a rate, it crawls.
#
# Momentum gives the ball a mass. A velocity $v$ forgets a little and takes up the gradient, and the weights follow it:
#
# $$ v \leftarrow \mu v + \alpha \frac{\partial L}{\partial w}, \qquad w \leftarrow w - v. $$
#
# Along the valley all pushes go the same way and add up, to a rate of $\alpha / (1 - \mu)$ in the end. Across they take
# turns and cancel each other in part.

# %%
w = sg.variable("w", (2,), "float64", init=sg.init.array((-10.0, 1.0)))
valley = sg.define(loss=sg.sum(sg.constant([1.0, 50.0], "float64") * w**2) / 2)
sg.train.minimize(valley, "loss", sg.train.momentum(0.035, 0.75))

# %% [markdown]
# Green is what the optimizer adds: the velocity is a variable as the weights are, and both take their next values at
# the same time. Now both ways down:

# %%
paths = {}
for name, optimizer in (
    ("gradient descent", sg.train.sgd(0.035)),
    ("momentum", sg.train.momentum(0.035, 0.75)),
):
    with sg.Session(sg.train.minimize(valley, "loss", optimizer)) as session:
        paths[name] = np.stack([session.run("w", update="train") for _ in range(101)])

heights = {name: (path[:, 0] ** 2 + 50 * path[:, 1] ** 2) / 2 for name, path in paths.items()}
for name, height in heights.items():
    print(f"{name:18}", ", ".join(f"after {k} steps {height[k]:.2g}" for k in (0, 10, 30, 100)))
assert heights["momentum"][100] < heights["gradient descent"][100] / 100

figure = pictures.lines({name: tuple(path.T) for name, path in paths.items()}, x="w0", y="w1")
contours = np.meshgrid(np.linspace(-11, 3, 141), np.linspace(-1.4, 1.4, 121))
height = (contours[0] ** 2 + 50 * contours[1] ** 2) / 2
figure.axes[0].contour(*contours, height, levels=12, colors="#9ca3af", linewidths=0.5)
figure

# %% [markdown]
# Each corner of a line is a step. Plain descent has soon found the floor and then crawls along it. The ball with a mass
# swings from side to side, and goes past the end and comes back; and is there long before:

# %%
pictures.curves(heights, x="step", y="height", logarithmic=True)

# %% [markdown]
# ## 6. Symbols
#
# All of the above was made of symbols: names for numbers that are not there yet. Here is the smallest example. Nothing
# is multiplied in these lines; they say what is to be multiplied.

# %%
x, y, z = (sg.placeholder(name, (3, 4), "float64") for name in "xyz")
a = x * y
b = a + z
c = sg.sum(b)
symbols = sg.define(a=a, b=b, c=c)
symbols

# %% [markdown]
# What is known before any number is: the shapes and types, on every node, and so every mistake in them. And the
# derivatives. With $c = \sum_{ij} (x_{ij}\, y_{ij} + z_{ij})$,
#
# $$ \frac{\partial c}{\partial x} = y, \qquad \frac{\partial c}{\partial y} = x, \qquad
#    \frac{\partial c}{\partial z} = \mathbf{1}. $$

# %%
derived = sg.gradient(symbols, "c", ["x", "y", "z"])
derived

# %% [markdown]
# The rule for the sum repeats the seed 1 for each element, the rule for the sum $a + z$ hands it on to both, and the
# rule for the product multiplies it with the other factor. Multiplying with ones is idle, and the compiler knows:

# %%
executable = sg.compile(derived, backend="numpy")
ledger(executable, *{row.pass_name for row in executable.ledger} - {"fuse"})
executable.graph

# %%
rng = np.random.default_rng(0)
feeds = {name: rng.normal(size=(3, 4)) for name in "xyz"}
with sg.Session(derived) as session:
    c, dx, dy, dz = session.run(("c", "d_c/d_x", "d_c/d_y", "d_c/d_z"), feeds)
assert np.isclose(c, (feeds["x"] * feeds["y"] + feeds["z"]).sum())
assert (dx == feeds["y"]).all() and (dy == feeds["x"]).all() and (dz == 1).all()
print("dc/dx is y, dc/dy is x, dc/dz is 1")

# %% [markdown]
# ## 7. Layers
#
# Larger networks are made of layers, and a layer is a value: a function from an expression to an expression that also
# declares its parameters. So layers are put together as functions are. This network looks at a digit and answers two
# questions, *which digit is it?* and *is it even?*, each with a loss of its own; in its middle two branches look at the
# same picture, one pixel at a time and nine at a time.


# %%
@sg.do
def network():
    x = sg.placeholder("x", ("batch", 28, 28, 1))
    y, even = sg.placeholder("y", ("batch",), "int64"), sg.placeholder("even", ("batch", 1))
    layers = sg.nn.sequential(
        sg.nn.conv2d(8, 5, sg.relu, strides=2, padding="same"),
        sg.nn.max_pool2d(2),
        sg.nn.parallel(sg.nn.conv2d(8, 1, sg.relu), sg.nn.conv2d(8, 3, sg.relu, padding="same")),
        sg.nn.batch_norm(0.9),
        sg.nn.flatten(),
        sg.nn.dropout(0.2),
        sg.nn.dense(64, sg.relu),
        sg.nn.multi_head(
            {
                "digit": sg.nn.Head(sg.nn.dense(10), lambda z: sg.mean(sg.softmax_cross_entropy(z, y))),
                "parity": sg.nn.Head(
                    sg.nn.dense(1), lambda z: sg.mean(sg.sigmoid_cross_entropy(z, even)), weight=0.5
                ),
            }
        ),
    )
    return (yield from layers(x))


declared = sg.nn.graph(network())
print(sg.summary(declared))

# %% [markdown]
# The loss that is minimised is $L = L_\text{digit} + \frac{1}{2} L_\text{parity}$; the gradients of both meet where the
# network forks, and are added. The numbers of parameters can be checked by hand: the first layer has eight kernels of
# 5×5 weights and eight biases, $8 \cdot 25 + 8 = 208$.
#
# With the gradient and a step of the optimizer Adam this is a graph of some hundred nodes, and its drawing is folded: a
# box for each layer. The pink half is the way back. It goes through the same layers in the other order, parts where the
# branches join and joins where they parted, and each of its boxes also takes what its layer had on the way forward.

# %%
sg.train.minimize(declared, "loss", sg.train.adam(0.003))

# %% [markdown]
# `batch_norm` and `dropout` do one thing while the network learns and another when it is asked. `with_evaluation` makes
# both networks at once, on the same parameters; the outputs `evaluation/...` are those of the one that is asked. No
# switch is hidden in the graph.

# %%
graph = sg.train.minimize(sg.nn.graph(sg.nn.with_evaluation(network())), "loss", sg.train.adam(0.003))
data = sg.data.mnist()


def examples(part):
    """The feeds of some pictures."""
    return {
        "x": part.x.reshape(-1, 28, 28, 1).astype("float32") / 255,
        "y": part.y.astype("int64"),
        "even": (part.y % 2 == 0).astype("float32")[:, None],
    }


with sg.Session(graph, seed=0) as session:
    history = sg.train.fit(
        session,
        examples(data.train),
        validation=examples(data.test),
        metrics={
            "digit": metrics.accuracy("evaluation/digit", "y"),
            "parity": metrics.binary_accuracy("evaluation/parity", "even"),
        },
        epochs=3,
        batch_size=50,
        quiet=True,
    )
    answers = sg.train.predict(session, "evaluation/digit", {"x": examples(data.test)["x"]})
print(
    f"{data.name}: right on {history['val_digit'][-1]:.1%} of the digits, {history['val_parity'][-1]:.1%} even or odd"
)
pictures.curves(history)

# %%
pictures.confusion(metrics.confusion_matrix()(answers, data.test.y), title="which digit was taken for which")

# %% [markdown]
# The digits that it gets wrong are those that people find hard, too: the truth, the answer, and the probability that
# the network gave it.

# %%
chances = np.exp(answers - answers.max(axis=1, keepdims=True))
chances /= chances.sum(axis=1, keepdims=True)
pictures.misclassified(data.test.x, data.test.y, answers.argmax(axis=1), chances, most=14)
