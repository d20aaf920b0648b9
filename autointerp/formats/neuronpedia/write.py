"""`autointerp export neuronpedia`: coders as sources of Neuronpedia's public export, with scores and audits in files beside
them."""

import gzip
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np

from autointerp.audit.exchange import export_audit
from autointerp.audit.files import write_audit
from autointerp.errors import StoreError, UserError
from autointerp.explain.registry import EXPLAINERS
from autointerp.formats.neuronpedia.explanations import PREFIX
from autointerp.formats.neuronpedia.groups import groups
from autointerp.formats.neuronpedia.layout import BATCH
from autointerp.formats.requests import ExportRequest
from autointerp.formats.summary import Summary
from autointerp.records import Explanation, Score
from autointerp.store import CoderStore, Store
from autointerp.store.annotations import Annotations
from autointerp.store.files import Workspace, writing
from autointerp.types import Histogram, Progress, ProgressCallback, TokenLogit

_LEVEL = 5
_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")
_NAME = re.compile(r"[^A-Za-z0-9._-]+")
_OTHERS = {
    "the corpus, and all contexts but those shown": "an export holds a few contexts of each feature",
    "neighbours by encoder and by co-firing": "an export has a place only for cosines of decoder directions",
    "statistics other than density, maximum and histogram": "an export has no place for them",
    "who wrote an explanation, when, and from what": "an export has a place only for its type and its model",
}


def run(request: ExportRequest, progress: ProgressCallback) -> Summary:
    """Writes the folder `<to>/<model>/<source>` for each coder. Raises UserError, and then leaves nothing behind."""
    to = request.to.absolute()
    if to.exists():
        raise UserError(f"{str(to)!r} already exists. Choose a new folder.")
    summary = Summary("neuronpedia", str(request.to))
    export = _Export(request)
    workspace = Workspace(to.parent, to.name)
    try:
        with writing(to.parent):
            root = workspace.path / "export"
            for name, latents in request.selection.items():
                _Source(export, request.store.coder(name), latents, root, summary).write(progress)
            _write_config(root / "config", export)
            workspace.publish("export", to)
    finally:
        workspace.close()
    for what, reason in _OTHERS.items():
        summary.leave(what, reason)
    return summary


class _Export:
    """What all sources of an export share."""

    def __init__(self, request: ExportRequest):
        self.store: Store = request.store
        self.annotations: Annotations = request.annotations
        own = str(self.store.meta["model"]["name"]).rstrip("/").rsplit("/", 1)[-1]
        self.model = str(request.options.get("model_id") or _NAME.sub("-", own).strip("-.") or "model")
        self.creator = str(request.options.get("creator_id"))
        if not _ID.fullmatch(self.model) or self.model.strip(".") == "":
            raise UserError(f"--model-id {self.model!r}: accepted: 1 to 100 characters of A-Z a-z 0-9 . _ -")
        self.texts = self.store.vocabulary().texts
        self.types: set[str] = set()
        self.models: set[str] = set()
        self.audits = request.annotations.audits.all()

    def source_id(self, coder: CoderStore) -> str:
        """That of the export it came from, else the layer and the coder's name: `6-sae`."""
        info = coder.info
        known = info.config.get("source") if info.config.get("imported") == "neuronpedia" else None
        if isinstance(known, str) and _ID.fullmatch(known) and known.strip("."):
            return known
        layer = re.search(r"\d+", info.hookpoint)
        name = _NAME.sub("-", info.coder)
        return name if re.match(r"\d+-", name) else f"{layer[0] if layer else 0}-{name}"


