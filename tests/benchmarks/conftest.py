"""The modules of libraries have no doctests, and most of the libraries are not installed where tests run."""

collect_ignore_glob = ["libraries/with_*.py"]
