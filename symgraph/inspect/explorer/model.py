"""The model of the explorer's page: all that it shows of a graph, as JSON; `page/src/model.ts` is its schema.

model : Graph | Executable -> Run -> Wanted -> JSON

What is large is bounded, so that a page opens: whatever is left out is said in `about.messages`, as whole sentences.
"""

import platform

import attrs

from symgraph import __version__
from symgraph.compile import Executable
from symgraph.errors import FeedError, SymgraphError
from symgraph.initial_values import initial_values
from symgraph.inspect.diagram import is_gradient
from symgraph.inspect.explorer.collected import Json, Tables, cut
from symgraph.inspect.explorer.fusions import FUSION, fusion_section
from symgraph.inspect.explorer.history import history
from symgraph.inspect.explorer.sections import (
    Room,
    code_section,
    gradient_section,
    memory_section,
    profile_section,
    values_section,
)
from symgraph.inspect.explorer.wanted import Run, Wanted
from symgraph.inspect.gradients.adjoints import Gradient, adjoints
from symgraph.inspect.profiling.memory import peak
from symgraph.inspect.profiling.profile import attempt
from symgraph.inspect.statistics import Statistics, statistics
from symgraph.inspect.trace import Sweep, Trace, executable_of, trace
from symgraph.inspect.values import first_bad, statistics_of, values
from symgraph.ir import Graph, node_bytes
from symgraph.transforms.dead_code import prune
from symgraph.types import SHORT_NAMES, evaluate_dimension

_SNAPSHOTS = 150_000  # nodes of all graphs between the stages
_MANY = 20_000  # nodes of a graph that a page says are many
_CODE = 4_000  # nodes of a graph whose code is made unasked
_LISTING = 4_000_000  # characters of a listing
_PICTURES = 3_000_000  # bytes
_VALUES = 12_000  # nodes with histograms
_HELD = 1 << 30  # bytes of all values of a run, which are held at once to explain zeros
_TRACE = 4_000_000  # characters of Chrome's trace
_TITLE = 120
_ALL = "With complete=True (--complete at the command line) nothing is left out."


@attrs.define(eq=False)
class _Page:
    """A page in the making: its tables, and the sentences that it opens with."""

    tables: Tables
    run: Run
    complete: bool
    messages: list[str] = attrs.field(factory=list)
    stages: list[Json] = attrs.field(factory=list)

    def say(self, sentence: str) -> None:
        if sentence not in self.messages:
            self.messages.append(sentence)

    def stage(self, name: str, about: str, graph: Graph) -> int:
        number = self.tables.graph(graph, name)
        self.stages.append({"name": name, "about": about, "graph": number})
        return number

    def fits(self, size: int, most: int) -> bool:
        return self.complete or size <= most


def model(what: Graph | Executable, run: Run, wanted: Wanted) -> Json:
    """All that the page shows: the same for the same graph and run, but for the times of a profile.

    Raises CompileError for what cannot be compiled, FeedError for values that do not fit.
    """
    page = _Page(Tables(), run, wanted.complete)
    way, executable = _traced(page, what, wanted)
    graph = way.declared
    found = _gradient(page, graph)
    _stages(page, way, found)
    rewrites = history(
        page.tables, way, len(way.sweeps) * 10**9 if page.complete else _SNAPSHOTS, way.unfused
    )
    if rewrites.hidden:
        page.say(
            f"Of {len(rewrites.rewrites):,} rewrites the last {rewrites.hidden:,} are shown without the graphs before "
            f"and after them, which have more than {_SNAPSHOTS:,} nodes in all. {_ALL}"
        )
    gradient, known = _values(page, way, found)
    memory, code = _compiled(page, executable)
    profile = _profile(page, executable)
    fusion = fusion_section(page.tables, way)
    tables = page.tables.finish()
    if page.tables.unseen:
        page.say(
            "Some lines are named without their text: the graph was read from a file, and a page shows no line of "
            "code that did not run here."
        )
    largest = max(len(one["op"]) for one in tables["graphs"])
    if largest >= _MANY:
        page.say(f"This is a large graph, of {largest:,} nodes: scopes are folded. Unfold one, or search.")
    free = sorted(graph.names - run.sizes.keys())
    return {
        "version": 1,
        "about": {
            "name": wanted.name or _name(graph),
            "symgraph": __version__,
            "backend": way.backend,
            "numerics": way.numerics,
            "sizes": [[name, size] for name, size in sorted(run.sizes.items())],
            "free": free,
            "messages": page.messages,
        },
        **tables,
        "stages": page.stages,
        "rewrites": rewrites.rewrites,
        "gradient": gradient,
        "values": known,
        "fusion": fusion,
        "memory": memory,
        "profile": profile,
        "code": code,
    }


