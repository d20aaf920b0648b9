"""The demo's explanations and scores: each once, as the commands make them."""

import shutil
from pathlib import Path

import pytest

from autointerp.cli.main import main
from autointerp.cli.shared import complete
from autointerp.cli.shared.complete import Completion, missing, missing_in
from autointerp.explain.options import ExplainOptions
from autointerp.pipeline.pending import live_latents, unexplained, unscored
from autointerp.pipeline.resources import Resources
from autointerp.records import Explanation
from autointerp.score.options import ScoreOptions
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.types import Progress
from tests.demo.checks import SCORERS, assert_complete, everything, figures
from tests.explained import scores_of


@pytest.fixture(scope="session")
def completed(
    _tiny_demo: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Completion, list[Progress]]:
    """A complete store, made in small parts; what was returned and reported. Not to be written to."""
    path = shutil.copytree(_tiny_demo, tmp_path_factory.mktemp("completed") / "demo")
    seen: list[Progress] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(complete, "PART", 10)
        return path, complete.complete(path, seen.append), seen


def test_every_live_latent_is_explained_and_scored_once(completed: tuple[Path, Completion, list[Progress]]):
    path, done, seen = completed
    assert_complete(path)
    explained = everything(path)
    assert done.explained == len(explained)
    assert done.scored == sum(explanation.status == "ok" for explanation, _ in explained.values()) > 0
    ends = {step.stage: step for step in seen}
    assert set(ends) == {"embed", "explain", "score"}
    assert all(step.done == step.total for step in ends.values())
    good = [score for _, scores in explained.values() for score in scores if score.status == "ok"]
    assert good
    with Annotations(path) as annotations:
        for score in good:
            assert score.floor is not None
            assert score.n_pos > 0
            assert score.n_neg > 0
            assert len(annotations.judged(score.id)) == score.n
            assert score.judge == ("embedder" if score.scorer == "embedding" else "offline")


def test_a_complete_store_is_left_alone(completed: tuple[Path, Completion, list[Progress]]):
    path = completed[0]
    with Annotations(path) as annotations:
        before = [annotations.version(coder) for coder in annotations.counts()], annotations.jobs.recent()
        again = complete.complete(path)
        assert (again.explained, again.scored) == (0, 0)
        assert before == (
            [annotations.version(coder) for coder in annotations.counts()],
            annotations.jobs.recent(),
        )


def test_it_is_what_the_commands_make(
    tiny_demo: Path, completed: tuple[Path, Completion, list[Progress]], capsys: pytest.CaptureFixture[str]
):
    for info in Store.open(tiny_demo).coders():
        assert main(["explain", str(tiny_demo), info.coder]) == 0
        assert (
            main(["score", str(tiny_demo), info.coder, "--scorer", "detection", "fuzzing", "embedding"]) == 0
        )
    assert not missing_in(tiny_demo)
    assert figures(tiny_demo) == figures(completed[0])


def test_a_batch_run_finds_nothing_left_to_do(completed: tuple[Path, Completion, list[Progress]]):
    path = completed[0]
    store = Store.open(path)
    with Annotations(path) as annotations:
        for info in store.coders():
            good = {
                explanation.latent: explanation.id
                for explanation in annotations.iter_explanations(info.coder)
            }
            assert unexplained(annotations, info.coder, good, ExplainOptions()) == []
            for scorer in SCORERS:
                failed = {
                    score.explanation_id
                    for id_ in good.values()
                    for score in scores_of(annotations, id_)
                    if score.scorer == scorer and score.status == "failed"
                }
                left = unscored(annotations, info.coder, good.values(), [ScoreOptions(scorer=scorer)])
                assert set(left) == failed


def test_what_failed_is_tried_once(tiny_demo: Path):
    store = Store.open(tiny_demo)
    with Annotations(tiny_demo) as annotations:
        resources = Resources(store, annotations)
        coder = store.coders()[0].coder
        latent = live_latents(store, coder)[0]
        annotations.add(
            Explanation(
                coder=coder, latent=latent, text="", explainer="pattern", config=complete.EXPLAIN.identity(),
                status="failed", error="no reason",
            )
        )  # fmt: skip
        assert latent not in missing(resources).latents[coder]
        annotations.add(Explanation(coder=coder, latent=latent, text="By hand.", explainer="person"))
        assert latent not in missing(resources).latents[coder]
        assert missing(resources).explanations == {}
