# %% [markdown]
# # Building your neural network from scratch
#
# The smallest problem that needs a hidden layer, and all of it on one page: a forward pass, a loss with a penalty, its
# gradient by hand, one step of descent number for number, a sign that went astray and the experiment that finds it, and
# three networks that learn.
#
# The program of this lesson is `models/xor_mlp.py`.

# %%
import numpy as np

import symgraph as sg
from models import study, xor_mlp
from symgraph.train import metrics, pictures

# %% [markdown]
# ## 300 points of XOR
#
# A point $x \in \mathbb{R}^2$ belongs to the second class where its coordinates have different signs, an *exclusive or*
# of two comparisons. Its label is a row with a one for its class: $y = (1, 0)$ or $y = (0, 1)$.

# %%
x, y = xor_mlp.points(300)
print("first point", x[0], "with label", y[0])
NAMES = ("same signs", "different signs")
pictures.decision_boundary(
    lambda p: -p[:, 0] * p[:, 1], x, y, names=NAMES, title="what there is to find", resolution=120
)

# %% [markdown]
# No straight line parts these classes. Suppose that $w \cdot x + b$ were positive on the second class and negative on
# the first. Then it is positive at $(1, -1)$ and at $(-1, 1)$, so that its mean there, which is $b$, is positive. It is
# negative at $(1, 1)$ and $(-1, -1)$, so that its mean there is negative, and that is $b$ again.
#
# ## The forward pass
#
# So we put a layer of $h$ units between. With all points as the rows of one matrix $x$, and the *sigmoid*
# $\sigma(z) = 1 / (1 + e^{-z})$,
#
# $$ h_1 = \sigma(x W_1 + b_1), \qquad h_2 = \sigma(h_1 W_2 + b_2). $$
#
# The loss is half the mean squared error, and a *penalty* of strength $\lambda$ on large weights:
#
# $$ L = \frac{1}{2N} \sum (y - h_2)^2 + \frac{\lambda}{2N} \Big(\sum W_1^2 + \sum W_2^2\Big). $$
#
# As a graph, this is a line for each formula. Nothing is computed yet; `batch` is the $N$ that will be known when data
# is fed.


# %%
def network(units, penalty=0.0, biases=True):
    """Two inputs, some hidden units, two outputs, sigmoids in both layers."""
    x, y = (sg.placeholder(name, ("batch", 2), "float64") for name in "xy")
    W1 = sg.variable("W1", (2, units), "float64", sg.init.normal(0, 1))
    W2 = sg.variable("W2", (units, 2), "float64", sg.init.normal(0, 1))
    b1 = sg.variable("b1", (units,), "float64") if biases else 0.0
    b2 = sg.variable("b2", (2,), "float64") if biases else 0.0
    h1 = sg.sigmoid(x @ W1 + b1)
    h2 = sg.sigmoid(h1 @ W2 + b2)
    N = sg.size(x.shape[0], "float64")
    loss = sg.sum((y - h2) ** 2) / (2 * N)
    if penalty:
        loss = loss + penalty / (2 * N) * (sg.sum(W1**2) + sg.sum(W2**2))
    return sg.define(loss=loss, h1=h1, h2=h2)


network(3)

# %% [markdown]
# and with the penalty, which sees the weights and no data:

# %%
network(3, penalty=1e-4)

# %% [markdown]
# ## Backpropagation
#
# The chain rule, from the loss backwards. The derivative of the error by the outputs is
# $\partial L / \partial h_2 = -\frac{1}{N} (y - h_2)$. A sigmoid has $\sigma' = \sigma (1 - \sigma)$, so before it
#
# $$ \delta_2 = \frac{\partial L}{\partial z_2} = -\frac{1}{N} (y - h_2) \odot h_2 \odot (1 - h_2), \qquad
#    z_2 = h_1 W_2 + b_2, $$
#
# where $\odot$ multiplies element by element. A matrix product gives each of its factors the other one:
#
# $$ \frac{\partial L}{\partial W_2} = h_1^T \delta_2 + \frac{\lambda}{N} W_2, \qquad
#    \frac{\partial L}{\partial b_2} = \sum_i \delta_{2,i}, \qquad
#    \frac{\partial L}{\partial h_1} = \delta_2 W_2^T. $$
#
# And once more, through the first layer:
#
# $$ \delta_1 = \delta_2 W_2^T \odot h_1 \odot (1 - h_1), \qquad
#    \frac{\partial L}{\partial W_1} = x^T \delta_1 + \frac{\lambda}{N} W_1, \qquad
#    \frac{\partial L}{\partial b_1} = \sum_i \delta_{1,i}. $$
#
# `gradient` finds the same by asking each operation for its rule. What it adds to the graph is pink, and each pink node
# is tied to the node that it is the derivative of. Follow it from the loss: `neg` is the minus of $-(y - h_2)$, then
# come $\odot\, h_2 \odot (1 - h_2)$, the product with $W_2^T$, and $\odot\, h_1 \odot (1 - h_1)$.

