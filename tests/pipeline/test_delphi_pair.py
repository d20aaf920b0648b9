"""Explaining and scoring by the delphi protocol: the explainer's draw and the scorers' overlap as in the reference, and what an
explainer saw in this way is never asked about by the held-out protocol."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autointerp.errors import UserError
from autointerp.explain.options import ExplainOptions
from autointerp.explain.registry import EXPLAINERS
from autointerp.pipeline.examples import select_evidence, select_heldout
from autointerp.pipeline.resources import Resources
from autointerp.records import config_hash
from autointerp.sampling import Window
from autointerp.score import delphi
from autointerp.score.options import ScoreOptions
from autointerp.store.annotations import Annotations
from tests.conftest import CoderSpec, StoreFactory
from tests.pipeline.conftest import CAT, DOG, EVERYWHERE, RARE, explain_once, write_once
from tests.pipeline.test_examples import QUICK, contexts, seeds

DELPHI = ExplainOptions(protocol="delphi")
TEST = ScoreOptions(protocol="delphi", n_examples=50, n_negatives=50)
N_WINDOWS = (200, 500, 2400, 3150)
"""In how many windows the latents 0, 1, 2, 3 fire."""
WIDTH, WINDOWS_A_CONTEXT = 4, 8


def drawn_by_the_reference(falling: list[str], n: int) -> list[str]:
    """Its sampler, from its description: the global generator is seeded, then asked for each of ten slices in turn."""
    state = random.getstate()
    random.seed(22)
    size, chosen = len(falling) // 10, []
    for i in range(10):
        pool = falling[i * size : (i + 1) * size]
        chosen += pool if len(pool) < n // 10 else random.sample(pool, n // 10)
    random.setstate(state)
    return chosen


@pytest.fixture
def counted(store_factory: StoreFactory) -> Iterator[Resources]:
    """A store of 4,000 windows of 4 tokens."""
    n_windows, rng = 4000, np.random.default_rng(1)
    tokens = rng.integers(10, 40, size=(n_windows // WINDOWS_A_CONTEXT, WIDTH * WINDOWS_A_CONTEXT))
    fires = {}
    for latent, n in enumerate(N_WINDOWS):
        where = np.sort(rng.permutation(n_windows)[:n]) * WIDTH + rng.integers(0, WIDTH, size=n)
        strengths = 0.01 * (1 + rng.permutation(n))
        fires[latent] = list(zip(where.tolist(), strengths.tolist(), strict=True))
    pieces = [b"<|end|>", *(f" word{i}".encode() for i in range(1, 40))]
    store = store_factory(tokens, {"sae": CoderSpec(fires, len(N_WINDOWS))}, pieces=pieces)
    with Annotations(store.path) as annotations:
        yield Resources(store, annotations)


def falling_windows(resources: Resources, latent: int) -> list[str]:
    acts, ctx_len = resources.store.coder("sae").activations(latent), resources.store.ctx_len
    order = np.argsort(-acts.activation, kind="stable")  # stored with few digits, so that some are equal
    starts = [int(token) // WIDTH * WIDTH for token in acts.token[order]]
    return [f"{start // ctx_len}:{start % ctx_len}:{WIDTH}" for start in starts]


def ids(windows: "Sequence[Window]") -> list[str]:
    return [window.id for window in windows]


@pytest.mark.parametrize("latent", range(len(N_WINDOWS)))
def test_the_pair_draws_and_overlaps_as_the_reference(counted: Resources, latent: int):
    options = replace(DELPHI, window=WIDTH)
    explanation = explain_once(counted, "sae", latent, options)
    heldout = select_heldout(counted, explanation, replace(TEST, window=WIDTH))
    falling = falling_windows(counted, latent)
    train, test = drawn_by_the_reference(falling, 40), drawn_by_the_reference(falling, 50)
    evidence = select_evidence(counted, "sae", latent, options)
    assert ids(evidence.activating) == train == list(explanation.example_ids[:40])
    assert ids(heldout.activating) == test
    shared = len(set(train) & set(test))
    assert len(set(explanation.example_ids[:40]) & set(ids(heldout.activating))) == shared
    assert shared == {200: 20, 500: 12, 2400: 10, 3150: 11}[N_WINDOWS[latent]]
    quantiles = [window.example.quantile for window in evidence.activating]
    assert quantiles == [q for q in range(10) for _ in range(4)]
    # What the reference's explainer never sees, and `pattern` does: non-activating windows, other ones than the scorers'.
    assert evidence.non_activating
    assert not set(ids(evidence.non_activating)) & set(ids(heldout.non_activating))


def test_held_out_examples_overlap_less(counted: Resources):
    """Why an explanation has to be made by the protocol, too: the explainer's own side shares next to nothing with the test."""
    explanation = explain_once(counted, "sae", 2, ExplainOptions(window=WIDTH))
    asked = ids(select_heldout(counted, explanation, replace(TEST, window=WIDTH)).activating)
    assert len(set(explanation.example_ids) & set(asked)) < 5


