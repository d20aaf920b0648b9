"""Exports in Neuronpedia's layout, batches of SAEDashboard and files of circuit-tracer, written by hand from the fields that
their public code writes: no real export is fetched."""

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

MODEL, SOURCE = "toy-model", "6-toy-res-4"
CREATOR = "clkht01d40000jv08hvalcvly"

Context = tuple[Sequence[str], Sequence[float]]

CAT = (["<bos>", "The", " cat", " sat", " on", " a", " mat", "."], [0, 0, 4.5, 0.25, 0, 0, 0, 0])
DOG = (["<bos>", "A", " dog", " and", " a", " cat", ".", "\n"], [0, 0, 0, 0, 0, 3.0, 0, 0])
SHORT = (["<bos>", " cat", "s"], [0, 2.0, 1.0])
SILENT = (["<bos>", "No", "thing", " to", " see", " here", " at", " all"], [0] * 8)
RAIN = (["<bos>", "Rain", " fell", " on", " the", " town", " all", " night"], [0, 5.0, 0, 0, 0, 0, 0, 1.5])


def feature(index: int, **fields: Any) -> dict[str, Any]:
    """A row of `features/`."""
    return {
        "modelId": MODEL, "layer": SOURCE, "index": str(index), "maxActApprox": 4.5, "creatorId": CREATOR,
        "frac_nonzero": 0.00321, "freq_hist_data_bar_heights": [30.0, 10.0, 2.0],
        "freq_hist_data_bar_values": [0.75, 2.25, 3.75], "logits_hist_data_bar_heights": [1.0, 5.0],
        "logits_hist_data_bar_values": [-0.5, 0.5], "neuron_alignment_indices": [1, 2], "neuron_alignment_l1": [0.1, 0.1],
        "neuron_alignment_values": [0.3, 0.2], "correlated_neurons_indices": [], "correlated_neurons_l1": [],
        "correlated_neurons_pearson": [], "decoder_weights_dist": [], "neg_str": [" not", "x"], "neg_values": [-1.5, -1.0],
        "pos_str": [" cat", " kitten"], "pos_values": [2.5, 1.25], "sourceSetName": "toy-res-4",
        "topkCosSimIndices": [index, 3, 1], "topkCosSimValues": [1.0, 0.5, 0.25], "vector": [], "vectorLabel": None,
        "hookName": None, "vectorDefaultSteerStrength": 10, "hasVector": False,
    } | fields  # fmt: skip


def activation(index: int, context: Context, number: int = 0, **fields: Any) -> dict[str, Any]:
    """A row of `activations/`."""
    tokens, values = context
    return {
        "id": f"cact{index:04}{number:04}{len(tokens):04}", "modelId": MODEL, "layer": SOURCE, "index": str(index),
        "creatorId": CREATOR, "dataSource": None, "tokens": list(tokens), "maxValue": max(values), "minValue": min(values),
        "values": list(values), "maxValueTokenIndex": list(values).index(max(values)), "dfaValues": [], "dfaMaxValue": None,
        "dfaTargetIndex": None, "binContains": -1, "binMin": -1, "binMax": 4.5,
    } | fields  # fmt: skip


def explanation(index: int, text: str, **fields: Any) -> dict[str, Any]:
    """A row of `explanations/`."""
    return {
        "id": f"cexpl{index:05}{len(text):05}", "modelId": MODEL, "layer": SOURCE, "index": str(index), "authorId": CREATOR,
        "description": text, "embedding": None, "typeName": "oai_token-act-pair", "explanationModelName": "gpt-4o-mini",
        "umap_x": 0.5, "umap_y": 0.5, "umap_cluster": 1, "umap_log_feature_sparsity": -3.0,
    } | fields  # fmt: skip