# %%
slopes = sg.gradient(network(3, biases=False), "loss", ["W1", "W2", "h1"])
slopes

# %% [markdown]
# ## One step, number for number
#
# The lecture works one step out, with the first point alone ($N = 1$), no penalty, no biases, and a learning rate of
# 0.001. We do so three times: by hand with the formulas above, by our graph, and as the slides have it.

# %%
point, label = np.array([[1.76405235, 0.40015721]]), np.array([[1.0, 0.0]])
W1 = np.array([[-0.67746455, 0.37769425, -0.07365253], [-0.53663519, 0.60920496, 0.21149622]])
W2 = np.array([[-0.41491732, -0.30992816], [-0.31583913, -0.27706468], [-0.44701662, 0.15231059]])


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


h1 = sigmoid(point @ W1)
h2 = sigmoid(h1 @ W2)
delta2 = -(label - h2) * h2 * (1 - h2)
by_hand = {
    "h1": h1,
    "h2": h2,
    "dW2": h1.T @ delta2,
    "new W2": W2 - 0.001 * h1.T @ delta2,
    "dLoss/dh1": delta2 @ W2.T,
}

# %%
with sg.Session(slopes) as session:
    session.variables.assign({"W1": W1, "W2": W2})
    fetches = {"h1": "h1", "h2": "h2", "dW2": "d_loss/d_W2", "dLoss/dh1": "d_loss/d_h1", "dW1": "d_loss/d_W1"}
    by_graph = session.run(fetches, {"x": point, "y": label})
by_graph["new W2"] = W2 - 0.001 * by_graph["dW2"]

rows = [
    {
        "": name + str(list(i)),
        "by hand": f"{by_hand[name][i]:.8f}",
        "graph": f"{by_graph[name][i]:.8f}",
        "slides": f"{xor_mlp.SLIDES[name][i]:.8f}",
    }
    for name in by_hand
    for i in np.ndindex(by_hand[name].shape)
]
print(study.table(rows))
for name, ours in by_hand.items():
    assert np.allclose(ours, xor_mlp.SLIDES[name], rtol=0, atol=1.5e-8)  # the slides round to eight digits
    assert np.allclose(ours, by_graph[name], rtol=0, atol=1e-15)
program = xor_mlp.worked_example()  # with the update in the graph, too
assert all(np.allclose(program[name], by_graph[name], rtol=0, atol=1e-15) for name in by_graph)

# %% [markdown]
# All agree; where a last digit differs, the slides went on with numbers that were rounded before.
#
# ### A question of sign
#
# Now the first layer, where there is something to see. The label is $y = (1, 0)$, so the first output is too small and
# the second too large: $y - h_2 = (0.63, -0.45)$. In the rule for $W_2$ this error stands with a minus in front,
#
# $$ \frac{\partial L}{\partial W_2} = -\, h_1^T \big( (y - h_2) \odot h_2 \odot (1 - h_2) \big). $$
#
# Is there a minus in the rule for $W_1$, too? The slides go on with $(0.0260, 0.0152, 0.0827)$ for the hidden layer,
# and in these numbers the sign of $(y - h_2)$ is gone: they are $-(y - h_2) \odot h_2 \odot (1 - h_2) \, W_2^T$,
# with the minus already in them. Take them for the *derivative* $\partial L / \partial h_1$, and
#
# $$ \frac{\partial L}{\partial W_1} = +\, x^T \big( (0.0260, 0.0152, 0.0827) \odot h_1 \odot (1 - h_1) \big). $$
#
# Take them for the *error* of the hidden layer, as $(y - h_2)$ is that of the last one, and the rule for $W_2$ puts a
# second minus in front. Both look plausible on paper, and all six numbers change their sign.
#
# A derivative can be asked, not only derived. Move one weight a little to both sides, and see what the loss does:
#
# $$ \frac{\partial L}{\partial w} \approx \frac{L(w + \epsilon) - L(w - \epsilon)}{2 \epsilon}. $$


# %%
def loss_at(first_weights):
    """The loss of the one point, for other weights of the first layer."""
    return np.sum((label - sigmoid(sigmoid(point @ first_weights) @ W2)) ** 2) / 2


differences, epsilon = np.zeros_like(W1), 1e-6
for i in np.ndindex(W1.shape):
    nudge = np.zeros_like(W1)
    nudge[i] = epsilon
    differences[i] = (loss_at(W1 + nudge) - loss_at(W1 - nudge)) / (2 * epsilon)

