"""Which nodes of two graphs are the same: a one-to-one matching, found in a few passes that are linear in the nodes.

match : Graph -> Graph -> {id in the first: id in the second}

Leaves are matched by name, and what is the same op of matched operands bottom up: equal sub-graphs, whatever their
numbers. What an insertion or a changed leaf parts is then joined from three sides: by an operand that one node of each
graph alone takes in its place (a layer by its weights), from the outputs and updates of the same name down, pairwise,
and bottom up again from what was joined.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

import attrs

from symgraph.ir import Constant, Graph, Node, Op, Placeholder, Variable, leaf_name

_ROUNDS = 6
_AHEAD = 32  # nodes that are looked at behind two that differ, for one that was put between


def match(a: Graph, b: Graph) -> dict[int, int]:
    """The ids of the nodes in `b` that those of `a` are now, as far as they are; in the order of `a`.

    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> x = placeholder("x", (2,))
    >>> match(define(y=-(x * 2.0)), define(y=-abs(x * 2.0)))
    {0: 0, 1: 1, 2: 2, 3: 4}
    """
    made = _Matching.of(a, b)
    _leaves(made)
    # What a forward pass became first: the gradient, further down, is then found by what it reads of that.
    last = min((x for x, y in _roots(a, b) if made.free(x, y)), default=len(a))
    for _ in range(_ROUNDS):
        before = made.count
        _up(made)
        _by_operand(made)
        _up(made)
        _down(made, last)
        if made.count == before and last == len(a):
            break
        last = len(a)
    return {x: y for x, y in enumerate(made.ours) if y is not None}


@attrs.define
class _Matching:
    """What is known so far: `ours` maps ids of `a` to ids of `b`, `theirs` back."""

    a: Graph
    b: Graph
    ours: list[int | None]
    theirs: list[int | None]
    equal: Mapping[Hashable, int]  # the node of `a` that is an op of operands
    alike: tuple[
        Mapping[Hashable, list[int]], Mapping[Hashable, list[int]]
    ]  # those of a kind of op of operands
    fixed: tuple[Sequence[bool], Sequence[bool]]  # whether no leaf with a name is below
    count: int = 0

    @classmethod
    def of(cls, a: Graph, b: Graph) -> "_Matching":
        equal: dict[Hashable, int] = {(node.op, node.inputs): node.id for node in a.nodes}
        return cls(
            a, b, [None] * len(a), [None] * len(b), equal, (_alike(a), _alike(b)), (_fixed(a), _fixed(b))
        )

    def join(self, x: int, y: int) -> None:
        self.ours[x], self.theirs[y] = y, x
        self.count += 1

    def free(self, x: int, y: int) -> bool:
        return self.ours[x] is None and self.theirs[y] is None


def _leaves(made: _Matching) -> None:
    for kind in ("placeholders", "variables"):
        theirs = getattr(made.b, kind)
        for name, node in getattr(made.a, kind).items():
            if name in theirs:
                made.join(node.id, theirs[name].id)


def _up(made: _Matching) -> None:
    """The same op of matched operands; then the same kind of op, where it is one alone on each side."""
    for node in made.b.nodes:
        if made.theirs[node.id] is not None:
            continue
        inputs = tuple([made.theirs[i] for i in node.inputs])
        if None in inputs:
            continue
        x = made.equal.get((node.op, inputs))
        if x is None and inputs:
            there = [i for i in made.alike[0].get((type(node.op), inputs), ()) if made.ours[i] is None]
            here = [i for i in made.alike[1][type(node.op), node.inputs] if made.theirs[i] is None]
            x = there[0] if len(there) == len(here) == 1 else None
        if x is not None and made.ours[x] is None:
            made.join(x, node.id)


def _alike(graph: Graph) -> Mapping[Hashable, list[int]]:
    found: dict[Hashable, list[int]] = defaultdict(list)
    for node in graph.nodes:
        found[type(node.op), node.inputs].append(node.id)
    return found


def _by_operand(made: _Matching) -> None:
    """Nodes that alone of the free ones, on each side, apply their op to a matched operand in that place.

    Operands that no leaf with a name is below are numbers such as 1.0, and tell nothing. A node that has two such
    operands may be told to be two others: then it is the one that more of them say, if there is one.
    """
    told = [
        _places(made.a, made.ours, made.ours, made.fixed[0]),
        _places(made.b, made.theirs, range(len(made.b)), made.fixed[1]),
    ]
    votes = Counter((told[0][key], told[1][key]) for key in told[0].keys() & told[1].keys())
    best: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for side in (0, 1):
        options: dict[int, Counter[int]] = defaultdict(Counter)
        for pair, number in votes.items():
            options[pair[side]][pair[1 - side]] += number
        for i, counted in options.items():
            ranked = counted.most_common(2)
            if len(ranked) == 1 or ranked[0][1] > ranked[1][1]:
                best[side][i] = ranked[0][0]
    for x, y in best[0].items():
        if best[1].get(y) == x and made.free(x, y):
            made.join(x, y)


def _places(
    graph: Graph, taken: Sequence[int | None], names: Sequence[int | None], fixed: Sequence[bool]
) -> dict[tuple[Hashable, ...], int]:
    """The free nodes by (op, place, matched operand as `b` knows it), where that is said of one node alone."""
    found: dict[tuple[Hashable, ...], int | None] = {}
    for node in graph.nodes:
        if taken[node.id] is not None:
            continue
        for place, i in enumerate(node.inputs):
            if taken[i] is not None and not fixed[i]:
                key = (node.op, place, names[i])
                found[key] = None if key in found else node.id
    return {key: i for key, i in found.items() if i is not None}


def _fixed(graph: Graph) -> list[bool]:
    fixed: list[bool] = []
    for node in graph.nodes:
        fixed.append(leaf_name(node.op) is None and all(fixed[i] for i in node.inputs))
    return fixed


def _down(made: _Matching, last: int) -> None:
    """From the outputs and updates of one name, and from all that is matched, to the operands, pairwise: for the nodes
    of `a` up to `last`.
    """
    queue = deque((x, y) for x, y in _roots(made.a, made.b) if x <= last)
    pairs = [(x, y) for x, y in enumerate(made.ours[: last + 1]) if y is not None]
    for x, y in reversed(pairs):
        queue.extend(_operands(made, x, y))
    replaced: set[tuple[int, int]] = set()
    while queue:
        x, y = queue.popleft()
        if not made.free(x, y):
            continue
        pair = (x, y) if _fits(made, x, y) else _behind(made, x, y)
        if pair is not None:
            made.join(*pair)
            queue.extend(_operands(made, *pair))
        elif (0, x) not in replaced and (1, y) not in replaced:  # one op in the place of another
            replaced |= {(0, x), (1, y)}
            queue.extend(zip(made.a.nodes[x].inputs, made.b.nodes[y].inputs, strict=False))


def _roots(a: Graph, b: Graph) -> Iterator[tuple[int, int]]:
    """The nodes under one name; and of each kind, or group of updates, the one that is left over on both sides."""
    ours, theirs = (dict(roots(graph)) for graph in (a, b))
    yield from ((ours[name], theirs[name]) for name in sorted(ours.keys() & theirs.keys()))
    left = [_left_over(one, other) for one, other in ((ours, theirs), (theirs, ours))]
    for group in sorted(left[0].keys() & left[1].keys()):
        if len(left[0][group]) == len(left[1][group]) == 1:
            (x, v), (y, u) = left[0][group][0], left[1][group][0]
            yield x, y
            if v and u:  # a variable by another name
                yield a.variables[v].id, b.variables[u].id


def _left_over(
    ours: Mapping[tuple[str, str, str], int], theirs: Mapping[tuple[str, str, str], int]
) -> Mapping[tuple[str, str], list[tuple[int, str]]]:
    found: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
    for (kind, name, variable), i in ours.items():
        if (kind, name, variable) not in theirs:
            found[kind, name if variable else ""].append((i, variable))
    return found


def roots(graph: Graph) -> Iterator[tuple[tuple[str, str, str], int]]:
    """The outputs and the next values of variables by name: what keeps a graph alive, variables themselves apart."""
    for name, i in graph.outputs:
        yield ("output", name, ""), i
    for group, pairs in graph.updates:
        for name, i in pairs:
            yield ("update", group, name), i


def _operands(made: _Matching, x: int, y: int) -> Iterable[tuple[int, int]]:
    """The operands of a matched pair that face each other: in order, or crosswise where that is what fits."""
    ours, theirs = made.a.nodes[x].inputs, made.b.nodes[y].inputs
    op = made.a.nodes[x].op
    if op.commutative and len(ours) == len(theirs) == 2:
        crossed = theirs[::-1]
        if _agree(made, ours, crossed) > _agree(made, ours, theirs):
            theirs = crossed
    if len(ours) != len(
        theirs
    ):  # such as more things to concatenate: what stands before and after what is new
        ours, theirs = _without_ends(made, ours, theirs)
    return zip(ours, theirs, strict=False)


def _agree(made: _Matching, ours: Sequence[int], theirs: Sequence[int]) -> int:
    return sum(
        made.ours[i] == j or (made.free(i, j) and type(made.a.nodes[i].op) is type(made.b.nodes[j].op))
        for i, j in zip(ours, theirs, strict=True)
    )


def _without_ends(
    made: _Matching, ours: tuple[int, ...], theirs: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two lists of operands from where they first differ; from the end, where they differ at once."""
    k = 0
    while k < min(len(ours), len(theirs)) and made.ours[ours[k]] == theirs[k]:
        k += 1
    return (ours[k:], theirs[k:]) if k else (ours[::-1], theirs[::-1])


