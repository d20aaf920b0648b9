"""The LLM explainers: what is shown, what comes back, what goes wrong."""

import json
from typing import Any

import pytest

from autointerp.errors import UserError
from autointerp.explain.explainer import Evidence
from autointerp.explain.llm import LLMExplainer
from autointerp.explain.options import ExplainOptions
from autointerp.explain.raised import InterventionExplainer
from autointerp.llm.costs import Budget
from autointerp.llm.errors import BudgetExceeded, PromptTooLong
from autointerp.llm.messages import ChatReply, ChatRequest, Usage
from autointerp.models.effect import Continued, Effect, Rise
from tests.mock_client import MemoryCache, MockClient
from tests.score.builders import heldout, window

DEFAULT = ExplainOptions(explainer="default")


def evidence(**more: Any) -> Evidence:
    given = heldout(12, 12)
    return Evidence("sae", 3, given.activating, 10.0, given.non_activating, **more)


def answering(text: str, **more: str) -> MockClient:
    return MockClient(lambda _: json.dumps({**more, "explanation": text}), cache=MemoryCache())


def test_an_explanation_comes_with_its_provenance() -> None:
    with answering("  The word\n fox. ") as client:
        result = LLMExplainer(ExplainOptions(explainer="default", n_examples=5), client).explain(
            evidence(), seed=7
        )
    assert (result.text, result.status, result.explainer, result.model) == (
        "The word fox.",
        "ok",
        "default",
        "mock",
    )
    assert result.example_ids == tuple(f"{i}:0:8" for i in range(5))
    assert (result.seed, result.prompt_version) == (7, "explain-2")
    assert len(result.reply_ref or "") == 64
    assert result.tokens_in > 0


def test_examples_are_marked_with_strengths() -> None:
    shown = window([" a", " fo", "x", " b"], {1: 5.0, 2: 10.0, 3: 1.0})
    with answering("x") as client:
        question = (
            LLMExplainer(DEFAULT, client).request(Evidence("sae", 3, [shown], 20.0)).messages[-1].content
        )
        without = (
            LLMExplainer(ExplainOptions(explainer="default", activations=False), client)
            .request(Evidence("sae", 3, [shown], 20.0))
            .messages[-1]
            .content
        )
    assert "[1]  a<< fox>> b" in question
    assert '" fo" 3, "x" 5' in question
    assert without.strip().endswith("[1]  a<< fox>> b")


def test_each_variant_shows_what_it_says() -> None:
    given = evidence(promoted=[" red", "\n"], suppressed=[" blue"])
    questions = {}
    with answering("x") as client:
        for variant in ("default", "contrastive", "top_logits"):
            questions[variant] = LLMExplainer(ExplainOptions(explainer=variant), client).request(given)
    last = {name: request.messages[-1].content for name, request in questions.items()}
    assert "Non-activating excerpts" not in last["default"]
    assert "Non-activating excerpts" in last["contrastive"]
    assert 'more likely: " red", "\u21b5"' in last["top_logits"]
    assert 'less likely: " blue"' in last["top_logits"]
    assert len({request.messages[0] for request in questions.values()}) == 3


def test_all_latents_share_the_beginning_of_the_prompt() -> None:
    with answering("x") as client:
        explainer = LLMExplainer(DEFAULT, client)
        a = explainer.request(evidence())
        b = explainer.request(Evidence("sae", 3, [window([" cat"], {0: 1.0})], 1.0))
    assert a.messages[:-1] == b.messages[:-1]


def test_reasoning_is_asked_for_and_kept() -> None:
    with answering("foxes", reasoning="all foxes") as client:
        result = LLMExplainer(ExplainOptions(explainer="default", reasoning=True), client).explain(evidence())
        (request,) = client.requests
    assert (result.text, result.reasoning) == ("foxes", "all foxes")
    assert request.schema is not None
    assert list(request.schema["properties"]) == ["reasoning", "explanation"]


@pytest.mark.parametrize(
    "reply",
    [
        'Perhaps {"explanation": "cats"}.</think>\n{"explanation": "foxes"}',
        '<think>Perhaps {"explanation": "cats"}.</think>{"explanation": "foxes"}',
        ChatReply('{"explanation": "foxes"}', "mock", reasoning='Perhaps {"explanation": "cats"}.'),
    ],
)
def test_what_a_reasoning_model_thinks_is_kept_as_its_reasoning(reply: str | ChatReply) -> None:
    with MockClient(lambda _: reply) as client:
        result = LLMExplainer(DEFAULT, client).explain(evidence())
    assert (result.text, result.reasoning) == ("foxes", 'Perhaps {"explanation": "cats"}.')


