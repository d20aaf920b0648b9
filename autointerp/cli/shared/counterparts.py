"""A latent's counterparts in other coders, as commands print them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from autointerp.cli.shared.output import printable

if TYPE_CHECKING:
    from autointerp.compare.counterparts import Counterpart
    from autointerp.pipeline.resources import Resources
    from autointerp.types import ProgressCallback


def describe_counterparts(
    resources: "Resources", coder: str, latent: int, others: Sequence[str], progress: "ProgressCallback"
) -> dict[str, Any]:
    """`counterparts` of the document: by coder and measure, the nearest first. Where they fire is computed if it is not known;
    their directions are given where the coders have been matched. Raises UserError, UnknownName."""
    from autointerp.compare.counterparts import MEASURES, counterparts, known

    described: dict[str, Any] = {}
    for other in dict.fromkeys(others):
        described[other] = {}
        for by in MEASURES:
            if by in ("correlation", "jaccard") or (
                known(resources, coder, other).has(by) and not known(resources, coder, other).absent(by)
            ):
                nearest = counterparts(resources, coder, latent, other, by=by, progress=progress)
                described[other][by] = [_described(each) for each in nearest]
    return {"counterparts": described}


def _described(each: "Counterpart") -> dict[str, Any]:
    names = ("latent", "correlation", "jaccard", "inside", "covers", "n_both")
    return {
        **{name: getattr(each, name) for name in names},
        "cosine": dict(each.cosine),
        "explanation": each.explanation.text if each.explanation else None,
        "scores": {kind.key: score.value for kind, score in each.scores.items()},
    }


def counterparts_text(document: dict[str, Any], n: int = 3) -> list[str]:
    """Lines about them, the nearest `n` of each measure."""
    lines = []
    for other, measures in document.get("counterparts", {}).items():
        for by, nearest in measures.items():
            lines += ["", f"nearest in {printable(other)} by {by}"]
            for each in nearest[:n]:
                value = each["cosine"].get(by, each.get(by))
                says = f"  {printable(each['explanation'])}" if each["explanation"] else ""
                lines.append(f"  {value:6.3f}  latent {each['latent']}{says}")
            if not nearest:
                lines.append("  none: no latent fires on the same tokens")
    return lines
