"""Which features of one coder another one has too: matched by the directions they read and write."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from autointerp.compare import directions
from autointerp.compare.overlap import (
    DEFINITIONS,
    THRESHOLD,
    Overlap,
    alignment,
    apart,
    by_density,
    counterpart,
    overlap,
)
from autointerp.store import Store
from autointerp.types import CoderInfo
from autointerp.ui.compare import shared_charts, shared_scores, split
from autointerp.ui.compare.coders import pair_of, two
from autointerp.ui.shared import components, computed, services
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.state import bound, choice, choose, current, signed
from autointerp.ui.shared.text import plain
from autointerp.ui.shared.written import Written

CHART = {"displayModeBar": "hover", "toImageButtonOptions": {"format": "svg"}, "displaylogo": False}


def draw(store: Store, infos: Sequence[CoderInfo]) -> None:
    """The view."""
    coders = two(infos)
    if coders is None:
        return
    table = computed.obtain(store, "directions", directions.in_order(*coders))
    if table is None:
        return
    matches = directions.read(table, coders)
    if not matches.parts:
        st.info(plain(apart(matches), 2000))
        return
    definition, threshold = controls()
    live = store.coder(coders[0]).table().live
    if not len(live):
        st.info(f"No feature of {plain(coders[0])} fires on this corpus, so there is nothing to compare.")
        return
    share = overlap(matches, live, definition=definition, threshold=threshold)
    components.facts(facts(share), key="overlap")
    for reason in matches.absent.values():
        st.caption(f"{plain(reason)} Matched by the other alone.")
    shared = alignment(matches, definition)[live] > threshold
    left, right = st.columns(2, gap="medium")
    with left:
        st.plotly_chart(
            shared_charts.cosines(matches, live, definition, threshold), key="cosines", config=CHART
        )
    with right:
        if len(matches.parts) > 1:
            _against(matches, live, definition)
        else:
            _density(store, matches, live, shared)
    if len(matches.parts) > 1:
        left, right = st.columns(2, gap="medium")
        with left:
            _density(store, matches, live, shared)
    else:
        right = st.container()
    with right:
        chosen = shared_scores.chosen_kind(store, infos)
        if chosen is None:
            st.info(
                "These coders are not scored yet. Explain and score them (Jobs page) to compare scores of shared features."
            )
        else:
            shared_scores.boxes(*chosen, coders[0], live, shared)
    if chosen is not None:
        shared_scores.only_here(*chosen, matches, live, definition, threshold)
    split.draw(store, Written(store, services.annotations(store), infos), coders)
    st.download_button(
        "Matches as CSV", lambda: csv_of(matches, live, definition), f"{coders[0]}-{coders[1]}-matches.csv", "text/csv",
        icon=":material/download:", on_click="ignore", help="Every live feature with its counterparts and cosines",
    )  # fmt: skip


def csv_of(matches: directions.Directions, live: NDArray[np.integer], definition: str) -> str:
    """Every live feature of the first coder with what it is matched with; empty where there is no partner."""
    import pandas as pd

    columns: dict[str, Any] = {"latent": live, "alignment": alignment(matches, definition)[live]}
    for name, part in matches.parts.items():
        side = part.sides[0]
        partner = pd.Series(side.partner[live], dtype="Int64").mask(side.partner[live] < 0)
        columns |= {f"{name}_partner": partner, f"{name}_cosine": side.cosine[live]}
        columns |= {
            f"{name}_nearest": side.nearest[live],
            f"{name}_nearest_cosine": side.nearest_cosine[live],
        }
    return pd.DataFrame(columns).to_csv(index=False)


def controls() -> tuple[str, float]:
    """What makes a feature shared: boxes for the definition and the threshold, in the address as `definition` and `t`."""
    params = current()
    definition = choice(params.get("definition"), DEFINITIONS, next(iter(DEFINITIONS)))
    threshold = signed(params.get("t"))
    if "t" in params and (threshold is None or not -1 <= threshold <= 1):
        st.warning(
            f"“{plain(params['t'], 40)}” is not a threshold: a cosine lies between −1 and 1. Showing {THRESHOLD}, the paper's."
        )
        threshold = None
    shown = THRESHOLD if threshold is None else threshold
    labels = {name: each.label for name, each in DEFINITIONS.items()}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        choose(
            st.segmented_control, "Shared if matched", labels, "definition", definition, next(iter(DEFINITIONS)),
            label_visibility="visible", help="  \n".join(f"**{each.label}**: {each.help}." for each in DEFINITIONS.values()),
        )  # fmt: skip
        st.slider(
            "Cosine above", -1.0, 1.0, step=0.01, width=320,
            help="The paper uses a threshold of 0.7: above it the three definitions give nearly the same features.",
            **bound("t", round(shown, 2), THRESHOLD),
        )  # fmt: skip
    return definition, shown


def facts(share: Overlap) -> list[list[str]]:
    """The figures of the view, each `[name, value, help]`."""
    first, second = share.coders
    rows = [
        [
            "Shared",
            f"{fmt.count(share.n_shared)} of {fmt.count(share.n_live)} ({fmt.share(share.fraction)})",
            f"Live features of {first} that are in {second}. With features that never fire on this corpus: "
            f"{fmt.count(share.n_shared_of_all)} of {fmt.count(share.n_latents)}.",
        ]
    ]
    if share.n_agreeing is not None:
        rows.append(
            [
                "Same partner",
                f"{fmt.count(share.n_agreeing)} ({fmt.share(share.n_agreeing / share.n_live)})",
                "Live features given the same partner by encoder and decoder, whatever the cosine",
            ]
        )
    by = " and ".join(share.floor)
    means, floors = (
        " · ".join(fmt.decimal(value, 2) for value in each.values())
        for each in (share.mean_cosine, share.floor)
    )
    how = "assignment" if set(share.method.values()) == {"exact"} else "mutual nearest neighbours"
    return [
        *rows,
        ["Mean cosine", means, f"By {by}, over live features that have a partner"],
        ["Random directions", floors, f"Mean largest cosine of a random direction with the features of {second}, by {by}"],
        ["Matched by", how, "The largest sum of cosines; for wide coders, pairs that are each other's nearest"],
    ]  # fmt: skip


def _density(
    store: Store, matches: directions.Directions, live: NDArray[np.integer], shared: NDArray[np.bool_]
) -> None:
    density = store.coder(matches.coders[0]).table().columns["density"][live]
    st.plotly_chart(shared_charts.by_density(by_density(density, shared)), key="density", config=CHART)


def _against(matches: directions.Directions, live: NDArray[np.integer], definition: str) -> None:
    """Encoder against decoder; a click on a point opens the feature beside its counterpart."""
    event: Any = st.plotly_chart(
        shared_charts.against(matches, live), key="against", on_select="rerun", selection_mode="points",
        config=CHART,
    )  # fmt: skip
    picked = event.selection.points if event else []
    if picked and picked[0].get("customdata"):
        latent = int(picked[0]["customdata"][0])
        partner = int(counterpart(matches, definition)[0][latent])
        other = partner if partner >= 0 else int(counterpart(matches, "nearest")[0][latent])
        components.go("compare", pair_of((matches.coders[0], latent), (matches.coders[1], other)))
