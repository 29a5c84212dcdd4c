# %% [markdown]
# # Neural network from scratch
#
# The lesson of the Scala talk, in three steps: logistic regression with its gradient by hand, the same as a graph whose
# gradient is found for us, and a look at what the compiler makes of it. Open it in Jupyter with
# [jupytext](https://jupytext.readthedocs.io), or run it as a program.

# %%
import numpy as np

import symgraph as sg
from symgraph.data import batches, digits

# %% [markdown]
# ## The data
#
# Handwritten digits, as vectors of 784 pixels between 0 and 1. The question is whether a picture shows the digit 0, so
# the label $y$ is 1 for the digit 0 and else 0. These are the 1,797 digits that come with scikit-learn, scaled to the
# size of MNIST's.

# %%
data = digits()
x_train = data.train.x.reshape(-1, 784) / 255
y_train = (data.train.y == 0).astype(float)[:, None]
x_test = data.test.x.reshape(-1, 784) / 255
y_test = data.test.y == 0
print(data.source)

# %% [markdown]
# ## By hand
#
# The log-odds are $z = x w + b$, the probability is $p = \sigma(z) = 1 / (1 + e^{-z})$, and the loss of one picture is
# $\ln(1 + e^{(1 - 2y) z})$. Its derivative by $z$ is $p - y$, so
#
# $$\frac{\partial L}{\partial w} = \frac{1}{n} x^T (p - y), \qquad
#   \frac{\partial L}{\partial b} = \frac{1}{n} \sum_i (p_i - y_i).$$

# %%
w, b = np.full((784, 1), 0.01), np.zeros(1)
by_hand = []
for batch in batches((x_train, y_train), size=100):
    x, y = batch
    z = x @ w + b
    by_hand.append(np.mean(np.logaddexp(0, (1 - 2 * y) * z)))
    dz = (1 / (1 + np.exp(-z)) - y) / len(y)
    w, b = w - x.T @ dz, b - dz.sum(axis=0)
print(f"loss from {by_hand[0]:.4f} to {by_hand[-1]:.4f}")

# %% [markdown]
# ## As a graph
#
# Now the same as steps on a stack of operands: a matrix product, a sum, a cross-entropy. Nothing runs yet; the graph is
# declared, and prints. `batch` is a named size: it is bound when something is fed.


# %%
def cross_entropy(z, y):
    return sg.mean(sg.sigmoid_cross_entropy(z, y))


x = sg.placeholder("x", ("batch", 784), "float64")
y = sg.placeholder("y", ("batch", 1), "float64")
w = sg.variable("w", (784, 1), "float64", init=0.01)
b = sg.variable("b", (1,), "float64")

loss, _ = sg.run_build(sg.push(x, w, b, y).then(sg.steps(sg.matmul, sg.add, cross_entropy)))
graph = sg.define(loss=loss, z=x @ w + b)
print(graph)

# %% [markdown]
# `minimize` adds the gradient and one update of the weights. Each node of the gradient says which forward node it
# stands for (`of %7`) and by which rule (`by vjp matmul`).

# %%
training = sg.train.minimize(graph, "loss", sg.train.sgd(1.0))
print(training)

# %% [markdown]
# A session holds the weights. The losses are those that we found by hand.

# %%
session = sg.Session(training)
by_graph = [
    session.run("loss", {"x": xs, "y": ys}, update="train")
    for xs, ys in batches((x_train, y_train), size=100)
]
assert np.allclose(by_hand, by_graph, rtol=0, atol=1e-12)

p_zero = session.run("z", {"x": x_test})[:, 0] > 0
print(f"right on {np.mean(p_zero == y_test):.1%} of the pictures that it has not seen")

# %% [markdown]
# ## What the compiler did
#
# Every rewrite is a line of the ledger: its rule, what it does to the numbers, the nodes, your lines, and the change in
# cost. And what runs is a Python function that you can read.

# %%
executable = sg.compile(training, backend="numpy")
print(sg.explain(executable))
print(executable.source(batch=100))
