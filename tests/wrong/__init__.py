"""Wrong programs as tables: what each raises, and what its message says."""

from collections.abc import Callable
from typing import Any

import attrs

from symgraph.errors import SymgraphError


@attrs.frozen
class Row:
    """A wrong program, on a line of its own: the error, its whole first sentence, and what its caret marks.

    The caret marks the whole expression unless `at` says another; `hint` is whether there is more to say than
    the sentence: what to write instead, or where the operands were declared.
    """

    error: type[SymgraphError]
    message: str
    wrong: Callable[[], Any]
    at: str = ""
    hint: bool = True
