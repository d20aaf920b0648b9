"""Caching: a model's tokens in, one finished coder file per sparse coder out, in memory that does not grow."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from autointerp.caching.corpus import CorpusRequest, open_or_make
from autointerp.caching.fidelity import N_TOKENS as FIDELITY_TOKENS
from autointerp.caching.fidelity import measure
from autointerp.caching.loading import Sources
from autointerp.caching.logits import paths_to_logits
from autointerp.caching.masking import masked_ids
from autointerp.caching.reading import Batch, Reader
from autointerp.caching.recording import Recording
from autointerp.caching.sources import Dataset, TextDocument
from autointerp.errors import CoderLoadError, CorpusError, StoreError
from autointerp.models.coders.coder import CoderSpec, SparseCoder
from autointerp.models.subject import SubjectModel
from autointerp.store import Store
from autointerp.store.files import check_name
from autointerp.types import CoderInfo, Progress, ProgressCallback, no_progress

BATCH_SIZE = 32


@dataclass(frozen=True)
class Options:
    """What `cache` computes beside the activations, and how. `fidelity_tokens`: 0 = none. `ray`: address of a Ray
    cluster. `max_active`: activations stored of a token, `None` = all."""

    batch_size: int = BATCH_SIZE
    skip_bos: bool = True
    fidelity_tokens: int = FIDELITY_TOKENS
    logits: bool = True
    neighbours: bool = True
    ray: str | None = None
    max_active: int | None = None


def cache(
    store_path: str | Path,
    *,
    model: str | Path | SubjectModel,
    coders: Mapping[str, str | CoderSpec],
    text: Sequence[str | Path] | None = None,
    dataset: str | None = None,
    token_ids: str | Path | NDArray[np.integer] | None = None,
    documents: Iterable[TextDocument] | None = None,
    config: str | None = None,
    split: str | None = None,
    column: str | None = None,
    corpus_name: str | None = None,
    n_tokens: int | None = None,
    ctx_len: int | None = None,
    bos_every_row: bool | None = None,
    join: bool | None = None,
    hookpoint: str | None = None,
    batch_size: int = BATCH_SIZE,
    skip_bos: bool = True,
    fidelity_tokens: int = FIDELITY_TOKENS,
    logits: bool = True,
    neighbours: bool = True,
    max_active: int | None = None,
    overwrite: bool = False,
    trust_remote_code: bool = False,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype | None = None,
    tokenizer: str | None = None,
    ray: str | None = None,
    progress: ProgressCallback = no_progress,
) -> list[CoderInfo]:
    """Cache what every latent of `coders` (name to spec) fires on, and finish their files.

    An existing store keeps its text: a source of text is needed only for a new one, and must not contradict what is there.
    Complete coders are skipped (`overwrite`: cached again); the others share one forward pass per batch, which ends after the
    last module read. A run that was killed can be repeated: the corpus and each coder appear complete or not at all.

    `config`, `split` and `column` choose within a data set (the last also in `.jsonl` files). `bos_every_row` puts BOS before
    every row of a new store, `join=False` begins a row with each document. `skip_bos` leaves out what begins, ends or joins
    documents; padding is always left out. `max_active`: store only so many activations of a token, the largest; the coder's
    notes say so, and how many were left out. `dtype`: of the model's weights, by default as in the store, float32 in a new one;
    "auto" for the checkpoint's own. `tokenizer`: where to take it from, if not from the model. `ray`: the address of a Ray
    cluster whose workers run model and coders, "local" for one of this machine's cores; the files are the same.

    Returns the infos of `coders`, in order.

    Raises UserError of the kind that fits (see `autointerp.errors`), with nothing half-written left.
    """
    if not coders:
        raise CoderLoadError("no coder given: there is nothing to cache")
    if batch_size < 1:
        raise CorpusError(f"batch size {batch_size}: at least 1 is needed")
    for name in coders:
        check_name(name)
    if max_active is not None and max_active < 1:
        raise CorpusError(f"max_active {max_active}: at least 1 is needed")
    options = Options(batch_size, skip_bos, fidelity_tokens, logits, neighbours, ray, max_active)
    if dtype is None and (Path(store_path) / "store.json").exists():
        dtype = Store.open(store_path).meta["model"].get("dtype")
    sources = Sources(model, dict(coders), hookpoint, trust_remote_code, device, dtype, tokenizer)
    subject, loaded = sources.load()
    chosen = None if dataset is None else Dataset(dataset, config, split, column)
    request = CorpusRequest(
        text, chosen, token_ids, documents, corpus_name, n_tokens, ctx_len, column, bos_every_row, join
    )
    store = open_or_make(Path(store_path), subject, request, progress)
    subject.check_ctx_len(store.ctx_len)
    done = {info.coder: info for info in store.coders()}
    missing = {name: coder for name, coder in loaded.items() if overwrite or name not in done}
    for name, coder in loaded.items():
        if name not in missing:
            _check_same(done[name], coder, options)
    if missing:
        infos = _cache_missing(store, subject, missing, sources, options, overwrite, progress)
        done |= {info.coder: info for info in infos}
    return [done[name] for name in coders]


def _check_same(info: CoderInfo, coder: SparseCoder, options: Options) -> None:
    checksum = coder.checksum()
    stored = (info.kind, info.hookpoint, info.n_latents, info.k, info.config.get("weights", checksum))
    if stored != (coder.kind, coder.hookpoint, coder.n_latents, coder.k, checksum):
        raise StoreError(
            f"the store already has another coder called {info.coder!r} (from {info.source}). Give this one another name."
        )
    if info.config.get("skip_bos", options.skip_bos) != options.skip_bos:
        kept = "left out" if info.config["skip_bos"] else "kept"
        raise StoreError(
            f"coder {info.coder!r} was cached with BOS positions {kept}. To cache it otherwise, use another name."
        )
    if info.config.get("max_active") != options.max_active:
        kept = info.config.get("max_active") or "all"
        raise StoreError(
            f"coder {info.coder!r} was cached with {kept} activations per token. To cache it otherwise, use another name."
        )


def _cache_missing(
    store: Store,
    subject: SubjectModel,
    coders: Mapping[str, SparseCoder],
    sources: Sources,
    options: Options,
    overwrite: bool,
    progress: ProgressCallback,
) -> list[CoderInfo]:
    """One pass over the corpus for all `coders`, then their fidelity, then statistics and file, one coder after the other."""
    infos = []
    masked = masked_ids(subject, store.meta["tokenizer"].get("separator"), skip_bos=options.skip_bos)
    paths = paths_to_logits(subject, coders, store, masked) if options.logits else {}
    with ExitStack() as stack:
        recordings = {
            name: stack.enter_context(
                Recording(
                    store,
                    name,
                    coder,
                    subject,
                    skip_bos=options.skip_bos,
                    neighbours=options.neighbours,
                    path=paths.get(name),
                    max_active=options.max_active,
                    overwrite=overwrite,
                )
            )
            for name, coder in coders.items()
        }
        if options.ray is None:
            batches = Reader(subject, coders, masked).read_all(store.tokens, 0, options.batch_size)
        else:
            from autointerp.caching.on_ray import read_all

            recipe = sources.recipe(subject, coders, masked)
            batches = stack.enter_context(
                closing(read_all(options.ray, recipe, store.tokens, options.batch_size))
            )
        position_counts = _read_all(store, recordings, batches, progress)
        fidelity = {}
        if options.fidelity_tokens:
            fidelity = measure(
                subject,
                coders,
                store,
                masked=masked,
                n_tokens=options.fidelity_tokens,
                progress=progress,
            )
        for name, recording in recordings.items():
            infos.append(recording.finish(position_counts, fidelity.get(name), progress))
            progress(Progress("finish", len(infos), len(recordings), "coders"))
    return infos


def _read_all(
    store: Store, recordings: Mapping[str, Recording], batches: Iterable[Batch], progress: ProgressCallback
) -> NDArray[np.int64]:
    """Record what fires in the batches, which come in corpus order. Returns, per position, the number of contexts cached
    there."""
    position_counts = np.zeros(store.ctx_len, dtype=np.int64)
    total = store.n_contexts * store.ctx_len
    done = 0
    for batch in batches:
        for name, firing in batch.firing.items():
            recordings[name].add(firing)
        position_counts += batch.position_counts
        done += batch.n_contexts * store.ctx_len
        progress(Progress("cache", done, total))
    return position_counts
