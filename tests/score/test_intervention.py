"""Intervention scores over a store: against a second plain implementation (one prompt at a time, no caches, a plain hook, a
bisection of its own); what tells true explanations from others; and what cannot be scored."""

import json
import math
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autointerp.caching import cache
from autointerp.errors import NoDecoder, NoHead, UserError
from autointerp.explain.options import ExplainOptions
from autointerp.explain.raised import RaisedTokensExplainer, tokens_sentence
from autointerp.llm.cancel import CancelToken
from autointerp.llm.errors import Cancelled
from autointerp.models.continuations import Continuer, ends
from autointerp.models.effect import Continued, Effect, Rise
from autointerp.models.sampler import mixed
from autointerp.models.strength import KLNotReached
from autointerp.pipeline.effects import KeptEffects, kept_effect
from autointerp.pipeline.examples import select_evidence, select_heldout
from autointerp.pipeline.explain import explain as pipeline_explain
from autointerp.pipeline.resources import Resources
from autointerp.pipeline.score import compare_scores
from autointerp.pipeline.score import score as pipeline_score
from autointerp.pipeline.session import Session
from autointerp.probe import Prober
from autointerp.probe.recorded import load_coder, load_subject
from autointerp.records import Explanation
from autointerp.sampling import Window, distinct_prompts, one_line, up_to_first
from autointerp.score.intervention import Intervention
from autointerp.score.judges.causal import CausalTextModel
from autointerp.score.options import ScoreOptions
from autointerp.score.prompts import intervention as prompt
from autointerp.score.resources import LogProbs
from autointerp.score.scorer import Heldout
from autointerp.steering.effects import MAX_ROWS, Effects
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from tests.caching.conftest import Lab, lab, store, subject
from tests.models.tiny import TEXT, save_bert
from tests.pipeline.conftest import explain_once, score_once, write_once
from tests.score.builders import distinct, explained, window

__all__ = ["lab", "store", "subject"]

KL = 0.3
OPTIONS = ScoreOptions(scorer="intervention", n_examples=6, window=8, extra={"kl": KL})


@pytest.fixture
def resources(store: Store, tmp_path: Path) -> Any:
    with Annotations(tmp_path) as annotations:
        yield Resources(store, annotations)


def common(store: Store, coder: str) -> int:
    """A latent with many activations."""
    return int(np.argmax(store.coder(coder).table().columns["n_activations"]))


class Plain:
    """The definition, word for word."""

    def __init__(self, store: Store, coder: str, latent: int):
        self.store = store
        self.subject = load_subject(store)
        loaded = load_coder(store.coder(coder).info, self.subject)
        assert loaded.target is not None
        assert loaded.W_dec is not None
        self.module = self.subject.base.get_submodule(loaded.target.module)
        self.direction = loaded.W_dec[latent]

    def log_probs(self, ids: Sequence[int], strength: float, start: int) -> torch.Tensor:
        def add(_m: Any, _a: Any, output: Any) -> Any:
            x = output[0] if isinstance(output, tuple) else output
            y = x.clone()
            y[:, start:] += strength * self.direction
            return (y, *output[1:]) if isinstance(output, tuple) else y

        handle = self.module.register_forward_hook(add)
        try:
            with torch.no_grad():
                logits = self.subject.model(input_ids=torch.tensor([list(ids)])).logits[0]
        finally:
            handle.remove()
        return torch.log_softmax(logits.float(), -1)

    def kl(self, rows: Sequence[Sequence[int]], strength: float) -> float:
        total = 0.0
        for row in rows:
            clean = self.log_probs(row, 0.0, len(row) - 1)[-1].double()
            raised = self.log_probs(row, strength, len(row) - 1)[-1].double()
            total += float((clean.exp() * (clean - raised)).sum())
        return total / len(rows)

    def strength(self, rows: Sequence[Sequence[int]], target: float) -> float:
        low, high = 1e-3, 1e4
        for _ in range(25):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if self.kl(rows, middle) < target else (low, middle)
        return low

    def write(self, row: Sequence[int], strength: float, seed: int) -> str:
        random = np.random.default_rng(mixed(seed * 1_000_003 % 2**63, row))
        ids = list(row)
        for _ in range(8):
            values = self.log_probs(ids, strength, len(row) - 1)[-1]
            noise = -torch.from_numpy(np.log(random.standard_exponential(len(values)))).float()
            ids.append(int((values + noise).argmax()))
            if ids[-1] == 0:
                ids.pop()
                break
        return "".join(self.store.decode(ids)[len(row) :])

    def rise(self, row: Sequence[int], strength: float) -> torch.Tensor:
        """Of each token's probability after the prompt."""
        clean, raised = (self.log_probs(row, each, len(row) - 1)[-1] for each in (0.0, strength))
        return raised.exp() - clean.exp()

    def nats(self, passage: str, explanation: str) -> float:
        head = prompt.ENTRY.format(passage=one_line(passage).strip())
        tokenizer = self.subject.tokenizer
        before = tokenizer(head, add_special_tokens=True)["input_ids"]
        after = tokenizer(f'{explanation}"', add_special_tokens=False)["input_ids"]
        values = self.log_probs([*before, *after], 0.0, 0)
        return float(sum(values[len(before) + i - 1, token] for i, token in enumerate(after)))


