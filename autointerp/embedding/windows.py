"""Embedding every window of a store, once."""

from collections.abc import Iterable

from autointerp.embedding.base import TextEmbedder
from autointerp.settings import DEFAULT_WINDOW
from autointerp.store import Store
from autointerp.store.embeddings.reader import Places, WindowEmbeddings
from autointerp.store.embeddings.writer import EmbeddingWriter
from autointerp.types import Progress, ProgressCallback, no_progress

STAGE = "embed windows"


def embed_store(
    store: Store,
    embedder: TextEmbedder,
    *,
    window: int = DEFAULT_WINDOW,
    stride: int | None = None,
    progress: ProgressCallback = no_progress,
    block: int = 4096,
) -> WindowEmbeddings:
    """Embed all windows of `window` tokens, one at every `stride` (default: side by side), unless that is done already.

    What a stopped or killed call has finished is kept, and the next one goes on from there: at most `block` windows are
    computed twice. Another process at the same work is waited for. `progress` (in windows) may raise to stop. Raises
    StoreReadOnly, UserError for an impossible window.
    """
    places = store.window_places(window, stride)

    def complete() -> WindowEmbeddings | None:
        stored = store.embeddings(embedder.name, window=window, stride=stride)
        return stored if stored is not None and stored.fingerprint == embedder.fingerprint else None

    if (embeddings := complete()) is not None:
        return embeddings
    n = places.n_windows
    writer = EmbeddingWriter(
        store.path,
        embedder=embedder.name,
        fingerprint=embedder.fingerprint,
        precision=embedder.precision,
        dim=embedder.dim,
        places=places,
        corpus_sha256=store.meta["corpus"]["sha256"],
        block=block,
        waiting=lambda: progress(Progress(STAGE, 0, n, "windows")),
    )
    with writer:
        if (embeddings := complete()) is not None:
            writer.discard()  # another process finished while this one waited
            return embeddings
        left = writer.todo()
        done = n - sum(end - first for _, first, end in left)
        progress(Progress(STAGE, done, n, "windows"))
        for number, first, end in left:

            def report(step: Progress, before: int = done) -> None:
                progress(Progress(STAGE, before + step.done, n, "windows"))

            writer.put(number, embedder.embed(window_texts(store, places, range(first, end)), report))
            done += end - first
        writer.finish()
    embeddings = complete()
    assert embeddings is not None
    return embeddings


def window_texts(store: Store, places: Places, rows: Iterable[int]) -> list[str]:
    """The texts of windows, as shown to people and judges."""
    decode, tokens = store.vocabulary().decode_text, store.tokens
    texts = []
    for row in rows:
        context, start, end = places.place(row)
        texts.append(decode(tokens[context, start:end]))
    return texts
