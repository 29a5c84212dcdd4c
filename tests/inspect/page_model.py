"""Hand-made models of the explorer's page (src/model.ts): a small one with every section, and large ones."""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

HOSTILE = "<img src=x onerror=alert(1)>"
HOSTILE_SCOPE = "</script><script>alert(2)</script>"
HOSTILE_FILE = '"><b onmouseover=alert(3)>.py'

Graph = dict[str, Any]


@attrs.frozen
class Tables:
    """What graphs share: interned strings and origins."""

    strings: list[str] = attrs.field(factory=list)
    origins: list[dict[str, Any]] = attrs.field(factory=list)

    def string(self, text: str) -> int:
        if text not in self.strings:
            self.strings.append(text)
        return self.strings.index(text)

    def origin(
        self,
        sources: Sequence[tuple[int, int, int, int]],
        scope: Sequence[str] = (),
        rules: Sequence[str] = (),
        of: Sequence[int] = (),
    ) -> int:
        record = {
            "sources": [list(s) for s in sources],
            "scope": list(scope),
            "rules": list(rules),
            "of": list(of),
        }
        if record not in self.origins:
            self.origins.append(record)
        return self.origins.index(record)


# A node: op, label, type, inputs, origin, kind, part.
Row = tuple[str, str, str, Sequence[int], int, str, str]


def graph(
    tables: Tables,
    title: str,
    rows: Sequence[Row],
    outputs: Sequence[tuple[str, int]],
    updates: Sequence[tuple[str, Sequence[tuple[str, int]]]] = (),
    flops: str = "4096",
    size: str = "2048",
) -> Graph:
    return {
        "title": title,
        "op": [tables.string(row[0]) for row in rows],
        "label": [tables.string(row[1]) for row in rows],
        "text": [tables.string(" ".join([row[0], *(f"%{i}" for i in row[3])])) for row in rows],
        "type": [tables.string(row[2]) for row in rows],
        "inputs": [list(row[3]) for row in rows],
        "origin": [row[4] for row in rows],
        "kind": [row[5] for row in rows],
        "part": [row[6] for row in rows],
        "outputs": [list(pair) for pair in outputs],
        "updates": [[name, [list(pair) for pair in pairs]] for name, pairs in updates],
        "flops": flops,
        "bytes": size,
    }


