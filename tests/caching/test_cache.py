"""The store's content against a plain second implementation."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from autointerp.caching import cache
from autointerp.caching.reading import fire
from autointerp.caching.recording import Recording
from autointerp.models.coders.coder import SparseActivations
from autointerp.models.coders.loading import load_coder
from autointerp.models.hooks import Tap
from autointerp.models.subject import SubjectModel
from autointerp.store import Store
from autointerp.types import Progress, no_progress
from tests.caching.conftest import Lab
from tests.caching.plain import cross_entropy, dense_from_store, dense_latents, hidden, rebuilt
from tests.models.tiny import TEXT, save_coder

SPARSIFY = ("sae", "transcoder", "skip", "residual")


def as_ids(store: Store) -> torch.Tensor:
    return torch.from_numpy(store.tokens.astype(np.int64))


@pytest.mark.parametrize("name", SPARSIFY)
def test_store_holds_what_a_plain_implementation_finds(
    name: str, store: Store, lab: Lab, subject: SubjectModel
) -> None:
    coder = load_coder(lab.specs[name], subject=subject)
    weights = load_file(lab.path(name) / "sae.safetensors")
    ids = as_ids(store)
    x = hidden(subject, coder.tap, ids).reshape(-1, 16)
    wanted = dense_latents(coder, weights, x)
    wanted[ids.reshape(-1).numpy() == 0] = 0
    got = dense_from_store(store, name)
    # Batches of another size change the last bit of a float32, so a float16 may round the other way: one unit at most.
    np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-6)
    assert (got == wanted.astype(np.float16)).mean() > 0.999
    assert np.array_equal(got > 0, wanted > 0)
    info = store.coder(name).info
    assert info.n_activations == (wanted > 0).sum()
    assert info.n_dead == (~(wanted > 0).any(0)).sum()
    assert info.n_tokens == (ids != 0).sum()


def test_neurons_and_random(store: Store, subject: SubjectModel) -> None:
    ids = as_ids(store)
    x = hidden(subject, Tap("layers.1.mlp.dense_4h_to_h", "input"), ids).reshape(-1, 64)
    wanted = torch.zeros_like(x).scatter_(1, x.topk(6, 1).indices, x.topk(6, 1).values.clamp(min=0))
    wanted[ids.reshape(-1) == 0] = 0
    np.testing.assert_allclose(dense_from_store(store, "neurons"), wanted.numpy(), rtol=1e-3, atol=1e-6)
    assert store.coder("random").info.kind == "random"
    assert (dense_from_store(store, "random") > 0).sum(1).max() == 3


@pytest.mark.parametrize("name", SPARSIFY)
def test_fidelity_against_plain(name: str, store: Store, lab: Lab, subject: SubjectModel) -> None:
    coder = load_coder(lab.specs[name], subject=subject)
    weights = load_file(lab.path(name) / "sae.safetensors")
    ids = as_ids(store)
    mask = ids != 0
    assert coder.target is not None
    x, y = (hidden(subject, tap, ids) for tap in (coder.tap, coder.target))
    z = dense_latents(coder, weights, x.reshape(-1, 16))
    y_hat = rebuilt(coder, weights, z, x.reshape(-1, 16)).reshape(y.shape)
    real, guess = y[mask].double(), y_hat[mask].double()
    fidelity = store.coder(name).info.fidelity
    assert fidelity is not None
    assert fidelity.n_tokens == int(mask.sum())
    assert fidelity.fvu == pytest.approx(
        float((real - guess).pow(2).sum() / (real - real.mean(0)).pow(2).sum()), rel=1e-4
    )
    assert fidelity.l0 == pytest.approx((z[mask.reshape(-1).numpy()] > 0).sum(1).mean())
    assert fidelity.ce_clean == pytest.approx(cross_entropy(subject, ids, mask, None), rel=1e-5)
    assert fidelity.ce_spliced == pytest.approx(
        cross_entropy(subject, ids, mask, (coder.target, y_hat)), rel=1e-4
    )
    zero = cross_entropy(subject, ids, mask, (coder.target, torch.zeros_like(y)))
    assert fidelity.ce_zero == pytest.approx(zero, rel=1e-4)
    mean = y[mask].mean(0).expand_as(y)
    assert fidelity.ce_mean == pytest.approx(
        cross_entropy(subject, ids, mask, (coder.target, mean)), rel=1e-2
    )
    assert (fidelity.ce_skip is not None) == (name == "residual")
    if fidelity.ce_skip is not None:
        before = hidden(subject, Tap(coder.target.module, "input"), ids)
        skipped = cross_entropy(subject, ids, mask, (coder.target, before))
        assert fidelity.ce_skip == pytest.approx(skipped, rel=1e-4)


def test_intervals_of_fidelity_against_resampled_contexts(
    store: Store, lab: Lab, subject: SubjectModel
) -> None:
    coder = load_coder(lab.specs["sae"], subject=subject)
    weights = load_file(lab.path("sae") / "sae.safetensors")
    ids = as_ids(store)
    x = hidden(subject, coder.tap, ids)
    z = dense_latents(coder, weights, x.reshape(-1, 16))
    y_hat = rebuilt(coder, weights, z, x.reshape(-1, 16)).reshape(x.shape)
    kept = (ids != 0)[..., None]
    error = ((x - y_hat).pow(2) * kept).sum((1, 2)).numpy()
    variance = ((x - x[ids != 0].mean(0)).pow(2) * kept).sum((1, 2)).numpy()
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(ids), (4000, len(ids)))
    spread = float((error[draws].sum(1) / variance[draws].sum(1)).std())
    fidelity = store.coder("sae").info.fidelity
    assert fidelity is not None
    assert fidelity.n_contexts == store.n_contexts
    assert fidelity.fvu_se == pytest.approx(spread, rel=0.1)
    assert coder.target is not None
    increases = []
    for row in range(len(ids)):
        one = slice(row, row + 1)
        swap = (coder.target, y_hat[one])
        clean, spliced = (cross_entropy(subject, ids[one], ids[one] != 0, each) for each in (None, swap))
        increases.append((spliced - clean) * float((ids[one, :-1] != 0).sum()))
    counts = (ids[:, :-1] != 0).sum(1).numpy()
    spread = float((np.array(increases)[draws].sum(1) / counts[draws].sum(1)).std())
    assert fidelity.ce_increase_se == pytest.approx(spread, rel=0.1)
    low, high = fidelity.ce_increase_interval or (0, 0)
    assert low < (fidelity.ce_increase or 0) < high


def test_more_active_latents_than_fit_the_sample(lab: Lab, subject: SubjectModel, tmp_path: Path) -> None:
    """Far more latents kept than are positive: silent entries are neither stored nor counted as firing together."""
    coders = {"random": "random:layers.1:512:400"}
    info = cache(tmp_path / "s", model=subject, coders=coders, text=[lab.text], ctx_len=24)[0]
    assert info.fidelity is not None
    assert 0 < info.fidelity.l0 < 400
    assert info.n_activations == pytest.approx(info.fidelity.l0 * info.n_tokens)


def test_bos_is_masked_or_kept(lab: Lab, subject: SubjectModel, tmp_path: Path) -> None:
    made = cache(
        tmp_path / "s",
        model=subject,
        coders={"sae": lab.specs["sae"]},
        text=[lab.text],
        ctx_len=24,
        skip_bos=False,
    )[0]
    store = Store.open(tmp_path / "s")
    starts = np.flatnonzero(store.tokens.reshape(-1) == 0)
    assert len(starts) == 1
    assert made.n_tokens == store.tokens.size
    assert dense_from_store(store, "sae")[starts].any()


def test_bos_never_fires_and_no_token_is_deleted(store: Store) -> None:
    starts = np.flatnonzero(store.tokens.reshape(-1) == 0)
    assert len(starts) == 2
    assert store.tokens.reshape(-1)[0] == 0
    for name in SPARSIFY:
        assert not dense_from_store(store, name)[starts].any()


def test_progress_rises_to_its_total(lab: Lab, subject: SubjectModel, tmp_path: Path) -> None:
    reports: list[Progress] = []
    cache(
        tmp_path / "s", model=subject, coders=lab.specs, text=[lab.text], ctx_len=24, progress=reports.append
    )
    for stage in {report.stage for report in reports}:
        # The total of a text that ends early is known only then.
        done = [report.done for report in reports if report.stage == stage]
        assert done == sorted(done)
        assert done[-1] == next(report.total for report in reversed(reports) if report.stage == stage)


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_scale_keeps_values_exact(factor: float, lab: Lab, subject: SubjectModel, tmp_path: Path) -> None:
    """Activations far outside float16's range keep its relative precision; none is lost."""
    folder = save_coder(tmp_path / "layers.1.mlp", seed=1)
    weights = load_file(folder / "sae.safetensors")
    for name in ("encoder.weight", "encoder.bias"):
        weights[name] = weights[name] * factor
    save_file(weights, folder / "sae.safetensors")
    cache(
        tmp_path / "s", model=subject, coders={"sae": str(folder)}, text=[lab.text], ctx_len=24, batch_size=4
    )
    store = Store.open(tmp_path / "s")
    x = hidden(subject, Tap("layers.1.mlp", "output"), as_ids(store)).reshape(-1, 16)
    coder = load_coder(str(folder), subject=subject)
    wanted = dense_latents(coder, weights, x)
    wanted[store.tokens.reshape(-1) == 0] = 0
    got = dense_from_store(store, "sae")
    assert np.array_equal(got > 0, wanted > 0)
    large = wanted > wanted.max() * 1e-4
    np.testing.assert_allclose(got[large], wanted[large], rtol=1e-3)


