"""Coders of any format through caching, the store and the probe, against a dense computation: any number of active latents
per token, input and output of different width, no decoder. The format is `tests/models/toy.py`, registered by one line."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from autointerp.caching import cache
from autointerp.cli.info import describe
from autointerp.cli.main import build_parser
from autointerp.errors import StoreError
from autointerp.models.coders import registry
from autointerp.models.coders.coder import SparseActivations
from autointerp.models.hooks import Tap
from autointerp.models.subject import SubjectModel
from autointerp.probe import Prober
from autointerp.store import Store
from autointerp.types import Relation
from autointerp.ui.overview.page import coder_row
from tests.caching.conftest import Lab
from tests.caching.plain import dense_from_store, hidden
from tests.models.toy import FORMAT, VARIANTS, ToyCoder, from_dense


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry.FORMATS, "toy", FORMAT)
        yield


@pytest.fixture(scope="module")
def toys(
    lab: Lab, subject: SubjectModel, tmp_path_factory: pytest.TempPathFactory, registered: None
) -> Store:
    path = tmp_path_factory.mktemp("toys") / "store"
    coders = {variant: f"toy:{variant}" for variant in VARIANTS}
    cache(
        path, model=subject, coders=coders, text=[lab.text, lab.root / "more.txt"], ctx_len=24, batch_size=5
    )
    return Store.open(path)


def plain(store: Store, subject: SubjectModel, variant: str) -> tuple[ToyCoder, np.ndarray, np.ndarray]:
    """The coder, its dense latents by the format's formula [tokens, latents], and which tokens are cached [tokens]."""
    coder = ToyCoder(variant, subject, 0.0)
    ids = torch.from_numpy(store.tokens.astype(np.int64))
    x = hidden(subject, coder.tap, ids).reshape(-1, coder.d_in)
    assert coder.W_enc is not None
    pre = (x @ coder.W_enc.T + coder.bias).numpy()
    threshold = coder.threshold.numpy()
    acts = {
        "relu": lambda: np.maximum(pre, 0),
        "gated": lambda: np.where(pre > threshold, np.maximum(pre * 1.5 + 0.1, 0), 0),
        "batch_topk": lambda: np.where(pre > threshold[0], pre, 0),
    }.get(variant, lambda: np.where(pre > threshold, pre, 0))()
    cached = ids.reshape(-1).numpy() != 0
    acts[~cached] = 0
    return coder, acts, cached


@pytest.mark.parametrize("variant", VARIANTS)
def test_activations_and_statistics(variant: str, toys: Store, subject: SubjectModel) -> None:
    _, wanted, cached = plain(toys, subject, variant)
    active = (wanted > 0).sum(1)[cached]
    assert len(set(active.tolist())) > 5  # the number of active latents does vary
    got = dense_from_store(toys, variant)
    np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-6)
    assert np.array_equal(got > 0, wanted > 0)
    info = toys.coder(variant).info
    assert (info.k, info.n_activations, info.n_tokens) == (None, (wanted > 0).sum(), cached.sum())
    assert info.n_dead == (~(wanted > 0).any(0)).sum()
    assert info.l0 == pytest.approx(active.mean())
    by_context = (wanted > 0).reshape(toys.n_contexts, toys.ctx_len, -1).any(1).sum(0)
    for latent in range(0, info.n_latents, 3):
        stats = toys.coder(variant).stats(latent)
        fires = wanted[:, latent] > 0
        assert (stats.n_activations, stats.n_contexts) == (fires.sum(), by_context[latent])
        assert stats.density == pytest.approx(fires.sum() / cached.sum())
        if fires.any():
            assert stats.max_activation == pytest.approx(wanted[:, latent].max(), rel=1e-3)
            assert stats["mean_activation"] == pytest.approx(wanted[fires, latent].mean(), rel=1e-3)


