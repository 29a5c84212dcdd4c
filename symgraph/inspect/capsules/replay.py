"""Replay: a failure capsule is run again, and looked through for the first place where values go wrong.

    replay : path -> Report

Three things are looked at, each with the one before it as its measure: the declared graph, node by node, for what is
not finite or raises (`localise`); every rewrite between it and the graph that runs (`claims`); and on each backend the
program against the interpreter on that graph, down to the kernel (`programs`).
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import attrs
import numpy as np

from symgraph.compile import bind_shape, lowering
from symgraph.errors import CapsuleError, SymgraphError
from symgraph.expr import Expr
from symgraph.inspect.capsules import claims, programs
from symgraph.inspect.capsules.capsule import Capsule, Held
from symgraph.inspect.capsules.evaluation import Evaluator, Failed, Value
from symgraph.inspect.capsules.file import READ_LIMIT, read
from symgraph.inspect.capsules.findings import Finding
from symgraph.inspect.capsules.localise import finite, hidden, localise
from symgraph.inspect.trace import Trace, trace
from symgraph.ir import Array, node_bytes
from symgraph.lowering.llvm import target
from symgraph.lowering.program import Options
from symgraph.origin import visible
from symgraph.rewrite import Pass, sum_dimensions
from symgraph.types import evaluate_dimension

AGREES, DIFFERS = 0, 1
_BACKENDS = ("llvm", "numpy", "interpreter")


@attrs.frozen(eq=False)
class Report:
    """What a replay found: `findings`, the most likely cause first, and what was looked at, as sentences.

    `code` is 0 where all agrees and the failure does not occur again, else 1.
    """

    file: str
    capsule: Capsule = attrs.field(repr=False)
    findings: tuple[Finding, ...]
    checked: tuple[str, ...] = attrs.field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def code(self) -> int:
        """The exit code of the command line."""
        return AGREES if self.agrees else DIFFERS

    def __str__(self) -> str:
        return "\n".join([*self._head(), "", *self._looked(), "", *self._found()])

    def _head(self) -> list[str]:
        made, told = self.capsule, self.capsule.versions
        sizes = ", ".join(f"{name}={size}" for name, size in made.sizes.items())
        what = ", ".join(map(visible, made.fetches)) or "nothing"
        groups = f", update {', '.join(map(visible, made.groups))}" if made.groups else ""
        threads = f", {made.threads} threads" if made.threads is not None else ""
        lines = [
            f"{visible(self.file)}: fetch {what}{groups}{f', with {sizes}' if sizes else ''}",
            f"  step {made.step}, seed {made.seed}, backend {visible(made.backend)}, numerics {made.numerics}{threads}",
            "  " + ", ".join(f"{name} {visible(told[name])}" for name in _TOLD if name in told),
        ]
        if made.failure is not None:
            lines.append(f"  it failed with {visible(made.failure.type)}: {visible(made.failure.message)}")
        return lines

    def _looked(self) -> list[str]:
        return [visible(line) for line in (*self.checked, *self.notes)]

    def _found(self) -> list[str]:
        if self.agrees:
            again = " The failure does not occur again." if self.capsule.failure is not None else ""
            return [f"Nothing was found.{again}"]
        lines = []
        for k, finding in enumerate(self.findings, 1):
            head, *rest = str(finding).split("\n")
            lines += [f"{k}. {head}", *(f" {line}" for line in rest)]
        return lines


_TOLD = ("symgraph", "numpy", "llvmlite", "python", "platform")


def replay(
    path: str | Path,
    backends: Iterable[str] | None = None,
    passes: Sequence[Pass] | None = None,
    *,
    limit: int = READ_LIMIT,
) -> Report:
    """Run a failure capsule again, and find where it goes wrong.

    `backends` are compared with the interpreter (default: all that are installed, the capsule's own first); `passes`
    replaces the default pipeline, as in `compile`. Where the capsule holds no arrays, others with the same shapes and
    like statistics stand in for them. A file that would unpack to more than `limit` bytes is refused. Nothing in the
    file is run as code, except that its graph is. Raises CapsuleError for a bad file, CompileError for an unknown
    backend.

    >>> import tempfile
    >>> from symgraph import Session, define, log, mean, placeholder
    >>> x = placeholder("x", ("n",))
    >>> path = tempfile.mkdtemp() + "/one.capsule"
    >>> with Session(define(loss=mean(log(x))), backend="interpreter") as session:
    ...     session.capsule(path, "loss", {"x": [1.0, 0.0, 2.0]})
    >>> report = replay(path, backends=["numpy"])
    >>> report.code, [finding.op for finding in report.findings]
    (1, ['log'])
    """
    return examine(str(path), read(path, limit), backends, passes)


def examine(
    file: str,
    capsule: Capsule,
    backends: Iterable[str] | None = None,
    passes: Sequence[Pass] | None = None,
) -> Report:
    """The report on a capsule, which came from `file`."""
    chosen = _backends(capsule, backends)
    notes: list[str] = []
    leaves = leaves_of(file, capsule, notes)
    evaluator = Evaluator(leaves, capsule.sizes)
    results = [evaluator.value(expr) for expr in capsule.graph.expressions]
    findings = list(localise(capsule, results))
    checked = [f"declared graph: {_declared(capsule, results, findings)}"]
    if not findings and (odd := hidden(capsule, results)):
        notes.append(f"note: {odd}")
    wrong: list[Finding] = []
    mended: list[bool] = []
    for name in chosen:
        looked = _on(capsule, name, passes, leaves, evaluator.known)
        checked += looked.sentences
        wrong += looked.findings
        mended.append(looked.sound)
    if findings and mended and all(mended):  # such as the exp in log(1 + exp(x)), which runs as softplus(x)
        notes += [f"note: before it is rewritten, and not after: {one.message}" for one in findings]
        findings = []
    return Report(file, capsule, _ordered(findings, wrong), tuple(checked), tuple(notes))


def _ordered(values: Sequence[Finding], wrong: Sequence[Finding]) -> tuple[Finding, ...]:
    """A wrong rewrite or kernel comes after what the declared graph itself does wrong; each is told once."""
    found: dict[object, Finding] = {}
    for one in (*values, *wrong):
        key = (one.kind, one.where, one.rule, one.before, one.node, one.message)
        found.setdefault(key, one)
    return tuple(found.values())


def _backends(capsule: Capsule, wanted: Iterable[str] | None) -> tuple[str, ...]:
    """The names of the backends to look at; raises CompileError for an unknown one."""
    if wanted is not None:
        names = (wanted,) if isinstance(wanted, str) else tuple(wanted)
        return tuple(dict.fromkeys(lowering(name)[0] for name in names))
    installed = [name for name in _BACKENDS if name != "llvm" or target.installed()]
    ordered = sorted(installed, key=lambda name: name != capsule.backend)
    return tuple(name for name in ordered if name != "interpreter" or capsule.backend == "interpreter")


def _declared(capsule: Capsule, results: Sequence[object], findings: Sequence[Finding]) -> str:
    count = f"{len(capsule.graph)} nodes, by the interpreter"
    if any(isinstance(value, Failed) for value in results):
        return f"{count}: it raises"
    return f"{count}: {'not all finite' if findings else 'every result is finite'}"


@attrs.frozen
class _Looked:
    """What is said, and found, of one backend, and whether the graph that it runs is sound on the interpreter."""

    sentences: list[str]
    findings: list[Finding]
    sound: bool


def _on(
    capsule: Capsule,
    name: str,
    passes: Sequence[Pass] | None,
    leaves: Mapping[str, Array],
    known: Mapping[Expr, Value],
) -> _Looked:
    """What is said, and found, of one backend: its rewrites, and its kernels."""
    try:
        way = trace(capsule.graph, name, capsule.numerics, passes)
    except SymgraphError as error:
        failed = Finding("pass", f"the graph cannot be compiled for {name!r}: {error.message}", name)
        return _Looked([f"{name}: the graph cannot be compiled"], [failed], False)
    evaluator = Evaluator(leaves, capsule.sizes, known=dict(known))
    wide = Evaluator(leaves, capsule.sizes, wide=True)
    looked = claims.check(capsule, way, evaluator, wide)
    sound = not looked.findings and _is_sound(capsule, way, evaluator)
    told = "all keep the values" if not looked.findings else "not all keep the values"
    sentences = [f"{name}: {_count(looked.rewrites, 'rewrite')} in {_count(looked.sweeps, 'sweep')}: {told}"]
    if name == "interpreter":
        return _Looked(sentences, looked.findings, sound)
    options = Options(capsule.numerics, capsule.threads if name == "llvm" else None)
    ran = programs.check(capsule, name, lowering(name)[1], options, way.graph, leaves, capsule.sizes)
    sentences.append(f"{name}: the program of {_count(ran.kernels, 'kernel')} {ran.sentence}")
    return _Looked(sentences, [*looked.findings, *ran.findings], sound)


def _is_sound(capsule: Capsule, way: Trace, evaluator: Evaluator) -> bool:
    """Whether the results of the graph that runs are finite; where a watched run stopped, all that it computes."""
    stopped = capsule.failure is not None and capsule.failure.type == "DivergenceError"
    graph = way.unfused if stopped else way.graph
    looked = range(len(graph)) if stopped else graph.roots
    values = [evaluator.value(graph.expressions[i]) for i in looked]
    return all(not isinstance(value, Failed) and finite(value) for value in values)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


# What the capsule holds


def leaves_of(file: str, capsule: Capsule, notes: list[str]) -> dict[str, Array]:
    """The leaves by name: what the capsule holds, or stand-ins. Raises CapsuleError where they do not fit."""
    _check_shapes(file, capsule)
    _check_memory(file, capsule)
    missing = [h for h in (*capsule.feeds, *capsule.variables) if h.array is None]
    if missing:
        names = ", ".join(map(repr, [h.name for h in missing[:6]])) + (
            " and others" if len(missing) > 6 else ""
        )
        notes.append(
            f"note: the capsule does not hold {names} ({missing[0].missing}): numbers of like statistics stand in"
        )
    rng = np.random.default_rng(abs(capsule.seed))
    return {
        h.name: stand_in(h, rng) if h.array is None else h.array for h in (*capsule.feeds, *capsule.variables)
    }


def _check_shapes(file: str, capsule: Capsule) -> None:
    graph = capsule.graph
    nodes = {**graph.placeholders, **graph.variables}
    sizes, owners = dict(capsule.sizes), dict.fromkeys(capsule.sizes, "sizes")
    lacking = sorted(graph.names - sizes.keys())
    if lacking:
        raise CapsuleError(f"{file} is damaged: it does not say the size {lacking[0]}")
    for one in (*capsule.feeds, *capsule.variables):
        node = nodes.get(one.name)  # what only bound a size is not in the graph
        if node is None:
            continue
        try:
            bind_shape(one.name, node.type, one.shape, sizes, owners)
        except SymgraphError as error:
            raise CapsuleError(f"{file} is damaged: {error.message}") from None
        if node.type.dtype.name != one.dtype:
            raise CapsuleError(
                f"{file} is damaged: {one.name!r} is {one.dtype}, and {node.type} was declared"
            )


def _check_memory(file: str, capsule: Capsule) -> None:
    """A graph of a few bytes may ask for any number of them: every value is kept while a run is looked through."""
    try:
        size = sum_dimensions(node_bytes(node.type) for node in capsule.graph.nodes)
        needed = evaluate_dimension(size, capsule.sizes)
    except SymgraphError as error:
        raise CapsuleError(f"{file} is damaged: {error.message}") from None
    if needed > _memory():
        raise CapsuleError(
            f"{file} needs {needed} bytes for the values of its graph, more than this machine has",
            hint="Replay it on a machine with more memory, or make a capsule of a smaller batch.",
        )


def _memory() -> float:
    """The bytes of memory of this machine; infinite where it does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return float("inf")


def stand_in(held: Held, rng: np.random.Generator) -> Array:
    """Numbers between the smallest and the largest that an array had, with as many that are not finite or zero.

    >>> from symgraph.inspect.capsules.capsule import held as hold
    >>> made = stand_in(hold("x", np.array([2.0, np.nan, 0.0]), data=False), np.random.default_rng(0))
    >>> int(np.isnan(made).sum()), int((made == 0).sum()), made.shape
    (1, 1, (3,))
    """
    told, dtype = held.statistics, np.dtype(held.dtype)
    count = int(np.prod(held.shape, dtype=np.int64))
    low, high = (told.get(name) or 0 for name in ("min", "max"))
    if dtype.kind == "b":
        return rng.integers(int(low), int(high), count, endpoint=True).astype(bool).reshape(held.shape)
    if dtype.kind == "i":
        return rng.integers(int(low), int(high), count, dtype, endpoint=True).reshape(held.shape)
    middle, spread = (told.get(name) or 0.0 for name in ("mean", "deviation"))
    with np.errstate(all="ignore"):
        flat = np.clip(rng.normal(middle, spread, count), low, high).astype(dtype)
    places = rng.permutation(count)
    start = 0
    for name, value in (("nan", np.nan), ("posinf", np.inf), ("neginf", -np.inf), ("zeros", 0.0)):
        end = start + int(told[name])
        flat[places[start:end]] = value
        start = end
    return flat.reshape(held.shape)
