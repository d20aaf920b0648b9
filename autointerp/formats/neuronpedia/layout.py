"""Where things are in an export: `<model>/<source>/`, with a folder for each kind of row.

    model.jsonl, release.jsonl, sourceset.jsonl, source.jsonl     one row each
    features/batch-N.jsonl.gz, explanations*/batch-N.jsonl.gz     1024 rows each, by index as text: 0, 1, 10, 100, ...
    activations/batch-N.jsonl.gz                                  those of the features 1024 N to 1024 N + 1023

Numbers of batches of one kind and of another have nothing to do with each other: rows belong together by model, source and
index."""

import re
from dataclasses import dataclass
from pathlib import Path

from autointerp.errors import UserError
from autointerp.formats.lines import inside, json_lines

BATCH = 1024
_NAME = re.compile(r"batch-(\d{1,6})\.jsonl(\.gz)?")


@dataclass(frozen=True)
class SourceFolder:
    """The folder of one source."""

    path: Path

    def batches(self, folder: str) -> dict[int, Path]:
        """The files of one kind of row, by number. Raises UserError where one is there twice."""
        paths: dict[int, Path] = {}
        for path in sorted((self.path / folder).glob("batch-*")):
            match = _NAME.fullmatch(path.name)
            if match is None:
                continue
            if int(match[1]) in paths:
                raise UserError(
                    f"{str(path)!r} is there both compressed and uncompressed. Remove one of them."
                )
            paths[int(match[1])] = inside(self.path, path)
        return dict(sorted(paths.items()))

    def explanations(self) -> list[Path]:
        """The files of every folder with explanations."""
        folders = sorted(path.name for path in self.path.glob("explanations*") if path.is_dir())
        return [path for folder in folders for path in self.batches(folder).values()]

    def row(self, name: str) -> dict:
        """The only row of `<name>.jsonl`, empty without such a file. Raises UserError."""
        path = self.path / f"{name}.jsonl"
        return next(iter(json_lines(inside(self.path, path))), {}) if path.exists() else {}


def is_source(folder: Path) -> bool:
    """Whether it holds batches of features or activations."""
    return folder.is_dir() and any(
        _NAME.fullmatch(path.name)
        for kind in ("features", "activations")
        for path in (folder / kind).glob("batch-*")
    )
