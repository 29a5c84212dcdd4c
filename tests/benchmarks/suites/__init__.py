"""The suites: each a module with `run(rounds) -> (texts, data)`, and `CASES` where contenders race."""

SUITES = {
    "numpy": "tests.benchmarks.suites.hand_written",
    "scale": "tests.benchmarks.suites.scale",
}
