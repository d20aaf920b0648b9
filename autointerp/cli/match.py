"""Match the latents of two or more coders by the directions they read (encoder) and write (decoder), and say how many of each
coder's are in the others. The first match of two coders loads their weights; it is kept in the store.

A live latent is shared where its cosine with its counterpart is above the threshold, by encoder and by decoder; by one of them
where only that can be compared (an SAE and a transcoder read different tensors), which is less strict. Its counterpart
is its partner in the assignment with the largest sum of cosines (one to one), the same where both assignments agree on it (same
partner), or simply the nearest latent.

With --by meaning the embeddings of their explanations are matched instead. Floor: the same within a coder, none with itself; it
is what a coder of the same kinds of latents, but none in common, would give, or a little more. Coders whose latents are of
other kinds, or explained in other words, can lie below it, also where they share latents."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from autointerp.cli.shared.arguments import add_store_argument
from autointerp.cli.shared.explanations import open_annotations
from autointerp.cli.shared.output import printable, table, write_result
from autointerp.cli.shared.progress import progress_bars
from autointerp.errors import UserError

if TYPE_CHECKING:
    from autointerp.compare.meaning import Meaning, Side
    from autointerp.compare.sharing import Pairs
    from autointerp.pipeline.resources import Resources
    from autointerp.store import Store
    from autointerp.types import ProgressCallback

NAME = "match"
HELP = "match the latents of several coders by their directions or explanations"

DEFINITIONS = ("assigned", "agreeing", "nearest")
THRESHOLD = 0.7


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_store_argument(parser)
    parser.add_argument("coders", metavar="CODER", nargs="+", help="names of two or more coders")
    parser.add_argument(
        "--by", choices=("directions", "meaning"), default="directions",
        help="what to match: directions, or the embeddings of explanations (default: directions)",
    )  # fmt: skip
    parser.add_argument(
        "--definition", choices=DEFINITIONS, default=DEFINITIONS[0],
        help="when a latent counts as shared: one to one, the same partner by encoder and decoder, or the nearest latent "
        f"(default: {DEFINITIONS[0]})",
    )  # fmt: skip
    parser.add_argument(
        "--threshold",
        type=float,
        default=THRESHOLD,
        help=f"minimum cosine of a shared latent (default: {THRESHOLD})",
    )
    parser.add_argument(
        "--latents",
        action="store_true",
        help="with --json, also the counterparts and cosines of every live latent",
    )

    parser.add_argument(
        "--score", metavar="KIND",
        help="also compare the scores of shared latents with those of the others: a scorer, or a kind as `compare` names it",
    )  # fmt: skip
    parser.add_argument(
        "--split", action="store_true",
        help="also count the latents of one coder that are split among several of another, by the tokens they fire on",
    )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    from autointerp.compare.overlap import check_threshold
    from autointerp.compare.sharing import match, match_meaning
    from autointerp.pipeline.resources import Resources
    from autointerp.store import Store

    check_threshold(args.threshold)
    store = Store.open(args.store)
    coders = list(dict.fromkeys(args.coders))
    for name in coders:
        store.coder(name)
    with open_annotations(store.path) as annotations, progress_bars() as progress:
        resources = Resources(store, annotations)
        if args.by == "meaning":
            meanings = match_meaning(resources, coders, progress=progress)
            document = describe_meaning(store, meanings, latents=args.latents)
            write_result(document, meaning_as_text(document), as_json=args.json)
            return
        pairs = match(resources, coders, progress=progress)
        splits = _splits(resources, coders, progress) if args.split else None
        scores = _scores(resources, pairs, coders, args) if args.score else {}
    document = describe(store, pairs, coders, args.definition, args.threshold, latents=args.latents)
    for row in document["pairs"] if scores else ():
        row["scores"] = scores[tuple(row["coders"])]
    if splits is not None:
        document["split"] = splits
    write_result(document, as_text(document), as_json=args.json)


def describe(
    store: "Store", pairs: "Pairs", coders: list[str], definition: str, threshold: float, *, latents: bool
) -> dict[str, Any]:
    """The document behind `match --json`."""
    from autointerp.compare.sharing import overlaps, sharing

    same = {"definition": definition, "threshold": threshold}
    rows = []
    for (first, second), each in overlaps(store, pairs, coders, **same).items():
        row = {name: value for name, value in vars(each).items() if name not in ("definition", "threshold")}
        rows.append({**row, "fraction": each.fraction})
        if latents:
            rows[-1]["latents"] = _latents(store, pairs, first, second, definition)
    unmatched = [
        {"coders": list(names), "absent": directions.absent}
        for names, directions in pairs.items()
        if not directions.parts
    ]
    document = {"store": str(store.path), **same, "pairs": rows, "unmatched": unmatched}
    if len(coders) > 2:
        among = [sharing(store, pairs, coder, coders, **same) for coder in coders]
        document["sharing"] = [
            {name: value for name, value in vars(each).items() if name != "counts"} for each in among
        ]
    return document


def _scores(
    resources: "Resources", pairs: "Pairs", coders: list[str], args: argparse.Namespace
) -> dict[tuple[str, str], dict[str, Any]]:
    """By coder and the other, scores of the latents that the other has against those of the rest."""
    from autointerp.compare import scored
    from autointerp.compare.overlap import alignment
    from autointerp.compare.sharing import between, shared_scores
    from autointerp.store import annotated_store

    kept = annotated_store(resources.annotations)
    written = {name: kept.coder(name) for name in coders}
    made_by = next(iter(scored.ways(written.values())), None)
    kind = scored.choose(scored.kinds(written.values(), made_by), args.score)
    if kind is None:
        raise UserError(
            f"none of these coders has scores: run `autointerp score {resources.store.path} {coders[0]}`."
        )
    rows = {}
    for first in coders:
        coder = resources.store.coder(first)
        values = scored.scores(written[first], kind, made_by, coder.info.n_latents)
        for second in coders:
            if second != first and between(pairs, first, second).parts:
                shared = alignment(between(pairs, first, second), args.definition) > args.threshold
                scores = shared_scores(values, shared, coder.table().live)
                rows[first, second] = {"kind": kind.key, "made_by": made_by, **vars(scores)}
    return rows


def _splits(resources: "Resources", coders: list[str], progress: "ProgressCallback") -> list[dict[str, Any]]:
    """Of every two coders, either way, the latents of the first that the second splits."""
    from itertools import combinations

    from autointerp.compare import coactivation, results

    rows = []
    for two in combinations(coders, 2):
        pair = coactivation.pair(resources.store, *two)
        coactivations = coactivation.read(
            results.obtain(resources, "coactivation", pair, progress=progress), pair
        )
        for first, second in (two, two[::-1]):
            latents = [
                {**split._asdict(), "parts": [part._asdict() for part in split.parts]}
                for split in coactivations.split(first)
            ]
            rows.append({"coders": [first, second], "latents": latents})
    return rows


def _latents(
    store: "Store", pairs: "Pairs", first: str, second: str, definition: str
) -> list[dict[str, Any]]:
    """Every live latent of the first coder, with what it is matched with."""
    from autointerp.compare.overlap import alignment
    from autointerp.compare.sharing import between

    directions = between(pairs, first, second)
    smallest = alignment(directions, definition)
    rows = []
    for latent in store.coder(first).table().live.tolist():
        row: dict[str, Any] = {"latent": latent, "alignment": float(smallest[latent])}
        for name, part in directions.parts.items():
            columns = {key: column for key, column in vars(part.sides[0]).items() if key != "floor"}
            values = {key: column[latent].item() for key, column in columns.items()}
            row[name] = {key: None if value == -1 else value for key, value in values.items()}
        rows.append(row)
    return rows


def as_text(document: dict[str, Any]) -> str:
    """The document as text."""
    lines = []
    if document["pairs"]:
        rows = [
            (
                *row["coders"],
                f"{row['n_shared']:,} of {row['n_live']:,}",
                f"{row['fraction']:.1%}" if row["fraction"] is not None else "-",
                *(_two(row["mean_cosine"].get(part)) for part in ("encoder", "decoder")),
                *(_two(row["floor"].get(part)) for part in ("encoder", "decoder")),
                " and ".join(sorted(set(row["method"].values()))),
            )
            for row in document["pairs"]
        ]
        header = (
            "coder",
            "in",
            "shared",
            "fraction",
            "encoder",
            "decoder",
            "floor (enc)",
            "floor (dec)",
            "method",
        )
        lines.append(table(header, rows))
        lines.append("")
        lines.append(
            f"Shared: live latents whose cosine is above {document['threshold']:g}. encoder, decoder: mean cosine with "
            "the partner; floor: mean largest cosine of random directions."
        )
    for row in document["pairs"]:
        if "scores" in row:
            lines.append(_scores_as_text(row))
    if any("scores" in row and row["scores"]["test"] is not None for row in document["pairs"]):
        lines.append(
            "95 % intervals, each pair by itself. Shared latents also differ from the others in density, so this does not "
            "prove that being shared makes the difference."
        )
    for each in document["unmatched"]:
        lines.append(f"{' and '.join(map(printable, each['coders']))}: {' '.join(each['absent'].values())}")
    for each in document.get("sharing", ()):
        counts = ", ".join(f"{n:,} in {count or 'none'}" for count, n in enumerate(each["n_in"]))
        lines.append(
            f"{printable(each['coder'])}: of {each['n_live']:,} live latents, {counts} of {len(each['others'])} others"
        )
    for each in document.get("split", ()):
        first, second = map(printable, each["coders"])
        lines.append(f"{second} splits {len(each['latents']):,} latents of {first}")
    return "\n".join(lines)


def _scores_as_text(row: dict[str, Any]) -> str:
    scores = row["scores"]
    first, second = map(printable, row["coders"])
    means = [_two(mean and mean.value) for mean in (scores["mean_shared"], scores["mean_others"])]
    text = (
        f"{first} in {second}: mean score {means[0]} of {scores['n_shared']:,} shared latents, {means[1]} of "
        f"{scores['n_others']:,} others"
    )
    if scores["test"] is None:
        return text
    each = scores["test"].estimate
    return f"{text}; a shared one is above another in {each.value:.0%} of pairs ({each.low:.0%} to {each.high:.0%})"


def _two(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def describe_meaning(store: "Store", meanings: "Sequence[Meaning]", *, latents: bool) -> dict[str, Any]:
    """The document behind `match --by meaning --json`."""
    rows = []
    for meaning in meanings:
        row = {name: value for name, value in vars(meaning).items() if name != "sides"}
        if latents:
            row["latents"] = [_explained(side) for side in meaning.sides]
        rows.append(row)
    return {"store": str(store.path), "by": "meaning", "pairs": rows}


def _explained(side: "Side") -> list[dict[str, Any]]:
    """Every explained latent of a coder, with what it is matched with."""
    columns = {name: column.tolist() for name, column in vars(side).items()}
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return [row if row["partner"] >= 0 else row | {"partner": None, "cosine": None} for row in rows]


def meaning_as_text(document: dict[str, Any]) -> str:
    """The document as text."""
    rows = [
        (
            *row["coders"],
            f"{row['n_matched']:,}",
            *(
                f"{_three(row[name].value)} ({_three(row[name].low)} to {_three(row[name].high)})"
                for name in ("matched", "floor", "above")
            ),
            _three(row["shuffled"].value),
            row["method"],
        )
        for row in document["pairs"]
    ]
    header = ("coder", "and", "pairs", "mean cosine", "floor", "above floor", "shuffled", "method")
    return (
        f"{table(header, rows)}\n\nMean cosine of explanations matched one to one, with 95 % intervals. Floor: the same "
        "within one coder, no latent with itself, the larger of the two coders; shuffled: paired at random."
    )


def _three(value: float) -> str:
    return f"{value:z.3f}"
