"""A new store from sources with selected contexts: the corpus is their distinct contexts, and figures are those that they
state."""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autointerp.errors import StoreError, UserError
from autointerp.formats.selected.gather import Gathered, Ranked, Texts
from autointerp.formats.selected.names import PADDING, vocabulary
from autointerp.formats.selected.records import Context, Source
from autointerp.formats.staging import Staged
from autointerp.formats.summary import Summary
from autointerp.store import CoderWriter, CorpusWriter, Stated, Store
from autointerp.store.coder_writer import Logits, Neighbours
from autointerp.store.coders.half import power_of_two_scale
from autointerp.store.files import writing
from autointerp.types import SELECTED, Progress, ProgressCallback

UNKNOWN = "The files hold selected contexts, not a corpus, and do not state it."
_AT_ONCE = 1 << 12


def write_store(
    into: Staged,
    sources: Sequence[Source],
    *,
    model: str,
    corpus: str,
    summary: Summary,
    progress: ProgressCallback,
) -> Store:
    """Every source as a coder of one new store; where the store is there, nothing is written, and it must hold just that.
    Raises UserError."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="autointerp-import-")))
        texts = Texts(folder)
        stack.callback(texts.close)
        gathered = []
        for number, source in enumerate(sources):
            coder = Gathered(source, texts, folder, number)
            stack.callback(coder.close)
            with writing(folder):
                _gather(coder, progress)
            gathered.append(coder)
        if not texts.lengths:
            raise UserError(
                "the files hold no context at all, so there is nothing to browse. Give the files with activations too."
            )
        entries = [*vocabulary(list(texts.names)), PADDING]
        if not into.is_new:
            return _check_same(into.path, gathered, texts, summary)
        store = _write_corpus(into.path, texts, entries, model=model, corpus=corpus, progress=progress)
        summary.take("contexts", store.n_contexts)
        for coder in gathered:
            _write_coder(store, coder, summary, progress)
            into.coders.append(coder.source.name)
        return store


def _gather(coder: Gathered, progress: ProgressCallback) -> None:
    n = 0
    for record in coder.source.read():
        coder.take(record)
        n += isinstance(record, Context)
        if n % _AT_ONCE == 0:
            progress(Progress(f"read {coder.source.name}", n, max(n, 1), "contexts"))
    progress(Progress(f"read {coder.source.name}", n, n, "contexts"))
    if not coder.n_latents:
        raise UserError(f"{coder.source.path!r} has none of the latents that were asked for.")


def _write_corpus(
    path: Path, texts: Texts, entries: list, *, model: str, corpus: str, progress: ProgressCallback
) -> Store:
    padding, ctx_len = len(entries) - 1, texts.ctx_len
    with CorpusWriter(
        path,
        model={"name": model, "source": model},
        tokenizer={"source": None, "padding": padding, "by_name": True},
        name=corpus,
        ctx_len=ctx_len,
        vocabulary=entries,
    ) as writer:
        for rows in texts.rows(padding):
            writer.append(rows)
        documents = [
            (f"context {number}", number * ctx_len, length) for number, length in enumerate(texts.lengths)
        ]
        return writer.finish(documents, progress)


def _write_coder(store: Store, coder: Gathered, summary: Summary, progress: ProgressCallback) -> None:
    source, n = coder.source, coder.n_latents
    figures = coder.figures.values()
    logits, neighbours = _logits(coder), _neighbours(coder)
    absent = {"fidelity": UNKNOWN, "cofiring": UNKNOWN, "encoder": UNKNOWN, **source.absent}
    absent |= {} if logits else {"promoted_tokens": source.absent.get("promoted_tokens", UNKNOWN)}
    absent |= {} if neighbours else {"decoder": source.absent.get("decoder", UNKNOWN)}
    lengths = np.frombuffer(coder.texts.lengths, dtype=np.uint32).astype(np.int64)

    def named(report: Progress) -> None:
        progress(Progress(f"{report.stage} {source.name}", report.done, report.total, report.unit))

    with CoderWriter(
        store,
        source.name,
        kind=source.kind,
        hookpoint=source.hookpoint,
        n_latents=n,
        k=None,
        d_in=0,
        source=source.path,
        config={**source.config, "contexts": SELECTED, "absent": absent},
        scale=power_of_two_scale(coder.largest),
    ) as writer:
        for part in coder.by_context():
            token = part["context"].astype(np.int64) * store.ctx_len + part["position"]
            writer.append(part["latent"].astype(np.int64), token, part["value"])
        taken = writer.n_activations
        known = coder.known()
        edges = max((len(each.edges) for each in figures), default=0)
        writer.finish(
            n_tokens=int(lengths.sum()),
            position_counts=(lengths[:, None] > np.arange(store.ctx_len)).sum(axis=0)
            if len(lengths) * store.ctx_len < 1 << 27
            else np.array([(lengths > at).sum() for at in range(store.ctx_len)]),
            logits=logits,
            neighbours=neighbours,
            stated=Stated(
                density=_column(coder, "density", summary),
                max_activation=_column(coder, "maximum", summary),
                edges=_table(coder, lambda each: each.edges, edges),
                counts=_table(coder, lambda each: each.counts, max(edges - 1, 0)),
                known=known,
            ),
            progress=named,
        )
    summary.take("coders")
    summary.take("latents", len(set(coder.latents) | coder.figures.keys()))
    summary.take("activations", taken)
    repeats = len(coder.latents) - len(known)
    if repeats:
        summary.leave(
            "contexts", "the same latent has the same text more than once; the first is kept", repeats
        )
    if coder.n_negative:
        summary.leave("activations", "below 0: a store keeps only activations that fire", coder.n_negative)


def _column(coder: Gathered, name: str, summary: Summary) -> NDArray[np.float64]:
    """A figure of all latents, NaN where it is not stated; 0 of a latent that is active is no statement but a gap."""
    column = np.full(coder.n_latents, np.nan)
    for latent, figures in coder.figures.items():
        stated = getattr(figures, name)
        if stated == 0 and latent in coder.live:
            summary.leave(
                f"{name} of latents",
                "stated as 0 although the latent is active: rounded, or not filled in",
                1,
            )
        elif stated is not None:
            column[latent] = stated
    return column


def _table(coder: Gathered, value: Callable, width: int) -> NDArray[np.float64]:
    table = np.full((coder.n_latents, width), np.nan)
    for latent, figures in coder.figures.items():
        row = value(figures)
        table[latent, : len(row)] = row
    return table


def _ranked(coder: Gathered, value: Callable) -> Ranked | None:
    """[n_latents, m] ids, -1 for none, and values; `None` where no latent has any."""
    width = max((len(value(each)[0]) for each in coder.figures.values()), default=0)
    if not width:
        return None
    ids = np.full((coder.n_latents, width), -1, dtype=np.int32)
    values = np.zeros((coder.n_latents, width), dtype=np.float32)
    for latent, figures in coder.figures.items():
        own, strength = value(figures)
        ids[latent, : len(own)], values[latent, : len(own)] = own, strength
    return ids, values


def _logits(coder: Gathered) -> Logits | None:
    promoted, suppressed = (
        _ranked(coder, lambda each: each.promoted),
        _ranked(coder, lambda each: each.suppressed),
    )
    if promoted is None and suppressed is None:
        return None
    nothing: Ranked = np.full((coder.n_latents, 1), -1, np.int32), np.zeros((coder.n_latents, 1), np.float32)
    first, second = promoted or nothing, suppressed or nothing
    return first[0], first[1], second[0], second[1]


def _neighbours(coder: Gathered) -> Neighbours:
    near = _ranked(coder, lambda each: each.near)
    if near is None:
        return {}
    ids, values = near
    return {"decoder": (np.where(ids < coder.n_latents, ids, -1), values)}


def _check_same(path: Path, gathered: Sequence[Gathered], texts: Texts, summary: Summary) -> Store:
    """Raises StoreError unless the store was made of these very files."""
    store = Store.open(path)
    other = StoreError(
        f"{path} holds another text. An import of selected contexts needs a new store: choose another folder, and give all "
        "sources of one model in one command."
    )
    if store.tokens.shape != (len(texts.lengths), texts.ctx_len):
        raise other
    first = 0
    for rows in texts.rows(store.meta["tokenizer"].get("padding") or 0):
        if not np.array_equal(store.tokens[first : first + len(rows)], rows):
            raise other
        first += len(rows)
    there = {info.coder: info for info in store.coders()}
    for coder in gathered:
        info = there.get(coder.source.name)
        if info is None or not info.selected or info.n_latents != coder.n_latents:
            raise other
        summary.take("coders", known=1)
    summary.take("contexts", store.n_contexts, known=store.n_contexts)
    return store