def small() -> dict[str, Any]:
    """A dense layer with its loss, gradient and an update, with names that a page must not take for HTML."""
    t = Tables()
    x = t.origin([(0, 10, 4, 40)])
    w = t.origin([(0, 11, 4, 44)], ["layer", HOSTILE_SCOPE])
    dense = t.origin([(0, 12, 8, 13)], ["layer", HOSTILE_SCOPE])
    act = t.origin([(0, 13, 8, 16)], ["layer"])
    two = t.origin([(0, 14, 20, 23)], ["loss"])
    loss = t.origin([(0, 14, 11, 24), (1, 3, 0, 9)], ["loss"])
    forward: list[Row] = [
        ("placeholder", f"placeholder {HOSTILE}", "f32[batch,4]", (), x, "placeholder", "forward"),
        ("variable", "variable w", "f32[4,3]", (), w, "variable", "forward"),
        ("matmul", "matmul", "f32[batch,3]", (0, 1), dense, "op", "forward"),
        ("relu", "relu", "f32[batch,3]", (2,), act, "op", "forward"),
        ("constant", "2.0", "f32", (), two, "constant", "forward"),
        ("power", "power", "f32[batch,3]", (3, 4), loss, "op", "forward"),
        ("mean", "mean", "f32", (5,), loss, "op", "forward"),
    ]
    backward: list[Row] = [
        (
            "constant",
            "1.0",
            "f32",
            (),
            t.origin([(0, 16, 7, 30)], ["loss"], ["seed"], [6]),
            "constant",
            "gradient",
        ),
        (
            "broadcast_to",
            "broadcast_to",
            "f32[batch,3]",
            (7,),
            _vjp(t, loss, "vjp mean", [6]),
            "gradient",
            "gradient",
        ),
        (
            "multiply",
            "multiply",
            "f32[batch,3]",
            (8, 3),
            _vjp(t, loss, "vjp power", [5]),
            "gradient",
            "gradient",
        ),
        ("greater", "greater", "bool[batch,3]", (2,), _vjp(t, act, "vjp relu", [3]), "gradient", "gradient"),
        ("where", "where", "f32[batch,3]", (10, 9), _vjp(t, act, "vjp relu", [3]), "gradient", "gradient"),
        (
            "transpose",
            "transpose",
            "f32[4,batch]",
            (0,),
            _vjp(t, dense, "vjp matmul", [2]),
            "gradient",
            "gradient",
        ),
        ("matmul", "matmul", "f32[4,3]", (12, 11), _vjp(t, dense, "vjp matmul", [2]), "gradient", "gradient"),
    ]
    step = t.origin([(0, 16, 7, 30)])
    update: list[Row] = [
        ("constant", "0.1", "f32", (), step, "constant", "update"),
        ("multiply", "multiply", "f32[4,3]", (13, 14), step, "update", "update"),
        ("subtract", "subtract", "f32[4,3]", (1, 15), step, "update", "update"),
    ]
    declared = graph(t, "declared", forward, [("loss", 6)])
    train = ("train", [("w", 16)])
    gradient = graph(t, "gradient", [*forward, *backward, *update], [("loss", 6)], [train])
    squared = t.origin([(0, 14, 11, 24), (1, 3, 0, 9)], ["loss"], ["power two"])
    optimised_rows = _without_two([*forward, *backward, *update], squared)
    optimised = graph(t, "optimised", optimised_rows, [("loss", 5)], [("train", [("w", 15)])], "4000", "2000")
    fused_rows: list[Row] = [
        *optimised_rows[:3],
        ("fused", "kernel of 3", "f32", (2,), squared, "rewritten", "forward"),
        ("fused", "kernel of 4", "f32[batch,3]", (2,), squared, "rewritten", "gradient"),
        ("matmul", "matmul", "f32[4,3]", (0, 4), _vjp(t, dense, "vjp matmul", [2]), "gradient", "gradient"),
        ("fused", "kernel of 2", "f32[4,3]", (1, 5), step, "rewritten", "update"),
    ]
    fused = graph(t, "fused", fused_rows, [("loss", 3)], [("train", [("w", 6)])], "4000", "1500")
    graphs = [declared, gradient, optimised, fused]
    return {
        "version": 1,
        "about": {
            "name": f"models.{HOSTILE}",
            "symgraph": "0.1.0",
            "backend": "llvm",
            "numerics": "safe",
            "sizes": [["batch", 8]],
            "free": [],
            "messages": ["No profile of the gradient alone was made: give --steps."],
        },
        "strings": t.strings,
        "files": [_file(HOSTILE_FILE), {"path": "lib/losses.py", "lines": [[3, "return power(a - b, 2.0)"]]}],
        "origins": t.origins,
        "graphs": graphs,
        "stages": [
            {"name": "declared", "about": "What was declared.", "graph": 0},
            {"name": "gradient", "about": "With its gradient and updates.", "graph": 1},
            {"name": "optimised", "about": "After all rewrites.", "graph": 2},
            {"name": "fused", "about": "What runs.", "graph": 3},
        ],
        "rewrites": _rewrites(),
        "gradient": _gradient(),
        "values": _values(graphs),
        "fusion": _fusion(),
        "memory": _memory(),
        "profile": _profile(),
        "code": _code(),
    }


def _vjp(t: Tables, origin: int, rule: str, of: list[int]) -> int:
    was = t.origins[origin]
    return t.origin([(0, 16, 7, 30), *map(tuple, was["sources"])], was["scope"], [rule], of)


