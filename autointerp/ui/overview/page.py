"""The Overview page: what is in the store, coder by coder, as text first and plots below."""

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from autointerp.models.coders import registry
from autointerp.store import Store
from autointerp.types import CoderInfo, Fidelity
from autointerp.ui.shared import charts, components, keyboard, selected
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.session import messages, open_store, tab_title
from autointerp.ui.shared.text import plain, visible

_FVU = "Fraction of variance unexplained, on the coder's own target: 0 is perfect, 1 is no better than predicting the mean"
_CE = "Increase in cross-entropy, in nats per token, when the coder's output replaces the module's"
_NO_CE = "Needs a causal language model, and a coder whose output replaces that of a module."
_WITHOUT = (
    "The same without the module: the block skipped where its output contains the residual stream, else zeros in place of its "
    "output. The scale for CE +, within a hookpoint"
)
_SELECTED = "Only selected contexts are known, no corpus."
COLUMNS: list[dict[str, Any]] = [
    {"title": "Coder", "kind": "link", "cls": "name"},
    {"title": "Kind", "kind": "badge", "aside": True},
    {"title": "Hookpoint", "cls": "name"},
    {"title": "Features", "num": True},
    {"title": "k", "num": True, "aside": True, "help": "Most active features per token, by construction"},
    {"title": "Tokens", "num": True, "aside": True, "help": "Cached tokens, excluding masked positions"},
    {"title": "L0", "num": True, "help": "Mean number of active features per token"},
    {"title": "FVU", "num": True, "help": _FVU},
    {"title": "CE +", "num": True, "help": _CE},
    {
        "title": "CE + share",
        "num": True,
        "aside": True,
        "help": f"CE + as a share of the increase without the module. {_WITHOUT}",
    },
    {"title": "Dead", "num": True, "help": "Features that never fire on this corpus"},
    {"title": "Size", "num": True, "aside": True},
]


COLD_HEIGHT = 620
"""Pixels kept free for explanations and scores while a server's first page waits for them: what stands below stays."""


def draw() -> None:
    """The page."""
    with keyboard.listening():  # at the end: its elements take room
        _body()


def _body() -> None:
    top = _top()
    if top is None:
        return
    # Only now: it brings scorers and jobs with it, a quarter of a second that the first sight of the coders need not wait for.
    section = st.empty()
    if "autointerp.ui.overview.scores" not in sys.modules:  # a server's first page: later nothing may flicker
        with section.container(height=COLD_HEIGHT, border=False):
            st.caption("Reading explanations and scores…")
    from autointerp.ui.overview import recent, scores

    with section.container():
        scores.section()
    with messages():
        _densities(*top)
    recent.section()


def _top() -> tuple[Store, list[CoderInfo]] | None:
    """The store and its coders, drawn; nothing where there is none to go on with."""
    with messages():
        store = open_store()
        infos = store.coders()
        tab_title("Overview")
        st.title(plain(title(store, infos), 200), anchor=False)
        # Text, not an element: those come after the page, and move what stands below.
        st.caption(
            " · ".join(f"{name} **{plain(value)}**" for name, value in store_facts(store)),
            help=_sources(store),
        )
        if said := selected.note(infos):
            st.caption(said, help=selected.HELP)
        for problem in store.problems():
            st.warning(plain(problem))
        if not infos:
            components.no_coders()
            return None
        rows = [coder_row(info) for info in infos]
        components.links(COLUMNS, rows, page="features", key="coders", single=True)
        return store, infos
    return None


def title(store: Store, infos: Sequence[CoderInfo]) -> str:
    """The store's name and what it is: `demo: 7 coders of docstrings-neox`."""
    model = str(store.meta["model"]["name"]).rsplit("/", 1)[-1]
    return f"{store.path.name}: {fmt.plural(len(infos), 'coder')} of {model}"


def store_facts(store: Store) -> list[tuple[str, str]]:
    """Model and corpus in a line of names and values."""
    model, corpus = store.meta["model"], store.meta["corpus"]
    shape = [
        f"{model[key]} {word}"
        for key, word in (("n_layers", "layers"), ("d_model", "wide"))
        if model.get(key)
    ]
    return [
        ("Architecture", str(model.get("architecture") or fmt.NONE)),
        ("Shape", ", ".join(shape) or fmt.NONE),
        (
            "Vocabulary",
            fmt.plural(int(model["vocab_size"]), "token") if model["vocab_size"] else fmt.NONE,
        ),
        ("Corpus", str(corpus["name"])),
        ("Tokens", fmt.count(corpus["n_tokens"])),
        ("Contexts", f"{fmt.count(store.n_contexts)} × {store.ctx_len}"),
        ("Documents", fmt.count(corpus.get("n_documents"))),
    ]