@pytest.mark.parametrize("coder", ["sae", "residual"])
def test_scores_equal_a_plain_implementation(coder: str, store: Store, resources: Resources) -> None:
    latent = common(store, coder)
    mine = write_once(resources, coder, latent, "a fox", author="me")
    write_once(resources, coder, (latent + 1) % 8, "an array", author="me")
    score = score_once(resources, mine, OPTIONS)
    assert score.status == "ok", score.error
    assert score.judged is not None
    reply = resources.replies.get(str(score.judged[0].reply_ref))
    assert reply is not None
    plain = Plain(store, coder, latent)
    rows = []
    for judged in score.judged:
        tokens = store.tokens[judged.context, judged.start : judged.start + judged.window].tolist()
        acts = store.coder(coder).activations(latent)
        at = judged.context * store.ctx_len + judged.start
        fires = np.isin(np.arange(at, at + judged.window), acts.token)
        assert fires.tolist() == [False] * (judged.window - 1) + [True], "ends at the first activating token"
        rows.append(tokens if tokens[0] == 0 else [0, *tokens])
    effect = Effect.from_json(json.loads(reply.text))
    assert effect.kl == pytest.approx(KL, rel=0.1)
    assert plain.kl(rows, effect.strength) == pytest.approx(effect.kl, rel=1e-3)
    assert plain.strength(rows, effect.kl) == pytest.approx(effect.strength, rel=1e-2)
    values = []
    for row, judged, after in zip(rows, score.judged, effect.prompts, strict=True):
        seed = score.seed
        assert seed is not None
        clean, raised = plain.write(row, 0.0, seed), plain.write(row, effect.strength, seed)
        assert (after.clean, after.raised) == (clean, raised)
        values.append(plain.nats(after.prompt + raised, "a fox") - plain.nats(after.prompt + clean, "a fox"))
        assert judged.value == pytest.approx(values[-1], abs=2e-3)
    assert score.value == pytest.approx(np.mean(values), abs=2e-3)
    assert score.value is not None
    assert score.ci_low is not None
    assert score.ci_high is not None
    assert score.ci_low < score.value < score.ci_high
    floors = [
        plain.nats(each.prompt + each.raised, "an array") - plain.nats(each.prompt + each.clean, "an array")
        for each in effect.prompts
    ]
    assert score.floor == pytest.approx(np.mean(floors), abs=2e-3)
    assert (score.metric, score.negatives, score.n_neg, score.n_pos) == ("nats", "none", 0, len(rows))
    assert (score.judge, score.model) == ("language model", store.meta["model"]["name"])
    assert score.above_low is not None
    assert score.above_high is not None
    assert score.floor is not None
    assert score.above_low <= score.value - score.floor <= score.above_high
    rises = [plain.rise(row, effect.strength) for row in rows]
    mean = torch.stack(rises).mean(0)[: len(store.vocabulary())]
    assert effect.rises[0].by == pytest.approx(float(mean.max()), rel=1e-3)
    assert [rise.by for rise in effect.rises] == sorted((rise.by for rise in effect.rises), reverse=True)


