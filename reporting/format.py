"""Numbers, durations and tables as Markdown."""

import statistics
from collections.abc import Iterable, Sequence

from reporting.rows import Row

EMPTY = "–"  # noqa: RUF001 (a gap in a printed table is a dash)


def number(value: float | None, signed: bool = False) -> str:
    """Two digits after the point, or a dash."""
    return EMPTY if value is None else f"{value:+.2f}" if signed else f"{value:.2f}"


def spread(row: Row | None, which: str) -> str:
    """Mean, and standard deviation over seeds if there are several."""
    if row is None or row.mean(which) is None:
        return EMPTY
    deviation = row.deviation(which)
    return number(row.mean(which)) + (f" ± {deviation:.2f}" if deviation is not None else "")


def minus(row: Row | None, which: str, other: float | None) -> str:
    """The mean's difference to another number."""
    value = row.mean(which) if row else None
    return EMPTY if value is None or other is None else number(value - other, signed=True)


def duration(seconds: float) -> str:
    """Seconds as a person would say them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> list[str]:
    """A Markdown table, its first `left` columns aligned to the left, with columns of equal width."""
    body = [list(head), *map(list, rows)]
    widths = [max(3, *(len(line[column]) for line in body)) for column in range(len(head))]
    lines = []
    for place, line in enumerate(body):
        cells = [
            text.ljust(width) if column < left else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append(f"| {' | '.join(cells)} |")
        if place == 0:
            rules = [
                "-" * width if column < left else "-" * (width - 1) + ":"
                for column, width in enumerate(widths)
            ]
            lines.append(f"| {' | '.join(rules)} |")
    return [*lines, ""]


def mean_seconds(row: Row) -> float:
    """The mean duration of the row's runs."""
    return statistics.fmean(sample.seconds for sample in row.samples.values())
