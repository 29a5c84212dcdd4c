"""The networks of the lectures, one a file; each runs as `python -m models.NAME`, the talk's three as `models.talk`."""
