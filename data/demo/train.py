"""Reproduce the demo's subject model and sparse coders from the installed packages' docstrings.

    python data/demo/train.py tokenizer
    python data/demo/train.py subject --minutes 36
    python data/demo/train.py subject --minutes 84
    python data/demo/train.py coders --tokens 5200000
    python data/demo/train.py cards

(or ``all``; ``export`` saves and measures the subject's last checkpoint, also while it trains).

Run it from the repository's root with the package installed. Every stage resumes: checkpoints,
token streams and the log live in a git-ignored work folder; results go to ``data/demo``.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("SPARSIFY_DISABLE_TRITON", "1")

HERE = Path(__file__).resolve().parent
STAGES = ("tokenizer", "subject", "coders", "cards")
SUBJECT_MINUTES = 84.0
CODER_TOKENS = 5_200_000


def main() -> None:
    """Run one stage, or all of them in order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("stage", choices=(*STAGES, "export", "all"))
    parser.add_argument("--minutes", type=float, default=SUBJECT_MINUTES, help="the subject's training time")
    parser.add_argument("--tokens", type=int, default=CODER_TOKENS, help="tokens to train the coders on")
    parser.add_argument("--work", type=Path, default=HERE.parent / "stores" / ".train")
    parser.add_argument("--out", type=Path, default=HERE, help="where model/ and coders/ are written")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)

    def log(line: str) -> None:
        line = f"{time.strftime('%H:%M:%S')} {line}"
        print(line, flush=True)
        with (args.work / "train.log").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    for stage in STAGES if args.stage == "all" else (args.stage,):
        run_stage(stage, args, log)


def run_stage(stage: str, args: argparse.Namespace, log) -> None:
    """Run one stage with the parsed arguments."""
    from text import token_stream, train_tokenizer

    model_dir = args.out / "model"
    if stage == "tokenizer":
        tokenizer = train_tokenizer(model_dir)
        for split in ("train", "heldout"):
            (args.work / f"{split}.npy").unlink(missing_ok=True)
            stream = token_stream(split, model_dir, args.work)
            log(f"tokenizer: {tokenizer.get_vocab_size()} entries, {split} {len(stream):,} tokens")
        return
    if stage == "cards":
        import cards

        cards.write(args.work, args.out)
        return

    import subject

    heldout = token_stream("heldout", model_dir, args.work)
    training = token_stream("train", model_dir, args.work)
    if stage == "subject":
        subject.train(training, heldout, args.work, args.minutes, log)
    if stage in ("subject", "export"):
        facts = {"train_tokens": len(training), "minutes": args.minutes}
        log(f"subject: {subject.export(args.work, model_dir, heldout, facts)}")
        return
    import coders

    coders.train(training, heldout, args.work, args.out, args.tokens, log)


if __name__ == "__main__":
    main()