def test_what_was_written_is_kept_and_used_again(
    store: Store, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    latent = common(store, "sae")
    first = write_once(resources, "sae", latent, "a fox", author="me")
    second = write_once(resources, "sae", latent, "a dog", author="me")
    one = score_once(resources, first, OPTIONS)

    def never(*_: Any, **__: Any) -> Effect:
        raise AssertionError("computed again")

    monkeypatch.setattr(Effects, "effect", never)
    two = score_once(resources, second, OPTIONS)
    again = score_once(resources, first, OPTIONS)
    assert again.value == one.value
    resources.annotations.add(one, two)
    difference = compare_scores(resources, one.id, two.id)
    assert two.value is not None
    assert one.value is not None
    assert difference.value == pytest.approx(two.value - one.value)
    assert difference.ci_low is not None
    with pytest.raises(AssertionError, match="computed again"):  # another target KL is another effect
        score_once(resources, first, ScoreOptions(scorer="intervention", n_examples=6, window=8))


def test_many_prompts_of_any_length_are_batched_as_one_by_one(store: Store, resources: Resources) -> None:
    model = resources.text_model()
    prefixes = ["Passage: a", "Passage: the quick brown", "Passage: the quick"]

    def after(prefixes: Sequence[str], text: str) -> list[float]:
        [told] = model.log_probs_after(prefixes, [text])
        return told.values

    together = after(prefixes, "fox jumps")
    alone = [model.log_probs(prefix, ["fox jumps"])[0] for prefix in prefixes]
    np.testing.assert_allclose(together, alone, atol=1e-3)
    twice = after(prefixes[:1] * 2, "fox jumps")
    np.testing.assert_allclose(twice, alone[:1] * 2, atol=1e-3)
    assert after([], "fox") == []
    with pytest.raises(UserError, match="Choose shorter examples"):
        after(["many words " * 100], "fox")


def test_failures_have_a_kind(
    lab: Lab, store: Store, resources: Resources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    latent = common(store, "sae")
    mine = write_once(resources, "sae", latent, "a fox", author="me")

    def kind(options: ScoreOptions = OPTIONS, explanation: Explanation = mine) -> str | None:
        score = score_once(resources, explanation, options)
        assert score.value is None
        return score.error_kind

    far = ScoreOptions(scorer="intervention", n_examples=6, window=8, extra={"kl": 10.0})
    effects = resources.effects()
    for error, said in (
        (NoDecoder("no decoder"), "no_decoder"),
        (NoHead("no head"), "no_head"),
        (KLNotReached("not reached"), "kl_not_reached"),
    ):

        def fails(*_: Any, error: UserError = error, **__: Any) -> Any:
            raise error

        with monkeypatch.context() as patched:
            patched.setattr(effects, "effect", fails)
            assert kind(far) == said
    dead = [latent for latent, n in enumerate(store.coder("sae").table().columns["n_activations"]) if not n]
    if dead:
        silent = write_once(resources, "sae", dead[0], "nothing", author="me")
        assert kind(OPTIONS, silent) == "no_examples"
    with monkeypatch.context() as patched:
        patched.setattr(
            resources.text_model(),
            "log_probs_after",
            lambda prefixes, texts, cancel: (LogProbs([math.nan] * len(prefixes)) for _ in texts),
        )
        assert kind() == "unparsed"


def test_a_kl_out_of_reach_and_a_cancel(store: Store, resources: Resources) -> None:
    effects, latent = resources.effects(), common(store, "sae")
    with pytest.raises(KLNotReached, match="Choose a smaller KL"):
        effects.effect("sae", latent, [[5, 6]], kl=1e5, n_new=1, seed=0)
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        effects.effect("sae", latent, [[5, 6]], kl=0.3, n_new=1, seed=0, cancel=cancel)
    mine = write_once(resources, "sae", latent, "a fox", author="me")
    with Session(resources) as session:
        session.cancel.cancel()
        with pytest.raises(Cancelled):  # no failure of the explanation
            pipeline_score(session, mine, OPTIONS)
        with pytest.raises(Cancelled):
            pipeline_explain(session, "sae", latent, ExplainOptions(explainer="raised_tokens", window=8))


def test_a_coder_without_a_decoder_and_a_model_without_a_head_fail_with_their_kinds(
    store: Store, resources: Resources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    explainer = ExplainOptions(explainer="raised_tokens", window=8)
    real = load_coder

    def without(*args: Any) -> Any:
        coder = real(*args)
        coder.W_dec = coder.target = None
        return coder

    with monkeypatch.context() as patched:
        patched.setattr("autointerp.probe.recorded.load_coder", without)
        latent = common(store, "sae")
        mine = write_once(resources, "sae", latent, "a fox", author="me")
        assert score_once(resources, mine, OPTIONS).error_kind == "no_decoder"
        assert explain_once(resources, "sae", latent, explainer).error_kind == "no_decoder"
    cache(
        tmp_path / "bert", model=str(save_bert(tmp_path / "m")), coders={"r": "random:encoder.layer.1:24:4"},
        documents=[("d", TEXT * 4)], ctx_len=16,
    )  # fmt: skip
    encoder = Store.open(tmp_path / "bert")
    with Annotations(encoder.path) as annotations:
        resources = Resources(encoder, annotations)
        latent = common(encoder, "r")
        mine = write_once(resources, "r", latent, "a fox", author="me")
        assert score_once(resources, mine, OPTIONS).error_kind == "no_head"
        assert explain_once(resources, "r", latent, explainer).error_kind == "no_head"


class Shouts:
    """A stand-in for the subject: raised, it writes its word."""

    def effect(self, coder: str, latent: int, prompts: Any, **_: Any) -> tuple[Effect, str]:
        made = tuple(
            Continued(f"text {i} up to", " the rest", " WORD WORD" if i % 5 else " the rest", 1.0)
            for i, _ in enumerate(prompts)
        )
        return Effect(3.0, 1.0, made), "key"


class Reader:
    """A language model that finds likely what it has read: 2 nats more for each word of the explanation in the passage."""

    name, max_tokens = "reader", 2048

    def log_probs_after(
        self, prefixes: Sequence[str], texts: Sequence[str], **given: Any
    ) -> Iterator[LogProbs]:
        passages = [prefix.rsplit("Passage: ", 1)[1].split("\n")[0].split() for prefix in prefixes]
        for text in texts:
            words = text.rstrip('"').split()
            yield LogProbs([sum(2.0 * passage.count(word) for word in words) - 10.0 for passage in passages])


def test_after_a_cancel_the_judge_is_not_asked() -> None:
    cancel = CancelToken()

    class Stops(Shouts):
        def effect(self, *args: Any, **more: Any) -> tuple[Effect, str]:
            cancel.cancel()
            return super().effect(*args, **more)

    class Unasked(Reader):
        def log_probs_after(
            self, prefixes: Sequence[str], texts: Sequence[str], **given: Any
        ) -> Iterator[LogProbs]:
            raise AssertionError("asked")

    with pytest.raises(Cancelled):
        Intervention(Unasked(), Stops(), cancel=cancel).run(explained("WORD"), distinct(20), seed=0)


def test_a_cancel_while_the_explanation_is_judged_ends_it_before_the_floor() -> None:
    cancel = CancelToken()

    class Slow(Reader):
        def log_probs_after(
            self, prefixes: Sequence[str], texts: Sequence[str], **given: Any
        ) -> Iterator[LogProbs]:
            for told in super().log_probs_after(prefixes, texts):
                cancel.cancel()
                yield told

    scorer = Intervention(Slow(), Shouts(), cancel=cancel)
    with pytest.raises(Cancelled):
        scorer.run(explained("WORD"), distinct(20), seed=0, floor=explained("rest"))
    cancel = CancelToken()
    scorer = Intervention(Slow(), Shouts(), cancel=cancel)
    assert scorer.run(explained("WORD"), distinct(20), seed=0).status == "ok", "there is nothing left to end"


def test_windows_of_one_prompt_are_one_observation() -> None:
    firing = [window([" a", " b", " c"], {i % 2: 2.0}, context=i, quantile=i) for i in range(4)]
    told = Heldout(firing, (), 10.0, of=("sae", 0))
    asked: list[Any] = []

    class Notes(Shouts):
        def effect(self, coder: str, latent: int, prompts: Any, **more: Any) -> tuple[Effect, str]:
            asked.extend(map(tuple, prompts))
            return super().effect(coder, latent, prompts, **more)

    score = Intervention(Reader(), Notes()).run(explained("WORD"), told, seed=0, floor=explained("rest"))
    assert len(asked) == len(set(asked)) == 2, "once for the explanation and its floor"
    assert score.judged is not None
    assert (score.n, score.n_floor, len(score.judged)) == (2, 2, 2)
    assert {example.quantile for example in score.judged} == {0, 1}, "the first of each"


def test_many_prompts_are_run_within_the_bound(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    latent = common(store, "residual")
    prompts = [[5 + i % 9, 6 + i // 9] for i in range(70)]
    sizes: list[int] = []
    run = Continuer.run

    def noted(self: Continuer, group: Any, edit: Any, factors: Any, *more: Any, **named: Any) -> Any:
        sizes.append(len(group.rows) * len(factors))
        return run(self, group, edit, factors, *more, **named)

    monkeypatch.setattr(Continuer, "run", noted)

    def effect() -> Effect:
        sizes.clear()
        return Effects(store, Prober(store)).effect("residual", latent, prompts, kl=KL, n_new=3, seed=0)

    bounded = effect()
    assert max(sizes) <= MAX_ROWS
    monkeypatch.setattr("autointerp.models.continuations.MAX_PROMPTS", 1000)
    at_once = effect()
    assert max(sizes) == 2 * len(prompts)
    assert bounded.strength == pytest.approx(at_once.strength, rel=1e-4), "one strength for all"
    assert [each.raised for each in bounded.prompts] == [each.raised for each in at_once.prompts]
    assert bounded.kl == pytest.approx(at_once.kl, rel=1e-4)


def test_a_true_explanation_is_told_from_another() -> None:
    scorer = Intervention(Reader(), Shouts())
    score = scorer.run(explained("WORD"), distinct(20), seed=0, floor=explained("rest"))
    assert score.value == pytest.approx(4 * 0.8)
    assert score.floor == pytest.approx(-2 * 0.8)
    assert score.above_low is not None
    assert score.above_low > 0
    assert score.ci_low is not None
    assert score.ci_low > 0
    assert score.n_floor == 20
    assert score.judged is not None
    assert {example.reply_ref for example in score.judged} == {"key"}
    assert scorer.prompt_version == prompt.VERSION


def test_a_latent_made_to_write_a_token_is_told_by_that_token(store: Store, resources: Resources) -> None:
    """Its direction is that token's in the unembedding; the reader counts the token in what was written."""
    prober = Prober(store)
    latent, token = common(store, "residual"), 40
    word, other = (store.vocabulary().text(each) for each in (token, 41))
    with prober.loaded("residual") as (_, subject, coder):
        assert coder.W_dec is not None
        assert subject.unembedding is not None
        model: Any = subject.model
        coder.W_dec[latent] = model.get_output_embeddings().weight[token].detach()
    effects = KeptEffects(store, Effects(store, prober), resources.replies)

    class Counter(Reader):
        def log_probs_after(
            self, prefixes: Sequence[str], texts: Sequence[str], **given: Any
        ) -> Iterator[LogProbs]:
            for word in (text.rstrip('"') for text in texts):
                yield LogProbs([2.0 * prefix.rsplit("Passage: ", 1)[1].count(word) for prefix in prefixes])

    mine = write_once(resources, "residual", latent, word, author="me")
    heldout = select_heldout(resources, mine, ScoreOptions(scorer="intervention", n_examples=20, window=8))
    score = Intervention(Counter(), effects, kl=2.0).run(mine, heldout, seed=1, floor=explained(other))
    assert score.judged is not None
    effect = kept_effect(resources.replies.get(str(score.judged[0].reply_ref)))
    assert effect is not None
    assert effect.rises[0].text == word
    assert score.value is not None
    assert score.floor is not None
    assert score.above_low is not None
    assert score.value > max(score.floor, 0)
    assert score.above_low > 0


def test_what_ends_a_text_is_no_part_of_it(store: Store) -> None:
    prober, latent = Prober(store), common(store, "residual")
    with prober.loaded("residual") as (_, subject, coder):
        assert coder.W_dec is not None
        [end] = ends(subject)
        model: Any = subject.model
        coder.W_dec[latent] = model.get_output_embeddings().weight[end].detach()
    word = store.vocabulary().text(end)
    prompts = [[7], *([5 + i % 6, 6 + i // 6] for i in range(30))]  # so many that some end at once
    effect = Effects(store, prober).effect("residual", latent, prompts, kl=2.0, n_new=8, seed=0)
    assert effect.rises[0].text == word
    assert "" in [each.raised for each in effect.prompts]
    assert not [each for each in effect.prompts if word in each.raised]


def test_a_window_ends_at_its_first_activating_token() -> None:
    cut = up_to_first(window([" a", " b", " c", " d"], {1: 2.0, 3: 5.0}, quantile=4))
    assert cut.texts == (" a", " b")
    assert (cut.example.max_activation, cut.example.quantile) == (2.0, 4)


def test_windows_cut_to_the_same_tokens_are_one_prompt() -> None:
    made = window([" a", " b", " c"], {1: 2.0, 2: 1.0})
    windows = [
        Window(replace(made.example, token_ids=np.array(ids)), made.texts)
        for ids in ([5, 6, 7], [5, 6, 8], [5, 8, 6])
    ]
    prompts = [prompt.example.token_ids.tolist() for prompt in distinct_prompts(windows)]
    assert prompts == [[5, 6], [5, 8]]


def test_the_explainers_see_what_rises(store: Store, resources: Resources) -> None:
    latent = common(store, "residual")
    options = ExplainOptions(explainer="raised_tokens", n_examples=5, window=8, extra={"kl": KL})
    evidence = select_evidence(resources, "residual", latent, options)
    prompts = [tuple(each.example.token_ids.tolist()) for each in evidence.activating]
    assert len(set(prompts)) == len(prompts)
    assert evidence.effect is not None
    assert len(evidence.effect.prompts) == len(evidence.activating) <= 5
    heldout = select_heldout(resources, write_once(resources, "residual", latent, "x", author="me"), OPTIONS)
    held = {each.example.context for each in heldout.activating}
    assert not held & {each.example.context for each in evidence.activating}, "from the explainer's side"
    plain = Plain(store, "residual", latent)
    first = evidence.activating[0].example.token_ids.tolist()
    row = first if first[0] == 0 else [0, *first]
    change = plain.rise(row, evidence.effect.strength)
    top = evidence.effect.prompts[0].rises[0]
    assert top.by == pytest.approx(float(change.max()), rel=1e-3)
    assert top.text == store.vocabulary().text(int(change.argmax()))
    made = RaisedTokensExplainer(options).explain(evidence, seed=0)
    assert made.status == "ok"
    assert made.text.startswith("Promotes ")
    assert made.example_ids == tuple(each.id for each in evidence.activating)


def test_the_time_of_an_explanation_counts_the_raising(
    store: Store, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = resources.effects().effect

    def slow(*args: Any, **more: Any) -> tuple[Effect, str]:
        time.sleep(0.1)
        return real(*args, **more)

    monkeypatch.setattr(resources.effects(), "effect", slow)
    options = ExplainOptions(explainer="raised_tokens", n_examples=5, window=8)
    made = explain_once(resources, "residual", common(store, "residual"), options)
    assert made.status == "ok"
    assert (made.duration or 0) >= 0.1


def test_the_sentence_names_the_tokens_that_rise_most() -> None:
    rises = [Rise(" an", 0.3), Rise("\n", 0.2), Rise(" a", 0.1), Rise(" the", 0.01)]
    assert tokens_sentence(rises) == 'Promotes " an", " a".'
    assert tokens_sentence([]) == ""


def test_threads_take_turns(store: Store, resources: Resources) -> None:
    effects, latent = resources.effects(), common(store, "sae")
    made: list[Effect] = []

    def run() -> None:
        made.append(effects.effect("sae", latent, [[5, 6], [7]], kl=KL, n_new=2, seed=3)[0])

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 3
    assert made[0] == made[1] == made[2]


def test_a_short_context_is_asked_without_examples(resources: Resources) -> None:
    assert isinstance(resources.text_model(), CausalTextModel)
    assert Intervention(resources.text_model(), Shouts()).prompt_version == prompt.SHORT_VERSION
