"""How far results may be from the exact ones."""

ULP: dict[str, tuple[float, float]] = {
    "cosh": (1.5, 1.5),
    "erf": (1.5, 1.5),
    "exp": (1.0, 1.0),
    "exp2": (1.0, 1.0),
    "expm1": (2.0, 2.0),
    "log": (1.0, 1.0),
    "log1p": (1.0, 1.0),
    "log2": (1.2, 1.2),
    "pow": (0.6, 1.0),
    "reciprocal": (0.5, 0.5),
    "rsqrt": (1.5, 1.5),
    "sigmoid": (2.5, 2.5),
    "sinh": (2.0, 2.0),
    "softplus": (2.0, 2.0),
    "tanh": (2.5, 2.8),
}
"""The largest error of each function in float32 and float64, in units in the last place of the exact result, on
machines with fused multiply-add: AVX2 with FMA, AVX-512, ARM."""

ULP_UNFUSED: dict[str, tuple[float, float]] = {
    **ULP,
    "exp": (1.3, 1.3),
    "exp2": (1.3, 1.3),
    "log2": (2.3, 2.3),
    "pow": (0.6, 1.3),
    "sinh": (2.5, 2.5),
}
"""The same on machines without: SSE2 alone."""
