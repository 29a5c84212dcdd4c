"""The text form of a graph: one canonical text that prints and parses back to the identical graph.

to_text   : Graph -> str
from_text : str -> Graph            from_text . to_text = identity
"""

from symgraph.text.parser import parse as from_text
from symgraph.text.printer import fingerprint, to_text

__all__ = ["fingerprint", "from_text", "to_text"]
