"""One text, two coders: the strongest features of each under every token."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from autointerp.errors import UserError
from autointerp.probe import TextActivations
from autointerp.store import CoderStore, Store
from autointerp.types import CoderInfo
from autointerp.ui.compare.coders import pair_of, two
from autointerp.ui.shared import components, probing
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.explained import explained
from autointerp.ui.shared.session import file_identity
from autointerp.ui.shared.state import bound, change, choice, choose, current, suggest, whole
from autointerp.ui.shared.text import MAX_TOKEN, beginning, plain, quoted, sentence, visible

KEY = "strips"
DEPTHS = {"1": "1", "3": "3", "5": "5"}
RESET = ("token",)
MAX_EXPLANATION = 200


@dataclass(frozen=True)
class Shown:
    """A text and what fired. `ids`, `texts`: of its tokens; `fired` by coder; `said`: what it is, in a line; `start`: token
    index of its first token in the corpus, `None` for a typed text."""

    ids: NDArray[np.integer]
    texts: Sequence[str]
    fired: Mapping[str, TextActivations]
    said: str
    start: int | None


def draw(store: Store, infos: Sequence[CoderInfo]) -> None:
    """The view."""
    coders = two(infos)
    if coders is None:
        return
    text, context = _controls(store)
    try:
        shown = _typed(store, text, coders) if text else _corpus(store, context, coders)
    except UserError as error:
        st.error(sentence(error, 2000))
        return
    if shown is None or len(shown.fired) < 2:
        return
    depth = int(choice(current().get("depth"), DEPTHS, "3"))
    token = whole(current().get("token"))
    token = token if token is not None and token < len(shown.ids) else None
    st.caption(plain(shown.said))
    clicked = components.strips(_record(store, shown, depth, token), key=KEY, on_token=_token_clicked)
    if clicked:
        components.go("feature", {name: str(clicked[name]) for name in ("coder", "latent")})
    if token is not None:
        _at_token(store, shown, token)


def _controls(store: Store) -> tuple[str, str | None]:
    """The typed text, empty for none, and the context as asked for."""
    params = current()
    text = params.get("text", "")[: probing.MAX_CHARS]
    st.text_area(
        "Text", height=92, max_chars=probing.MAX_CHARS, label_visibility="collapsed",
        placeholder="Type a text and press Ctrl+Enter, or leave this empty to look at a context of the corpus",
        **bound("text", text, "", reset=RESET),
    )  # fmt: skip
    asked = params.get("context")
    context = whole(asked)
    usual = store.n_contexts // 2
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.number_input(
            "Context", min_value=0, max_value=store.n_contexts - 1, step=1, width=140, disabled=bool(text),
            help="Number of a context of the corpus, used when no text is typed",
            **bound("context", usual if context is None or context >= store.n_contexts else context, reset=RESET),
        )  # fmt: skip
        depth = choice(params.get("depth"), DEPTHS, "3")
        choose(
            st.segmented_control, "Features per token", DEPTHS, "depth", depth, "3", label_visibility="visible",
            help="How many of each coder are shown under a token, strongest first",
        )  # fmt: skip
    return text, asked


def _typed(store: Store, text: str, coders: Sequence[str]) -> Shown | None:
    probed = probing.run(store, text, coders)
    for reason in probed.failed.values():
        st.error(plain(reason, 2000))
    result = probed.result
    said = " ".join(["Your text.", *probing.notes(result)])
    return Shown(result.token_ids, result.texts, result.coders, said, None)


def _corpus(store: Store, asked: str | None, coders: Sequence[str]) -> Shown | None:
    context = store.n_contexts // 2 if asked is None else whole(asked)
    if context is None or context >= store.n_contexts:
        st.warning(
            f"Context {plain(asked or '', 60)} does not exist: contexts are numbered 0 to {store.n_contexts - 1:,}."
        )
        near = sorted({0, store.n_contexts // 2, store.n_contexts - 1})
        suggest((f"context {each}", {"context": each, "token": None}) for each in near)
        return None
    first = context * store.ctx_len
    fired = {name: _fired(store, store.coder(name), context) for name in coders}
    document = store.document_of(first)
    of = f", in {quoted(document.name)}" if document else ""
    ids = store.tokens[context]
    return Shown(ids, store.decode(ids.tolist()), fired, f"Context {context:,} of the corpus{of}.", first)


@st.cache_resource(
    show_spinner=False, max_entries=64,
    hash_funcs={Store: lambda store: str(store.path), CoderStore: lambda coder: file_identity(coder.info)},
)  # fmt: skip
def _fired(store: Store, coder: CoderStore, context: int) -> TextActivations:
    first = context * store.ctx_len
    token, latent, activation = coder.fired_between(first, first + store.ctx_len)
    return TextActivations(token - first, latent, activation, np.zeros(store.ctx_len, dtype=bool))


def _record(store: Store, shown: Shown, depth: int, token: int | None) -> dict[str, Any]:
    """Everything that the element draws: of each coder, by token, the strongest features as places in its list of features and
    activations."""
    special = store.vocabulary().is_special
    table = [
        [token_id, beginning(text, MAX_TOKEN), 1 if special(token_id) else 0]
        for token_id, text in zip(shown.ids.tolist(), shown.texts, strict=True)
    ]
    layers = []
    for name, fired in shown.fired.items():
        best = [_strongest(fired, at, depth) for at in range(len(table))]
        latents = sorted({latent for row in best for latent, _ in row})
        places = {latent: place for place, latent in enumerate(latents)}
        said = explained(store, name, latents)
        maxima = store.coder(name).table().columns["max_activation"]
        layers.append(
            {
                "coder": name,
                "name": visible(name),
                "latents": latents,
                "max": [float(maxima[latent]) for latent in latents],
                "says": [_says(said.get(latent)) for latent in latents],
                "cells": [[[places[latent], value] for latent, value in row] for row in best],
            }
        )
    start = 0 if shown.start is None else shown.start % store.ctx_len
    context = None if shown.start is None else shown.start // store.ctx_len
    return {
        "table": table, "layers": layers, "depth": depth, "token": -1 if token is None else token,
        "start": start, "context": context,
    }  # fmt: skip


def _strongest(fired: TextActivations, at: int, n: int | None) -> list[tuple[int, float]]:
    """Latents that fire on a token with their activations, strongest first."""
    low, high = np.searchsorted(fired.position, (at, at + 1))
    order = np.argsort(-fired.activation[low:high], kind="stable")[:n] + low
    return list(zip(fired.latent[order].tolist(), fired.activation[order].tolist(), strict=True))


def _says(said: dict[str, Any] | None) -> str:
    text = (said or {}).get("says", {}).get("text", "not explained")
    return text if len(text) <= MAX_EXPLANATION else text[: MAX_EXPLANATION - 1] + "…"


def _at_token(store: Store, shown: Shown, token: int) -> None:
    """All that fires on one token, of each coder, and the way to compare the strongest two."""
    st.markdown(f"**On “{plain(quoted(shown.texts[token]))}”**")
    strongest: list[tuple[str, int]] = []
    for side, (column, (name, fired)) in enumerate(zip(st.columns(2), shown.fired.items(), strict=True)):
        rows = _strongest(fired, token, None)
        strongest += [(name, latent) for latent, _ in rows[:1]]
        maxima = store.coder(name).table().columns["max_activation"]
        said = explained(store, name, [latent for latent, _ in rows])
        columns = [
            {"title": visible(name), "kind": "link", "cls": "name"},
            {"title": "Activation", "num": True},
            {"title": "Of max", "num": True, "help": "As a share of the feature's maximum in the corpus"},
            {"title": "Explanation", "kind": "explanation"},
        ]
        drawn = [
            {
                "go": {"coder": name, "latent": latent},
                "cells": [
                    f"#{latent}", fmt.activation(value), fmt.share_of(value, float(maxima[latent])),
                    said.get(latent, {}).get("says", {"none": "not explained"}),
                ],
            }
            for latent, value in rows
        ]  # fmt: skip
        with column:
            if drawn:
                components.links(columns, drawn, page="feature", key=f"{KEY}_at_{side}")
            else:
                st.caption(f"No feature of {plain(name)} fires on this token.")
    if len(strongest) == 2:
        (a, latent_a), (b, latent_b) = strongest
        st.button(
            f"Compare {plain(a)} \\#{latent_a} with {plain(b)} \\#{latent_b}", key=f"{KEY}_compare",
            icon=":material/compare_arrows:", on_click=change,
            kwargs=pair_of((a, latent_a), (b, latent_b)),
        )  # fmt: skip


def _token_clicked() -> None:
    position = components.triggered(KEY, "token")
    if isinstance(position, int):
        change(token=position if position >= 0 else None)
