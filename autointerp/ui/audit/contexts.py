"""The contexts that an explanation is judged by: held out, in the groups of the Feature page, and more of them on request. What
the audit hides is not in what the browser gets."""

from collections.abc import Mapping, Sequence
from typing import Any

from autointerp.audit.order import Entry
from autointerp.types import Example, Group
from autointerp.ui.audit.answers import Desk
from autointerp.ui.audit.shelf import Shown
from autointerp.ui.shared import components, context_rows, payload, services
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.context_rows import Section, Wide, sight
from autointerp.ui.shared.state import change, current, whole

KEY = "contexts"
MAX_MORE = 10
HEAD = {"random": 5, "top": 5}
HEAD_NEGATIVES = 3
"""Of each source, before "more"."""
TITLES: Mapping[Group, tuple[str, str, str]] = {
    "random": ("Random positives", "any in which it fires", "None."),
    "top": ("Top", "those in which it fires most strongly", "None."),
    "quantiles": (
        "Deciles",
        "one of each activation decile, 1 = strongest",
        "Too few activating windows for deciles.",
    ),
    "non_activating": ("Non-activating", "it does not fire here", "None: it fires in every context."),
}


def draw(desk: Desk, entry: Entry, shown: Shown) -> None:
    """The element."""
    components.contexts(record(desk, entry, shown), key=KEY, on_open=lambda: None, on_act=_acted)


def _acted() -> None:
    sent = components.triggered(KEY, "act")
    if not isinstance(sent, dict):
        return
    if sent.get("more") in TITLES:
        group = str(sent["more"])
        change(**{f"more_{group}": min(_more(group) + 1, MAX_MORE)})
    elif "wide" in sent:
        change(wide=str(sent["wide"]) or None)


def _more(group: str) -> int:
    return min(whole(current().get(f"more_{group}")) or 0, MAX_MORE)


def record(desk: Desk, entry: Entry, shown: Shown) -> dict[str, Any]:
    """Everything that the element draws; see `Feature`'s for what is in it."""
    feature = shown.feature
    table = payload.token_table(desk.store)
    groups = []
    for group in TITLES:
        drawn = _head(group, (shown.groups or {})[group])
        pages = _more(group)
        if pages:
            shown_first = {id(example) for example in drawn}
            drawn += [each for each in (shown.groups or {})[group] if id(each) not in shown_first]
        for page in range(1, pages):
            drawn += shown.further(services.resources(desk.store), desk.audit, entry, group, page)
        groups.append(_section(group, drawn))
    wide = Wide.parse(current().get("wide"))
    return {
        "rev": f"{desk.audit.id} {entry.item} {entry.round}",
        "from_top": True,
        "max": feature.top,
        "top": fmt.activation(feature.top),
        "hist": None,
        "view": {"align": False, "whitespace": False, "full": False, "breaks": False},
        "groups": [
            section.head | {"rows": [_row(shown, section, each, table) for each in section.rows]}
            for section in groups
        ],
        "table": table.entries,
        "linked": "",
        "wide": context_rows.widened(feature, wide) if wide else None,
    }


def _head(group: Group, drawn: Sequence[Example]) -> list[Example]:
    """A few, as the Feature page shows first."""
    if group in HEAD:
        return list(drawn[: HEAD[group]])
    if group == "quantiles":
        return list({example.quantile: example for example in reversed(drawn)}.values())[::-1]
    by_source = [[each for each in drawn if (each.source == "neighbours") is hard] for hard in (False, True)]
    return [each for source in by_source for each in source[:HEAD_NEGATIVES]]


def _section(group: Group, drawn: Sequence[Example]) -> Section:
    title, note, empty = TITLES[group]
    n_hard = sum(example.source == "neighbours" for example in drawn)
    hard = f"; {n_hard} hard: a similar feature fires there" if n_hard else ""
    more = bool(drawn) and _more(group) < MAX_MORE
    return Section(group, title, note + hard, [sight(example) for example in drawn], empty, more)


def _row(shown: Shown, section: Section, example: Any, table: payload.TokenTable) -> dict[str, Any]:
    drawn = context_rows.row(shown.feature, section.key, example, table)
    return drawn | {"h": None} if "h" in drawn else drawn  # which feature fires there would tell where we are