def test_late_overflow_is_rescaled(lab: Lab, subject: SubjectModel, tmp_path: Path) -> None:
    """The first batches are small, a later one is beyond float16 at their scale."""

    class Growing:
        """A coder whose first latent's activation is its call number to the power of a million's root."""

        def __init__(self) -> None:
            self.inner = load_coder(lab.specs["sae"], subject=subject)
            self.calls = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        def encode(self, x: torch.Tensor) -> SparseActivations:
            self.calls += 1
            acts = self.inner.encode(x)
            return replace(acts, values=acts.values * (1e7 if self.calls == 3 else 1.0))

    cache(
        tmp_path / "s",
        model=subject,
        coders={"sae": lab.specs["sae"]},
        text=[lab.text],
        ctx_len=24,
        batch_size=4,
    )
    store = Store.open(tmp_path / "s")
    growing = Growing()
    with Recording(store, "growing", growing, subject, neighbours=False) as recording:  # type: ignore[arg-type]
        ids = as_ids(store)
        x = hidden(subject, Tap("layers.1.mlp", "output"), ids)
        for row in range(6):
            token = np.arange(row * 24, (row + 1) * 24)
            recording.add(fire("growing", growing, x[row], token, 24))  # type: ignore[arg-type]
        info = recording.finish(np.full(24, 6), None, no_progress)
    assert info.scale > 1
    wanted = np.concatenate(
        [
            growing.inner.encode(x[row]).firing(np.arange(24)).activation * (1e7 if row == 2 else 1.0)
            for row in range(6)
        ]
    )
    got = dense_from_store(store, "growing")
    assert (got > 0).sum() == len(wanted)
    assert got.max() == pytest.approx(wanted.max(), rel=1e-3)


