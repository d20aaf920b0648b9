"""A latent's activations are read from the store once, whatever the page and the jobs that it starts do with them."""

from collections import Counter

import pytest

from autointerp.store import CoderStore, Store
from tests.app.reading import record


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How often each latent's activations were read."""
    counts: Counter[int] = Counter()
    single, several = CoderStore.activations, CoderStore.activations_between

    def activations(self: CoderStore, latent: int):
        counts[latent] += 1
        return single(self, latent)

    def between(self: CoderStore, first: int, last: int):
        counts.update(range(first, last + 1))
        return several(self, first, last)

    monkeypatch.setattr(CoderStore, "activations", activations)
    monkeypatch.setattr(CoderStore, "activations_between", between)
    return counts


def test_a_page_reads_a_feature_and_its_neighbours_once(
    open_page, tiny_store: Store, fetched: Counter[int], no_model: None
):
    app = open_page(tiny_store, "feature", coder="sae", latent="3")
    drawn = record(app, "contexts")
    assert drawn is not None
    hard = [row for group in drawn["groups"] for row in group["rows"] if "h" in row]
    assert hard  # the neighbours' activations were needed
    app.toggle(key="url_align").set_value(True).run()
    app.segmented_control(key="url_group").set_value("top").run()
    assert not app.exception
    assert fetched[3] == 1
    assert max(fetched.values()) == 1


def test_an_explanation_made_on_the_page_reads_nothing_again(
    open_page, tiny_store: Store, fetched: Counter[int], no_model: None
):
    app = open_page(tiny_store, "feature", coder="sae", latent="3", panel="regenerate")
    app.button(key="run_explain").click().run()
    assert not app.exception
    drawn = record(app, "explanation")
    assert drawn is not None
    assert drawn["text"]
    assert fetched[3] == 1
    assert max(fetched.values()) == 1
