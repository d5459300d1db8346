"""Rows as an aligned table of text."""

from __future__ import annotations

from collections.abc import Sequence


def table(rows: Sequence[Sequence[object]], headers: Sequence[str]) -> str:
    """Rows as an aligned table; numbers to the right."""
    from tabulate import tabulate

    right = [
        h
        for h in headers
        if h
        in (
            "nulls",
            "rows",
            "value",
            "#",
            "features",
            "count",
            "training",
            "prediction",
            "runs",
            "rows read",
            "written",
        )
    ]
    align = ["right" if h in right else "left" for h in headers]
    return str(
        tabulate(rows, headers, tablefmt="simple", colalign=align if rows else None,
                 disable_numparse=True)
    )  # fmt: skip
