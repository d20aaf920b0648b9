"""Audits, as commands name them."""

from typing import TYPE_CHECKING

from autointerp.errors import UnknownName, UserError

if TYPE_CHECKING:
    from autointerp.store.annotations import Annotations


def find_audit(annotations: "Annotations", text: str) -> str:
    """The id of the audit with this id or name, or of the only one whose id begins or ends so. Raises UserError."""
    wanted, heads = text.strip(), annotations.audits.all()
    ids = (
        [head.id for head in heads if head.id == wanted.upper()]
        or [head.id for head in heads if head.name == wanted]
        or [
            head.id
            for head in heads
            if wanted and (head.id.startswith(wanted.upper()) or head.id.endswith(wanted.upper()))
        ]
    )
    if not ids:
        raise UnknownName("audit", text, [head.id for head in heads[:5]])
    if len(ids) > 1:
        raise UserError(
            f"{text!r} is not unique: {len(ids)} audits are so called, among them {', '.join(ids[:5])}."
        )
    return ids[0]
