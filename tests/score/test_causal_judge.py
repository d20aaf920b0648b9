"""How likely texts are, by a local model: as whole passes say, on every architecture, with nothing run twice."""

import inspect
import itertools
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autointerp.errors import UserError
from autointerp.llm.cancel import CancelToken
from autointerp.llm.errors import Cancelled
from autointerp.models.subject import SubjectModel, load_subject
from autointerp.score.judges import causal
from autointerp.score.judges.causal import CausalTextModel
from tests.models.zoo import ARCHITECTURES, CTX, ENCODERS, REFUSED, save
from tests.score.builders import cancelled_after, log_probs_of

BEGIN = "Passage: the"
PREFIXES = [
    f"{BEGIN} fox",
    f"{BEGIN} quick brown fox jumps over",
    f"{BEGIN} quick",
    f"{BEGIN} fox",
    f"{BEGIN} fox dog",
]
WORDS = ("the", "quick", "brown", "fox", "jumps", "over", "lazy", "dog")
CAUSAL = sorted({*ARCHITECTURES} - {*ENCODERS} - {*REFUSED})
WHOLE = ("Mamba", "Mamba-2", "RWKV", "RecurrentGemma", "LFM2", "Jamba")
"""Recurrent models: their state cannot be copied."""
LOCAL = ("GPT-Neo", "Gemma-2", "Gemma-3", "Cohere2")
"""Some layers see a window of 16 tokens only."""


def plain(subject: SubjectModel, prefix: str, text: str) -> float:
    """By one whole pass."""
    head = list(subject.tokenizer(prefix)["input_ids"])
    body = list(subject.tokenizer(text, add_special_tokens=False)["input_ids"])
    with torch.no_grad():
        logits = torch.log_softmax(subject.model(input_ids=torch.tensor([head + body])).logits[0].float(), -1)
    return sum(float(logits[len(head) + at - 1, token]) for at, token in enumerate(body))


def judged_by(subject: SubjectModel, batch: int = 3) -> CausalTextModel:
    return CausalTextModel(subject.model, subject.tokenizer, name="tiny", batch=batch)


def close(values: Iterable[float]) -> Any:
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


def check_after(subject: SubjectModel, judge: CausalTextModel, prefixes: list[str], texts: list[str]) -> None:
    told = [of_text.values for of_text in judge.log_probs_after(prefixes, texts)]
    assert told == [close(plain(subject, prefix, text) for prefix in prefixes) for text in texts]


@pytest.mark.parametrize("name", CAUSAL)
def test_every_architecture_is_judged_as_by_whole_passes(name: str, subjects: Any) -> None:
    subject = subjects(name)
    judge = judged_by(subject)
    check_after(subject, judge, PREFIXES, ["lazy dog jumps", "lazy", "", "brown brown fox"])
    texts = ["lazy dog", "fox", "", "quick quick quick quick", "dog"]
    assert judge.log_probs(BEGIN, texts) == close(plain(subject, BEGIN, text) for text in texts)
    assert judge.log_probs(BEGIN, ["", ""]) == [0.0, 0.0]
    assert judge._copies_cache is (name not in WHOLE)


@pytest.mark.parametrize("name", LOCAL)
def test_windows_of_attention_are_kept_to(name: str, subjects: Any) -> None:
    """Whatever the judge was asked before: short prefixes, longer ones than the window, and texts that reach beyond it."""
    subject = subjects(name)
    judge = judged_by(subject)

    def words(n_tokens: int, first: str) -> str:
        """As many as make at most `n_tokens`."""
        made = first
        for word in WORDS * n_tokens:
            if len(subject.tokenizer(f"{made} {word}")["input_ids"]) > n_tokens:
                return made
            made += f" {word}"
        return made

    texts = ["lazy", words(12, "over")]
    short = [words(n, "fox") for n in (2, 4, 6)]
    long = [words(n, "fox") for n in (13, 16, 20, 40)]
    for prefixes in (short, long, [*short, *long], [words(n, "the dog") for n in (10, 14, 15)]):
        check_after(subject, judge, prefixes, texts)
        assert judge.log_probs(prefixes[-1], texts) == close(
            plain(subject, prefixes[-1], text) for text in texts
        )


