"""Einstein summation, lowered to transposes, reshapes, sums, products and matrix products.

    subscripts ::= operand ("," operand)* ["->" operand]
    operand    ::= letter* ["..." letter*]

    parse    : str -> labels of each operand, labels of the result
    canonical: Term -> Term     diagonals taken, axes that broadcast dropped
    summed   : Term -> Term     without what occurs in no other operand
    contract : Term* -> Term    the cheapest pair first (greedy), until one is left

A label is a letter, or `...N` for the N-th axis from the right under an ellipsis.
"""

import itertools
import string
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

import attrs

from symgraph import ops
from symgraph.errors import GraphError, ShapeError, SymgraphError
from symgraph.expr import Expr, Operand, describe, operands
from symgraph.ops.base import require_kind
from symgraph.ops.linalg import MatMul
from symgraph.types import Dimension, dimension_names, evaluate_dimension, product

Labels = tuple[str, ...]
_LETTERS = frozenset(string.ascii_letters)
_NOMINAL = 64  # what a named size counts for when costs are compared
_MANY = 24  # operands, beyond which only pairs with the first are compared


@attrs.frozen
class Term:
    """An operand, with one label for each of its axes."""

    expr: Expr
    labels: Labels


def einsum(subscripts: str, *tensors: Operand) -> Expr:
    """The sum of products that `subscripts` says, by NumPy's rules.

    Each operand of `subscripts` has one letter for each axis; a letter that is not in the result, after `->`,
    is summed over, and one that an operand has twice takes the diagonal. `...` stands for any further axes,
    which broadcast. Without `->` the result has the axes of the ellipsis, then the letters that occur once in
    alphabetical order. Axes of size 1 broadcast. The operands promote to one dtype. Pairs are multiplied in a
    greedy order, cheapest first.

    Raises GraphError when the text does not parse or names other operands than are given, ShapeError when
    axes do not fit, DTypeError for bools.

    >>> from symgraph.expr import placeholder
    >>> einsum("bij,bjk->bik", placeholder("x", ("n", 2, 3)), placeholder("y", ("n", 3, 4)))
    <matmul: f32[n,2,4]>
    >>> einsum("ii", placeholder("x", (3, 3))).type
    TensorType('f32[]')
    """
    if not tensors:
        raise GraphError("einsum: there is no operand", hint='Write such as einsum("ij,jk->ik", x, y).')
    if isinstance(subscripts, Expr):
        raise GraphError(
            "einsum: the subscripts come first, and this is an expression",
            hint="Write einsum('ij,jk->ik', x, y).",
        )
    if not tensors:
        raise GraphError("einsum: there are no operands", hint="Write einsum('ij,jk->ik', x, y).")
    exprs = operands(*tensors)
    try:
        for e in exprs:
            require_kind("einsum", "fi", e.type)
        inputs, output = parse(subscripts, [e.rank for e in exprs])
        sizes = _sizes(exprs, inputs)
    except SymgraphError as error:
        error.details = error.details or tuple(map(describe, exprs))
        raise
    terms = [_canonical(Term(e, labels), sizes) for e, labels in zip(exprs, inputs, strict=True)]
    uses = Counter(itertools.chain(output, *(term.labels for term in terms)))
    terms = [_summed(term, {label for label in term.labels if uses[label] == 1}) for term in terms]
    return _arranged(_contract(terms, output, sizes), output)


def parse(subscripts: str, ranks: Sequence[int]) -> tuple[tuple[Labels, ...], Labels]:
    """The labels of each operand and of the result, for operands of these ranks.

    >>> parse("...ij,jk", (3, 2))
    ((('...0', 'i', 'j'), ('j', 'k')), ('...0', 'i', 'k'))
    """
    if not isinstance(subscripts, str):
        raise GraphError(f"einsum: the subscripts are text, and {subscripts!r} is none")
    left, arrow, right = subscripts.replace(" ", "").partition("->")
    parts = left.split(",")
    if len(parts) != len(ranks):
        raise GraphError(
            f"einsum: the subscripts have {len(parts)} operands, and {len(ranks)} are given",
            hint="Between commas stands one operand each: einsum('ij,jk->ik', x, y).",
        )
    inputs = tuple(_operand(part, rank) for part, rank in zip(parts, ranks, strict=True))
    counts = Counter(itertools.chain.from_iterable(inputs))
    # Labels of an ellipsis are counted from the right: the longest ellipsis has all of them.
    dots = sorted((label for label in counts if label not in _LETTERS), key=_place, reverse=True)
    if not arrow:
        return inputs, (*dots, *sorted(label for label in _LETTERS if counts[label] == 1))
    return inputs, _result(right, tuple(dots), counts)


