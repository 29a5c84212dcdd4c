# %% [markdown]
# # Neural networks: the hard way
#
# What can a neural network compute? *Anything*, says a theorem: whatever continuous function it is to be, and however
# near it is to come, there is a network with enough hidden units. In this lesson we watch that happen, work its
# gradients out on the whiteboard, compare them with those that are found for us, and end with digits.
#
# The program of this lesson is `models/hard_way.py`.

# %%
import numpy as np

import symgraph as sg
from models import hard_way
from symgraph.train import metrics, pictures

# %% [markdown]
# ## The network
#
# Two hidden layers, with $\sigma(z) = 1 / (1 + e^{-z})$. On a whiteboard an example is a column, and so it is here:
#
# $$ \hat y = W_2\, \sigma\big(W_1\, \sigma(W_0\, x + b_0) + b_1\big) + b_2, \qquad
#    J = \frac{1}{2M} \sum_{m=1}^{M} \lVert y_m - \hat y_m \rVert^2 . $$
#
# There is no $\sigma$ at the end, for a function may have any values. How the weights start matters: the first layer
# is drawn wide, so that its sigmoids bend at different places and in different directions.


# %%
def network(inputs, units, outputs=1, spread=(4.0, 1.0, 0.3)):
    """The network; `spread` is the standard deviation of the weights that each layer starts with."""
    x = sg.placeholder("x", ("M", inputs), "float64")
    y = sg.placeholder("y", ("M", outputs), "float64")

    def layer(i, values, before, after):
        start = sg.init.normal(0, spread[i])
        W = sg.variable(f"W{i}", (after, before), "float64", start)
        b = sg.variable(f"b{i}", (after, 1), "float64", start if i < 2 else 0.0)
        return W @ values + b

    hidden = sg.sigmoid(layer(0, x.T, inputs, units))  # a column for each example
    hidden = sg.sigmoid(layer(1, hidden, units, units))
    y_hat = layer(2, hidden, units, outputs).T
    J = sg.sum((y - y_hat) ** 2) / (2 * sg.size(x.shape[0], "float64"))
    return sg.define(loss=J, y_hat=y_hat)


network(inputs=1, units=16)

# %% [markdown]
# ## The gradients, by hand
#
# First with one hidden layer, $\hat y = W_1 a + b_1$ and $a = \sigma(z)$ with $z = W_0 x + b_0$. Start at the end. For
# all examples at once, as the columns of matrices,
#
# $$ \delta_1 = \frac{\partial J}{\partial \hat y} = \frac{1}{M} (\hat y - y). $$
#
# In $\hat y = W_1 a + b_1$ each entry of $W_1$ is multiplied with an entry of $a$, and $b_1$ goes to every example:
#
# $$ \frac{\partial J}{\partial W_1} = \delta_1 a^T, \qquad
#    \frac{\partial J}{\partial b_1} = \sum_m \delta_{1,m}, \qquad
#    \frac{\partial J}{\partial a} = W_1^T \delta_1. $$
#
# Then through the sigmoid, whose derivative is $\sigma' = \sigma (1 - \sigma)$, and the same once more:
#
# $$ \delta_0 = W_1^T \delta_1 \odot a \odot (1 - a), \qquad
#    \frac{\partial J}{\partial W_0} = \delta_0\, x^T, \qquad \frac{\partial J}{\partial b_0} = \sum_m \delta_{0,m}. $$
#
# In NumPy this is as long as on the whiteboard:


# %%
def by_hand(W0, b0, W1, b1, x, y):
    """The gradients of J; an example is a row of x and of y."""
    a = 1 / (1 + np.exp(-(W0 @ x.T + b0)))
    delta1 = (W1 @ a + b1 - y.T) / len(x)
    delta0 = (W1.T @ delta1) * a * (1 - a)
    return {
        "W0": delta0 @ x,
        "b0": delta0.sum(axis=1, keepdims=True),
        "W1": delta1 @ a.T,
        "b1": delta1.sum(axis=1, keepdims=True),
    }