def _without_two(rows: Sequence[Row], squared: int) -> list[Row]:
    """The rows without the constant 4, and the power of it as a product."""
    kept = [row for i, row in enumerate(rows) if i != 4]
    moved = [(*row[:3], tuple(i - (i > 4) for i in row[3]), *row[4:]) for row in kept]
    moved[4] = ("multiply", "multiply", "f32[batch,3]", (3, 3), squared, "rewritten", "forward")
    return moved


def _file(path: str) -> dict[str, Any]:
    lines = {
        9: "def network(batch):",
        10: "    x = placeholder('x', (batch, 4))",
        11: "    w = variable('w', glorot((4, 3)))",
        12: "    y = x @ w",
        13: "    a = relu(y)",
        14: "    return mean(power(a, 2.0))",
        15: "",
        16: "train = minimize(loss, sgd(0.1))",
    }
    return {"path": path, "lines": [[number, text] for number, text in lines.items()]}


def _rewrites() -> list[dict[str, Any]]:
    def one(
        step: int, rule: str, before: list[int], after: list[int], given: int, made: int
    ) -> dict[str, Any]:
        return {
            "step": step,
            "pass": "canonicalise" if made == 2 else "fuse",
            "rule": rule,
            "numerics": "exact" if step != 2 else "safe",
            "before": before,
            "after": after,
            "given": given,
            "made": made,
            "sources": [[0, 14]],
            "flops": "-96",
            "bytes": "-48",
            "flopsBefore": "4096",
            "flopsAfter": "4000",
            "bytesBefore": "2048",
            "bytesAfter": "2000",
        }

    return [
        one(0, "power two", [4, 5], [4], 1, 2),
        one(1, f"rule {HOSTILE}", [10], [9], 1, 2),
        one(2, "fuse elementwise", [3, 4, 5], [3], 2, 3),
        one(3, "fuse elementwise", [6, 7, 8, 9, 10], [4], 2, 3),
    ]


def _gradient() -> dict[str, Any]:
    def pair(node: int, adjoint: int | None, **more: Any) -> dict[str, Any]:
        blank = {"made": [], "rules": [], "saved": [], "reason": "", "path": [], "zero": "", "zeroPath": []}
        return {"node": node, "adjoint": adjoint, **blank, **more}

    def vjp(
        consumer: int, operand: int, rule: str, result: int | None, saved: list[int]
    ) -> list[dict[str, Any]]:
        return [{"consumer": consumer, "operand": operand, "rule": rule, "result": result, "saved": saved}]

    return {
        "graph": 1,
        "of": "loss",
        "wrt": ["w"],
        "pairs": [
            pair(
                0,
                None,
                reason="The gradient was not asked for: x is not among the variables.",
                path=[0, 2, 3, 5, 6],
            ),
            pair(1, 13, rules=vjp(2, 1, "vjp matmul", 13, [0]), path=[1, 2, 3, 5, 6]),
            pair(2, 11, made=[12, 13], rules=vjp(3, 0, "vjp relu", 11, [2]), saved=[0], path=[2, 3, 5, 6]),
            pair(
                3,
                9,
                made=[10, 11],
                rules=vjp(5, 0, "vjp power", 9, [3]),
                saved=[2],
                path=[3, 5, 6],
                zero="All of relu's inputs are negative.",
                zeroPath=[3, 5],
            ),
            pair(4, None, reason="It is a constant.", path=[4]),
            pair(5, 8, made=[9], rules=vjp(6, 0, "vjp mean", 8, []), saved=[3], path=[5, 6]),
            pair(6, 7, made=[8], path=[6]),
        ],
    }


def _statistics(k: int, shape: Sequence[int], bad: bool) -> dict[str, Any]:
    count = math.prod(shape)
    side = max(1, math.isqrt(count))
    pixels = bytes((37 * k + 11 * i) % 255 for i in range(side * side))
    return {
        "shape": list(shape),
        "dtype": "float32",
        "count": count,
        "nan": 1 if bad else 0,
        "posinf": 0,
        "neginf": 0,
        "zeros": k % 3,
        "min": repr(-1.5 - k),
        "max": repr(2.25 + k),
        "mean": repr(0.125 * k),
        "deviation": "0.9185",
        "edges": [repr(-1.5 - k + i) for i in range(5)],
        "counts": [k % 4, 3, count, 1],
        "picture": {
            "width": side,
            "height": side,
            "low": "-1.5",
            "high": "2.25",
            "pixels": base64.b64encode(pixels).decode(),
            "note": "all of it",
        }
        if len(shape) == 2
        else None,
        "sample": [repr(0.1 * i) for i in range(min(count, 8))],
    }


