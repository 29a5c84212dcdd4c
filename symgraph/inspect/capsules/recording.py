"""Recording: a session that writes a failure capsule when a run fails, and one when it is asked to.

    recorded : Session -> the function that runs -> the same, which leaves a capsule when it fails

A session without a recorder runs as it would if this module were not there.
"""

import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from symgraph.errors import CapsuleError, FeedError, SymgraphError
from symgraph.inspect.capsules.capsule import LIMIT, capture
from symgraph.inspect.capsules.file import write
from symgraph.ir import Array
from symgraph.origin import visible
from symgraph.train.checkpoint import require_safetensors

if TYPE_CHECKING:
    from symgraph.compile import Bound
    from symgraph.run_plan import Plan
    from symgraph.session import Session
    from symgraph.store import State

_WRITTEN = "the failure capsule is "
Runner: TypeAlias = "Callable[[Plan, Bound, Sequence[Any], bool], Sequence[Array] | None]"


@attrs.frozen
class Recorder:
    """Where a session writes its failure capsules: `path`, which each failure replaces.

    `data=False` leaves all arrays out, and keeps their shapes and statistics; `limit` bounds the file in bytes: the
    largest arrays are left out first. The user's source lines that the nodes come from are always in it.

    >>> Recorder("failure.capsule", data=False)
    Recorder(path='failure.capsule', data=False, limit=268435456)
    """

    path: str | Path
    data: bool = True
    limit: int = LIMIT


def recorder_of(given: Recorder | str | Path | None) -> Recorder | None:
    """The recorder that a session was given, or None; raises CapsuleError for what is none."""
    if given is None or isinstance(given, Recorder):
        made = given
    elif isinstance(given, str | os.PathLike):
        made = Recorder(given)
    else:
        raise CapsuleError(
            f"capsule is the name of a file, and this is {given!r}",
            hint='Write Session(graph, capsule="failure.capsule"), or capsule=Recorder(path, data=False).',
        )
    if made is not None:
        require_safetensors()  # to say so at the failure would be too late
    return made


def recorded(session: "Session", recorder: Recorder, run: Runner) -> Runner:
    """`run`, which writes a capsule when it fails; the error says where that is."""

    def guarded(plan: "Plan", bound: "Bound", feeds: Sequence[Any], sure: bool) -> Sequence[Array] | None:
        state = (
            session._open()
        )  # as it is before the run; none of its arrays is written into while this is held
        try:
            return run(plan, bound, feeds, sure)
        except FeedError:  # it says itself what to mend, and nothing has run
            raise
        except Exception as error:
            record(session, recorder, plan, feeds, state, error)
            raise
        finally:
            del state  # a traceback, which may live on, would keep it

    return guarded


def record(
    session: "Session",
    recorder: Recorder,
    plan: "Plan",
    feeds: Sequence[Any],
    state: "State",
    error: BaseException,
) -> None:
    """Write the capsule of a run that failed, and tell so in the error, which nothing that happens here hides."""
    try:
        write(recorder.path, capture(session, plan, feeds, state, error, recorder.data), recorder.limit)
    except Exception as failed:
        first = failed.message if isinstance(failed, SymgraphError) else f"{type(failed).__name__}: {failed}"
        _tell(error, f"no failure capsule could be written: {first}")
        return
    path = visible(os.fspath(recorder.path))
    _tell(error, f"{_WRITTEN}{path}: python -m symgraph replay {shlex.quote(path)}")


def recorded_in(error: BaseException) -> bool:
    """Whether an error tells of a capsule already."""
    return any(line.startswith(_WRITTEN) for line in getattr(error, "details", ()))


def _tell(error: BaseException, sentence: str) -> None:
    if isinstance(error, SymgraphError):
        error.details = (*error.details, sentence)
    else:
        error.add_note(sentence)
