"""The examples: what the explainer saw is never asked about, whatever the seeds."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autointerp.embedding import embed_store
from autointerp.errors import UserError
from autointerp.explain.options import ExplainOptions
from autointerp.explain.registry import SAMPLING
from autointerp.pipeline.described import example_groups
from autointerp.pipeline.examples import select_evidence, select_heldout
from autointerp.pipeline.negatives import similar_latents
from autointerp.pipeline.resources import Resources
from autointerp.sampling import Window
from autointerp.score import delphi
from autointerp.score.options import ScoreOptions
from autointerp.ui.feature import examples
from autointerp.ui.shared import feature_data, services
from tests.embedding.conftest import HashEmbedder
from tests.pipeline.conftest import CAT, CTX_LEN, DEAD, DOG, EVERYWHERE, explain_once, write_once

QUICK = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
seeds = st.integers(0, 2**40)


def contexts(windows: "list[Window]") -> set[int]:
    return {window.example.context for window in windows}


@QUICK
@given(
    seed=seeds, score_seed=seeds, split=seeds, fraction=st.floats(0.1, 0.9),
    sampling=st.sampled_from(sorted(SAMPLING.choices)), explainer=st.sampled_from(["pattern", "contrastive"]),
    latent=st.sampled_from([CAT, DOG, EVERYWHERE]), window=st.sampled_from([8, 16, 32]), n=st.integers(1, 60),
    negatives=st.sampled_from([("random",), ("neighbours",), ("random", "neighbours")]),
)  # fmt: skip
def test_held_out(
    resources: Resources, seed, score_seed, split, fraction, sampling, explainer, latent, window, n, negatives
):
    options = ExplainOptions(
        explainer=explainer, sampling=sampling, seed=seed, split_seed=split, heldout_fraction=fraction,
        window=window, n_examples=n, n_contrast=n,
    )  # fmt: skip
    evidence = select_evidence(resources, "sae", latent, options)
    assert 1 <= len(evidence.activating) <= n
    assert len({w.id for w in evidence.activating}) == len(evidence.activating)
    assert all(w.example.max_activation > 0 for w in evidence.activating)
    explanation = explain_once(resources, "sae", latent, replace(options, explainer="pattern"))
    heldout = select_heldout(
        resources,
        explanation,
        ScoreOptions(seed=score_seed, negatives=negatives, window=window, n_examples=n),
    )
    shown = contexts([*evidence.activating, *evidence.non_activating])
    shown |= {int(one.split(":")[0]) for one in explanation.example_ids}
    assert not shown & contexts([*heldout.activating, *heldout.non_activating])
    assert all(w.example.max_activation > 0 for w in heldout.activating)
    assert all(w.example.max_activation == 0 for w in heldout.non_activating)


def test_the_same_for_the_same_seed(resources: Resources):
    def shown(seed: int) -> list[str]:
        evidence = select_evidence(resources, "sae", EVERYWHERE, ExplainOptions(seed=seed))
        return [window.id for window in [*evidence.activating, *evidence.non_activating]]

    assert shown(3) == shown(3)
    assert shown(3) != shown(4)


def test_an_edit_inherits_what_its_parent_saw(resources: Resources):
    parent = explain_once(resources, "sae", CAT, ExplainOptions(split_seed=11, heldout_fraction=0.2))
    resources.annotations.add(parent)
    child = write_once(resources, "sae", CAT, "The word cat.", author="me", parent=parent.id)
    heldout = select_heldout(resources, child, ScoreOptions())
    seen = {int(one.split(":")[0]) for one in parent.example_ids}
    assert seen
    assert not seen & contexts([*heldout.activating, *heldout.non_activating])


def test_neighbours_as_negatives(resources: Resources):
    explanation = explain_once(resources, "sae", CAT, ExplainOptions())
    heldout = select_heldout(resources, explanation, ScoreOptions(negatives=("neighbours",), n_negatives=8))
    assert heldout.non_activating
    assert {w.example.source for w in heldout.non_activating} == {"neighbours"}
    assert all(9 in w.example.token_ids for w in heldout.non_activating)  # the neighbour fires on it
    assert heldout.negatives == "neighbours"


def test_hard_negatives_are_silent_and_as_many_as_asked_for(resources: Resources):
    """What is nearest to an activating window is that window itself: it must not take a negative's place."""
    hashed = HashEmbedder()
    embed_store(resources.store, hashed, window=8)
    explanation = explain_once(resources, "sae", CAT, ExplainOptions())
    options = ScoreOptions(negatives=("embedding",), embedder=hashed.name, window=8, n_negatives=40)
    heldout = select_heldout(resources, explanation, options)
    assert len(heldout.non_activating) == 40
    assert {w.example.source for w in heldout.non_activating} == {"embedding"}
    assert all(w.example.max_activation == 0 for w in heldout.non_activating)
    shown = {int(one.split(":")[0]) for one in explanation.example_ids}
    assert not shown & contexts([*heldout.activating, *heldout.non_activating])


