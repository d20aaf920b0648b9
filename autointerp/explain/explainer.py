"""What every explainer is, and what it is shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from autointerp.llm.messages import ChatRequest
from autointerp.models.effect import Effect
from autointerp.records import Explanation
from autointerp.sampling import Window

NO_EXAMPLES = (
    "There are no activating examples to explain: the latent fires too rarely in this corpus, or never."
)


@dataclass(frozen=True)
class Evidence:
    """What is known about one latent when it is to be explained: held-in examples only, but by the delphi protocol.

    `latent_max`: its largest activation in the corpus, to which activations are set in proportion. `promoted`, `suppressed`:
    texts of the tokens whose logits its decoder direction raises and lowers most, strongest first. `effect`: what raising the
    latent does after each of the activating examples, which then end at their first activating token.
    """

    coder: str
    latent: int
    activating: Sequence[Window]
    latent_max: float
    non_activating: Sequence[Window] = ()
    promoted: Sequence[str] = ()
    suppressed: Sequence[str] = ()
    effect: Effect | None = None


class Explainer(Protocol):
    """Writes an explanation from evidence."""

    def requests(self, evidence: Evidence) -> list[ChatRequest]:
        """What `explain` would send to a language model, to show or to estimate; empty where none is asked."""
        ...

    def explain(self, evidence: Evidence, *, seed: int | None = None) -> Explanation:
        """`seed` is the one that the examples were drawn with, for the record. Failures are records; only a cancel and the end
        of the budget are raised."""
        ...