def _sources(store: Store) -> str:
    """Where model and corpus come from, as Markdown."""
    model, corpus = store.meta["model"], store.meta["corpus"]
    return (
        f"Model: {plain(str(model.get('source') or model['name']))}  \nCorpus: {plain(str(corpus['name']))}, sha256 "
        f"{plain(str(corpus.get('sha256', '')))}"
    )


def coder_row(info: CoderInfo) -> dict[str, Any]:
    """One coder's figures as text, a missing one with its reason; a click opens its features."""
    fidelity, absent = info.fidelity, info.absent.get("fidelity", "Not measured.")
    return {
        "go": {"coder": info.coder},
        "cells": [
            info.coder,
            registry.kind(info.kind).label,
            _where(info),
            fmt.count(info.n_latents),
            fmt.count(info.k) if info.k is not None else [fmt.NONE, "Varies by token."],
            fmt.short_count(info.n_tokens),
            [fmt.NONE, _SELECTED] if info.selected else fmt.decimal(info.l0, 1),
            _measured(fidelity, fidelity.fvu, fidelity.fvu_interval, fmt.decimal)
            if fidelity
            else [fmt.NONE, absent],
            _measured(fidelity, fidelity.ce_increase, fidelity.ce_increase_interval, fmt.signed)
            if fidelity
            else [fmt.NONE, absent],
            _without(info, fidelity) if fidelity else [fmt.NONE, absent],
            [fmt.NONE, _SELECTED]
            if info.selected
            else fmt.share(info.n_dead / info.n_latents)
            if info.n_latents
            else fmt.NONE,
            fmt.size(info.bytes_on_disk),
        ],
    }


def _where(info: CoderInfo) -> str | list[str]:
    """The hookpoint; with what the coder's files are, and what a reader of its figures has to know, as a tooltip."""
    said = [f"{registry.described(info.kind, info.config)}."] if info.config.get("format") else []
    said += info.notes
    return [info.hookpoint, visible(" ".join(said))] if said else info.hookpoint


def _measured(
    fidelity: Fidelity,
    value: float | None,
    interval: tuple[float, float] | None,
    write: Callable[[float | None, int], str],
) -> str | list[str]:
    """A figure to the digits that its interval earns, with the interval and what it was measured on as a tooltip."""
    if value is None:
        return [fmt.NONE, _NO_CE]
    where = f"Measured on {fmt.count(fidelity.n_tokens)} tokens"
    if interval is None:
        return [write(value, 3), f"{where}."]
    low, high = interval
    digits = min(3, max(0, -math.floor(math.log10(max((high - low) / 2, 1e-9)))))
    contexts = fmt.count(fidelity.n_contexts)
    return [
        write(value, digits),
        f"{fmt.decimal(low)} to {fmt.decimal(high)} (95 %). {where} in {contexts} contexts.",
    ]


def _without(info: CoderInfo, fidelity: Fidelity) -> str | list[str]:
    """What the model loses without the module, as the scale of CE +, with mean ablation beside it."""
    without = fidelity.ce_increase_without
    if without is None:
        return [fmt.NONE, _NO_CE]
    text = fmt.signed(without, 3)
    if fidelity.ce_increase is not None and without and not _hides_the_stream(info):
        text = f"{fmt.share(fidelity.ce_increase / without)} of {text}"
    if fidelity.ce_increase_mean is None:
        return text
    parts = [
        f"mean in its place: {fmt.signed(fidelity.ce_increase_mean, 3)}",
        f"zeros: {fmt.signed(fidelity.ce_increase_zero, 3)}",
    ]
    return [text, "; ".join(parts)]


def _densities(store: Store, infos: list[CoderInfo]) -> None:
    figure = charts.densities(charts.density_curves(store, infos))
    st.plotly_chart(figure, key="densities", config={"displayModeBar": False})


def _hides_the_stream(info: CoderInfo) -> bool:
    """Whether a coder of a block's output was measured by a release that only tried zeros, which remove the whole residual
    stream: a share of that would flatter it."""
    return (
        info.fidelity is not None
        and info.fidelity.n_contexts is None
        and info.hookpoint.rpartition(".")[2].isdigit()
    )
