"""The shown explanations of several coders as vectors, and what tells whether they have changed."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autointerp.errors import UserError
from autointerp.pipeline.resources import Resources
from autointerp.settings import DEFAULT_EMBEDDER
from autointerp.types import ProgressCallback


@dataclass(frozen=True)
class Explanations:
    """Those of one coder: `latents` Int64[ndarray, " n"] ascending, `vectors` Float32[ndarray, "n d"] of unit length, and how
    many were `made_by` which way (explainer and language model)."""

    latents: NDArray[np.int64]
    vectors: NDArray[np.float32]
    made_by: Mapping[str, int]


def embedder_of(parameters: Mapping[str, Any]) -> str:
    """The embedder that a computation's parameters name."""
    return str(parameters.get("embedder", DEFAULT_EMBEDDER))


def explained(
    resources: Resources, coders: Sequence[str], embedder: str, progress: ProgressCallback
) -> list[Explanations]:
    """The shown explanations of each of these coders; those that are not embedded yet are embedded now and kept. Raises
    UserError."""
    from autointerp.embedding import embed_explanations
    from autointerp.embedding.explanations import index_of

    store, annotations = resources.store, resources.annotations
    for coder in coders:
        if not annotations.summary(coder).num_rows:
            raise UserError(
                f"{coder} has no explanations yet. Explain its latents first, on the Jobs page or with: autointerp explain "
                f"{store.path} {coder} --explainer pattern"
            )
    known = resources.embedder(embedder)
    embed_explanations(annotations, known, coders, progress=progress)
    newest = []
    for coder in coders:
        index = index_of(annotations, known, coder)
        index.embed_missing()  # what was written meanwhile
        vectors, _ = index.vectors()
        latents = np.array(index.latents, dtype=np.int64)
        inside = latents < store.coder(coder).info.n_latents
        made_by = index.table["made_by"].value_counts().to_pylist()
        newest.append(
            Explanations(latents[inside], vectors[inside], {way["values"]: way["counts"] for way in made_by})
        )
    return newest


_kept: dict[tuple[str, str], tuple[pa.Table, str]] = {}


def hashes(resources: Resources, coders: Sequence[str]) -> dict[str, str]:
    """By coder, a hash of its shown explanations: which latents have which texts."""
    by_coder = {}
    for coder in coders:
        place = (str(resources.annotations.path), coder)
        table = resources.annotations.summary(coder)  # the same object until something changes
        kept = _kept.get(place)
        if kept is None or kept[0] is not table:
            kept = _kept[place] = (table, _hash(table))
        by_coder[coder] = kept[1]
    return by_coder


def _hash(table: pa.Table) -> str:
    digest = hashlib.sha256(table["latent"].to_numpy().astype(np.int64).tobytes())
    for text in table["text"].to_pylist():
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()[:16]


def are_embedded(resources: Resources, coders: Sequence[str], embedder: str) -> bool:
    """Whether the vectors of all shown explanations are at hand: the embedder is in memory, and nothing has to be embedded."""
    from autointerp.embedding import coverage

    if not resources.has_embedder(embedder):
        return False
    return coverage(resources.annotations, resources.embedder(embedder), coders).missing == 0
