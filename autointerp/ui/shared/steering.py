"""Steering on a page: what is chosen, the work in the background, and its result side by side with the model as it is.

Everything chosen is in the address, so an address repeats it. The work runs in a thread of its own, one for each session: the
page stays usable, and a click stops it. Results are kept for all sessions.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import streamlit as st

from autointerp.errors import UserError
from autointerp.steering.options import (
    MAX_NEW,
    MAX_SAMPLES,
    PAPER_KLS,
    STARTS,
    UNITS,
    Start,
    SteeringOptions,
    Unit,
)
from autointerp.steering.result import Continuation, DirectEffect, NextToken, Steered, SteeringResult
from autointerp.steering.steerer import Steerer
from autointerp.store import CoderStore, Store
from autointerp.types import Progress
from autointerp.ui.shared import components, payload, probing, roles
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.session import file_identity
from autointerp.ui.shared.state import bound, choice, choose, signed, whole
from autointerp.ui.shared.text import MAX_TOKEN, beginning, plain, quoted, sentence

ZERO = "zero"
HOW = {**UNITS, ZERO: "Hold at zero"}
HOW_HELP = (
    "Add an activation; add multiples of the feature's maximum in the corpus; find the strength that moves the next token's "
    "distribution by a KL divergence; or hold the feature at zero"
)
STRENGTHS: dict[str, str] = {
    "maximum": "1 4", "activation": "5 20", "kl": " ".join(f"{kl:g}" for kl in PAPER_KLS), ZERO: ""
}  # fmt: skip
"""Where none are given."""
PARAMS = ("prompt", "by", "strengths", "from", "tokens", "samples", "temperature", "seed")
MAX_CHARS = probing.MAX_CHARS
MAX_RESULTS = 32
POLL_SECONDS = 0.4
DIGITS = 3
"""Of changes: small ones are the rule."""
STRONG = 5.0
"""Change of a log probability, in nats, that is drawn in the strongest colour."""
_WORK, _LAST = "steering_work", "steering_last"


@dataclass(frozen=True)
class SteerState:
    """The address. `strengths`: as typed."""

    prompt: str
    by: str
    strengths: str
    start: Start
    n_new: int
    n_samples: int
    temperature: float
    seed: int

    @staticmethod
    def parse(params: Mapping[str, str]) -> "SteerState":
        by = choice(params.get("by"), HOW, "maximum")
        temperature = signed(params.get("temperature"))
        return SteerState(
            prompt=params.get("prompt", "")[:MAX_CHARS],
            by=by,
            strengths=params.get("strengths", STRENGTHS[by])[:200],
            start=cast(Start, choice(params.get("from"), {**STARTS}, "last")),
            n_new=min(max(whole(params.get("tokens")) or 20, 1), MAX_NEW),
            n_samples=min(max(whole(params.get("samples")) or 1, 1), MAX_SAMPLES),
            temperature=1.0 if temperature is None else min(max(temperature, 0.0), 10.0),
            seed=whole(params.get("seed")) or 0,
        )

    def options(self, latents: Sequence[int]) -> SteeringOptions:
        """Raises UserError."""
        more: dict[str, Any] = {"zero": True}
        if self.by != ZERO:
            more = {"unit": cast(Unit, self.by), "strengths": _numbers(self.strengths)}
        return SteeringOptions(
            tuple(latents), start=self.start, n_new=self.n_new, n_samples=self.n_samples, temperature=self.temperature,
            seed=self.seed, **more,
        )  # fmt: skip


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.replace(",", " ").replace("−", "-").split())
    except ValueError:
        raise UserError(
            f"Strengths are numbers separated by spaces, such as “0.5 2”, not “{text[:60]}”."
        ) from None


# Work ------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class _Work:
    """One result on its way. `key`: what it is the result of."""

    key: Any
    progress: Progress | None = None
    result: SteeringResult | None = None
    error: str | None = None
    stopped: bool = False
    ended: threading.Event = field(default_factory=threading.Event)


class _Stopped(BaseException):
    """Raised inside the work, where the model can be left."""


class _Results:
    """The latest of all sessions, by what they are of."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Any, SteeringResult] = OrderedDict()

    def get(self, key: Any) -> SteeringResult | None:
        with self._lock:
            return self._kept.get(key)

    def put(self, key: Any, result: SteeringResult) -> None:
        with self._lock:
            self._kept[key] = result
            while len(self._kept) > MAX_RESULTS:
                self._kept.popitem(last=False)


