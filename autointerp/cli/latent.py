"""One latent: statistics, the tokens it promotes, example windows by group, explanations and their scores.

Groups: top (strongest first, ties by position), random (a plain draw from its activating windows), quantiles (a draw from
each tenth of them, 0 = strongest), non_activating (windows where it is silent; hard ones are near in meaning)."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp import settings
from autointerp.cli.shared.annotated import describe_explanations, explanations_text, open_annotations
from autointerp.cli.shared.output import printable, write_result
from autointerp.errors import UserError

if TYPE_CHECKING:
    from autointerp.store import CoderStore, Store
    from autointerp.types import Example

NAME = "latent"
HELP = "statistics, examples, explanations and scores of one latent"

FORMATS = {
    "count": "{:,}",
    "density": "{:.3%}",
    "share": "{:.0%}",
    "activation": "{:.4g}",
    "decimal": "{:.3f}",
}
"""By the statistics' `format`."""
N_EXAMPLES = 20
N_HARD_FROM = 5
"""Nearest latents whose contexts are tried as hard negatives."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("store", type=Path, metavar="STORE", help="a store's folder")
    parser.add_argument("coder", metavar="CODER", help="a coder's name, as in `autointerp info`")
    parser.add_argument("latent", metavar="LATENT", help="a number from 0")
    parser.add_argument(
        "--window",
        type=int,
        default=settings.DEFAULT_WINDOW,
        help=f"tokens in an example (default: {settings.DEFAULT_WINDOW}); 0 is the full context",
    )
    parser.add_argument(
        "--n", type=int, default=N_EXAMPLES, help=f"examples in a group (default: {N_EXAMPLES})"
    )
    parser.add_argument("--seed", type=int, default=0, help="draws the random ones (default: 0)")
    parser.add_argument(
        "--distinct", action="store_true", help="show near-identical windows once (default: every window)"
    )


def run(args: argparse.Namespace) -> None:
    from autointerp.store import Store

    if args.n < 1:
        raise UserError(f"--n {args.n}: at least one example is needed.")
    if args.seed < 0:
        raise UserError(f"--seed {args.seed}: a seed is not negative.")
    store = Store.open(args.store)
    if not 0 <= args.window <= store.ctx_len:
        raise UserError(
            f"--window {args.window}: a window has 1 to {store.ctx_len} tokens in this store, or 0 for all."
        )
    coder = store.coder(args.coder)
    latent = coder.check_latent(args.latent)
    groups = example_groups(store, coder, latent, args)
    document = describe(store, coder, latent, groups)
    with open_annotations(store.path) as annotations:
        document |= describe_explanations(annotations, coder.info.coder, latent)
    write_result(document, as_text(store, document, groups), as_json=args.json)


def example_groups(
    store: "Store", coder: "CoderStore", latent: int, args: argparse.Namespace
) -> dict[str, list["Example"]]:
    """Every group of one latent, drawn with the seed of `args`."""
    import numpy as np

    from autointerp.sampling import build_groups

    neighbours = coder.neighbours(latent, "decoder", N_HARD_FROM)
    groups = build_groups(
        coder.activations(latent),
        store.tokens,
        window=args.window or None,
        n_top=args.n,
        n_random=args.n,
        n_per_quantile=max(1, args.n // 10),
        n_non_activating=args.n,
        rng=np.random.default_rng([args.seed, latent]),
        neighbour_acts=[(n.latent, coder.activations(n.latent)) for n in neighbours],
        dedupe=args.distinct,
    )
    return {str(name): examples for name, examples in groups.items()}


def describe(
    store: "Store", coder: "CoderStore", latent: int, groups: dict[str, list["Example"]]
) -> dict[str, Any]:
    """The document behind `latent --json`."""
    from autointerp.store import STATISTICS

    stats = coder.all_stats(latent)
    promoted, suppressed = coder.logits(latent)
    words = store.vocabulary()
    return {
        "coder": coder.info.coder,
        "latent": latent,
        **{name: stats[name] for name in STATISTICS},
        "promoted": [{"token": t.token, "text": words.text(t.token), "value": t.value} for t in promoted],
        "suppressed": [{"token": t.token, "text": words.text(t.token), "value": t.value} for t in suppressed],
        "neighbours": {
            relation: [{"latent": n.latent, "value": n.value} for n in coder.neighbours(latent, relation)]
            for relation in ("decoder", "encoder", "cofiring")
        },
        "examples": {name: [_example(e) for e in examples] for name, examples in groups.items()},
    }


def _example(example: "Example") -> dict[str, Any]:
    return {
        "context": example.context,
        "start": example.start,
        "token_ids": example.token_ids,
        "activations": example.activations,
        "max_activation": example.max_activation,
        "quantile": example.quantile,
        "source": example.source,
        "neighbour": example.neighbour,
        "n_duplicates": example.n_duplicates,
    }


def as_text(store: "Store", document: dict[str, Any], groups: dict[str, list["Example"]]) -> str:
    """The same for people; the strongest token of each window stands in «guillemets»."""
    head = f"{printable(document['coder'])}, latent {document['latent']}"
    if not document["n_activations"]:
        lines = [f"{head}: dead, it fires nowhere in this corpus.", *explanations_text(document)]
        return "\n".join(lines)
    lines = [
        head,
        *(f"  {label}: {value}" for label, value in _statistics(store, document)),
    ]
    for name in ("promoted", "suppressed"):
        if document[name]:
            lines.append(f"  {name}: " + " ".join(repr(t["text"]) for t in document[name]))
    lines += explanations_text(document)
    for name, examples in groups.items():
        lines += ["", name]
        lines += [_line(store, example) for example in examples]
    return "\n".join(lines)


def _statistics(store: "Store", document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Label and value of each statistic, and of the one beside it."""
    from autointerp.store import STATISTICS

    words = store.vocabulary()
    for name, statistic in STATISTICS.items():
        if not statistic.in_panel or document[name] is None:
            continue
        match statistic.format:
            case "token":
                value = repr(words.text(document[name]))
            case "place":
                value = "{}:{}".format(*divmod(document[name], store.ctx_len))
            case kind:
                value = FORMATS[kind].format(document[name])
        if statistic.unit:
            value += f" {statistic.unit}"
        if statistic.beside is not None:
            value += f" ({FORMATS[STATISTICS[statistic.beside].format].format(document[statistic.beside])})"
        yield statistic.label.lower(), value


def _line(store: "Store", example: "Example") -> str:
    pieces = [printable(piece) for piece in store.decode(example.token_ids)]
    if example.max_activation > 0:
        peak = int(example.activations.argmax())
        pieces[peak] = f"«{pieces[peak]}»"
    tag = "" if example.quantile is None else f" q{example.quantile}"
    if example.neighbour is not None:
        tag = f" fires {example.neighbour}"
    return f"  {example.max_activation:8.3f}{tag}  {example.context}:{example.start}  {''.join(pieces)}"
