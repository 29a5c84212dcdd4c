"""The explorer's page of a failure capsule: its graph at every stage, with the values of its run."""

from symgraph.inspect.capsule import Capsule
from symgraph.inspect.explorer import explore
from symgraph.inspect.replay import leaves_of


def page(file: str, capsule: Capsule) -> str:
    """The whole page as HTML; `file` is what the capsule was read from, and names it."""
    graph = capsule.graph
    leaves = leaves_of(file, capsule, [])
    made = explore(
        graph,
        feeds={name: leaves[name] for name in graph.placeholders if name in leaves},
        variables={name: leaves[name] for name in graph.variables},
        backend=capsule.backend,
        numerics=capsule.numerics,
        name=file,
        **capsule.sizes,
    )
    return made.html