@st.cache_resource(show_spinner=False)
def _results() -> _Results:
    return _Results()


@st.cache_resource(show_spinner=False, max_entries=2)
def _steerer(path: str, created: str, _store: Store) -> Steerer:
    """One for all sessions: it knows how this model is continued once it has tried."""
    return Steerer(_store, probing.prober(_store))


def _work(store: Store, coder: CoderStore, prompt: str, options: SteeringOptions) -> _Work:
    """The session's work on this, begun where there is none; what it was doing before is stopped."""
    key = (str(store.path), file_identity(coder.info), prompt, options)
    before: _Work | None = st.session_state.get(_WORK)
    if before is not None and before.key == key:
        return before
    if before is not None:
        before.stopped = True
    work = st.session_state[_WORK] = _Work(key)
    results = _results()
    work.result = results.get(key)
    if work.result is not None:
        work.ended.set()
        return work
    steerer, is_owner = _steerer(str(store.path), str(store.meta.get("created")), store), roles.is_owner()

    def run() -> None:
        def report(progress: Progress) -> None:
            work.progress = progress
            if work.stopped:
                raise _Stopped

        try:
            with roles.turn(is_owner):
                report(Progress("waiting for the model", 0, 1, "turns"))
                work.result = steerer.steer(coder.info.coder, prompt, options, progress=report)
                results.put(key, work.result)
        except UserError as error:
            work.error = str(error)
        except _Stopped:
            pass
        except Exception as error:
            work.error = f"This is a bug: {type(error).__name__}: {error}"
            raise
        finally:
            work.ended.set()

    threading.Thread(target=run, name="steering", daemon=True).start()
    return work


# Page ------------------------------------------------------------------------------------------------


def draw(
    store: Store, coder: CoderStore, latents: Sequence[int], state: SteerState, *, asks_prompt: bool = True
) -> None:
    """The controls, with or without the prompt's, and below them the continuations; until there are any, and where there are
    none, how far they are or why, above the last ones of these latents."""
    if asks_prompt:
        st.text_area(
            "Prompt", height=92, max_chars=MAX_CHARS, label_visibility="collapsed",
            placeholder=f"A prompt of up to {MAX_CHARS:,} characters. Ctrl+Enter continues it, as it is and steered.",
            **bound("prompt", state.prompt, ""),
        )  # fmt: skip
    _controls(state)
    if not state.prompt:
        return
    of = (str(store.path), file_identity(coder.info), tuple(latents))
    # One place for all that is said above a result: emptying it takes all of that away at once, even where a run of the page is
    # overtaken by the next, and the result stays where it is.
    above = st.empty()
    with above.container():
        result = _result_or_state(store, coder, latents, state)
        if result is not None:
            st.session_state[_LAST] = of, record(store, result)
        shown_of, drawn = st.session_state.get(_LAST, (None, None))
        if result is None and shown_of == of:
            st.caption("Previous result")
    if result is not None:
        above.empty()
    if shown_of == of:
        components.steering(drawn, key="steering")


def _result_or_state(
    store: Store, coder: CoderStore, latents: Sequence[int], state: SteerState
) -> SteeringResult | None:
    """The result, or, drawn here, how far it is or why there is none."""
    try:
        work = _work(store, coder, state.prompt, state.options(latents))
    except UserError as error:
        st.error(sentence(error, 2000))
        return None
    if work.stopped:  # whatever the thread, which stops when it next looks, may still give
        st.info("Stopped.")
        st.button("Run", key="steering_again", icon=":material/play_arrow:", on_click=_again)
        return None
    if not work.ended.wait(0 if work.progress is not None else POLL_SECONDS):
        st.fragment(_waiting, run_every=POLL_SECONDS)(work)
        return None
    if work.error is not None:
        st.error(sentence(work.error, 2000))
        st.button("Retry", key="steering_again", icon=":material/refresh:", on_click=_again)
    return work.result


