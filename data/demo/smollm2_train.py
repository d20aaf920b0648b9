"""Reproduce the sparse coders of the demo's second subject, SmolLM2-135M-Instruct (4-bit weights), from the installed packages'
docstrings.

    python data/demo/smollm2_train.py activations
    python data/demo/smollm2_train.py coders
    autointerp demo --subject smollm2
    python data/demo/smollm2_train.py cards

Run it from the repository's root with the package installed, and the two packages that `autointerp demo --subject smollm2`
names. Every stage goes on where it was stopped; the first two may be given a time of day to stop at (``--until``). Activations
(3.5 kB a token), checkpoints and the log live in a git-ignored work folder; results go to ``data/demo/smollm2``. The cards'
figures are those of the demo store.

The coders in the repository were trained in the runs of ``data/demo/smollm2/training.json``: each but the first went on from
the coders before it (``coders --go-on``), in its own work folder, on text they had not seen (``activations --after``).
"""

from __future__ import annotations

import argparse
import os
import time
from datetime import datetime, timedelta
from pathlib import Path

os.environ.setdefault("SPARSIFY_DISABLE_TRITON", "1")

HERE = Path(__file__).resolve().parent
STAGES = ("activations", "coders", "cards")


def main() -> None:
    """Run one stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--tokens", type=int, default=5_000_000, help="tokens of text to read")
    parser.add_argument("--after", type=int, default=0, help="leave out the text's first rows of 128 tokens")
    parser.add_argument("--epochs", type=float, default=1, help="how often the coders see each token")
    parser.add_argument("--go-on", action="store_true", help="begin with the coders in --out, not anew")
    parser.add_argument("--until", help="when to stop at the latest, HH:MM by this machine's clock")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, default=HERE.parent / "stores" / ".smollm2")
    parser.add_argument(
        "--store", type=Path, default=HERE.parent / "stores" / "smollm2", help="the demo store"
    )
    parser.add_argument("--out", type=Path, default=HERE / "smollm2")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)

    def log(line: str) -> None:
        line = f"{time.strftime('%H:%M:%S')} {line}"
        print(line, flush=True)
        with (args.work / "train.log").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    import torch

    torch.set_num_threads(args.threads)
    run_stage(args, log)


def run_stage(args: argparse.Namespace, log) -> None:
    """Run one stage with the parsed arguments."""
    from autointerp.demo.smollm2 import model_folder

    if args.stage == "activations":
        from smollm2_activations import Stored, token_rows

        rows = token_rows(model_folder(), args.work, args.tokens)
        Stored(args.work).collect(rows, args.after, model_folder(), end_of(args.until), log)
    elif args.stage == "coders":
        from smollm2_activations import Stored
        from smollm2_training import train

        train(Stored(args.work), args.work, args.out, args.epochs, args.go_on, end_of(args.until), log)
    else:
        import smollm2_cards

        smollm2_cards.write(args.store, args.out)


def end_of(until: str | None) -> float:
    """The next time of day `until` as `time.time()`; infinity without one."""
    if until is None:
        return float("inf")
    hour, minute = map(int, until.split(":"))
    end = datetime.now().replace(hour=hour, minute=minute, second=0)
    return (end if end > datetime.now() else end + timedelta(days=1)).timestamp()


if __name__ == "__main__":
    main()
