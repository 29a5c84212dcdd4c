"""The text form of a graph: one canonical text that prints and parses back to the identical graph.

to_text   : Graph -> str
from_text : str -> Graph            from_text . to_text = identity
"""

from typing import TYPE_CHECKING

from symgraph.later import later

if TYPE_CHECKING:
    from symgraph.text.parser import parse as from_text
    from symgraph.text.printer import fingerprint, to_text
else:
    __getattr__ = later(
        __name__,
        {
            "fingerprint": "symgraph.text.printer:fingerprint",
            "from_text": "symgraph.text.parser:parse",
            "to_text": "symgraph.text.printer:to_text",
        },
    )

__all__ = ["fingerprint", "from_text", "to_text"]