# %% [markdown]
# And here is what is found for us, for a network of three inputs, five hidden units and two outputs. Look for
# $\delta_1$ and $\delta_0$ in the pink half: from each of them arrows lead to a product, for the weights, and to a
# sum, for the biases.

# %%
slopes = sg.gradient(hard_way.declare((3, 5, 2)))
slopes

# %%
rng = np.random.default_rng(0)
xs, ys = rng.normal(size=(50, 3)), rng.normal(size=(50, 2))
with sg.Session(slopes, seed=0) as session:
    hand = by_hand(**session.variables.snapshot(), x=xs, y=ys)
    found = session.run({name: f"d_loss/d_{name}" for name in hand}, {"x": xs, "y": ys})

for name, ours in found.items():
    apart = np.abs(ours - hand[name]).max()
    print(f"by {name}: shape {ours.shape}, difference below 1e-12: {apart < 1e-12}")
    assert apart < 1e-12

# %% [markdown]
# With two hidden layers the whiteboard is full. The graph does not mind: a rule for each operation, and the chain rule,
# are all that it needs. Who would not believe it asks for differences,
# $(J(w + \epsilon) - J(w - \epsilon)) / 2\epsilon$:

# %%
print(sg.check_gradient(network(3, 5, 2), values={"x": xs, "y": ys}))

# %% [markdown]
# ## What becomes of it
#
# A step of descent is compiled once. These are the rewrites that were made before a fusion joined the operations to
# loops: the rule, what it does to the numbers (`exact` is bit for bit, `reassociates` rounds in another order,
# `stabilises` loses fewer digits), the operations that went and those that came, and the lines of this notebook.


# %%
def ledger(executable, *passes):
    """The rewrites of some passes."""
    for row in executable.ledger:
        if row.pass_name in passes:
            out, into = (" ".join(o.op.name for o in part) or "-" for part in (row.removed, row.added))
            print(f"{row.rule:22} {row.numerics:13} {out} -> {into}   # {', '.join(row.lines)}")


step = sg.train.minimize(network(1, 16), "loss", sg.train.sgd(0.1))
executable = sg.compile(step, backend="numpy")
print(f"{len(executable.declared)} nodes declared, {len(executable.graph)} compiled")
ledger(executable, "stabilise", "canonicalise", "matmul", "motion")

# %% [markdown]
# `one-minus-sigmoid` writes $1 - \sigma(z)$ as $\sigma(-z)$, which does not round to zero where a unit is sure.
# `transpose-of-units` knows that a row of numbers turned into a column is the same numbers: nothing has to be moved for
# $x^T$. What is left, with all loops joined, is this:

# %%
executable.graph

# %% [markdown]
# ## A function of one variable
#
# The first function to approximate, on $[-1, 1]$, is $\sin 2 \pi x + x / 2$. The network sees it at 101 places, all of
# them in each step. The optimizer is Adam, and its learning rate falls from 0.03 to nothing along half a cosine: large
# steps to get near, small ones to come close. What counts is the *largest* error, and on a grid six times as fine,
# between the places that it has seen. The aim is $|\hat y - y| < \epsilon = 0.05$ everywhere.
#
# What one sigmoid can be is a step, wide or narrow, up or down; two of them make a bump. So: two units in each layer,
# four, eight, and thirty-two.

# %%
UNITS, STEPS = (2, 4, 8, 32), 1500
one, two = hard_way.FUNCTIONS


def learn(function, places, units, spread):
    """Approximate a function; returns the losses, and the values and the largest error on the fine grid."""
    known, fine = function.grid(places), function.grid(6 * places if function is one else 3 * places)
    optimizer = sg.train.adam(sg.train.schedules.cosine(0.03, STEPS))
    graph = sg.train.minimize(network(function.variables, units, 1, spread), "loss", optimizer)
    with sg.Session(graph, seed=0) as session:
        step = session.prepare("loss", ("x", "y"), update="train")
        losses = [float(step(known["x"], known["y"])) for _ in range(STEPS)]
        y_hat = session.run("y_hat", {"x": fine["x"]})
    return losses, y_hat[:, 0], float(np.abs(y_hat - fine["y"]).max())


