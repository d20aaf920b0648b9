"""Arguments that several commands share: the store, which latents, which language model at what price and limit."""

import argparse
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.errors import UserError

if TYPE_CHECKING:
    from autointerp.llm.options import LLMOptions

_LLM_ARGUMENTS: dict[str, tuple[type, str, str]] = {
    "llm": (str, "MODEL", "the model's name on that server"),
    "base_url": (
        str,
        "URL",
        "an address such as http://localhost:8000/v1, or one of openai, openrouter, vllm, ollama, llama.cpp",
    ),
    "max_in_flight": (int, "N", "maximum number of requests at once (default: 16)"),
    "timeout": (float, "SECONDS", "time limit for one request (default: 120)"),
    "price_in": (float, "X", "price per million prompt tokens"),
    "price_out": (float, "X", "price per million answer tokens"),
    "price_cached": (
        float,
        "X",
        "price per million prompt tokens that the server had cached (default: --price-in)",
    ),
    "budget_tokens": (int, "N", "stop before using more tokens than this"),
    "budget_cost": (float, "X", "stop before spending more than this"),
}


def add_store_argument(parser: argparse.ArgumentParser, *, coder: bool = False) -> None:
    """STORE, with `coder` also CODER."""
    parser.add_argument("store", type=Path, metavar="STORE", help="folder of the store")
    if coder:
        parser.add_argument("coder", metavar="CODER", help="name of a coder, as `autointerp info` lists it")


def user_name() -> str:
    """Who is at the terminal, where no name is given."""
    try:
        return getuser()
    except (KeyError, OSError):  # no such user on this machine
        return "someone"


def add_batch_arguments(parser: argparse.ArgumentParser, default: str) -> None:
    """What `explain` and `score` have in common; `default`: which latents they take when none are named."""
    add_store_argument(parser, coder=True)
    parser.add_argument(
        "--latents", metavar="LIST", help=f"numbers and ranges, such as 0-99,512 (default: {default})"
    )
    parser.add_argument(
        "--collection", metavar="NAME", help="only the coder's latents in this collection that fire"
    )
    parser.add_argument(
        "--redo", action="store_true", help="also redo what is already done with this exact configuration"
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="only estimate requests, tokens and cost, and show one prompt",
    )


def add_llm_arguments(parser: argparse.ArgumentParser, *, replicas: bool = False) -> None:
    """`replicas`: `--base-url` may be given several times."""
    group = parser.add_argument_group(
        "language model",
        "Any OpenAI-compatible server. Its key comes from the environment: OPENAI_API_KEY for OpenAI, OPENROUTER_API_KEY for "
        "OpenRouter, AUTOINTERP_API_KEY for any other. Defaults are taken from the app's Settings page.",
    )
    for name, (kind, metavar, text) in _LLM_ARGUMENTS.items():
        if name == "base_url" and replicas:
            text += "; with --ray, repeat for each replica of the first, under whose name results are stored"
            group.add_argument(_flag(name), action="append", metavar=metavar, help=text)
        else:
            group.add_argument(_flag(name), type=kind, metavar=metavar, help=text)


def given_llm_arguments(args: argparse.Namespace) -> list[str]:
    """Flags about a language model that were given."""
    return [_flag(name) for name in _LLM_ARGUMENTS if getattr(args, name) is not None]


def llm_options(
    args: argparse.Namespace, *, needed: bool, by: str, before: "LLMOptions | None" = None
) -> "LLMOptions | None":
    """The language model to ask; `None` when none is `needed`. What is not given comes from `before`, else from the settings.
    Raises UserError for arguments that do not fit together."""
    given = given_llm_arguments(args)
    if not needed:
        if given:
            raise UserError(f"{given[0]} is for language models, but {by} does not use one. Leave it out.")
        return None
    from autointerp import preferences
    from autointerp.llm.options import LLMOptions

    chosen: dict[str, Any] = preferences.load().llm_fields()
    if before is not None:
        known = {name: value for name, value in before.to_dict().items() if name != "key_ref"}
        chosen |= {**known, "prices": {**chosen["prices"], **known["prices"]}}
    fields = {"llm": "model", "budget_tokens": "max_tokens", "budget_cost": "max_cost"}
    for name in _LLM_ARGUMENTS:
        value = getattr(args, name)
        if value is not None and not name.startswith("price"):
            chosen[fields.get(name, name)] = value[0] if isinstance(value, list) else value
    if not chosen["model"].strip():
        raise UserError(
            f"{by} needs a language model, but none is chosen. Give its name with --llm MODEL and its server with "
            "--base-url URL, "
            "choose both on the Settings page, or do without: --explainer pattern, --judge offline."
        )
    chosen["prices"] = {**chosen["prices"], **_price(args, chosen["model"])}
    preferences.Preferences(**chosen).check()  # what settings refuse must not be kept with a job either
    preferences.name_server(chosen["base_url"])
    return LLMOptions(**chosen).check()


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _price(args: argparse.Namespace, model: str) -> dict[str, dict[str, float]]:
    if args.price_in is None and args.price_out is None:
        if args.price_cached is not None:
            raise UserError("--price-cached also needs --price-in and --price-out.")
        return {}
    if args.price_in is None or args.price_out is None:
        raise UserError("--price-in and --price-out belong together: give both, per million tokens.")
    from autointerp.llm.costs import PriceTable

    price = {"prompt": args.price_in, "completion": args.price_out}
    if args.price_cached is not None:
        price["cached"] = args.price_cached
    PriceTable.parse({model: price})
    return {model: price}
