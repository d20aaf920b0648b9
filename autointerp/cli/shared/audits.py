"""Audits, as commands name them."""

import argparse
from typing import TYPE_CHECKING

from autointerp.errors import UnknownName, UserError

if TYPE_CHECKING:
    from autointerp.store.annotations import Annotations


def add_audit_argument(parser: argparse.ArgumentParser) -> None:
    """AUDIT, which may be left out."""
    parser.add_argument(
        "audit",
        nargs="?",
        metavar="AUDIT",
        help="an id, its beginning or end, or a name (default: the only one in the store)",
    )


def find_audit(annotations: "Annotations", text: str | None) -> str:
    """The id of the audit with this id or name, or of the only one whose id begins or ends so; `None`: of the only one at all.
    Raises UserError."""
    heads = annotations.audits.all()
    if not heads:
        raise UserError("There are no audits in this store. Draw one: `autointerp audit create STORE`.")
    if text is None:
        if len(heads) > 1:
            named = ", ".join(f"{head.name} ({head.id})" for head in heads[:5])
            raise UserError(f"Choose one of {len(heads)} audits: {named}{', ...' if len(heads) > 5 else ''}.")
        return heads[0].id
    wanted = text.strip()
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
        raise UserError(f"{text!r} is ambiguous: {len(ids)} audits match, among them {', '.join(ids[:5])}.")
    return ids[0]
