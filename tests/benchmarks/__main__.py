"""The command line of the benchmarks."""

import argparse
import importlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.libraries import PEERS, missing
from tests.benchmarks.machine import describe, machine
from tests.benchmarks.race import Plan, races
from tests.benchmarks.suites import SUITES

_PACKAGES = ("symgraph", "numpy", "attrs", "toolz", "llvmlite", "jax", "jaxlib", "optax", "torch", "pytensor")
_PACKAGES += ("numba", "autograd", "scipy")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run suites; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(SUITES)}; default: all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured")
    parser.add_argument(
        "--rounds", type=int, default=7, metavar="N", help="turns of each contender; default: 7"
    )
    parser.add_argument(
        "--peers",
        default=",".join(PEERS),
        metavar="NAMES",
        help=f"contenders beside symgraph, of {','.join(PEERS)}; default: all that are installed",
    )
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="the cases alone whose names have this text in them"
    )
    options = parser.parse_args(arguments)
    chosen = options.suites or list(SUITES)
    unknown = [name for name in chosen if name not in SUITES]
    if unknown:
        parser.error(f"there is no suite {unknown[0]!r}; there are {', '.join(SUITES)}")
    if options.rounds < 1:
        parser.error("--rounds is at least 1")
    if options.json is not None and not options.json.absolute().parent.is_dir():
        parser.error(f"--json: there is no folder {options.json.parent}")
    peers = [name for name in options.peers.split(",") if name]
    strange = [name for name in peers if name not in PEERS]
    if strange:
        parser.error(f"--peers: there is no {strange[0]!r}; there are {', '.join(PEERS)}")
    about = machine(_PACKAGES)
    print(describe(about), flush=True)
    absent = missing(peers)
    if absent:
        print(f"not installed and left out: {', '.join(absent)} (pip install 'symgraph[bench]' brings them)")
    plan = Plan(options.rounds, frozenset(peers) - frozenset(absent), options.only)
    results = {}
    for name in chosen:
        print(f"\n# {name}", flush=True)
        suite = importlib.import_module(SUITES[name])
        found = []
        for text, data in (
            suite.run(plan) if hasattr(suite, "run") else races(SUITES[name], suite.CASES, plan)
        ):
            print(f"\n{text}", flush=True)
            found.append(data)
        verdicts = [verdict["text"] for data in found for verdict in data.get("verdicts", ())]
        if verdicts:
            print("\n" + "\n".join(verdicts), flush=True)
        results[name] = found
    if options.json is not None:
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        text = json.dumps({"when": when, "machine": about, "suites": results}, indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
