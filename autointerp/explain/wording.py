"""The sentences of the `pattern` explainer, written from what it has to say and from nothing else."""

from collections.abc import Sequence

from autointerp.parts import Named, Parts
from autointerp.sampling import one_line

VERSION = "pattern-2"
"""Of the method as a whole: which things are named, and how they are put into words."""


def sentences(parts: Parts) -> str:
    """One or two sentences; "" when there is nothing to say."""
    written = []
    if parts.named:
        hedge = f"{parts.hedge} " if parts.hedge else ""
        focus = hedge + _joined([_named(named) for named in parts.named]) + _after(parts.before)
        focus += "".join(_examples(", such as", named) for named in parts.named if named.form == "any")
        written.append(f"{focus[:1].upper()}{focus[1:]}.")
    if parts.context:
        written.append(f"Typical of texts with {_list(parts.context)}.")
    return " ".join(written)


def _named(named: Named) -> str:
    if named.form == "any":
        return "what comes"
    if named.form == "kind":
        return named.texts[0] + _examples(" such as", named)
    noun = "word piece" if named.form == "piece" else named.form
    plural = "" if len(named.texts) == 1 else "s"
    return f"the {noun}{plural} {_list(named.texts)}" + _examples(", as in", named)


def _examples(introduced: str, named: Named) -> str:
    return f"{introduced} {_list(named.examples)}" if named.examples else ""


def _joined(phrases: Sequence[str]) -> str:
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])}, or {phrases[-1]}"


def _after(before: Sequence[str]) -> str:
    alternatives = [_list(quoted)] if (quoted := [text for text in before if text != "\n"]) else []
    alternatives += ["a line break"] if "\n" in before else []
    return f", right after {' or '.join(alternatives)}" if alternatives else ""


def _list(texts: Sequence[str]) -> str:
    quoted = [_quote(text) for text in texts]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def _quote(text: str) -> str:
    shown = one_line(text)
    return f"\u201c{shown}\u201d" if '"' in shown else f'"{shown}"'
