"""A latent's statistics as the pages write them; which there are is for `autointerp.store.STATISTICS` to say."""

from collections.abc import Callable
from typing import Any

from autointerp.store import STATISTICS, Statistic, Store
from autointerp.types import CoderInfo, LatentStats
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.text import quoted, token_name

_FORMATS: dict[str, Callable[[Any], str]] = {
    "count": fmt.count,
    "density": fmt.density,
    "share": fmt.share,
    "activation": fmt.activation,
    "decimal": fmt.decimal,
}
TokenText = Callable[[int], str]


def token_text(store: Store) -> TokenText:
    """The name of each token of the store."""
    vocabulary = store.vocabulary()
    return lambda token: token_name(vocabulary.text(token), vocabulary.bytes(token))


def value(statistic: Statistic, stats: LatentStats, ctx_len: int, text: TokenText) -> str:
    """One statistic alone. `text`: of a token id."""
    number = stats.values.get(statistic.name)
    if number is None or (stats.is_dead and statistic.format == "activation"):
        return fmt.NONE
    match statistic.format:
        case "token":
            return quoted(text(int(number)))
        case "place":
            return "{} : {}".format(*divmod(int(number), ctx_len))
        case kind:
            return _FORMATS[kind](number)


def cell(statistic: Statistic, stats: LatentStats, ctx_len: int, text: TokenText) -> list[str]:
    """A statistic, and the one that stands beside it."""
    both = [statistic, STATISTICS[statistic.beside]] if statistic.beside else [statistic]
    return [value(each, stats, ctx_len, text) for each in both]


SELECTED: dict[str, str] = {
    "stated": "as the imported files state it",
    "held": "in the selected contexts of the imported files, not in a corpus",
}
WIDE = 16
"""Values of more characters than this get two columns of the panel: long top tokens."""


def facts(stats: LatentStats, info: CoderInfo, text: TokenText) -> list[list[Any]]:
    """Name, value and meaning of each statistic in the panel of a feature, and whether it takes a wide cell."""
    rows = []
    for statistic in STATISTICS.values():
        if not statistic.in_panel or (info.selected and statistic.selected == "unknown"):
            continue
        help_ = statistic.help
        if info.selected:
            help_ += f": {SELECTED[statistic.selected]}"
        elif statistic.of is not None:
            help_ += f": {fmt.count(stats[statistic.name])} of {fmt.count(getattr(info, statistic.of))}"
        parts = cell(statistic, stats, info.ctx_len, text)[: 1 if info.selected else None]
        if statistic.unit and parts[0] != fmt.NONE:
            parts[0] += f" {statistic.unit}"
        value = " · ".join(parts)
        rows.append([statistic.short, value, help_, len(value) > WIDE])
    return rows
