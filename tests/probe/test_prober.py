"""Probing agrees with caching, and says what is wrong with odd texts and missing weights."""

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from autointerp import settings
from autointerp.caching import cache
from autointerp.errors import (
    BadActivations,
    CoderLoadError,
    CorpusError,
    ModelLoadError,
    UnknownName,
    UserError,
)
from autointerp.models.coders.coder import CoderSpec, SparseActivations
from autointerp.models.coders.sparsify import SparsifyCoder
from autointerp.models.subject import SubjectModel
from autointerp.pipeline.resources import Resources
from autointerp.probe import Prober, ProbeResult
from autointerp.probe.prober import as_stored
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.types import Progress
from tests.models.tiny import TEXT, save_coder, save_neox
from tests.probe.conftest import Lab

ALL = ["neurons", "random", "residual", "sae", "skip", "transcoder"]


def stored(store: Store, coder: str, first: int, n_rows: int) -> np.ndarray:
    """Float32[tokens, latents] of some rows of the corpus, from the store."""
    table = store.coder(coder)
    out = np.zeros((n_rows * store.ctx_len, table.info.n_latents), np.float32)
    for latent in range(table.info.n_latents):
        acts = table.activations(latent)
        token = acts.token - first * store.ctx_len
        here = (token >= 0) & (token < len(out))
        out[token[here], latent] = acts.activation[here]
    return out


def dense(prober: Prober, result: ProbeResult, coder: str, n_latents: int) -> np.ndarray:
    return np.stack([prober.latent(result, coder, latent) for latent in range(n_latents)], axis=1)


def assert_agree(got: np.ndarray, wanted: np.ndarray) -> None:
    """To float16: batches of another size may turn the last bit of a float32, and so the last of a float16."""
    assert np.array_equal(got > 0, wanted > 0)
    np.testing.assert_allclose(got, wanted, rtol=2**-10, atol=2**-24)
    assert (got == wanted).mean() > 0.999


@pytest.mark.parametrize("first", [0, 7])
def test_cached_rows_give_what_is_stored(first: int, store: Store, prober: Prober) -> None:
    result = prober.run_ids(store.tokens[first : first + 3].ravel().tolist())
    assert list(result.coders) == ALL
    for name in ALL:
        wanted = stored(store, name, first, 3)
        assert wanted.any()
        assert_agree(dense(prober, result, name, wanted.shape[1]), wanted)


def test_the_text_of_a_document_gives_what_is_stored(store: Store, prober: Prober, lab: Lab) -> None:
    text = lab.text.read_text(encoding="utf-8")  # the first document
    result = prober.run(text, max_tokens=4 * store.ctx_len)
    assert np.array_equal(result.token_ids, store.tokens[:4].ravel())
    assert "".join(result.texts[1:]) == text[: len("".join(result.texts[1:]))]
    assert (result.n_added, result.cut) == (1, True)
    for name in ALL:
        wanted = stored(store, name, 0, 4)
        assert_agree(dense(prober, result, name, wanted.shape[1]), wanted)


def test_a_short_text_does_not_depend_on_what_would_follow(prober: Prober, store: Store) -> None:
    short, long = prober.run("The quick brown"), prober.run("The quick brown fox jumps over the lazy dog")
    n = len(short.token_ids)
    assert n < store.ctx_len
    assert not short.cut
    for name, found in short.coders.items():
        for latent in set(found.latent.tolist()):
            np.testing.assert_allclose(found.of(latent), long.coders[name].of(latent)[:n], rtol=2**-10)


def test_masked_positions_are_silent_and_known(
    prober: Prober, lab: Lab, subject: SubjectModel, tmp_path: Path
) -> None:
    assert prober.run("x<|endoftext|>y", ["sae"]).token_ids.tolist().count(0) == 1  # the text's own is text
    result = prober.run_ids([0, 88, 0, 89], ["sae"])
    found = result.coders["sae"]
    assert np.array_equal(found.masked, result.token_ids == 0)
    assert not found.masked[found.position].any()
    coders = {"sae": lab.specs["sae"]}
    cache(tmp_path / "s", model=subject, coders=coders, text=[lab.text], ctx_len=24, skip_bos=False)
    kept = Prober(Store.open(tmp_path / "s")).run("x", ["sae"]).coders["sae"]
    assert not kept.masked.any()
    assert 0 in kept.position


@pytest.mark.parametrize("side", ["input", "output"])
def test_the_side_that_a_coder_reads_is_found_by_its_checksum(
    side: str, lab: Lab, subject: SubjectModel, tmp_path: Path
) -> None:
    spec = CoderSpec(lab.specs["sae"], side=side)  # type: ignore[arg-type]
    cache(tmp_path / "s", model=subject, coders={"sae": spec}, text=[lab.text], ctx_len=24)
    store = Store.open(tmp_path / "s")
    prober = Prober(store)
    result = prober.run_ids(store.tokens[2])
    assert_agree(dense(prober, result, "sae", 64), stored(store, "sae", 2, 1))


