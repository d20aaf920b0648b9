"""The demo's subject models, each with what its store is made of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from autointerp import settings
from autointerp.demo import smollm2
from autointerp.errors import ModelLoadError

CONTROL_SEED = 9
"""Of the random controls: no coder was trained from it. Training leaves traces of the initial weights."""


@dataclass(frozen=True)
class DemoSubject:
    """One subject model and its store.

    `model_name` is shown; `mlp` is the hookpoint that most coders share, `n_latents` and `k` the size of each of them;
    `controls` are the random ones with their hookpoints. `find_model` gives the model's folder, from that of the shipped
    weights, or raises ModelLoadError. `model_sha256`: of weights that are not shipped with the coders.
    """

    name: str
    model_name: str
    mlp: str
    n_latents: int
    k: int
    n_tokens: int
    weights: Callable[[], Path]
    find_model: Callable[[Path], Path]
    controls: Mapping[str, str]
    model_sha256: str = ""

    def coders(self, weights: Path) -> dict[str, str]:
        """Names and sources: the shipped coders, the MLP's own neurons, and the random controls."""
        folders = sorted(path for path in (weights / "coders").glob("*") if path.is_dir())
        coders = {folder.name: str(folder) for folder in folders}
        coders["neurons"] = f"neurons:{self.mlp}:{self.k}"
        for name, hookpoint in self.controls.items():
            coders[name] = f"random:{hookpoint}:{self.n_latents}:{self.k}:{CONTROL_SEED}"
        return coders


def _shipped_model(weights: Path) -> Path:
    if not (weights / "model" / "config.json").is_file():
        raise ModelLoadError(
            f"the demo's weights are missing from {weights}: run this from a checkout of the repository."
        )
    return weights / "model"


def _smollm2(weights: Path) -> Path:
    if not (weights / "coders").is_dir():
        raise ModelLoadError(
            f"the demo's coders are missing from {weights}: run this from a checkout of the repository."
        )
    return smollm2.model_folder()


DOCSTRINGS = DemoSubject(
    name="docstrings",
    model_name="docstrings-neox",
    mlp="layers.2.mlp",
    n_latents=1536,
    k=24,
    n_tokens=520_000,  # more than half a million count once beginning-of-sequence positions are masked
    weights=settings.demo_weights,
    find_model=_shipped_model,
    controls={"random": "layers.2.mlp"},
)
SMOLLM2 = DemoSubject(
    name="smollm2",
    model_name=smollm2.NAME,
    mlp="layers.12.mlp",
    n_latents=3072,
    k=32,
    n_tokens=180_000,
    weights=lambda: settings.demo_weights() / "smollm2",
    find_model=_smollm2,
    controls={"random": "layers.12.mlp", "random-residual": "layers.10"},
    model_sha256=smollm2.SHA256,
)
SUBJECTS = {subject.name: subject for subject in (DOCSTRINGS, SMOLLM2)}
