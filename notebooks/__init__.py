"""Lessons, one for each of the lectures behind this project: `NAME.py` is the source, `NAME.ipynb` what people read."""