def test_activations_of_any_scale(lab: Lab, subject: SubjectModel, tmp_path: Path) -> None:
    """Far beyond float16 in the corpus; a text that goes beyond the corpus's range keeps a finite value."""
    assert as_stored(np.array([1e5, 7e9], np.float32), 4.0).tolist() == [99968.0, np.float32(7e9)]
    assert as_stored(np.array([1e-12], np.float32), 1.0).tolist() == [2.0**-24]


# Texts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "n_replaced"),
    [
        ("a\x00b", 0),
        ("\x00", 0),
        ("\ud800", 1),
        ("a\ud83db\udfff \U0001f600", 2),
        ("\u202eabc\u200d\u0301", 0),
        ("<script>alert(1)</script>", 0),
        ("   \n\t", 0),
        ("\r\n", 0),
    ],
)
def test_odd_texts_are_run(text: str, n_replaced: int, prober: Prober) -> None:
    result = prober.run(text)
    assert result.n_replaced == n_replaced
    shown = "".join(result.texts[1:])
    assert shown == "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
    assert shown.encode()


def test_empty_texts_and_nonsense_arguments_are_refused(prober: Prober) -> None:
    with pytest.raises(UserError, match="empty"):
        prober.run("")
    with pytest.raises(UserError, match="no token ids"):
        prober.run_ids([])
    with pytest.raises(UserError, match="at least 1"):
        prober.run("a", max_tokens=0)
    with pytest.raises(UnknownName, match="sae"):
        prober.run("a", ["sa"])
    for ids in ([5, 300], [-1], [2**40]):
        with pytest.raises(CorpusError, match="299"):
            prober.run_ids(ids)


def test_long_texts_are_cut_and_say_so(prober: Prober, store: Store) -> None:
    result = prober.run("word " * 200_000, ["sae"], max_tokens=50)
    assert len(result.token_ids) == 50
    assert result.cut
    whole = prober.run(TEXT, ["sae"])
    assert not whole.cut
    assert len(whole.token_ids) > store.ctx_len
    assert "".join(whole.texts[1:]) == TEXT
    exact = prober.run(TEXT, ["sae"], max_tokens=len(whole.token_ids))
    assert not exact.cut


def test_a_subset_of_coders_and_none(prober: Prober) -> None:
    assert list(prober.run("abc", ["skip", "sae", "skip"]).coders) == ["skip", "sae"]
    empty = prober.run("abc", [])
    assert empty.coders == {}
    assert prober.rank(empty).rows == []


# Ranking -----------------------------------------------------------------------------------------


def test_rankings_against_a_plain_computation(prober: Prober, store: Store) -> None:
    result = prober.run(TEXT, ["sae", "residual"])
    for by in ("max", "sum", "token"):
        wanted = []
        for coder in ("sae", "residual"):
            acts = dense(prober, result, coder, store.coder(coder).info.n_latents).astype(np.float64)
            scores = {"max": acts.max(0), "sum": acts.sum(0), "token": acts[5]}[by]
            for latent in np.flatnonzero(scores):
                wanted.append(
                    (
                        coder,
                        int(latent),
                        scores[latent],
                        5 if by == "token" else int(acts[:, latent].argmax()),
                    )
                )
        ranking = prober.rank(result, by, token=5)  # type: ignore[arg-type]
        wanted.sort(key=lambda row: (-row[2], ["sae", "residual"].index(row[0]), row[1]))
        assert [(r.coder, r.latent, r.token) for r in ranking.rows] == [(c, n, t) for c, n, _, t in wanted]
        np.testing.assert_allclose([r.value for r in ranking.rows], [v for _, _, v, _ in wanted])
        assert (ranking.n_firing, ranking.n_dense) == (len(wanted), 0)
        assert len(prober.rank(result, by, token=5, limit=3).rows) == 3  # type: ignore[arg-type]


def test_dense_latents_are_left_out_and_counted(prober: Prober, store: Store) -> None:
    result = prober.run(TEXT, ["sae"])
    ranking = prober.rank(result, max_density=0.05)
    densities = [store.coder("sae").stats(row.latent)["density"] for row in ranking.rows]
    assert max(densities) <= 0.05
    assert ranking.n_dense > 0
    assert ranking.n_firing == ranking.n_dense + len(ranking.rows)


def test_relative_values_are_shares_of_the_maximum(prober: Prober, store: Store) -> None:
    result = prober.run(TEXT[:40], ["sae"])
    for row in prober.rank(result, relative=True).rows:
        top = store.coder("sae").stats(row.latent).max_activation
        assert row.value == pytest.approx(
            prober.latent(result, "sae", row.latent).max() / top if top else np.inf
        )


