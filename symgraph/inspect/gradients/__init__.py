"""The gradient of a graph, read back: which node is whose adjoint, and why one is missing or zero.

tape.py      differentiation done again, with what each VJP gave
stops.py     where a derivative stops, and why
zeros.py     which VJP made zeros of a cotangent, on values
adjoints.py  forward nodes with their adjoints: `symgraph.adjoints`
why.py       the same for one node, in words: `symgraph.why_no_gradient`
"""