def test_a_draft_is_no_explanation() -> None:
    for reply in (
        '{"explanation": "cats"}</think>',
        '<think>{"explanation": "cats"}',
        '{"explanation": "cats"}</think>Foxes.',
    ):
        with MockClient(lambda _, reply=reply: reply) as client:
            result = LLMExplainer(DEFAULT, client).explain(evidence())
        assert (result.status, result.text, result.error_kind) == ("failed", "", "bad_answer")


def test_long_examples_are_cut_around_their_peak() -> None:
    long = window([f" w{i}" for i in range(40)], {30: 1.0})
    with answering("x") as client:
        explainer = LLMExplainer(ExplainOptions(explainer="default", max_tokens=8), client)
        question = explainer.request(Evidence("sae", 3, [long], 1.0)).messages[-1].content
    assert "<< w30>>" in question
    assert " w23" not in question
    assert " w32" not in question


@pytest.mark.parametrize(
    "answer",
    [
        "They all speak of foxes.",
        "",
        '{"explanation": ""}',
        '{"explanation": 5}',
        '{"explanation": "' + "x" * 3000 + '"}',
        '{"explanation": "I\'m sorry, but I can\'t help with that."}',
        '{"explanation": " I cannot determine what these excerpts share."}',
        '{"explanation": "As an AI, I am unable to say."}',
    ],
)
def test_a_bad_answer_is_a_failure_not_an_explanation(answer: str) -> None:
    cache = MemoryCache()
    with MockClient(lambda _: answer, cache=cache) as client:
        result = LLMExplainer(DEFAULT, client).explain(evidence())
        assert len(client.requests) == 2
    kept = cache.get(result.reply_ref or "")
    assert kept is not None
    assert (kept.discarded, kept.text) == ((answer,), answer)
    assert (result.text, result.status, result.retryable) == ("", "failed", True)
    assert result.error_kind == "bad_answer"
    assert result.tokens_in > 0


@pytest.mark.parametrize(
    "text",
    [
        '"I\'m sorry" in apologies.',
        "Sorry and other words of regret.",
        "I can't and I won't, refusals in dialogue.",
        'Apologies in letters, as "I apologise".',
        "I, the pronoun, before a verb.",
    ],
)
def test_an_explanation_about_refusals_is_none(text: str) -> None:
    with answering(text) as client:
        assert LLMExplainer(DEFAULT, client).explain(evidence()).text == text


def test_errors_are_recorded_with_their_kind() -> None:
    with MockClient(lambda _: PromptTooLong("too many tokens")) as client:
        result = LLMExplainer(DEFAULT, client).explain(evidence())
    assert (result.status, result.error, result.error_kind) == ("failed", "too many tokens", "too_long")
    assert not result.retryable


def test_the_end_of_the_budget_is_raised() -> None:
    with MockClient(["x"], budget=Budget(max_tokens=1)) as client, pytest.raises(BudgetExceeded):
        LLMExplainer(DEFAULT, client).explain(evidence())


@pytest.mark.parametrize(
    ("variant", "given", "says"),
    [
        ("default", Evidence("sae", 3, [], 0.0), "no activating examples"),
        ("contrastive", Evidence("sae", 3, [window([" a"], {0: 1.0})], 1.0), "non-activating"),
        ("top_logits", Evidence("sae", 3, [window([" a"], {0: 1.0})], 1.0), "promotes"),
    ],
)
def test_missing_evidence_is_a_failure_without_a_call(variant: Any, given: Evidence, says: str) -> None:
    with MockClient([]) as client:
        result = LLMExplainer(ExplainOptions(explainer=variant), client).explain(given)
        assert client.requests == []
    assert (result.status, result.retryable) == ("failed", False)
    assert says in (result.error or "")


def test_settings_are_checked() -> None:
    for options in (ExplainOptions(explainer="telepathy"), ExplainOptions(n_examples=0)):
        with pytest.raises(UserError, match=r"telepathy|accepted: 1"):
            options.check()


def test_a_cached_reply_costs_nothing() -> None:
    reply = ChatReply('{"explanation": "foxes"}', "mock", usage=Usage(100, 10, cost=0.5))
    with MockClient(lambda _: reply, cache=MemoryCache()) as client:
        first, second = (LLMExplainer(DEFAULT, client).explain(evidence()) for _ in range(2))
    assert (first.tokens_in, second.tokens_in, second.cost) == (100, 0, 0.0)
    assert first.text == second.text
    assert first.reply_ref == second.reply_ref