def test_one_pass_for_all_coders(lab: Lab, subject: SubjectModel, tmp_path: Path) -> None:
    """Each batch runs the model once, whatever the number of coders and hookpoints, and never beyond the last."""
    calls: list[str] = []
    modules = {name: subject.base.get_submodule(name) for name in ("layers.0", "layers.1.mlp", "layers.2")}
    handles = [
        module.register_forward_pre_hook(lambda *_, name=name: calls.append(name))
        for name, module in modules.items()
    ]
    # Without promoted tokens, whose path to the logits is found by running the model after caching.
    cache(
        tmp_path / "warm", model=subject, coders=lab.specs, text=[lab.text], ctx_len=24, fidelity_tokens=0, logits=False
    )  # fmt: skip
    n = Store.open(tmp_path / "warm").n_contexts
    for handle in handles:
        handle.remove()
    # Before, whole passes of a few rows find out how the modules write to the residual stream.
    cached = calls[len(calls) - calls[::-1].index("layers.2") :]
    assert cached == ["layers.0", "layers.1.mlp"] * -(-n // 32)


def test_text_is_tokenised_as_documented(store: Store, lab: Lab, subject: SubjectModel) -> None:
    ids = [0, *subject.tokenizer(TEXT * 12)["input_ids"], 0, *subject.tokenizer(TEXT[::-1] * 9)["input_ids"]]
    flat = store.tokens.reshape(-1).tolist()
    assert flat == ids[: len(flat)]
    assert len(ids) - len(flat) < 24
