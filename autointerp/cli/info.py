"""What a store holds: model, corpus and coders, their sizes, explanations and scores, and whether everything is complete."""

import argparse
from typing import TYPE_CHECKING, Any

from autointerp.cli.shared.arguments import add_store_argument
from autointerp.cli.shared.explanations import open_annotations
from autointerp.cli.shared.output import human_bytes, printable, table, write_result
from autointerp.cli.shared.progress import progress_bars
from autointerp.errors import StoreError
from autointerp.models.coders import registry

if TYPE_CHECKING:
    from autointerp.store import Store
    from autointerp.types import CoderInfo

NAME = "info"
HELP = "show what a store holds, and whether it is complete"

_COUNTS = ("explanations", "failed_explanations", "scores", "failed_scores")
_HEADER = (
    "coder",
    "kind",
    "hookpoint",
    "latents",
    "dead",
    "activations",
    "size",
    "FVU",
    "CE increase",
    "explained",
    "scores",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_store_argument(parser)
    parser.add_argument(
        "--check",
        action="store_true",
        help="read every byte, to check that nothing has changed since it was written",
    )


def run(args: argparse.Namespace) -> None:
    from autointerp.store import Store

    store = Store.open(args.store)
    document = describe(store, problems=_checked(store) if args.check else None)
    write_result(document, as_text(document), as_json=args.json)


def _checked(store: "Store") -> list[str]:
    from autointerp.store.checking import check

    with progress_bars() as report:
        return check(store, report)


def describe(store: "Store", *, problems: list[str] | None = None) -> dict[str, Any]:
    """The document behind `info --json`. `problems`: what a check of everything found, where there was one."""
    checked = problems is not None
    problems = store.problems() if problems is None else problems
    try:
        with open_annotations(store.path) as annotations:
            counts = annotations.counts()
            collections, audits = annotations.collections.all(), annotations.audits.all()
    except StoreError as error:
        problems += [str(error)] if str(error) not in problems else []
        counts, collections, audits = {}, [], []
    return {
        "store": str(store.path),
        **{
            name: store.meta.get(name)
            for name in ("format", "created", "model", "tokenizer", "corpus", "versions")
        },
        "coders": [_coder(info, counts.get(info.coder, {})) for info in store.coders()],
        "collections": [{"name": each.name, "n": each.n, "note": each.note} for each in collections],
        "audits": [
            {"id": each.id, "name": each.name, "n_items": each.n_items, "raters": each.raters}
            for each in audits
        ],
        "complete": not problems,
        "checked": checked,
        "problems": problems,
    }


_SELECTED = "Selected contexts, not a corpus: figures are as stated in the imported files."
_FIDELITY = (
    *("fvu", "fvu_interval", "ce_increase", "ce_increase_interval"),
    *("ce_increase_zero", "ce_increase_mean", "ce_increase_skip"),
)


def _coder(info: "CoderInfo", counts: dict[str, int]) -> dict[str, Any]:
    """`counts`: of good explanations and scores, and of recorded failures."""
    fidelity = info.fidelity
    return {
        **{name: value for name, value in vars(info).items() if name not in ("fidelity", "config")},
        "l0": info.l0,
        "selected": info.selected,
        "n_dead": None if info.selected else info.n_dead,
        "description": registry.described(info.kind, info.config),
        "max_active": info.config.get("max_active"),
        "absent": info.absent,
        "notes": [*info.notes, *([_SELECTED] if info.selected else [])],
        **{name: getattr(fidelity, name, None) for name in _FIDELITY},
        "fidelity_tokens": getattr(fidelity, "n_tokens", None),
        "n_explained": counts.get("latents", 0),
        **{f"n_{name}": counts.get(name, 0) for name in _COUNTS},
    }


def as_text(document: dict[str, Any]) -> str:
    """The document as text."""
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
        rows = [
            (
                *(coder[name] for name in ("coder", "kind", "hookpoint", "n_latents", "n_dead")),
                f"{coder['n_activations']:,}",
                human_bytes(coder["bytes_on_disk"]),
                coder["fvu"],
                coder["ce_increase"],
                f"{coder['n_explained']:,}",
                f"{coder['n_scores']:,}",
            )
            for coder in document["coders"]
        ]
        lines.append(table(_HEADER, rows))
        for coder in document["coders"]:
            said = [f"{coder['description']}."] if " of " in coder["description"] else []
            if said := [*said, *coder["notes"]]:
                lines.append(printable(f"{coder['coder']}: {' '.join(said)}"))
    else:
        lines.append("No coders yet: add one with `autointerp cache`.")
    lines.append("")
    if document["collections"]:
        named = ", ".join(f"{printable(each['name'])} ({each['n']:,})" for each in document["collections"])
        lines.append(f"Collections: {named}")
    if document["audits"]:
        named = ", ".join(
            f"{printable(each['name'])} (items: {each['n_items']:,}, raters: {len(each['raters'])})"
            for each in document["audits"]
        )
        lines.append(f"Audits: {named}")
    if document["problems"]:
        lines += ["Problems:", *(f"  {printable(problem)}" for problem in document["problems"])]
    else:
        lines.append(
            "Everything was read and is intact."
            if document["checked"]
            else "Nothing is missing. To check for damage too, run `autointerp info --check`, which reads everything."
        )
    return "\n".join(lines)
