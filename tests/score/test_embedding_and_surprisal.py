"""Scores without a judge: cosine, and a local language model."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from autointerp.errors import UserError
from autointerp.llm.cancel import CancelToken
from autointerp.llm.errors import Cancelled
from autointerp.sampling import Places
from autointerp.score.compare import difference
from autointerp.score.embedding import Embedding
from autointerp.score.judges.causal import CausalTextModel
from autointerp.score.plan import Item
from autointerp.score.resampling import Resamples
from autointerp.score.surprisal import Surprisal
from tests.score.builders import cancelled_after, explained, heldout, judged


class LetterEmbedder:
    """Counts letters: enough to be nearer to like texts."""

    name = "letters"

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = np.array(
            [[text.count(chr(97 + i)) + 1e-3 for i in range(26)] for text in texts], dtype=np.float32
        )
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def embed_windows(self, items: Sequence[Item]) -> NDArray[np.float32]:
        return self.embed_queries([item.window.text for item in items])


def test_embedding_is_the_auroc_of_the_cosine() -> None:
    embedder = LetterEmbedder()
    result = Embedding(embedder).run(explained("fox fox"), heldout(), seed=0, floor=explained("lazy dog"))
    truth = [bool(one.truth) for one in judged(result)]
    values = [one.value or 0.0 for one in judged(result)]
    assert result.value == pytest.approx(roc_auc_score(truth, values))
    assert (result.metric, result.model, result.n_pos, result.n_neg) == ("auroc", "letters", 20, 20)
    assert result.floor == Embedding(embedder).run(explained("lazy dog"), heldout(), seed=0).value
    assert all(one.answer is None for one in judged(result))


def test_vectors_at_hand_get_the_same_score() -> None:
    embedder = LetterEmbedder()
    scorer = Embedding(embedder, resamples=Resamples(4))
    plan = scorer.plan(heldout(), 3)
    texts = explained("fox fox"), explained("lazy dog")
    expected = scorer.score(texts[0], plan, floor=texts[1])
    windows = [item.window for item in plan.items]
    found = scorer.score_vectors(
        texts[0],
        texts[1],
        embedder.embed_queries(["fox fox", "lazy dog"]),
        embedder.embed_windows(plan.items),
        Places(
            np.array([(w.example.context, w.example.start, w.example.start + len(w.texts)) for w in windows]),
            [w.example.quantile for w in windows],
            [w.example.source for w in windows],
            [None] * len(windows),
            [0] * len(windows),
        ),
        np.array([bool(item.truth) for item in plan.items]),
        plan,
    )
    assert found.judged == expected.judged
    same = {"id": "", "created": "", "duration": 0}
    assert replace(found, **same) == replace(expected, **same)


def test_embedding_scores_of_two_explanations_can_be_compared() -> None:
    scorer = Embedding(LetterEmbedder())
    first, second = (scorer.run(explained(text), heldout(), seed=0) for text in ("lazy dog", "fox fox"))
    found = difference(first, second, Resamples(0))
    assert found.value == pytest.approx((second.value or 0) - (first.value or 0))


class CharTokenizer:
    """A byte is a token; id 0 begins a text."""

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": [*([0] if add_special_tokens else []), *text.encode()]}


@pytest.fixture(scope="module")
def neox() -> Any:
    import torch
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    torch.manual_seed(0)
    config = GPTNeoXConfig(
        vocab_size=256,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=1024,
        use_cache=True,
    )
    return GPTNeoXForCausalLM(config).eval()


@pytest.fixture(scope="module")
def causal(neox: Any) -> CausalTextModel:
    return CausalTextModel(neox, CharTokenizer(), name="tiny", batch=3)


def test_log_probabilities_with_a_shared_cache_are_those_of_whole_texts(
    causal: CausalTextModel, neox: Any
) -> None:
    import torch

    texts = [
        " the quick fox",
        " a",
        "",
        " something rather longer than that",
        " the quick fox",
        " \n",
        " b c d",
    ]
    ours = causal.log_probs("Description: x\nExcerpt:", texts)
    tokenizer = CharTokenizer()
    for text, value in zip(texts, ours, strict=True):
        head = tokenizer("Description: x\nExcerpt:")["input_ids"]
        body = tokenizer(text, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            logits = neox(input_ids=torch.tensor([head + body])).logits[0].log_softmax(-1)
        plain = sum(float(logits[len(head) + i - 1, token]) for i, token in enumerate(body))
        assert value == pytest.approx(plain, abs=1e-3)
    assert ours[0] == pytest.approx(ours[4], abs=1e-4)
    assert ours == pytest.approx(causal.log_probs("Description: x\nExcerpt:", texts), abs=1e-4)


class Asked:
    """A language model that remembers how often each text was asked for."""

    def __init__(self, model: CausalTextModel) -> None:
        self.model, self.name, self.max_tokens = model, model.name, model.max_tokens
        self.asked: Counter[str] = Counter()

    def log_probs(self, prefix: str, texts: Sequence[str], **given: Any) -> list[float]:
        self.asked.update(texts)
        return self.model.log_probs(prefix, texts, **given)


def test_surprisal_scores_and_remembers_the_neutral_side(causal: CausalTextModel) -> None:
    model = Asked(causal)
    scorer = Surprisal(model)
    result = scorer.run(explained("foxes"), heldout(6, 6), seed=0)
    assert (result.status, result.metric, result.model, result.judge) == (
        "ok",
        "auroc",
        "tiny",
        "language model",
    )
    assert result.value is not None
    first = model.asked.copy()
    again = scorer.run(explained("foxes"), heldout(6, 6), seed=0)
    assert again.value == pytest.approx(result.value)
    # Each text once beside the explanation and once without it; the second time only beside it.
    assert (model.asked - first).total() == first.total() - len(first) > 0


def test_a_cancel_ends_the_reading_and_is_no_failure(
    causal: CausalTextModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    causal.log_probs("x", ["y"])  # tries the model's cache
    cancel = CancelToken()
    passes = cancelled_after(2, causal, cancel, monkeypatch)
    with pytest.raises(Cancelled):
        Surprisal(causal, cancel=cancel).run(explained("foxes"), heldout(60, 60), seed=0)
    assert len(passes) == 2, "of many"


def test_a_prefix_too_long_for_the_model_is_a_recorded_failure(causal: CausalTextModel) -> None:
    with pytest.raises(UserError, match="more than the 1024"):
        causal.log_probs("x" * 2000, ["y"])
    result = Surprisal(causal).run(explained("word " * 500), heldout(3, 3), seed=0)
    assert (result.status, result.value) == ("failed", None)
    assert "1024" in (result.error or "")


def test_a_better_described_text_is_likelier() -> None:
    class Oracle:
        name = "oracle"
        max_tokens = None

        def log_probs(self, prefix: str, texts: Sequence[str], **given: Any) -> list[float]:
            told = "foxes" in prefix
            return [-10.0 + 3.0 * (told and " fox" in text) for text in texts]

    result = Surprisal(Oracle()).run(explained("foxes"), heldout(), seed=0, floor=explained("cats"))
    assert (result.value, result.floor) == (1.0, 0.5)


@pytest.mark.parametrize(("room", "shots"), [(None, True), (1024, True), (128, False)])
def test_models_with_a_short_context_see_no_examples_of_the_task(room: int | None, shots: bool) -> None:
    prefixes = []

    class Model:
        name = "model"
        max_tokens = room

        def log_probs(self, prefix: str, texts: Sequence[str], **given: Any) -> list[float]:
            prefixes.append(prefix)
            return [float(len(text)) for text in texts]

    scorer = Surprisal(Model())
    scorer.run(explained("foxes"), heldout(), seed=0)
    assert {"names of rivers" in prefix for prefix in prefixes} == {shots}
    assert any("foxes" in prefix for prefix in prefixes)
    assert ("short" in (scorer.prompt_version or "")) is not shots


def test_neutral_values_that_are_dropped_at_once_are_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when other threads put in many more before they are read."""

    class Model:
        name = "model"
        max_tokens = None

        def log_probs(self, prefix: str, texts: Sequence[str], **given: Any) -> list[float]:
            return [float(len(text)) for text in texts]

    monkeypatch.setattr("autointerp.score.surprisal.MAX_NEUTRAL", 0)
    result = Surprisal(Model()).run(explained("foxes"), heldout(), seed=0)
    assert result.status == "ok"
