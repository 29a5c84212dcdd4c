"""Where a program's memory goes: the step at which most is needed, by what, and how that grows with the named sizes.

peak : Executable -> sizes -> Peak
"""

import attrs

from symgraph.types import Dimension


@attrs.frozen
class PeakBuffer:
    """A buffer of the arena. `over` is the node whose memory it takes over in place, `expression` its size in bytes
    in terms of the named sizes.
    """

    node: int
    label: str
    offset: int
    size: int
    birth: int
    death: int
    over: int | None
    at_peak: bool
    expression: Dimension


@attrs.frozen
class Peak:
    """The peak of a memory plan. `peak` is the size of the arena, `live` what is needed at step `step` of `steps`,
    both in bytes; `expression` is `live` in terms of the named sizes; `owner` says which line has most of it, and
    `unplanned` what lies outside the arena.
    """

    peak: int
    live: int
    expression: Dimension
    step: int
    steps: int
    owner: str
    buffers: tuple[PeakBuffer, ...]
    unplanned: str
