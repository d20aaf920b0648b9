"""What every explainer is."""

from collections.abc import Mapping
from typing import Any, Protocol

from autointerp.explain.evidence import Evidence
from autointerp.llm.messages import ChatRequest
from autointerp.records import Explanation


class Explainer(Protocol):
    """Writes an explanation from evidence. `name` is the method; `config` holds every choice, JSON-ready."""

    @property
    def name(self) -> str: ...

    @property
    def config(self) -> Mapping[str, Any]: ...

    def requests(self, evidence: Evidence) -> list[ChatRequest]:
        """What `explain` would send to a language model, to show or to estimate; empty where none is asked."""
        ...

    def explain(self, evidence: Evidence, *, seed: int | None = None) -> Explanation:
        """`seed` is the one that the examples were drawn with, for the record. Failures are records; only a cancel and the end
        of the budget are raised."""
        ...
