"""Run a model over text and store what every latent of the coders fires on. Into an existing store, coders are added over
the text it already holds; coders that are complete are skipped, so an interrupted run continues where it stopped."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from autointerp.cli.shared.output import human_bytes, write_result
from autointerp.cli.shared.progress import progress_bars
from autointerp.errors import UserError
from autointerp.models.coders import registry

NAME = "cache"
HELP = "cache activations of one or more coders"

BATCH_SIZE = 32


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("store", type=Path, metavar="STORE", help="a store's folder; made when missing")
    parser.add_argument(
        "--model", required=True, metavar="M", help="a transformers model: a folder or a hub name"
    )
    parser.add_argument(
        "--coder", required=True, nargs="+", action="extend", metavar="[NAME=]CODER",
        help=f"{registry.sources()}; NAME= sets its name in the store",
    )  # fmt: skip
    text = parser.add_mutually_exclusive_group()
    text.add_argument(
        "--text", nargs="+", action="extend", type=Path, metavar="FILE", help="UTF-8 text files"
    )
    text.add_argument("--dataset", metavar="NAME", help="a Hugging Face dataset: a folder or a hub name")
    text.add_argument(
        "--token-ids", type=Path, metavar="FILE", help="a .npy array of token ids, one or two axes"
    )
    parser.add_argument("--n-tokens", type=int, help="tokens of a new store, at most (default: 1,000,000)")
    parser.add_argument(
        "--ctx-len",
        type=int,
        help="tokens in a context of a new store (default: 128, or what the model can take)",
    )
    parser.add_argument(
        "--hookpoint",
        metavar="PATH",
        help="module that the coders read, such as layers.2.mlp (default: by folder)",
    )
    parser.add_argument(
        "--batch-size",
        type=int,
        default=BATCH_SIZE,
        help=f"contexts in a forward pass (default: {BATCH_SIZE})",
    )
    parser.add_argument("--device", default="cpu", help="where the model runs, such as cuda (default: cpu)")
    parser.add_argument(
        "--include-bos", action="store_true", help="let latents fire on beginning-of-sequence tokens too"
    )
    parser.add_argument(
        "--trust-remote-code",
        action="store_true",
        help="run Python code that comes with the model or data set",
    )


def run(args: argparse.Namespace) -> None:
    from autointerp.caching import cache

    for option in ("n_tokens", "ctx_len", "batch_size"):
        value = getattr(args, option)
        if value is not None and value < 1:
            raise UserError(f"--{option.replace('_', '-')} {value}: at least 1 is needed.")
    with progress_bars() as progress:
        infos = cache(
            args.store.expanduser(),
            model=args.model,
            coders=named_coders(args.coder),
            text=args.text,
            dataset=args.dataset,
            token_ids=args.token_ids,
            n_tokens=args.n_tokens,
            ctx_len=args.ctx_len,
            hookpoint=args.hookpoint,
            batch_size=args.batch_size,
            skip_bos=not args.include_bos,
            trust_remote_code=args.trust_remote_code,
            device=args.device,
            progress=progress,
        )
    document = {"store": str(args.store), "coders": [asdict(info) for info in infos]}
    lines = [
        f"{info.coder}: {info.n_activations:,} activations, {human_bytes(info.bytes_on_disk)}"
        for info in infos
    ]
    write_result(document, "\n".join(lines), as_json=args.json)


def named_coders(specs: Sequence[str]) -> dict[str, str]:
    """Coders by name. `NAME=CODER` names one; the others are named by their source.

    Raises:
        UserError: Two coders would have the same name.
    """
    named: dict[str, str] = {}
    for spec in specs:
        name, coder = split_name(spec)
        if name in named:
            raise UserError(f"two coders are called {name!r}: tell them apart with NAME={coder}.")
        named[name] = coder
    return named


def split_name(spec: str) -> tuple[str, str]:
    """The name and the rest of `NAME=CODER`, or a name made from CODER."""
    match = re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9._-]*)=(.+)", spec, re.DOTALL)
    if match:
        return match[1], match[2]
    return registry.default_name(spec), spec
