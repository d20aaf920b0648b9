"""“Test your own text” on the Feature page: run the subject model on a text and see where one feature fires."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from autointerp.errors import UserError
from autointerp.probe import ProbeResult
from autointerp.settings import DEFAULT_WINDOW
from autointerp.store import CoderStore, Store
from autointerp.ui.shared import components, data, payload, probing
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.state import bound, current
from autointerp.ui.shared.text import plain, quoted, sentence

PARAM = "text"
MAX_LISTED = 5
KEY = "tried"


@dataclass(frozen=True)
class Verdict:
    """What to say about a text. `fires` is false for silence; `figures` reads like "3 of 14 tokens"."""

    fires: bool
    headline: str
    detail: str


def draw(store: Store, coder: CoderStore, latent: int) -> None:
    """A text field, and below it the text with this feature's activations. The text is the address's `text`."""
    text = current().get(PARAM, "")[: probing.MAX_CHARS]
    st.text_area(
        "Test your own text", height=68, max_chars=probing.MAX_CHARS, label_visibility="collapsed",
        placeholder="Test your own text: does it fire here? Ctrl+Enter runs the model; the text stays as you step on.",
        **bound(PARAM, text, encode=lambda v: v or None),
    )  # fmt: skip
    if not text:
        return
    try:
        found = probing.run(store, text, [coder.info.coder])
    except UserError as error:
        st.error(sentence(error, 2000))
        return
    for reason in found.failed.values():
        st.error(plain(reason, 2000))
    if not found.failed:
        components.tried(record(store, coder, latent, found.result), key=KEY)
        st.page_link(
            "pages/probe.py", label="All features on this text", icon=":material/manage_search:",
            query_params={"text": text, "coders": coder.info.coder},
        )  # fmt: skip


def record(store: Store, coder: CoderStore, latent: int, result: ProbeResult) -> dict[str, Any]:
    """Everything that the element draws."""
    firing = data.firing(store, coder, latent)
    top = firing.stats.max_activation
    acts = probing.prober(store).latent(result, coder.info.coder, latent)
    table = payload.TokenTable(lambda _: list(result.texts), store.vocabulary().is_special)
    row = payload.typed_row(result.token_ids, acts, table)
    maxima = window_maxima(firing.activations.token, firing.activations.activation, store.ctx_len)
    said = verdict(acts, result, maxima, top)
    strongest = np.argsort(-acts, kind="stable")[: min(MAX_LISTED, int((acts > 0).sum()))].tolist()
    return {
        "latent": latent,
        "verdict": [said.fires, said.headline, said.detail],
        "row": row,
        "table": table.entries,
        "max": max(top, float(acts.max(initial=0.0))),
        "listed": [
            [at, quoted(result.texts[at]), fmt.exact(float(acts[at])), _share(float(acts[at]), top)]
            for at in strongest
        ],
        "more": int((acts > 0).sum()) - len(strongest),
        "notes": probing.notes(result),
    }


def window_maxima(
    token: NDArray[np.int64], activation: NDArray[np.float32], ctx_len: int, window: int = DEFAULT_WINDOW
) -> NDArray[np.float32]:
    """The latent's maximum in each window of the corpus where it fires, ascending: what quantiles are taken of."""
    if not len(token):
        return np.zeros(0, dtype=np.float32)
    of = token // ctx_len * -(-ctx_len // window) + token % ctx_len // window
    starts = np.flatnonzero(np.diff(of, prepend=-1))
    return np.sort(np.maximum.reduceat(activation, starts))


def verdict(
    acts: NDArray[np.float32], result: ProbeResult, maxima: NDArray[np.float32], top: float
) -> Verdict:
    """Whether it fires and how strongly, in words. `maxima`: of the corpus's windows, ascending; `top`: the largest."""
    n, fires = len(acts) - result.n_added, int((acts > 0).sum())
    if not fires:
        detail = "It is dead: it fires nowhere in the corpus either." if not len(maxima) else ""
        return Verdict(False, f"Does not fire on any of the {fmt.plural(n, 'token')}.", detail)
    at = int(acts.argmax())
    value = float(acts[at])
    headline = f"Fires on {fmt.count(fires)} of {fmt.plural(n, 'token')}."
    strongest = f"Strongest on “{quoted(result.texts[at])}”: {fmt.activation(value)}"
    if not len(maxima):
        return Verdict(
            True, headline, f"{strongest}. In the corpus it is dead: there is nothing to compare with."
        )
    if value > top:
        return Verdict(
            True,
            headline,
            f"{strongest}, {_share(value, top)} of its maximum: stronger than anywhere in the corpus.",
        )
    below = float(np.searchsorted(maxima, np.float32(value), side="left")) / len(maxima)
    tenth = min(9, int((1 - below) * 10 - 1e-9)) if below < 1 else 0
    return Verdict(
        True,
        headline,
        f"{strongest}, {_share(value, top)} of its maximum: stronger than {_part(below)} of the "
        f"{fmt.plural(len(maxima), 'window')} it fires in ({payload.QUANTILE_LABELS[tenth]}).",
    )


def _share(value: float, top: float) -> str:
    return fmt.share(value / top) if top > 0 else fmt.NONE


def _part(fraction: float) -> str:
    """A share that says 100 % only when it is all."""
    return ">99 %" if 0.995 <= fraction < 1 else fmt.share(fraction)
