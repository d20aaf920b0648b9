"""What a person may see of an audit that they have not finished: figures, but no item with anybody's verdict or scores."""

from collections.abc import Iterable

from autointerp.audit.progress import progress
from autointerp.ratings import Audit, Rating


def left(audit: Audit, rater: str, ratings: Iterable[Rating]) -> int:
    """How many answers this person has still to give to a blind audit that they have begun; 0 for others."""
    ratings = list(ratings)
    begun = any(rating.rater == rater and rating.role == "rater" for rating in ratings)
    return progress(audit, rater, ratings).left if begun and audit.config.get("blind", True) else 0
