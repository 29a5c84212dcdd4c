"""Benchmarks: `python -m tests.benchmarks [SUITE...]`. They measure and report; no test depends on a time.

A suite is a file in `suites/`. A contender is one function that prepares the same work in one library; it runs in a
process of its own, and the contenders take turns, because the threads of a BLAS keep spinning after a call and
disturb whoever runs next in the same process. Before anything is timed, all contenders of a case have to give the
same numbers.
"""