FEATURES = [
    feature(0),
    feature(
        1, maxActApprox=5.0, pos_str=[" rain"], pos_values=[1.0], topkCosSimIndices=[], topkCosSimValues=[]
    ),
    feature(2, maxActApprox=0, frac_nonzero=0, freq_hist_data_bar_heights=[], freq_hist_data_bar_values=[]),
    feature(3),
]
ACTIVATIONS = [
    activation(0, CAT),
    activation(0, DOG, 1),
    activation(0, SHORT, 2, binMin=1.0, binMax=3.0, binContains=0.002),
    activation(0, CAT, 3, binMin=3.0, binMax=4.5, binContains=0.001),
    activation(0, SILENT, 4, binMin=0.0, binMax=1.0, binContains=0.99),
    activation(1, RAIN),
    activation(1, SILENT, 1),
    activation(3, DOG),
]
EXPLANATIONS = [
    explanation(0, "mentions of cats"),
    explanation(0, "felines", typeName="np_max-act-logits", explanationModelName="gemini-2.0-flash"),
    explanation(1, "rainy weather"),
]


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """`.jsonl`, compressed where the name ends with `.gz`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(text, 5, mtime=0) if path.suffix == ".gz" else text)
    return path


def write_export(
    folder: Path,
    features: Sequence[Mapping[str, Any]] = FEATURES,
    activations: Sequence[Mapping[str, Any]] = ACTIVATIONS,
    explanations: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> Path:
    """A source, `<folder>/<model>/<source>`, of one batch of each; `explanations` by folder."""
    own = folder / MODEL / SOURCE
    write_lines(own / "model.jsonl", [{"id": MODEL, "layers": 12}])
    write_lines(
        own / "source.jsonl",
        [
            {
                "id": SOURCE,
                "modelId": MODEL,
                "setName": "toy-res-4",
                "dataset": "some/text",
                "num_prompts": 24576,
            }
        ],
    )
    write_lines(own / "features" / "batch-0.jsonl.gz", features)
    write_lines(own / "activations" / "batch-0.jsonl.gz", activations)
    for name, rows in ({"explanations": EXPLANATIONS} if explanations is None else explanations).items():
        write_lines(own / name / "batch-0.jsonl.gz", rows)
    return own


def dashboard_feature(
    index: int, contexts: Sequence[Context] = (CAT, DOG, SHORT), **fields: Any
) -> dict[str, Any]:
    """A feature of SAEDashboard's batch."""
    return {
        "feature_index": index, "neuron_alignment_indices": [], "neuron_alignment_values": [], "neuron_alignment_l1": [],
        "correlated_neurons_indices": [], "correlated_neurons_l1": [], "correlated_neurons_pearson": [],
        "correlated_features_indices": [], "correlated_features_l1": [], "correlated_features_pearson": [],
        "neg_str": ["x"], "neg_values": [-1.0], "pos_str": [" cat"], "pos_values": [2.0], "frac_nonzero": 0.001,
        "freq_hist_data_bar_values": [0.75, 2.25, 3.75], "freq_hist_data_bar_heights": [30.0, 10.0, 2.0],
        "logits_hist_data_bar_heights": [], "logits_hist_data_bar_values": [], "n_prompts_total": 24576,
        "n_tokens_in_prompt": 128, "dataset": "some/text", "decoder_weights_dist": [],
        "activations": [
            {"bin_min": -1, "bin_max": 4.5, "bin_contains": -1, "tokens": list(tokens), "values": list(values),
             "qualifying_token_index": 0} for tokens, values in contexts
        ],
    } | fields  # fmt: skip


def write_dashboard(folder: Path, batches: Sequence[Sequence[Mapping[str, Any]]]) -> Path:
    """`batch-N.json` for each of `batches`, with the files that the runner writes beside them."""
    folder.mkdir(parents=True)
    for number, features in enumerate(batches):
        batch = {
            "model_id": MODEL, "layer": 6, "sae_set": "toy-res", "sae_id_suffix": None, "features": list(features),
        }  # fmt: skip
        (folder / f"batch-{number}.json").write_text(json.dumps(batch))
    (folder / "skipped_indexes.json").write_text(json.dumps({"skipped_indexes": []}))
    (folder / "run_settings.json").write_text(json.dumps({"sae_set": "toy-res"}))
    return folder


def circuit_feature(contexts: Sequence[Context] = (CAT, DOG), **fields: Any) -> dict[str, Any]:
    """A feature file of circuit-tracer."""
    examples = [
        {
            "tokens": list(tokens),
            "tokens_acts_list": list(values),
            "train_token_ind": 0,
            "is_repeated_datapoint": False,
        }
        for tokens, values in contexts
    ]
    return {
        "transcoder_id": "toy", "index": 0, "examples_quantiles": [{"quantile_name": "Top activations", "examples": examples}],
        "top_logits": [" cat"], "bottom_logits": ["x"], "act_min": 0.0, "act_max": 4.5, "activation_frequency": 0.01,
    } | fields  # fmt: skip


def cantor(layer: int, latent: int) -> int:
    """How circuit-tracer numbers its files."""
    return (layer + latent) * (layer + latent + 1) // 2 + latent


def write_circuits(folder: Path, features: Mapping[tuple[int, int], Mapping[str, Any]]) -> Path:
    """A file for each (layer, latent)."""
    folder.mkdir(parents=True)
    for (layer, latent), row in features.items():
        (folder / f"{cantor(layer, latent)}.json").write_text(json.dumps(row))
    return folder
