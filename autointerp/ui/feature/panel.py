"""The left side of the Feature page: statistics, promoted and suppressed tokens, neighbours and a look into one of them."""

from collections.abc import Callable
from typing import Any

from autointerp.store import CoderStore, Store
from autointerp.types import CoderInfo, LatentStats, TokenLogit
from autointerp.ui.shared import components, data, payload
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.labels import RELATIONS
from autointerp.ui.shared.statistics import facts
from autointerp.ui.shared.text import quoted, token_name, visible

KEY = "panel"
PEEK_EXAMPLES = 4
PEEK_WINDOW = 24


def draw(
    store: Store,
    coder: CoderStore,
    latent: int,
    peek: int | None,
    *,
    on_open: Callable[[], None],
    on_peek: Callable[[], None],
) -> None:
    """The panel as one element."""
    components.panel(record(store, coder, latent, peek), key=KEY, on_open=on_open, on_peek=on_peek)


def record(store: Store, coder: CoderStore, latent: int, peek: int | None) -> dict[str, Any]:
    """Everything that the element draws."""
    info = coder.info
    around = data.surroundings(store, coder, latent)
    vocabulary = store.vocabulary()

    def text(token: int) -> str:
        return token_name(vocabulary.text(token), vocabulary.bytes(token))

    neighbours = []
    for kind, rows in around.neighbours.items():
        title, meaning = RELATIONS[kind]
        drawn = [
            {
                "latent": near.latent,
                "value": fmt.decimal(near.value, 2),
                "density": fmt.density(around.near_stats[near.latent].density),
                "token": _top_token(around.near_stats[near.latent], text),
            }
            for near in rows
        ]
        neighbours.append({"key": kind, "title": title, "help": meaning, "rows": drawn})
    return {
        "coder": info.coder,
        "latent": latent,
        "facts": facts(data.firing(store, coder, latent).stats, info, text),
        "promoted": [_logit(logit, text) for logit in around.promoted],
        "suppressed": [_logit(logit, text) for logit in around.suppressed],
        "no_logits": _no_logits(info),
        "neighbours": neighbours,
        "no_neighbours": "None stored for this feature: it shares neither direction nor tokens with another.",
        "peek": _peek(store, coder, peek) if peek in around.near_stats else None,
    }


def _top_token(stats: LatentStats, text: Callable[[int], str]) -> str:
    return "" if stats.top_token is None else quoted(text(stats.top_token))


def _logit(logit: TokenLogit, text: Callable[[int], str]) -> list[Any]:
    return [logit.token, visible(text(logit.token)), logit.value, fmt.signed(logit.value)]


def _no_logits(info: CoderInfo) -> str:
    return info.absent.get("promoted_tokens") or f"Not computed for {info.coder}."


def _peek(store: Store, coder: CoderStore, latent: int) -> dict[str, Any]:
    """The strongest contexts of a neighbour, seen without leaving."""
    firing = data.firing(store, coder, latent)
    table = payload.TokenTable(store.decode, store.vocabulary().is_special)
    window = min(PEEK_WINDOW, store.ctx_len)
    found = data.groups(store, coder, latent, data.Counts(top=PEEK_EXAMPLES), window)
    stats = firing.stats
    if stats.is_dead:
        note = "Dead: it fires nowhere."
    else:
        note = f"maximum {fmt.activation(stats.max_activation)}, {fmt.plural(stats.n_contexts, 'context')}; its strongest:"
    return {
        "latent": latent,
        "note": note,
        "max": stats.max_activation,
        "rows": [payload.row(example, table) for example in found.get("top", [])],
        "table": table.entries,
    }