def _values(graphs: Sequence[Graph]) -> dict[str, Any]:
    def of(k: int, bad: int | None) -> dict[str, Any]:
        shapes = [(8, 4), (4, 3), (8, 3), (8, 3), (), (8, 3), ()]
        nodes = [_statistics(i, shapes[i % 7], i == bad) for i in range(len(graphs[k]["op"]))]
        return {"graph": k, "nodes": nodes, "first": bad}

    return {"feed": "batch.npz, with variables of seed 0", "graphs": [of(0, None), of(1, 9)]}


def _fusion() -> dict[str, Any]:
    def kernel(node: int, name: str, members: list[int]) -> dict[str, Any]:
        why = f"{name}: elementwise neighbours of one shape share one loop."
        return {"node": node, "name": name, "members": members, "why": why, "numerics": "exact"}

    return {
        "unfused": 2,
        "fused": 3,
        "kernels": [
            kernel(2, "matmul", [2]),
            kernel(3, "kernel of 3", [3, 4, 5]),
            kernel(4, "kernel of 4", [6, 7, 8, 9, 10]),
            kernel(5, "matmul", [11, 12]),
            kernel(6, "kernel of 2", [13, 14, 15]),
        ],
        "declined": [
            {
                "producer": 2,
                "consumer": 3,
                "reason": "A product of matrices is a kernel of its own on this backend.",
            },
            {"producer": 10, "consumer": 12, "reason": "A product of matrices takes whole arrays."},
            {"producer": 12, "consumer": 14, "reason": "The product's result is an array in memory."},
        ],
    }


def _memory() -> dict[str, Any]:
    def buffer(node: int, label: str, offset: int, birth: int, death: int, **more: Any) -> dict[str, Any]:
        return {
            "node": node,
            "label": label,
            "offset": offset,
            "size": 96,
            "birth": birth,
            "death": death,
            "over": None,
            "atPeak": birth <= 2 <= death,
            "expression": "12*batch",
            **more,
        }

    return {
        "peak": 192,
        "live": 192,
        "expression": "24*batch",
        "step": 2,
        "steps": 5,
        "owner": "Line 12 of the network has half of the peak: y = x @ w.",
        "buffers": [
            buffer(2, "matmul", 0, 0, 2),
            buffer(3, "kernel of 3", 96, 1, 1, size=4, expression="4"),
            buffer(4, "kernel of 4", 96, 2, 3),
            buffer(5, f"matmul {HOSTILE}", 0, 3, 4, size=48, expression="48", over=2),
        ],
        "unplanned": "The fed placeholder, the output loss and the next value of w lie outside the arena.",
    }


def _profile() -> dict[str, Any]:
    def timing(median: float) -> dict[str, float]:
        return {"median": median, "low": 0.9 * median, "high": 1.3 * median}

    def kernel(node: int, name: str, median: float, flops: int, share: float) -> dict[str, Any]:
        return {
            "node": node,
            "name": name,
            "time": timing(median),
            "share": share,
            "flops": flops,
            "bytes": 4 * flops,
            "roofline": None if node == 3 else share,
            "bound": "memory" if node % 2 else "compute",
        }

    events = [{"name": "matmul", "ph": "X", "ts": 0, "dur": 5, "pid": 1, "tid": 1}]
    return {
        "machine": "2 cores, 102 GFLOP/s float32, 11.3 GB/s",
        "steps": 20,
        "total": timing(2.5e-5),
        "kernels": [
            kernel(2, "matmul", 5e-6, 192, 0.2),
            kernel(3, "kernel of 3", 4e-6, 72, 0.16),
            kernel(4, "kernel of 4", 6e-6, 120, 0.24),
            kernel(5, "matmul", 5e-6, 192, 0.2),
            kernel(6, "kernel of 2", 2e-6, 24, 0.08),
        ],
        "other": 3e-6,
        "failed": "",
        "trace": json.dumps({"traceEvents": events}),
    }


