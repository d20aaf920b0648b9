"""Statistics that a coder file does not hold: worked out once for all latents of a coder and kept in the store's `derived/`."""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autointerp.store.catalog import AttachedCoder, Generation
from autointerp.store.coders.definitions import STATISTICS
from autointerp.store.coders.spool import BLOCK_ROWS, LatentBlock, stable_order
from autointerp.store.coders.statistics import Grid
from autointerp.store.derived import Derivation


def blocks(
    generation: Generation,
    coder: AttachedCoder,
    max_rows: int = BLOCK_ROWS,
    *,
    first: int = 0,
    stop: int | None = None,
) -> Iterator[LatentBlock]:
    """All activations of the latents `first` to `stop` (exclusive) in latent order, in blocks of about `max_rows` rows."""
    counted = generation.columns(f"SELECT n_activations FROM {coder.alias}.latents ORDER BY latent")
    counts = counted["n_activations"].astype(np.int64)
    ends = np.concatenate([[0], np.cumsum(counts)])
    n_tokens = coder.info.n_contexts * coder.info.ctx_len
    stop = len(counts) if stop is None else stop
    while first < stop:
        last = int(np.searchsorted(ends, ends[first] + max_rows, side="right")) - 1
        last = min(max(last, first + 1), stop)
        rows = generation.columns(
            f"SELECT latent, place, activation FROM {coder.alias}.activations WHERE latent BETWEEN ? AND ?",
            [first, last - 1],
        )
        order = stable_order(rows["latent"], coder.info.n_latents)
        token, bits = (rows["place"] % np.uint64(n_tokens))[order], rows["activation"][order]
        yield LatentBlock(first, ends[first : last + 1] - ends[first], token, bits, coder.info.scale)
        first = last


def grid(generation: Generation) -> Grid:
    """The corpus as statistics see it."""
    tokens = generation.tokens
    return Grid(tokens.reshape(-1), tokens.shape[1], generation.vocab_size)


def known_values(
    generation: Generation, coder: AttachedCoder, names: Iterable[str]
) -> dict[str, NDArray[np.float64]]:
    """Of the computed statistics `names`, those that were worked out before, by this process or another."""
    values = {}
    for name in names:
        memo = (_MEMO, coder.alias, name, STATISTICS[name].version)
        if memo not in generation.memo:
            table = _derivation(coder, name).load(generation.layout.root)
            if table is None or table.num_rows != coder.info.n_latents:
                continue
            generation.memo[memo] = table["value"].to_numpy()
        values[name] = generation.memo[memo]
    return values


def all_values(
    generation: Generation, coder: AttachedCoder, names: Iterable[str]
) -> dict[str, NDArray[np.float64]]:
    """Float64[ndarray, " n_latents"] of each computed statistic, NaN where a latent has no value. What was never worked out is
    now, in one pass over the activations (about 5 million a second)."""
    names = list(names)
    if coder.info.selected:  # of a corpus that nobody has
        return {name: np.full(coder.info.n_latents, np.nan) for name in names}
    with generation.computing:
        values = known_values(generation, coder, names)
        missing = [name for name in names if name not in values]
        if missing:
            corpus, parts = grid(generation), {name: [] for name in missing}
            for block in blocks(generation, coder):
                for name, part in compute(block, corpus, missing).items():
                    parts[name].append(part)
            for name in missing:
                values[name] = np.concatenate(parts[name])
                keep(generation, coder, name, values[name])
    return values


def compute(block: LatentBlock, corpus: Grid, names: Iterable[str]) -> dict[str, NDArray[np.float64]]:
    """The computed statistics `names` of the latents of `block`; their functions see the live ones alone."""
    live = block.counts > 0
    values = {}
    for name in names:
        statistic = STATISTICS[name]
        assert statistic.compute is not None
        values[name] = np.full(len(live), np.nan if statistic.null_when_dead else 0.0)
        if live.any():
            values[name][live] = statistic.compute(block.live, corpus)
    return values


def keep(generation: Generation, coder: AttachedCoder, name: str, values: NDArray[np.float64]) -> None:
    """In `derived/`, and in memory in any case."""
    _derivation(coder, name).save(generation.layout.root, pa.table({"value": values}))
    generation.memo[_MEMO, coder.alias, name, STATISTICS[name].version] = values


def tables(generation: Generation, coder: AttachedCoder, names: Iterable[str]) -> dict[str, str]:
    """Names of tables `latent, value` in the generation's DuckDB, by statistic."""
    made = {}
    for name, values in all_values(generation, coder, names).items():
        table = f"{coder.alias}_{name}_{STATISTICS[name].version}"
        with generation.lock:
            if table not in generation.memo:
                cursor = generation.cursor()
                latent = np.arange(len(values), dtype=np.uint32)
                cursor.register(
                    "computed", pa.table({"latent": latent, "value": pa.array(values, from_pandas=True)})
                )
                cursor.execute(f'CREATE OR REPLACE TABLE _computed."{table}" AS FROM computed')
                generation.memo[table] = True
        made[name] = f'_computed."{table}"'
    return made


def _derivation(coder: AttachedCoder, name: str) -> Derivation:
    return Derivation(name, STATISTICS[name].version, {coder.info.coder: coder.identity})


_MEMO = "computed"
