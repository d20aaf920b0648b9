"""Comparisons that count where latents fire need a corpus on which all of them are known."""

from collections.abc import Iterable

from autointerp.errors import UserError
from autointerp.types import CoderInfo


def reason(infos: Iterable[CoderInfo]) -> str | None:
    """Why these coders cannot be compared by where they fire, as a sentence; `None` where they can."""
    names = [info.coder for info in infos if info.selected]
    if not names:
        return None
    whose = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return (
        f"The store holds selected contexts of {whose}, not a corpus: where their features fire in other text is not "
        "known, so this would only compare how contexts were selected. Their explanations can still be compared."
    )


def need(infos: Iterable[CoderInfo]) -> None:
    """Raises UserError with the reason."""
    why = reason(infos)
    if why is not None:
        raise UserError(why)
