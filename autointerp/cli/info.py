"""What a store holds: model, corpus, coders with their counts, sizes, explanations and scores, and whether everything is
complete."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.cli.shared.annotated import open_annotations
from autointerp.cli.shared.output import human_bytes, printable, table, write_result
from autointerp.errors import StoreError

if TYPE_CHECKING:
    from autointerp.store import Store

NAME = "info"
HELP = "model, corpus, coders, counts, sizes, completeness"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("store", type=Path, metavar="STORE", help="a store's folder")


def run(args: argparse.Namespace) -> None:
    from autointerp.store import Store

    store = Store.open(args.store)
    document = describe(store)
    write_result(document, as_text(document), as_json=args.json)


def describe(store: "Store") -> dict[str, Any]:
    """The document behind `info --json`."""
    coders = []
    problems = store.problems()
    try:
        with open_annotations(store.path) as annotations:
            written = annotations.counts()
    except StoreError as error:
        problems.append(str(error))
        written = {}
    for info in store.coders():
        fidelity = info.fidelity
        coders.append(
            {
                "coder": info.coder,
                "kind": info.kind,
                "hookpoint": info.hookpoint,
                "n_latents": info.n_latents,
                "n_dead": info.n_dead,
                "k": info.k,
                "n_tokens": info.n_tokens,
                "n_activations": info.n_activations,
                "bytes_on_disk": info.bytes_on_disk,
                "fvu": fidelity.fvu if fidelity else None,
                "l0": info.l0,
                "ce_increase": fidelity.ce_increase if fidelity else None,
                "ce_increase_zero": fidelity.ce_increase_zero if fidelity else None,
                "absent": info.absent,
                **_written(written.get(info.coder, {})),
                "source": info.source,
                "created": info.created,
            }
        )
    return {
        "store": str(store.path),
        "format": store.meta.get("format"),
        "created": store.meta.get("created"),
        "model": store.meta.get("model"),
        "tokenizer": store.meta.get("tokenizer"),
        "corpus": store.meta.get("corpus"),
        "versions": store.meta.get("versions"),
        "coders": coders,
        "complete": not problems,
        "problems": problems,
    }


def _written(counts: dict[str, int]) -> dict[str, int]:
    """Counts of good rows, and of recorded failures."""
    return {
        "n_explained": counts.get("latents", 0),
        "n_explanations": counts.get("explanations", 0),
        "n_failed_explanations": counts.get("failed_explanations", 0),
        "n_scores": counts.get("scores", 0),
        "n_failed_scores": counts.get("failed_scores", 0),
    }


def as_text(document: dict[str, Any]) -> str:
    """The same for people."""
    model, corpus = document["model"] or {}, document["corpus"] or {}
    lines = [
        f"store   {printable(document['store'])} (format {document['format']}, {printable(document['created'])})",
        f"model   {printable(model.get('name'))}, {model.get('n_layers')} layers, width {model.get('d_model')}, "
        f"vocabulary {model.get('vocab_size', 0):,}",
        f"corpus  {printable(corpus.get('name'))}: {corpus.get('n_tokens', 0):,} tokens in "
        f"{corpus.get('n_contexts', 0):,} contexts of {corpus.get('ctx_len')}, "
        f"{corpus.get('n_documents', 0):,} documents",
        "",
    ]
    if document["coders"]:
        header = (
            *("coder", "kind", "hookpoint", "latents", "dead", "activations", "size", "FVU", "CE +nats"),
            *("explained", "scores"),
        )
        rows = [
            (
                coder["coder"],
                coder["kind"],
                coder["hookpoint"],
                coder["n_latents"],
                coder["n_dead"],
                f"{coder['n_activations']:,}",
                human_bytes(coder["bytes_on_disk"]),
                coder["fvu"],
                coder["ce_increase"],
                f"{coder['n_explained']:,}",
                f"{coder['n_scores']:,}",
            )
            for coder in document["coders"]
        ]
        lines.append(table(header, rows))
    else:
        lines.append("No coder is cached yet: add one with `autointerp cache`.")
    lines.append("")
    if document["problems"]:
        lines += ["Problems:", *(f"  {printable(problem)}" for problem in document["problems"])]
    else:
        lines.append("Everything in it is complete.")
    return "\n".join(lines)
