"""Generation scores over a store, asked of a real HTTP server: against a second plain implementation (the texts run one by one
through the model and the formula of the coder); what is counted, what fails, what is paid for."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytest_httpserver import HTTPServer
from safetensors.torch import load_file

from autointerp.caching import cache
from autointerp.cli.main import main
from autointerp.cli.shared.batch import score_explanations
from autointerp.errors import CoderLoadError, UserError
from autointerp.jobs.on_ray.workers import Spread
from autointerp.llm.cancel import CancelToken
from autointerp.llm.errors import Cancelled
from autointerp.llm.limits import RetryPolicy
from autointerp.llm.messages import ChatReply
from autointerp.llm.options import LLMOptions
from autointerp.models.fired import FiredText
from autointerp.models.subject import SubjectModel
from autointerp.pipeline.estimate import estimate_score
from autointerp.pipeline.firings import KeptFirings, kept_texts
from autointerp.pipeline.resources import Resources
from autointerp.pipeline.score import compare_scores
from autointerp.pipeline.score import score as pipeline_score
from autointerp.pipeline.session import Session
from autointerp.probe import Prober
from autointerp.probe.recorded import load_subject
from autointerp.records import Explanation, JudgedExample, Score, config_hash
from autointerp.score.generation import Generation, problems
from autointerp.score.options import ScoreOptions
from autointerp.score.prompts import generation as prompt
from autointerp.score.scorer import Heldout
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.ui.shared.score_text import standing
from tests.batch.served import ScriptedServer, original
from tests.batch.threads import ThreadCluster
from tests.caching.conftest import Lab, lab, store, subject
from tests.mock_client import MockClient
from tests.pipeline.conftest import score_once, write_once
from tests.score.builders import explained, judged

__all__ = ["lab", "store", "subject"]

N = 4
FOX = ("The quick fox.", "brown dog or fox, jumps over it", "the fox or a dog", "lazy lazy lazy fox " * 8)
ARRAYS = (
    "Returns the array.",
    "def f(x): return x",
    "the number of items, or None",
    "\U0001f600 na\u00efve caf\u00e9",
)
WRITES = {"a fox": FOX, "an array": ARRAYS}
"""What the model writes from an explanation."""


def asked_about(body: dict[str, Any]) -> str:
    """The explanation in a question."""
    return original(body["messages"])[-1]["content"].split("\n")[0].removeprefix("Explanation: ")


@pytest.fixture
def server(httpserver: HTTPServer) -> ScriptedServer:
    made = ScriptedServer(httpserver)
    made.say = lambda body: json.dumps({"texts": WRITES[asked_about(body)]})
    return made


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AUTOINTERP_CONFIG", str(tmp_path / "no-settings.json"))
    monkeypatch.setenv("AUTOINTERP_API_KEY", "test-key-0123456789abcdef")
    monkeypatch.setattr(
        "autointerp.llm.client.RetryPolicy", lambda: RetryPolicy(base=0.005, cap=0.02, patience=5.0)
    )


@pytest.fixture
def resources(store: Store, tmp_path: Path) -> Iterator[Resources]:
    with Annotations(tmp_path) as annotations:
        yield Resources(store, annotations)


@pytest.fixture
def options(server: ScriptedServer) -> Callable[..., ScoreOptions]:
    def chosen(**more: Any) -> ScoreOptions:
        extra = {"n_texts": N} | {key: more.pop(key) for key in ("n_texts", "fires_above") if key in more}
        llm = LLMOptions(model="m", base_url=server.url)
        return ScoreOptions(scorer="generation", llm=llm, extra=extra, **more).check()

    return chosen


def two(resources: Resources, coder: str = "sae") -> tuple[Explanation, Explanation]:
    """Explanations of the two latents that fire most."""
    most = np.argsort(resources.store.coder(coder).table().columns["n_activations"], kind="stable")[::-1]
    texts = ("a fox", "an array")
    made = [
        write_once(resources, coder, int(latent), text, author="me")
        for latent, text in zip(most, texts, strict=False)
    ]
    return made[0], made[1]


class Plain:
    """A text's activations by the coder's formula."""

    def __init__(self, store: Store, lab: Lab, coder: str):
        self.subject, self.ctx_len = load_subject(store), store.ctx_len
        folder = lab.path(coder)
        self.weights = load_file(folder / "sae.safetensors")
        self.k = json.loads((folder / "cfg.json").read_text())["k"]
        self.module = self.subject.base.get_submodule(lab.hookpoint(coder))

    def activations(self, text: str, latent: int) -> list[float]:
        """After the token that separates documents."""
        ids = [0, *self.subject.tokenizer(text, add_special_tokens=False)["input_ids"]]
        seen: list[torch.Tensor] = []

        def see(_m: Any, _a: Any, output: Any) -> None:
            seen.append(output[0] if isinstance(output, tuple) else output)

        handle = self.module.register_forward_hook(see)
        with torch.no_grad():
            for start in range(0, len(ids), self.ctx_len):
                self.subject.model(input_ids=torch.tensor([ids[start : start + self.ctx_len]]))
        handle.remove()
        x = torch.cat([each.reshape(-1, each.shape[-1]) for each in seen])
        weights = self.weights
        pre = torch.relu((x - weights["b_dec"]) @ weights["encoder.weight"].T + weights["encoder.bias"])
        kept = pre >= pre.topk(self.k).values[:, -1:]
        return (pre * kept)[1:, latent].tolist()


@pytest.mark.parametrize("coder", ["sae", "residual"])
def test_scores_equal_a_plain_implementation(
    coder: str, store: Store, lab: Lab, resources: Resources, options: Any, server: ScriptedServer
) -> None:
    mine, other = two(resources, coder)
    score = score_once(resources, mine, options())
    assert score.status == "ok", score.error
    rows = judged(score)
    plain = Plain(store, lab, coder)
    top = float(store.coder(coder).activations(mine.latent).activation.max())
    for above in (0.0, 0.5):
        if above:
            score = score_once(resources, mine, options(fires_above=above))
            rows = judged(score)
        hits: dict[bool, list[bool]] = {True: [], False: []}
        for row, (own, text) in zip(
            rows, [(True, t) for t in FOX] + [(False, t) for t in ARRAYS], strict=True
        ):
            expected = plain.activations(text.strip(), mine.latent)
            reply = resources.replies.get(str(row.reply_ref))
            kept = kept_texts(reply)
            assert kept is not None
            ran = kept.texts[row.start]
            assert (ran.text, len(ran.token_ids)) == (text.strip(), row.window)
            assert "".join(store.decode(ran.token_ids)) == text.strip()
            np.testing.assert_allclose(ran.activations, expected, rtol=2e-3, atol=2e-3)
            hits[own].append(max(expected) > above * top)
            assert (row.truth, row.answer, row.context) == (own, hits[own][-1], -1)
            assert row.value == pytest.approx(max(expected), rel=2e-3, abs=2e-3)
            written = resources.replies.get(kept.written_by)
            assert written is not None
            assert json.loads(written.text)["texts"][row.start] == text
        assert score.value == np.mean(hits[True])
        assert score.floor == np.mean(hits[False])
        assert score.tnr == 1 - np.mean(hits[False])
        assert (score.n_pos, score.n_neg, score.n_floor, score.unparsed) == (N, N, N, 0)
        assert (score.metric, score.judge, score.model, score.negatives) == ("hit_rate", "llm", "m", "none")
        assert score.floor_explanation_id == other.id
    assert max(row.window for row in rows) > store.ctx_len, "one text is longer than a context"


def ended(hits: Sequence[bool], others: Sequence[bool], fires_above: float = 0.0) -> Score:
    """A score of texts with these outcomes: an activation of 1 or 0, where the corpus's maximum is 2."""
    written = {
        True: [f"text number {i}" for i in range(len(hits))],
        False: [f"other {i}" for i in range(len(others))],
    }

    class Fires:
        def prepare(self, coder: str) -> None: ...

        def on(self, coder: str, latent: int, texts: Sequence[str], **_: Any) -> Any:
            outcomes = hits if list(texts) == written[True] else others
            return [
                FiredText(t, (1, 2), (0.0, float(hit))) for t, hit in zip(texts, outcomes, strict=True)
            ], "key"

    def say(request: Any) -> str:
        return json.dumps({"texts": written["Explanation: mine" in request.messages[-1].content]})

    with MockClient(say) as client:
        scorer = Generation(client, Fires(), n_texts=len(hits), fires_above=fires_above)
        made = explained("mine"), explained("theirs", latent=4)
        heldout = Heldout([], [], latent_max=2.0, of=("sae", 3))
        return scorer.run(made[0], heldout, seed=1, floor=made[1] if others else None)


