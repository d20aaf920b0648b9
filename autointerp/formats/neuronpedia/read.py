"""`autointerp import neuronpedia`: the folders of one or several sources of one model."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autointerp.errors import UserError
from autointerp.formats.lines import json_lines
from autointerp.formats.neuronpedia.explanations import write_explanations
from autointerp.formats.neuronpedia.layout import SourceFolder, is_source
from autointerp.formats.requests import ImportRequest
from autointerp.formats.selected import dashboard, records
from autointerp.formats.selected.options import Only
from autointerp.formats.selected.records import Context, Figures, Source
from autointerp.formats.selected.write import write_store
from autointerp.formats.staging import staged
from autointerp.formats.summary import Summary
from autointerp.store.files import check_name, natural_key
from autointerp.types import ProgressCallback

_IGNORED = {
    "scores, votes, comments and lists": "Neuronpedia exports none; those beside an export of autointerp are about contexts of "
    "the store that it came from",
    "embeddings and UMAP positions of explanations": "explanations are embedded here, by this store's own embedder",
    "decoder vectors, aligned and correlated neurons, logit histograms, attribution": "a store has no place for them",
    "which interval a context was shown for": "a store assigns contexts to deciles by their activations",
}


def claims(path: Path) -> bool:
    """Whether the path is a source of Neuronpedia's export, or a folder of some."""
    return bool(_folders(path))


def run(request: ImportRequest, progress: ProgressCallback) -> Summary:
    """Imports what the request names. Raises UserError, and then leaves the store as it was."""
    summary = Summary("neuronpedia", str(request.store))
    only = Only.of(request)
    folders = [folder for path in request.sources for folder in _named(path)]
    exports = [_Export(SourceFolder(folder), only) for folder in folders]
    names = _names(exports, request.name)
    models = {export.model for export in exports}
    if len(models) > 1:
        raise UserError(
            f"the sources are from different models ({', '.join(sorted(models))}). Import one model at a time."
        )
    sources = [
        export.source(name, str(request.options.get("kind") or "sae"))
        for name, export in zip(names, exports, strict=True)
    ]
    with staged(request.store) as into:
        store = write_store(
            into,
            sources,
            model=exports[0].model,
            corpus=exports[0].dataset,
            summary=summary,
            progress=progress,
        )
        for name, export in zip(names, exports, strict=True):
            write_explanations(into.path, store.coder(name), export.explanations(), summary, progress)
    for what, reason in _IGNORED.items():
        summary.leave(what, reason)
    return summary


class _Export:
    """One source. Raises UserError for rows of another one, and for whatever no export holds."""

    def __init__(self, folder: SourceFolder, only: Only):
        self._folder, self._only = folder, only
        self.activations, self.features = (
            some.chosen(folder.batches(kind), folder.path / kind, "batch-{}.jsonl.gz")
            for kind, some in (("activations", only), ("features", Only(only.latents)))
        )
        first = next((row for path in [*self.features, *self.activations] for row in json_lines(path)), None)
        if first is None:
            raise UserError(f"{str(folder.path)!r} holds no features and no activations.")
        self.model = records.text(first.get("modelId"), f"modelId in {str(folder.path)!r}")
        self.layer = records.text(first.get("layer"), f"layer in {str(folder.path)!r}")
        self._row = folder.row("source")
        self.hookpoint = records.clean(str(first.get("hookName") or self.layer))[:200]
        self._seen: set[int] = set()

    @property
    def dataset(self) -> str:
        """What its contexts are from."""
        return records.clean(str(self._row.get("dataset") or "Neuronpedia's contexts"))[:200]

    def source(self, name: str, kind: str) -> Source:
        """As a coder to be."""
        kept = ("setName", "hfRepoId", "hfFolderId", "dataset", "num_prompts", "num_tokens_in_prompt")
        config = {key: self._row[key] for key in kept if isinstance(self._row.get(key), str | int)}
        config |= {"imported": "neuronpedia", "model": self.model, "source": self.layer}
        absent: dict[str, str] = {}
        return Source(
            name, kind, self.hookpoint, str(self._folder.path.absolute()), config, absent, self.read
        )

    def read(self) -> Iterator[Figures | Context]:
        """Figures of all features that are asked for, and their contexts."""
        if self._only.batches is None:
            yield from self._figures()
            yield from self._contexts()
        else:  # the latents of these batches are known only from their contexts
            yield from self._contexts()
            yield from self._figures()

    def _figures(self) -> Iterator[Figures]:
        for path in self.features:
            for row in json_lines(path):
                latent = self._latent(row, path)
                if self._only.wants(latent) and (self._only.batches is None or latent in self._seen):
                    yield _figures(latent, row, f"feature {latent} of {str(path)!r}")

    def _contexts(self) -> Iterator[Context]:
        for path in self.activations:
            for row in json_lines(path):
                latent = self._latent(row, path)
                if self._only.wants(latent):
                    self._seen.add(latent)
                    where = f"an activation of feature {latent} in {str(path)!r}"
                    yield records.context(latent, row.get("tokens"), row.get("values"), where)

    def explanations(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Latent and row of each explanation of what was asked for; after `read`."""
        for path in self._folder.explanations():
            for row in json_lines(path):
                latent = self._latent(row, path)
                if self._only.wants(latent) and (self._only.batches is None or latent in self._seen):
                    yield latent, row

    def _latent(self, row: dict[str, Any], path: Path) -> int:
        for name, own in (("modelId", self.model), ("layer", self.layer)):
            if row.get(name) != own:
                raise UserError(
                    f"{str(path)!r} holds a row with the {name} {records.said(row.get(name))}, and the others have "
                    f"{own!r}. Put each source into its own folder."
                )
        return records.index(row.get("index"), f"the index of a row in {str(path)!r}")


def _figures(latent: int, row: dict[str, Any], where: str) -> Figures:
    near = [
        records.index(int(number), f"topkCosSimIndices of {where}")
        for number in dashboard.listed(row, "topkCosSimIndices", where)
    ]
    values = dashboard.listed(row, "topkCosSimValues", where)
    neighbours = records.pairs(near, values, f"topkCosSimIndices of {where}")
    others = [(number, value) for number, value in neighbours if number != latent]
    largest = records.number(row.get("maxActApprox"), f"maxActApprox of {where}")
    return dashboard.figures(latent, row, largest, where, others)


def _folders(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    if is_source(path):
        return [path]
    return sorted(
        (each for each in path.iterdir() if is_source(each)), key=lambda each: natural_key(each.name)
    )


def _named(path: Path) -> list[Path]:
    folders = _folders(path)
    if not folders:
        raise UserError(
            f"{str(path)!r} is not a source from Neuronpedia's export: neither it nor a folder in it has "
            "features/batch-N.jsonl.gz or activations/batch-N.jsonl.gz."
        )
    return folders


def _names(exports: list[_Export], asked: str | None) -> list[str]:
    """What the coders are called. Raises UserError."""
    if asked is not None and len(exports) > 1:
        raise UserError(f"--name names one coder, and there are {len(exports)} sources. Leave it out.")
    names = [
        check_name(asked or re.sub(r"[^A-Za-z0-9._+-]", "-", export.layer).lstrip("._+-")[:100] or "source")
        for export in exports
    ]
    again = [name for at, name in enumerate(names) if name.casefold() in map(str.casefold, names[:at])]
    if again:
        raise UserError(f"two sources would both be called {again[0]!r}. Import them into separate stores.")
    return names
