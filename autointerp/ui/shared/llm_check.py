"""The test button of the settings: asks the server what it offers and one short question, and shows what came back."""

from dataclasses import dataclass, replace

import streamlit as st

from autointerp.errors import UserError
from autointerp.llm.check import check_endpoint
from autointerp.llm.client import Client
from autointerp.llm.costs import PriceTable
from autointerp.llm.errors import LLMError
from autointerp.llm.limits import RetryPolicy
from autointerp.llm.messages import Answer
from autointerp.preferences import Preferences
from autointerp.ui.shared import components, job_text, llm_keys, long_text, roles
from autointerp.ui.shared import format as fmt
from autointerp.ui.shared.text import plain, visible

_RESULT = "llm_check"
_OFFERED = "llm_offered"
_PATIENCE_SECONDS = 30.0
_MAX_LISTED = 2000


@dataclass(frozen=True)
class Tested:
    """What the server at `endpoint` said. `answer`: the model's, and whether it is as requested; `failure`: why there is none;
    neither when no model was named. `error` for settings that cannot be."""

    base_url: str
    model: str
    models: tuple[str, ...] = ()
    models_error: str = ""
    endpoint: str = ""
    answer: Answer[bool] | None = None
    failure: LLMError | None = None
    error: str = ""


def offered(base_url: str) -> list[str]:
    """The models that this server listed when it was last tested in this session."""
    return st.session_state.get(_OFFERED, {}).get(llm_keys.endpoint_of(base_url), [])


def run(draft: Preferences) -> None:
    """Ask, with settings that need not be saved; the result waits in the session. Blocks, at most about a minute. Not for
    visitors."""
    if not roles.is_owner():
        return
    tested = ask(draft)
    st.session_state[_RESULT] = tested
    if tested.models:
        st.session_state.setdefault(_OFFERED, {})[llm_keys.endpoint_of(draft.base_url)] = list(tested.models)


def ask(draft: Preferences) -> Tested:
    """The test itself; never raises a UserError."""
    timeout = min(draft.timeout, _PATIENCE_SECONDS)
    try:
        draft.check()
        client = Client(
            draft.model.strip() or "none named",
            base_url=draft.base_url,
            api_key=llm_keys.for_trial(draft.base_url),
            max_in_flight=1,
            timeout=timeout,
            retry=RetryPolicy(max_attempts=2, max_unreachable=1, cap=2.0, patience=5.0),
            prices=PriceTable.parse(draft.prices),
        )
    except UserError as error:
        return Tested(draft.base_url, draft.model, error=str(error))
    with client:
        models, models_error = (), ""
        try:
            models = tuple(client.models(timeout=min(timeout, 10.0))[:_MAX_LISTED])
        except LLMError as error:
            models_error = str(error)
            if error.kind in ("unreachable", "auth") or not draft.model:
                return Tested(draft.base_url, draft.model, error=models_error)
        tested = Tested(draft.base_url, draft.model, models, models_error, client.endpoint)
        try:
            return replace(tested, answer=check_endpoint(client)) if draft.model else tested
        except LLMError as error:
            return replace(tested, failure=error)


def show(draft: Preferences) -> None:
    """The last result, as long as it is about the server and model that stand there."""
    tested: Tested | None = st.session_state.get(_RESULT)
    if tested is None or (tested.base_url, tested.model) != (draft.base_url, draft.model):
        return
    if tested.error:
        st.error(plain(tested.error, 1500), icon=":material/cloud_off:")
        return
    answer, failure = tested.answer, tested.failure
    if failure is not None:
        st.error(plain(str(failure), 1500), icon=":material/cloud_off:")
        nearby = [name for name in tested.models if draft.model.lower() in name.lower()]
        if tested.models and failure.kind == "unknown_model" and "It offers" not in str(failure):
            st.caption(
                "It offers " + ", ".join(plain(name, 80) for name in (nearby or tested.models)[:12]) + "."
            )
    elif answer is None:
        n = len(tested.models)
        said = f"The server offers {fmt.plural(n, 'model')}: choose one above." if n else ""
        st.info(said or "The server does not list its models: type a name above.")
    else:
        reply = answer.reply
        said = f"{plain(reply.model, 120)} at {plain(tested.endpoint, 120)} answered in {job_text.duration(reply.seconds)}"
        if answer.value:
            st.success(f"{said}.", icon=":material/check_circle:")
        else:
            st.warning(
                f"{said}, but not in the requested format (see below). Explanations and judgements need it: expect failures. "
                "A stronger model, or a server that supports JSON schemas, will do better.",
                icon=":material/rule:",
            )
        components.facts(facts(tested, answer), key="llm_facts")
    if text := answer.reply.text if answer is not None else "\n".join(failure.texts if failure else ()):
        with st.expander("Reply"):
            long_text.code(text, "reply")


def facts(tested: Tested, answer: Answer[bool]) -> list[list[str]]:
    """What the server can do, as named values."""
    if tested.models:
        listed = ", ".join(tested.models[:12]) + (" …" if len(tested.models) > 12 else "")
        models = ["Models offered", fmt.count(len(tested.models)), visible(listed)]
    else:
        models = ["Models offered", "not listed", visible(tested.models_error)]
    reply = answer.reply
    taken = "json_schema" not in reply.dropped
    usage = reply.usage
    return [
        ["Latency", job_text.duration(reply.seconds), "From request to complete answer"],
        models,
        [
            "JSON schema",
            "supported" if taken else "not supported",
            "The server enforces the answer format"
            if taken
            else "The format is requested in the prompt and parsed leniently",
        ],
        [
            "Answer",
            "as requested" if answer.value else "not as requested",
            "Whether the reply was a list of two numbers, as requested. If not, expect unparsed answers.",
        ],
        [
            "Log probabilities",
            "available" if reply.logprobs is not None else "not available",
            "Needed for graded answers; without them answers are yes or no",
        ],
        [
            "Tokens",
            f"{fmt.count(usage.prompt_tokens)} + {fmt.count(usage.completion_tokens)}",
            "Prompt and answer" + (", estimated: the server counts none" if usage.estimated else ""),
        ],
        ["Cost", fmt.money(usage.cost), "Of this test, at your prices"],
    ]
