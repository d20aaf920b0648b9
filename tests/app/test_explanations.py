"""The explanation side of the Feature page."""

from autointerp.store.annotations import Annotations
from tests.explained import Explained


def test_the_fixture_holds_what_it_says(explained_store: Explained):
    with Annotations(explained_store.path, read_only=True) as annotations:
        shown = annotations.shown("sae", 0)
        assert shown is not None
        assert shown.id == explained_store.explanations["edited"].id
        assert len(annotations.explanations("sae", 0)) == 4
        pinned = annotations.shown("sae", 3)
        assert pinned is not None
        assert pinned.id == explained_store.explanations["pinned"].id
        for score in explained_store.scores.values():
            judged = annotations.judged(score.id)
            assert len(judged) == score.n + score.unparsed
