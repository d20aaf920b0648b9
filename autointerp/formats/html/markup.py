"""Pieces of HTML. Everything that comes from a store passes `text` or `tokens`, and stays text."""

import html
import math
from collections.abc import Iterable, Sequence

from numpy.typing import NDArray

from autointerp.plain import escaped

SHADES = 12
"""Of a token's background, by the logarithm of its share of the feature's maximum."""
_VISIBLE = str.maketrans({"\n": "↵", "\t": "⇥", "\r": "␍"})


def text(value: object) -> str:
    """Safe anywhere in HTML, attributes in double quotes too; what cannot be seen is shown escaped."""
    return html.escape(escaped(str(value).translate(_VISIBLE)))


def tag(name: str, *children: str, cls: str = "", **attributes: str) -> str:
    """An element around children that are HTML already."""
    given = {"class": cls} if cls else {}
    shown = "".join(f' {key}="{text(value)}"' for key, value in {**given, **attributes}.items())
    return f"<{name}{shown}>{''.join(children)}</{name}>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """`rows` of HTML under heads of plain text; columns after the first stand to the right where they hold figures."""
    body = "".join(tag("tr", *(tag("td", cell) for cell in row)) for row in rows)
    return tag(
        "table",
        tag("thead", tag("tr", *(tag("th", text(name)) for name in head))),
        tag("tbody", body),
    )


def tokens(pieces: Sequence[str], activations: NDArray, maximum: float) -> str:
    """Tokens of a window: where the feature fires, on a ground as dark as its share of `maximum`, with the value as a tooltip;
    the strongest framed."""
    peak = int(activations.argmax()) if len(activations) and activations.max() > 0 else -1
    parts, plain = [], ""
    for i, (piece, value) in enumerate(zip(pieces, activations.tolist(), strict=True)):
        if value <= 0:
            plain += text(piece)
            continue
        parts.append(plain)
        plain = ""
        share = min(1.0, value / maximum) if maximum > 0 else 0.0
        shade = max(1, round(SHADES * math.log10(1 + 9 * share)))
        frame = " p" if i == peak else ""
        parts.append(f'<mark class="a{shade}{frame}" title="{value:.4g}">{text(piece) or " "}</mark>')
    return "".join([*parts, plain])


def bars(counts: Sequence[int], maximum: float, label: str) -> str:
    """A histogram as an SVG figure: counts on a logarithmic scale, in bins from 0 to `maximum`."""
    if not counts or not max(counts):
        return ""
    width, height, top = 6, 44, math.log1p(max(counts))
    drawn = "".join(
        f'<rect x="{i * width}" y="{height - tall:.1f}" width="{width - 1}" height="{tall:.1f}"><title>{count:,}</title></rect>'
        for i, count in enumerate(counts)
        if count and (tall := max(1.5, height * math.log1p(count) / top))
    )
    size = f'width="{len(counts) * width}" height="{height}" viewBox="0 0 {len(counts) * width} {height}"'
    caption = tag("figcaption", f"{text(label)}: 0 to {maximum:.4g}, counts on a logarithmic scale")
    return tag("figure", f'<svg {size} role="img" aria-label="{text(label)}">{drawn}</svg>', caption)
