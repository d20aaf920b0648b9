"""SAEDashboard's `batch-N.json`, as its runner for Neuronpedia writes them: a file for some latents of one coder."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autointerp.errors import UserError
from autointerp.formats.lines import inside, json_file
from autointerp.formats.requests import ImportRequest
from autointerp.formats.selected import dashboard, records
from autointerp.formats.selected.options import Only
from autointerp.formats.selected.records import Context, Figures, Source
from autointerp.formats.selected.write import write_store
from autointerp.formats.staging import staged
from autointerp.formats.summary import Summary
from autointerp.store.files import check_name
from autointerp.types import ProgressCallback

_NAME = re.compile(r"batch-(\d{1,6})\.json")
_TOP = -1
"""The lower bound of the interval that stands for the strongest contexts; its upper bound is the maximum over the text."""
_IGNORED = {
    "decoder vectors, aligned and correlated neurons and features, logit histograms, attribution": "a store has no place "
    "for them",
    "which interval a context was shown for": "a store assigns contexts to deciles by their activations",
}


def claims(path: Path) -> bool:
    """Whether the path is a folder with batches of SAEDashboard."""
    return path.is_dir() and any(_NAME.fullmatch(each.name) for each in path.glob("batch-*.json"))


def run(request: ImportRequest, progress: ProgressCallback) -> Summary:
    """Imports one folder. Raises UserError, and then leaves the store as it was."""
    if len(request.sources) != 1:
        raise UserError("saedashboard: give one folder, that of one coder.")
    summary = Summary("saedashboard", str(request.store))
    folder = _Folder(request.sources[0], Only.of(request))
    with staged(request.store) as into:
        source = folder.source(request.name, str(request.options.get("kind") or "sae"))
        write_store(
            into, [source], model=folder.model, corpus=folder.dataset, summary=summary, progress=progress
        )
    for what, reason in _IGNORED.items():
        summary.leave(what, reason)
    return summary


class _Folder:
    def __init__(self, path: Path, only: Only):
        if not claims(path):
            raise UserError(f"{str(path)!r} holds no batch-N.json from SAEDashboard.")
        self.path, self._only = path, only
        paths = {
            int(match[1]): inside(path, each)
            for each in path.glob("batch-*.json")
            if (match := _NAME.fullmatch(each.name))
        }
        self._batches = only.chosen(paths, path, "batch-{}.json")
        first = json_file(self._batches[0])
        self._head = self._told(first)
        self.model = self._head[0] or "unknown model"
        features = first.get("features")
        row = features[0] if isinstance(features, list) and features and isinstance(features[0], dict) else {}
        self.dataset = records.clean(str(row.get("dataset") or "SAEDashboard's contexts"))[:200]

    @staticmethod
    def _told(batch: dict[str, Any]) -> tuple[str, ...]:
        """What all batches have in common: model, layer, set and its suffix."""
        given = (batch.get(name) for name in ("model_id", "layer", "sae_set", "sae_id_suffix"))
        return tuple("" if each is None else records.clean(str(each))[:100] for each in given)

    def source(self, name: str | None, kind: str) -> Source:
        """As a coder to be."""
        _, layer, set_, suffix = self._head
        own = "-".join(part for part in (layer, set_) if part) + (f"__{suffix}" if suffix else "")
        config = {"imported": "saedashboard", "model": self.model, "layer": layer, "sae_set": set_}
        return Source(
            check_name(name or re.sub(r"[^A-Za-z0-9._+-]", "-", own).lstrip("._+-")[:100] or "sae"),
            kind,
            own or "unknown",
            str(self.path.absolute()),
            config,
            {"decoder": "SAEDashboard's files hold no similarities of decoder directions."},
            self.read,
        )

    def read(self) -> Iterator[Figures | Context]:
        """Everything of the latents that are asked for. Raises UserError."""
        for path in self._batches:
            batch = json_file(path)
            if self._told(batch) != self._head:
                raise UserError(
                    f"{str(path)!r} is from a different coder than {self._batches[0].name!r}. Give each coder its own folder."
                )
            features = batch.get("features")
            if not isinstance(features, list):
                raise UserError(
                    f"{str(path)!r} has no list of features: it is not a batch from SAEDashboard."
                )
            for feature in features:
                if not isinstance(feature, dict):
                    raise UserError(
                        f"{str(path)!r} holds a feature that is {records.said(feature)}, not an object."
                    )
                latent = records.index(feature.get("feature_index"), f"a feature_index in {str(path)!r}")
                if self._only.wants(latent):
                    yield from _feature(latent, feature, f"feature {latent} of {str(path)!r}")


def _feature(latent: int, feature: dict[str, Any], where: str) -> Iterator[Figures | Context]:
    activations = feature.get("activations") or []
    if not isinstance(activations, list):
        raise UserError(f"activations of {where} is {records.said(activations)}; accepted: a list.")
    largest = None
    for activation in activations:
        if not isinstance(activation, dict):
            raise UserError(f"an activation of {where} is {records.said(activation)}, not an object.")
        if activation.get("bin_min") == _TOP:
            largest = records.number(activation.get("bin_max"), f"bin_max of {where}")
        yield records.context(
            latent, activation.get("tokens"), activation.get("values"), f"an activation of {where}"
        )
    yield dashboard.figures(latent, feature, largest, where)
