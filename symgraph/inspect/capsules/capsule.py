"""Failure capsules: one run of a session as a value, complete enough to be run again elsewhere.

    capture : Session -> a run's plan, feeds and state -> error -> Capsule
    replay  : Capsule -> Report                                    see `symgraph.inspect.capsules.replay`

A capsule holds the graph of the run as it was declared (cut to what the run needs, not rewritten), what was fed, the
variables as they were before the run, and what else decides a result: sizes, backend, numerics class, threads, seed.
`symgraph.inspect.capsules.file` writes and reads the file.
"""

import linecache
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from symgraph.compile import bind_shape
from symgraph.faults import names
from symgraph.fetches import cut
from symgraph.inspect.statistics import statistics
from symgraph.ir import Array, Graph, leaf_name
from symgraph.lowering.llvm import target
from symgraph.origin import Source, relative
from symgraph.rewrite import Numerics

if TYPE_CHECKING:
    from symgraph.run_plan import Plan
    from symgraph.session import Session
    from symgraph.store import State

LIMIT = 2**28  # bytes of a capsule, unless another number is asked for
_LINES = 10_000  # of the user's program, at most
_WIDEST = 400  # characters of one of them
_LONGEST = 20_000  # characters of an error
_FEW = 1_000_000  # characters of a ledger that is kept whole


@attrs.frozen(eq=False)
class Held:
    """A value in a capsule: its name, dtype, shape and statistics, and the array unless it was left out.

    `missing` says why there is no array, and is empty where there is one.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    statistics: Mapping[str, Any] = attrs.field(repr=False)
    array: Array | None = attrs.field(repr=False)
    missing: str = ""

    def __str__(self) -> str:
        about = f"{self.name!r} {self.dtype}{list(self.shape)}"
        return f"{about}: {self.missing}" if self.missing else about


@attrs.frozen
class Failure:
    """The error of a run: its class, its sentence, the whole text, and the user's line as `file:line`."""

    type: str
    message: str
    text: str = attrs.field(repr=False)
    source: str = ""


@attrs.frozen(eq=False)
class Capsule:
    """A run that can be done again: its graph, what went in, and where it ran.

    `graph` is the declared graph of the run, whose outputs are the `fetches`; `feeds` and `variables` its leaves;
    `sizes` the named sizes; `groups` the update groups; `step` and `seed` those of the session; `lines` the user's
    lines that the nodes come from, by `file:line`; `versions` what it ran on; `names` how the session's graph calls
    the nodes, such as `%12`. `failure` is None where the capsule was
    asked for.
    """

    graph: Graph = attrs.field(repr=False)
    feeds: tuple[Held, ...]
    variables: tuple[Held, ...] = attrs.field(repr=False)
    sizes: Mapping[str, int]
    fetches: tuple[str, ...]
    groups: tuple[str, ...]
    seed: int
    step: int
    backend: str
    numerics: Numerics
    threads: int | None
    failure: Failure | None
    ledger: str = attrs.field(repr=False)
    lines: Mapping[str, str] = attrs.field(repr=False)
    versions: Mapping[str, str] = attrs.field(repr=False)
    names: tuple[str, ...] = attrs.field(default=(), repr=False)

    @property
    def complete(self) -> bool:
        """Whether every array is there."""
        return not any(held.missing for held in (*self.feeds, *self.variables))

    def line(self, source: Source) -> str:
        """A user's line as `file:line    text`, with the text that it had when the run was made."""
        place = f"{relative(source.file)}:{source.line}"
        text = self.lines.get(place) or linecache.getline(source.file, source.line)
        return f"{place}    {text.strip()}".rstrip()


def held(name: str, array: Array, data: bool = True) -> Held:
    """A value with its statistics; without the array itself unless `data`.

    >>> held("x", np.array([1.0, np.nan], np.float32)).statistics["nan"]
    1
    """
    told = statistics(array, picture=False)
    numbers = {
        "count": told.count,
        "nan": told.nan,
        "posinf": told.posinf,
        "neginf": told.neginf,
        "zeros": told.zeros,
        "min": told.min,
        "max": told.max,
        "mean": told.mean,
        "deviation": told.deviation,
    }
    missing = "" if data else "left out, as was asked"
    return Held(name, array.dtype.name, array.shape, numbers, array if data else None, missing)


