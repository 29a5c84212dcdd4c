"""The suites: each a module with `run(rounds) -> (texts, data)`, and `CASES` where contenders race."""

SUITES = {
    "numpy": "tests.benchmarks.suites.hand_written",
    "start": "tests.benchmarks.suites.start",
    "scale": "tests.benchmarks.suites.scale",
}
