"""What pages say of coders of which only selected contexts are known."""

from collections.abc import Iterable

from autointerp.types import CoderInfo

HELP = (
    "The imported files show a few contexts of each feature, chosen by the tool that wrote them. Density, maximum, histogram, "
    "promoted tokens and neighbours are as stated in the files; what the files do not state is left out, and nothing is "
    "computed from these contexts as if they were a corpus. In contexts shown only for other features, whether a feature fires "
    "is unknown."
)


def note(infos: Iterable[CoderInfo]) -> str:
    """A short line about these coders, empty where all of them have a corpus."""
    return (
        "Selected contexts, no corpus: figures are as stated in the imported files."
        if any(info.selected for info in infos)
        else ""
    )