class _Source:
    """One coder as the folder of a source."""

    def __init__(
        self,
        export: _Export,
        coder: CoderStore,
        latents: Sequence[int] | None,
        root: Path,
        summary: Summary,
    ):
        self._export, self._coder, self._summary = export, coder, summary
        self._store = export.store
        self._latents = list(range(coder.info.n_latents)) if latents is None else list(latents)
        self.id = export.source_id(coder)
        self._set = self.id.split("-", 1)[-1] or self.id
        self._folder = root / export.model / self.id
        if self._folder.exists():
            raise StoreError(f"two coders would be the source {self.id!r}: export them one at a time.")
        self._key = {"modelId": export.model, "layer": self.id}
        self._n_written = 0

    def write(self, progress: ProgressCallback) -> None:
        """All of its files."""
        name = self._coder.info.coder
        self._folder.mkdir(parents=True)
        self._describe()
        by_text = sorted(self._latents, key=str)
        _write_batches(self._folder / "features", _in_batches(map(self._feature, by_text)))
        done = 0
        for number, latents in _ranges(self._latents):
            rows = (row for latent in latents for row in self._activations(latent))
            _write_lines(self._folder / "activations" / f"batch-{number}.jsonl.gz", rows)
            done += len(latents)
            progress(Progress(f"export {name}", done, len(self._latents), "latents"))
        explained = self._explanations()
        rows = [(latent, row) for latent, row in explained]
        rows.sort(key=lambda each: str(each[0]))
        if rows:
            _write_batches(self._folder / "explanations", _in_batches(row for _, row in rows))
        self._scores({str(row["id"]) for _, row in rows})
        self._audits()
        self._summary.take("sources")
        self._summary.take("features", len(self._latents))
        self._summary.take("contexts", self._n_written)
        self._summary.take("explanations", len(rows))

    def _describe(self) -> None:
        """The rows that describe model, release, set and source."""
        export, info, store = self._export, self._coder.info, self._store
        model, corpus = store.meta["model"], store.meta["corpus"]
        who = {"creatorId": export.creator}
        files: dict[str, dict[str, Any]] = {
            "model": {
                "id": export.model, "instruct": False, **who, "displayNameShort": export.model, "displayName": export.model,
                "tlensId": None, "dimension": model.get("d_model") or None, "visibility": "PUBLIC",
                "defaultSourceSetName": self._set, "defaultSourceId": None, "inferenceEnabled": False,
                "layers": int(model.get("n_layers") or 0), "neuronsPerLayer": 0, "owner": "", "website": None,
            },
            "release": {
                "name": f"autointerp-{self._set}", "description": f"{info.coder}, exported by autointerp",
                "descriptionShort": info.coder, "urls": [], "creatorName": "autointerp", "creatorNameShort": "autointerp",
                **who, "visibility": "PUBLIC", "isNewUi": False, "featured": False, "creatorEmail": None,
                "defaultSourceSetName": self._set, "defaultSourceId": None, "defaultUmapSourceIds": [],
            },
            "sourceset": {
                "modelId": export.model, "name": self._set, **who, "hasDashboards": True, "visibility": "PUBLIC",
                "description": f"{info.kind} at {info.hookpoint}", "type": "", "creatorName": "autointerp", "urls": [],
                "creatorEmail": None, "releaseName": f"autointerp-{self._set}", "defaultOfModelId": None, "defaultRange": 1,
                "defaultShowBreaks": True, "showDfa": False, "showCorrelated": False, "showHeadAttribution": False,
                "showUmap": False,
            },
            "source": {
                "id": self.id, "modelId": export.model, "setName": self._set, **who, "hasDashboards": True,
                "inferenceEnabled": False, "saelensConfig": None, "saelensRelease": None, "saelensSaeId": None,
                "hfRepoId": None, "hfFolderId": None, "visibility": "PUBLIC", "defaultOfModelId": None, "hasUmap": False,
                "hasUmapLogSparsity": False, "hasUmapClusters": False,
                "num_prompts": None if info.selected else store.n_contexts,
                "num_tokens_in_prompt": None if info.selected else store.ctx_len,
                "dataset": str(corpus["name"]), "notes": f"autointerp coder {info.coder}",
            },
        }  # fmt: skip
        for name, row in files.items():
            _write_lines(self._folder / f"{name}.jsonl", [row])

    def _feature(self, latent: int) -> dict[str, Any]:
        coder = self._coder
        stats = coder.stats(latent)
        heights, places = _bars(coder.histogram(latent))
        promoted, suppressed = coder.logits(latent)
        near = coder.neighbours(latent, "decoder", limit=1000)
        own = [(latent, 1.0), *((each.latent, each.value) for each in near)] if near else []
        return {
            **self._key,
            "index": str(latent),
            "maxActApprox": stats.max_activation,
            "creatorId": self._export.creator,
            "frac_nonzero": stats.density,
            "freq_hist_data_bar_heights": heights,
            "freq_hist_data_bar_values": places,
            **{name: [] for name in _EMPTY},
            **self._logits("neg", suppressed),
            **self._logits("pos", promoted),
            "sourceSetName": self._set,
            "topkCosSimIndices": [number for number, _ in own],
            "topkCosSimValues": [value for _, value in own],
            "vector": [],
            "vectorLabel": None,
            "hookName": coder.info.hookpoint,
            "vectorDefaultSteerStrength": None,
            "hasVector": False,
        }

    def _logits(self, side: str, rows: Sequence[TokenLogit]) -> dict[str, Any]:
        texts = self._export.texts
        return {
            f"{side}_str": [_plain(texts[row.token]) for row in rows],
            f"{side}_values": [row.value for row in rows],
        }

    def _activations(self, latent: int) -> Iterator[dict[str, Any]]:
        store, acts = self._store, self._coder.activations(latent)
        lengths = store.text_lengths()
        for number, shown in enumerate(groups(store, self._coder, latent, acts)):
            n = store.ctx_len if lengths is None else int(lengths[shown.context])
            base = shown.context * store.ctx_len
            low, high = np.searchsorted(acts.token, (base, base + n))
            values = np.zeros(n, dtype=np.float32)
            values[acts.token[low:high] - base] = acts.activation[low:high]
            self._n_written += 1
            yield {
                "id": _id(self._export.model, self.id, latent, number),
                **self._key,
                "index": str(latent),
                "creatorId": self._export.creator,
                "dataSource": None,
                "tokens": [_plain(text) for text in store.decode(store.tokens[shown.context, :n])],
                "maxValue": float(values.max()),
                "minValue": float(values.min()),
                "values": values.tolist(),
                "maxValueTokenIndex": int(values.argmax()),
                "dfaValues": [],
                "dfaMaxValue": None,
                "dfaTargetIndex": None,
                "binContains": shown.contains,
                "binMin": shown.low,
                "binMax": shown.high,
            }

    def _explanations(self) -> Iterator[tuple[int, dict[str, Any]]]:
        wanted = set(self._latents)
        for explanation in self._export.annotations.iter_explanations(self._coder.info.coder, failed=True):
            if explanation.latent not in wanted:
                continue
            if explanation.status != "ok":
                self._summary.leave("explanations", "they failed", 1)
                continue
            yield explanation.latent, self._explanation(explanation)

    def _explanation(self, explanation: Explanation) -> dict[str, Any]:
        ours = explanation.explainer in EXPLAINERS or explanation.explainer == "person"
        type_ = f"{PREFIX}{explanation.explainer}" if ours else explanation.explainer
        self._export.types.add(type_)
        if explanation.model is not None:
            self._export.models.add(explanation.model)
        return {
            "id": explanation.id,
            **self._key,
            "index": str(explanation.latent),
            "authorId": self._export.creator,
            "description": _plain(explanation.text),
            "embedding": None,
            "typeName": type_,
            "explanationModelName": explanation.model,
            "umap_x": 0,
            "umap_y": 0,
            "umap_cluster": 0,
            "umap_log_feature_sparsity": 0,
        }

    def _scores(self, explanations: set[str]) -> None:
        """All scores of what was exported, with every judged example."""
        if not explanations:
            return
        annotations, coder = self._export.annotations, self._coder.info.coder
        table = annotations.score_summary(coder)
        latents = (
            sorted(set(table["latent"].to_pylist()) & set(self._latents), key=str) if table.num_rows else []
        )
        n = 0

        def rows() -> Iterator[dict[str, Any]]:
            nonlocal n
            for latent in latents:
                for score in annotations.scores_of_latent(coder, latent):
                    if score.explanation_id in explanations:
                        n += 1
                        yield self._score(latent, score, annotations)

        if latents:
            _write_batches(self._folder / "scores", _in_batches(rows()))
        self._summary.take("scores", n)

    def _score(self, latent: int, score: Score, annotations: Annotations) -> dict[str, Any]:
        fields = asdict(score)
        judged = [each._asdict() for each in annotations.judged(score.id)]
        for name in ("explanation_id", "judged"):
            fields.pop(name, None)
        return {
            **self._key,
            "index": str(latent),
            "explanationId": score.explanation_id,
            **fields,
            "judged": judged,
        }

    def _audits(self) -> None:
        """Every audit with an item about this coder, whole, as `autointerp audit export` writes it."""
        annotations = self._export.annotations
        for head in self._export.audits:
            audit = annotations.audits.get(head.id)
            if any(item.coder == self._coder.info.coder for item in audit.items):
                path = self._folder / "audits" / f"{_NAME.sub('-', head.id)}.jsonl"
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(write_audit(export_audit(annotations, head.id), "jsonl"))
                self._summary.take("audits")