@pytest.mark.parametrize("variant", [name for name, (_, _, target) in VARIANTS.items() if target])
def test_fidelity(variant: str, toys: Store, subject: SubjectModel) -> None:
    coder, acts, cached = plain(toys, subject, variant)
    assert coder.target is not None
    assert coder.W_dec is not None
    ids = torch.from_numpy(toys.tokens.astype(np.int64))
    target = hidden(subject, coder.target, ids).reshape(-1, coder.W_dec.shape[1]).numpy()[cached]
    rebuilt = acts[cached] @ coder.W_dec.numpy() + 0.01
    fidelity = toys.coder(variant).info.fidelity
    assert fidelity is not None
    variance = ((target - target.mean(0)) ** 2).sum()
    assert fidelity.fvu == pytest.approx(((target - rebuilt) ** 2).sum() / variance, rel=1e-3)
    assert fidelity.l0 == pytest.approx((acts[cached] > 0).sum(1).mean())
    assert fidelity.ce_increase is not None


@pytest.mark.parametrize("variant", VARIANTS)
def test_neighbours(variant: str, toys: Store, subject: SubjectModel) -> None:
    coder, acts, _ = plain(toys, subject, variant)
    fires = acts > 0
    both = (fires.T.astype(int) @ fires.astype(int)).astype(float)
    jaccard = both / np.maximum(fires.sum(0)[:, None] + fires.sum(0) - both, 1)
    relations: dict[Relation, torch.Tensor | None] = {
        "cofiring": None, "encoder": coder.W_enc, "decoder": coder.W_dec,
    }  # fmt: skip
    for relation, weight in relations.items():
        if relation != "cofiring" and weight is None:
            assert toys.coder(variant).neighbours(0, relation) == []
            continue
        similar = (
            jaccard if weight is None else torch.cosine_similarity(weight[:, None], weight, dim=2).numpy()
        )
        np.fill_diagonal(similar, -9)
        similar[:, ~fires.any(0)] = -9
        for latent in np.flatnonzero(fires.any(0))[:6].tolist():
            near = toys.coder(variant).neighbours(latent, relation)
            best = np.sort(similar[latent])[::-1][: len(near)]
            np.testing.assert_allclose([neighbour.value for neighbour in near], best, atol=1e-3)
            assert len(near) >= 5


@pytest.mark.parametrize("variant", VARIANTS)
def test_promoted_tokens(variant: str, toys: Store, subject: SubjectModel) -> None:
    coder = ToyCoder(variant, subject, 0.0)
    info = toys.coder(variant).info
    if coder.d_out != subject.d_model:
        assert not info.has_logits
        assert "promoted_tokens" in info.absent
        return
    assert "promoted_tokens" not in info.absent
    assert coder.W_dec is not None
    ids = torch.from_numpy(toys.tokens.astype(np.int64))
    norm, head = subject.base.get_submodule("final_layer_norm"), subject.unembedding
    assert head is not None
    residual = hidden(subject, Tap("final_layer_norm", "input"), ids)[ids != 0]
    for latent in (0, 7):
        step = 0.02 * coder.W_dec[latent]
        # The target's direct effect on the logits: what it adds to the residual stream, the layers after it left as they are.
        with torch.no_grad():
            effect = (head(norm(residual + step)) - head(norm(residual - step))).mean(0).numpy() / 0.04
        for token in (each for side in toys.coder(variant).logits(latent) for each in side):
            assert token.value == pytest.approx(
                effect[token.token], rel=0.05, abs=float(1e-2 * abs(effect).max())
            )


def test_what_is_missing_has_a_reason(toys: Store) -> None:
    info = toys.coder("encoder_only").info
    assert info.fidelity is None
    assert set(info.absent) == {"fidelity", "promoted_tokens", "decoder"}
    assert "no decoder" in info.absent["fidelity"]
    assert toys.coder("jumprelu").info.absent == {}
    assert set(toys.coder("widening").info.absent) == {"promoted_tokens"}


