"""Reading everything in a store, to see whether it is whole: what opening it leaves to the moment when it is needed."""

import hashlib
from collections.abc import Iterator

import numpy as np

from autointerp.errors import StoreError
from autointerp.store.annotations import Annotations
from autointerp.store.catalog import AttachedCoder, Generation
from autointerp.store.database import quote
from autointerp.store.manifest import REBUILD
from autointerp.store.store import Store
from autointerp.types import Progress, ProgressCallback, no_progress

_ROWS = 4096
_CORPUS = ("vocabulary", "documents", "contexts")
_CODER = ("activations", "latents", "quantiles", "histograms", "peaks", "logits", "neighbours")
_AGAIN = "Remove the file and cache this coder again."


def check(store: Store, progress: ProgressCallback = no_progress) -> list[str]:
    """What is wrong, one sentence each with its way out: `Store.problems`, and whatever reading every byte brings out. Token
    ids are those that were written (SHA-256), every block of a database file is as it was written, every number lies where it
    can, and SQLite finds its file whole."""
    generation = store.generation()
    problems = [*generation.problems, *_corpus(store, generation)]
    for done, (name, coder) in enumerate(generation.coders.items()):
        progress(Progress("check coders", done, len(generation.coders), "coders"))
        path = store.layout.coder(name)
        problems += [f"{path}: {problem}. {_AGAIN}" for problem in _coder(store, generation, coder)]
    progress(Progress("check coders", len(generation.coders), len(generation.coders), "coders"))
    try:
        with Annotations(store.path, read_only=True) as annotations:
            problems += annotations.damage()
    except StoreError as error:
        problems.append(str(error))
    return problems


def _corpus(store: Store, generation: Generation) -> Iterator[str]:
    digest = hashlib.sha256()
    largest = 0
    for start in range(0, store.n_contexts, _ROWS):
        rows = np.ascontiguousarray(store.tokens[start : start + _ROWS])
        digest.update(rows.data.cast("B"))
        largest = max(largest, int(rows.max(initial=0)))
    if digest.hexdigest() != store.meta["corpus"]["sha256"]:
        yield f"{store.layout.tokens}: the token ids are not those that were written. {REBUILD}"
    path = store.layout.corpus_database
    for table in _CORPUS:
        try:
            _read(generation, f"corpus.{table}")
        except StoreError as error:
            yield str(error)
            return
    if largest >= store.vocab_size:
        yield f"{store.layout.tokens}: token {largest} is not among the {store.vocab_size} of the vocabulary. {REBUILD}"
    ids = generation.columns("SELECT min(token) AS low, max(token) AS high FROM corpus.vocabulary")
    if store.vocab_size and (ids["low"][0], ids["high"][0]) != (0, store.vocab_size - 1):
        yield f"{path}: the vocabulary is not numbered from 0. {REBUILD}"


def _coder(store: Store, generation: Generation, coder: AttachedCoder) -> Iterator[str]:
    info = coder.info
    try:
        tables = (*_CODER, "stated") if info.selected else _CODER
        for table in tables:
            _read(generation, f"{coder.alias}.{table}")
        last = info.n_latents - 1
        for table in tables:
            highest = generation.columns(f"SELECT max(latent) AS high FROM {coder.alias}.{table}")["high"][0]
            if highest is not None and not np.ma.is_masked(highest) and int(highest) > last:
                yield f"table {table} names latent {int(highest)}; the coder has 0 to {last}"
        ids = generation.columns(f"SELECT count(DISTINCT latent) AS n FROM {coder.alias}.latents")["n"][0]
        if int(ids) != info.n_latents:
            yield f"its statistics cover {int(ids)} latents; the coder has {info.n_latents}"
        counted = generation.columns(
            f"SELECT count(*) AS n FROM (SELECT latent, count(*) AS n FROM {coder.alias}.activations GROUP BY latent) AS found"
            f" FULL JOIN (SELECT latent::UINTEGER AS latent, n_activations FROM {coder.alias}.latents WHERE n_activations > 0)"
            " AS said ON found.latent = said.latent WHERE found.n IS DISTINCT FROM said.n_activations"
        )["n"][0]
        if int(counted):
            yield f"{int(counted)} latents have activations that differ from their statistics"
    except StoreError as error:
        yield str(error).removesuffix(f" {REBUILD}").rstrip(".")


def _read(generation: Generation, table: str) -> None:
    """Every value of the table, so that DuckDB compares the checksum of every block. Raises StoreDamaged."""
    schema, name = table.split(".")
    generation.columns(f"SELECT bit_xor(hash(t)) AS n FROM {quote(schema)}.{quote(name)} AS t")
