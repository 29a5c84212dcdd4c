"""What a page of the explorer is asked for: how its graph is run, and what is shown."""

from collections.abc import Mapping
from typing import Any

import attrs

from symgraph.rewrite import Numerics, Pass


@attrs.frozen(eq=False)
class Run:
    """What a graph is run with: `feeds` by placeholder (None: it is not run), `variables` (None: their first values
    for `seed`), named `sizes`, and how many `steps` are profiled. `source` says where the feeds came from.
    """

    feeds: Mapping[str, Any] | None = None
    variables: Mapping[str, Any] | None = None
    sizes: Mapping[str, int] = attrs.field(factory=dict)
    steps: int = 0
    seed: int = 0
    source: str = ""


@attrs.frozen(eq=False)
class Wanted:
    """What a page is to show: what the graph is compiled for, its name, and whether nothing may be left out."""

    backend: str = "auto"
    numerics: Numerics = "safe"
    passes: tuple[Pass, ...] | None = None
    name: str = ""
    complete: bool = False
