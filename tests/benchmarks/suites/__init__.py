"""The suites: each a module with `CASES` where contenders race, or with `run(plan)` that yields texts and data."""

_NAMES = {
    "mnist_dense": "mnist_dense",
    "talk": "talk",
    "xor": "xor",
    "lenet": "lenet",
    "deep": "deep",
    "elementwise": "elementwise",
    "ocean": "ocean",
    "predict": "predict",
    "overhead": "overhead",
    "epoch": "epoch",
    "numpy": "hand_written",
    "compile": "compile",
    "scale": "scale",
}
SUITES = {name: f"{__name__}.{module}" for name, module in _NAMES.items()}
