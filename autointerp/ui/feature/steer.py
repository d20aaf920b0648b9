"""Steering with this feature, where the contexts are otherwise."""

import numpy as np
import streamlit as st

from autointerp.sampling.windows import cut
from autointerp.ui.feature.state import STEER as PARAM
from autointerp.ui.feature.state import close_right
from autointerp.ui.shared import keyboard, steering
from autointerp.ui.shared.feature_data import Feature
from autointerp.ui.shared.state import change, current, flag
from autointerp.ui.shared.steering import SteerState
from autointerp.ui.shared.text import plain

HELP = "Continue a prompt with this feature raised, or held at zero, beside the model as it is"
EXAMPLE_TOKENS = 32


def is_open() -> bool:
    """Whether the address asks for it."""
    return flag(current().get(PARAM))


def button() -> None:
    """The way here."""
    keyboard.button(
        "Steer", "open_steer", "d", HELP, _open, icon=":material/tune:", type="tertiary", help=HELP
    )


def draw(feature: Feature) -> None:
    """Controls and continuations."""
    state = SteerState.parse(current())
    help_ = "Back to the feature's contexts"
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        keyboard.button(
            "Contexts", "close_steer", "Escape", help_, _close, icon=":material/arrow_back:", help=help_
        )
        st.markdown("**Steer**", width="content")
    steering.draw(feature.store, feature.coder, [feature.latent], state)
    if not state.prompt:
        _example(feature)


def _open() -> None:
    change(**{**close_right(), PARAM: True})


def _close() -> None:
    change(**{PARAM: None})


def _example(feature: Feature) -> None:
    """A prompt to begin with: the corpus up to the feature's strongest token."""
    acts = feature.activations
    if not len(acts.token):
        return
    peak = int(acts.token[int(np.argmax(acts.activation))])
    context, at = divmod(peak, feature.store.ctx_len)
    start = max(0, at + 1 - EXAMPLE_TOKENS)
    example = cut(acts, feature.store.tokens, context, start, at + 1)
    words = feature.store.vocabulary()
    ids = [token for token in example.token_ids.tolist() if not words.is_special(token)]
    text = words.decode_text(ids)[: steering.MAX_CHARS]
    st.button(
        f"Up to its strongest token: {plain(' '.join(text.split()), 110)}", key="steer_example", type="tertiary",
        icon=":material/play_arrow:", on_click=change, kwargs={"prompt": text},
    )  # fmt: skip
