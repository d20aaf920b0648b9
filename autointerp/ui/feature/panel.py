"""The left side of the Feature page: statistics, promoted and suppressed tokens, neighbours and a look into one of them,
counterparts in the other coders."""

import math
from collections.abc import Callable
from typing import Any

from autointerp.store import STATISTICS
from autointerp.types import Relation, TokenLogit
from autointerp.ui.feature import elsewhere, examples
from autointerp.ui.feature.state import FeatureState
from autointerp.ui.shared import components, feature_data, payload
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.context_rows import DRAWN
from autointerp.ui.shared.explained import explained
from autointerp.ui.shared.feature_data import Feature
from autointerp.ui.shared.state import change
from autointerp.ui.shared.statistics import facts, token_text
from autointerp.ui.shared.text import MAX_TOKEN, beginning, quoted

KEY = "panel"
RELATIONS: dict[Relation, tuple[str, str]] = {
    "decoder": ("by decoder", "Cosine similarity of decoder directions: features that write alike"),
    "encoder": ("by encoder", "Cosine similarity of encoder directions: features that read alike"),
    "cofiring": ("co-firing", "Jaccard index of the tokens on which two features fire"),
}
PEEK_EXAMPLES = 4
PEEK_WINDOW = 24


def draw(
    feature: Feature, state: FeatureState, *, on_open: Callable[[], None], on_peek: Callable[[], None]
) -> None:
    """The panel as one element; below it, what would tell more of the other coders."""
    others = elsewhere.read(feature)
    drawn = record(feature, state.peek, state.near) | {"others": elsewhere.record(feature, others, state.by)}
    with components.room(height(drawn)):
        clicked = components.panel(drawn, key=KEY, on_open=on_open, on_peek=on_peek, on_near=_near)
    if clicked and "compare" in clicked:
        components.go("compare", {"view": "pair", **clicked["compare"]})
    with components.room():
        elsewhere.offer(feature.store, others)


def height(drawn: dict[str, Any]) -> float:
    """How many pixels the element takes at least, see panel.css."""
    logits = max(len(drawn["promoted"]), len(drawn["suppressed"]))
    near = next((relation["rows"] for relation in drawn["neighbours"] if relation["rows"]), [])
    explained = sum("says" in row for row in near)
    return 41 * math.ceil(len(drawn["facts"]) / 3) + 21 * logits + 80 + 20 * len(near) + 20 * explained


def _near() -> None:
    """Another list of neighbours, or of features of other coders."""
    kind = components.triggered(KEY, "near")
    if kind in RELATIONS:
        change(near=str(kind), peek=None)
    elif isinstance(kind, str) and kind.removeprefix("other_") in elsewhere.LABELS:
        change(by=kind.removeprefix("other_"))


def record(feature: Feature, peek: int | None, near: str | None = None) -> dict[str, Any]:
    """Everything that the element draws."""
    info = feature.coder.info
    around = feature_data.surroundings(feature)
    text = token_text(feature.store)

    said = explained(feature.store, info.coder, list(around.stats))

    def near_row(latent: int, value: float) -> dict[str, Any]:
        stats = around.stats[latent]
        token = "" if stats.top_token is None else quoted(text(stats.top_token))
        density = fmt.density(stats.density)
        row = {"latent": latent, "value": fmt.decimal(value, 2), "density": density, "token": token}
        return row | said.get(latent, {})

    def logit(row: TokenLogit) -> list[Any]:
        return [row.token, beginning(text(row.token), MAX_TOKEN), row.value, fmt.signed(row.value)]

    sampled = info.cofiring_share is not None and info.cofiring_share < 1
    return {
        **feature.address,
        "facts": [_led(feature, fact) for fact in facts(feature.stats, info, text)],
        "promoted": [logit(token) for token in around.promoted],
        "suppressed": [logit(token) for token in around.suppressed],
        "logit_unit": f"By the decoder's direct effect; {info.logit_unit}",
        "no_logits": info.absent.get("promoted_tokens") or f"Not computed for {info.coder}.",
        "neighbours": [
            {
                "key": kind,
                "title": RELATIONS[kind][0] + (", sampled" if kind == "cofiring" and sampled else ""),
                "help": RELATIONS[kind][1]
                + (f", {_counted(info.cofiring_share)}" if kind == "cofiring" else ""),
                "rows": [near_row(near.latent, near.value) for near in rows],
            }
            for kind, rows in around.neighbours.items()
        ],
        "no_neighbours": next(
            (info.absent[relation] for relation in RELATIONS if relation in info.absent),
            "None: no feature has a similar direction or fires on the same tokens.",
        ),
        "near": near,
        "peek": _peek(feature, peek) if peek is not None and peek in around.stats else None,
    }


def _led(feature: Feature, fact: list[Any]) -> list[Any]:
    """A statistic; the one that names a place leads to it."""
    if fact[0] != STATISTICS["peak_token"].short or feature.stats.is_dead:
        return fact
    context, position = divmod(int(feature.stats["peak_token"]), feature.store.ctx_len)
    return [*fact, {"context": context, "start": position // DRAWN * DRAWN}]


def _counted(share: float | None) -> str:
    """Which tokens the Jaccard index of co-firing is about."""
    if share is None:
        return "counted on a sample of the contexts where the corpus is large"
    return (
        "counted on all tokens" if share == 1 else f"counted on a sample of {fmt.share(share)} of the tokens"
    )


def _peek(feature: Feature, latent: int) -> dict[str, Any]:
    """The strongest contexts of a neighbour, seen without leaving."""
    near = feature_data.load(feature.store, feature.coder, latent)
    table = payload.token_table(feature.store)
    window = min(PEEK_WINDOW, feature.store.ctx_len)
    strongest = examples.strongest(near, PEEK_EXAMPLES, window)
    stats = near.stats
    if stats.is_dead:
        note = "No contexts." if near.coder.info.selected else "Dead: it never fires."
    else:
        note = f"maximum {fmt.activation(stats.max_activation)}, {fmt.plural(stats.n_contexts, 'context')}; the strongest:"
    return {
        "latent": latent,
        "note": note,
        "max": near.top,
        "rows": [payload.row(example, table) for example in strongest],
        "table": table.entries,
    }
