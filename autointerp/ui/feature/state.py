"""The page's address: which feature, which contexts; which version, score and comparison, and what is being done about them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autointerp.ui.shared.context_rows import Wide
from autointerp.ui.shared.state import choice, flag, whole

GROUPS: dict[str, str] = {
    "all": "All",
    "random": "Random",
    "top": "Top",
    "quantiles": "Deciles",
    "non_activating": "Non-activating",
}
INTERVAL = "interval"
"""The group of what a click on the histogram asks for."""
WINDOWS: dict[str, int | None] = {"short": 16, "medium": 32, "full": None}
COLLECTIONS = "collections"
PANELS = {
    "edit": "Edit",
    "write": "Write",
    "regenerate": "Regenerate",
    "rescore": "Rescore",
    "versions": "Versions",
    COLLECTIONS: "Collections",
}
TYPED = ("edit", "write")
"""Panels with a text box."""
VERDICTS = {"all": "All", "wrong": "Wrong", "right": "Right"}
CLASSES = {"all": "Both classes", "activating": "Activating", "non_activating": "Non-activating"}
SOURCES = {
    "all": "Any source",
    "random": "Random",
    "neighbours": "Neighbours",
    "embedding": "Embedding",
    "activating": "Wrong marks",
}
"""Where a non-activating example comes from."""

FILTERS = ("verdict", "class", "quantile", "source", "overlay", "example")
STEER = "steer"
"""Whether steering stands where the contexts are otherwise."""
CONTINUED = {name: f"more_{name}" for name in [*GROUPS, INTERVAL] if name != "all"}
"""How many pages of a group are shown."""
CONTEXT = ("context", "start", "peek", "bin", "wide", *CONTINUED.values())
RESET: dict[str, None] = dict.fromkeys((*CONTEXT, "version", "score", "against", "panel", *FILTERS))
"""What a step to another feature clears."""

MAX_PAGES = 25
ID_LENGTH = 64


@dataclass(frozen=True)
class FeatureState:
    """The Feature page. `coder`, `latent`, `context` and `start` are as given: the page checks them against the store. `bin`:
    of the histogram, where `group` is its interval. `near`, `by`: which list of neighbours, and of features of other coders,
    as given. `pages`: how many of each group are shown, 0 its head."""

    coder: str | None
    latent: str | None
    group: str
    window: str
    align: bool
    whitespace: bool
    context: str | None
    start: str | None
    peek: int | None
    near: str | None
    by: str | None
    bin: int | None
    wide: Wide | None
    pages: Mapping[str, int]

    @staticmethod
    def parse(params: Mapping[str, str]) -> "FeatureState":
        index = whole(params.get("bin"))
        group = choice(params.get("group"), GROUPS, "all") if index is None else INTERVAL
        continued = {name: whole(params.get(param)) or 0 for name, param in CONTINUED.items()}
        return FeatureState(
            coder=params.get("coder"),
            latent=params.get("latent"),
            group=group,
            window=choice(params.get("window"), WINDOWS, "medium"),
            align=flag(params.get("align")),
            whitespace=flag(params.get("whitespace")),
            context=params.get("context"),
            start=params.get("start"),
            peek=whole(params.get("peek")),
            near=params.get("near"),
            by=params.get("by"),
            bin=index,
            wide=Wide.parse(params.get("wide")),
            pages={name: min(n, MAX_PAGES) or int(name == group) for name, n in continued.items()},
        )


@dataclass(frozen=True)
class ExplanationState:
    """`version`, `score` and `against` are ids as given: whoever reads them checks that they belong to the feature.
    `quantile` 0 to 9. `example`: place of the judged example whose prompt and reply are shown."""

    version: str | None
    score: str | None
    against: str | None
    panel: str | None
    verdict: str
    examples: str
    quantile: int | None
    source: str
    overlay: bool
    example: int | None

    @staticmethod
    def parse(params: Mapping[str, str]) -> "ExplanationState":
        panel = params.get("panel")
        quantile = whole(params.get("quantile"))
        return ExplanationState(
            version=_id(params.get("version")),
            score=_id(params.get("score")),
            against=_id(params.get("against")),
            panel=panel if panel in PANELS else None,
            verdict=choice(params.get("verdict"), VERDICTS, "all"),
            examples=choice(params.get("class"), CLASSES, "all"),
            quantile=quantile if quantile is not None and quantile < 10 else None,
            source=choice(params.get("source"), SOURCES, "all"),
            overlay=flag(params.get("overlay")),
            example=whole(params.get("example")),
        )

    @property
    def takes_right_side(self) -> bool:
        """Whether judged examples or a comparison stand where the contexts are otherwise."""
        return self.score is not None or self.against is not None


def _id(value: str | None) -> str | None:
    return value[:ID_LENGTH] if value else None


def open_score(score_id: str) -> dict[str, Any]:
    """Changes of the address that open the judged examples of a score."""
    return {**dict.fromkeys(FILTERS), "against": None, "score": score_id}


def close_right() -> dict[str, Any]:
    """Changes of the address that bring the contexts back."""
    return {**dict.fromkeys(FILTERS), "against": None, "score": None, STEER: None}