def test_intervals_are_those_of_resampled_texts() -> None:
    hits, others = [True] * 7 + [False] * 3, [True] * 2 + [False] * 8
    score = ended(hits, others)
    rng = np.random.default_rng(5)
    own, other = (np.mean(rng.choice(each, (20_000, 10)), axis=1) for each in (hits, others))
    for found, resampled in (
        ((score.ci_low, score.ci_high), own),
        ((score.above_low, score.above_high), own - other),
    ):
        assert found == pytest.approx(np.quantile(resampled, [0.025, 0.975]), abs=0.11)
    assert standing(score, None) == "above"


@pytest.mark.parametrize(("fires_above", "value"), [(0.0, 0.75), (0.49, 0.75), (0.5, 0.0), (1.0, 0.0)])
def test_a_threshold_is_a_share_of_the_maximum(fires_above: float, value: float) -> None:
    assert ended([True] * 3 + [False], [True] * 4, fires_above).value == value


def test_one_that_fires_in_any_text_is_not_well_explained() -> None:
    score = ended([True] * 10, [True] * 10)
    assert (score.value, score.floor) == (1.0, 1.0)
    assert standing(score, None) == "below"
    assert score.ci_low is not None
    assert 0.6 < score.ci_low < 1.0, "ten of ten prove little"
    assert score.above_low is not None
    assert score.above_high is not None
    assert score.above_low < 0 < score.above_high
    alone = ended([True] * 10, [])
    assert (alone.value, alone.floor, alone.n_neg, alone.tnr) == (1.0, None, 0, None)
    assert standing(alone, None) == "unknown"


