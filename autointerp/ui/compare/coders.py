"""The two coders that a view of Compare is about."""

from collections.abc import Sequence

import streamlit as st

from autointerp.models.coders import registry
from autointerp.types import CoderInfo
from autointerp.ui.shared.state import choose, current, unknown_coder


def two(infos: Sequence[CoderInfo]) -> tuple[str, str] | None:
    """The coders `a` and `b` of the address, by default the first two trained ones; boxes to choose others stand here. `None`
    where the store has only one."""
    names = [info.coder for info in infos]
    if len(names) < 2:
        st.info(
            "This store has one coder; a comparison needs two. Cache another one into the same store, then reload."
        )
        return None
    trained = [info.coder for info in infos if not registry.kind(info.kind).is_control]
    first, second = [*trained, *(name for name in names if name not in trained)][:2]
    params = current()
    chosen = []
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        for parameter, label, default in (("a", "Coder", first), ("b", "Compared with", second)):
            asked = params.get(parameter, default)
            if asked not in names:
                unknown_coder(asked, names, parameter=parameter)
                asked = default
            options = {name: name for name in names}
            choose(
                st.selectbox, label, options, parameter, asked, default, label_visibility="visible", width=220
            )
            chosen.append(asked)
    return chosen[0], chosen[1]
