"""The explorer: what a page shows of a graph and its run, collected; the page itself is in `symgraph/inspect/page/`.

explore.py    `symgraph.explore`: the page            wanted.py    what it is asked for
model.py      the data of a page, section by section  collected.py graphs as columns, with text and origins once
history.py    the ledger, rewrite by rewrite          fusions.py   kernels with their nodes
sections.py   gradient, values, memory, profile, code as the page reads them
"""
