"""What commands write: results on standard output, everything else on standard error."""

import json
import math
import sys
from collections.abc import Sequence
from typing import Any

from autointerp.plain import escaped, plain


def write_result(document: Any, text: str, *, as_json: bool) -> None:
    """Write one JSON document, or its readable form. `document` may hold dataclasses, numpy values, NaN (written as null)."""
    if as_json:
        body = _json_escaped(json.dumps(plain(document), ensure_ascii=False, indent=2, allow_nan=False))
    else:
        body = harmless(text)
    out = (
        sys.stdout.buffer
    )  # whatever the terminal's encoding: a corpus may hold lone surrogates and any script
    out.write(body.encode("utf-8", "backslashreplace") + b"\n")
    out.flush()


def say(message: str) -> None:
    """A line for the person at the terminal."""
    sys.stderr.write(harmless(message) + "\n")
    sys.stderr.flush()


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Columns aligned by width, numbers to the right. Control characters are shown escaped, never sent to the terminal."""
    names = [printable(name) for name in header]
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    numeric = [bool(rows) and all(_is_number(row[i]) for row in rows) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        parts = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        )
        return "  ".join(parts).rstrip()

    return "\n".join([line(names), line(["-" * width for width in widths]), *map(line, cells)])


def printable(value: Any) -> str:
    """One line of text that cannot move the cursor or reverse the reading direction."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else "-"
    return escaped(str(plain(value)) if not isinstance(value, str) else value)


def harmless(text: str) -> str:
    """Lines of which none can move the cursor, colour what follows or reverse the reading direction: what stores, corpora and
    servers say reaches the terminal."""
    return "\n".join(map(escaped, text.split("\n")))


def _json_escaped(document: str) -> str:
    """The same document: only its strings can hold such characters, and there they may be escaped."""
    return "\n".join(
        line if line.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in line)
        for line in document.split("\n")
    )


def human_bytes(n: int) -> str:
    """A size as people read it: 1 kB is 1,000 bytes."""
    size = float(n)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
