"""Subject models, what to read in them, and the sparse coders that read it."""

from autointerp.models.coders.registry import CoderSpec, SparseCoder, load_coder
from autointerp.models.hooks import Side, Tap, TapReader
from autointerp.models.subject import SubjectModel, load_subject

__all__ = [
    "CoderSpec",
    "Side",
    "SparseCoder",
    "SubjectModel",
    "Tap",
    "TapReader",
    "load_coder",
    "load_subject",
]
