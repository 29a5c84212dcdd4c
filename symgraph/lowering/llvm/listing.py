"""Which lines of a step's text, and of its assembly, belong to which nodes.

    kernels : calls -> op names -> IR -> assembly -> KernelCode of each node

What is looked for stands at the start of a line as only our own code is written there: what a user named is in
comments alone, which start with a semicolon, hold one line each, and do not reach the assembly.
"""

import re
from collections.abc import Iterator, Sequence

from symgraph.lowering.llvm.buffers import Call
from symgraph.lowering.program import KernelCode, Section

_FUNCTION = re.compile(r"define internal void @(kernel\d+)\(")
_CALL = re.compile(
    r"  call void @(?:each\(ptr @)?(kernel\d+)(?:\(|, )ptr %table, ptr @args(\d+), "
    r"|  %wrong\d+ = call i1 @(outside)\(ptr %table, i64 (\d+)\)"
)
_LABEL = re.compile(r'_?"?(kernel\d+)"?:')
_CHECK = 6  # lines after a call that see whether it failed
# What comes after a function: LLVM's label for its end, or else the next function.
_END = re.compile(r"\.?Lfunc_end\d+:|\s+\.(?:cfi|seh)_endproc|_?(?:(?:kernel|part)\d+|each|outside|step):")


def kernels(calls: Sequence[Call], ir: str, assembly: str) -> tuple[KernelCode, ...]:
    """The code of every node that calls compute, in the order of the first call."""
    functions = {name: Section("source", first, last, f"@{name}") for name, first, last in _functions(ir)}
    machine = {name: Section("assembly", first, last, name) for name, first, last in _labels(assembly)}
    called = {number: Section("source", first, last, f"@{name}") for number, name, first, last in _calls(ir)}
    found: dict[int, list[Section]] = {}
    for number, call in enumerate(calls):
        sections = found.setdefault(call.node, [])
        name = f"kernel{call.kernel}"
        if call.kernel is not None:
            sections.append(functions[name])
            if name in machine:
                sections.append(machine[name])
        sections.append(called[number])
    return tuple(
        KernelCode(
            node,
            ", ".join(dict.fromkeys(s.name for s in sections if s.listing == "source")),
            tuple(dict.fromkeys(sections)),
        )
        for node, sections in found.items()
    )


def _functions(ir: str) -> Iterator[tuple[str, int, int]]:
    """Each kernel's name, and its lines with the comments above it."""
    first, name = 0, ""
    for number, line in enumerate(ir.split("\n"), 1):
        found = _FUNCTION.match(line)
        if found is not None:
            name = found[1]
            first = first or number
        elif line == "}" and name:
            yield name, first, number
            first, name = 0, ""
        elif not name:
            first = (first or number) if line.startswith(";") else 0


def _calls(ir: str) -> Iterator[tuple[int, str, int, int]]:
    """Each call's number and the function it calls, and its lines from the comment to the label that it goes on at."""
    lines = ir.split("\n")
    above = 0
    for number, line in enumerate(lines, 1):
        found = _CALL.match(line)
        if found is not None:
            call = int(found[2] or found[4])
            after, label = lines[number : number + _CHECK], f"go{call}:"
            last = number + 1 + after.index(label) if label in after else number
            yield call, found[1] or found[3], above or number, last
        above = (above or number) if line.startswith("  ;") else 0


def _labels(assembly: str) -> Iterator[tuple[str, int, int]]:
    """Each kernel's name, and its lines from its label to the end of the function."""
    first, name = 0, ""
    for number, line in enumerate(assembly.split("\n"), 1):
        if name and _END.match(line):
            yield name, first, number - 1
            name = ""
        found = _LABEL.match(line)
        if found is not None:
            first, name = number, found[1]
