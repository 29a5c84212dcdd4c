"""Plain text tables, and numbers as people read them."""

from collections.abc import Sequence


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with its first column on the left and numbers on the right.

    >>> print(table("Times", ["who", "ms"], [["a", "1.0"], ["bb", "12.5"]]))
    Times
    who    ms
    ---  ----
    a     1.0
    bb   12.5
    """
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    rule = ["-" * width for width in widths]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]
        ).rstrip()
        for row in (columns, rule, *rows)
    ]
    return "\n".join([title, *lines])


def seconds(value: float) -> str:
    """A duration.

    >>> seconds(0.00001234), seconds(0.0123), seconds(12.34)
    ('12.3 us', '12.30 ms', '12.34 s')
    """
    if value < 1e-3:
        return f"{value * 1e6:.1f} us"
    return f"{value * 1e3:.2f} ms" if value < 1 else f"{value:.2f} s"


def quantile(values: Sequence[float], q: float) -> float:
    """The value below which the share `q` of all lies, interpolated.

    >>> quantile([3.0, 1.0, 2.0], 0.5), quantile([0.0, 10.0], 0.1)
    (2.0, 1.0)
    """
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