_EMPTY = (
    "logits_hist_data_bar_heights", "logits_hist_data_bar_values", "neuron_alignment_indices", "neuron_alignment_l1",
    "neuron_alignment_values", "correlated_neurons_indices", "correlated_neurons_l1", "correlated_neurons_pearson",
    "decoder_weights_dist",
)  # fmt: skip
"""What a store does not hold."""


def _bars(histogram: Histogram) -> tuple[list[float], list[float]]:
    """Heights, and the middles of the bars."""
    edges = histogram.edges.astype(np.float64)
    return histogram.counts.astype(float).tolist(), ((edges[:-1] + edges[1:]) / 2).tolist()


def _plain(text: str) -> str:
    """Without NUL, which Neuronpedia's database cannot hold, and without halves of characters."""
    return text.replace("\0", "").encode("utf-8", errors="replace").decode("utf-8")


def _id(*parts: object) -> str:
    """25 characters as Neuronpedia's ids have, the same for the same thing."""
    return "c" + hashlib.blake2b(repr(parts).encode(), digest_size=12).hexdigest()


def _ranges(latents: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """Latents by the thousand-odd that a batch of activations holds, with its number; none is left out between others."""
    own = {
        number: list(some) for number, some in groupby(sorted(latents), key=lambda latent: latent // BATCH)
    }
    for number in range(max(own, default=-1) + 1):
        yield number, own.get(number, [])


def _in_batches(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    iterator = iter(rows)
    while some := list(islice(iterator, BATCH)):
        yield some


def _write_batches(folder: Path, batches: Iterable[Sequence[Mapping[str, Any]]]) -> None:
    for number, rows in enumerate(batches):
        _write_lines(folder / f"batch-{number}.jsonl.gz", rows)


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", _LEVEL, raw, mtime=0) if path.suffix == ".gz" else raw as file,
    ):
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False, default=list).encode() + b"\n")


def _write_config(folder: Path, export: _Export) -> None:
    """The types and models that explanations name, for those who import them."""
    who = {"featured": False, "url": None, "creatorName": "autointerp"}
    types = [
        {
            "name": name,
            "displayName": name,
            "description": name,
            "isAttention": False,
            "creatorId": export.creator,
            **who,
        }
        for name in sorted(export.types)
    ]
    models = [
        {"name": name, "displayName": name, "description": name, "openRouterModelId": None, **who}
        for name in sorted(export.models)
    ]
    _write_lines(folder / "explanation_type.jsonl", types)
    _write_lines(folder / "explanation_model_type.jsonl", models)