def test_texts_that_do_not_count() -> None:
    said = "words for animals that are kept as pets"
    texts = [
        "The cat slept.", "", " the   CAT slept. ", "Words for animals that are kept as pets!", "Animals that are kept",
        "animals that are", prompt.SHOTS[0][1][0], "The cat slept",
    ]  # fmt: skip
    assert problems(texts, said) == [
        "", "is empty", "repeats text 1", "is copied from the explanation", "is copied from the explanation",
        "", "is copied from the prompt", "",
    ]  # fmt: skip
    assert problems(["Cats", "cats and dogs"], "cats") == ["is copied from the explanation", ""]
    assert problems(["...", "!!!"], "...") == ["", ""]


def test_texts_that_do_not_count_are_in_no_figure(
    resources: Resources, options: Any, server: ScriptedServer
) -> None:
    mine, _ = two(resources)
    server.say = lambda body: json.dumps(
        {"texts": ["", FOX[0], FOX[0].upper(), "\ud83d lone"] if asked_about(body) == "a fox" else ARRAYS}
    )
    score = score_once(resources, mine, options())
    assert (score.status, score.n_pos, score.n_neg, score.unparsed) == ("ok", 2, N, 2)
    rows = judged(score)
    assert [row.error for row in rows[:N]] == ["is empty", None, "repeats text 2", None]
    assert [row.answer is None for row in rows[:N]] == [True, False, True, False]
    assert rows[2].window > 0, "it is run all the same, to be looked at"
    resources.annotations.add(score)
    assert resources.annotations.judged(score.id) == rows


def test_texts_are_held_against_the_explanation_they_were_written_from(
    resources: Resources, options: Any, server: ScriptedServer
) -> None:
    mine, _ = two(resources)
    server.say = lambda body: json.dumps({"texts": ["A fox.", "An array.", "a dog", "a cat"]})
    copied = "is copied from the explanation"
    errors = [row.error for row in judged(score_once(resources, mine, options()))]
    assert errors == [copied, None, None, None, None, copied, None, None]


def failed(resources: Resources, explanation: Explanation, options: ScoreOptions) -> Score:
    score = score_once(resources, explanation, options)
    assert (score.status, score.value, score.floor, score.ci_low) == ("failed", None, None, None)
    resources.annotations.add(score)
    return score


