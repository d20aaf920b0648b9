"""“New audit”: what is drawn and what is asked, with the population and its strata at once."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from autointerp.audit import draw as drawing
from autointerp.audit.options import AuditOptions
from autointerp.errors import UnknownName, UserError
from autointerp.explain.registry import EXPLAINERS
from autointerp.ratings import MAX_NAME, MAX_NOTE, TASKS, Audit, Task
from autointerp.records import config_hash
from autointerp.store import ScoreKind, Store, annotated_store, sorted_kinds
from autointerp.ui.shared import components, job_strip, lengths, list_walk, person, score_text, services
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.drafts import kept, used
from autointerp.ui.shared.session import heading
from autointerp.ui.shared.state import MAX_NUMBER, change, current
from autointerp.ui.shared.text import plain, sentence, visible

KEY = "audit_new"
PARAMS = ("new", "collection", list_walk.LIST)
TASK_HELP = (
    "**Verdict**: right, too broad, wrong, ...  \n**Detection**, **Fuzzing**: people answer the judge's own questions on the "
    "same examples, which gives a human score on the judge's scale."
)
CONTROL_HELP = "Explanations of other features, mixed in: raters who call them right are told at the end and in the report"
REPEAT_HELP = "Share of a rater's items that come back later, to see whether they give the same answer again"
SEED_HELP = "The same seed draws the same items"
BLIND_HELP = "Hides coder, author, model and scores until a verdict is stored"


def draw(store: Store) -> None:
    """The form. Makes the audit and opens it."""
    heading("New audit")
    st.button("All audits", key="all_audits", type="tertiary", icon=":material/arrow_back:", on_click=_close)
    if not job_strip.writable(store):
        st.info("This app is read-only: no audit can be made here.")
        return
    flow = st.container(horizontal=True, gap="large")
    left, middle, right = flow.container(width=340), flow.container(width=340), flow.container(width=340)
    with left:
        name = st.text_input("Name", placeholder="Which audit this is", **_typed("name", "")) or ""
        lengths.say("The name of an audit", name.strip(), MAX_NAME)
        about = _typed("purpose", "")
        purpose = st.text_area("Purpose", height=104, placeholder="What it should find out", **about) or ""
        lengths.say("The purpose", purpose.strip(), MAX_NOTE)
        author = person.field("Made by")
    with middle:
        chosen = _population(store)
    with right:
        options = _sample(chosen)
    problem, described, made = None, "", None
    try:
        described = describe(store, options)
    except UserError as error:
        problem = str(error)
    with st.container(horizontal=True, vertical_alignment="center"):
        pressed = components.pressed(
            "Make the audit",
            key=f"{KEY}_make",
            icon=":material/check:",
            disabled=bool(problem),
        )
        st.caption(f"⚠ {sentence(problem, 600)}" if problem else plain(described, 900))
    if pressed and not problem:
        try:
            made = _make(store, options, name, purpose, author)
        except UserError as error:
            st.error(sentence(error, 600))
    if made is not None:
        used(f"{KEY}_")
        change(**dict.fromkeys(PARAMS), audit=made.id)
        st.rerun()


def _close() -> None:
    change(**dict.fromkeys(PARAMS))


def _typed(field: str, default: Any) -> dict[str, Any]:
    return kept(f"{KEY}_{field}", default, typed=type(default))


# What it is drawn from -------------------------------------------------------------------------


def _listed(store: Store) -> tuple[str, Mapping[str, Sequence[int]]] | None:
    """What the address narrows the population to: its name, and the features by coder."""
    collection = current().get("collection")
    try:
        if collection:
            table = services.annotations(store).collections
            table.get(collection)
            return f"The collection “{collection}”", table.latents(collection)
        features = list_walk.features(store)
        if features is not None:
            return "The list that you came from", features
    except UnknownName:
        pass
    if collection:
        st.warning(f"The collection “{plain(collection, 100)}” does not exist. Choose here what to audit.")
    elif list_walk.LIST in current():
        st.warning("The list that the address names is no longer available. Choose here what to audit.")
    return None


def _population(store: Store) -> dict[str, Any]:
    names = [info.coder for info in store.coders()]
    listed = _listed(store)
    if listed is not None:
        names = [coder for coder in names if coder in listed[1]]
        n = sum(len(latents) for latents in listed[1].values())
        st.markdown(f"**{plain(listed[0], 120)}**: {fmt.plural(n, 'feature')}")
        st.button(
            "Choose something else", key=f"{KEY}_otherwise", type="tertiary", on_click=change,
            kwargs=dict.fromkeys(PARAMS[1:]),
        )  # fmt: skip
    which = "" if listed is None else f"_{config_hash({'coders': names})[:8]}"  # a choice among these
    annotated = annotated_store(services.annotations(store))
    explained = [name for name in names if annotated.coder(name).explanations.num_rows]
    coders = st.pills(
        "Coders", names, selection_mode="multi", wrap=True, **kept(f"{KEY}_coders{which}", explained or names, names)
    )  # fmt: skip
    coders = [name for name in names if name in coders]
    explainers = {"": "Any: the one shown"} | {
        name: EXPLAINERS.label(name) for name in annotated.explainers(coders)
    }
    explainer = st.selectbox(
        "Explanations by", list(explainers), format_func=lambda name: visible(explainers.get(name) or ""),
        **kept(f"{KEY}_explainer", "", list(explainers)),
    )  # fmt: skip
    kinds = {kind.key: kind for kind in _kinds(store, coders)}
    labels = {"": "No score"} | {key: score_text.name(kind, kinds.values()) for key, kind in kinds.items()}
    key = st.selectbox(
        "Stratified by score", list(labels), format_func=lambda key: labels.get(key, ""),
        **kept(f"{KEY}_kind", next(iter(kinds), ""), list(labels)),
    )  # fmt: skip
    bounds: list[float | None] = [None, None]
    if key:
        with st.container(horizontal=True, gap="small"):
            for side, label in enumerate(("Score at least", "At most")):
                bounds[side] = st.number_input(
                    label, min_value=-1.0, max_value=1.0, step=0.05, width=160,
                    **kept(f"{KEY}_bound_{side}", None, typed=_number),
                )  # fmt: skip
    return {
        "coders": tuple(coders),
        "explainer": explainer or None,
        "kind": kinds.get(key),
        "bounds": (bounds[0], bounds[1]),
        "latents": None if listed is None else {coder: listed[1][coder] for coder in coders},
    }


def _number(value: Any) -> float | None:
    return None if value in (None, "") else float(value)


def _kinds(store: Store, coders: Sequence[str]) -> list[ScoreKind]:
    annotated = annotated_store(services.annotations(store))
    return list(sorted_kinds((annotated.coder(name).kinds_of(None) for name in coders), score_text.order))


def _sample(chosen: Mapping[str, Any]) -> AuditOptions:
    usual = AuditOptions(coders=())
    n = st.number_input("Items", min_value=1, max_value=10_000, step=10, **_typed("n", usual.n))
    tasks: list[Task] = st.pills(
        "Asks for", list(TASKS), selection_mode="multi", format_func=TASKS.__getitem__, help=TASK_HELP,
        **kept(f"{KEY}_tasks", list(usual.tasks), list(TASKS)),
    )  # fmt: skip
    n_questions = usual.n_questions
    if any(task != "verdict" for task in tasks):
        n_questions = st.number_input(
            "Questions of a judge's task", min_value=2, max_value=200, step=2, **_typed("questions", usual.n_questions)
        )  # fmt: skip
    with st.popover("Shares, seed and strata", icon=":material/tune:"):
        controls = st.number_input(
            "Shuffled explanations, %", min_value=0, max_value=100, step=5, help=CONTROL_HELP,
            **_typed("controls", round(100 * usual.control_share)),
        )  # fmt: skip
        repeats = st.number_input(
            "Items that come back, %", min_value=0, max_value=100, step=5, help=REPEAT_HELP,
            **_typed("repeats", round(100 * usual.repeat_share)),
        )  # fmt: skip
        seed = st.number_input(
            "Seed",
            min_value=0,
            max_value=MAX_NUMBER - 1,
            step=1,
            help=SEED_HELP,
            **_typed("seed", usual.seed),
        )
        score_bins = st.number_input(
            "Strata by score", min_value=1, max_value=100, step=1, **_typed("bins", usual.score_bins)
        )
        density_bins = st.number_input(
            "Strata by density", min_value=1, max_value=100, step=1, **_typed("density", usual.density_bins)
        )  # fmt: skip
    blind = st.toggle("Blind", help=BLIND_HELP, **kept(f"{KEY}_blind", usual.blind))
    return AuditOptions(
        **chosen,
        n=n,
        tasks=tuple(task for task in TASKS if task in tasks),
        score_bins=score_bins,
        density_bins=density_bins,
        repeat_share=repeats / 100,
        control_share=controls / 100,
        n_questions=n_questions,
        seed=seed,
        blind=blind,
    )


# What comes of it ------------------------------------------------------------------------------


def describe(store: Store, options: AuditOptions) -> str:
    """The population and its strata in a sentence or two. Raises UserError."""
    members = drawing.population(services.resources(store), options)
    strata = drawing.strata_of(members, options).strata
    n = sum(stratum.sampled for stratum in strata)
    by_coder = Counter(
        {options.coders[which]: int((members.coder == which).sum()) for which in set(members.coder.tolist())}
    )
    of = ", ".join(f"{coder} {n:,}" for coder, n in by_coder.items())
    n_strata = f"{len(strata):,} {'stratum' if len(strata) == 1 else 'strata'}"
    drawn = f"{n:,} of them {'is' if n == 1 else 'are'} drawn{', all there are' if n < options.n else ''}"
    said = [f"{fmt.plural(len(members), 'explanation')} to draw from ({of}), in {n_strata}: {drawn}."]
    n_controls, n_repeats = round(options.control_share * n), round(options.repeat_share * n)
    if n_controls:
        said.append(
            f"{n_controls:,} more {'shows' if n_controls == 1 else 'show'} the explanation of another feature."
        )
    if n_repeats:
        said.append(f"{n_repeats:,} {'is' if n_repeats == 1 else 'are'} asked twice.")
    few = [
        what
        for share, count, what in (
            (options.control_share, n_controls, "shuffled explanations"),
            (options.repeat_share, n_repeats, "items that come back"),
        )
        if share and not count
    ]
    if few:
        said.append(f"Too few for {' and '.join(few)}.")
    return " ".join(said)


def _make(store: Store, options: AuditOptions, name: str, purpose: str, author: str) -> Audit:
    if not name.strip():
        raise UserError("Give the audit a name.")
    if not author.strip():
        raise UserError("Say who makes it: your name.")
    made = drawing.create(
        services.resources(store), options, name=name.strip(), author=author.strip(), purpose=purpose.strip()
    )
    services.annotations(store).audits.create(made)
    return made
