"""Looking at graphs, compilers and runs.

explain.py     the ledger as text                      kernels.py    why nodes share a kernel, or do not
diff.py        what differs between two graphs         matching.py   which nodes of two graphs are the same
diagram.py     Graphviz and Mermaid text               drawing.py    SVG, folded where a graph is large
summary.py     layers, parameters, costs               trace.py      every graph between declared and compiled
values.py      every node's value in a run             statistics.py an array in a line, a histogram, a picture
gradients/     adjoints, and why there is none         profiling/    time, the machine, the peak of memory
explorer/      what a page shows, collected            page/         the page: TypeScript, its build, Graphviz
capsules/      failed runs in a file, and their replay
"""
