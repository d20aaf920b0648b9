"""Show one latent: statistics, promoted tokens, example windows, explanations and their scores.

Examples come in four groups: random positives (drawn from all activating windows), top (strongest first), deciles (drawn from
each decile of the activating windows by their maximum; decile 1 is the strongest, `quantile` 0 in JSON), and non-activating,
the last of them hard negatives: windows in which a similar latent fires.

With --nearest-in, also the latents of other coders that are most like it, by correlation and Jaccard index of the activations
over the corpus (computed once for all latents of both, in minutes), and by direction where `match` has matched the two."""

import argparse
from typing import TYPE_CHECKING, Any, get_args

from autointerp import settings
from autointerp.cli.shared.arguments import add_store_argument
from autointerp.cli.shared.counterparts import counterparts_text, describe_counterparts
from autointerp.cli.shared.explanations import describe_explanations, explanations_text, open_annotations
from autointerp.cli.shared.output import printable, write_result
from autointerp.errors import UserError

if TYPE_CHECKING:
    from autointerp.store import CoderStore, Store
    from autointerp.store.annotations import Annotations
    from autointerp.types import Example

NAME = "latent"
HELP = "show one latent: statistics, examples, explanations, scores"

N_EXAMPLES = 20
MAX_EXAMPLES = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_store_argument(parser, coder=True)
    parser.add_argument("latent", metavar="LATENT", help="its number, from 0")
    parser.add_argument(
        "--window",
        type=int,
        default=settings.DEFAULT_WINDOW,
        help=f"tokens in an example, 0 for the whole context (default: {settings.DEFAULT_WINDOW})",
    )
    parser.add_argument(
        "--n", type=int, default=N_EXAMPLES, help=f"examples per group (default: {N_EXAMPLES})"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the random draws (default: 0)")
    parser.add_argument(
        "--distinct", action="store_true", help="show only one of several near-identical windows"
    )
    parser.add_argument(
        "--nearest-in",
        metavar="CODER",
        nargs="+",
        default=[],
        help="other coders in which to find the most similar latents",
    )


def run(args: argparse.Namespace) -> None:
    from autointerp.pipeline.described import example_groups
    from autointerp.store import Store

    if not 1 <= args.n <= MAX_EXAMPLES:
        raise UserError(f"--n {args.n}: give a number from 1 to {MAX_EXAMPLES:,}.")
    if args.seed < 0:
        raise UserError(f"--seed {args.seed}: a seed cannot be negative.")
    store = Store.open(args.store)
    if not 0 <= args.window <= store.ctx_len:
        raise UserError(
            f"--window {args.window}: windows in this store have 1 to {store.ctx_len} tokens; 0 is the whole context."
        )
    coder = store.coder(args.coder)
    latent = coder.check_latent(args.latent)
    groups = example_groups(
        store, coder, latent, window=args.window or None, n=args.n, seed=args.seed, distinct=args.distinct
    )
    document = describe(store, coder, latent, groups)
    with open_annotations(store.path) as annotations:
        document |= describe_explanations(annotations, coder.info.coder, latent)
        members = annotations.collections.of(coder.info.coder, latent)
        document["collections"] = [
            {name: getattr(each, name) for name in ("collection", "note", "author", "created")}
            for each in members
        ]
        document["verdicts"] = _verdicts(annotations, coder.info.coder, latent)
        if args.nearest_in:
            document |= _nearest_in(store, annotations, coder, latent, args.nearest_in)
    write_result(document, as_text(store, document, groups), as_json=args.json)


def _verdicts(annotations: "Annotations", coder: str, latent: int) -> list[dict[str, Any]]:
    """What people said of its explanations, in order of arrival."""
    from autointerp.ratings import VERDICTS

    fields = ("rater", "role", "round", "verdict", "confidence", "note", "tags", "created")
    return [
        {
            "audit": rating.audit_id,
            "explanation": item.explanation_id,
            **{name: getattr(rating, name) for name in fields},
            "label": VERDICTS[rating.verdict].label,
        }
        for item, rating in annotations.audits.about(coder, latent)
        if rating.verdict is not None
    ]


def _nearest_in(
    store: "Store", annotations: "Annotations", coder: "CoderStore", latent: int, others: list[str]
) -> dict[str, Any]:
    from autointerp.cli.shared.progress import progress_bars
    from autointerp.pipeline.resources import Resources

    with progress_bars() as progress:
        return describe_counterparts(
            Resources(store, annotations), coder.info.coder, latent, others, progress
        )


def describe(
    store: "Store", coder: "CoderStore", latent: int, groups: dict[str, list["Example"]]
) -> dict[str, Any]:
    """The document behind `latent --json`."""
    from autointerp.store import STATISTICS
    from autointerp.types import Relation

    stats = coder.all_stats(latent)
    promoted, suppressed = coder.promoted(latent)
    words = store.vocabulary()
    return {
        "coder": coder.info.coder,
        "latent": latent,
        "selected": coder.info.selected,
        **{name: stats[name] for name in STATISTICS},
        "promoted": [{**vars(logit), "text": words.text(logit.token)} for logit in promoted],
        "suppressed": [{**vars(logit), "text": words.text(logit.token)} for logit in suppressed],
        "logit_unit": coder.info.logit_unit if promoted or suppressed else None,
        "neighbours": {relation: coder.neighbours(latent, relation) for relation in get_args(Relation)},
        "cofiring_share": coder.info.cofiring_share,
        "examples": groups,
    }


def as_text(store: "Store", document: dict[str, Any], groups: dict[str, list["Example"]]) -> str:
    """The document as text, the strongest token of each window in «guillemets»."""
    from autointerp.pipeline.described import GROUPS, SELECTED, statistics

    head = f"{printable(document['coder'])}, latent {document['latent']}"
    if not document["n_activations"]:
        what = (
            "the imported files have no context for it"
            if document["selected"]
            else "dead, it never fires in this corpus"
        )
        return "\n".join([f"{head}: {what}.", *explanations_text(document)])
    lines = [
        head,
        *([f"  {SELECTED}"] if document["selected"] else []),
        *(f"  {label}: {value}" for label, value in statistics(store, document)),
    ]
    for name in ("promoted", "suppressed"):
        if document[name]:
            lines.append(f"  {name} tokens: " + " ".join(repr(t["text"]) for t in document[name]))
    for each in document["collections"]:
        note = f": {printable(each['note'])}" if each["note"] else ""
        lines.append(f"  in the collection {printable(each['collection'])}{note}")
    lines += explanations_text(document)
    for each in document["verdicts"]:
        settled = ", settled together" if each["role"] == "adjudicator" else ""
        again = ", seen again" if each["round"] else ""
        note = f": {printable(each['note'])}" if each["note"] else ""
        label = printable(each["label"])
        lines.append(
            f"  verdict {label} by {printable(each['rater'])} on {each['explanation']}{settled}{again}{note}"
        )
    lines += [*counterparts_text(document)]
    for name, examples in groups.items():
        lines += ["", GROUPS[name], *(_line(store, example) for example in examples)]
    return "\n".join(lines)


def _line(store: "Store", example: "Example") -> str:
    pieces = [printable(piece) for piece in store.decode(example.token_ids)]
    place = f"{example.context}:{example.start}"
    if example.max_activation > 0:
        peak = int(example.activations.argmax())
        while peak and not pieces[peak]:  # a later byte of a character, which is shown on its first one
            peak -= 1
        pieces[peak] = f"«{pieces[peak]}»"
        decile = "" if example.quantile is None else f"decile {example.quantile + 1}"
        place = f"{example.max_activation:8.3f}  {decile:9}  {place}"
    elif example.neighbour is not None:
        place = f"latent {example.neighbour} fires  {place}"
    return f"  {place}  {''.join(pieces)}"
