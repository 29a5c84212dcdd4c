"""The talk's networks, transcribed into plain NumPy by themselves: nothing here comes from the project.

The data stand as arrays: images uint8 (n, 28, 28), labels uint8 (n,).
"""

import numpy as np


def logistic_regression(images, labels, size=1000):
    """Losses and weights of one pass: 784 weights at 0.01, bias 0, learning rate 1."""
    w, b, losses = np.full(784, 0.01), 0.0, []
    for start in range(0, len(images), size):
        x = images[start : start + size].reshape(-1, 784) / 255.0
        y = np.where(labels[start : start + size] == 0, 1.0, 0.0)
        z = x.dot(w) + b
        u = (1 - 2 * y) * z
        losses.append((np.maximum(u, 0) + np.log1p(np.exp(-np.abs(u)))).mean())
        # d/dz ln(1 + e^u) = (1 - 2y) e^u / (1 + e^u)
        dz = (1 - 2 * y) / (1 + np.exp(-u)) / len(y)
        w, b = w - x.T.dot(dz), b - dz.sum()
    return np.array(losses), w, b


def one_hidden_layer(images, labels, size=1000, used=100, hidden=64):
    """Losses and weights of one pass, in the talk's orientation: columns are examples, layers are W x."""
    W1, b1 = np.full((hidden, 784), 0.01), np.zeros((hidden, 1))
    W2, b2 = np.full((1, hidden), 0.01), np.zeros((1, 1))
    losses = []
    for start in range(0, len(images), size):
        rows = slice(start, min(start + used, start + size))
        x = (images[rows].reshape(-1, 784) / 255.0).T
        y = (labels[rows] == 0).astype(float)[None, :]
        a = 1 / (1 + np.exp(-(W1 @ x + b1)))
        z = W2 @ a + b2
        u = (1 - 2 * y) * z
        losses.append((np.maximum(u, 0) + np.log1p(np.exp(-np.abs(u)))).mean())
        dz = (1 - 2 * y) / (1 + np.exp(-u)) / y.size
        da = (W2.T @ dz) * a * (1 - a)
        W2, b2 = W2 - dz @ a.T, b2 - dz.sum(axis=1, keepdims=True)
        W1, b1 = W1 - da @ x.T, b1 - da.sum(axis=1, keepdims=True)
    return np.array(losses), {"W1": W1, "b1": b1.ravel(), "W2": W2, "b2": b2.ravel()}