dh1_slides = xor_mlp.SLIDES["dLoss/dh1"]
as_derivative = point.T @ (dh1_slides * h1 * (1 - h1))
as_error = -as_derivative
candidates = {
    "by graph": by_graph["dW1"],
    "slides, as a derivative": as_derivative,
    "slides, as an error": as_error,
    "differences": differences,
}
rows = [
    {"dW1": name, **{str(list(i)): f"{value[i]:.8f}" for i in np.ndindex(value.shape)}}
    for name, value in candidates.items()
]
print(study.table(rows))
assert np.abs(by_graph["dW1"] - differences).max() < 1e-9 < np.abs(as_error - differences).min()

# %% [markdown]
# The differences decide for our gradient. That is not a matter of taste: a step against the right gradient goes down,
# and a step against the other one goes up.

# %%
print(f"before             {loss_at(W1):.6f}")
print(f"against ours       {loss_at(W1 - by_graph['dW1']):.6f}")
print(f"with the sign lost {loss_at(W1 - as_error):.6f}")
assert loss_at(W1 - by_graph["dW1"]) < loss_at(W1) < loss_at(W1 - as_error)

# %% [markdown]
# What we did by hand for six weights, `check_gradient` does for a whole graph, here with the penalty and the biases:

# %%
print(sg.check_gradient(network(3, penalty=1e-4), values={"x": x[:20], "y": y[:20]}))

# %% [markdown]
# ## What the compiler makes of a step
#
# `minimize` adds the gradient and, in the update group `train`, the next value of each variable,
# $W \leftarrow W - \alpha \, \partial L / \partial W$. Before it runs, the graph is rewritten, and each rewrite is a
# row of the *ledger*: its rule, what it may do to the numbers (`exact` is bit for bit, `reassociates` rounds in another
# order, `stabilises` loses fewer digits), the operations that it took out and put in, and the lines of this notebook
# that they came from.


# %%
def ledger(executable, *passes):
    """The rows of some passes."""
    for row in executable.ledger:
        if row.pass_name in passes:
            out, into = (" ".join(o.op.name for o in part) or "-" for part in (row.removed, row.added))
            print(f"{row.rule:22} {row.numerics:13} {out} -> {into}   # {', '.join(row.lines)}")


executable = sg.compile(sg.train.minimize(network(3, 1e-4), "loss", sg.train.sgd(3.0)), backend="numpy")
print(f"{len(executable.declared)} nodes declared, {len(executable.graph)} compiled")
ledger(executable, "stabilise", "canonicalise", "motion")

# %% [markdown]
# The first two rows are the most interesting. The rule of the sigmoid says $\sigma' = \sigma (1 - \sigma)$, and the
# compiler writes $1 - \sigma(z)$ as $\sigma(-z)$. That is the same, and better: for a unit that is very sure,
# $\sigma(z)$ is rounded to 1, the difference to 0, and the unit could never learn again.

# %%
z = np.array([5.0, 20.0, 40.0])
print("1 - sigmoid(z)", 1 - sigmoid(z))
print("sigmoid(-z)   ", sigmoid(-z))

# %% [markdown]
# `pow-two` squares by a multiplication, and `broadcast-of-operand` leaves it to the next operation to repeat a number.
# Then `fuse` joins what can run as one loop, so that what is between is never written to memory. Each box `fused` below
# is such a loop. The whole first layer is one: a product, its bias, and a sigmoid that was opened into what it is made
# of.

# %%
executable.graph

# %% [markdown]
# ## Three networks learn
#
# Each step takes all 300 points, with a learning rate of 3. On the way we keep what the network says of a grid of
# points: its decision boundary. (The program takes 10,000 steps; 1,500 will do to see what happens.)

# %%
MOMENTS = (0, 15, 150, 1500)
places = pictures.grid(x, resolution=120)
new_x, new_y = xor_mlp.points(10_000, seed=1)


def learn(units, penalty=0.0, biases=True):
    """Train a network; returns the losses, the boundaries on the way, and a row of the table."""
    graph = sg.train.minimize(network(units, penalty, biases), "loss", sg.train.sgd(3.0))
    losses, moments = [], {}
    with sg.Session(graph, seed=0) as session:
        step = session.prepare("loss", ("x", "y"), update="train")
        for epoch in range(MOMENTS[-1] + 1):
            if epoch in MOMENTS:
                moments[f"after {epoch:,} steps"] = session.run("h2", {"x": places})
            losses.append(float(step(x, y)))
        right = [metrics.accuracy()(session.run("h2", {"x": a}), b) for a, b in ((x, y), (new_x, new_y))]
        weights = sum(float(np.sum(session.variables[name] ** 2)) for name in ("W1", "W2"))
    row = {"hidden units": units, "penalty": penalty, "loss": losses[-1]}
    return losses, moments, row | {"accuracy": right[0], "on new points": right[1], "sum of W^2": weights}


