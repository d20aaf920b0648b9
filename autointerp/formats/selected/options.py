"""Which latents and batches of the files are asked for."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autointerp.errors import UserError
from autointerp.formats.requests import ImportRequest
from autointerp.formats.selected.records import index
from autointerp.pipeline.pending import parse_ranges


@dataclass(frozen=True)
class Only:
    """`None`: all of them."""

    latents: Collection[int] | None = None
    batches: Sequence[int] | None = None

    @staticmethod
    def of(request: ImportRequest) -> "Only":
        """What the options say. Raises UserError."""
        latents, batches = (_numbers(request.options.get(name)) for name in ("only_latents", "batches"))
        return Only(None if latents is None else frozenset(latents), batches)

    def wants(self, latent: int) -> bool:
        """Whether the latent is to be imported."""
        return self.latents is None or latent in self.latents

    def chosen(self, paths: Mapping[int, Path], folder: Path, name: str) -> list[Path]:
        """All batches of `folder`, none missing between them, or those asked for. `name`: of a file, with its number. Raises
        UserError."""
        wanted = range(max(paths, default=-1) + 1) if self.batches is None else self.batches
        missing = [number for number in wanted if number not in paths]
        if missing:
            raise UserError(
                f"{str(folder)!r} has no {name.format(missing[0])}. Fetch it, or choose the ones to import: --batches "
                f"{_ranges(paths) or 'N'}."
            )
        return [paths[number] for number in wanted]


def _numbers(text: object) -> list[int] | None:
    return (
        None if text is None else parse_ranges(str(text), lambda number: index(number, "a number asked for"))
    )


def _ranges(numbers: Collection[int]) -> str:
    """`0-3,5`."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and parts[-1][-1] == number - 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)