def _code() -> dict[str, Any]:
    python = [f"# {HOSTILE}", "def step(x, w):", "    v2 = x @ w", "    v3 = kernel3(v2)", "    return v3"]
    llvm = [
        "define void @kernel3(ptr %0) {",
        "  ret void",
        "}",
        "define void @kernel4(ptr %0) {",
        "  ret void",
        "}",
    ]
    return {
        "listings": [
            {
                "language": "Python",
                "text": "\n".join(python),
                "sections": [
                    {"first": 3, "last": 3, "name": "v2", "nodes": [2]},
                    {"first": 4, "last": 4, "name": "v3", "nodes": [3]},
                ],
            },
            {
                "language": "LLVM IR",
                "text": "\n".join(llvm),
                "sections": [
                    {"first": 1, "last": 3, "name": "@kernel3", "nodes": [3]},
                    {"first": 4, "last": 6, "name": "@kernel4", "nodes": [4]},
                ],
            },
        ]
    }


def large(nodes: int, scopes: int) -> dict[str, Any]:
    """A chain of layers with skip connections: `nodes` in all, in `scopes` scopes of two levels, or in none with 0."""
    t = Tables()
    model: dict[str, Any] = small()
    ops = [t.string(name) for name in ("multiply", "add", "tanh", "matmul")]
    blank = t.string("")
    types = [t.string(f"f32[batch,{width}]") for width in (16, 64)]
    per = max(1, nodes // max(1, scopes))
    lines = [[k + 1, f"    v{k} = layer(v{k - 1})"] for k in range(400)]
    t.origins.extend(
        {
            "sources": [[0, i * 400 // nodes + 1, 4, 6]],
            "scope": _two_levels(i // per, scopes),
            "rules": [],
            "of": [],
        }
        for i in range(nodes)
    )
    half = nodes // 2
    made = {
        "title": "declared",
        "op": [ops[i % 4] for i in range(nodes)],
        "label": [ops[i % 4] for i in range(nodes)],
        "text": [blank] * nodes,
        "type": [types[i // 100 % 2] for i in range(nodes)],
        "inputs": [
            sorted({i - 1, *([i - 7] if i % 5 == 0 and i > 7 else [])}) if i else [] for i in range(nodes)
        ],
        "origin": list(range(nodes)),
        "kind": ["placeholder"] + ["op"] * (half - 1) + ["gradient"] * (nodes - half),
        "part": ["forward"] * half + ["gradient"] * (nodes - half),
        "outputs": [["y", nodes - 1]],
        "updates": [],
        "flops": f"{nodes}*batch",
        "bytes": f"{4 * nodes}*batch",
    }
    none: Mapping[str, Any] = {
        "rewrites": [],
        "gradient": None,
        "values": None,
        "memory": None,
        "profile": None,
        "code": None,
        "fusion": {"unfused": 0, "fused": 0, "kernels": [], "declined": []},
    }
    about = {
        **model["about"],
        "name": "large",
        "messages": [f"The graph has {nodes:,} nodes: scopes are folded."],
    }
    return {
        **model,
        **none,
        "about": about,
        "strings": t.strings,
        "origins": t.origins,
        "graphs": [made],
        "files": [{"path": "net.py", "lines": lines}],
        "stages": [{"name": "declared", "about": "What was declared.", "graph": 0}],
    }


def _two_levels(k: int, scopes: int) -> list[str]:
    return [f"block{k // 8}", f"layer{k}"] if scopes else []


def as_json(model: Mapping[str, Any]) -> str:
    return json.dumps(model, separators=(",", ":"))
