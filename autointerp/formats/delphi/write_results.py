"""Explanations and scores in delphi's files: one explanation a latent, and of each scorer one score."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autointerp.formats.delphi.places import cut
from autointerp.formats.delphi.run import NOT_PARSED
from autointerp.formats.summary import Summary
from autointerp.records import JudgedExample, Score
from autointerp.sampling.marking import levels
from autointerp.score.metrics import correlation
from autointerp.store import CoderStore, Store
from autointerp.store.annotations import Annotations
from autointerp.types import LatentActivations


def write_results(
    store: Store,
    annotations: Annotations,
    coder: CoderStore,
    latents: Sequence[int] | None,
    root: Path,
    hookpoint: str,
    summary: Summary,
) -> set[int]:
    """Of the latents, or of all of them. Returns how long the judged examples are, in tokens. Raises UserError."""
    counts = annotations.counts().get(coder.name, {"explanations": 0, "failed_explanations": 0})
    if not counts["explanations"] + counts["failed_explanations"]:
        return set()
    windows: set[int] = set()
    table = annotations.summary(coder.name)
    wanted = None if latents is None else set(latents)
    folder = root / "explanations"
    folder.mkdir(parents=True, exist_ok=True)
    for latent, text in zip(table["latent"].to_pylist(), table["text"].to_pylist(), strict=True):
        if wanted is not None and latent not in wanted:
            continue
        _write(folder / f"{hookpoint}_latent{latent}.txt", text)
        summary.take("explanations")
        others = len(annotations.explanations(coder.name, latent)) - 1
        if others:
            summary.leave(
                "explanations", "delphi keeps one per latent, so only the shown one is written", others
            )
        windows |= _write_scores(store, annotations, coder, latent, root / "scores", hookpoint, summary)
    for latent in set(annotations.failure_summary(coder.name)["latent"].to_pylist()) - set(
        table["latent"].to_pylist()
    ):
        if wanted is None or latent in wanted:
            _write(folder / f"{hookpoint}_latent{latent}.txt", NOT_PARSED)
            summary.take("failed explanations")
    return windows


def _write_scores(
    store: Store,
    annotations: Annotations,
    coder: CoderStore,
    latent: int,
    root: Path,
    hookpoint: str,
    summary: Summary,
) -> set[int]:
    shown = annotations.shown(coder.name, latent)
    assert shown is not None
    done: set[str] = set()
    windows: set[int] = set()
    for score in annotations.scores_of_latent(coder.name, latent):
        if score.explanation_id != shown.id:
            summary.leave("scores", "of explanations that are not written", 1)
            continue
        if score.scorer not in WRITERS:
            summary.leave("scores", f"delphi's files of {score.scorer} hold more than a store does", 1)
            continue
        judged = annotations.judged(score.id)
        if score.status == "failed" or not judged:
            summary.leave("scores", "failed, or without judged examples", 1)
            continue
        if score.scorer in done:
            summary.leave("scores", "delphi keeps one per scorer, so only the newest is written", 1)
            continue
        done.add(score.scorer)
        name, write = WRITERS[score.scorer]
        (root / name).mkdir(parents=True, exist_ok=True)
        rows = write(store, coder.activations(latent), score, judged)
        _write(root / name / f"{hookpoint.replace('/', '--')}_latent{latent}.txt", rows)
        summary.take("scores")
        summary.take("judged examples", len(judged))
        windows |= {example.window for example in judged}
    return windows


def _classified(
    store: Store, acts: LatentActivations, score: Score, judged: Sequence[JudgedExample]
) -> list[dict[str, Any]]:
    return [
        {
            "str_tokens": _words(store, example),
            "activations": _activations(store, acts, example),
            "distance": _distance(example),
            "activating": bool(example.truth),
            "prediction": example.answer,
            "probability": example.value,
            "correct": example.correct,
        }
        for example in judged
    ]


def _similar(
    store: Store, acts: LatentActivations, score: Score, judged: Sequence[JudgedExample]
) -> list[dict[str, Any]]:
    return [
        {
            "text": "".join(_words(store, example)),
            "distance": _distance(example),
            "similarity": example.value,
        }
        for example in judged
        if example.value is not None
    ]


def _simulated(
    store: Store, acts: LatentActivations, score: Score, judged: Sequence[JudgedExample]
) -> list[dict[str, Any]]:
    """By quantile, and all together where non-activating ones are among them."""
    top = float(acts.activation.max(initial=0.0))
    sequences = []
    for example in judged:
        if example.predicted is None:
            continue
        true = levels(np.array(_activations(store, acts, example), np.float32), top)
        simulation = {
            "tokens": _words(store, example),
            "expected_activations": list(example.predicted),
            "activation_scale": "simulated_normalized_activations",
            "distribution_values": [],
            "distribution_probabilities": [],
            "uncalibrated_simulation": None,
        }
        sequences.append(
            {
                "distance": int(_distance(example)),
                "simulation": simulation,
                "true": true.astype(float).tolist(),
            }
        )
    groups: dict[int, list[dict[str, Any]]] = {}
    for sequence in sequences:
        if sequence["distance"] >= 0:
            groups.setdefault(sequence["distance"] + 1, []).append(sequence)
    if any(sequence["distance"] < 0 for sequence in sequences):
        groups[0] = sequences
    return [_group(distance, group) for distance, group in groups.items()]


def _group(distance: int, sequences: Sequence[dict[str, Any]]) -> dict[str, Any]:
    none = {"rsquared_score": 0, "absolute_dev_explained_score": 0}
    return {
        "distance": distance,
        "scored_sequence_simulations": [
            {
                "distance": each["distance"],
                "simulation": each["simulation"],
                "true_activations": each["true"],
                "ev_correlation_score": _correlation([each]),
                **none,
            }
            for each in sequences
        ],
        "ev_correlation_score": _correlation(sequences),
        **none,
    }


def _correlation(sequences: Sequence[dict[str, Any]]) -> float | str:
    true = [value for each in sequences for value in each["true"]]
    predicted = [value for each in sequences for value in each["simulation"]["expected_activations"]]
    value = correlation(true, predicted)
    return "nan" if value is None else value


Writer = Callable[[Store, LatentActivations, Score, Sequence[JudgedExample]], list[dict[str, Any]]]
WRITERS: dict[str, tuple[str, Writer]] = {
    "detection": ("detection", _classified),
    "fuzzing": ("fuzz", _classified),
    "embedding": ("embedding", _similar),
    "simulation": ("simulation", _simulated),
}
"""By our name of the scorer: delphi's, and what writes it."""


def _words(store: Store, example: JudgedExample) -> list[str]:
    """The text of each token by itself, as delphi's tokenizers give it."""
    texts = store.vocabulary().texts
    row = store.tokens[example.context, example.start : example.start + example.window]
    return [texts[token] for token in row.tolist()]


def _activations(store: Store, acts: LatentActivations, example: JudgedExample) -> list[float]:
    return cut(acts, example.context * store.ctx_len + example.start, example.window).astype(float).tolist()


def _distance(example: JudgedExample) -> float:
    """The quantile of an activating example; -1 as delphi has for all negatives whose neighbour is not known."""
    if example.source == "activating" and example.truth is not False:
        return example.quantile or 0
    return -1.0


def _write(path: Path, content: Any) -> None:
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    path.write_bytes(text.encode("utf-8", "replace"))
