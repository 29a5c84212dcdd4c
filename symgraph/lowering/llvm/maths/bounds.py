"""How far results may be from the exact ones: what was measured over millions of values, and a little more."""

ULP: dict[str, tuple[float, float]] = {
    "cosh": (1.4, 1.4),
    "erf": (1.3, 1.3),
    "erfinv": (3.0, 3.0),
    "exp": (1.0, 1.0),
    "exp2": (1.0, 1.0),
    "expm1": (1.7, 2.0),
    "log": (1.0, 1.0),
    "log1p": (1.0, 1.0),
    "log2": (1.2, 1.4),
    "pow": (0.6, 1.0),
    "reciprocal": (0.5, 0.5),
    "rsqrt": (1.5, 1.5),
    "sigmoid": (1.8, 1.8),
    "sinh": (1.6, 2.0),
    "softplus": (1.7, 1.7),
    "tanh": (2.3, 2.3),
}
"""The largest error of each function in float32 and float64, in units in the last place of the exact result, on
machines with fused multiply-add: AVX2 with FMA, AVX-512, ARM."""

ULP_UNFUSED: dict[str, tuple[float, float]] = {
    **ULP,
    "cosh": (1.5, 1.5),
    "erf": (1.5, 1.5),
    "erfinv": (3.5, 3.5),
    "exp": (1.3, 1.3),
    "exp2": (1.3, 1.3),
    "expm1": (1.8, 2.1),
    "log2": (2.4, 2.4),
    "pow": (0.6, 1.3),
    "sigmoid": (2.2, 2.2),
    "sinh": (2.0, 2.5),
    "softplus": (1.8, 1.8),
    "tanh": (2.7, 2.7),
}
"""The same on machines without: SSE2 alone."""
