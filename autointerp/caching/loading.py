"""A model and its coders, as they were asked for: loaded here, or from a recipe by a worker of a cluster."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from autointerp.caching.reading import Reader
from autointerp.errors import ModelLoadError, UserError
from autointerp.models.coders import registry
from autointerp.models.coders.coder import CoderSpec, SparseCoder
from autointerp.models.coders.loading import load_coder
from autointerp.models.subject import SubjectModel, load_subject
from autointerp.reading import expanded


@dataclass(frozen=True)
class Sources:
    """What `cache` was asked to load; see there."""

    model: str | Path | SubjectModel
    coders: Mapping[str, str | CoderSpec]
    hookpoint: str | None = None
    trust_remote_code: bool = False
    device: str | torch.device = "cpu"
    dtype: str | torch.dtype | None = None
    tokenizer: str | None = None

    def load(self) -> tuple[SubjectModel, dict[str, SparseCoder]]:
        """Raises UserError of the kind that fits."""
        subject = self.model
        if not isinstance(subject, SubjectModel):
            subject = load_subject(
                str(subject), trust_remote_code=self.trust_remote_code, device=self.device, dtype=self.dtype,
                tokenizer=self.tokenizer,
            )  # fmt: skip
        loaded = {
            name: load_coder(spec, subject=subject, hookpoint=self.hookpoint)
            for name, spec in self.coders.items()
        }
        return subject, loaded

    def recipe(
        self, subject: SubjectModel, coders: Mapping[str, SparseCoder], masked: NDArray[np.int64]
    ) -> "Recipe":
        """How others load the same; `coders` those of the loaded ones that are wanted. Raises UserError for a model that was
        given as an object."""
        if isinstance(self.model, SubjectModel):
            raise UserError(
                "a model that is already loaded cannot be sent to a cluster: give its name or folder."
            )
        specs = {name: _everywhere(self.coders[name]) for name in coders}
        tokenizer = None if self.tokenizer is None else _absolute(self.tokenizer)
        sources = replace(self, model=_absolute(str(self.model)), coders=specs, tokenizer=tokenizer)
        return Recipe(
            sources, subject.fingerprint, {name: coder.checksum() for name, coder in coders.items()}, masked
        )


@dataclass(frozen=True)
class Recipe:
    """Sources with what is known of the right model (`fingerprint`) and coders (`checksums`), so that no worker reads other
    weights under the same name. `masked`: see `Reader`."""

    sources: Sources
    fingerprint: str
    checksums: Mapping[str, str]
    masked: NDArray[np.int64]

    def reader(self) -> Reader:
        """Raises UserError."""
        subject, coders = self.sources.load()
        if subject.fingerprint != self.fingerprint:
            raise ModelLoadError(
                f"{self.sources.model} is a different model on a worker than where the command runs."
            )
        for name, coder in coders.items():
            if coder.checksum() != self.checksums[name]:
                raise ModelLoadError(
                    f"coder {name!r} ({coder.source}) has different weights on a worker than where the command runs."
                )
        return Reader(subject, coders, self.masked)


def _everywhere(spec: str | CoderSpec) -> CoderSpec:
    spec = CoderSpec(spec) if isinstance(spec, str) else spec
    return spec if registry.is_generated(spec.source) else replace(spec, source=_absolute(spec.source))


def _absolute(source: str) -> str:
    """A folder by its whole path, which a shared folder has on every machine; a hub name as it is."""
    path = expanded(source)
    return str(path.absolute()) if path.exists() else source
