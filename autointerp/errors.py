"""Every error a user can meet.

    AutointerpError
    |-- UserError              input was wrong; the message says what came, what is accepted, what to do
    |   |-- StoreError         a store folder or one of its files
    |   |   |-- StoreMissing       nothing there, or not a store
    |   |   |-- StoreIncomplete    a build was interrupted; run it again to resume
    |   |   |-- StoreTooNew        written by a newer format version
    |   |   |-- StoreDamaged       truncated, foreign or inconsistent files
    |   |   |-- StoreReadOnly      the folder cannot be written to, or the disk is full
    |   |   |-- StoreBusy          another program kept the annotations locked
    |   |-- ModelLoadError     subject model, tokenizer or hookpoint
    |   |   |-- NoHead             a model that predicts no tokens, where that is needed
    |   |-- CoderLoadError     sparse coder files, or a coder that does not fit its hookpoint
    |   |   |-- NoDecoder          a coder without one, where that is needed
    |   |-- CorpusError        empty text, ids outside the vocabulary, impossible context length
    |   |-- BadActivations     NaN or infinity where activations should be
    |   |-- UnknownName        a coder, latent, context or hookpoint that does not exist
    |   |-- NoExamples         a latent that never fires

The command line prints a `UserError` without a traceback and exits 2; pages show it as a message. Anything else is a
bug: exit 1 with its traceback.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import ClassVar, NamedTuple, Self


class AutointerpError(Exception):
    """Base of all errors raised on purpose.

    `kind`: a stable word for records and filters. `retryable`: whether the same may succeed later without any change of
    settings ("retry only the failed").
    """

    kind: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False


class UserError(AutointerpError):
    """The input was wrong and the message tells the way out."""

    kind = "input"


def too_long(what: str, n: int | None, most: int) -> str:
    """What is said of a text of `n` characters that is too long to be kept, wherever it is said. `None`: with a place to put
    the number, `{n}`, for a text that is being typed."""
    return f"{what} has {'{n}' if n is None else f'{n:,}'} characters; at most {most:,} are kept. Shorten it."


def check_length(what: str, text: str, most: int) -> None:
    """Raises UserError for a text of more than `most` characters: nothing that a person typed is cut."""
    if len(text) > most:
        raise UserError(too_long(what, len(text), most))


class Failure(NamedTuple):
    """Why there is no result; the fields are those of failed records.

    `error_kind` is the `kind` of an error, or one of: "no_examples" (no activating ones), "no_negatives", "no_logits",
    "no_text" (nothing to score), "no_pattern" (the examples share nothing that can be named), "repeats_prompt" (a model gave
    the prompt back), "unparsed" (answers that could not be read), "undefined" (answers that make no score), "several" (of
    different kinds), "cancelled", "crashed" (the process died), "bug".
    """

    error: str
    error_kind: str = "error"
    retryable: bool = False

    @classmethod
    def of(cls, error: AutointerpError) -> Self:
        return cls(str(error), error.kind, error.retryable)


class NoExamples(UserError):
    """A latent that never fires: there is nothing to explain or to score on."""

    kind = "no_examples"


class StoreError(UserError):
    """Something about a store folder."""

    kind = "store"


class StoreMissing(StoreError):
    """The path holds no store."""


class StoreIncomplete(StoreError):
    """The store, or one of its files, was never finished."""


class StoreTooNew(StoreError):
    """The store was written by a newer program."""


class StoreTooOld(StoreError):
    """The store was written by an older program, in a format that is no longer read."""


class StoreDamaged(StoreError):
    """A file of the store is truncated, foreign or contradicts the others."""


class StoreReadOnly(StoreError):
    """The store cannot be written: permissions or a full disk."""


class StoreBusy(StoreError):
    """Another program kept the annotations locked for too long."""

    kind = "busy"
    retryable = True


class ModelLoadError(UserError):
    """The subject model, its tokenizer or a hookpoint cannot be used."""

    kind = "model"


class NoHead(ModelLoadError):
    """The model has no language-model head, so it neither continues texts nor tells how likely they are."""

    kind = "no_head"


class CoderLoadError(UserError):
    """A sparse coder's files are unusable or do not fit the hookpoint."""

    kind = "coder"


class NoDecoder(CoderLoadError):
    """The coder has no decoder, so changing its latents changes nothing."""

    kind = "no_decoder"


class CorpusError(UserError):
    """The text or token ids cannot be cached."""

    kind = "corpus"


class BadActivations(UserError):
    """A model or coder produced NaN or infinity."""

    kind = "activations"


class UnknownName(UserError):
    """A name or index that does not exist; carries the nearest ones that do."""

    kind = "unknown_name"

    def __init__(self, what: str, given: object, choices: Sequence[str], message: str | None = None):
        self.what = what
        self.given = given
        self.nearest = nearest(str(given), choices)
        listed = f" Nearest: {', '.join(self.nearest)}." if self.nearest else ""
        super().__init__(message or f"unknown {what} {given!r}.{listed}")


def nearest(given: str, choices: Sequence[str], n: int = 5) -> list[str]:
    """At most `n` of `choices`, closest in spelling first; the first ones when nothing is close."""
    close = get_close_matches(given, choices, n=n, cutoff=0.4)
    return close or list(choices[:n])