def test_a_refusal_is_told_as_one() -> None:
    with MockClient(lambda _: "I'm sorry, but I can't help with that.") as client:
        result = LLMExplainer(DEFAULT, client).explain(evidence())
    assert (result.status, result.text, result.retryable) == ("failed", "", False)
    assert result.error_kind == "refused"


@pytest.mark.parametrize(
    "repeated",
    [
        'The word "than" in a comparison.',
        "the word than in a comparison",
        'The feature fires on the word "than" in a comparison, such as "more than".',
        'A currency symbol or word next to an amount, as in "$4.20".',
        "Say in one or two plain sentences what activates it, so that someone could tell.",
        "...",
    ],
)
@pytest.mark.parametrize("again", ["Foxes.", None])
def test_an_answer_that_repeats_the_prompt_is_asked_again_without_its_examples(
    repeated: str, again: str | None
) -> None:
    """A weak model gives back what it was shown, and another latent's sentence would stand there."""
    shots = {
        message for message in LLMExplainer(DEFAULT, MockClient([])).opening() if message.role == "assistant"
    }

    def answer(request: ChatRequest) -> ChatReply:
        text = repeated if again is None or shots & set(request.messages) else again
        return ChatReply(json.dumps({"explanation": text}), "mock", usage=Usage(100, 10, cost=0.5))

    with MockClient(answer, cache=MemoryCache()) as client:
        result = LLMExplainer(DEFAULT, client).explain(evidence())
        asked = [bool(shots & set(request.messages)) for request in client.requests]
    assert asked == [True, False]
    assert (result.tokens_in, result.cost) == (200, 1.0)
    assert result.prompt_version == "explain-2 without examples"
    if again:
        assert (result.text, result.status) == (again, "ok")
        return
    assert (result.text, result.status, result.error_kind) == ("", "failed", "repeats_prompt")
    assert "without the examples" in (result.error or "")
    assert not result.retryable
    assert result.reply_ref


def test_what_looks_like_an_example_of_the_prompt_may_be_right() -> None:
    than = Evidence(
        "sae", 3, [window([" more", " than", " one"], {1: 5.0}, context=i) for i in range(3)], 5.0
    )
    text = 'The word "than" in a comparison.'
    with answering(text) as client:
        assert LLMExplainer(DEFAULT, client).explain(than).text == text
        assert len(client.requests) == 1


@pytest.mark.parametrize(
    "text",
    [
        "The word fox.",
        'The word "then" in a narrative.',
        "A currency.",
        "Excerpts of novels, in one or two plain sentences.",
        "$",
    ],
)
def test_an_explanation_of_its_own_is_asked_for_once(text: str) -> None:
    with answering(text) as client:
        result = LLMExplainer(DEFAULT, client).explain(evidence())
        assert (result.text, len(client.requests), result.prompt_version) == (text, 1, "explain-2")


def test_a_raised_latent_is_explained_by_what_becomes_likelier() -> None:
    options = ExplainOptions(explainer="intervention", n_examples=2)
    texts = tuple(
        Continued(f"up to {i}\n", "", "", 1.0, (Rise(" 14", 0.125), Rise(" <b>", 0.03))) for i in range(3)
    )
    shown = evidence(effect=Effect(3.0, 1.0, texts, (Rise(" 14", 0.125),)))
    with answering("Numbers.", reasoning="digits") as client:
        explainer = InterventionExplainer(options, client)
        question = explainer.request(shown).messages[-1].content
        result = explainer.explain(shown, seed=1)
    assert question == '[1] up to 0\u21b5\n    likelier: " 14" +0.12, " <b>" +0.03\n[2] up to 1\u21b5\n' + (
        '    likelier: " 14" +0.12, " <b>" +0.03'
    )
    assert (result.text, result.explainer, result.status) == ("Numbers.", "intervention", "ok")
    assert result.prompt_version == "explain-intervention-2"
    assert len(result.example_ids) == 2
    with answering('Numbers written in digits, such as "14", "40" or "6".') as client:
        copied = InterventionExplainer(options, client).explain(shown)
    assert copied.error_kind == "repeats_prompt"
    assert copied.prompt_version == "explain-intervention-2 without examples"
    with answering("x") as client:
        nothing = InterventionExplainer(options, client).explain(evidence())
        flat = InterventionExplainer(options, client).explain(
            evidence(effect=Effect(3.0, 1.0, (Continued("a", "", "", 1.0),)))
        )
    assert (nothing.error_kind, flat.error_kind) == ("no_examples", "no_pattern")