def capture(
    session: "Session",
    plan: "Plan",
    feeds: Sequence[Any],
    state: "State",
    error: BaseException | None = None,
    data: bool = True,
) -> Capsule:
    """The capsule of a run of a plan: `feeds` are in the order of the plan, `state` is that before the run."""
    key = plan.key
    graph, labels = cut(session.graph, *key)
    arrays = [np.asarray(feed) for feed in feeds]
    fed = zip([labels[i] for i in key[1]], arrays, strict=True)
    named = zip(session.graph.variables, state.values, strict=True)
    executable = plan.executable
    return Capsule(
        graph=graph,
        feeds=tuple(held(name, array, data) for name, array in fed),
        variables=tuple(held(name, array, data) for name, array in named if name in graph.variables),
        sizes=_sizes(plan, arrays),
        fetches=tuple(name for name, _ in graph.outputs),
        groups=key[2],
        seed=state.seed,
        step=state.step,
        backend=session.backend,
        numerics=session.numerics,
        threads=executable.options.threads,
        failure=None if error is None else failure_of(error),
        ledger=_shortened(executable.ledger),
        lines=user_lines(graph),
        versions=versions(session.backend),
        names=tuple(names(session.graph, graph)),
    )


def _sizes(plan: "Plan", arrays: Sequence[Array]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    owners: dict[str, str] = {}
    for _ in range(2):  # what is solved for may stand before what binds its other names
        for feed, array in zip(plan.feeds, arrays, strict=True):
            bind_shape(feed.name, feed.type, array.shape, sizes, owners)
    return sizes


def _shortened(ledger: Iterable[Any]) -> str:
    text = "\n".join(map(str, ledger))
    return text if len(text) <= _FEW else f"{text[:_FEW]}\n... cut: {len(text)} characters in all"


def failure_of(error: BaseException) -> Failure:
    """What a capsule keeps of an error.

    >>> failure_of(ValueError("no")).message
    'no'
    """
    source = getattr(error, "source", None)
    message = getattr(error, "message", None)
    return Failure(
        type(error).__name__,
        str(error if message is None else message)[:_LONGEST],
        str(error)[:_LONGEST],
        f"{relative(source.file)}:{source.line}" if isinstance(source, Source) else "",
    )


def user_lines(graph: Graph) -> dict[str, str]:
    """The text of the user's lines that a graph comes from, by `file:line` as the text form names them."""
    found: dict[str, str] = {}
    for source in dict.fromkeys(s for node in graph.nodes for s in node.origin.sources):
        try:
            text = linecache.getline(source.file, source.line).strip()
        except (ValueError, OSError):  # a name that no file can have
            continue
        if text and len(found) < _LINES:
            found[f"{relative(source.file)}:{source.line}"] = text[:_WIDEST]
    return found


def versions(backend: str) -> dict[str, str]:
    """What a run depends on beside the graph: versions, system and processor."""
    import symgraph  # the package imports this module late, and not the other way round

    found = {
        "symgraph": symgraph.__version__,
        "numpy": np.__version__,
        "llvmlite": _version("llvmlite"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
    }
    if backend == "llvm" and target.installed():
        llvm = target.llvm()
        features = llvm.get_host_cpu_features()
        found["processor"] = llvm.get_host_cpu_name()
        found["features"] = " ".join(sorted(name for name, there in features.items() if there))
    return found


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def missing_leaves(capsule: Capsule) -> tuple[str, ...]:
    """The names of leaves of the graph that the capsule has no entry for, and that have no default."""
    known = {held.name for held in (*capsule.feeds, *capsule.variables)}
    needed = (node for node in capsule.graph.nodes if leaf_name(node.op) is not None)
    return tuple(
        str(leaf_name(node.op))
        for node in needed
        if leaf_name(node.op) not in known and getattr(node.op, "default", None) is None
    )
