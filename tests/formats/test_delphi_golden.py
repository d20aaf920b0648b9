"""An imported cache that delphi itself wrote, beside what delphi reads from it (`golden/delphi/make.py`)."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

from autointerp.explain.options import ExplainOptions
from autointerp.formats.delphi.read import run
from autointerp.formats.registry import IMPORTS
from autointerp.formats.requests import ImportRequest
from autointerp.formats.summary import Summary
from autointerp.pipeline.examples import heldout_places, select_evidence
from autointerp.pipeline.resources import Resources
from autointerp.records import Explanation
from autointerp.sampling import cut_many, positive_windows
from autointerp.sampling.marking import levels
from autointerp.sampling.windows import cut, falling
from autointerp.score.options import ScoreOptions
from autointerp.store import Store
from autointerp.store.annotations import Annotations
from autointerp.types import Example, no_progress

ZIP = Path(__file__).parent / "golden" / "delphi" / "delphi.zip"
TOKENIZER = str(Path(__file__).parents[2] / "data" / "demo" / "model")
WINDOW, N_TRAIN, N_TEST, N_NEGATIVES = 16, 10, 20, 20
TIED = 3
"""The latent whose windows have equal maxima, which torch sorts in no defined order."""


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    with ZipFile(ZIP) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def imported(golden: Path) -> tuple[Store, Summary]:
    options = {option.name: option.default for option in IMPORTS["delphi"].options} | {"tokenizer": TOKENIZER}
    request = ImportRequest(sources=(golden / "run",), store=golden / "store", options=options)
    summary = run(request, no_progress)
    return Store.open(golden / "store"), summary


@pytest.fixture
def resources(imported: tuple[Store, Summary]) -> Iterator[Resources]:
    store, _ = imported
    with Annotations(store.path) as annotations:
        yield Resources(store, annotations)


@pytest.fixture(scope="module")
def expected(golden: Path) -> dict[str, dict[str, Any]]:
    return json.loads((golden / "expected.json").read_text())


def latents(expected: dict[str, dict[str, Any]]) -> Iterator[tuple[str, int, dict[str, Any]]]:
    for coder, about in expected.items():
        for latent, record in about.items():
            yield coder, int(latent), record


def test_every_activation_is_there_to_the_bit(golden: Path, imported: tuple[Store, Summary]):
    store, summary = imported
    n = 0
    for coder in ("layers.0.mlp", "layers.1"):
        assert store.coder(coder).info.n_latents == 11
        for path in (golden / "run" / "latents" / coder).glob("*.safetensors"):
            first, last = map(int, path.stem.split("_"))
            shard = load_file(path)
            assert np.array_equal(store.tokens, shard["tokens"])
            row, position, local = shard["locations"].astype(np.int64).T
            for latent in range(first, last + 1):
                own = local == latent - first
                acts = store.coder(coder).activations(latent)
                assert np.array_equal(acts.token, (row * store.ctx_len + position)[own])
                assert np.array_equal(acts.activation.astype(np.float16), shard["activations"][own])
                n += int(own.sum())
    assert summary.taken["activations"] == n


def test_all_windows_are_those_of_delphi(
    imported: tuple[Store, Summary], expected: dict[str, dict[str, Any]]
):
    store, _ = imported
    seen = 0
    for coder, latent, record in latents(expected):
        acts = store.coder(coder).activations(latent)
        windows = positive_windows(acts, ctx_len=store.ctx_len, window=WINDOW)
        order = falling(windows.maximum)
        assert windows.maximum[order].tolist() == record["maxima"]
        assert acts.activation.max() == record["max"]
        if latent == TIED:
            continue
        digest = hashlib.sha256()
        places = np.stack([windows.context, windows.start, windows.stop], axis=1)[order]
        for place in places.tolist():
            example = cut(acts, store.tokens, *place)
            digest.update(example.token_ids.astype("<i8").tobytes())
            digest.update(example.activations.astype("<f2").tobytes())
        assert digest.hexdigest() == record["windows"], (coder, latent)
        seen += 1
    assert seen >= 16


def normalised(activations: NDArray[np.float32], latent_max: float) -> list[float]:
    """As delphi computes them, in float16. Ours are exact: where a tenth of the maximum lies within float16's rounding,
    delphi's may be one less."""
    halves = activations.astype(np.float16)
    as_delphi = np.clip(np.ceil(halves * np.float16(10) / np.float16(latent_max)), 0, 10)
    exact = 10 * activations.astype(np.float64) / latent_max
    clear = np.abs(exact - exact.round()) > 0.002 * np.maximum(exact, 1)
    assert np.array_equal(levels(activations, latent_max)[clear], as_delphi[clear])
    return as_delphi.tolist()


def as_delphi(example: Example, latent_max: float) -> dict[str, Any]:
    return {
        "tokens": example.token_ids.tolist(),
        "activations": example.activations.tolist(),
        "normalised": normalised(example.activations, latent_max),
        "quantile": example.quantile,
    }


def test_examples_quantiles_and_normalised_activations_are_those_of_delphi(
    resources: Resources, expected: dict[str, dict[str, Any]]
):
    explain = ExplainOptions(protocol="delphi", n_examples=N_TRAIN, window=WINDOW)
    score = ScoreOptions(protocol="delphi", n_examples=N_TEST, n_negatives=N_NEGATIVES, window=WINDOW)
    for coder, latent, record in latents(expected):
        if latent == TIED:
            continue
        evidence = select_evidence(resources, coder, latent, explain)
        top = evidence.latent_max
        assert [as_delphi(window.example, top) for window in evidence.activating] == record["train"]
        explanation = Explanation(coder=coder, latent=latent, text="", explainer="none")
        (places,) = heldout_places(resources, [explanation], score)
        assert places is not None
        test = cut_many(places.acts, resources.store.tokens, places.activating)
        assert [as_delphi(example, top) for example in test] == record["test"]
        negatives = cut_many(places.acts, resources.store.tokens, places.non_activating)
        assert [example.token_ids.tolist() for example in negatives] == record["negatives"]