def _fits(made: _Matching, x: int, y: int) -> bool:
    """Whether a free node can be what another now is, with other attributes or operands."""
    ours, theirs = made.a.nodes[x], made.b.nodes[y]
    if type(ours.op) is not type(theirs.op):
        return False
    if isinstance(ours.op, Constant):
        return ours.type.dtype == theirs.type.dtype
    return not isinstance(ours.op, Placeholder | Variable) or ours.type == theirs.type


def _behind(made: _Matching, x: int, y: int) -> tuple[int, int] | None:
    """Where two nodes differ one may be new, and what the other is stands behind it: the nearest such pair."""
    further = _nearest(made.b, y, made.theirs, made.a.nodes[x])
    nearer = _nearest(made.a, x, made.ours, made.b.nodes[y])
    if further is not None and (nearer is None or further[0] <= nearer[0]):
        return x, further[1]
    return None if nearer is None else (nearer[1], y)


def _nearest(graph: Graph, start: int, taken: Sequence[int | None], wanted: Node) -> tuple[int, int] | None:
    """How many nodes on there is a free one of the wanted op, and its id."""
    seen, queue = {start}, deque([start])
    while queue and len(seen) <= _AHEAD:
        for i in graph.nodes[queue.popleft()].inputs:
            if i in seen or taken[i] is not None:
                continue
            if _same_op(graph.nodes[i], wanted):
                return len(seen), i
            seen.add(i)
            queue.append(i)
    return None


def _same_op(node: Node, wanted: Node) -> bool:
    op: Op = node.op
    return bool(node.inputs) and op == wanted.op and node.type == wanted.type