def test_parts_of_negatives(resources: Resources):
    explanation = explain_once(resources, "sae", CAT, ExplainOptions())
    options = ScoreOptions(negatives=("random", "neighbours"), n_negatives=9)
    sources = [w.example.source for w in select_heldout(resources, explanation, options).non_activating]
    assert sources.count("random") == 5
    assert sources.count("neighbours") == 4


def test_quantiles_are_even(resources: Resources):
    explanation = explain_once(resources, "sae", EVERYWHERE, ExplainOptions(window=8))
    windows = select_heldout(resources, explanation, ScoreOptions(n_examples=20, window=8)).activating
    counts = [sum(w.example.quantile == q for w in windows) for q in range(10)]
    assert counts == [2] * 10


def test_dead_latent(resources: Resources):
    with pytest.raises(UserError, match="never fires"):
        select_evidence(resources, "sae", DEAD, ExplainOptions())


def test_delphi_uses_the_references_draws(resources: Resources):
    explanation = explain_once(resources, "sae", CAT, ExplainOptions())
    heldout = select_heldout(
        resources, explanation, ScoreOptions(protocol="delphi", n_examples=20, n_negatives=10)
    )
    acts = resources.store.coder("sae").activations(CAT)
    strengths = {int(t) // CTX_LEN: 0.0 for t in acts.token}
    for token, value in zip(acts.token.tolist(), acts.activation.tolist(), strict=True):
        strengths[token // CTX_LEN] = max(strengths[token // CTX_LEN], value)
    falling = sorted(strengths, key=lambda c: (-strengths[c], c))
    # A second plain drawing of the same: ten slices, two of each, one generator.
    import random

    rng, size = random.Random(delphi.SAMPLING_SEED), len(falling) // 10
    expected = [c for q in range(10) for c in rng.sample(falling[q * size : (q + 1) * size], 2)]
    assert [w.example.context for w in heldout.activating] == expected
    assert len(heldout.non_activating) == 10


@pytest.mark.parametrize("latent", [CAT, DOG, EVERYWHERE])
@pytest.mark.parametrize("width", [8, 16])
def test_centred_windows_have_their_peak_at_three_quarters(resources: Resources, latent: int, width: int):
    explanation = explain_once(resources, "sae", latent, ExplainOptions(centre=True, window=width))
    asked = ScoreOptions(centre=True, window=width, n_examples=40)
    heldout = select_heldout(resources, explanation, asked)
    assert heldout.centred
    evidence = select_evidence(resources, "sae", latent, ExplainOptions(centre=True, window=width))
    for window in [*heldout.activating, *evidence.activating]:
        example = window.example
        peak, wanted = int(example.activations.argmax()), width - width // 4
        at_the_edge = example.start == 0 if peak < wanted else example.start == CTX_LEN - width
        assert peak == wanted or at_the_edge
    shown = {int(one.split(":")[0]) for one in explanation.example_ids}
    assert not shown & contexts([*heldout.activating, *heldout.non_activating])
    assert not select_heldout(resources, explanation, replace(asked, centre=False)).centred


def test_that_windows_are_not_centred_is_no_new_configuration():
    for kind in (ExplainOptions, ScoreOptions):
        assert "centre" not in kind().identity()
        assert kind(centre=True).identity() == {**kind().identity(), "centre": True}
    with pytest.raises(UserError, match="fixed places"):
        ScoreOptions(protocol="delphi", centre=True).check()


def test_page_and_command_line_show_the_hard_negatives_that_a_scorer_uses(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
):
    """The latents that lend contexts are the same wherever hard negatives are drawn."""
    coder = resources.store.coder("sae")
    assert similar_latents(coder, CAT) == [DOG]
    assert similar_latents(coder, DEAD) == []
    explanation = explain_once(resources, "sae", CAT, ExplainOptions())
    options = ScoreOptions(negatives=("neighbours",), window=8)
    scored = {w.example.neighbour for w in select_heldout(resources, explanation, options).non_activating}
    feature = feature_data.Feature(
        resources.store, coder, CAT, coder.stats(CAT), coder.activations(CAT), None
    )
    monkeypatch.setattr(services, "resources", lambda store: resources)
    monkeypatch.setattr(examples, "DRAWN", 8)
    shown, _ = examples.of_group(feature, "non_activating", 1)
    told = example_groups(resources.store, coder, CAT, window=8, n=10)["non_activating"]
    by_page = {example.neighbour for example in shown if example.source == "neighbours"}
    by_command = {example.neighbour for example in told if example.source == "neighbours"}
    assert scored == by_page == by_command == {DOG}
