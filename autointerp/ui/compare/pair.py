"""Two features side by side: what is said of each, how alike they are, and the contexts in which both fire, or only one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from autointerp.compare import beside, counterparts
from autointerp.compare.directions import PARTS
from autointerp.errors import UnknownName, UserError
from autointerp.sampling.windows import cut
from autointerp.store import CoderStore, Store
from autointerp.types import CoderInfo, LatentActivations, LatentStats
from autointerp.ui.compare import cross, similarity
from autointerp.ui.shared import components, computed, payload, services
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.explained import explained
from autointerp.ui.shared.session import LAST_FEATURE
from autointerp.ui.shared.state import bound, change, choice, choose, current, suggest, unknown_coder, whole
from autointerp.ui.shared.statistics import token_text
from autointerp.ui.shared.text import MAX_TOKEN, beginning, plain, quoted, visible

KEY = "pair"
WINDOW = 32
PAGE = 6
MAX_ROWS = 120
ORDERS = {"random": "Random", "top": "Strongest"}
RESET = ("rows",)
N_TOKENS = 6
"""Promoted tokens of each side."""


@dataclass(frozen=True)
class Side:
    """One of the two features. `name`: of its parameters in the address, `a` or `b`."""

    name: str
    coder: CoderStore
    latent: int

    @property
    def place(self) -> tuple[str, int]:
        return self.coder.name, self.latent

    @property
    def title(self) -> str:
        return f"{self.coder.name} #{self.latent}"


def draw(store: Store, infos: Sequence[CoderInfo]) -> None:
    """The view."""
    sides = _choose(store, infos)
    if sides is None:
        return
    a, b = sides
    if a.place == b.place:
        st.info("This is the same feature twice. Choose a different one for one side.")
        return
    resources = services.resources(store)
    acts = [resources.activations.get(side.coder, side.latent) for side in sides]
    alike = similarity.read(resources, a.place, b.place)
    components.facts(similarity.facts(alike, a.title, b.title), key="pair_similarity")
    clicked = components.pair(_record(store, sides, acts), key=KEY)
    if clicked:
        components.go("feature", {name: str(clicked[name]) for name in ("coder", "latent")})
    _more(store, acts)
    cross.draw(store, a.place, b.place)
    if alike.uncomputed:
        try:
            if computed.obtain(store, "directions", alike.coders) is not None:
                st.rerun()
        except UserError as error:
            st.caption(plain(str(error), 500))


def _choose(store: Store, infos: Sequence[CoderInfo]) -> tuple[Side, Side] | None:
    """The features of the address, with boxes to choose others; `None` where one of them does not exist."""
    names = [info.coder for info in infos]
    params = current()
    coders = {}
    for name, default in (("a", names[0]), ("b", names[1] if len(names) > 1 else names[0])):
        asked = params.get(name, default)
        if asked not in names:
            unknown_coder(asked, names, f"latent_{name}", parameter=name)
            return None
        coders[name] = store.coder(asked)
    sides: list[Side] = []
    missing = False
    for name, coder in coders.items():
        asked = params.get(f"latent_{name}")
        latent = (
            _usual(store, coder, sides[0] if sides else None)
            if asked is None
            else _latent(name, coder, asked)
        )
        missing = missing or latent is None
        sides.append(Side(name, coder, latent or 0))
    a, b = sides
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        for side, label in ((a, "Feature"), (b, "Compared with")):
            st.selectbox(
                label,
                names,
                width=170,
                **bound(side.name, side.coder.name, reset=(f"latent_{side.name}", *RESET)),
            )
            st.number_input(
                f"Number in {plain(side.coder.name)}", min_value=0, max_value=side.coder.info.n_latents - 1, step=1,
                width=120, label_visibility="visible", **bound(f"latent_{side.name}", side.latent, reset=RESET),
            )  # fmt: skip
        swapped = {"a": b.coder.name, "b": a.coder.name, "latent_a": b.latent, "latent_b": a.latent}
        st.button(
            "Swap", icon=":material/swap_horiz:", key="pair_swap", on_click=change, kwargs=swapped,
            help="The second feature first",
        )  # fmt: skip
        order = choice(params.get("order"), ORDERS, "random")
        choose(
            st.segmented_control, "Contexts", ORDERS, "order", order, "random", reset=RESET, label_visibility="visible",
            help="A random sample of the contexts, or those in which the features fire most strongly",
        )  # fmt: skip
    return None if missing else (a, b)


def _latent(name: str, coder: CoderStore, asked: str) -> int | None:
    """As an index; a message with the nearest ones where there is no such latent."""
    try:
        return coder.check_latent(asked)
    except UnknownName as error:
        last = coder.info.n_latents - 1
        st.warning(
            f"Feature {plain(asked, 60)} does not exist: {plain(coder.name)} has features 0 to {last:,}. The closest:"
        )
        ways = ((f"{plain(coder.name)} \\#{near}", {f"latent_{name}": near}) for near in error.nearest)
        suggest(ways, name)
        return None


def _usual(store: Store, coder: CoderStore, beside_: Side | None) -> int:
    """The feature seen last, else the first live one; beside another, the one of this coder that is most like it."""
    if beside_ is None:
        last, latent = st.session_state.get(LAST_FEATURE, (None, None))
        if last == coder.name and latent is not None and latent < coder.info.n_latents:
            return latent
    elif beside_.coder.name != coder.name:
        known = counterparts.known(services.resources(store), beside_.coder.name, coder.name)
        for by in counterparts.MEASURES:
            near = known.counterparts(beside_.latent, by)
            if near:
                return near[0].latent
    else:
        for relation in ("cofiring", *PARTS):
            nearest = coder.neighbours(beside_.latent, relation, 1)
            if nearest:
                return nearest[0].latent
        return coder.next_live(beside_.latent)
    return coder.next_live(coder.info.n_latents - 1)  # round the end: the first live one


def _rows() -> int:
    return min(max(whole(current().get("rows")) or PAGE, PAGE), MAX_ROWS)


def _windows(store: Store, acts: Sequence[LatentActivations]) -> beside.Windows:
    return beside.windows(store, acts[0], acts[1], min(WINDOW, store.ctx_len))


def _record(store: Store, sides: Sequence[Side], acts: Sequence[LatentActivations]) -> dict[str, Any]:
    """Everything that the element draws."""
    windows, table = _windows(store, acts), payload.token_table(store)
    seed = None if current().get("order") == "top" else 0
    stats = [side.coder.stats(side.latent) for side in sides]
    n_window = min(WINDOW, store.ctx_len)
    titles = {
        "both": "Both fire",
        "first": f"Only {sides[0].title} fires",
        "second": f"Only {sides[1].title} fires",
    }
    groups = []
    for group, title in titles.items():
        spans = windows.choose(group, _rows(), store.tokens, seed=seed)
        n = len(windows.spans[group])
        how = (
            "all"
            if len(spans) == n
            else f"{'the strongest' if seed is None else 'sampled'}; near-duplicates left out"
        )
        groups.append(
            {
                "title": visible(title),
                "note": f"{fmt.plural(n, 'window')} of {n_window} tokens; {how}" if n else "",
                "rows": [_row(store, acts, span, table) for span in spans.tolist()],
            }
        )
    return {
        "sides": [_side(store, side, each) for side, each in zip(sides, stats, strict=True)],
        "max": [each.max_activation for each in stats],
        "groups": groups,
        "table": table.entries,
    }


def _row(
    store: Store, acts: Sequence[LatentActivations], span: Sequence[int], table: payload.TokenTable
) -> dict[str, Any]:
    context, start, stop = span
    rows = [payload.row(cut(each, store.tokens, context, start, stop), table) for each in acts]
    layers = [{name: row[name] for name in ("p", "v", "m")} for row in rows]
    return {"c": context, "s": start, "t": rows[0]["t"], "layers": layers}


def _side(store: Store, side: Side, stats: LatentStats) -> dict[str, Any]:
    said = explained(store, side.coder.name, [side.latent]).get(side.latent, {})
    promoted, suppressed = side.coder.promoted(side.latent) if side.coder.info.has_logits else ([], [])
    text = token_text(store)
    top = "" if stats.top_token is None else quoted(text(stats.top_token))
    dead = "Dead: it fires on no token of the corpus."
    return {
        "title": visible(side.title),
        "go": {"coder": side.coder.name, "latent": side.latent},
        "says": said.get("says", {"none": "not explained"}),
        "facts": dead
        if stats.is_dead
        else f"density {fmt.density(stats.density)} · maximum {fmt.activation(stats.max_activation)}"
        f" · {fmt.plural(stats.n_contexts, 'context')} · top token {top}",
        "tokens": [
            [
                name,
                [
                    [beginning(text(each.token), MAX_TOKEN), fmt.signed(each.value)]
                    for each in rows[:N_TOKENS]
                ],
            ]
            for name, rows in (("promotes", promoted), ("suppresses", suppressed))
        ],
        "no_tokens": visible(
            side.coder.info.absent.get("promoted_tokens", "Promoted tokens were not computed.")
        ),
    }


def _more(store: Store, acts: Sequence[LatentActivations]) -> None:
    shown, windows = _rows(), _windows(store, acts)
    if shown < MAX_ROWS and any(len(spans) > shown for spans in windows.spans.values()):
        st.button(
            "More contexts", key="pair_more", on_click=change, kwargs={"rows": min(3 * shown, MAX_ROWS)}
        )
