"""The list of features as its address says it, read without trust: which coders, what is searched, the order, the filters."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import cast
from urllib.parse import quote, unquote

from autointerp.store import STATISTICS, current_key
from autointerp.store.annotations.collections import MAX_NAME
from autointerp.store.queries import Dead, Human, State
from autointerp.types import CoderInfo
from autointerp.ui.shared import verdict_text
from autointerp.ui.shared.state import MAX_NUMBER, choice, flag, signed, whole

SCORE_SORTS = {"above": "rank", "low": "ci_low", "score": "score"}
"""Orders by a score: as in the address, and as in `LatentQuery`. The first is the list's own, where anything is scored."""
BEST = "above"
UNSCORED = "density"
"""The list's own order where nothing is scored."""


def sorts() -> dict[str, str]:
    """What the list can be sorted by: as in the address, and as in `LatentQuery`."""
    statistics = {statistic.key: name for name, statistic in STATISTICS.items() if statistic.sortable}
    return {**statistics, "latent": "latent", **SCORE_SORTS, "match": "relevance"}


ORDERS = {"asc": "ascending", "desc": "descending"}
DEAD = {"hide": "Live", "show": "All", "only": "Dead"}
MODES = {
    "text": "Contexts: text",
    "regex": "Contexts: regular expression",
    "near": "Contexts: meaning",
    "words": "Explanations: words",
    "meaning": "Explanations: meaning",
    "both": "Explanations: words and meaning",
}
"""What the one search box searches, and how. Each has results of its own and ranks the features."""
STATES: dict[str, tuple[str, State | None]] = {
    "any": ("Any", None),
    "yes": ("Explained", "explained"),
    "no": ("Unexplained", "unexplained"),
    "failed": ("Failed", "failed"),
    "unscored": ("Not scored", "unscored"),
}
HUMAN: dict[str, tuple[str, Human | None]] = {
    "any": ("Any", None),
    "pinned": ("Pinned", "pinned"),
    "person": ("Written by a person", "person"),
}


@dataclass(frozen=True)
class NumberFilter:
    """A bound on the list that is typed in and kept in the address as `param`. `bounds`: what it bounds, as in
    `LatentQuery.bounds`; `scale`: typed numbers per unit of that, 100 for percent."""

    param: str
    label: str
    bounds: str
    upper: bool = False
    unit: str = ""
    scale: float = 1.0
    low: float = 0.0
    high: float = float(MAX_NUMBER)

    def parse(self, value: str | None) -> float | None:
        """The number in an address, `None` for what is none."""
        parsed = signed(value)
        return parsed if parsed is not None and parsed >= self.low else None

    def said(self, value: float) -> str:
        """`Density at least 0.5 %`."""
        return f"{self.label.removesuffix(f' ({self.unit})')} {value:g}{f' {self.unit}' if self.unit else ''}"


@dataclass(frozen=True)
class ScoreFilter:
    """A bound on the value of another score than the one shown. `key`: its kind, as in `ScoreKind.key`."""

    key: str
    least: float | None = None
    most: float | None = None


def parse_also(text: str | None) -> tuple[ScoreFilter, ...]:
    """The bounds on other scores in an address, `KEY!LEAST!MOST;...`, one for each kind; what is none is left out."""
    filters: dict[str, ScoreFilter] = {}
    for part in (text or "")[:4000].split(";"):
        key, *numbers = part.split("!")
        if key and len(numbers) == 2:
            key = current_key(unquote(key)) or ""
            filters[key] = ScoreFilter(key, *map(signed, numbers))
    return tuple(filters.values())


def write_also(filters: Iterable[ScoreFilter]) -> str | None:
    """The same as an address holds them."""

    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.15g}"

    parts = (f"{quote(each.key, safe='~@')}!{number(each.least)}!{number(each.most)}" for each in filters)
    return ";".join(parts) or None


MAX_SCORE = 1000.0
"""Either way; nats know no bounds."""
SCORE_FILTERS = (
    NumberFilter("min_low", "Score's lower bound at least", "ci_low", low=-MAX_SCORE, high=MAX_SCORE),
    NumberFilter("min_score", "Score at least", "score", low=-MAX_SCORE, high=MAX_SCORE),
    NumberFilter("max_score", "Score at most", "score", upper=True, low=-MAX_SCORE, high=MAX_SCORE),
    NumberFilter("min_above", "Score minus floor at least", "above_floor", low=-MAX_SCORE, high=MAX_SCORE),
)


