"""Errors on the same contexts, and the share of the skip path, against the model run plainly."""

import numpy as np
import pytest
import torch

from autointerp.compare import fidelity, results
from autointerp.compare.price import measurement
from autointerp.models.hooks import Tap
from autointerp.pipeline.resources import Resources
from autointerp.probe import recorded


@pytest.fixture(scope="module")
def measured(built, tmp_path_factory: pytest.TempPathFactory):
    from autointerp.store import Store
    from autointerp.store.annotations import Annotations

    with Annotations(built) as annotations:
        resources = Resources(Store.open(built), annotations)
        names = ("sae", "transcoder", "skip", "random")
        yield (
            resources,
            {name: fidelity.read(results.obtain(resources, "fidelity", [name])) for name in names},
        )


def test_figures_are_those_of_caching_over_more_contexts(measured):
    resources, of = measured
    for name, each in of.items():
        cached = resources.store.coder(name).info.fidelity
        assert cached is not None
        assert each.fidelity.n_tokens >= cached.n_tokens
        assert each.fidelity.fvu == pytest.approx(cached.fvu, rel=0.1)
        contexts = each.contexts
        assert contexts["squared_error"].sum() / contexts["variance"].sum() == pytest.approx(
            each.fidelity.fvu
        )
        assert each.fidelity.ce_increase == pytest.approx(
            (contexts["spliced"].sum() - contexts["clean"].sum()) / contexts["n_predicted"].sum()
        )
    # The same contexts for all, so that coders can be compared within each.
    for name in of:
        for column in ("context", "n", "clean", "variance"):
            np.testing.assert_allclose(of[name].contexts[column], of["sae"].contexts[column])


def test_what_is_known_is_read_and_a_coder_without_a_skip_path_has_no_share(measured):
    resources, of = measured
    assert of["sae"].skip_percentiles is None
    again = measurement(resources, "skip")
    assert again is not None
    assert again.fidelity == of["skip"].fidelity
    np.testing.assert_array_equal(again.skip_above, of["skip"].skip_above)
    assert measurement(resources, "residual") is None


def test_the_skip_paths_share_is_its_covariance_with_the_output(measured):
    resources, of = measured
    store, info = resources.store, resources.store.coder("skip").info
    subject = recorded.load_subject(store)
    coder = recorded.load_coder(info, subject)
    masked = set(recorded.masked_ids(subject, info).tolist())
    skips, outputs, latents, owner = [], [], [], []
    with torch.inference_mode():
        for place, context in enumerate(of["skip"].contexts["context"].astype(int)):
            row = store.tokens[context].astype(np.int64)
            x = subject.read([Tap(info.hookpoint, "input")], torch.from_numpy(row[None]))[coder.tap][0]
            for position, token in enumerate(row.tolist()):
                if token in masked:
                    continue
                one = x[position : position + 1]
                acts = coder.encode(one)
                skips.append((one @ coder.W_skip.T)[0].double().numpy())  # pyright: ignore
                latents.append(
                    sum(
                        float(value) * coder.W_dec[latent].double().numpy()  # pyright: ignore
                        for value, latent in zip(acts.values[0], acts.latents[0], strict=True)
                    )
                )
                outputs.append(coder.decode(acts, one)[0].double().numpy())
                owner.append(place)
    s, z, y = (np.array(part) - np.mean(part, axis=0) for part in (skips, latents, outputs))
    above, below = (s * y).sum(1), (y * y).sum(1)
    each = of["skip"]
    assert each.skip_above is not None
    assert each.skip_below is not None
    np.testing.assert_allclose(each.skip_above, np.bincount(owner, above), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(each.skip_below, np.bincount(owner, below), rtol=1e-4)
    assert each.skip_percentiles is not None
    np.testing.assert_allclose(each.skip_percentiles, np.percentile(above / below, range(101)), atol=1e-3)
    # With the latents' share it is the whole.
    assert above.sum() / below.sum() + (z * y).sum() / below.sum() == pytest.approx(1, abs=1e-6)
