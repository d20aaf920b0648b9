"""The feature as a static page to keep or to send."""

import streamlit as st

from autointerp.formats.html.write import page
from autointerp.ui.shared import roles, services
from autointerp.ui.shared.feature_data import Feature


def draw(feature: Feature) -> None:
    """The button that downloads it."""
    store, name, latent = feature.store, feature.coder.info.coder, feature.latent

    def made() -> bytes:
        with roles.turn():
            return page(store, services.annotations(store), [(name, latent)]).encode()

    st.download_button(
        "Download as HTML", made, f"{store.path.name}_{name}_{latent}.html", "text/html", key="save_page",
        on_click="ignore", type="tertiary", icon=":material/download:",
        help="One HTML file that works offline, without a server: explanations, scores, figures and contexts",
    )  # fmt: skip
