"""What a run will cost, told from a few of its items."""

import itertools

import pytest

from autointerp.cli.shared.dry_run import preview_document, preview_text
from autointerp.errors import UserError
from autointerp.pipeline.estimate import SAMPLE, Estimate, add_estimates, extrapolate, sample_places
from autointerp.ui.jobs.batch_form import amount

NEW = Estimate(n_requests=3, tokens_in=100, tokens_out=20, cost=0.5)
KNOWN = Estimate(n_requests=3, from_cache=3)


@pytest.mark.parametrize("n", [0, 1, SAMPLE, SAMPLE + 1, 37, 1536])
def test_places_are_spread_over_all(n: int):
    places = sample_places(n)
    assert len(set(places)) == min(n, SAMPLE)
    assert all(0 <= place < n for place in places)
    gaps = {after - before for before, after in itertools.pairwise(places)}
    assert n <= SAMPLE or (max(gaps) - min(gaps) <= 1 and abs(places[0] - (n - 1 - places[-1])) <= 1)


def test_one_item_that_was_tried_before_does_not_speak_for_all():
    """The first one is what a person has tried on its page."""
    found = extrapolate(range(1536), lambda item: KNOWN if item == 0 else NEW)
    assert (found.sampled, found.exact, found.n_requests) == (SAMPLE, False, pytest.approx(3 * 1536))
    assert found.cost == pytest.approx(0.5 * 1536, rel=0.11)
    assert f"estimated from {SAMPLE} of 1,536 features" in amount(found, "feature")


def test_where_all_that_was_looked_at_is_known_the_others_are_not():
    places = set(sample_places(1536))
    found = extrapolate(range(1536), lambda item: KNOWN if item in places else NEW)
    assert found.all_known
    text = amount(found, "feature")
    assert "the cost of the others is unknown" in text
    assert "0.00" not in text
    document = preview_document(found)
    assert (document["cost"], document["tokens_in"]) == (None, None)
    assert "not known" in preview_text(found, "latents")


def test_all_of_a_few_tell_exactly():
    found = extrapolate(range(4), lambda item: KNOWN if item == 0 else NEW)
    assert (found.exact, found.n_requests, found.from_cache, found.cost) == (True, 12, 3, 1.5)
    assert amount(found, "feature").startswith("about 12 requests, 3 cached; 300 tokens in")
    assert "no cost" in amount(extrapolate(range(4), lambda item: KNOWN), "feature")
    two = add_estimates(
        [found, extrapolate(range(4), lambda item: Estimate(n_requests=1, tokens_in=5, cost=None))]
    )
    assert (two.n_requests, two.cost) == (16, None)
    assert "cost unknown" in amount(two, "feature")


def test_what_would_fail_is_told():
    def preview(item: int) -> Estimate:
        if item % 2:
            raise UserError("too few *examples*")
        return NEW

    assert "2 of 4 sampled would fail: too few \\*examples\\*" in amount(
        extrapolate(range(4), preview), "feature"
    )
    with pytest.raises(UserError, match="all 1 items"):
        extrapolate([1], preview)
