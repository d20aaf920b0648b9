"""Features of one coder whose firing tokens several features of another share out among them."""

from typing import Any

import streamlit as st

from autointerp.compare import coactivation
from autointerp.store import Store
from autointerp.ui.compare.coders import pair_of
from autointerp.ui.shared import components, computed
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.explanation_cell import explanation_cell
from autointerp.ui.shared.state import bound, current, flag
from autointerp.ui.shared.text import plain
from autointerp.ui.shared.written import Written

MOST_ROWS = 50
MOST_PARTS = 6


def draw(store: Store, written: Written, coders: tuple[str, str]) -> None:
    """A switch, and with it the list: where two coders fire has to be compared for it."""
    first, second = map(plain, coders)
    st.toggle(
        f"Features of {first} that {second} splits", **bound("split", flag(current().get("split"))),
        help=f"At least two features of {second} fire mostly where one of {first} does, together on at least "
        f"{fmt.share(coactivation.TOGETHER)} of its tokens, and none of them on more than {fmt.share(coactivation.ALONE)}. "
        "By where features fire on the corpus, not by their directions.",
    )  # fmt: skip
    if not flag(current().get("split")):
        return
    pair = coactivation.pair(store, *coders)
    table = computed.obtain(store, "coactivation", pair)
    if table is None:
        return
    splits = coactivation.read(table, pair).split(coders[0])
    st.caption(f"{fmt.plural(len(splits), 'feature')} split, the most fully covered first.")
    if not splits:
        return
    columns: list[dict[str, Any]] = [
        {"title": "Feature", "kind": "link", "cls": "name"},
        {"title": "Explanation", "kind": "explanation"},
        {
            "title": f"Parts in {coders[1]}",
            "help": "And the share of the feature's firing tokens on which each fires",
        },
        {
            "title": "Covered",
            "num": True,
            "help": "Share of its firing tokens on which at least one part fires",
        },
    ]
    shown = written.coders[coders[0]].shown([split.latent for split in splits[:MOST_ROWS]])
    rows = []
    for split in splits[:MOST_ROWS]:
        parts = [f"#{part.latent} ({fmt.share(part.covers)})" for part in split.parts]
        more = [f"{len(parts) - MOST_PARTS} more"] if len(parts) > MOST_PARTS else []
        cells = [
            f"{coders[0]} #{split.latent}", explanation_cell(shown.get(split.latent)),
            ", ".join([*parts[:MOST_PARTS], *more]), fmt.share(split.covered),
        ]  # fmt: skip
        go = pair_of((coders[0], split.latent), (coders[1], split.parts[0].latent))
        rows.append({"go": go, "cells": cells})
    components.links(columns, rows, page="compare", key="split")
    if len(splits) > MOST_ROWS:
        st.caption(f"The first {MOST_ROWS}; `autointerp match --split --json` lists all.")