curves = {units: learn(one, 101, units, (6.0, 2.0, 0.5)) for units in UNITS}
fine = one.grid(606)
shown = {one.name: (fine["x"][:, 0], fine["y"][:, 0])}
shown |= {f"2 × {units} units": (fine["x"][:, 0], curves[units][1]) for units in UNITS}
pictures.lines(shown, y="ŷ")

# %%
losses = {f"2 × {units} units": losses for units, (losses, _, _) in curves.items()}
pictures.curves(losses, x="step", y="J", logarithmic=True)

# %% [markdown]
# ## A function of two variables
#
# The second function is a landscape of hills and hollows, $\sin \pi x \cos \pi y$, seen at 17 × 17 places; on the grid
# in between we ask for $\epsilon = 0.1$. The network is the same, with two inputs.

# %%
landscapes = {units: learn(two, 17, units, (4.0, 1.0, 0.3)) for units in UNITS}
images = [two.grid(51)["y"][:, 0], *(landscapes[units][1] for units in UNITS)]
titles = [two.name, *(f"2 × {units} units" for units in UNITS)]
pictures.weight_images(np.stack(images, axis=1), (51, 51), titles=titles)

# %% [markdown]
# ## Universal approximation
#
# And this is the theorem as a picture: the largest error against the number of hidden units. (The theorem: Cybenko 1989
# and Hornik, Stinchcombe and White 1989, for one hidden layer. It says that good weights *exist*, not that descent
# finds them: so this is an experiment, and with more steps it comes closer.)

# %%
errors = {
    name: np.array([error for _, _, error in found.values()])
    for name, found in (("one variable", curves), ("two variables", landscapes))
}
for name, found in errors.items():
    print(f"{name:14}", ", ".join(f"2 × {n}: {error:.3f}" for n, error in zip(UNITS, found, strict=True)))
assert errors["one variable"][-1] < 0.05 and errors["two variables"][-1] < 0.1
points = {name: (np.array(UNITS), found) for name, found in errors.items()}
figure = pictures.lines(points, x="units in each hidden layer", y="largest error", logarithmic=(True, True))
figure.axes[0].set_xticks(UNITS, [str(n) for n in UNITS])
figure.axes[0].set_xticks([], minor=True)
figure

# %% [markdown]
# The program gives each network 10,000 steps and asks for more:
# `python -m models.hard_way --only functions --pictures FOLDER`.
#
# ## Digits
#
# Is a digit a function, too? Its picture is 784 numbers, so let there be ten functions of 784 variables, one for each
# digit, with $y_k = 1$ for the digit that it is and 0 for the others. The same network, the same $J$; the answer is the
# largest of the ten. Nothing is new but the sizes, and a start that fits them: a sum of 784 terms should not begin
# larger than a sum of one, so each layer's weights start with a deviation of one over the root of its inputs, which is
# 1/28 and 1/8, and twice that where a sigmoid is to bend.

# %%
data = sg.data.mnist()
train, test = (
    {"x": part.x.reshape(-1, 784) / 255, "y": np.eye(10)[part.y]} for part in (data.train, data.test)
)
digits = network(784, 64, 10, spread=(2 / 28, 2 / 8, 1 / 8))
digits = sg.train.minimize(digits, "loss", sg.train.adam(0.003))
print(sg.summary(digits))

# %%
with sg.Session(digits, seed=0) as session:
    history = sg.train.fit(
        session,
        train,
        validation=test,
        metrics={"accuracy": metrics.accuracy("y_hat", "y")},
        epochs=10,
        batch_size=50,
        quiet=True,
    )
    y_hat = sg.train.predict(session, "y_hat", {"x": test["x"]})
print(f"{data.name}: right on {history['val_accuracy'][-1]:.1%} of the test pictures")
pictures.curves(history)

# %%
pictures.misclassified(data.test.x, data.test.y, y_hat.argmax(axis=1), most=14)

# %% [markdown]
# The hard way works, and it is hard: ten functions that are asked to be exactly 0 or 1 spend their effort on that,
# where all that matters is which is the largest. The lesson on the network from scratch asks for probabilities instead,
# with a cross-entropy in the place of $J$.