def _name(graph: Graph) -> str:
    return cut(", ".join(name for name, _ in graph.outputs if not _is_derivative(name)), _TITLE) or "graph"


def _traced(page: _Page, what: Graph | Executable, wanted: Wanted) -> tuple[Trace, Executable]:
    """The way from the declared graph to what runs, and the executable."""
    if isinstance(what, Graph):
        way = trace(what, wanted.backend, wanted.numerics, wanted.passes)
        return way, executable_of(way)
    way = trace(what.declared, what.backend, what.numerics, wanted.passes)
    if way.graph == what.graph and way.ledger == what.ledger:
        return way, what
    page.say(
        "The executable was compiled with passes of its own: its rewrites are listed, and the graphs between them are "
        "not known. Give the same passes=... to have them."
    )
    rows = tuple([attrs.evolve(row, before=(), after=()) for row in what.ledger])
    whole = Sweep("compile", what.declared, what.graph, rows)
    return Trace(what.declared, (whole,), what.backend, what.numerics), what


# Stages.


def _is_derivative(name: str) -> bool:
    return "/d_" in name


def _stages(page: _Page, way: Trace, found: Gradient | None) -> None:
    graph = way.declared
    forward = [name for name, i in graph.outputs if not (_is_derivative(name) or is_gradient(graph.nodes[i]))]
    declared = prune(graph, forward or None, ()) if graph.outputs else graph
    page.stage("declared", "What the outputs need: the graph as you wrote it, without updates.", declared)
    if found is not None:
        page.stage("gradient", _about_gradient(found, graph), found.graph)
    elif graph is not declared:
        page.stage("gradient", "The graph as it was given, with its gradients and updates.", graph)
    about = "What the rewrites made of the graph as it was given, before nodes share kernels."
    page.stage("optimised", about, way.unfused)
    fused = any(sweep.pass_name in FUSION for sweep in way.sweeps)
    about = (
        f"What runs on {way.backend}: nodes that work on the same rows share a kernel."
        if fused
        else f"What runs on {way.backend}: each node by itself, since nothing was fused."
    )
    page.stage("fused", about, way.graph)


def _about_gradient(found: Gradient, graph: Graph) -> str:
    if not any(pair.adjoint is not None for pair in found.pairs):
        return f"The graph as it was given: no derivative of {found.of!r} passes back in it."
    if found.graph == graph:
        return "The graph as it was given, with its gradients and updates."
    names = cut(", ".join(found.wrt), _TITLE)
    return (
        f"The graph with the gradients of {found.of!r} by {names} added for reading: they are no part of what was "
        "optimised and runs."
    )


def _gradient(page: _Page, graph: Graph) -> Gradient | None:
    """The gradient of the loss: of the output `loss`, else of the first float scalar among the outputs."""
    scalars = [
        name
        for name, i in graph.outputs
        if graph.nodes[i].type.shape == () and graph.nodes[i].type.is_float and not _is_derivative(name)
    ]
    if not scalars:
        return None
    of = "loss" if "loss" in scalars else scalars[0]
    try:
        found = adjoints(graph, of)
    except SymgraphError as error:
        page.say(f"The gradient of {of!r} is not shown: {error.message}.")
        return None
    return found


# Values.


