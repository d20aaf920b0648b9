"""The questions of a judge's task once they are answered: what was right, and who was."""

from collections.abc import Sequence
from typing import Any

from autointerp.audit.human import Question
from autointerp.ratings import AuditItem, Task
from autointerp.records import JudgedExample
from autointerp.sampling import visible_marks
from autointerp.sampling.windows import cut
from autointerp.store import Store
from autointerp.ui.shared import components, payload, services

RIGHT = {
    "detection": ("Fires", "Whether the feature fires somewhere in the text: orange where it does"),
    "fuzzing": ("Marks right", "Whether the marked tokens are those on which the feature fires: orange where it does"),
}  # fmt: skip


def draw(store: Store, item: AuditItem, task: Task, questions: Sequence[Question]) -> None:
    """A row a question, in the order in which they were asked."""
    title, help_ = RIGHT[task]
    columns = [
        {"title": "", "num": True},
        {"title": "Text", "kind": "tokens"},
        {"title": title, "help": help_},
        {"title": "You", "cls": "name", "help": "Whether you were right, and what you said"},
        {"title": "Judge", "cls": "name", "help": "Whether the automatic judge was right, and what it said"},
    ]
    table = payload.token_table(store)
    rows = [
        {
            "cells": [
                str(at),
                _text(store, item, asked.person, table),
                _word(asked.person.truth),
                said(asked.person),
                said(asked.judge),
            ]
        }
        for at, asked in enumerate(questions, start=1)
    ]
    data = {"columns": columns, "rows": rows, "page": "", "table": table.entries}
    components.table(data, key=f"audit_questions_{task}")


def said(answer: JudgedExample | None) -> str:
    """`Right: yes`, `Wrong: no`; of the judge also where it was not asked this."""
    if answer is None:
        return "not asked"
    if answer.answer is None:
        return "no answer"
    return f"{'Right' if answer.correct else 'Wrong'}: {_word(answer.answer)}"


def _word(answer: bool | None) -> str:
    return "" if answer is None else "yes" if answer else "no"


def _text(
    store: Store, item: AuditItem, asked: JudgedExample, table: payload.TokenTable
) -> dict[str, Any] | str:
    stop = asked.start + asked.window
    if asked.context >= store.n_contexts or stop > store.ctx_len:
        return "this text is not in this store"
    coder = store.coder(item.coder)
    activations = services.resources(store).activations.get(coder, item.latent)
    example = cut(activations, store.tokens, asked.context, asked.start, stop)
    drawn = {**payload.row(example, table), "max": float(activations.activation.max(initial=0.0))}
    if asked.marks is not None:
        drawn["mk"] = sorted(visible_marks(table.decode(example.token_ids.tolist()), asked.marks))
    return drawn
