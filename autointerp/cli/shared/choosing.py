"""Arguments that several commands share: which latents, which language model, at what price and up to which limit."""

import argparse
from typing import TYPE_CHECKING, Any

from autointerp.errors import UserError

if TYPE_CHECKING:
    from autointerp.llm.options import LLMOptions


def add_latents_argument(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--latents", metavar="LIST", help=f"numbers and ranges, such as 0-99,512 (default: {default})"
    )


def add_llm_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "language model",
        "Any OpenAI-compatible server. The key is read from the environment: OPENAI_API_KEY and OPENROUTER_API_KEY for these, "
        "AUTOINTERP_API_KEY for any. What is left out comes from the app's Settings page.",
    )
    group.add_argument("--llm", metavar="MODEL", help="the model's name on that server")
    group.add_argument(
        "--base-url",
        metavar="URL",
        help="an address such as http://localhost:8000/v1, or openai, openrouter, vllm, ollama, llama.cpp",
    )
    group.add_argument(
        "--max-in-flight", type=int, metavar="N", help="requests at once, at most (default: 16)"
    )
    group.add_argument("--timeout", type=float, metavar="SECONDS", help="for one request (default: 120)")
    group.add_argument("--price-in", type=float, metavar="X", help="price of a million prompt tokens")
    group.add_argument("--price-out", type=float, metavar="X", help="price of a million answer tokens")
    group.add_argument(
        "--price-cached",
        type=float,
        metavar="X",
        help="of prompt tokens the server had cached (default: --price-in)",
    )
    group.add_argument(
        "--budget-tokens", type=int, metavar="N", help="stop before more tokens than this are used"
    )
    group.add_argument("--budget-cost", type=float, metavar="X", help="stop before it costs more than this")


LLM_ARGUMENTS = (
    *("llm", "base_url", "max_in_flight", "timeout", "price_in", "price_out", "price_cached"),
    *("budget_tokens", "budget_cost"),
)


def given_llm_arguments(args: argparse.Namespace) -> list[str]:
    """Names of the arguments about a language model that were given."""
    return [name for name in LLM_ARGUMENTS if getattr(args, name) is not None]


def llm_options(
    args: argparse.Namespace, *, needed: bool, by: str, before: "LLMOptions | None" = None
) -> "LLMOptions | None":
    """The language model asked for; `None` when none is needed. What is left out comes from `before`, else from the settings.
    Raises UserError for what does not fit together."""
    given = given_llm_arguments(args)
    if not needed:
        if given:
            raise UserError(
                f"--{given[0].replace('_', '-')} is for language models, and {by} asks none. Leave it out, or choose what does."
            )
        return None
    from autointerp import preferences
    from autointerp.llm.options import LLMOptions

    chosen: dict[str, Any] = preferences.load().llm_fields()
    if before is not None:
        known = {name: value for name, value in before.to_dict().items() if name != "key_ref"}
        chosen |= {**known, "prices": {**chosen["prices"], **known["prices"]}}
    names = {"llm": "model", "budget_tokens": "max_tokens", "budget_cost": "max_cost"}
    for name in given:
        if not name.startswith("price"):
            chosen[names.get(name, name)] = getattr(args, name)
    if not chosen["model"].strip():
        raise UserError(
            f"{by} asks a language model, and none is chosen. Name one with --llm MODEL and its server with --base-url URL, "
            "set both on the Settings page, or use what works without one: --explainer pattern, --judge offline."
        )
    chosen["prices"] = {**chosen["prices"], **_price(args, chosen["model"])}
    preferences.Preferences(
        **chosen
    ).check()  # what may not be stored there may not be stored with a job either
    return LLMOptions(**chosen).check()


def _price(args: argparse.Namespace, model: str) -> dict[str, dict[str, float]]:
    if args.price_in is None and args.price_out is None:
        if args.price_cached is not None:
            raise UserError("--price-cached needs --price-in and --price-out beside it.")
        return {}
    if args.price_in is None or args.price_out is None:
        raise UserError("--price-in and --price-out belong together: give both, per million tokens.")
    price = {"prompt": args.price_in, "completion": args.price_out}
    if args.price_cached is not None:
        price["cached"] = args.price_cached
    from autointerp.llm import PriceTable

    PriceTable.parse({model: price})
    return {model: price}
