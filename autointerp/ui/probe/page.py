"""The Probe page: type a text, rank the features that fire on it, go to one."""

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from autointerp.errors import UserError
from autointerp.models.coders import registry
from autointerp.probe import Ranking
from autointerp.store import Store
from autointerp.types import CoderInfo
from autointerp.ui.probe.record import record
from autointerp.ui.probe.state import MAX_ROWS, PAGE, RANKS, SCALES, ProbeState
from autointerp.ui.shared import components, keyboard, probing, steering
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.session import heading, messages, open_store
from autointerp.ui.shared.state import bound, change, choose, current, unknown_coder
from autointerp.ui.shared.steering import SteerState
from autointerp.ui.shared.text import plain, quoted, sentence

KEY = "probe"
RANK_HELP = (
    "Rank features by maximum activation on the text, by the sum over its tokens, or by the activation on the token you "
    "click"
)
SCALE_HELP = (
    "Raw activations, or shares of each feature's maximum in the corpus, which are comparable between coders"
)
EXAMPLES = (
    ">>> import numpy as np\n>>> np.arange(6).reshape(2, 3)\narray([[0, 1, 2],\n       [3, 4, 5]])",
    "Returns the number of items in the list, or None if the list is empty.",
    "Raises ValueError if `axis` is not an integer between 0 and 3.",
    "The integral $x_{i}^{2} + \\alpha$ converges (see the notes below).",
)
CORPUS_TOKENS = 40
MAX_DEFAULT = 6
"""Coders chosen when none is: trained ones, this many at most."""


def draw() -> None:
    """The page."""
    with messages():
        store = open_store()
        infos = store.coders()
        if not infos:
            heading("Probe")
            components.no_coders()
            return
        _body()


@st.fragment
def _body() -> None:
    with messages(), keyboard.listening():
        heading("Probe")
        store = open_store()
        infos = store.coders()
        state = ProbeState.parse(current())
        coders = _chosen(state, infos)
        # Activations of different coders are on different scales: side by side, only shares compare.
        state = replace(state, scale=state.scale or ("activation" if len(coders) == 1 else "share"))
        _controls(state, infos, coders)
        if not state.text:
            _examples(store)
        elif not coders:
            st.info("Choose at least one coder.")
        else:
            _results(store, state, coders)


def _chosen(state: ProbeState, infos: Sequence[CoderInfo]) -> list[str]:
    """Coders of the address that exist, in the store's order; a message for those that do not."""
    names = [info.coder for info in infos]
    if state.coders is None:
        trained = [info.coder for info in infos if not registry.kind(info.kind).is_control]
        return (trained or names)[:MAX_DEFAULT]
    for unknown in [name for name in state.coders if name not in names][:3]:
        unknown_coder(unknown, names, parameter="coders")
    return [name for name in names if name in state.coders]


def _controls(state: ProbeState, infos: Sequence[CoderInfo], coders: list[str]) -> None:
    st.text_area(
        "Text", height=92, max_chars=probing.MAX_CHARS, label_visibility="collapsed",
        placeholder="Type a text and press Ctrl+Enter: which features fire on it?",
        **bound("text", state.text, "", reset=("token", "rows")),
    )  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="top", gap="small"):
        st.pills(
            "Coders", [info.coder for info in infos], selection_mode="multi", wrap=True, width=500,
            **bound("coders", coders, reset=("rows",), encode=",".join, firm=True),
        )  # fmt: skip
        look = {"reset": ("rows",), "label_visibility": "visible"}
        choose(st.segmented_control, "Rank by", {**RANKS}, "rank", state.rank, "max", help=RANK_HELP, **look)
        choose(st.segmented_control, "Scale", SCALES, "scale", state.scale, help=SCALE_HELP, **look)
        clipped = None if state.density is None else min(state.density, 100.0)
        st.number_input(
            "Density at most (%)", min_value=0.0, max_value=100.0, step=None, format="%g", placeholder="any", width=150,
            help="Hide features that fire on a larger share of the corpus's tokens",
            **bound("density", clipped, reset=("rows",)),
        )  # fmt: skip


