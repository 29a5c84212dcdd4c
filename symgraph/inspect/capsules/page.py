"""The explorer's page of a failure capsule: its graph at every stage, with the values of its run."""

from symgraph.inspect.capsules.capsule import Capsule
from symgraph.inspect.capsules.replay import leaves_of
from symgraph.inspect.explorer.explore import explored
from symgraph.inspect.explorer.wanted import Run, Wanted


def page(file: str, capsule: Capsule) -> str:
    """The whole page as HTML; `file` is what the capsule was read from, and names it."""
    graph = capsule.graph
    leaves = leaves_of(file, capsule, [])
    feeds = {name: leaves[name] for name in graph.placeholders if name in leaves}
    variables = {name: leaves[name] for name in graph.variables}
    sizes = {name: capsule.sizes[name] for name in graph.names}
    run = Run(feeds, variables, sizes, 0, capsule.seed)
    return explored(graph, run, Wanted(capsule.backend, capsule.numerics, None, file)).html
