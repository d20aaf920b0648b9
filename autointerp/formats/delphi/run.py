"""What `run_config.json` says of a run of delphi, as far as it shapes what is imported. Nothing in it is relied on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from autointerp.formats.delphi.cache import read_json_object

FILE = "run_config.json"
NOT_PARSED = "Explanation could not be parsed."
"""What delphi stores in the place of an explanation that it could not read, and scores like any other."""
NEGATIVES = {"random": "random", "neighbours": "neighbours", "FAISS": "embedding"}
"""Where non-activating examples come from: delphi's names, and ours."""

T = TypeVar("T", int, str, float, bool)


@dataclass(frozen=True)
class Run:
    """`window`: tokens of an example, and how examples were drawn; `None` where the run does not say. `model`: the language
    model that explained and judged."""

    config: Mapping[str, Any] = field(default_factory=dict)
    window: int | None = None
    centred: bool = False
    negatives: str = "random"
    n_negatives: int | None = None
    n_train: int | None = None
    train_type: str | None = None
    ratio_top: float | None = None
    n_test: int | None = None
    n_quantiles: int | None = None
    explainer: str = "default"
    model: str | None = None
    fuzz_type: str = "default"
    batch: int | None = None
    graded: bool | None = None
    sparse_model: str | None = None

    @property
    def kind(self) -> str:
        """What the coder is, told by its name."""
        name = (self.sparse_model or "").lower()
        if "transcoder" in name:
            return "skip_transcoder" if "skip" in name else "transcoder"
        return "sae"


def read_run(root: Path) -> Run:
    """The run that the folder is of, or in: its own configuration, else that of the two folders above. Raises UserError for a
    file that is no JSON object."""
    path = next((f / FILE for f in (root, root.parent, root.parent.parent) if (f / FILE).is_file()), None)
    if path is None:
        return Run()
    config = read_json_object(path)
    constructor, sampler = _part(config, "constructor_cfg"), _part(config, "sampler_cfg")
    return Run(
        config=config,
        window=_positive(constructor, "example_ctx_len"),
        centred=constructor.get("center_examples") is False,  # delphi centres where it is told not to
        negatives=NEGATIVES.get(_text(constructor, "non_activating_source") or "random", "random"),
        n_negatives=_positive(constructor, "n_non_activating"),
        n_train=_positive(sampler, "n_examples_train"),
        train_type=_text(sampler, "train_type"),
        ratio_top=_of(sampler, "ratio_top", float),
        n_test=_positive(sampler, "n_examples_test"),
        n_quantiles=_positive(sampler, "n_quantiles"),
        explainer="contrastive" if constructor.get("non_activating_source") == "FAISS" else "default",
        model=_text(config, "explainer_model"),
        fuzz_type=_text(config, "fuzz_type") or "default",
        batch=_positive(config, "num_examples_per_scorer_prompt"),
        graded=_of(config, "log_probs", bool),
        sparse_model=_text(config, "sparse_model"),
    )


def _part(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = config.get(name)
    return part if isinstance(part, Mapping) else {}


def _of(config: Mapping[str, Any], name: str, kind: type[T]) -> T | None:
    value = config.get(name)
    return value if type(value) is kind else None


def _text(config: Mapping[str, Any], name: str) -> str | None:
    value = _of(config, name, str)
    return value[:300] if value and value.isprintable() else None


def _positive(config: Mapping[str, Any], name: str) -> int | None:
    value = _of(config, name, int)
    return value if value is not None and 0 < value <= 100_000 else None
