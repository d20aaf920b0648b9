"""How likely texts are, by a local model: as whole passes say, on every architecture, with nothing run twice."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autointerp.errors import UserError
from autointerp.models.subject import SubjectModel, load_subject
from autointerp.score.judges import causal
from autointerp.score.judges.causal import CausalTextModel
from tests.models.zoo import ARCHITECTURES, ENCODERS, REFUSED, save

BEGIN = "Passage: the"
PREFIXES = [f"{BEGIN} fox", f"{BEGIN} quick brown fox jumps over", f"{BEGIN} quick", f"{BEGIN} fox"]
WORDS = ("the", "quick", "brown", "fox", "jumps", "over", "lazy", "dog")
COPIED = ("Llama", "GPT-2", "OPT", "Gemma-3", "BLOOM")
WHOLE = ("Mamba", "RWKV", "LFM2", "Jamba")


def plain(subject: SubjectModel, prefix: str, text: str) -> float:
    """By one whole pass."""
    head = list(subject.tokenizer(prefix)["input_ids"])
    body = list(subject.tokenizer(text, add_special_tokens=False)["input_ids"])
    with torch.no_grad():
        logits = torch.log_softmax(subject.model(input_ids=torch.tensor([head + body])).logits[0].float(), -1)
    return sum(float(logits[len(head) + at - 1, token]) for at, token in enumerate(body))


def judged_by(subject: SubjectModel, batch: int = 3) -> CausalTextModel:
    return CausalTextModel(subject.model, subject.tokenizer, name="tiny", batch=batch)


def close(values: Sequence[float]) -> Any:
    return pytest.approx(list(values), abs=1e-4)


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> Any:
    loaded: dict[str, SubjectModel] = {}

    def subject(name: str) -> SubjectModel:
        if name not in loaded:
            loaded[name] = load_subject(str(save(name, tmp_path_factory.mktemp("model") / "m")))
        return loaded[name]

    return subject


class Positions:
    """Counts the tokens that a model runs."""

    def __init__(self, subject: SubjectModel, monkeypatch: pytest.MonkeyPatch) -> None:
        self.n = 0
        forward = subject.model.forward

        def counted(*args: Any, **given: Any) -> Any:
            self.n += given["input_ids"].numel()
            return forward(*args, **given)

        counted.__signature__ = inspect.signature(forward)  # type: ignore[attr-defined]
        monkeypatch.setattr(subject.model, "forward", counted)

    def during(self, work: Any) -> int:
        before = self.n
        work()
        return self.n - before


@pytest.mark.parametrize("name", sorted({*ARCHITECTURES} - {*ENCODERS} - {*REFUSED}))
def test_every_architecture_is_judged_as_by_whole_passes(name: str, subjects: Any, tmp_path: Path) -> None:
    subject = subjects(name)
    judge = judged_by(subject)
    for text in ("lazy dog jumps", "lazy", "brown brown fox"):
        expected = [plain(subject, prefix, text) for prefix in PREFIXES]
        assert judge.log_probs_after(PREFIXES, text).values == close(expected)
    texts = ["lazy dog", "fox", "", "quick quick quick quick", "dog"]
    assert judge.log_probs(BEGIN, texts) == close(plain(subject, BEGIN, text) for text in texts)
    assert judge.log_probs(BEGIN, ["", ""]) == [0.0, 0.0]


@pytest.mark.parametrize("name", COPIED)
def test_the_prefixes_of_the_last_call_are_not_read_again(
    name: str, subjects: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = subjects(name)
    judge = judged_by(subject)
    judge.log_probs_after(PREFIXES, "dog")  # tries the model's cache
    positions = Positions(subject, monkeypatch)
    others = [f"{prefix} dog" for prefix in PREFIXES]
    first = positions.during(lambda: judge.log_probs_after(others, "lazy dog jumps"))
    second = positions.during(lambda: judge.log_probs_after(others, "brown brown fox"))
    body = len(subject.tokenizer("brown brown fox", add_special_tokens=False)["input_ids"])
    assert second == len(others) * (body - 1)  # nothing follows the last token
    heads = [len(subject.tokenizer(prefix)["input_ids"]) for prefix in others]
    assert first > second
    assert first < second + sum(heads), "what all begin with was run once"
    monkeypatch.setattr(causal, "KEPT_BYTES", 0)
    again = positions.during(lambda: judge.log_probs_after(PREFIXES, "lazy dog jumps"))
    assert positions.during(lambda: judge.log_probs_after(PREFIXES, "lazy dog jumps")) == again, (
        "too large to be kept"
    )
    expected = [plain(subject, prefix, "lazy dog jumps") for prefix in PREFIXES]
    assert judge.log_probs_after(PREFIXES, "lazy dog jumps").values == close(expected)


@pytest.mark.parametrize(
    ("name", "copies_cache", "hides_padding"),
    [("Llama", True, True), ("MPT", True, False), *((name, False, None) for name in WHOLE)],
)
def test_what_a_model_can_do_is_tried_once(
    name: str, copies_cache: bool, hides_padding: bool | None, subjects: Any
) -> None:
    judge = judged_by(subjects(name))
    judge.log_probs_after(PREFIXES, "dog")
    assert (judge._copies_cache, judge._hides_padding) == (copies_cache, hides_padding)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["Llama", "GPT-2", "MPT", "Mamba"]),
    prefixes=st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6), min_size=1, max_size=7),
    texts=st.lists(st.lists(st.sampled_from(WORDS), max_size=4), min_size=1, max_size=3),
    batch=st.integers(1, 4),
)
def test_any_prefixes_and_texts(
    name: str, prefixes: list[list[str]], texts: list[list[str]], batch: int, subjects: Any
) -> None:
    subject = subjects(name)
    judge = judged_by(subject, batch)
    heads = list(map(" ".join, prefixes))
    for text in map(" ".join, texts):
        expected = [plain(subject, head, text) for head in heads]
        assert judge.log_probs_after(heads, text).values == close(expected)


def test_a_prompt_without_tokens_is_an_error(subjects: Any) -> None:
    judge = judged_by(subjects("Llama"))
    with pytest.raises(UserError, match="made no tokens"):
        judge.log_probs("", ["dog"])
    with pytest.raises(UserError, match="made no tokens"):
        judge.log_probs_after(["fox", ""], "dog")
