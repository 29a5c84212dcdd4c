"""The errors of symgraph: each says what is wrong, where, what was expected, and what to write instead."""

from symgraph.origin import Source, user_source, visible

_UNSET = Source("", 0)


class SymgraphError(Exception):
    """The root of all errors that symgraph raises on purpose.

    `message` is one sentence; `source` the user's line (found by itself where it is not given);
    `details` further facts, a line each; `hint` what to write instead.

    >>> print(SymgraphError("x: no such name", source=None, hint="Declare x first."))
    x: no such name
      Declare x first.
    """

    def __init__(
        self, message: str, *, source: Source | None = _UNSET, details: tuple[str, ...] = (), hint: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.source = user_source() if source is _UNSET else source
        self.details = details
        self.hint = hint

    def __str__(self) -> str:
        where = (self.source.quote(),) if self.source is not None else ()
        indented = tuple(f"  {visible(line)}" for line in (*self.details, self.hint) if line)
        sentence = "\n  ".join(map(visible, self.message.split("\n")))
        return "\n".join((sentence, *where, *indented))


class ShapeError(SymgraphError):
    """Shapes that do not fit, at the line that declares them."""


class DTypeError(SymgraphError):
    """A dtype that an operation does not take, or a mixture that would lose precision."""


class GraphError(SymgraphError):
    """A graph that is not well formed: duplicate or unknown names, a text that does not parse."""


class GradientError(SymgraphError):
    """A derivative that does not exist, or of something the target does not depend on."""


class FeedError(SymgraphError):
    """A fed value that is missing, unknown, or of another shape or dtype than declared."""


class CompileError(SymgraphError):
    """A graph that the chosen backend cannot compile, or a backend that is not installed."""


class ExecutionError(SymgraphError):
    """A run that failed on its values: an assertion that did not hold, an index out of range."""


class DivergenceError(ExecutionError):
    """Values that left the finite numbers: the step of training, and the first node whose value is not finite."""


class CheckpointError(SymgraphError):
    """A checkpoint that is missing, damaged, of another graph, or could not be written."""


class CapsuleError(SymgraphError):
    """A failure capsule that is missing, damaged, not one, or could not be written."""


class DataError(SymgraphError):
    """A data file or data set that is missing, damaged, or not what its header says."""
