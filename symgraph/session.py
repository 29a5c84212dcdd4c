"""Sessions: the values of variables, and the runs that read and change them.

    run     : Session -> fetches -> feeds -> update -> values
    prepare : Session -> fetches -> names -> update -> Step      the same, worked out once for a hot loop

A session owns a store, the only thing that changes; what it runs is planned once and kept.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Self, TypeVar

import attrs

from symgraph.compile import check_threads, lowering
from symgraph.errors import CheckpointError, CompileError, GraphError
from symgraph.fetches import Groups, Locator, Target, as_mapping, flatten, groups_of, located_feeds
from symgraph.initial_values import initial_values
from symgraph.ir import Array, Graph
from symgraph.lowering.program import Options
from symgraph.prepared import Step
from symgraph.rewrite import NUMERICS, Numerics
from symgraph.run_plan import Debug, Key, Plan, check_debug, finisher, make_plan, watching
from symgraph.store import State, Store
from symgraph.values import shown
from symgraph.variables import Variables

if TYPE_CHECKING:
    from symgraph.data.batches import Position
    from symgraph.inspect.capsules.recording import Recorder, Runner
    from symgraph.inspect.profiling.profile import Profile
    from symgraph.train.checkpoint import Checkpoint

A = TypeVar("A")


class Session:
    """Runs a graph and keeps its variables. A context manager: leaving it closes the session.

    `backend` and `numerics` are those of `symgraph.compile`. `seed` decides the first values of variables:
    each draws from (seed, its name) alone, so that another layer changes no other's start. Same graph, seed,
    data and backend: the same bits, also for any number of `threads`, which the backend `llvm` may use (None: as
    SYMGRAPH_NUM_THREADS says, else as many as there are processors). Raises CompileError for an unknown backend or
    numerics, or no number of threads.

    With `debug` a run stops at the first value that is not finite, a DivergenceError: it names the node, with the
    user's line, what rules made it, and what its operands were, and no variable changes. What is looked at is what
    runs: every value of the optimised graph, as the kernels of the backend have computed it. So what rewriting has
    mended is no fault, and a wrong kernel is one. A node is at fault if it is NaN where no operand is, or infinite
    where all operands are finite: the -inf of a mask may go through `where` and softmax, and a variable may start
    infinite. What is fed, or kept in other variables, has to be finite. `debug="nan"` lets all infinities be. A
    watched run keeps all that it computes in memory, and looks at it; without `debug` nothing is looked at.

    `capsule` names a file (or is a `symgraph.Recorder`): when a run fails, its graph, feeds and
    variables are written there, and the error says so; `symgraph.replay` finds where it went wrong.

    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder, variable
    >>> x, w = placeholder("x", ("n",)), variable("w", (), init=3.0)
    >>> graph = define({"y": x * w}, updates={"grow": {w: w + 1.0}})
    >>> with Session(graph, backend="interpreter") as session:
    ...     session.run("y", {"x": [1.0, 2.0]}, update="grow"), session.run({"y": "y", "w": w}, {"x": [1.0]})
    (array([3., 6.], dtype=float32), {'y': array([4.], dtype=float32), 'w': np.float32(4.0)})
    """

    def __init__(
        self,
        graph: Graph,
        backend: str = "auto",
        seed: int = 0,
        numerics: Numerics = "safe",
        threads: int | None = None,
        debug: Debug = False,
        capsule: "Recorder | str | Path | None" = None,
    ) -> None:
        if not isinstance(graph, Graph):
            raise GraphError(
                f"a session runs a graph, and this is {shown(graph)}",
                hint="Make one with symgraph.define(name=expression).",
            )
        self.graph = graph
        if numerics not in NUMERICS:
            raise CompileError(
                f"there is no numerics {numerics!r}", hint=f"Use one of {', '.join(NUMERICS)}."
            )
        self.backend, _ = lowering(backend)
        check_threads(self.backend, threads)
        self.numerics: Numerics = numerics
        self._options = Options(numerics, threads)
        self._locate = Locator(graph)
        self._plans: dict[Key, Plan] = {}
        self._steps: dict[tuple[str, tuple[Any, ...], str | None], Step] = {}
        self._planning = Lock()
        check_debug(debug)
        first = initial_values(graph, seed)
        self.debug = debug
        self._watching = watching(debug, first) if debug else None
        self._recorder = None if capsule is None else _recorder(capsule)
        self._store = Store(tuple(first.values()), seed)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Session of {self.graph!r} on {self.backend}, {self._store}>"

    def close(self) -> None:
        """Let go of the values. Any later use is an ExecutionError; closing twice is not."""
        self._store.close()
        self._plans.clear()
        self._steps.clear()

    @property
    def step(self) -> int:
        """How many updates have succeeded since the start, those of restored checkpoints included."""
        return self._store.open().step

    @property
    def seed(self) -> int:
        """The seed that the first values were drawn from; a restored checkpoint brings its own."""
        return self._store.open().seed

    @property
    def variables(self) -> Variables:
        """The variables by name: a read-only mapping to copies, with `assign`."""
        self._store.open()
        return Variables(self)

    def run(self, fetches: Any, feeds: Mapping[Any, Any] | None = None, update: Groups = None) -> Any:
        """Compute `fetches`, given `feeds`, and run the update groups named by `update`.

        `fetches` is a name, an expression or node of the graph, or any nesting of tuples, lists, dicts, named
        tuples and attrs records of them (or of None); the result has the same nesting, a NumPy scalar for a
        scalar, else an array that is the caller's own. A fetched variable has its value before the update.

        `feeds` maps names, expressions or nodes to values. A fed placeholder that the fetches do not need is
        checked, binds its named sizes, and is ignored else. Any other node may be fed: it is cut out, and
        what only it needed is not computed; a variable that is fed has that value in this run alone.

        `update` names one group or several, which happen at once: every next value is computed from the
        values before. When anything fails, no variable changes and `step` does not count.

        Raises FeedError, GraphError, and what ops raise on their values (ExecutionError; with `debug` also
        DivergenceError).
        """
        given = feeds if type(feeds) is dict else as_mapping(feeds)
        simple = type(fetches) is str and (update is None or type(update) is str)
        key = (fetches, tuple(given), update) if simple else None
        step = self._steps.get(key) if key is not None else None  # type: ignore[arg-type]
        if step is None:
            step = self.prepare(fetches, given, update)
            if key is not None and all(type(name) is str for name in given):
                self._steps[key] = step  # type: ignore[index]
        return step(given)

    def prepare(self, fetches: Any, feeds: Iterable[Any] | Target = (), update: Groups = None) -> Step:
        """The run of these fetches and updates as a Step, for feeds with these names, expressions or nodes.

        A step costs a few microseconds over what is computed. Raises FeedError, GraphError, CompileError.

        >>> from symgraph.define import define
        >>> from symgraph.expr import placeholder
        >>> graph = define(y=placeholder("a") - placeholder("b"))
        >>> step = Session(graph, backend="interpreter").prepare("y", ("a", "b"))
        >>> step(5.0, 3.0), step({"b": 1.0, "a": 2.0})
        (np.float32(2.0), np.float32(1.0))
        """
        return self._prepared(fetches, feeds, update, self._planned)

    def profile(
        self,
        fetches: Any,
        feeds: Mapping[Any, Any] | None = None,
        update: Groups = None,
        *,
        steps: int = 20,
        warm_up: int = 3,
        trace: str | Path | None = None,
    ) -> "Profile":
        """Where the time of `run(fetches, feeds, update)` goes: `steps` steps with a clock between the kernels.

        Every step starts from the variables as they are, and none changes them: `step` does not count. `warm_up`
        steps before are not counted. `trace` names a file for Chrome's trace events, which Perfetto opens; it is
        written also where a step fails. Raises what `run` raises; a session with `debug` is profiled without.

        >>> from symgraph.define import define
        >>> from symgraph.expr import variable
        >>> w = variable("w", (100,), init=3.0)
        >>> session = Session(define({}, updates={"grow": {w: w * 2.0}}), backend="numpy")
        >>> profile = session.profile(None, update="grow", steps=2)
        >>> [kernel.name for kernel in profile.kernels], profile.steps, session.step
        (['mul'], 2, 0)
        """
        from symgraph.inspect.profiling.profile import counted, finished, profiled
        from symgraph.inspect.profiling.work import of_step

        counted(steps, warm_up)
        given = as_mapping(feeds)
        step = self._prepared(fetches, given, update, self._planned if self._watching is None else self._made)
        return self._read(
            lambda state: finished(
                profiled(step.executable, lambda: of_step(step, given, state.values), steps, warm_up), trace
            )
        )

    def _prepared(
        self,
        fetches: Any,
        feeds: Iterable[Any] | Target,
        update: Groups,
        planned: Callable[[Key, Mapping[int, Target]], Plan],
    ) -> Step:
        self._store.open()
        leaves, nest = flatten(fetches)
        fetched = [self._fetched(leaf) for leaf in leaves]
        fed = located_feeds(self._locate, feeds)
        ordered = tuple(sorted(fed))
        unique = tuple(dict.fromkeys(fetched))
        plan = planned((unique, ordered, groups_of(update)), fed)
        given = list(fed)
        order = tuple(given.index(i) for i in ordered)
        return Step(
            self,
            plan,
            tuple(fed[i] for i in ordered),
            None if order == tuple(range(len(order))) else order,
            finisher(fetched, unique, nest, isinstance(fetches, str)),
            self._runner(plan),
        )

    def save(
        self,
        path: str | Path,
        *,
        extra: Mapping[str, Any] | None = None,
        position: "Position | None" = None,
        arrays: Mapping[str, Array] | None = None,
    ) -> None:
        """Write the state to a checkpoint: a safetensors file with the variables, the step and the seed.

        `position` is that of a stream of batches, `extra` anything JSON can hold, `arrays` what else belongs to
        the state. The file is written beside its place, synced and renamed: after any failure the older file is
        whole. Needs the extra `train`. Raises CheckpointError.
        """
        from symgraph.train import checkpoint

        header = checkpoint.header(self._fingerprint, extra, position, arrays)
        self._read(
            lambda state: checkpoint.write(
                path,
                attrs.evolve(
                    header,
                    tensors=dict(zip(self.variables, state.values, strict=True)),
                    step=state.step,
                    seed=state.seed,
                ),
            )
        )

    def restore(self, path: str | Path, *, strict: bool = True) -> "Checkpoint":
        """Go on from a checkpoint: all variables, the step and the seed, or after an error nothing.

        Returns the `Checkpoint`, whose `position` and `extra` are what was saved. The graph must be the one
        that was saved; `strict=False` takes any graph with the same variables. Needs the extra `train`.
        Raises CheckpointError.
        """
        from symgraph.train import checkpoint

        self._store.open()
        found = checkpoint.read(path)
        if strict and found.fingerprint != self._fingerprint:
            raise CheckpointError(
                f"{path} is a checkpoint of another graph",
                hint="Declare the graph as it was saved, or restore(path, strict=False) where the variables "
                "are the same.",
            )
        checkpoint.check_tensors(path, self.graph, found.tensors)
        values = tuple(found.tensors[name].copy() for name in self.graph.variables)
        self._store.restore(values, found.step, found.seed)
        return found

    def capsule(
        self,
        path: str | Path,
        fetches: Any = None,
        feeds: Mapping[Any, Any] | None = None,
        update: Groups = None,
        *,
        data: bool = True,
        limit: int = 2**28,
    ) -> None:
        """Write a capsule of the run that these arguments of `run` are, without running it.

        `symgraph.replay(path)` runs it anywhere, and looks for where the unrewritten graph, each rewrite and each
        backend part. Without `data` the arrays are left out; `limit` bounds the file in bytes, and the largest arrays
        are left out first. Needs the extra `train`. Raises FeedError, GraphError, CapsuleError.
        """
        from symgraph.inspect.capsules import file, recording
        from symgraph.inspect.capsules.capsule import capture

        recording.recorder_of(path)
        given = as_mapping(feeds)
        step = self.prepare(fetches, given, update)
        _, arrays = step._plan.bind(step._given((given,)))
        made = self._read(lambda state: capture(self, step._plan, arrays, state, None, data))
        file.write(path, made, limit)

    def undo(self) -> None:
        """Take back the last update: the variables and `step` are as before it.

        One update can be taken back, and only before anything else changes the variables: an ExecutionError
        says so otherwise.

        >>> from symgraph.define import define
        >>> from symgraph.expr import variable
        >>> w = variable("w", (), init=3.0)
        >>> session = Session(define({"w": w}, updates={"grow": {w: w * 2.0}}), backend="interpreter")
        >>> session.run(None, update="grow")
        >>> session.undo()
        >>> session.variables["w"], session.step
        (np.float32(3.0), 0)
        """
        self._store.undo()

    @cached_property
    def _fingerprint(self) -> str:
        from symgraph.text import fingerprint  # asked for when a session is saved or restored

        return fingerprint(self.graph)

    # What follows is for Step and Variables.

    def _open(self) -> State:
        return self._store.open()

    def _read(self, function: Callable[[State], A]) -> A:
        return self._store.read(function)

    def _assign(self, values: Mapping[str, Array], step: int | None = None) -> None:
        places = [list(self.graph.variables).index(name) for name in values]
        self._store.assign(places, tuple(values.values()), step)

    def _fetched(self, leaf: Target) -> int:
        try:
            return self._locate(leaf).id
        except GraphError as error:
            if isinstance(leaf, str) and any(leaf == group for group, _ in self.graph.updates):
                error.hint = (
                    f'{leaf!r} is an update group: write session.run(fetches, feeds, update="{leaf}").'
                )
            raise

    def _record(self, step: Step, feeds: Mapping[str, Any], error: Exception) -> None:
        """Leave a capsule of a step whose update was taken back for this error, where capsules were asked for."""
        if self._recorder is None:
            return
        from symgraph.inspect.capsules.recording import record, recorded_in

        if not recorded_in(error):
            _, arrays = step._plan.bind(step._given((feeds,)))
            args = self._recorder, step._plan, arrays
            self._read(lambda state: record(self, *args, state, error))

    def _runner(self, plan: Plan) -> "Runner":
        """The function that runs a plan; one that leaves a capsule when it fails, where that was asked for."""
        run = self._store.update if plan.updates else self._store.fetch
        if self._recorder is None:
            return run
        from symgraph.inspect.capsules.recording import recorded

        return recorded(self, self._recorder, run)

    def _made(self, key: Key, fed: Mapping[int, Target]) -> Plan:
        return make_plan(self.graph, key, fed, self.backend, self._options)

    def _planned(self, key: Key, fed: Mapping[int, Target]) -> Plan:
        with self._planning:
            if key not in self._plans:
                self._plans[key] = make_plan(
                    self.graph, key, fed, self.backend, self._options, self._watching
                )
            return self._plans[key]


def _recorder(capsule: "Recorder | str | Path") -> "Recorder | None":
    from symgraph.inspect.capsules.recording import (
        recorder_of,  # who asks for no capsule need not wait for it
    )

    return recorder_of(capsule)
