"""The explorer: a graph at every stage of the compiler, in one HTML file that opens from disk.

explore : Graph | Executable -> Page
collect : Subject -> Model as JSON            what the page shows; see page/src/model.ts
"""

import html
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy.typing as npt

from symgraph.collector import paused
from symgraph.compile import Executable, bind_shape, feed_array, leaf_value
from symgraph.errors import FeedError, GraphError
from symgraph.fetches import as_mapping
from symgraph.files import reason, replace
from symgraph.initial_values import check_seed
from symgraph.inspect.explorer.model import model
from symgraph.inspect.explorer.wanted import Run, Wanted
from symgraph.inspect.page import assemble
from symgraph.inspect.sizes import checked
from symgraph.ir import Graph
from symgraph.rewrite import Numerics, Pass
from symgraph.values import shown

_HEIGHT = 720  # pixels of the frame in a notebook


@attrs.frozen(repr=False)
class Page:
    """A page of the explorer: `html` is the whole of it, `model` the data that it shows, as JSON text."""

    title: str
    html: str
    model: str

    def __repr__(self) -> str:
        return f"<Page {self.title!r}, {len(self.html):,} characters>"

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page to a file, whole or not at all; returns its path. Raises GraphError where it cannot be."""
        try:
            Path(os.path.realpath(path)).parent.mkdir(parents=True, exist_ok=True)
            replace(path, self.html)
        except (OSError, ValueError, TypeError) as error:
            raise GraphError(f"the page could not be written to {path!s}: {reason(error)}") from error
        return Path(path)

    def _repr_html_(self) -> str:
        """The page in a notebook: in a frame of its own, which can reach neither the notebook nor the network."""
        return (
            f'<iframe sandbox="allow-scripts allow-downloads" title="{html.escape(self.title)}" '
            f'width="100%" height="{_HEIGHT}" style="border:1px solid #8884;border-radius:6px" '
            f'srcdoc="{html.escape(self.html)}"></iframe>'
        )


def explore(
    what: Graph | Executable,
    output: str | os.PathLike[str] | None = None,
    *,
    feeds: Mapping[str, npt.ArrayLike] | None = None,
    variables: Mapping[str, npt.ArrayLike] | None = None,
    backend: str = "auto",
    numerics: Numerics = "safe",
    passes: Sequence[Pass] | None = None,
    profile_steps: int = 0,
    seed: int = 0,
    name: str = "",
    complete: bool = False,
    **sizes: int,
) -> Page:
    """A page that shows a graph at every stage of the compiler; a notebook shows it inline.

    On it are the stages (declared, with its gradient, optimised, fused), each rewrite between them, each forward node
    with its adjoint, kernels and why others do not share one, and for each node its type and the user's lines.
    `feeds` (arrays by placeholder) add the value of every node and, for `profile_steps` of at least 1, a profile of
    that many steps; `variables` are those of the run, by default the first values of `seed`. With all named sizes
    known, from the feeds or as in `explore(graph, batch=128)`, there are also the memory plan and the code.

    A graph is compiled for `backend` under `numerics` with `passes`, as by `symgraph.compile`; an executable is shown
    as it was compiled. `output` names a file to write, `name` is the page's title. Of graphs of very many nodes some
    details are left out, which the page says, unless it is to be `complete`. Raises GraphError, FeedError, and
    CompileError.

    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> page = explore(define(y=placeholder("x", ("n",)) * 2.0), feeds={"x": [1.0, 2.0]}, name="twice")
    >>> page.title, page.html.startswith("<!doctype html>")
    ('twice', True)
    """
    page = explored(
        what,
        Run(feeds, variables, sizes, profile_steps, seed),
        Wanted(backend, numerics, None if passes is None else tuple(passes), name, complete),
    )
    if output is not None:
        page.save(output)
    return page


def explored(what: Graph | Executable, run: Run, wanted: Wanted) -> Page:
    """`explore` with its arguments as records: for sizes of any name."""
    if not isinstance(what, Graph | Executable):
        raise GraphError(
            f"explore takes a graph or an executable, and this is {shown(what)}",
            hint="Make a graph with symgraph.define(name=expression).",
        )
    if not isinstance(wanted.name, str):
        raise GraphError(
            f"a page's name is a text, and this is {shown(wanted.name)}", hint="Write name='LeNet'."
        )
    known = _checked(what.declared if isinstance(what, Executable) else what, run)
    with paused():  # records that refer to earlier ones: there are no cycles to find
        made = model(what, known, wanted)
        text = json.dumps(made, separators=(",", ":"), allow_nan=False)
    title: str = made["about"]["name"]
    return Page(title, assemble(text, title), text)


def _checked(graph: Graph, run: Run) -> Run:
    """The run with its feeds as arrays, and the sizes that they bind; raises FeedError and GraphError."""
    if isinstance(run.steps, bool) or not isinstance(run.steps, int) or run.steps < 0:
        raise GraphError(
            f"profile_steps is a whole number from 0, and {run.steps!r} is none",
            hint="Write profile_steps=20.",
        )
    if run.steps and run.feeds is None and graph.placeholders:
        raise FeedError("a profile runs the graph, and there are no feeds", hint="Pass feeds={'x': value}.")
    check_seed(run.seed)
    sizes = checked(graph, run.sizes, "feeds go into feeds={...}")
    owners = {name: f"{name}={size}" for name, size in sizes.items()}
    feeds: dict[str, Any] | None = None
    if run.feeds is not None:
        feeds = {}
        for name, value in as_mapping(run.feeds).items():
            if name not in graph.placeholders:
                raise FeedError(
                    f"{name!r} is no placeholder of this graph",
                    hint=f"It has {', '.join(map(repr, graph.placeholders)) or 'none'}.",
                )
            node = graph.placeholders[name]
            feeds[name] = feed_array(name, node.type, value)
            bind_shape(name, node.type, feeds[name].shape, sizes, owners)
        for node in graph.placeholders.values():
            leaf_value(node.op, feeds)  # type: ignore[arg-type]  # which says what is missing
    as_mapping(run.variables, "variables")
    return attrs.evolve(run, feeds=feeds, sizes=sizes)
