"""Caching: a model's tokens in, one finished coder file per sparse coder out, in memory that does not grow."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autointerp.caching.corpus import CorpusRequest, open_or_make
from autointerp.caching.fidelity import N_TOKENS as FIDELITY_TOKENS
from autointerp.caching.fidelity import measure
from autointerp.caching.masking import position_mask
from autointerp.caching.recording import Recording
from autointerp.caching.sources import Dataset, TextDocument
from autointerp.errors import BadActivations, CoderLoadError, CorpusError, StoreError
from autointerp.models.coders.coder import CoderSpec, SparseCoder
from autointerp.models.coders.loading import load_coder
from autointerp.models.hooks import Tap
from autointerp.models.subject import SubjectModel, load_subject
from autointerp.store import Store
from autointerp.store.files import check_name
from autointerp.types import CoderInfo, Progress, ProgressCallback, no_progress

BATCH_SIZE = 32


@dataclass(frozen=True)
class Options:
    """What `cache` computes beside the activations. `fidelity_tokens`: 0 = none."""

    batch_size: int = BATCH_SIZE
    skip_bos: bool = True
    fidelity_tokens: int = FIDELITY_TOKENS
    logits: bool = True
    neighbours: bool = True


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
    overwrite: bool = False,
    trust_remote_code: bool = False,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype | None = None,
    tokenizer: str | None = None,
    progress: ProgressCallback = no_progress,
) -> list[CoderInfo]:
    """Cache what every latent of `coders` (name to spec) fires on, and finish their files.

    An existing store keeps its text: a source of text is needed only for a new one, and must not contradict what is there.
    Complete coders are skipped (`overwrite`: cached again); the others share one forward pass per batch, which ends after the
    last module read. A run that was killed can be repeated: the corpus and each coder appear complete or not at all.

    `config`, `split` and `column` choose within a data set (the last also in `.jsonl` files). `bos_every_row` puts BOS before
    every row of a new store, `join=False` begins a row with each document. `skip_bos` leaves out what begins, ends or joins
    documents; padding is always left out. `dtype`: of the model's weights, by default as in the store, float32 in a new one;
    "auto" for the checkpoint's own. `tokenizer`: where to take it from, if not from the model.

    Returns the infos of `coders`, in order.

    Raises UserError of the kind that fits (see `autointerp.errors`), with nothing half-written left.
    """
    if not coders:
        raise CoderLoadError("no coder given: there is nothing to cache")
    if batch_size < 1:
        raise CorpusError(f"batch size {batch_size}: at least 1 is needed")
    for name in coders:
        check_name(name)
    options = Options(batch_size, skip_bos, fidelity_tokens, logits, neighbours)
    subject = model
    if not isinstance(subject, SubjectModel):
        if dtype is None and (Path(store_path) / "store.json").exists():
            dtype = Store.open(store_path).meta["model"].get("dtype")
        subject = load_subject(
            str(model), trust_remote_code=trust_remote_code, device=device, dtype=dtype, tokenizer=tokenizer
        )
    loaded = {name: load_coder(spec, subject=subject, hookpoint=hookpoint) for name, spec in coders.items()}
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
        infos = _cache_missing(store, subject, missing, options, overwrite, progress)
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


def _cache_missing(
    store: Store,
    subject: SubjectModel,
    coders: Mapping[str, SparseCoder],
    options: Options,
    overwrite: bool,
    progress: ProgressCallback,
) -> list[CoderInfo]:
    """One pass over the corpus for all `coders`, then their fidelity, then statistics and file, one coder after the other."""
    infos = []
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
                    logits=options.logits,
                    overwrite=overwrite,
                )
            )
            for name, coder in coders.items()
        }
        position_counts = _read_all(store, subject, list(recordings.values()), options, progress)
        fidelity = {}
        if options.fidelity_tokens:
            fidelity = measure(
                subject,
                coders,
                store,
                masked=next(iter(recordings.values())).masked,
                n_tokens=options.fidelity_tokens,
                progress=progress,
            )
        for name, recording in recordings.items():
            infos.append(recording.finish(position_counts, fidelity.get(name), progress))
            progress(Progress("finish", len(infos), len(recordings), "coders"))
    return infos


@torch.inference_mode()
def _read_all(
    store: Store,
    subject: SubjectModel,
    recordings: Sequence[Recording],
    options: Options,
    progress: ProgressCallback,
) -> NDArray[np.int64]:
    """Run the model over every context. Returns, per position, the number of contexts cached there."""
    by_tap: dict[Tap, list[Recording]] = {}
    for recording in recordings:
        by_tap.setdefault(recording.coder.tap, []).append(recording)
    masked = recordings[0].masked
    position_counts = np.zeros(store.ctx_len, dtype=np.int64)
    total = store.n_contexts * store.ctx_len
    for start in range(0, store.n_contexts, options.batch_size):
        rows = np.asarray(store.tokens[start : start + options.batch_size], dtype=np.int64)
        subject.check_ids(rows)
        ids = torch.from_numpy(rows).to(subject.device)
        mask = position_mask(ids, masked)
        kept = mask.cpu().numpy()
        position_counts += kept.sum(0)
        token = np.flatnonzero(kept) + start * store.ctx_len
        whole = len(token) == kept.size
        for tap, activations in subject.read(list(by_tap), ids).items():
            x = activations.reshape(-1, activations.shape[-1]) if whole else activations[mask]
            x = x.float()
            _check_finite(x, tap, token, store.ctx_len)
            for recording in by_tap[tap]:
                recording.add(x, token)
        progress(Progress("cache", min(total, (start + len(rows)) * store.ctx_len), total))
    return position_counts


def _check_finite(x: Tensor, tap: Tap, token: NDArray[np.int64], ctx_len: int) -> None:
    # The sum is finite unless an element is not, or it overflows: only then every element is looked at.
    if bool(torch.isfinite(x.sum())) or bool((finite := torch.isfinite(x).all(dim=1)).all()):
        return
    first = int(token[int((~finite).nonzero()[0])])
    raise BadActivations(
        f"{tap} of the subject model is NaN or infinite in context {first // ctx_len}, position {first % ctx_len}. Check the "
        "model's weights, or load it in a wider dtype (float32)."
    )
