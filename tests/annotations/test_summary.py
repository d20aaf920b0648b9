"""The tables of whole coders: what is brought up to date is what reading everything anew would give."""

from pathlib import Path

import numpy as np
import pytest

from autointerp.records import Explanation, Score
from autointerp.store.annotations import Annotations

TABLES = ("summary", "score_summary", "failure_summary")


def tables(annotations: Annotations, coder: str = "sae") -> list[list[dict]]:
    """All three, the rows of a latent in an order of their own."""
    found = []
    for name in TABLES:
        rows = getattr(annotations, name)(coder).to_pylist()
        assert [row["latent"] for row in rows] == sorted(row["latent"] for row in rows)
        found.append(sorted(rows, key=lambda row: (row["latent"], row.get("score_id", ""))))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_brought_up_to_date_equals_read_anew(tmp_path: Path, seed: int):
    rng = np.random.default_rng(seed)
    with Annotations(tmp_path) as annotations, Annotations(tmp_path) as writer:
        known: list[Explanation] = []
        for step in range(25):
            for _ in range(int(rng.integers(1, 4)) if step else 200):
                latent = int(rng.integers(0, 60))
                draw = rng.random()
                if draw < 0.45 or not known:
                    failed = rng.random() < 0.2
                    made = Explanation(
                        coder="sae", latent=latent, text="" if failed else f"text {step}",
                        explainer=str(rng.choice(["pattern", "default", "person"])),
                        status="failed" if failed else "ok", error="no answer" if failed else None,
                    )  # fmt: skip
                    writer.add(made)
                    if not failed:
                        known.append(made)
                elif draw < 0.85:
                    value = float(rng.random())
                    model = str(rng.choice(["one", "two"])) if rng.random() < 0.5 else None
                    writer.add(
                        Score(
                            explanation_id=known[rng.integers(len(known))].id, value=value, ci_low=value - 0.1,
                            scorer=str(rng.choice(["detection", "fuzzing"])), judge="llm" if model else "offline", model=model,
                        )
                    )  # fmt: skip
                elif draw < 0.93:
                    writer.pin(known[rng.integers(len(known))].id, author="ada")
                else:
                    writer.unpin("sae", latent)
            with Annotations(tmp_path) as anew:
                assert tables(annotations) == tables(anew)


def test_two_models_are_two_scores(tmp_path: Path):
    made = Explanation(coder="sae", latent=1, text="x", explainer="pattern")
    scores = [
        Score(explanation_id=made.id, scorer="detection", judge="llm", model=m, value=0.5) for m in "aab"
    ]
    with Annotations(tmp_path) as annotations:
        annotations.add(made, *scores)
        rows = annotations.score_summary("sae").to_pylist()
        assert sorted((row["model"], row["score_id"]) for row in rows) == [
            ("a", scores[1].id),
            ("b", scores[2].id),
        ]


def test_failures_hold_the_newest_error(tmp_path: Path):
    with Annotations(tmp_path) as annotations:
        for latent, error in ((3, "first"), (3, "second"), (5, "other")):
            annotations.add(
                Explanation(
                    coder="sae", latent=latent, text="", explainer="default", status="failed", error=error
                )
            )
        rows = annotations.failure_summary("sae").select(["latent", "n_failed", "error"]).to_pylist()
    assert rows == [
        {"latent": 3, "n_failed": 2, "error": "second"}, {"latent": 5, "n_failed": 1, "error": "other"}
    ]  # fmt: skip


def test_latest_explanations_of_any_latent(tmp_path: Path):
    made = [Explanation(coder=c, latent=i, text=f"{i}", explainer="pattern") for i, c in enumerate("abcabc")]
    with Annotations(tmp_path) as annotations:
        annotations.add(*made)
        assert [e.latent for e in annotations.latest(3)] == [5, 4, 3]


def test_explanations_by_another_protocol_are_made_another_way(tmp_path: Path):
    """Their scores are not summed up together."""
    with Annotations(tmp_path) as annotations:
        for latent, config in enumerate([{"n": 1}, {"n": 1, "protocol": "delphi"}]):
            made = Explanation(
                coder="sae", latent=latent, text="x", explainer="pattern", prompt_version="p-1", config=config
            )
            annotations.add(made)
            score = {"protocol": "delphi"}  # of the score: does not matter
            annotations.add(
                Score(explanation_id=made.id, scorer="detection", judge="offline", value=0.5, config=score)
            )
        ways = ["pattern · p-1", "pattern · p-1 · delphi protocol"]
        assert annotations.summary("sae")["made_by"].to_pylist() == ways
        assert annotations.score_summary("sae")["made_by"].to_pylist() == ways