def test_failures_have_a_kind(resources: Resources, options: Any, server: ScriptedServer) -> None:
    mine, _ = two(resources)
    server.say = lambda body: json.dumps({"texts": WRITES[asked_about(body)][: N - 1]})
    few = failed(resources, mine, options())
    assert (few.error_kind, few.retryable) == ("bad_answer", True)
    assert few.error is not None
    assert "the list has 3 texts, 4 were asked for" in few.error
    assert server.n_requests == 4, "each question is asked once more"
    assert [row.parsed for row in judged(few)] == [False, False]
    unread = resources.annotations.replies.get(str(judged(few)[0].reply_ref))
    assert unread is not None, "what came is kept"
    for fault, kind, retryable in (
        ("refusal", "refused", False),
        ("500", "transient", True),
        ("prose", "bad_answer", True),
    ):
        server.fault = lambda question, times, fault=fault: fault
        score = failed(resources, mine, options())
        assert (score.error_kind, score.retryable) == (kind, retryable), score.error
    server.fault = lambda question, times: None
    for texts in ("no list", [1, 2, 3, 4], {"a": "b"}):
        server.say = lambda body, texts=texts: json.dumps({"texts": texts})
        assert failed(resources, mine, options()).error_kind == "bad_answer"
    server.say = lambda body: json.dumps({"texts": [" "] * N})
    empty = failed(resources, mine, options())
    assert (empty.error_kind, empty.retryable, empty.unparsed) == ("unparsed", False, 2 * N)


def test_the_floors_failure_is_one(resources: Resources, options: Any, server: ScriptedServer) -> None:
    mine, _ = two(resources)
    server.say = lambda body: json.dumps({"texts": FOX if asked_about(body) == "a fox" else []})
    score = failed(resources, mine, options())
    assert score.error_kind == "bad_answer"
    assert score.error is not None
    assert score.error.endswith("(asked about the floor's explanation)")
    alone = score_once(resources, mine, options(floor=False))
    assert (alone.status, alone.floor, alone.n_neg) == ("ok", None, 0)


