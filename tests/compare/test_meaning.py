"""Coders matched by their explanations: against scipy on the whole matrix, and planted explanations with a known answer."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from autointerp.cli.main import main
from autointerp.compare import meaning, results
from autointerp.compare.meaning import Meaning
from autointerp.errors import UnknownName, UserError
from autointerp.jobs import JobRunner
from autointerp.jobs.comparing import compare_job
from autointerp.jobs.kinds import job_kinds
from autointerp.pipeline.resources import Resources
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from tests.compare import planted


@pytest.fixture
def own(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Resources]:
    """A copy of the store that can be written to."""
    planted.use(monkeypatch)
    shutil.copytree(built, tmp_path / "store")
    annotations = Annotations(tmp_path / "store")
    yield Resources(Store.open(tmp_path / "store"), annotations)
    annotations.close()


def found(resources: Resources, first: str, second: str, **parameters: int) -> Meaning:
    table = results.obtain(resources, "meaning", [first, second], parameters)
    return meaning.read(table, (first, second))


def topics(name: str, n: int, n_topics: int = 8) -> list[str]:
    return [f"topic {i % n_topics}: {name} {i}" for i in range(n)]


def stored(texts: list[str]) -> np.ndarray:
    """The vectors as a store keeps them."""
    return np.array([planted.vector(text) for text in texts]).astype(np.float16).astype(np.float32)


@pytest.mark.parametrize("exact_up_to", [100, 0])
def test_figures_are_those_of_the_whole_matrix(own: Resources, exact_up_to: int):
    ours, theirs = topics("a", 30), topics("b", 30)
    planted.write(own.annotations, "sae", ours)
    planted.write(own.annotations, "skip", {2 * i: text for i, text in enumerate(theirs)})
    pair = found(own, "sae", "skip", exact_up_to=exact_up_to)
    a, b = stored(ours), stored(theirs)
    cosines = a @ b.T
    side, other = pair.sides
    np.testing.assert_allclose(side.nearest_cosine, cosines.max(1), atol=1e-3)
    np.testing.assert_array_equal(other.latents, 2 * np.arange(30))
    np.testing.assert_array_equal(side.nearest, 2 * cosines.argmax(1))
    np.testing.assert_array_equal(other.nearest, cosines.argmax(0))
    has = side.partner >= 0
    np.testing.assert_allclose(side.cosine[has], cosines[has, side.partner[has] // 2], atol=1e-3)
    assert pair.matched.value == pytest.approx(side.cosine[has].mean(), abs=1e-6)
    assert pair.n_matched == has.sum()
    assert pair.shuffled.value == pytest.approx(cosines.mean(), abs=1e-4)
    assert pair.nearest == pytest.approx((cosines.max(1).mean(), cosines.max(0).mean()), abs=1e-3)
    for i in np.flatnonzero(other.partner >= 0):
        assert 2 * i == side.partner[other.partner[i]]
        assert other.cosine[i] == side.cosine[other.partner[i]]
    own_cosines = a @ a.T - 9 * np.eye(30)
    assert pair.nearest_within[0] == pytest.approx(own_cosines.max(1).mean(), abs=1e-3)
    if exact_up_to:
        for value, matrix in ((pair.matched.value, cosines), (pair.within[0].value, own_cosines)):
            rows, columns = linear_sum_assignment(matrix, maximize=True)
            assert value == pytest.approx(matrix[rows, columns].mean(), abs=1e-3)
    for each in (pair.matched, pair.floor, pair.above, pair.shuffled):
        assert each.low <= each.value <= each.high


def test_the_same_features_are_far_above_the_floor_and_other_ones_of_the_same_kinds_at_it(own: Resources):
    texts = topics("a", 64)
    planted.write(own.annotations, "sae", texts)
    planted.write(own.annotations, "skip", texts[::-1])
    planted.write(own.annotations, "transcoder", topics("b", 64))
    same, other = found(own, "sae", "skip"), found(own, "sae", "transcoder")
    assert same.matched.value == pytest.approx(1.0, abs=1e-3)
    np.testing.assert_array_equal(same.sides[0].partner, np.arange(64)[::-1])
    assert same.above.low > 0.1
    assert other.matched.value > other.shuffled.value + 0.3  # the assignment alone
    assert other.floor.value == max(each.value for each in other.within)
    assert other.above.high < 0.05
    assert other.above.value == pytest.approx(0.0, abs=0.08)


def test_fewer_explanations_are_compared_with_as_many_within_the_larger_coder(own: Resources):
    planted.write(own.annotations, "sae", topics("a", 60))
    planted.write(own.annotations, "skip", topics("b", 12))
    pair = found(own, "sae", "skip")
    assert pair.n == (60, 12)
    assert pair.n_matched == 12
    assert (pair.sides[0].partner >= 0).sum() == 12
    assert pair.floor == pair.within[0]  # twelve of sixty have more to choose from than twelve of twelve
    assert pair.within[0].value > pair.within[1].value


def test_a_result_goes_with_its_explanations(own: Resources, monkeypatch: pytest.MonkeyPatch):
    planted.write(own.annotations, "sae", topics("a", 10))
    planted.write(own.annotations, "skip", topics("b", 10))
    first = found(own, "sae", "skip")
    own.annotations.pin(own.annotations.explanations("sae", 0)[0].id, author="test")
    assert results.known(own, "meaning", ["sae", "skip"]) is not None  # the same texts
    planted.write(own.annotations, "sae", {11: "topic 1: b 1"})
    assert results.known(own, "meaning", ["sae", "skip"]) is None
    assert found(own, "sae", "skip").n[0] == first.n[0] + 1
    monkeypatch.setattr(meaning, "compute", lambda *_: pytest.fail("computed again"))
    assert found(own, "sae", "skip").n[0] == first.n[0] + 1


def test_only_what_is_embedded_is_quick(own: Resources):
    planted.write(own.annotations, "sae", topics("a", 10))
    planted.write(own.annotations, "skip", topics("b", 10))
    assert not results.is_quick(own, "meaning", ["sae", "skip"])
    found(own, "sae", "skip")
    assert results.is_quick(own, "meaning", ["sae", "skip"])


def test_what_is_missing_is_said(own: Resources):
    planted.write(own.annotations, "sae", topics("a", 10))
    with pytest.raises(UserError, match=r"skip has no explanations yet.*autointerp explain"):
        found(own, "sae", "skip")
    planted.write(own.annotations, "skip", ["alone: 1"])
    with pytest.raises(UserError, match="skip has only one explanation"):
        found(own, "sae", "skip")
    with pytest.raises(UserError, match="with itself"):
        found(own, "sae", "sae")
    with pytest.raises(UnknownName):
        found(own, "sae", "nothing")


def test_match_by_meaning_writes_what_the_library_gives(own: Resources, capsys: pytest.CaptureFixture[str]):
    planted.write(own.annotations, "sae", topics("a", 20))
    planted.write(own.annotations, "skip", topics("b", 10))
    argv = ["match", str(own.store.path), "sae", "skip", "--by", "meaning"]
    assert main([*argv, "--latents", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["pairs"]
    pair = found(own, "sae", "skip")
    for name in ("matched", "floor", "above", "shuffled"):
        assert row[name] == vars(getattr(pair, name))
    assert [each["partner"] for each in row["latents"][1]] == pair.sides[1].partner.tolist()
    assert sum(each["partner"] is None for each in row["latents"][0]) == 10
    assert main(argv) == 0
    assert f"{pair.matched.value:.3f} ({pair.matched.low:.3f} to" in capsys.readouterr().out
    assert main(["match", str(own.store.path), "sae", "--by", "meaning"]) == 2
    assert "at least two" in capsys.readouterr().err
    assert main(["match", str(own.store.path), "sae", "residual", "--by", "meaning"]) == 2
    assert "residual has no explanations" in capsys.readouterr().err


def test_a_job_computes_what_the_page_shows(own: Resources):
    planted.write(own.annotations, "sae", topics("a", 20))
    planted.write(own.annotations, "skip", topics("b", 10))
    runner = JobRunner(own.annotations, job_kinds(own))
    for work in (compare_job("meaning", ["sae", "skip"]), compare_job("map", ["sae", "skip"])):
        assert runner.run(**work).state == "done"
    assert results.known(own, "meaning", ["sae", "skip"]) is not None
    assert results.known(own, "map", ["sae", "skip"]) is not None
