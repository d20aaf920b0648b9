"""Run a model over text and store the activations of every latent of one or more coders.

In an existing store the new coders are cached on the text it already holds. Complete coders are skipped, so the same command
continues an interrupted run."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from autointerp.cli.shared.arguments import add_store_argument
from autointerp.cli.shared.output import human_bytes, write_result
from autointerp.cli.shared.progress import progress_bars
from autointerp.errors import UserError
from autointerp.models.coders import registry
from autointerp.reading import expanded

if TYPE_CHECKING:
    from autointerp.models.coders.coder import CoderSpec
    from autointerp.models.hooks import Side

NAME = "cache"
HELP = "cache the activations of coders on text"

BATCH_SIZE = 32


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_store_argument(parser)
    parser.add_argument(
        "--model", required=True, metavar="M",
        help="folder or hub name (owner/name, owner/name@revision) of a transformers model",
    )  # fmt: skip
    parser.add_argument(
        "--coder", required=True, nargs="+", action="extend", metavar="[NAME=]CODER",
        help=f"{registry.sources()}; NAME= names it in the store",
    )  # fmt: skip
    text = parser.add_mutually_exclusive_group()
    text.add_argument(
        "--text", nargs="+", action="extend", type=Path, metavar="FILE", help="UTF-8 text files"
    )
    text.add_argument("--dataset", metavar="NAME", help="folder or hub name of a Hugging Face data set")
    text.add_argument(
        "--token-ids", type=Path, metavar="FILE", help="a .npy array of token ids, with one or two axes"
    )
    parser.add_argument("--config", metavar="NAME", help="configuration of the data set, if it has several")
    parser.add_argument("--split", help="split of the data set (default: train, or the only one)")
    parser.add_argument(
        "--column",
        metavar="NAME",
        help="column of a data set, or field of a .jsonl file, with the text, chat messages or token ids (default: text)",
    )
    parser.add_argument(
        "--n-tokens", type=int, help="maximum number of tokens in a new store (default: 1,000,000)"
    )
    parser.add_argument(
        "--ctx-len",
        type=int,
        help="tokens per context of a new store (default: 128, or the most the model accepts)",
    )
    parser.add_argument(
        "--bos-every-row",
        action="store_true",
        default=None,
        help="put BOS before every context of a new store, not only before documents",
    )
    parser.add_argument(
        "--no-join",
        action="store_false",
        dest="join",
        default=None,
        help="start a new context at each document of a new store, and drop the tokens left over at its end",
    )
    parser.add_argument(
        "--hookpoint",
        metavar="PATH",
        help="module the coders are trained on, such as layers.2.mlp (default: as their files or folders say)",
    )
    parser.add_argument(
        "--kind",
        choices=("sae", "transcoder"),
        help="kind of coder, for checkpoints from early 2025 that do not state it (default: as the files say, else sae)",
    )
    parser.add_argument(
        "--side",
        choices=("input", "output"),
        help="the tensor of --hookpoint that an SAE from files reads (default: as the files say, else output)",
    )
    parser.add_argument(
        "--max-active",
        type=int,
        metavar="N",
        help="store only the N largest activations of each token (default: all); recorded and shown with the coder",
    )
    parser.add_argument(
        "--batch-size",
        type=int,
        default=BATCH_SIZE,
        help=f"contexts per forward pass (default: {BATCH_SIZE})",
    )
    parser.add_argument("--device", default="cpu", help="where the model runs, such as cuda (default: cpu)")
    parser.add_argument(
        "--dtype",
        choices=("auto", "float32", "bfloat16", "float16"),
        help="precision of the model (default: the store's; for a new store auto, that of the checkpoint)",
    )
    parser.add_argument(
        "--tokenizer", metavar="T", help="folder or hub name of the tokenizer (default: the model's)"
    )
    parser.add_argument(
        "--include-bos",
        action="store_true",
        help="keep activations on tokens that begin, end or join documents (padding is never kept)",
    )
    parser.add_argument(
        "--ray", metavar="ADDRESS",
        help="run model and coders on this Ray cluster, or on all cores of this machine (local)",
    )  # fmt: skip
    parser.add_argument(
        "--trust-remote-code",
        action="store_true",
        help="run Python code shipped with the model or data set",
    )


def run(args: argparse.Namespace) -> None:
    from autointerp.caching import cache

    for option in ("n_tokens", "ctx_len", "batch_size", "max_active"):
        value = getattr(args, option)
        if value is not None and value < 1:
            raise UserError(f"--{option.replace('_', '-')} {value}: give at least 1.")
    store = expanded(args.store)
    with progress_bars() as progress:
        infos = cache(
            store,
            model=args.model,
            coders=told(named_coders(args.coder), args.kind, args.side),
            text=args.text,
            dataset=args.dataset,
            config=args.config,
            split=args.split,
            column=args.column,
            token_ids=args.token_ids,
            n_tokens=args.n_tokens,
            ctx_len=args.ctx_len,
            bos_every_row=args.bos_every_row,
            join=args.join,
            hookpoint=args.hookpoint,
            batch_size=args.batch_size,
            skip_bos=not args.include_bos,
            max_active=args.max_active,
            trust_remote_code=args.trust_remote_code,
            device=args.device,
            dtype=args.dtype or (None if (store / "store.json").exists() else "auto"),
            tokenizer=args.tokenizer,
            ray=args.ray,
            progress=progress,
        )
    document = {"store": str(args.store), "coders": [asdict(info) for info in infos]}
    lines = [
        f"{info.coder}: {info.n_activations:,} activations, {human_bytes(info.bytes_on_disk)} "
        f"({registry.described(info.kind, info.config)})"
        for info in infos
    ]
    lines += [f"{info.coder}: {note}" for info in infos for note in info.notes]
    write_result(document, "\n".join(lines), as_json=args.json)


def named_coders(specs: Sequence[str]) -> dict[str, str]:
    """Coders by name: the NAME in `NAME=CODER`, else a name made from the source.

    Raises:
        UserError: Two coders would have the same name.
    """
    named: dict[str, str] = {}
    for spec in specs:
        name, coder = split_name(spec)
        if name in named:
            raise UserError(f"two coders are called {name!r}; give one another name with NAME={coder}.")
        named[name] = coder
    return named


def told(coders: dict[str, str], kind: str | None, side: "Side | None") -> dict[str, "str | CoderSpec"]:
    """The same with `kind` and `side` stated for those that come from files."""
    if kind is None and side is None:
        return dict(coders)
    from autointerp.models.coders.coder import CoderSpec

    return {
        name: source if registry.is_generated(source) else CoderSpec(source, kind=kind, side=side)
        for name, source in coders.items()
    }


def split_name(spec: str) -> tuple[str, str]:
    """The name and the rest of `NAME=CODER`, or a name made from CODER."""
    match = re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9._-]*)=(.+)", spec, re.DOTALL)
    if match:
        return match[1], match[2]
    return registry.default_name(spec), spec