def test_probing_finds_what_is_stored(toys: Store) -> None:
    result = Prober(toys).run_ids(toys.tokens[3:6].ravel())
    for variant in VARIANTS:
        wanted = dense_from_store(toys, variant)[3 * toys.ctx_len : 6 * toys.ctx_len]
        got = np.stack([result.coders[variant].of(latent) for latent in range(wanted.shape[1])], axis=1)
        assert wanted.any()
        assert np.array_equal(got > 0, wanted > 0)
        np.testing.assert_allclose(got, wanted, rtol=2**-10, atol=2**-24)


def test_numbers_without_k(toys: Store) -> None:
    coders = {coder["coder"]: coder for coder in json.loads(json.dumps(describe(toys)))["coders"]}
    assert coders["relu"]["k"] is None
    assert coders["relu"]["l0"] > 0
    assert coders["encoder_only"]["fvu"] is None
    assert coders["encoder_only"]["absent"]["fidelity"]
    drawn = {info.coder: coder_row(info)["cells"] for info in toys.coders()}
    assert ["–", "Varies by token."] in drawn["relu"]
    assert drawn["encoder_only"].count(["–", coders["encoder_only"]["absent"]["fidelity"]]) == 3
    assert not any("–" in cells for cells in drawn.values())  # no figure is missing without its reason
    assert "toy" not in {info.kind for info in toys.coders()}


def test_other_thresholds_are_another_coder(toys: Store, subject: SubjectModel) -> None:
    """What `encode` depends on beyond its directions is part of the checksum."""
    same = cache(toys.path, model=subject, coders={"jumprelu": "toy:jumprelu"})
    assert same[0] == toys.coder("jumprelu").info
    with pytest.raises(StoreError, match="another coder"):
        cache(toys.path, model=subject, coders={"jumprelu": "toy:jumprelu:0.5"})


def test_the_command_line_offers_a_registered_format(
    lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = build_parser()
    with pytest.raises(SystemExit):
        parser.parse_args(["cache", "--help"])
    assert "toy:VARIANT" in " ".join(capsys.readouterr().out.split())
    args = parser.parse_args(
        [
            "cache",
            str(tmp_path / "s"),
            "--model",
            str(lab.model),
            "--coder",
            "toy:gated",
            "--text",
            str(lab.text),
        ]
    )
    args.run(args)
    assert "toy-gated" in capsys.readouterr().out


def test_a_control_is_known_by_its_kind() -> None:
    assert [kind.name for kind in registry.KINDS.values() if kind.is_control] == ["neurons", "random"]
    unknown = registry.kind("cross_coder")
    assert (unknown.label, unknown.is_control) == ("cross coder", False)


def test_the_registry_imports_no_torch() -> None:
    code = "import sys, autointerp.models.coders.registry as r; r.sources(); r.kind('sae'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_flat_and_square_activations_are_one_thing() -> None:
    values = torch.tensor([[1.0, 0.0], [2.0, 3.0], [0.0, 0.0]])
    latents = torch.tensor([[4, 1], [0, 2], [1, 3]])
    dense = torch.zeros(3, 5).scatter_(1, latents, values)
    square, flat = SparseActivations(values, latents), from_dense(dense)
    rows = torch.randn(5, 3)
    torch.testing.assert_close(square.decode(rows), dense @ rows)
    torch.testing.assert_close(flat.decode(rows), dense @ rows)
    token = np.array([10, 20, 30])
    for acts in (square, flat):
        latent, where, activation = acts.firing(token)
        assert list(zip(where.tolist(), latent.tolist(), activation.tolist(), strict=True)) == [
            (10, 4, 1.0), (20, 0, 2.0), (20, 2, 3.0),
        ]  # fmt: skip
        assert acts.first_not_finite() is None
    dense[1, 2] = torch.nan
    assert from_dense(dense).first_not_finite() == 1
    assert (
        SparseActivations(values * torch.tensor([[1.0], [1.0], [torch.nan]]), latents).first_not_finite() == 2
    )