def _place(label: str) -> int:
    return int(label.removeprefix("..."))


def _operand(part: str, rank: int) -> Labels:
    head, dots, tail = _split(part)
    extra = rank - len(head) - len(tail)
    if extra < 0 or (extra > 0 and not dots):
        named = f"{len(head) + len(tail)} or more" if dots else f"{len(head)}"
        raise ShapeError(
            f"einsum: {part!r} stands for {named} axes, and its operand has {rank}",
            hint="One letter stands for one axis, and ... for any number.",
        )
    return (*head, *(f"...{i}" for i in reversed(range(extra))), *tail)


def _result(part: str, dots: Labels, counts: Mapping[str, int]) -> Labels:
    head, ellipsis, tail = _split(part)
    if dots and not ellipsis:
        raise ShapeError(
            f"einsum: the ellipsis stands for {len(dots)} axes, and the result {part!r} has none",
            hint='Write ... after "->" too, or sum over these axes first.',
        )
    for letter in (*head, *tail):
        if letter not in counts:
            raise GraphError(f"einsum: {letter!r} is in the result and in no operand")
    if len(set(head + tail)) != len(head + tail):
        raise GraphError(f"einsum: a letter is repeated in the result {part!r}")
    return (*head, *dots, *tail)


def _split(part: str) -> tuple[str, str, str]:
    """The letters before and after the ellipsis, if there is one."""
    head, dots, tail = part.partition("...")
    for character in head + tail:
        if character not in _LETTERS:
            raise GraphError(
                f"einsum: {character!r} does not belong into subscripts",
                hint='They are letters, "," between operands, "..." once in each, "->" before the result.',
            )
    return head, dots, tail


def _sizes(exprs: Iterable[Expr], inputs: Iterable[Labels]) -> dict[str, Dimension]:
    """The size of each label; raises ShapeError where two differ: sizes of 1 broadcast, but on a diagonal."""
    sizes: dict[str, Dimension] = {}
    for e, labels in zip(exprs, inputs, strict=True):
        own: dict[str, Dimension] = {}
        for label, size in zip(labels, e.shape, strict=True):
            known = sizes.get(label, 1)
            if own.setdefault(label, size) != size or (known != 1 and size not in (1, known)):
                what = "an axis of the ellipsis" if label.startswith(".") else repr(label)
                other = own[label] if own[label] != size else known
                raise ShapeError(
                    f"einsum: {what} is {other} and {size}",
                    hint="Axes of one letter have one size; between operands, 1 broadcasts.",
                )
            sizes[label] = size if known == 1 else known
    return sizes


def _canonical(term: Term, sizes: Mapping[str, Dimension]) -> Term:
    """The term with each label once, and without axes that only broadcast."""
    for label in [label for label, count in Counter(term.labels).items() if count > 1]:
        term = _diagonal(term, label)
    narrow = [i for i, label in enumerate(term.labels) if term.expr.shape[i] == 1 and sizes[label] != 1]
    if narrow:
        term = Term(ops.squeeze(term.expr, narrow), _drop(term.labels, narrow))
    return term


def _drop(labels: Labels, positions: Collection[int]) -> Labels:
    return tuple(label for i, label in enumerate(labels) if i not in positions)


def _summed(term: Term, over: Collection[str]) -> Term:
    axes = tuple(i for i, label in enumerate(term.labels) if label in over)
    return Term(ops.sum(term.expr, axes), _drop(term.labels, axes)) if axes else term


def _diagonal(term: Term, label: str) -> Term:
    """The term where the axes of `label` are one: what is off the diagonal is masked, then summed away."""
    first, *others = (i for i, own in enumerate(term.labels) if own == label)
    e, index = term.expr, ops.arange(term.expr.shape[first])
    for axis in others:
        on = ops.equal(_along(index, first, e.rank), _along(index, axis, e.rank))
        e = ops.sum(ops.where(on, e, 0), axis, keepdims=True)
    return Term(ops.squeeze(e, tuple(others)), _drop(term.labels, others))


def _along(line: Expr, axis: int, rank: int) -> Expr:
    return ops.reshape(line, tuple(line.shape[0] if i == axis else 1 for i in range(rank)))


def _contract(terms: Sequence[Term], output: Labels, sizes: Mapping[str, Dimension]) -> Term:
    left = list(terms)
    numbers = {label: _nominal(size) for label, size in sizes.items()}
    while len(left) > 1:
        i, j = _cheapest(left, output, numbers)
        a, b = left[i], left[j]
        left = [term for k, term in enumerate(left) if k not in (i, j)]
        left.append(_pair(a, b, _needed(left, output), output))
    return left[0]


