"""Which other explanation a score is held against."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from autointerp.pipeline import floors
from autointerp.pipeline.floors import Floors
from autointerp.records import Explanation
from autointerp.score.options import ScoreOptions
from autointerp.store.annotations import Annotations


@pytest.fixture
def annotations(tmp_path: Path) -> Iterator[Annotations]:
    (tmp_path / "store").mkdir()
    with Annotations(tmp_path / "store") as found:
        yield found


def explained(annotations: Annotations, latents: range, explainer: str = "pattern") -> list[Explanation]:
    made = [
        Explanation(coder="sae", latent=latent, text=f"{explainer} {latent}", explainer=explainer)
        for latent in latents
    ]
    annotations.add(*made)
    return made


def draws(annotations: Annotations, latents: range, seed: int = 0) -> dict[int, str]:
    drawer = Floors(annotations)
    found = {
        latent: drawer.choose(
            Explanation(coder="sae", latent=latent, text=f"pattern {latent}", explainer="pattern"),
            ScoreOptions(seed=seed),
        )
        for latent in latents
    }
    return {latent: one.id for latent, one in found.items() if one is not None}


def test_another_latent_with_another_text_by_the_same_explainer(annotations: Annotations) -> None:
    own = explained(annotations, range(40))
    explained(annotations, range(100, 140), "default")
    annotations.add(Explanation(coder="sae", latent=300, text="pattern 3", explainer="pattern"))
    by_id = {one.id: one for one in annotations.iter_explanations("sae")}
    for latent, id_ in draws(annotations, range(40)).items():
        assert by_id[id_].latent != latent
        assert by_id[id_].text != own[latent].text
        assert by_id[id_].explainer == "pattern"


def test_the_same_words_are_no_floor(annotations: Annotations) -> None:
    annotations.add(Explanation(coder="sae", latent=300, text=" Pattern\n  3", explainer="pattern"))
    assert draws(annotations, range(3, 4)) == {}


def test_the_whole_record_is_drawn(annotations: Annotations) -> None:
    """The judge looks for the parts that a floor's explanation states, as for those of the explanation it is held against."""
    parts = {
        "named": [{"form": "word", "texts": ["fox"], "examples": []}],
        "hedge": "",
        "before": [],
        "context": [],
    }
    annotations.add(
        Explanation(coder="sae", latent=7, text='The word "fox".', explainer="pattern", parts=parts)
    )
    held_against = Explanation(coder="sae", latent=1, text="x", explainer="pattern")
    floor = Floors(annotations).choose(held_against, ScoreOptions())
    assert floor is not None
    assert floor.parts == parts


def test_another_explainer_only_where_there_is_no_other(annotations: Annotations) -> None:
    explained(annotations, range(1))
    assert draws(annotations, range(1)) == {}
    other = explained(annotations, range(5, 6), "default")
    assert draws(annotations, range(1)) == {0: other[0].id}


def test_all_serve_about_as_often(annotations: Annotations) -> None:
    explained(annotations, range(50))
    counts = Counter(id_ for seed in range(40) for id_ in draws(annotations, range(50), seed).values())
    assert sum(counts.values()) == 2000
    assert len(counts) == 50
    # Each is drawn 40 times on average; 5 standard deviations either way.
    assert all(40 - 5 * 6.3 < n < 40 + 5 * 6.3 for n in counts.values())


@pytest.mark.parametrize("many", [1000, 60])
def test_a_further_explanation_rarely_changes_a_draw(
    many: int, annotations: Annotations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floors, "MANY", many)
    explained(annotations, range(100))
    before = draws(annotations, range(100))
    explained(annotations, range(100, 110))
    after = draws(annotations, range(100))
    changed = sum(before[latent] != after[latent] for latent in before)
    assert changed <= 25  # a tenth more: about a tenth change
    assert draws(annotations, range(100), seed=1) != after


def test_a_batch_that_has_just_begun_sees_what_there_is(annotations: Annotations) -> None:
    """Each of the first items is held against one of those before it, not all against the first."""
    drawer = Floors(annotations)
    drawn = []
    for latent in range(150):
        explanation = Explanation(coder="sae", latent=latent, text=f"pattern {latent}", explainer="pattern")
        found = drawer.choose(explanation, ScoreOptions())
        drawn.append(None if found is None else found.id)
        explained(annotations, range(latent, latent + 1))
    assert drawn[0] is None
    assert None not in drawn[1:]
    assert max(Counter(drawn).values()) < 20
    assert len(set(drawn)) > 50