def statistic_filters() -> list[NumberFilter]:
    """The bounds on statistics that the list offers."""
    filters = []
    for name, statistic in STATISTICS.items():
        percent = statistic.format in {"density", "share"}
        unit = "%" if percent else statistic.unit
        for side in statistic.filters:
            label = (
                f"{statistic.label} at {'least' if side == 'min' else 'most'}{f' ({unit})' if unit else ''}"
            )
            bound = NumberFilter(f"{side}_{statistic.key}", label, name, upper=side == "max", unit=unit)
            filters.append(replace(bound, scale=100.0, high=100.0) if percent else bound)
    return filters


@dataclass(frozen=True)
class FeaturesState:
    """The list. `filters`: the numbers typed, by the names of `NumberFilter`s; `dead`, `explained`, `human` and `verdict` are
    keys of their tables; `page` counts from 1.

    `score` (a kind of score, as in `ScoreKind.key`), `explainer`, `coder`, `kinds` of coders, `hookpoints`, `context`,
    `made_by`, `collection` and the kinds in `also` are as given: the page checks them against the store. `ordered`: whether the
    address names the sort.
    """

    coder: str | None
    kinds: tuple[str, ...]
    hookpoints: tuple[str, ...]
    sort: str
    ordered: bool
    descending: bool
    dead: Dead
    filters: Mapping[str, float]
    also: tuple[ScoreFilter, ...]
    score: str | None
    explained: str
    explainer: str | None
    made_by: str | None
    human: str
    collection: str | None
    verdict: str
    search: str
    mode: str
    context: str | None
    page: int

    @property
    def searching(self) -> bool:
        return bool(self.search) or self.context is not None

    def coders(self, infos: Iterable[CoderInfo]) -> list[str]:
        """Whose features it lists."""
        return [
            info.coder
            for info in infos
            if self.coder in (None, info.coder)
            and (not self.kinds or info.kind in self.kinds)
            and (not self.hookpoints or info.hookpoint in self.hookpoints)
        ]

    def bounds(self, *, scores: bool) -> dict[str, tuple[float | None, float | None]]:
        """For `LatentQuery.bounds`, with or without those on scores."""
        bounds: dict[str, tuple[float | None, float | None]] = {}
        for each in (*statistic_filters(), *(SCORE_FILTERS if scores else ())):
            if each.param in self.filters:
                value = self.filters[each.param] / each.scale
                least, most = bounds.get(each.bounds, (None, None))
                bounds[each.bounds] = (least, value) if each.upper else (value, most)
        return bounds

    @staticmethod
    def parse(params: Mapping[str, str]) -> "FeaturesState":
        search, context = params.get("search", "")[:500].strip(), params.get("context")
        searching = bool(search) or context is not None
        natural = "match" if searching else BEST
        given = params.get("sort")
        given = STATISTICS[given].key if given in STATISTICS else given
        sort = choice(given, sorts(), natural)
        typed = {
            bound.param: bound.parse(params.get(bound.param))
            for bound in (*statistic_filters(), *SCORE_FILTERS)
        }
        if sort == "match" and not searching:
            sort = natural
        return FeaturesState(
            coder=params.get("coder"),
            kinds=_several(params.get("kind")),
            hookpoints=_several(params.get("hookpoint")),
            sort=sort,
            ordered=sort == given,
            descending=choice(params.get("order"), ORDERS, "asc" if sort == "latent" else "desc") == "desc",
            dead=cast(Dead, choice(params.get("dead"), DEAD, "hide")),
            filters={param: value for param, value in typed.items() if value is not None},
            also=parse_also(params.get("also")),
            score=current_key(params.get("score")),
            explained=choice(params.get("explained"), STATES, "any"),
            explainer=params.get("explainer"),
            made_by=params.get("by"),
            human=choice(params.get("human"), HUMAN, "any"),
            collection=params.get("collection", "")[:MAX_NAME] or None,
            verdict=choice(params.get("verdict"), verdict_text.FILTERS, "any"),
            search=search,
            mode=choice(params.get("mode"), MODES, "regex" if flag(params.get("regex")) else "text"),
            context=context,
            page=max(1, whole(params.get("page")) or 1),
        )


def _several(value: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, (value or "")[:2000].split(","))))
