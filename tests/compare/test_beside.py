"""Two latents side by side: their windows, and the explanation of one scored on the examples of the other."""

from collections.abc import Iterator

import numpy as np
import pytest

from autointerp.compare import beside, cross_score
from autointerp.errors import UnknownName, UserError
from autointerp.jobs import JobRunner
from autointerp.jobs.crossing import Crossing, cross_score_job
from autointerp.jobs.kinds import job_kinds
from autointerp.pipeline.examples import heldout_places
from autointerp.pipeline.resources import Resources
from autointerp.pipeline.session import Session
from autointerp.pipeline.split import split_of
from autointerp.records import Explanation, example_id
from autointerp.score.options import ScoreOptions
from autointerp.store.annotations import Annotations
from autointerp.types import LatentActivations
from tests.conftest import CoderSpec, StoreFactory

CTX_LEN, N_CONTEXTS, WINDOW = 32, 160, 16
CAT, DOG, DEAD = range(3)
OPTIONS = ScoreOptions(scorer="detection", window=WINDOW, n_examples=20, n_negatives=20)


@pytest.fixture
def resources(store_factory: StoreFactory) -> Iterator[Resources]:
    """`sae` and `twin` have a latent for " cat" and one for " dog"; one of the two stands in each context."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(10, 40, size=(N_CONTEXTS, CTX_LEN))
    for context in range(N_CONTEXTS):
        tokens[context, rng.integers(0, CTX_LEN)] = 7 if context % 2 else 9
    flat = tokens.reshape(-1)
    fires = {
        latent: [(int(t), float(1 + rng.random())) for t in np.flatnonzero(flat == word)]
        for latent, word in ((CAT, 7), (DOG, 9))
    }
    pieces = [b"<|end|>", *(f" word{i}".encode() for i in range(1, 40))]
    pieces[7], pieces[9] = b" cat", b" dog"
    store = store_factory(
        tokens, {"sae": CoderSpec(fires, 3), "twin": CoderSpec({**fires}, 3)}, pieces=pieces
    )
    with Annotations(store.path) as annotations:
        yield Resources(store, annotations)


def activations(*pairs: tuple[int, float]) -> LatentActivations:
    token, value = zip(*pairs, strict=True) if pairs else ((), ())
    return LatentActivations(np.array(token, dtype=np.int64), np.array(value, dtype=np.float32))


def test_windows_by_which_of_two_fires(resources: Resources):
    tokens = resources.store.tokens
    first = activations((0, 1.0), (17, 4.0), (64, 2.0))
    second = activations((3, 3.0), (70, 1.0), (100, 3.0))
    found = beside.windows(resources.store, first, second, WINDOW)
    assert found.spans["both"].tolist() == [[0, 0, 16], [2, 0, 16]]
    assert found.spans["first"].tolist() == [[0, 16, 32]]
    assert found.spans["second"].tolist() == [[3, 0, 16]]
    assert found.choose("both", 9, tokens, seed=None).tolist() == [
        [2, 0, 16],
        [0, 0, 16],
    ]  # by the smaller share
    assert len(found.choose("both", 1, tokens, seed=3)) == 1
    empty = beside.windows(resources.store, activations(), second, WINDOW)
    assert empty.choose("both", 5, tokens, seed=0).shape == (0, 3)


def test_a_choice_takes_other_contexts_first(resources: Resources):
    tokens = resources.store.tokens
    first = activations((0, 9.0), (17, 8.0), (64, 2.0))
    found = beside.windows(resources.store, first, activations(), WINDOW)
    assert found.choose("first", 2, tokens, seed=None)[:, 0].tolist() == [0, 2]
    assert sorted(found.choose("first", 2, tokens, seed=1)[:, 0].tolist()) == [0, 2]
    assert len(found.choose("first", 9, tokens, seed=1)) == 3


def test_the_same_words_are_shown_once(resources: Resources):
    tokens = np.array(resources.store.tokens)
    tokens[7] = tokens[3]
    first = activations(*((row * CTX_LEN + 12, 1.0 + row) for row in (3, 5, 7)))
    found = beside.windows(resources.store, first, activations(), WINDOW)
    assert found.choose("first", 9, tokens, seed=None)[:, 0].tolist() == [7, 5]
    assert len(found.choose("first", 9, resources.store.tokens, seed=None)) == 3


def test_any_two_latents_are_compared_exactly(resources: Resources):
    alike = beside.together(resources, ("sae", CAT), ("twin", CAT))
    assert alike.of.correlation == pytest.approx(1)
    assert (alike.of.jaccard, alike.of.covers, alike.n_tokens) == (1.0, 1.0, N_CONTEXTS * CTX_LEN)
    apart = beside.together(resources, ("sae", CAT), ("sae", DOG))  # of one coder too
    assert apart.of.n_both == 0
    dense = np.zeros((2, N_CONTEXTS * CTX_LEN))
    for row, latent in zip(dense, (CAT, DOG), strict=True):
        acts = resources.store.coder("sae").activations(latent)
        row[acts.token] = acts.activation
    assert apart.of.correlation == pytest.approx(np.corrcoef(dense[0], dense[1])[0, 1])
    assert beside.together(resources, ("sae", CAT), ("twin", DEAD)).of.correlation == 0
    with pytest.raises(UnknownName):
        beside.together(resources, ("sae", 9), ("twin", 0))


def written(resources: Resources, coder: str, latent: int, word: str, *shown: str) -> Explanation:
    explanation = Explanation(
        coder=coder, latent=latent, text=f'The word "{word}".', explainer="person", example_ids=shown
    )
    resources.annotations.add(explanation)
    return explanation


def test_an_explanation_is_scored_on_the_examples_of_another_latent(resources: Resources):
    cat = written(resources, "sae", CAT, "cat")
    written(resources, "twin", DOG, "dog")
    with Session(resources) as session:
        same = cross_score.cross_score(session, cat, "twin", CAT, OPTIONS)
        other = cross_score.cross_score(session, cat, "twin", DOG, OPTIONS)
    assert same.value == 1.0
    assert same.n == 40
    assert same.floor is not None
    assert other.value is not None
    assert other.value <= 0.5
    # It is nobody's score.
    assert resources.annotations.scores_of_latent("sae", CAT) == []
    assert resources.annotations.scores_of_latent("twin", CAT) == []
    kept = cross_score.known(resources, cat, "twin", CAT, [OPTIONS])
    assert list(kept.values()) == [same]
    assert cross_score.known(resources, cat, "twin", CAT, [ScoreOptions(scorer="fuzzing")]) == {}


def test_its_examples_are_held_out_from_the_explanations_own_explainer(resources: Resources):
    twin = resources.store.coder("twin")
    acts = twin.activations(CAT)
    split = split_of(resources.store, twin, acts, CAT, seed=0, heldout_fraction=0.5)
    firing = np.unique(acts.token // CTX_LEN)
    seen = firing[split.heldout[firing]][:10].tolist()
    cat = written(resources, "sae", CAT, "cat", *(example_id(context, 0, CTX_LEN) for context in seen))
    written(resources, "twin", DOG, "dog")
    with Session(resources) as session:
        cross_score.cross_score(session, cat, "twin", CAT, OPTIONS)
    (kept,) = cross_score.known(resources, cat, "twin", CAT, [OPTIONS]).values()
    contexts = {item.context for item in kept.judged or ()}
    assert contexts
    assert not contexts & set(seen)
    assert all(split.heldout[context] for context in contexts)
    (places,) = heldout_places(resources, [written(resources, "twin", CAT, "cat")], OPTIONS)
    assert places is not None
    assert set(places.activating.spans[:, 0].tolist()) & set(seen), "it would have been asked about them"


def test_as_a_job_once(resources: Resources):
    cat = written(resources, "sae", CAT, "cat")
    dog = written(resources, "twin", DOG, "dog")
    work = cross_score_job([Crossing(cat, "twin", DOG, [OPTIONS]), Crossing(dog, "sae", CAT, [OPTIONS])])
    with JobRunner(resources.annotations, job_kinds(resources)) as runner:
        job = runner.run(**work)
    assert (job.state, job.n_done) == ("done", 2)
    assert len(cross_score.known(resources, cat, "twin", DOG, [OPTIONS])) == 1
    assert len(cross_score.known(resources, dog, "sae", CAT, [OPTIONS])) == 1
    assert "cross-score sae #0 and twin #1" in job.label


def test_a_dead_latent_has_no_examples_and_nothing_is_kept(resources: Resources):
    cat = written(resources, "sae", CAT, "cat")
    with Session(resources) as session:
        failed = cross_score.cross_score(session, cat, "twin", DEAD, OPTIONS)
        assert failed.status == "failed"
        assert "never fires" in (failed.error or "")
        assert cross_score.known(resources, cat, "twin", DEAD, [OPTIONS]) == {}
        with pytest.raises(UserError):
            cross_score.cross_score(session, cat, "twin", 99, OPTIONS)
