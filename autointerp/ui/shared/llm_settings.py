"""Which language model this session works with: the choice (`current`), and the part of the Settings page that makes it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

import streamlit as st

from autointerp.errors import UserError
from autointerp.llm.endpoints import ENDPOINTS
from autointerp.llm.options import LLMOptions
from autointerp.preferences import MAX_IN_FLIGHT, Preferences, load, name_server, save
from autointerp.settings import config_file
from autointerp.store import Store
from autointerp.store.embeddings.reader import list_embeddings
from autointerp.ui.shared import drafts, llm_check, llm_keys, roles
from autointerp.ui.shared.session import store_path
from autointerp.ui.shared.text import plain, sentence

_UNSAVED = "preferences_of_session"
_MESSAGE = "preferences_said"
_DRAFT = "llm_draft"
_KEY_FIELD = "llm_key"
_PRICES = ("prompt", "completion", "cached")


def preferences() -> Preferences:
    """Those of this session where they could not be written, else those of the file. Raises UserError for a damaged one."""
    return st.session_state.get(_UNSAVED) or load()


def current() -> LLMOptions | None:
    """The language model to ask, with this session's key; `None` when none is chosen, and for visitors.

    Raises UserError where the settings file cannot be used, StoreError without a store.
    """
    llm = chosen()
    if llm is None:
        return None
    llm_keys.load_secrets()
    return replace(llm, key_ref=llm_keys.lend(llm.base_url))


def chosen() -> LLMOptions | None:
    """The same without a key: for saying which one it is. Raises UserError where the settings file cannot be used."""
    if not roles.is_owner():
        return None
    kept = preferences()
    return LLMOptions(**kept.llm_fields()) if kept.model.strip() else None


def describe(options: LLMOptions | None) -> str:
    """`gpt-x at api.openai.com`: for captions, as Markdown."""
    if options is None:
        return "no language model chosen (Settings)"
    return f"{plain(options.model, 80)} at {plain(llm_keys.endpoint_of(options.base_url).split('/')[0], 80)}"


def embedder_name() -> str:
    """The embedder to use; the default where the settings file cannot be used, and for visitors where the store says nothing of
    the one chosen: what its owner set is not shown to them."""
    try:
        chosen = preferences().embedder
    except UserError:
        return Preferences().embedder
    allowed = roles.is_owner() or chosen in {name for name, _, _ in list_embeddings(store_path())}
    return chosen if allowed else Preferences().embedder


def has_embeddings(store: Store, embedder: str | None = None) -> bool:
    """Whether every window of this store is embedded, with this embedder or the one chosen in Settings, so that embedding
    scores take no time."""
    try:
        return store.embeddings(embedder or embedder_name()) is not None
    except UserError:
        return False


def remember_embedder(name: str) -> None:
    """Make this the embedder of this and later sessions. Raises UserError where the settings file cannot be used."""
    _keep(replace(preferences(), embedder=name))


def section() -> None:
    """The part of the Settings page."""
    st.subheader("Language model", anchor=False)
    if not roles.is_owner():
        st.caption("Visitors to this app cannot use a language model.")
        return
    try:
        kept = preferences()
    except UserError as error:
        st.error(sentence(error, 1000), icon=":material/settings_alert:")
        kept = Preferences()
    llm_keys.load_secrets()
    st.caption(
        "Any OpenAI-compatible server, for explanations and judgements by a language model. The pattern explainer, the offline "
        "judge and embedding scores work without one."
    )
    left, right = st.columns(2, gap="large")
    with left:
        base_url, model = _server(kept)
        _key(base_url)
    with right:
        limits = _limits(kept)
        prices = _model_prices(kept, model)
    draft = replace(kept, base_url=base_url, model=model, prices=prices, **limits)
    _buttons(kept, draft)
    llm_check.show(draft)


def _server(kept: Preferences) -> tuple[str, str]:
    server = drafts.kept(f"{_DRAFT}_server", kept.base_url)
    base_url = st.selectbox(
        "Server", _options(kept.base_url, f"{_DRAFT}_server", ENDPOINTS), accept_new_options=True, format_func=_server_name,
        **server, help="Choose one, or type the base URL of any OpenAI-compatible server, such as http://localhost:8000/v1",
    )  # fmt: skip
    base_url = str(base_url or "").strip()
    chosen = drafts.kept(f"{_DRAFT}_model", kept.model or None)
    models = _options(kept.model, f"{_DRAFT}_model", llm_check.offered(base_url))
    model = st.selectbox(
        "Model", models, index=None, **chosen, accept_new_options=True,
        placeholder="Type a name, or test the connection to list models",
        help="The model's name on the server",
    )  # fmt: skip
    return base_url, str(model or "").strip()


def _options(kept: str, key: str, offered: Iterable[str]) -> list[str]:
    """What was kept, what was typed, what there is; each once."""
    return [name for name in dict.fromkeys([kept, str(st.session_state.get(key) or ""), *offered]) if name]


def _server_name(base_url: str) -> str:
    return f"{base_url} · {ENDPOINTS[base_url]}" if base_url in ENDPOINTS else base_url


def _key(base_url: str) -> None:
    st.text_input(
        "API key for this session", type="password", key=_KEY_FIELD, autocomplete="off", max_chars=1000,
        placeholder="Type or paste a key, then press Enter", on_change=llm_keys.take, args=(_KEY_FIELD, base_url),
        help="Kept only in this app's memory, until you remove it, type another or the app stops (closing the tab is "
        "not enough). It is never written to the store, the settings file, a log or an address. Setting it in the environment "
        "or in Streamlit's secrets is better.",
    )  # fmt: skip
    problem = llm_keys.problem()
    if problem:
        st.error(plain(problem))
    host = plain(llm_keys.endpoint_of(base_url).split("/")[0] or "this server", 80)
    variable = llm_keys.variable(base_url)
    other = llm_keys.typed_for_another(base_url)
    if llm_keys.typed(base_url):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"✓ Using the key typed for {host}. It is kept in memory and sent nowhere else.")
            st.button(
                "Remove", key="llm_forget", type="tertiary", on_click=llm_keys.forget,
                help="Remove it from memory; jobs started with it keep it until they end",
            )  # fmt: skip
    elif llm_keys.waits(base_url):
        st.caption(
            f"{plain(variable or '')} from the environment is sent to {host} once this server is saved."
        )
    elif variable:
        st.caption(f"✓ Using {plain(variable)} from the environment or the secrets for {host}.")
    elif other:
        st.caption(f"The key you typed is for {plain(other, 80)} and is not sent to {host}.")
    else:
        st.caption(f"No key for {host}. Local servers usually need none.")


def _limits(kept: Preferences) -> dict[str, Any]:
    first, second = st.columns(2)
    with first:
        in_flight = st.number_input(
            "Concurrent requests", 1, MAX_IN_FLIGHT,
            **drafts.kept(f"{_DRAFT}_in_flight", kept.max_in_flight, typed=_within(int, 1, MAX_IN_FLIGHT)),
            help="Upper limit; lowered when the server is overloaded",
        )  # fmt: skip
        max_tokens = budget_tokens(kept, _DRAFT)
    with second:
        timeout = st.number_input(
            "Request timeout, seconds", 0.1, 86_400.0, step=10.0, format="%g",
            **drafts.kept(f"{_DRAFT}_timeout", kept.timeout, typed=_within(float, 0.1, 86_400.0)),
        )  # fmt: skip
        max_cost = budget_cost(kept, _DRAFT)
    return {
        "max_in_flight": int(in_flight or kept.max_in_flight),
        "timeout": float(timeout or kept.timeout),
        "max_tokens": max_tokens,
        "max_cost": max_cost,
    }


def _within(kind: type[int] | type[float], low: float, high: float) -> Callable[[Any], Any]:
    """Makes a value of a number field of what was typed into it; an empty one has none."""
    return lambda typed: kind(min(max(float(typed), low), high)) if typed or typed == 0 else None


def budget_tokens(kept: Preferences | LLMOptions, form: str) -> int | None:
    """A field for the tokens that a job may use."""
    tokens = st.number_input(
        "Budget per job, tokens", 1, 10**12, step=100_000,
        **drafts.kept(f"{form}_max_tokens", kept.max_tokens, typed=_within(int, 1, 10**12)),
        placeholder="no limit", help="A job stops before the request that would exceed it; results so far are kept",
    )  # fmt: skip
    return None if tokens is None else int(tokens)


def budget_cost(kept: Preferences | LLMOptions, form: str) -> float | None:
    """A field for what a job may cost."""
    cost = st.number_input(
        "Budget per job, cost", 0.0, 1e9, step=1.0, format="%g",
        **drafts.kept(f"{form}_max_cost", kept.max_cost, typed=_within(float, 0.0, 1e9)),
        placeholder="no limit", help="In the currency of your prices; requires them",
    )  # fmt: skip
    return None if cost is None else float(cost)


def _model_prices(kept: Preferences, model: str) -> dict[str, Mapping[str, float]]:
    """All prices, with those typed for this model. A model without both prices has none: its cost is unknown, not zero."""
    prices = dict(kept.prices)
    known = prices.get(model, {})
    typed: dict[str, float | None] = {}
    for column, name in zip(st.columns(3), _PRICES, strict=True):
        with column:
            typed[name] = st.number_input(
                {"prompt": "Price, prompt", "completion": "Price, answer", "cached": "Price, cached"}[name],
                0.0, 1e9, format="%g", placeholder="unset" if name != "cached" else "same", disabled=not model, step=0.1,
                **drafts.kept(f"{_DRAFT}_price_{name}_{model}", known.get(name), typed=_within(float, 0.0, 1e9)),
                help="Per million tokens, in any one currency. No prices are built in: they change too often.",
            )  # fmt: skip
    if model and typed["prompt"] is not None and typed["completion"] is not None:
        prices[model] = {name: value for name, value in typed.items() if value is not None}
    else:
        prices.pop(model, None)
        if model and any(value is not None for value in typed.values()):
            st.caption("Enter prices for both prompt and answer; until then the cost is unknown.")
    others = sorted(name for name in prices if name != model)
    if others:
        st.caption("Prices are also stored for " + ", ".join(plain(name, 60) for name in others[:12]) + ".")
    return prices


def _buttons(kept: Preferences, draft: Preferences) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        changed = asdict(draft) != asdict(kept)
        st.button("Save", key="llm_save", disabled=not changed, on_click=_save, args=(draft,))
        test = st.button(
            "Test connection", key="llm_test", help="Lists the server's models and asks one short question (about 60 tokens)"
        )  # fmt: skip
        message = st.session_state.pop(_MESSAGE, None)
        if message:
            st.caption(message)
        elif changed:
            st.caption("Not saved yet.")
        else:
            st.caption(f"Saved in {plain(str(config_file()), 200)}, which the command line uses too.")
    if test:
        with st.spinner("Asking the server …"):
            llm_check.run(draft)
        st.rerun()  # the list of models above shows what came back


def _save(chosen: Preferences) -> None:
    _keep(chosen)
    if preferences() == chosen:
        drafts.used(f"{_DRAFT}_")


def _keep(chosen: Preferences) -> None:
    if not roles.is_owner():
        return
    try:
        chosen.check()
        save(chosen)
    except UserError as error:
        st.session_state[_MESSAGE] = plain(str(error), 500)
        try:
            st.session_state[_UNSAVED] = chosen.check()
            name_server(chosen.base_url)
        except UserError:
            return
        st.session_state[_MESSAGE] += " They apply to this session only."
    else:
        st.session_state.pop(_UNSAVED, None)
        st.session_state[_MESSAGE] = "Saved."