def _values(page: _Page, way: Trace, found: Gradient | None) -> tuple[Json | None, Json | None]:
    """The gradient's section, with the zeros of a run where there is one, and the section of values."""
    tables, run = page.tables, page.run
    by_name = {stage["name"]: stage["graph"] for stage in page.stages}
    gradient = None if found is None else gradient_section(found, by_name["gradient"])
    if run.feeds is None:
        return gradient, None
    graph = way.declared if found is None else found.graph
    room = Room(10**12, 10**12) if page.complete else Room(_PICTURES, _VALUES)
    shown: list[Json] = []
    try:
        if found is not None and page.fits(_bytes_of(graph, run), _HELD):
            results = values(graph, run.feeds, run.variables, run.seed, declared=way.declared)
            told: tuple[Statistics | None, ...] = tuple(
                [None if isinstance(value, tuple) else statistics(value) for value in results]
            )
            again = adjoints(graph, found.of, found.wrt or None, results)
            gradient = gradient_section(again, by_name["gradient"])
        else:
            told = statistics_of(graph, run.feeds, run.variables, run.seed, declared=way.declared)
            if found is not None:
                page.say(
                    f"Why adjoints are zero is not told: the values of a run are more than {_HELD >> 30} GiB. "
                    f"Feed fewer examples. {_ALL}"
                )
        number = tables.known(graph)
        if number is not None:
            shown.append(values_section(number, told, first_bad(graph, told), room))
        if way.unfused is not graph:
            later = statistics_of(way.unfused, run.feeds, run.variables, run.seed, declared=way.declared)
            shown.append(values_section(by_name["optimised"], later, first_bad(way.unfused, later), room))
    except SymgraphError as error:
        page.say(f"The values are not shown in full, since the run failed: {error.message}.")
    if room.left_out:
        page.say(
            f"Some values are shown without {' and '.join(sorted(room.left_out))}, which would make the page too "
            f"large. {_ALL}"
        )
    return gradient, {"feed": run.source or _fed(run), "graphs": shown}


def _fed(run: Run) -> str:
    fed = [
        f"{name} {SHORT_NAMES[value.dtype.name]}[{','.join(map(str, value.shape))}]"
        for name, value in (run.feeds or {}).items()
    ]
    kept = (
        f"the first values of the variables for seed {run.seed}"
        if run.variables is None
        else "the given variables"
    )
    return cut("; ".join([*fed, kept]), 400)


def _bytes_of(graph: Graph, run: Run) -> int:
    """The bytes of all values of a run; 0 where sizes are not known, and the run tells."""
    if not graph.names <= run.sizes.keys():
        return 0
    return sum(evaluate_dimension(node_bytes(node.type), run.sizes) for node in graph.nodes)


# What is compiled.


def _compiled(page: _Page, executable: Executable) -> tuple[Json | None, Json | None]:
    graph, run = executable.graph, page.run
    if not graph.names <= run.sizes.keys():
        return None, None
    if not (run.steps or page.fits(len(graph), _CODE)):
        page.say(
            f"The memory plan and the code are left out: {len(graph):,} nodes take long to compile. {_ALL}"
        )
        return None, None
    sizes = {name: run.sizes[name] for name in sorted(graph.names)}
    try:
        memory = memory_section(peak(executable, **sizes))
        program = executable.bound(sizes).program
    except SymgraphError as error:
        page.say(f"The memory plan and the code are not shown: {error.message}.")
        return None, None
    assembly = getattr(program, "assembly", None)
    machine = platform.machine().replace("x86_64", "x86-64").replace("AMD64", "x86-64")
    listings = {"source": program.source, "assembly": assembly}
    for kind, text in listings.items():
        if text is not None and not page.fits(len(text), _LISTING):
            page.say(f"The {kind} has {len(text):,} characters and is left out. {_ALL}")
            listings[kind] = None
    kernels = program.kernels
    return memory, code_section(
        executable.backend, listings["source"], listings["assembly"], machine, kernels
    )


def _profile(page: _Page, executable: Executable) -> Json | None:
    """The profile of a real run, also of one that failed on its way."""
    run = page.run
    if not run.steps:
        return None
    declared = executable.declared
    given = initial_values(declared, run.seed) if run.variables is None else run.variables
    variables = {name: given[name] for name in declared.variables if name in given}
    profile = attempt(executable, run.feeds, variables, run.steps)
    if isinstance(profile.error, FeedError | KeyboardInterrupt):
        raise profile.error
    if profile.failed:
        page.say(f"The profiled run failed: {profile.failed}")
    events = profile.chrome_trace()
    if not page.fits(len(events), _TRACE):
        page.say(
            f"Chrome's trace of {run.steps:,} steps has {len(events):,} characters and is left out. {_ALL}"
        )
        events = ""
    return profile_section(profile, events)