def _nominal(size: Dimension) -> int:
    return max(1, evaluate_dimension(size, dict.fromkeys(dimension_names(size), _NOMINAL)))


def _needed(rest: Iterable[Term], output: Labels) -> frozenset[str]:
    return frozenset(output).union(*(term.labels for term in rest))


def _cheapest(terms: Sequence[Term], output: Labels, numbers: Mapping[str, int]) -> tuple[int, int]:
    """The pair whose product adds least to what is held in memory, of equals that with the fewest flops."""
    if len(terms) == 2:
        return 0, 1
    uses = Counter(itertools.chain(output, *(term.labels for term in terms)))

    def cost(pair: tuple[int, int]) -> tuple[int, int]:
        a, b = (set(terms[i].labels) for i in pair)
        kept = {label for label in a | b if uses[label] > (label in a) + (label in b)}
        made, first, second, work = (_elements(labels, numbers) for labels in (kept, a, b, a | b))
        return made - first - second, work

    last = len(terms) if len(terms) <= _MANY else 1
    return min(((i, j) for i in range(last) for j in range(i + 1, len(terms))), key=cost)


def _elements(labels: Iterable[str], numbers: Mapping[str, int]) -> int:
    count = 1
    for label in labels:
        count *= numbers[label]
    return count


def _pair(a: Term, b: Term, needed: Collection[str], output: Labels) -> Term:
    """The product of two terms, summed over the labels that both have and that are not needed further."""
    shared = [label for label in a.labels if label in b.labels]
    summed = tuple(label for label in shared if label not in needed)
    batch = tuple(label for label in shared if label in needed)
    rows = tuple(label for label in a.labels if label not in shared)
    columns = tuple(label for label in b.labels if label not in shared)
    if not summed or (batch and not rows and not columns):
        return _summed(_multiplied(a, b, output), summed)
    if (*batch, *rows, *columns) != output == (*batch, *columns, *rows):
        a, b, rows, columns = b, a, columns, rows
    return _multiplied_matrices(a, b, batch, rows, summed, columns)


def _multiplied(a: Term, b: Term, output: Labels) -> Term:
    """The product element by element, in the order of the result where it has the same axes."""
    if len(a.labels) < len(b.labels):
        a, b = b, a
    order = (*a.labels, *(label for label in b.labels if label not in a.labels))
    order = output if set(output) == set(order) else order
    return Term(_spread(a, order) * _spread(b, order), order)


def _spread(term: Term, order: Labels) -> Expr:
    """The term with its axes where they are in `order`, and 1 for the others."""
    e = _arranged(term, tuple(label for label in order if label in term.labels))
    if len(term.labels) == len(order):
        return e
    sizes = iter(e.shape)
    return ops.reshape(e, tuple(next(sizes) if label in term.labels else 1 for label in order))


def _multiplied_matrices(
    a: Term, b: Term, batch: Labels, rows: Labels, summed: Labels, columns: Labels
) -> Term:
    """The product as matrices `[rows, summed] @ [summed, columns]`, one for each of the batch."""
    x, flip_x = _matrix(a, batch, rows, summed)
    y, flip_y = _matrix(b, batch, summed, columns)
    out = ops.apply(MatMul(flip_x, flip_y), x, y)
    sizes = dict(zip(a.labels + b.labels, a.expr.shape + b.expr.shape, strict=True))
    labels = (*batch, *rows, *columns)
    shape = tuple(sizes[label] for label in labels)
    return Term(out if out.shape == shape else ops.reshape(out, shape), labels)


def _matrix(term: Term, batch: Labels, rows: Labels, columns: Labels) -> tuple[Expr, bool]:
    """The term as matrices, and whether they are to be read transposed: a flag costs less than a copy."""
    flip = term.labels != (*batch, *rows, *columns) and term.labels == (*batch, *columns, *rows)
    groups = (columns, rows) if flip else (rows, columns)
    e = _arranged(term, (*batch, *groups[0], *groups[1]))
    sizes = e.shape[len(batch) :]
    cut = len(groups[0])
    shape = (*e.shape[: len(batch)], product(sizes[:cut]), product(sizes[cut:]))
    return (e if shape == e.shape else ops.reshape(e, shape)), flip


def _arranged(term: Term, order: Labels) -> Expr:
    if term.labels == order:
        return term.expr
    return ops.transpose(term.expr, tuple(term.labels.index(label) for label in order))