@pytest.mark.parametrize("name", ["Llama", "GPT-2", "OPT", "Gemma-3", "BLOOM"])
def test_nothing_is_read_twice(name: str, subjects: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = subjects(name)
    judge = judged_by(subject, batch=8)

    def n_tokens(text: str, *, special: bool = False) -> int:
        return len(subject.tokenizer(text, add_special_tokens=special)["input_ids"])

    def equal(texts: Iterable[str]) -> list[str]:
        """Those with as many tokens as most."""
        by_length = sorted(texts, key=n_tokens)
        return list(max((list(group) for _, group in itertools.groupby(by_length, n_tokens)), key=len))

    prefixes = equal(f"{BEGIN} {word}" for word in WORDS)
    first, second = equal(f"{word} dog" for word in WORDS)[:2]
    list(judge.log_probs_after(prefixes, ["fox"]))  # tries the model's cache
    positions = Positions(subject, monkeypatch)
    alone = positions.during(lambda: log_probs_of(judge, [*prefixes, prefixes[0]], first))
    both = positions.during(lambda: list(judge.log_probs_after([*prefixes, prefixes[0]], [first, second])))
    assert both - alone == len(prefixes) * (n_tokens(second) - 1), "its own tokens; nothing follows the last"
    head = n_tokens(prefixes[0], special=True)
    assert 2 < len(prefixes) <= judge._batch
    assert alone < len(prefixes) * (head + n_tokens(first) - 1), "what all begin with is read once"
    one = positions.during(lambda: judge.log_probs(BEGIN, [first, second]))
    assert one == n_tokens(BEGIN, special=True) + 2 * (n_tokens(first) - 1)


def test_one_thread_more_or_less_changes_nothing(subjects: Any) -> None:
    subject = subjects("Llama")
    judge = judged_by(subject)
    expected = [plain(subject, prefix, "lazy dog") for prefix in PREFIXES]
    with ThreadPoolExecutor(6) as pool:
        told = pool.map(lambda _: log_probs_of(judge, PREFIXES, "lazy dog").values, range(6))
        assert all(values == close(expected) for values in told)
    assert judge._copies_cache is True


def test_a_model_without_memory_left_is_no_model_without_a_cache(
    subjects: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = subjects("Llama")
    judge = judged_by(subject)
    with monkeypatch.context() as patched:

        def fails(*_: Any, **__: Any) -> Any:
            raise torch.OutOfMemoryError("no memory")

        patched.setattr(subject.model, "forward", fails)
        with pytest.raises(torch.OutOfMemoryError):
            log_probs_of(judge, PREFIXES, "lazy dog")
    check_after(subject, judge, PREFIXES, ["lazy dog"])
    assert judge._copies_cache is True


@pytest.mark.parametrize("n_bytes", [1, 30_000])
def test_whole_texts_are_run_within_the_bound(
    n_bytes: int, subjects: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(causal, "LOGIT_BYTES", n_bytes)
    subject = subjects("Mamba")
    check_after(subject, judged_by(subject), PREFIXES, ["lazy dog", "fox"])


@settings(max_examples=30, deadline=None)
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
    check_after(subject, judge, heads, list(map(" ".join, texts)))


def test_a_prompt_without_tokens_is_an_error(subjects: Any) -> None:
    judge = judged_by(subjects("Llama"))
    with pytest.raises(UserError, match="made no tokens"):
        judge.log_probs("", ["dog"])
    with pytest.raises(UserError, match="made no tokens"):
        log_probs_of(judge, ["fox", ""], "dog")


def test_a_text_that_does_not_fit_is_an_error_in_its_turn(subjects: Any) -> None:
    subject = subjects("Llama")
    told = judged_by(subject).log_probs_after(PREFIXES, ["dog", "dog " * 100, "fox"])
    assert next(told).values == close(plain(subject, prefix, "dog") for prefix in PREFIXES)
    with pytest.raises(UserError, match=f"more than the {CTX} that tiny can read"):
        next(told)


@pytest.mark.parametrize("name", ["Llama", "RWKV"])
def test_a_cancel_ends_the_reading(name: str, subjects: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    judge, cancel = judged_by(subjects(name), batch=2), CancelToken()
    list(judge.log_probs_after(PREFIXES, ["fox"]))  # tries the model's cache
    passes = cancelled_after(2, judge, cancel, monkeypatch)
    with pytest.raises(Cancelled):
        list(
            judge.log_probs_after(
                [f"{PREFIXES[0]} {word}" for word in WORDS], ["dog", "fox jumps"], cancel=cancel
            )
        )
    assert len(passes) == 2, "of many"
