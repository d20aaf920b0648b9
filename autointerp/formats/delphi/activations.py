"""Activations of a delphi cache as the corpus and coders of a store."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from autointerp.caching.neighbours import Cofiring
from autointerp.errors import StoreError, UserError
from autointerp.formats.delphi.cache import Cache, Firings
from autointerp.formats.summary import Summary
from autointerp.formats.tokens import find_texts
from autointerp.store import CoderWriter, CorpusWriter, Store
from autointerp.types import CoderInfo, Progress, ProgressCallback

NO_WEIGHTS = "The coder was imported from a delphi cache, which holds activations and no weights."
_ABSENT = dict.fromkeys(("fidelity", "promoted_tokens", "decoder", "encoder"), NO_WEIGHTS)

MAX_PAIRS = 1 << 28
"""For neighbours by co-firing of a wide coder half of what caching counts: without a model, counting is most of the time."""


def make_corpus(path: Path, cache: Cache, *, tokenizer: str | None, progress: ProgressCallback) -> Store:
    """A new store of the cache's text. Raises UserError."""
    largest = 0
    for rows in cache.tokens():
        if int(rows.min()) < 0:
            raise UserError(f"{str(cache.folder)!r} holds the token id {int(rows.min())}: ids count from 0.")
        largest = max(largest, int(rows.max()))
    model = str(cache.config.get("model_name") or "")
    texts = find_texts(tokenizer, model or None, largest)
    writer = CorpusWriter(
        path,
        model={"name": model, "source": model} if model else {},
        tokenizer={**texts.tokenizer, **({"note": texts.note} if texts.note else {})},
        name=_corpus_name(cache.config),
        ctx_len=cache.ctx_len,
        vocabulary=texts.vocabulary,
    )
    with writer:
        for rows in cache.tokens():
            writer.append(rows)
        return writer.finish(progress=progress)


def check_corpus(store: Store, cache: Cache) -> None:
    """Raises StoreError unless the store holds the cache's text."""
    other = StoreError(
        f"{store.path} holds a different text from the cache {str(cache.folder)!r}. Import into a new store, or into one "
        "with the same text."
    )
    if store.tokens.shape != (cache.n_contexts, cache.ctx_len):
        raise other
    first = 0
    for rows in cache.tokens():
        if not np.array_equal(store.tokens[first : first + len(rows)], rows):
            raise other
        first += len(rows)


def write_coder(
    store: Store,
    name: str,
    cache: Cache,
    *,
    kind: str,
    config: Mapping[str, Any],
    summary: Summary,
    progress: ProgressCallback,
) -> CoderInfo:
    """The cache's activations as a coder of the store. Raises UserError for entries that no run of delphi writes."""
    cofiring = Cofiring(cache.n_latents, max_pairs=MAX_PAIRS)
    writer = CoderWriter(
        store,
        name,
        kind=kind,
        hookpoint=cache.hookpoint,
        n_latents=cache.n_latents,
        k=None,
        d_in=0,
        source=str(cache.folder.absolute()),
        config={**config, "absent": _ABSENT},
    )

    def named(report: Progress) -> None:
        progress(Progress(f"{report.stage} {name}", report.done, report.total, report.unit))

    def count(firings: Firings) -> None:
        by_token = np.argsort(firings.token, kind="stable")
        cofiring.add(firings.latent[by_token], firings.token[by_token])

    # What fires together is counted on a second thread, while the next part is read and spooled.
    with writer, ThreadPoolExecutor(max_workers=1) as pool:
        counted: Future[None] | None = None
        done = negative = 0
        for firings in cache.activations():
            done += len(firings.token)
            positive = firings.activation > 0
            if not positive.all():
                negative += len(positive) - int(positive.sum())
                firings = firings.of(positive)
            if len(firings.token):
                if counted is not None:
                    counted.result()
                counted = pool.submit(count, firings)
                writer.append(*firings)
            named(Progress("read", done, cache.n_activations, "activations"))
        if counted is not None:
            counted.result()
        summary.take("activations", done - negative)
        if negative:
            summary.leave("activations", "not above 0: a store keeps only activations that fire", negative)
        return writer.finish(
            n_tokens=store.n_contexts * store.ctx_len,
            neighbours={"cofiring": cofiring.nearest()},
            cofiring_share=cofiring.share,
            progress=named,
        )


def _corpus_name(config: Mapping[str, Any]) -> str:
    parts = (config.get(key) for key in ("dataset_repo", "dataset_name", "dataset_split"))
    return " ".join(str(part) for part in parts if part) or "delphi cache"