def _controls(state: SteerState) -> None:
    shown: dict[str, Any] = {"label_visibility": "visible"}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        choose(
            st.selectbox, "Strength in", HOW, "by", state.by, "maximum", reset=("strengths",), width=215, help=HOW_HELP, **shown
        )  # fmt: skip
        if state.by != ZERO:
            st.text_input(
                "Strengths", max_chars=200, width=130, help="Up to eight, separated by spaces; below 0 weakens",
                **bound("strengths", state.strengths, STRENGTHS[state.by]),
            )  # fmt: skip
        choose(st.selectbox, "Applied", {**STARTS}, "from", state.start, "last", width=240, **shown)
        st.number_input(
            "Tokens", min_value=1, max_value=MAX_NEW, step=1, width=100, **bound("tokens", state.n_new, 20)
        )
        st.number_input(
            "Samples", min_value=1, max_value=MAX_SAMPLES, step=1, width=100, help="Continuations at each strength",
            **bound("samples", state.n_samples, 1),
        )  # fmt: skip
        st.number_input(
            "Temperature", min_value=0.0, max_value=10.0, step=0.1, format="%g", width=115,
            help="0 takes the likeliest token", **bound("temperature", state.temperature, 1.0),
        )  # fmt: skip
        st.number_input(
            "Seed", min_value=0, step=1, width=100, help="The same seed gives the same random numbers at every strength",
            **bound("seed", state.seed, 0),
        )  # fmt: skip


def _waiting(work: _Work) -> None:
    if work.ended.is_set() or work.stopped:
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button("Stop", key="steering_stop", icon=":material/stop:", on_click=_stop)
        at = work.progress
        share = 0.0 if at is None or not at.total else min(1.0, at.done / at.total)
        st.progress(share, text="Starting" if at is None else plain(_stage(at), 120))


def _stage(at: Progress) -> str:
    counted = "" if at.total <= 1 else f": {at.done} of {at.total} {at.unit}"
    return at.stage.capitalize() + counted


def _stop() -> None:
    work: _Work | None = st.session_state.get(_WORK)
    if work is not None:
        work.stopped = True


def _again() -> None:
    st.session_state.pop(_WORK, None)


# Record ----------------------------------------------------------------------------------------------


def record(store: Store, result: SteeringResult) -> dict[str, Any]:
    """Everything that the element draws."""
    table = payload.token_table(store)
    prompt = table.row(result.prompt_ids)
    cards = [{"title": "As it is", "notes": [], "texts": [_text(text, table) for text in result.clean]}]
    cards += [_card(result, steered, table) for steered in result.steered]
    return {
        "table": table.entries,
        "prompt": prompt[result.n_added :],
        "cards": cards,
        "direct": [_direct(effect) for effect in result.direct if effect.raised or effect.lowered],
        "unit": result.logit_unit,
        "strong": STRONG,
    }


def _card(result: SteeringResult, steered: Steered, table: payload.TokenTable) -> dict[str, Any]:
    notes = []
    if steered.added:
        added = ", ".join(f"{value:+.4g}".replace("-", "−") for value in steered.added)
        notes.append(f"activation {added}")
    if steered.kl is not None:
        notes.append(f"KL of the next token {fmt.decimal(steered.kl)} nats")
    return {
        "title": _title(result.options, steered),
        "notes": notes,
        "failed": None if steered.failed is None else beginning(steered.failed, 400),
        "texts": [_text(text, table) for text in steered.continuations],
        "raised": [_next(token) for token in steered.raised],
        "lowered": [_next(token) for token in steered.lowered],
    }


def _title(options: SteeringOptions, steered: Steered) -> str:
    if steered.asked is None:
        return "Held at zero"
    asked = f"{steered.asked:g}".replace("-", "−")
    return {"maximum": f"{asked} × maximum", "activation": f"{asked} added", "kl": f"Target KL {asked}"}[
        options.unit
    ]


def _text(text: Continuation, table: payload.TokenTable) -> dict[str, Any]:
    drawn = [table.entry(token, piece) for token, piece in zip(text.token_ids, text.texts, strict=True)]
    return {
        "t": drawn,
        "d": [round(change, 4) for change in text.changes],
        "l": [round(value, 4) for value in text.log_probs],
    }


def _next(token: NextToken) -> list[str]:
    return [
        quoted(token.text), fmt.decimal(token.clean), fmt.decimal(token.steered), fmt.signed(token.change, DIGITS)
    ]  # fmt: skip


def _direct(effect: DirectEffect) -> dict[str, Any]:
    raised, lowered = (
        [[quoted(each.text[:MAX_TOKEN]), fmt.signed(each.value, DIGITS)] for each in logits]
        for logits in (effect.raised, effect.lowered)
    )
    return {"of": f"#{effect.latent}", "raised": raised, "lowered": lowered}