def _examples(store: Store) -> None:
    st.markdown("Type a text above, or try one of these:")
    with st.container(gap=None):
        for index, text in enumerate((*EXAMPLES, _passage(store))):
            label = plain(" ".join(text.split()), 110)
            if index == len(EXAMPLES):
                label = f"From the corpus: {label}"
            st.button(
                label, key=f"example_{index}", type="tertiary", icon=":material/play_arrow:", on_click=change,
                kwargs={"text": text},
            )  # fmt: skip


def _passage(store: Store) -> str:
    """The beginning of a context in the middle of the corpus."""
    row = store.tokens[store.n_contexts // 2][1 : CORPUS_TOKENS + 1]
    return store.vocabulary().decode_text(row)[: probing.MAX_CHARS]


def _results(store: Store, state: ProbeState, coders: list[str]) -> None:
    try:
        probed = probing.run(store, state.text, coders)
    except UserError as error:
        st.error(sentence(error, 2000))
        return
    for reason in probed.failed.values():
        st.error(plain(reason, 2000))
    result = probed.result
    if not result.coders:
        return
    for note in probing.notes(result):
        st.caption(plain(note))
    _steer(store, state, [name for name in coders if name in result.coders])
    prober = probing.prober(store)
    token = state.token if state.token is not None and state.token < len(result.token_ids) else None
    ranking = Ranking([], 0, 0)
    if state.rank != "token" or token is not None:
        ranking = prober.rank(
            result,
            state.rank,
            token=token,
            max_density=None if state.density is None else state.density / 100,
            relative=state.scale == "share",
            limit=state.rows,
        )
    summary = _summary(state, ranking, result.texts[token] if token is not None else None, len(result.coders))
    clicked = components.probe(
        record(store, result, ranking, state, token, summary), key=KEY, on_token=_token_clicked
    )
    if clicked:
        components.go(
            "feature",
            {
                "coder": str(clicked["coder"]),
                "latent": str(clicked["latent"]),
                "text": state.text,
            },
        )
    n_more = ranking.n_firing - ranking.n_dense - len(ranking.rows)
    if n_more > 0 and state.rows < MAX_ROWS:
        st.button(
            f"Show {min(PAGE, n_more)} more",
            on_click=change,
            kwargs={"rows": min(state.rows + PAGE, MAX_ROWS)},
        )


def _steer(store: Store, state: ProbeState, coders: Sequence[str]) -> None:
    """Features to steer the text's continuation with; nothing runs before there are any."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.text_input(
            "Steer with features", max_chars=200, width=260, placeholder="numbers, such as 12 40",
            help="Continue the text with these features raised together, or held at zero, beside the model as it is",
            **bound("steer", state.steer, ""),
        )  # fmt: skip
        coder = next((name for name in coders if name == state.of), coders[0])
        if len(coders) > 1:
            choose(st.selectbox, "of", {name: name for name in coders}, "of", coder, coders[0], width=200)
    if not state.steer.strip():
        return
    parts = state.steer.replace(",", " ").replace("#", " ").split()
    try:
        opened = store.coder(coder)
        latents = [opened.check_latent(part) for part in parts]
    except UserError as error:
        st.error(sentence(error, 2000))
        return
    chosen = SteerState.parse({**current(), "prompt": state.text})
    steering.draw(store, opened, latents, chosen, asks_prompt=False)


def _summary(state: ProbeState, ranking: Ranking, token: str | None, n_coders: int) -> str:
    """What the list is, in a line."""
    if state.rank == "token" and token is None:
        return "Click a token to rank features by their activation on it."
    of = fmt.plural(n_coders, "coder")
    where = f"on “{quoted(token)}”" if state.rank == "token" and token is not None else "on this text"
    if not ranking.n_firing:
        return f"No feature of {of} fires {where}."
    dense = f", {fmt.count(ranking.n_dense)} hidden by the density limit" if ranking.n_dense else ""
    shown = f"; the first {fmt.count(len(ranking.rows))}" if ranking.rows else ""
    by = {"max": "maximum", "sum": "sum", "token": "activation there"}[state.rank]
    scale = " as a share of each feature's maximum in the corpus" if state.scale == "share" else ""
    return f"{fmt.plural(ranking.n_firing, 'feature')} of {of} fire {where}{dense}{shown} by {by}{scale}."


def _token_clicked() -> None:
    position = components.triggered(KEY, "token")
    if isinstance(position, int) and position >= 0:
        change(token=position, rank="token", rows=None)
    elif position == -1:
        change(token=None, rank=None, rows=None)
