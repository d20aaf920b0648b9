"""The ways to explain, and the options they take. To add one: a module with an `Explainer`, and an entry here.

`build` names what makes it (its class) from the `ExplainOptions`, a client where the entry needs "llm", and a cancel token.
"""

from dataclasses import dataclass, replace
from typing import Any

from autointerp.explain.prompts import default as prompt
from autointerp.explain.prompts import intervention
from autointerp.registry import CENTRE, KL, MAX_SEED, SEED, WINDOW, Entry, Option, Registry, count

PROTOCOL = Option(
    name="protocol",
    label="Protocol",
    help="delphi: the reference's sampling, from the whole corpus instead of the explainer's side of the split; scoring with "
    "the delphi protocol then asks about some of the same examples, as in the reference",
    default="held-out",
    choices={"held-out": "held-out", "delphi": "delphi"},
)
_HELD_OUT = {"protocol": "held-out"}
SAMPLING = Option(
    name="sampling",
    label="Examples shown",
    help="Which activating examples the explainer sees",
    default="quantiles",
    choices={
        "mix": "Mix: a quarter from the strongest, the rest evenly over deciles",
        "quantiles": "Evenly over deciles",
        "top": "Strongest",
        "random": "Random positives",
    },
    cli_help="which activating examples: quantiles (evenly over deciles), mix (a quarter from the strongest, the rest evenly "
    "over deciles), top, random",
    when=_HELD_OUT,
)
N_EXAMPLES = count("n_examples", "Activating", "Activating examples shown", default=40)
N_CONTRAST = count("n_contrast", "Non-activating", "Non-activating examples shown", default=40)
MAX_TOKENS = Option(
    name="max_tokens",
    label="Tokens shown",
    help="Show only this many tokens around the strongest one",
    default=None,
    kind=int,
    optional=True,
    minimum=1,
    maximum=10_000,
    flag="--example-tokens",
    in_app=False,
)
ACTIVATIONS = Option(
    name="activations",
    label="Activations",
    help="List the activation of each marked token, 1 to 10",
    default=True,
    kind=bool,
    flag="--no-activations",
    cli_help="do not list activations of marked tokens",
)
REASONING = Option(
    name="reasoning",
    label="Reasoning",
    help="Let the model reason before it answers",
    default=False,
    kind=bool,
)
SPLIT_SEED = Option(
    name="split_seed",
    label="Split seed",
    help="Seed of the split into explainer and held-out contexts",
    default=0,
    kind=int,
    minimum=0,
    maximum=MAX_SEED,
    in_app=False,
    when=_HELD_OUT,
)
HELDOUT_FRACTION = Option(
    name="heldout_fraction",
    label="Held-out fraction",
    help="Share of contexts held out for scoring",
    default=0.5,
    kind=float,
    metavar="X",
    in_app=False,
    when=_HELD_OUT,
)

_EXAMPLES = (
    *(SAMPLING, N_EXAMPLES, N_CONTRAST, WINDOW),
    *(replace(CENTRE, when=_HELD_OUT), replace(SEED, when=_HELD_OUT), SPLIT_SEED, HELDOUT_FRACTION),
)
DRAW = tuple(option for option in _EXAMPLES if option.when == _HELD_OUT)
"""What the delphi protocol fixes."""
_WITHOUT_CONTRAST = tuple(option for option in _EXAMPLES if option is not N_CONTRAST)
_LLM = (MAX_TOKENS, ACTIVATIONS, REASONING)


@dataclass(frozen=True, kw_only=True)
class ExplainerEntry(Entry):
    """A way to explain."""


def _pattern_version(options: Any) -> str:
    from autointerp.explain.wording import VERSION

    return VERSION


EXPLAINERS: Registry[ExplainerEntry] = Registry(
    "explainer",
    ExplainerEntry(
        name="pattern",
        label="pattern",
        help="Token and phrase statistics; no language model, milliseconds",
        needs=frozenset({"negatives"}),
        options=(PROTOCOL, *_EXAMPLES),
        build="autointerp.explain.pattern:PatternExplainer",
        version=_pattern_version,
    ),
    ExplainerEntry(
        name="default",
        label="LLM",
        help="A language model reads activating examples",
        needs=frozenset({"llm"}),
        options=(PROTOCOL, *_WITHOUT_CONTRAST, *_LLM),
        build="autointerp.explain.llm:LLMExplainer",
        version=lambda options: prompt.VERSION,
    ),
    ExplainerEntry(
        name="contrastive",
        label="LLM, contrastive",
        help="A language model reads activating and non-activating examples, half of these from similar latents",
        needs=frozenset({"llm", "negatives", "hard_negatives"}),
        options=(*_EXAMPLES, *_LLM),
        build="autointerp.explain.llm:LLMExplainer",
        version=lambda options: prompt.VERSION,
    ),
    ExplainerEntry(
        name="top_logits",
        label="LLM, top logits",
        help="A language model reads activating examples and the tokens that the latent promotes",
        needs=frozenset({"llm", "logits"}),
        options=(PROTOCOL, *_WITHOUT_CONTRAST, *_LLM),
        build="autointerp.explain.llm:LLMExplainer",
        version=lambda options: prompt.VERSION,
    ),
    ExplainerEntry(
        name="raised_tokens",
        label="raised tokens",
        help="The tokens that become likelier when the feature is raised; runs the store's own model, no other language model",
        needs=frozenset({"effect"}),
        options=(*_WITHOUT_CONTRAST, KL),
        build="autointerp.explain.raised:RaisedTokensExplainer",
        version=lambda options: intervention.TOKENS_VERSION,
    ),
    ExplainerEntry(
        name="intervention",
        label="LLM, intervention",
        help="A language model reads which tokens become likelier when the feature is raised",
        needs=frozenset({"llm", "effect"}),
        options=(*_WITHOUT_CONTRAST, KL, REASONING),
        build="autointerp.explain.raised:InterventionExplainer",
        version=lambda options: intervention.VERSION,
    ),
)