@QUICK
@given(
    score_seed=seeds, latent=st.sampled_from([CAT, DOG, EVERYWHERE]), window=st.sampled_from([8, 16, 32]),
    asked=st.sampled_from([8, 16, 32]), n=st.integers(10, 60), edited=st.booleans(),
    negatives=st.sampled_from([("random",), ("neighbours",), ("random", "neighbours")]),
)  # fmt: skip
def test_what_the_explainer_saw_is_not_held_out(
    resources: Resources, score_seed, latent, window, asked, n, edited, negatives
):
    explanation = explain_once(
        resources, "sae", latent, replace(DELPHI, window=window, n_examples=n, n_contrast=n)
    )
    seen = {int(example.split(":")[0]) for example in explanation.example_ids}
    assert seen
    if edited:
        resources.annotations.add(explanation)
        explanation = write_once(resources, "sae", latent, "Words.", author="me", parent=explanation.id)
    options = ScoreOptions(seed=score_seed, negatives=negatives, window=asked, n_examples=n)
    heldout = select_heldout(resources, explanation, options)
    assert not seen & contexts([*heldout.activating, *heldout.non_activating])


def test_the_held_out_side_holds_some_of_what_the_explainer_saw(resources: Resources):
    """Else the test above could not fail."""
    explanation = explain_once(resources, "sae", CAT, DELPHI)
    seen = {int(example.split(":")[0]) for example in explanation.example_ids}
    unseen = write_once(resources, "sae", CAT, "The word cat.", author="me")
    assert seen & contexts([*select_heldout(resources, unseen, ScoreOptions()).activating])


def test_the_record_says_by_which_protocol(resources: Resources):
    explanation = explain_once(resources, "sae", CAT, DELPHI)
    assert explanation.status == "ok"
    assert (explanation.protocol, explanation.seed) == ("delphi", delphi.SAMPLING_SEED)
    assert not {"sampling", "seed", "centre", "split_seed", "heldout_fraction"} & set(explanation.config)
    resources.annotations.add(explanation)
    assert resources.annotations.explanation(explanation.id).protocol == "delphi"
    assert explain_once(resources, "sae", CAT, ExplainOptions()).protocol == "held-out"
    rare = explain_once(resources, "sae", RARE, DELPHI)
    assert (rare.status, rare.seed) == ("failed", delphi.SAMPLING_SEED)
    assert rare.error_kind == "no_examples"


def test_the_usual_protocol_is_no_new_configuration():
    assert "protocol" not in ExplainOptions().identity()
    identity = DELPHI.identity()
    assert identity["protocol"] == "delphi"
    assert config_hash(identity) != config_hash(ExplainOptions().identity())
    assert ExplainOptions.from_dict(DELPHI.to_dict()) == DELPHI
    assert ExplainOptions.from_dict({"explainer": "pattern", "seed": 3}).protocol == "held-out"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sampling": "top"}, "leave out --sampling"),
        ({"seed": 1, "centre": True}, "leave out --centre, --seed"),
        ({"split_seed": 1}, "leave out --split-seed"),
        ({"heldout_fraction": 0.3}, "leave out --heldout-fraction"),
        ({"n_examples": 9}, "10 or more, not 9"),
        ({"explainer": "contrastive"}, "explainers pattern, default, top_logits"),
        ({"protocol": "reference"}, "held-out"),
    ],
)
def test_what_the_protocol_fixes_is_refused(change: dict[str, object], message: str):
    with pytest.raises(UserError, match=message):
        replace(DELPHI, **change).check()  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("explainer", ["pattern", "default", "top_logits"])
def test_options_that_change_nothing_do_not_matter(explainer: str):
    """Forms leave these out; for an explainer that knows no protocol they matter as ever."""
    fixed = {"sampling", "centre", "seed", "split_seed", "heldout_fraction"}
    options = EXPLAINERS[explainer].options
    assert {option.name for option in options if not option.matters({"protocol": "delphi"})} == fixed
    assert all(option.matters({"protocol": "held-out"}) for option in options)
    assert all(option.matters({}) for option in EXPLAINERS["contrastive"].options)
