"""Failure capsules: a failed run in one file, and its replay, which finds where it went wrong.

capsule.py     a run of a session as a value         file.py        the file: written whole, read with bounds
recording.py   a session that leaves capsules        replay.py      `symgraph.replay`: the report
localise.py    the declared graph, node by node      evaluation.py  expressions on the values of the run
claims.py      each rewrite held to its promise      programs.py    each backend's program, down to the kernel
comparison.py  how close is close enough             findings.py    what is said of a fault
page.py        the explorer's page of a capsule
"""
