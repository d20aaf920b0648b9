"""“Test your own text”: run the subject model on a text and see where this feature fires."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from autointerp.errors import UserError
from autointerp.probe import ProbeResult
from autointerp.settings import DEFAULT_WINDOW
from autointerp.ui.shared import components, payload, probing
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.feature_data import Feature
from autointerp.ui.shared.state import bound, current
from autointerp.ui.shared.text import plain, quoted, sentence

PARAM = "text"
MAX_LISTED = 5
KEY = "tried"
HEIGHT = 68


@dataclass(frozen=True)
class Verdict:
    """What to say about a text."""

    fires: bool
    headline: str
    detail: str


def draw(feature: Feature) -> None:
    """A text field, and below it the text with this feature's activations. The text is the address's `text`."""
    text = current().get(PARAM, "")[: probing.MAX_CHARS]
    with components.room(HEIGHT):
        st.text_area(
            "Test your own text", height=HEIGHT, max_chars=probing.MAX_CHARS, label_visibility="collapsed",
            placeholder="Test your own text: does it fire? Ctrl+Enter runs the model; the text stays for the next feature.",
            **bound(PARAM, text, ""),
        )  # fmt: skip
    if text:
        with components.room():
            _answer(feature, text)


def _answer(feature: Feature, text: str) -> None:
    coder = feature.coder.info.coder
    try:
        probed = probing.run(feature.store, text, [coder])
    except UserError as error:
        st.error(sentence(error, 2000))
        return
    for reason in probed.failed.values():
        st.error(plain(reason, 2000))
    if not probed.failed:
        components.tried(record(feature, probed.result), key=KEY)
        st.page_link(
            "pages/probe.py", label="All features on this text", icon=":material/manage_search:",
            query_params={"text": text, "coders": coder},
        )  # fmt: skip


def record(feature: Feature, result: ProbeResult) -> dict[str, Any]:
    """Everything that the element draws."""
    top = feature.top
    acts = probing.prober(feature.store).latent(result, feature.coder.info.coder, feature.latent)
    table = payload.TokenTable(lambda _: list(result.texts), feature.store.vocabulary().is_special)
    maxima = window_maxima(feature.activations.token, feature.activations.activation, feature.store.ctx_len)
    judgement = verdict(acts, result, maxima, top)
    n_fires = int((acts > 0).sum())
    strongest = np.argsort(-acts, kind="stable")[: min(MAX_LISTED, n_fires)].tolist()
    return {
        "latent": feature.latent,
        "verdict": [judgement.fires, judgement.headline, judgement.detail],
        "row": payload.text_row(result.token_ids, acts, table),
        "table": table.entries,
        "max": max(top, float(acts.max(initial=0.0))),
        "listed": [
            [at, quoted(result.texts[at]), fmt.exact(float(acts[at])), fmt.share_of(float(acts[at]), top)]
            for at in strongest
        ],
        "more": n_fires - len(strongest),
        "notes": probing.notes(result),
    }


def window_maxima(
    token: NDArray[np.int64], activation: NDArray[np.float32], ctx_len: int, window: int = DEFAULT_WINDOW
) -> NDArray[np.float32]:
    """The latent's maximum in each window of the corpus where it fires, ascending: what deciles are taken of."""
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
        detail = "" if len(maxima) else "It is dead: it never fires in the corpus either."
        return Verdict(False, f"Does not fire on any of the {fmt.plural(n, 'token')}.", detail)
    at = int(acts.argmax())
    value = float(acts[at])
    headline = f"Fires on {fmt.count(fires)} of {fmt.plural(n, 'token')}."
    strongest = f"Strongest on “{quoted(result.texts[at])}”: {fmt.activation(value)}"
    if not len(maxima):
        return Verdict(True, headline, f"{strongest}. It never fires in the corpus: nothing to compare with.")
    if value > top:
        above = (
            f"{strongest}, {fmt.share_of(value, top)} of its maximum: stronger than anywhere in the corpus."
        )
        return Verdict(True, headline, above)
    below = float(np.searchsorted(maxima, np.float32(value), side="left")) / len(maxima)
    quantile = min(9, int((1 - below) * 10 - 1e-9)) if below < 1 else 0
    detail = (
        f"{strongest}, {fmt.share_of(value, top)} of its maximum: stronger than {fmt.share(below)} of the "
        f"{fmt.plural(len(maxima), 'window')} in which it fires ({payload.decile(quantile)})."
    )
    return Verdict(True, headline, detail)
