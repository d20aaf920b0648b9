"""What a person may see of a blind audit that they have begun and not finished: figures, but of no item that they have still to
answer what others said of it, here or elsewhere."""

from collections.abc import Iterable, Mapping

from autointerp.audit.progress import by_entry, progress
from autointerp.ratings import Audit, Rating
from autointerp.store.annotations import Annotations
from autointerp.ui.shared import person

HIDDEN = "Hidden until you have rated it"


def left(audit: Audit, rater: str, ratings: Iterable[Rating]) -> int:
    """How many answers this person has still to give to a blind audit that they have begun; 0 for others."""
    ratings = list(ratings)
    begun = any(rating.rater == rater and rating.role == "rater" for rating in ratings)
    return progress(audit, rater, ratings).left if begun and audit.config.get("blind", True) else 0


def unseen(annotations: Annotations) -> Mapping[str, frozenset[int]]:
    """Latents, by coder, of which whoever sits here must not see what others say, because they are still to rate them."""
    rater = person.name()
    waiting: dict[str, set[int]] = {}
    for head in annotations.audits.all():
        if rater not in head.raters:
            continue
        audit, own = annotations.audits.get(head.id), annotations.audits.ratings(head.id, rater=rater)
        if not left(audit, rater, own):
            continue
        answers = by_entry(own)
        for entry in progress(audit, rater, own).entries:
            if entry not in answers or answers[entry].skipped:
                item = audit.items[entry.item]
                waiting.setdefault(item.coder, set()).add(item.latent)
    return {coder: frozenset(latents) for coder, latents in waiting.items()}
