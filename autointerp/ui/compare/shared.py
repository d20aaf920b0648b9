"""Which features of one coder another one has too: matched by the directions they read and write."""

from collections.abc import Sequence

import streamlit as st

from autointerp.compare import directions
from autointerp.store import Store
from autointerp.types import CoderInfo
from autointerp.ui.compare.coders import two
from autointerp.ui.shared import computed
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.text import plain


def draw(store: Store, infos: Sequence[CoderInfo]) -> None:
    """The view."""
    coders = two(infos)
    if coders is None:
        return
    table = computed.obtain(store, "directions", coders)
    if table is None:
        return
    found = directions.read(table, coders)
    for reason in found.absent.values():
        st.caption(plain(reason))
    for name, part in found.parts.items():
        side = part.sides[0]
        st.markdown(
            f"**{name}**: {fmt.share(float((side.cosine > 0.7).mean()))} of {plain(coders[0])} matched above cosine 0.7; "
            f"random directions {fmt.decimal(part.floor, 2)}"
        )
