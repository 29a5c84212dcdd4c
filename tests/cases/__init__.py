"""One list of cases for every op: what the tests of ops, gradients and backends enumerate.

Each module here is named for a module of `symgraph/ops/` and holds `CASES`. A case that is added there is
tested everywhere: infer against evaluate, evaluate against NumPy, the VJP against central differences and
JAX, second derivatives, and each backend against the interpreter.
"""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np

from symgraph.expr import Expr
from symgraph.types import TensorType


@attrs.frozen
class Case:
    """A use of a public function on operands of given types.

    `types` are texts such as "f32[3,4]"; `domain` says how values are drawn: "normal", "positive" (0.5 to 3),
    "unit" (-0.9 to 0.9), "above_one" (1.1 to 3), "index:N" (integers 0..N-1), "bool", "small_int" (-4..4),
    one for all operands or one each. `reference` is an independent meaning in NumPy. `gradient=False` where
    there is none, `smooth=False` where the second derivative does not exist or is 0 everywhere.
    `exact` asks evaluate to equal the reference bit for bit, else within the dtype's tolerance.
    `named=False` where the function itself fixes every size, so that none can be a named one.
    """

    name: str
    function: Callable[..., Expr]
    types: tuple[str, ...]
    reference: Callable[..., Any] | None = None
    domain: str | tuple[str, ...] = "normal"
    gradient: bool = True
    smooth: bool = True
    exact: bool = False
    named: bool = True

    def __str__(self) -> str:
        return f"{self.name}({', '.join(self.types)})"

    @property
    def operand_types(self) -> tuple[TensorType, ...]:
        return tuple(map(parse_type, self.types))

    def draw(self, seed: int = 0) -> list[np.ndarray]:
        """Operand values, the same for the same seed."""
        rng = np.random.default_rng(seed)
        domains = (self.domain,) * len(self.types) if isinstance(self.domain, str) else self.domain
        return [_draw(rng, d, t) for d, t in zip(domains, self.operand_types, strict=True)]


_LONG = {"f32": "float32", "f64": "float64", "i32": "int32", "i64": "int64", "bool": "bool"}


def parse_type(text: str) -> TensorType:
    """The type of a text such as "f32[3,4]", with numbers for sizes."""
    short, _, rest = text.partition("[")
    return TensorType(_LONG[short], tuple(int(size) for size in rest.rstrip("]").split(",") if size))


def _draw(rng: np.random.Generator, domain: str, type_: TensorType) -> np.ndarray:
    shape = type_.shape
    if domain.startswith("index:"):
        values = rng.integers(0, int(domain[6:]), shape)
    elif type_.dtype.kind == "b" or domain == "bool":
        values = rng.integers(0, 2, shape)
    elif type_.dtype.kind == "i" or domain == "small_int":
        low = 1 if domain in ("positive", "above_one") else -4
        values = rng.integers(low, 5, shape)
    else:
        ranges = {"positive": (0.5, 3.0), "unit": (-0.9, 0.9), "above_one": (1.1, 3.0)}
        values = rng.normal(size=shape) if domain == "normal" else rng.uniform(*ranges[domain], shape)
    return np.asarray(values).astype(type_.dtype)


def all_cases() -> list[Case]:
    """The cases of every module of this package."""
    modules = (importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__))
    return [case for module in modules for case in module.CASES]
