"""circuit-tracer's feature files: one JSON for each latent of a transcoder, called after its layer and number in one."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autointerp.errors import UserError
from autointerp.formats.lines import inside, json_file
from autointerp.formats.requests import ImportRequest
from autointerp.formats.selected import records
from autointerp.formats.selected.options import Only
from autointerp.formats.selected.records import Context, Figures, Source
from autointerp.formats.selected.write import write_store
from autointerp.formats.staging import staged
from autointerp.formats.summary import Summary
from autointerp.store.files import check_name
from autointerp.types import ProgressCallback

_NAME = re.compile(r"(\d{1,15})\.json")
_IGNORED = {
    "histograms and quantiles": "the files do not state the bins, or the number of activations",
    "which context repeats another": "the same context is stored once",
}
_BARE = "circuit-tracer's files list promoted tokens, but not by how much they are promoted."


def claims(path: Path) -> bool:
    """Whether the path is a folder of feature files."""
    first = next(_files(path), None) if path.is_dir() else None
    if first is None:
        return False
    try:
        return "examples_quantiles" in json_file(first)
    except UserError:
        return False


def run(request: ImportRequest, progress: ProgressCallback) -> Summary:
    """Imports one folder, a coder for each layer. Raises UserError, and then leaves the store as it was."""
    if len(request.sources) != 1:
        raise UserError("circuit-tracer: give one folder, with the features of one model.")
    (folder,) = request.sources
    if not folder.is_dir():
        raise UserError(
            f"{str(folder)!r} is not a folder. Give the folder with the feature files (NUMBER.json)."
        )
    summary = Summary("circuit-tracer", str(request.store))
    ids, only = str(request.options.get("ids") or "cantor"), Only.of(request)
    layers: dict[int, list[_File]] = {}
    for path in sorted(_files(folder), key=lambda path: int(path.stem)):
        file = _place(inside(folder, path), ids)
        if only.wants(file.latent):
            layers.setdefault(file.layer, []).append(file)
    if not layers:
        raise UserError(f"{str(folder)!r} has none of the feature files (NUMBER.json) that were asked for.")
    if request.name is not None and len(layers) > 1:
        raise UserError(f"--name names one coder, and there are {len(layers)} layers. Leave it out.")
    sources = [
        Source(
            check_name(request.name or f"layer-{layer}"),
            str(request.options.get("kind") or "transcoder"),
            f"layer {layer}",
            str(folder.absolute()),
            {"imported": "circuit-tracer", "layer": layer, "ids": ids},
            {
                "decoder": "circuit-tracer's files hold no similarities of decoder directions.",
                "promoted_tokens": _BARE,
            },
            _Reader(files),
        )
        for layer, files in sorted(layers.items())
    ]
    with staged(request.store) as into:
        write_store(
            into,
            sources,
            model=folder.absolute().name,
            corpus="circuit-tracer's contexts",
            summary=summary,
            progress=progress,
        )
    for what, reason in _IGNORED.items():
        summary.leave(what, reason)
    return summary


@dataclass(frozen=True)
class _File:
    path: Path
    layer: int
    latent: int


@dataclass(frozen=True)
class _Reader:
    files: list[_File]

    def __call__(self) -> Iterator[Figures | Context]:
        for file in self.files:
            yield from _feature(file.latent, json_file(file.path), repr(str(file.path)))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def _place(path: Path, ids: str) -> _File:
    """Layer and latent, from the file's name."""
    number = int(path.stem)
    if ids == "cantor":
        diagonal = (math.isqrt(8 * number + 1) - 1) // 2
        latent = number - diagonal * (diagonal + 1) // 2
        return _File(path, diagonal - latent, records.index(latent, f"the latent of {str(path)!r}"))
    if ids == "decimal":
        layer, latent = divmod(number, 100_000)
        return _File(path, layer, latent)
    return _File(path, 0, records.index(number, f"the latent of {str(path)!r}"))


def _feature(latent: int, feature: dict[str, Any], where: str) -> Iterator[Figures | Context]:
    largest = records.number(feature.get("act_max"), f"act_max of {where}")
    yield Figures(
        latent,
        density=records.fraction(feature.get("activation_frequency"), f"activation_frequency of {where}"),
        maximum=None if largest is None or largest < 0 else largest,
        promoted=_valued(feature.get("top_logits"), f"top_logits of {where}"),
        suppressed=_valued(feature.get("bottom_logits"), f"bottom_logits of {where}"),
    )
    for group in _objects(feature.get("examples_quantiles"), f"examples_quantiles of {where}"):
        for example in _objects(group.get("examples"), f"examples of {where}"):
            yield records.context(
                latent, example.get("tokens"), example.get("tokens_acts_list"), f"an example of {where}"
            )


def _valued(given: object, what: str) -> list[tuple[str, float]]:
    """Tokens with their values; the files usually hold the tokens alone, and then there are none."""
    if not isinstance(given, list) or not all(isinstance(each, list) and len(each) == 2 for each in given):
        return []
    return records.pairs(
        records.texts([name for name, _ in given], what),
        records.numbers([value for _, value in given], what),
        what,
    )


def _objects(given: object, what: str) -> list[dict[str, Any]]:
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise UserError(f"{what} is {records.said(given)}; accepted: a list of objects.")
    return given