runs = {
    "3 units": learn(3),
    "50 units, λ = 1e-6": learn(50, 1e-6),
    "50 units, λ = 1e-4": learn(50, 1e-4),
}
print(study.table([row for _, _, row in runs.values()]))
assert all(row["accuracy"] >= 0.98 for _, _, row in list(runs.values())[1:])
pictures.curves({name: losses for name, (losses, _, _) in runs.items()}, x="step", y="loss", logarithmic=True)

# %% [markdown]
# Each hidden unit is a line across which it changes its mind, and the last layer can only add up what they say. Watch
# how the three lines of the small network turn, and where they come to rest. These three do not part the quadrants:

# %%
pictures.decision_boundary(runs["3 units"][1], x, y, resolution=120, names=NAMES, title="3 units")

# %% [markdown]
# Of fifty lines, some stand well from the beginning, and the last layer has only to choose among them. The two
# penalties make pictures that can hardly be told apart; we come back to that.

# %%
fifty = runs["50 units, λ = 1e-6"][1]
pictures.decision_boundary(fifty, x, y, resolution=120, names=NAMES, title="50 units, λ = 1e-6")

# %%
fifty = runs["50 units, λ = 1e-4"][1]
pictures.decision_boundary(fifty, x, y, resolution=120, names=NAMES, title="50 units, λ = 1e-4")

# %% [markdown]
# ### Why there are biases
#
# The slides' network has none, and we gave it some. Without them it cannot learn XOR, with any number of units. For
# $\sigma(-z) = 1 - \sigma(z)$, and so
#
# $$ z_2(-x) = \sigma(-x W_1) W_2 = (1 - \sigma(x W_1)) W_2 = \mathbf{1} W_2 - z_2(x). $$
#
# What tells the classes apart is $d$, the second logit less the first, and by this $d(x) + d(-x)$ is some constant $c$,
# the same for all $x$. Now a point and its mirror image are of one class. In the second class both must have $d > 0$,
# so that $c > 0$; in the first class both must have $d < 0$, so that $c < 0$. No weights do both.

# %%
_, moments, row = learn(50, biases=False)
print(f"50 units without biases: accuracy {row['accuracy']:.4f}, on new points {row['on new points']:.4f}")
pictures.decision_boundary(moments, x, y, resolution=120, names=NAMES, title="50 units without biases")

# %% [markdown]
# ## What the penalty does
#
# In the table above, $\lambda = 10^{-6}$ and $\lambda = 10^{-4}$ do nearly the same, and the update says why. With the
# gradient of the penalty,
#
# $$ W \leftarrow W - \alpha \Big(\frac{\partial L_0}{\partial W} + \frac{\lambda}{N} W\Big)
#      = \Big(1 - \frac{\alpha \lambda}{N}\Big) W - \alpha \frac{\partial L_0}{\partial W}, $$
#
# where $L_0$ is the loss without it. The penalty is a *decay*: each step takes a share of $\alpha \lambda / N$ from
# every weight. For $\lambda = 10^{-4}$ that is $3 \cdot 10^{-4} / 300 = 10^{-6}$, and over 1,500 steps 0.15 %.
# To see something, the penalty has to be stronger. (The last column is what is left of a weight that nothing but the
# penalty moves.)

# %%
strengths = {f"λ = {penalty:g}": learn(50, penalty) for penalty in (0.1, 1.0)}
rows = [runs["50 units, λ = 1e-4"][2], *(row for _, _, row in strengths.values())]
decay = [{"share that is left": (1 - 3 * row["penalty"] / 300) ** 1500} for row in rows]
print(study.table([row | left for row, left in zip(rows, decay, strict=True)]))

# %%
last = f"after {MOMENTS[-1]:,} steps"
shown = {"λ = 0.0001": runs["50 units, λ = 1e-4"][1][last]}
shown |= {name: moments[last] for name, (_, moments, _) in strengths.items()}
pictures.decision_boundary(shown, x, y, resolution=120, names=NAMES, title=f"50 units, {last}")

# %% [markdown]
# A small penalty keeps the weights small at no price: with $\lambda = 0.1$ they are a fraction of what they were, the
# boundary is smoother, and new points are answered as well. A large one costs more than the errors do: the network
# would rather be small than right. That is what a penalty is, a second wish in the loss, and $\lambda$ says how much it
# weighs.
