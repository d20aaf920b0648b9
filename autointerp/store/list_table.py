"""A whole list of latents as one table, to take elsewhere: statistics, the shown explanation, people's verdict and a score,
with stable names, numbers as they are stored, and a record of where it comes from."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autointerp import __version__
from autointerp.records import now
from autointerp.store.annotated import annotated_store
from autointerp.store.annotations import Annotations
from autointerp.store.listing import whole_list
from autointerp.store.queries import LatentQuery
from autointerp.store.score_kinds import ScoreKind
from autointerp.store.store import Store

RECORD = b"autointerp"
"""The key of a table's record (JSON) in its metadata, which a Parquet file keeps."""

_EXPLANATION = {
    "text": "explanation",
    "explainer": "explainer",
    "model": "explainer_model",
    "author": "author",
    "created": "explained",
    "pinned": "pinned",
    "n_explanations": "n_explanations",
    "explanation_id": "explanation_id",
}
_SCORE = {
    "value": "score",
    "ci_low": "score_low",
    "ci_high": "score_high",
    "floor": "floor",
    "above_low": "above_floor_low",
    "n_pos": "n_activating",
    "n_neg": "n_non_activating",
    "unparsed": "unparsed",
    "metric": "metric",
    "scorer": "scorer",
    "judge": "judge",
    "model": "judge_model",
    "protocol": "protocol",
    "negatives": "negatives",
    "score_id": "score_id",
}
_VERDICT = {
    "verdict": "verdict",
    "n_raters": "n_raters",
    "adjudicated": "adjudicated",
    "explanation_id": "judged_explanation_id",
}
"""Columns of the summaries, and their names in the table."""


def list_table(
    store: Store,
    coders: Sequence[str],
    query: LatentQuery,
    *,
    annotations: Annotations | None = None,
    about: Mapping[str, Any] | None = None,
) -> pa.Table:
    """Every latent of the list, in its order, one row each; limit and offset do not count. What a latent lacks is null.

    Its metadata hold, as JSON under `RECORD`, the store's name, model and corpus, the coders, the kind of score with its
    settings, the version of this program, the time, and `about`. Raises as `list_latents`.
    """
    table = whole_list(store, coders, query, annotations=annotations)
    columns: dict[str, Any] = {name: table[name] for name in table.column_names if name != "relevance"}
    if "top_token" in columns:
        tokens = columns["top_token"].to_pylist()
        text = {token: store.vocabulary().text(token) for token in set(tokens) if token is not None}
        columns["top_token_text"] = pa.array([text.get(token) for token in tokens], pa.string())
    if query.spots is not None or query.matches is not None:
        columns["relevance"] = table["relevance"]
    if annotations is not None:
        kept = annotated_store(annotations)
        written = {coder: kept.coder(coder) for coder in coders}
        columns |= _joined(table, {coder: each.explanations for coder, each in written.items()}, _EXPLANATION)
        if any(each.verdicts.num_rows for each in written.values()):
            seen = {coder: each.verdicts_but(query.unseen.get(coder, ())) for coder, each in written.items()}
            columns |= _joined(table, seen, _VERDICT)
        if query.kind is not None:
            names = ["latent", *_SCORE]
            scores = {coder: each.of_kind(query.kind, names) for coder, each in written.items()}
            columns |= _joined(table, scores, _SCORE)
    record = {
        "store": store.path.name,
        "model": store.meta["model"].get("name"),
        "corpus": store.meta["corpus"].get("name"),
        "corpus_sha256": store.meta["corpus"].get("sha256"),
        "coders": list(coders),
        "sort": query.sort,
        "descending": query.descending,
        "score": _described(query.kind),
        "n_rows": table.num_rows,
        "written": now(),
        "autointerp": __version__,
        **(about or {}),
    }
    return pa.table(columns).replace_schema_metadata({RECORD: json.dumps(record, default=str)})


def _joined(
    table: pa.Table, summaries: Mapping[str, pa.Table], names: Mapping[str, str]
) -> dict[str, pa.Array]:
    """Columns of the summaries, by latent, in the order of the table."""
    parts = [summary.select(list(names)) for summary in summaries.values()]
    plain = pa.schema([(field.name, _plain(field.type)) for field in parts[0].schema]) if parts else None
    if plain is None:
        return {}
    whole = pa.concat_tables([part.cast(plain) for part in parts])
    coder = table["coder"].to_numpy(zero_copy_only=False)
    latent = table["latent"].to_numpy()
    at, first = np.full(table.num_rows, -1, np.int64), 0
    for name, summary in summaries.items():
        own = np.flatnonzero(coder == name)
        at[own] = _places(summary["latent"].to_numpy(), latent[own], first)
        first += summary.num_rows
    rows = whole.take(pa.array(at, mask=at < 0))
    return {title: rows[name] for name, title in names.items()}


def _places(known: NDArray[np.integer], wanted: NDArray[np.integer], first: int) -> NDArray[np.int64]:
    """Where each of `wanted` stands in `known`, which ascends, counted from `first`; -1 where it does not."""
    if not len(known):
        return np.full(len(wanted), -1, np.int64)
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[at] == wanted, at + first, -1)


def _plain(kind: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_dictionary(kind) else kind


def _described(kind: ScoreKind | None) -> dict[str, Any] | None:
    if kind is None:
        return None
    words = ("scorer", "judge", "model", "protocol", "negatives")
    return {**{word: getattr(kind, word) for word in words}, "settings": dict(kind.settings)}
