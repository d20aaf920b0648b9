"""Continue a prompt with latents of a coder raised, or held at zero, beside the model as it is.

The latent's direction is added to what its module writes, from the prompt's last token on (--from prompt: from its first), and
what the coder does not rebuild stays in place. The strength is the activation added (--strength), a multiple of the latent's
largest activation in the corpus (--multiple), or whatever moves the distribution of the token after the prompt by a KL
divergence (--kl). Several latents are raised together. The same seed gives the same random numbers at every strength.

Shown for each strength: the KL divergence of the next token in nats, the tokens whose probability rises and falls most, and
the continuation; at the end the tokens that each latent raises and lowers on the direct path to the logits. --json also gives
every token's log probability and its change."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from autointerp.cli.shared.arguments import add_store_argument
from autointerp.cli.shared.output import printable, write_result
from autointerp.errors import UserError
from autointerp.steering.options import STARTS, SteeringOptions, Unit

if TYPE_CHECKING:
    from autointerp.steering.result import Continuation, DirectLogit, NextToken, Steered, SteeringResult

NAME = "steer"
HELP = "continue a prompt with latents raised or held at zero"

DEFAULT = SteeringOptions((0,))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_store_argument(parser, coder=True)
    parser.add_argument(
        "latents", metavar="LATENTS", help="number of the latent, or several, such as 12 or 12,40"
    )
    parser.add_argument(
        "--prompt", metavar="TEXT", help="the text to continue; without it, standard input is read"
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--strength", type=float, nargs="+", metavar="X", help="activations to add")
    how.add_argument(
        "--multiple", type=float, nargs="+", metavar="X",
        help="the same as multiples of each latent's largest activation in the corpus (default: 1)",
    )  # fmt: skip
    how.add_argument(
        "--kl", type=float, nargs="+", metavar="NATS",
        help="find the strengths that move the next token's distribution this far, such as 0.1 0.33 1 3",
    )  # fmt: skip
    how.add_argument("--zero", action="store_true", help="hold the latents at zero instead")
    parser.add_argument(
        "--from", dest="start", choices=list(STARTS), default=DEFAULT.start,
        help="the first token whose activation is changed: the prompt's last (default) or its first",
    )  # fmt: skip
    parser.add_argument(
        "--tokens",
        type=int,
        default=DEFAULT.n_new,
        metavar="N",
        help=f"maximum number of new tokens (default: {DEFAULT.n_new})",
    )
    parser.add_argument(
        "--samples", type=int, default=1, metavar="N", help="continuations at each strength (default: 1)"
    )
    parser.add_argument(
        "--temperature",
        type=float,
        default=DEFAULT.temperature,
        metavar="T",
        help=f"0 takes the likeliest token (default: {DEFAULT.temperature:g})",
    )
    parser.add_argument(
        "--seed", type=int, default=DEFAULT.seed, help=f"seed of the sampling (default: {DEFAULT.seed})"
    )
    parser.add_argument("--device", default="cpu", help="where the model runs (default: cpu)")
    parser.add_argument("--trust-remote-code", action="store_true", help="run code that comes with the model")


def run(args: argparse.Namespace) -> None:
    from autointerp.cli.shared.progress import progress_bars
    from autointerp.probe import Prober
    from autointerp.steering.steerer import Steerer
    from autointerp.store import Store

    options = options_of(args)
    store = Store.open(args.store)
    store.coder(args.coder)
    prompt = sys.stdin.read() if args.prompt is None else args.prompt
    prober = Prober(store, device=args.device, trust_remote_code=args.trust_remote_code)
    with progress_bars() as progress:
        result = Steerer(store, prober).steer(args.coder, prompt, options, progress=progress)
    write_result(result, as_text(result), as_json=args.json)


def options_of(args: argparse.Namespace) -> SteeringOptions:
    """Raises UserError."""
    given: tuple[tuple[Unit, list[float] | None], ...] = (
        ("activation", args.strength), ("maximum", args.multiple), ("kl", args.kl)
    )  # fmt: skip
    unit, strengths = DEFAULT.unit, DEFAULT.strengths
    for name, values in given:
        if values is not None:
            unit, strengths = name, tuple(values)
    return SteeringOptions(
        latents=_numbers(args.latents), strengths=strengths, unit=unit, zero=args.zero,
        start=args.start, n_new=args.tokens, n_samples=args.samples, temperature=args.temperature, seed=args.seed,
    )  # fmt: skip


def _numbers(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise UserError(f"latents {text!r}: give a number, or several with commas between, such as 12,40.")
    return tuple(int(part) for part in parts)


def as_text(result: "SteeringResult") -> str:
    """The result as text, every prompt and continuation on one line."""
    latents = ", ".join(map(str, result.options.latents))
    several = "latents" if len(result.options.latents) > 1 else "latent"
    lines = [
        f"{printable(result.coder)}, {several} {latents}",
        f"  prompt: {printable(''.join(result.prompt_texts[result.n_added :]))}",
        *_continued("as it is", result.clean),
    ]
    for steered in result.steered:
        lines += ["", *_steered(result, steered)]
    for effect in result.direct:
        if effect.raised or effect.lowered:
            of = f" of {effect.latent}" if len(result.direct) > 1 else ""
            lines += ["", f"  direct effect{of} ({result.logit_unit})"]
            lines += [f"    raises: {_logits(effect.raised)}", f"    lowers: {_logits(effect.lowered)}"]
    return "\n".join(lines)


def _logits(logits: "tuple[DirectLogit, ...]") -> str:
    return "  ".join(f"{printable(repr(each.text))} {each.value:+.3f}" for each in logits) or "none"


def _steered(result: "SteeringResult", steered: "Steered") -> list[str]:
    head = strength_text(result.options, steered)
    if steered.failed is not None:
        return [f"  {head}: {printable(steered.failed)}"]
    kl = "" if steered.kl is None else f"  KL {steered.kl:.3g} nats"
    return [
        f"  {head}{kl}",
        f"    raised:  {_tokens(steered.raised)}",
        f"    lowered: {_tokens(steered.lowered)}",
        *_continued("steered", steered.continuations),
    ]


def strength_text(options: SteeringOptions, steered: "Steered") -> str:
    """How strong it was, in the unit that was chosen, and what that adds."""
    if options.zero:
        return "held at zero"
    added = ", ".join(f"{value:+.4g}" for value in steered.added)
    asked = steered.asked or 0.0
    name = {"activation": "added", "maximum": f"{asked:g} times the maximum", "kl": f"target KL {asked:g}"}[
        options.unit
    ]
    return f"{name}: {added}" if added else name


def _tokens(tokens: "tuple[NextToken, ...]") -> str:
    shown: list[Any] = [f"{printable(repr(each.text))} {each.change:+.3f}" for each in tokens]
    return "  ".join(shown) or "none"


def _continued(name: str, continuations: "tuple[Continuation, ...]") -> list[str]:
    return [f"  {name}: {printable(each.text)}" for each in continuations]
