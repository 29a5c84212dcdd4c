"""Elementary functions as inline code, on scalars and vectors of floats and doubles, without a library."""

from symgraph.lowering.llvm.vecmath.basic import polynomial

__all__ = ["polynomial"]
