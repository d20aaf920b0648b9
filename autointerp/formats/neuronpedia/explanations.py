"""Explanations of an export as records, and back."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from autointerp.formats.selected import records
from autointerp.formats.summary import Summary
from autointerp.records import Explanation, canonical_json
from autointerp.store import CoderStore
from autointerp.store.annotations import Annotations
from autointerp.types import Progress, ProgressCallback

_AT_ONCE = 4096
_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
PREFIX = "autointerp_"
"""Before the names of this program's explainers, where they are types of Neuronpedia's."""
AUTHOR = "Neuronpedia"
DEFAULT_CREATOR = "clkht01d40000jv08hvalcvly"
"""Whom a public export names as the author of everything."""
UNKNOWN_TYPE = "neuronpedia"


def write_explanations(
    store: Path,
    coder: CoderStore,
    rows: Iterable[tuple[int, dict[str, Any]]],
    summary: Summary,
    progress: ProgressCallback,
) -> None:
    """Every row as an explanation; those that are there already stay. Raises UserError."""
    n_latents, name = coder.info.n_latents, coder.info.coder
    done = 0
    with Annotations(store) as annotations:
        for some in _some(rows):
            made: dict[str, Explanation] = {}
            for latent, row in some:
                text = records.text(row.get("description") or "", f"the description of latent {latent}")
                if latent >= n_latents or not text.strip():
                    why = "without a text" if latent < n_latents else "of latents that are not in the files"
                    summary.leave("explanations", f"they are {why}", 1)
                    continue
                explanation = _explanation(name, latent, text, row)
                made[explanation.id] = explanation
            known = {each.id for each in annotations.explanations_of(list(made))}
            annotations.add(*(each for each in made.values() if each.id not in known))
            summary.take("explanations", len(made), known=len(known))
            done += len(some)
            progress(Progress(f"explanations {name}", done, done, "explanations"))


def _explanation(coder: str, latent: int, text: str, row: dict[str, Any]) -> Explanation:
    """The type is the explainer; when it was written, an export does not say. Its id is that of the export, so that it is taken
    once."""

    def told(name: str) -> str | None:
        value = row.get(name)
        return (
            None
            if value is None
            else records.text(value, f"{name} of an explanation of latent {latent}")[:200]
        )

    id_, author = told("id") or "", told("authorId")
    if not _ID.fullmatch(id_):
        content = canonical_json([coder, latent, text, told("typeName"), told("explanationModelName")])
        id_ = hashlib.blake2b(content.encode(), digest_size=16).hexdigest()
    return Explanation(
        id=id_,
        coder=coder,
        latent=latent,
        text=text,
        explainer=(told("typeName") or UNKNOWN_TYPE).removeprefix(PREFIX),
        model=told("explanationModelName"),
        author=AUTHOR if author in (None, "", DEFAULT_CREATOR) else author,
        config={"imported": "neuronpedia"},
    )


def _some(rows: Iterable[Any]) -> Iterator[list[Any]]:
    iterator = iter(rows)
    while some := list(islice(iterator, _AT_ONCE)):
        yield some
