"""The tables of a coder file: how they are made.

Logits and neighbours are lists, one row a latent: ten numbers in ten rows would cost a row number each, and filling the table
ten times as long.
"""

from collections.abc import Iterable

from autointerp.store.coders.definitions import stored
from autointerp.types import Relation

# `place` = slot * tokens of the corpus + token index, where the slot counts latents in the order of their rows on disk
# (nearly that of their numbers, see `coder_writer`). It rises through the whole table, so that DuckDB stores gaps: 1.3 to 1.8
# bytes instead of 2.2 for token indices, which fall back at each new latent. `positional` alone is a reserved word of SQL.
# Lists hold UINTEGER: DuckDB packs them into the bits they need, and leaves 16-bit ones as they are.
_SCHEMA = """
CREATE TABLE meta(key VARCHAR, value VARCHAR);
CREATE TABLE activations(latent {latent}, place UBIGINT, activation USMALLINT);
CREATE TABLE latents(latent UINTEGER{statistics});
CREATE TABLE quantiles(latent {latent}, quantile UTINYINT, low USMALLINT, high USMALLINT);
CREATE TABLE histograms(latent {latent}, bin UTINYINT, n UBIGINT);
CREATE TABLE peaks(latent UINTEGER, away TINYINT, activation USMALLINT);
CREATE TABLE logits(latent UINTEGER, promoted UINTEGER[], promoted_value USMALLINT[], suppressed UINTEGER[],
 suppressed_value USMALLINT[]);
CREATE TABLE neighbours(latent UINTEGER{neighbours})
"""


STATED = """
CREATE TABLE stated(latent UINTEGER, density DOUBLE, max_activation FLOAT, edges FLOAT[], counts DOUBLE[], known UINTEGER[])
"""
"""Of a coder of which only selected contexts are known: what its file states of each latent, NULL where it does not, and in
which contexts the latent is known."""


def schema(n_latents: int, relations: Iterable[Relation], *, selected: bool = False) -> list[str]:
    """Statements that make the tables; `relations` are those with columns of their own."""
    neighbours = "".join(f", {name} UINTEGER[], {name}_value SMALLINT[]" for name in relations)
    statistics = "".join(f", {statistic.column} {statistic.stored}" for statistic in stored())
    text = _SCHEMA.format(latent=latent_type(n_latents), neighbours=neighbours, statistics=statistics)
    return [*text.strip().split(";"), *([STATED.strip()] if selected else [])]


def latent_type(n_latents: int) -> str:
    """Of the long table, and of those that a view mixes with it: a cast would hide a condition on it from the scan."""
    return "UINTEGER" if n_latents > 1 << 16 else "USMALLINT"