def test_nothing_is_paid_for_where_it_cannot_be_run(
    resources: Resources, options: Any, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, _ = two(resources)

    def gone(*_: Any, **__: Any) -> dict[str, UserError]:
        return {"sae": CoderLoadError("the weights are gone")}

    monkeypatch.setattr(Prober, "load", gone)
    score = failed(resources, mine, options())
    assert (score.error, score.error_kind) == ("the weights are gone", "coder")
    assert server.n_requests == 0


def test_what_is_written_is_paid_for_once(
    resources: Resources, options: Any, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = two(resources)
    before = estimate_score(resources, mine, options())
    assert (before.n_requests, before.from_cache) == (2, 0)
    assert before.messages[-1].content == "Explanation: a fox\n\nTexts: 4"
    first = score_once(resources, mine, options())
    assert server.n_requests == 2
    assert (first.tokens_in, first.tokens_out) == (200, 20)
    again = estimate_score(resources, mine, options())
    assert (again.n_requests, again.from_cache, again.tokens_in) == (2, 2, 0)
    second = score_once(resources, other, options())
    assert server.n_requests == 2, "each is the other's floor"
    assert second.tokens_in == 0

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("run again")

    with monkeypatch.context() as patched:
        patched.setattr(Prober, "run", never)
        same = score_once(resources, mine, options())
    assert judged(same) == judged(first)
    assert (same.value, same.ci_low, same.floor) == (first.value, first.ci_low, first.floor)
    score_once(resources, mine, options(seed=1))
    assert server.n_requests == 4
    assert {body["seed"] for body in server.bodies} == {0, 1}
    assert {body["temperature"] for body in server.bodies} == {0.7}
    assert options().identity() == options(fires_above=0.0).identity()
    assert config_hash(options().identity()) != config_hash(options(fires_above=0.1).identity())


def test_two_versions_are_compared_each_on_its_own_texts(
    resources: Resources, options: Any, server: ScriptedServer
) -> None:
    mine, _ = two(resources)
    version = write_once(resources, "sae", mine.latent, "an array", author="me")
    scores = [score_once(resources, each, options()) for each in (mine, version)]
    strict = score_once(resources, version, options(fires_above=0.9))
    resources.annotations.add(*scores, strict)
    difference = compare_scores(resources, scores[0].id, scores[1].id)
    assert scores[0].value is not None
    assert scores[1].value is not None
    assert difference.value == pytest.approx(scores[1].value - scores[0].value)
    assert difference.ci_low is not None
    assert difference.ci_high is not None
    assert difference.ci_low <= difference.value <= difference.ci_high  # type: ignore[operator]
    assert (difference.n_pos, difference.n_neg, difference.unpaired) == (N, N, 0)
    with pytest.raises(UserError, match=r"fires above: 0.0 and 0.9"):
        compare_scores(resources, scores[0].id, strict.id)


@pytest.mark.parametrize(
    ("extra", "said"), [({"n_texts": 1}, "n_texts is 1"), ({"fires_above": 1.5}, "fires_above is 1.5")]
)
def test_bad_options(options: Any, extra: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        options(**extra)
    with pytest.raises(UserError, match="needs a language model, and none is chosen"):
        ScoreOptions(scorer="generation").check()


def test_workers_give_what_one_process_gives(
    store: Store,
    resources: Resources,
    options: Any,
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Of the scorers that run the store's own model: what it ran is kept by the job's process."""
    monkeypatch.setattr("autointerp.jobs.on_ray.worker.SAY_SECONDS", 0.1)  # no kill interrupts a thread
    effects = ScoreOptions(scorer="intervention", n_examples=4, window=8, extra={"kl": 0.3})
    ways = [options(), effects]

    def figures(of: Resources, spread: Spread | None) -> list[Any]:
        explanations = two(of)
        ids = [explanation.id for explanation in explanations]
        done = score_explanations(of, "sae", ids, ways, quiet=True, spread=spread)
        assert (done.succeeded, done.failed) == (2, 0)
        scores = [each for one in explanations for each in of.annotations.scores_of_latent("sae", one.latent)]
        scores.sort(key=lambda score: (score.scorer, ids.index(score.explanation_id)))
        assert len(scores) == 4
        made = []
        for score in scores:
            rows = of.annotations.judged(score.id)
            assert all(of.replies.get(str(row.reply_ref)) is not None for row in rows)
            made.append((score.value, score.floor, score.ci_low, score.n_pos, [row[:7] for row in rows]))
        return made

    (tmp_path / "other").mkdir()
    with Annotations(tmp_path / "other") as annotations:
        alone = figures(Resources(store, annotations), None)
    assert server.n_requests == 2
    assert figures(resources, Spread(ThreadCluster(), 2)) == alone  # type: ignore[arg-type]
    assert server.n_requests == 4


def test_a_text_without_tokens_is_not_counted(store: Store, resources: Resources) -> None:
    prober = Prober(store)
    kept = KeptFirings(store, prober, resources.replies)
    texts, key = kept.on("sae", 0, ["", "a fox"], written_by="reply")
    assert [bool(text.token_ids) for text in texts] == [False, True]
    assert kept_texts(resources.replies.get(key)) is not None
    assert kept_texts(None) is None
    masked = JudgedExample(0, -1, 0, 0, True, error="has no tokens")
    assert not masked.parsed


def test_what_caching_puts_between_the_rows_of_a_long_text_is_none_of_it(
    lab: Lab, subject: SubjectModel, resources: Resources, tmp_path: Path
) -> None:
    cache(
        tmp_path / "s", model=subject, coders={"sae": lab.specs["sae"]}, text=[lab.text], ctx_len=8, skip_bos=False,
        bos_every_row=True,
    )  # fmt: skip
    store = Store.open(tmp_path / "s")
    text, prober = "the quick brown fox jumps over the lazy dog " * 3, Prober(store)
    run = prober.run(text, ["sae"])
    starts = np.flatnonzero(run.token_ids == 0)
    assert len(starts) > 2
    fires = [latent for latent in range(64) if prober.latent(run, "sae", latent)[starts].min() > 0]
    kept = KeptFirings(store, prober, resources.replies)
    (fired,), _ = kept.on("sae", fires[0], [text], written_by="reply")
    assert "".join(store.decode(fired.token_ids)) == text
    expected = np.delete(prober.latent(run, "sae", fires[0]), starts)
    assert fired.activations == tuple(expected.tolist())


def test_a_cancel_is_no_failure(
    store: Store, resources: Resources, options: Any, server: ScriptedServer
) -> None:
    mine, _ = two(resources)
    with Session(resources) as session:
        session.cancel.cancel()
        with pytest.raises(Cancelled):
            pipeline_score(session, mine, options())
    stopped = CancelToken()
    stopped.cancel()
    kept = KeptFirings(store, Prober(store), resources.replies)
    with pytest.raises(Cancelled):
        kept.on("sae", 0, ["a fox"], written_by="reply", cancel=stopped)
    texts, _ = kept.on("sae", 0, ["a fox"], written_by="reply")
    assert texts[0].token_ids, "nothing was kept of what was stopped"


def test_the_command_scores_with_it(
    store: Store, tmp_path: Path, server: ScriptedServer, capfd: pytest.CaptureFixture[str]
) -> None:
    server.say = lambda body: json.dumps(
        {"texts": FOX if asked_about(body) == "a fox" else ["", *ARRAYS[1:]]}
    )
    copied = Store.open(Path(shutil.copytree(store.path, tmp_path / "store")))
    with Annotations(copied.path) as annotations:
        mine, other = two(Resources(copied, annotations))
    command = ["score", str(copied.path), "sae", "--scorer", "generation", "--n-texts", str(N), "--llm", "m"]
    command += ["--base-url", server.url, "--json"]
    assert main([*command, "--dry-run"]) == 0
    (dry,) = json.loads(capfd.readouterr().out)["scorers"]
    assert (dry["scorer"], dry["n_requests"]) == ("generation", 2), "each is the other's floor"
    assert server.n_requests == 0
    assert main(command) == 0
    (done,) = json.loads(capfd.readouterr().out)["scorers"]
    assert (done["succeeded"], done["judge"], server.n_requests) == (2, "llm", 2)
    assert main(command[:-1]) == 0
    assert "  2 of 16 texts are empty, repeated or copied and are left out\n" in capfd.readouterr().out
    assert main(command) == 0
    (again,) = json.loads(capfd.readouterr().out)["scorers"]
    assert again["already"] == 2
    with Annotations(copied.path) as annotations:
        for explanation in (mine, other):
            (score,) = annotations.scores_of_latent("sae", explanation.latent)
            assert (score.n_pos + score.n_neg, score.unparsed) == (2 * N - 1, 1)
            assert (score.scorer, score.n) == ("generation", score.n_pos)
            assert len(annotations.judged(score.id)) == 2 * N


def test_a_dry_run_counts_a_text_that_is_scored_and_another_s_floor_once(
    store: Store, tmp_path: Path, server: ScriptedServer, capfd: pytest.CaptureFixture[str]
) -> None:
    server.say = lambda body: json.dumps({"texts": [f"{asked_about(body)} {i}" for i in range(N)]})
    copied = Store.open(Path(shutil.copytree(store.path, tmp_path / "store")))
    latents = np.flatnonzero(copied.coder("sae").table().columns["n_activations"])[:30].tolist()
    assert len(latents) == 30
    with Annotations(copied.path) as annotations:
        resources = Resources(copied, annotations)
        ids = [write_once(resources, "sae", i, f"fox number {i}", author="me").id for i in latents]
    command = ["score", str(copied.path), "sae", "--scorer", "generation", "--n-texts", str(N), "--llm", "m"]
    command += ["--base-url", server.url, "--json"]

    def dry(*which: str) -> int:
        assert main([*command, *which, "--dry-run"]) == 0
        return json.loads(capfd.readouterr().out)["scorers"][0]["n_requests"]

    assert dry() == 30, "every floor is scored too"
    some = ["--explanation", *ids[:20]]
    expected = dry(*some)
    assert main([*command, *some]) == 0
    assert 20 < server.n_requests < 30, "some floors are not scored"
    assert server.n_requests <= expected < 40, "which ones, ten items tell roughly"
    capfd.readouterr()
    first = server.n_requests
    left = json.loads((main([*command, "--dry-run"]), capfd.readouterr().out)[1])["scorers"][0]
    assert main(command) == 0
    assert (left["n_items"], left["n_requests"] - left["from_cache"]) == (10, server.n_requests - first), (
        "all sampled"
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"token_ids": [-1, 2]},
        {"token_ids": [1]},
        {"token_ids": "ab"},
        {"activations": [0.0, float("nan")]},
        {"activations": [0.0, -1.0]},
        {"activations": [0.0, float("inf")]},
        {"activations": [0.0, 1e39]},  # in 32 bits, too
        {"activations": None},
    ],
)
def test_what_a_foreign_store_keeps_may_be_nonsense(changed: dict[str, Any]) -> None:
    text = {"text": "a", "token_ids": [1, 2], "activations": [0.0, 1.0]}
    for value, good in ((text, True), (text | changed, False), ("text", False)):
        reply = ChatReply(json.dumps({"written_by": "", "texts": [value]}), "m")
        assert (kept_texts(reply) is not None) is good
    assert kept_texts(ChatReply('{"answers": [1]}', "m")) is None