@pytest.mark.parametrize("token", [None, -1, 10_000])
def test_a_ranking_by_token_needs_one(token: int | None, prober: Prober) -> None:
    with pytest.raises(UserError, match="position"):
        prober.rank(prober.run("abc", ["sae"]), "token", token=token)


# Weights -----------------------------------------------------------------------------------------


def a_copy(store: Store, folder: Path, **model: str) -> Path:
    """The store elsewhere, its record of the model changed."""
    path = Path(shutil.copytree(store.path, folder / "copy"))
    meta = json.loads((path / "store.json").read_text())
    meta["model"] |= model
    (path / "store.json").write_text(json.dumps(meta))
    return path


def test_weights_that_moved_are_found_or_asked_for(
    store: Store, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = a_copy(store, tmp_path, source="/gone/away/weights/model")
    monkeypatch.setattr(settings, "project_root", lambda: tmp_path)
    monkeypatch.delenv(settings.ENV_WEIGHTS, raising=False)
    prober = Prober(Store.open(path))
    with pytest.raises(ModelLoadError, match=r"/gone/away/weights/model.*AUTOINTERP_WEIGHTS.*'model'"):
        prober.run("abc", ["sae"])
    monkeypatch.setenv(settings.ENV_WEIGHTS, str(lab.root))
    assert len(prober.run("abc", ["sae"]).coders["sae"].position)
    monkeypatch.delenv(settings.ENV_WEIGHTS)
    (tmp_path / "weights").symlink_to(lab.root)  # as in a checkout that was moved
    assert len(Prober(Store.open(path)).run("abc", ["sae"]).coders["sae"].position)


def test_other_weights_are_refused(store: Store, lab: Lab, tmp_path: Path) -> None:
    other = save_neox(tmp_path / "model", seed=9)
    copied = Store.open(a_copy(store, tmp_path, source=str(other)))
    with pytest.raises(ModelLoadError, match="does not hold the weights"):
        Prober(copied).run("abc", ["sae"])
    with (
        Annotations(tmp_path) as annotations,
        pytest.raises(ModelLoadError, match="does not hold the weights"),
    ):
        Resources(copied, annotations).text_model()  # as the judge, too


def test_one_bad_coder_does_not_stop_the_others(subject: SubjectModel, tmp_path: Path) -> None:
    coders = {name: str(tmp_path / name) for name in ("good", "changed", "gone")}
    for seed, folder in enumerate(coders.values()):
        save_coder(Path(folder) / "layers.1.mlp", seed=seed)
    (tmp_path / "text.txt").write_text(TEXT * 2, encoding="utf-8")
    cache(tmp_path / "s", model=subject, coders=coders, text=[tmp_path / "text.txt"], ctx_len=24)
    shutil.rmtree(tmp_path / "gone")
    save_coder(tmp_path / "changed" / "layers.1.mlp", seed=77)
    prober = Prober(Store.open(tmp_path / "s"))
    assert not prober.ready(["good"])
    failed = prober.load()
    assert prober.ready(["good"])
    assert not prober.ready()
    assert sorted(failed) == ["changed", "gone"]
    assert "does not hold the weights" in str(failed["changed"])
    assert "AUTOINTERP_WEIGHTS" in str(failed["gone"])
    with pytest.raises(CoderLoadError, match="changed"):
        prober.run("abc")
    assert len(prober.run("abc", ["good"]).coders["good"].position)


def test_loading_reports_what_it_does(store: Store) -> None:
    reports: list[Progress] = []
    Prober(store).load(["sae"], progress=reports.append)
    assert [(report.stage, report.done) for report in reports] == [
        ("load model", 0), ("load model", 1), ("load coder sae", 0), ("load coder sae", 1),
    ]  # fmt: skip


def test_nan_is_an_error(store: Store, prober: Prober, monkeypatch: pytest.MonkeyPatch) -> None:
    prober.load(["sae"])
    monkeypatch.setattr(
        SparsifyCoder,
        "encode",
        lambda _, x: SparseActivations(torch.full((len(x), 1), torch.nan), torch.zeros(len(x), 1).long()),
    )
    with pytest.raises(BadActivations, match=r"'sae'.*token"):
        prober.run("abc", ["sae"])


def test_threads_share_a_prober(prober: Prober) -> None:
    texts = [f"Returns the {word} of items" for word in ("number", "array", "lazy", "dog")]
    alone = [prober.run(text, ["sae", "skip"]) for text in texts]
    found: dict[int, ProbeResult] = {}

    def work(index: int) -> None:
        for _ in range(5):
            found[index] = prober.run(texts[index], ["sae", "skip"])

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, result in found.items():
        for name in ("sae", "skip"):
            assert np.array_equal(result.coders[name].activation, alone[index].coders[name].activation)
