"""What pages say of coders of which only selected contexts are known."""

from collections.abc import Iterable

from autointerp.types import CoderInfo

HELP = (
    "The imported files show a few contexts of each feature, chosen by the tool that wrote them. Density, maximum, histogram, "
    "promoted tokens and neighbours are what the files state; what they do not state is absent, and nothing is computed from "
    "these contexts as if they were a corpus. In contexts shown of other features only, a feature is unknown, not silent."
)


def note(infos: Iterable[CoderInfo]) -> str:
    """A short line about these coders, empty where all of them have a corpus."""
    return (
        "Selected contexts, no corpus: figures are those that the imported files state."
        if any(info.selected for info in infos)
        else ""
    )
