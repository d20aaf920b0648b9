"""What people said of explanations, in words."""

from collections.abc import Mapping

from autointerp.ratings import VERDICTS, VerdictKind
from autointerp.store import ShownVerdict
from autointerp.store.annotations.audits import MIXED
from autointerp.store.queries import JUDGED, UNJUDGED
from autointerp.ui.shared import format as fmt

_KINDS: Mapping[str, VerdictKind] = {str(verdict): kind for verdict, kind in VERDICTS.items()}
_MIXED = "Raters disagree"
FILTERS: Mapping[str, str] = {
    "any": "Any",
    JUDGED: "Any verdict",
    UNJUDGED: "No verdict",
    **{verdict: kind.label for verdict, kind in _KINDS.items()},
    MIXED: _MIXED,
}
"""Ways to filter a list by them, as in the address."""
CORRECT, PARTLY, NOT_RIGHT, UNCLEAR = "Correct", "Partly right", "Not right", "Not decided"
GROUPS = (CORRECT, PARTLY, NOT_RIGHT, UNCLEAR)


def label(verdict: str) -> str:
    """Of one of `VERDICTS`, or of "mixed"."""
    return _KINDS[verdict].label if verdict in _KINDS else _MIXED


def group(verdict: str) -> str:
    """How right the explanation is in short, one of `GROUPS`: by the verdict's grade; undecided where raters disagree or say
    nothing about the explanation."""
    grade = _KINDS[verdict].grade if verdict in _KINDS else None
    return UNCLEAR if grade is None else CORRECT if grade == 1 else PARTLY if grade > 0 else NOT_RIGHT


def cell(verdict: ShownVerdict | None, shown: str | None) -> list[str] | None:
    """A row's cell and its tooltip; `shown`: the id of the explanation that the row shows."""
    if verdict is None:
        return None
    by = fmt.plural(verdict.n_raters, "rater")
    of = "" if verdict.explanation_id == shown else ", other version"
    said = f"By {by}{', settled together' if verdict.adjudicated else ''}"
    about = ". On a different version from the one shown here" if of else ""
    return [f"{label(verdict.verdict)}{of}", f"{said}{about}"]
