"""The coders that a view of Compare is about."""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from operator import attrgetter

import streamlit as st

from autointerp.errors import nearest
from autointerp.models.coders import registry
from autointerp.types import CoderInfo
from autointerp.ui.shared.state import bound, choose, current, suggest, unknown_coder
from autointerp.ui.shared.text import plain

Place = tuple[str, int]
"""Coder and latent."""
MAX_DEFAULT = 12
"""Coders chosen when none is, at most."""


def two(infos: Sequence[CoderInfo]) -> tuple[str, str] | None:
    """The coders `a` and `b` of the address, by default the first two trained ones; boxes to choose others stand here. `None`
    where the store has only one."""
    names = [info.coder for info in infos]
    if len(names) < 2:
        st.info(
            "This store has one coder; a comparison needs two. Cache another one into the same store, then reload."
        )
        return None
    first, second = _usual(infos)
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
    if chosen[0] == chosen[1]:
        st.info("Choose two different coders.")
        return None
    return chosen[0], chosen[1]


def pair_of(first: Place, second: Place) -> dict[str, str | int]:
    """The address of the view of two features."""
    return {"view": "pair", "a": first[0], "latent_a": first[1], "b": second[0], "latent_b": second[1]}


def _usual(infos: Sequence[CoderInfo]) -> tuple[str, str]:
    """Two coders that a person would compare first: trained ones, of one hookpoint and kind where there are such."""
    trained = [info for info in infos if not registry.kind(info.kind).is_control]
    ordered = registry.trained_first(infos)
    alike = [
        pair
        for how in (_HOOKPOINT_AND_KIND, _HOOKPOINT)
        for pair in combinations(trained, 2)
        if how(pair[0]) == how(pair[1])
    ]
    first, second = alike[0] if alike else ordered[:2]
    return first.coder, second.coder


_HOOKPOINT_AND_KIND, _HOOKPOINT = attrgetter("hookpoint", "kind"), attrgetter("hookpoint")


def several(
    infos: Sequence[CoderInfo], least: int = 2, usual: Sequence[str] | None = None
) -> list[str] | None:
    """The coders of the address (`coders=a,b,c`), by default the `usual` ones or those at the most common hookpoint; pills to
    choose others stand here. `None` where there are fewer than `least`."""
    names = [info.coder for info in infos]
    if len(names) < least:
        two(infos)  # says what is missing
        return None
    hookpoint = Counter(info.hookpoint for info in infos).most_common(1)[0][0]
    if usual is None:
        usual = [info.coder for info in infos if info.hookpoint == hookpoint][:MAX_DEFAULT]
    chosen = choose_several(infos, usual if len(usual) >= least else names[:MAX_DEFAULT])
    if len(chosen) < least:
        st.info(f"{len(chosen)} chosen: choose at least {least} coders.")
        return None
    return chosen


def choose_several(infos: Sequence[CoderInfo], usual: Sequence[str]) -> list[str]:
    """The coders of the address, else the `usual` ones, in the store's order; pills to choose others stand here."""
    names = [info.coder for info in infos]
    asked = current().get("coders")
    wanted = list(usual) if asked is None else [name for name in asked.split(",") if name]
    for name in wanted:
        if name not in names:
            st.warning(f"Coder “{plain(name, 60)}” does not exist. The closest names:")
            ways = [
                (other, [other if each == name else each for each in wanted])
                for other in nearest(name, names)
            ]
            suggest([(plain(other), {"coders": ",".join(instead)}) for other, instead in ways], name)
    chosen = [name for name in names if name in wanted]
    ordered = [name for name in names if name in usual]

    def encoded(picked: Sequence[str]) -> str | None:
        now = [name for name in names if name in picked]
        return None if now == ordered else ",".join(now)

    st.pills(
        "Coders", names, selection_mode="multi", wrap=True, label_visibility="collapsed",
        **bound("coders", chosen, ordered, encode=encoded, firm=True),
    )  # fmt: skip
    return chosen
