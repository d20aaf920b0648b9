"""List audits, newest first, and how far their raters are."""

import argparse
from dataclasses import asdict

from autointerp.cli.shared.arguments import add_store_argument
from autointerp.cli.shared.explanations import open_annotations
from autointerp.cli.shared.output import table, write_result

NAME = "list"
HELP = "list audits and their raters' progress"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_store_argument(parser)


def run(args: argparse.Namespace) -> None:
    from autointerp.audit.progress import progress
    from autointerp.store import Store

    audits = []
    with open_annotations(Store.open(args.store).path) as annotations:
        for head in annotations.audits.all():
            audit, ratings = annotations.audits.get(head.id), annotations.audits.ratings(head.id)
            raters = []
            for rater in head.raters:
                now = progress(audit, rater, ratings)
                counts = {"asked": len(now.entries), "done": now.done, "skipped": now.skipped}
                raters.append({"rater": rater, **counts})
            audits.append({**asdict(head), "purpose": audit.purpose, "raters": raters})
    header = ("id", "audit", "author", "created", "items", "tasks", "raters")
    rows = [
        (
            *(each["id"], each["name"], each["author"], each["created"][:10], f"{each['n_items']:,}"),
            ", ".join(each["tasks"]),
            ", ".join(f"{rater['rater']} {rater['done']}/{rater['asked']}" for rater in each["raters"])
            or "-",
        )
        for each in audits
    ]
    text = table(header, rows) if rows else "No audits yet. Draw one: `autointerp audit create STORE`."
    write_result({"store": str(args.store), "audits": audits}, text, as_json=args.json)
