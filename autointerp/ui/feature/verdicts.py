"""What people said of the explanation in sight, in which audits."""

import streamlit as st

from autointerp.ratings import VERDICTS, AuditItem, Rating
from autointerp.store.annotations import Annotations
from autointerp.ui.shared import blind, components
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.text import plain
from autointerp.ui.shared.versions import Versions

MAX_NAMED = 5
"""Raters named for each verdict."""


def draw(annotations: Annotations, versions: Versions) -> None:
    """A line of verdicts with links to their audits; nothing where nobody gave any."""
    given = annotations.audits.about(versions.coder, versions.latent)
    if not given:
        return
    current = None if versions.current is None else versions.current.id
    hidden = versions.latent in blind.unseen(annotations).get(versions.coder, ())
    said = f"Verdict: {blind.HIDDEN[0].lower()}{blind.HIDDEN[1:]}" if hidden else line(given, current)
    names = {head.id: head.name for head in annotations.audits.all()}
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.markdown(f":small[{said}]", width="content")
        for audit in dict.fromkeys(rating.audit_id for _, rating in given):
            if st.button(
                plain(names.get(audit, audit), 60), key=f"to_audit_{audit}", type="tertiary", icon=":material/fact_check:",
                help="The audit in which it was judged",
            ):  # fmt: skip
                components.go("audit", {"audit": audit, "view": "report"})


def line(given: list[tuple[AuditItem, Rating]], current: str | None) -> str:
    """`Verdict: **Correct** (Ada, Bo), **Wrong** (Cy) · 2 verdicts on other versions`, as Markdown; what was settled together
    first. `current`: the id of the version in sight."""
    first = [(item, rating) for item, rating in given if rating.round == 0]
    here = [rating for item, rating in first if item.explanation_id == current and rating.verdict is not None]
    settled = [rating for rating in here if rating.role == "adjudicator"]
    by: dict[str, list[str]] = {}
    for rating in here:
        if rating.role == "rater" and rating.verdict is not None:
            raters = by.setdefault(VERDICTS[rating.verdict].label, [])
            if rating.rater not in raters:
                raters.append(rating.rater)
    parts = [
        f"**{VERDICTS[rating.verdict].label}** (settled together)"
        for rating in settled[-1:]
        if rating.verdict
    ]
    parts += [f"**{verdict}** ({_named(raters)})" for verdict, raters in by.items()]
    n_other = sum(item.explanation_id != current for item, _ in first)
    other = f"{fmt.plural(n_other, 'verdict')} on other versions" if n_other else ""
    said = f"Verdict: {', '.join(parts)}" if parts else "No verdict on this version"
    return " · ".join(filter(None, [said, other]))


def _named(raters: list[str]) -> str:
    named = ", ".join(plain(rater, 40) for rater in raters[:MAX_NAMED])
    more = len(raters) - MAX_NAMED
    return f"{named} and {more} more" if more > 0 else named
