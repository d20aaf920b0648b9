"""Audits between stores: everything needed to repeat one, and to merge what another person answered on another copy."""

from dataclasses import dataclass
from pathlib import Path

from autointerp.audit.files import Row, audit_rows, read_audit
from autointerp.audit.fingerprints import fingerprints
from autointerp.audit.merging import Conflict, Merge, Side, check_lines, merge
from autointerp.errors import UnknownName, UserError
from autointerp.ratings import Audit, Rating
from autointerp.store import Store
from autointerp.store.annotations import Annotations, RatingConflict

_TRIES = 5


@dataclass(frozen=True)
class Imported:
    """`is_new`: whether the store did not have the audit before. `new_ratings`: how many were added; `known_ratings`: how many
    said nothing new. `conflicts`: answers other than those here, taken only if asked for. `missing_explanations`: items about
    explanations that this store lacks."""

    audit: Audit
    is_new: bool
    new_ratings: int
    known_ratings: int
    conflicts: tuple[Conflict, ...]
    missing_explanations: int


def export_audit(annotations: Annotations, audit_id: str) -> list[Row]:
    """The rows of a file, see `autointerp.audit.files`. Raises UnknownName."""
    audit = annotations.audits.get(audit_id)
    history = annotations.audits.history(audit_id)
    return audit_rows(audit, history, {rating.id for rating in annotations.audits.ratings(audit_id)})


def import_audit(annotations: Annotations, path: Path, store: Store, *, take: Side = "here") -> Imported:
    """Adds the audit, or to it what the file has more. Importing twice changes nothing. Where both have another answer to the
    same question, the one here stays, unless `take` is "there". Raises UserError, and then changes nothing, for a file of
    another store, or of an audit that this one has with other items."""
    audit, ratings = read_audit(path)
    _check_store(store, audit)
    is_new = audit.id not in {head.id for head in annotations.audits.all()}
    if not is_new and annotations.audits.get(audit.id) != audit:
        raise UserError(
            f"The audit {audit.id} in {path.name!r} differs from the one that this store has under this id: its items or "
            "options "
            "were changed. Export it again from where it was made."
        )
    check_lines(ratings)
    if is_new:
        annotations.audits.create(audit)
    added = _add(annotations, audit, ratings, take)
    wanted = {id_ for item in audit.items for id_ in (item.explanation_id, item.text_id)}
    there = {explanation.id for explanation in annotations.explanations_of(list(wanted))}
    missing = sum(not {item.explanation_id, item.text_id} <= there for item in audit.items)
    return Imported(audit, is_new, len(added.new), added.known, added.conflicts, missing)


def _add(annotations: Annotations, audit: Audit, ratings: list[Rating], take: Side) -> Merge:
    for _ in range(_TRIES):
        added = merge(annotations.audits.history(audit.id), ratings, take=take)
        try:
            annotations.audits.rate(*added.new)
        except RatingConflict:  # someone has answered meanwhile
            continue
        return added
    raise UserError("This audit is being answered right now. Import the file again.")


def _check_store(store: Store, audit: Audit) -> None:
    """Raises UserError for an audit of another text or of other coders."""
    corpus, made_on = store.meta["corpus"]["sha256"], audit.store
    if made_on.get("corpus") != corpus:
        raise UserError(
            f"The audit “{audit.name}” was made on another text, corpus {str(made_on.get('corpus'))[:12]}; this store's is "
            f"{corpus[:12]}, so its contexts differ."
        )
    names, have = sorted({item.coder for item in audit.items}), [info.coder for info in store.coders()]
    for name in names:
        if name not in have:
            message = f"The audit “{audit.name}” is about the coder {name!r}, which this store does not have."
            raise UnknownName("coder", name, have, message)
    own = fingerprints(store, names)
    for name in names:
        same_file = own["coders"][name] == made_on.get("coders", {}).get(name)
        weights = own["weights"][name]
        if not same_file and (weights is None or weights != made_on.get("weights", {}).get(name)):
            raise UserError(
                f"The audit “{audit.name}” was made on a coder {name!r} that differs from this store's, so its latents do too."
            )
