"""What explainers are shown."""

from collections.abc import Sequence
from dataclasses import dataclass

from autointerp.sampling import Window

NO_EXAMPLES = (
    "There are no activating examples to explain: the latent fires too rarely in this corpus, or never."
)


@dataclass(frozen=True)
class Evidence:
    """What is known about one latent when it is to be explained: held-in examples only.

    `latent_max`: its largest activation in the corpus, to which activations are set in proportion. `promoted`, `suppressed`:
    texts of the tokens whose logits its decoder direction raises and lowers most, strongest first.
    """

    coder: str
    latent: int
    activating: Sequence[Window]
    latent_max: float
    non_activating: Sequence[Window] = ()
    promoted: Sequence[str] = ()
    suppressed: Sequence[str] = ()
