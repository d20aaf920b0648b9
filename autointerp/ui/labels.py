"""Words for things: how the interface names kinds, relations and groups, and what each figure means."""

from autointerp.types import CoderKind, Relation

KINDS: dict[CoderKind, str] = {
    "sae": "SAE",
    "transcoder": "transcoder",
    "skip_transcoder": "skip transcoder",
    "neurons": "neurons",
    "random": "random control",
}
RELATIONS: dict[Relation, tuple[str, str]] = {
    "decoder": ("by decoder", "Cosine of decoder directions: features that write alike"),
    "encoder": ("by encoder", "Cosine of encoder directions: features that read alike"),
    "cofiring": ("co-firing", "Jaccard index of the tokens that two features fire on"),
}
HELP = {
    "density": "Share of the corpus's tokens on which it fires",
    "max": "Largest activation in the corpus",
    "mean": "Mean activation where it fires",
    "top_token": "The token it fires on most often, and the share of its firings",
    "positional": "Mutual information, in nats, between firing and the position in the context: 0 when position tells nothing",
    "peak": "Where it fires most strongly: context and position in it",
    "contexts": "Contexts in which it fires at least once, and their share",
}
