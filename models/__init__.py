"""The talk's networks, one a file; each runs as `python -m models.NAME`, and `models.talk` runs them all."""
