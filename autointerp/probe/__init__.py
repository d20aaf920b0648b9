"""Running a store's subject model and coders on any text, as caching would: what fires, on which token, how strongly."""

from autointerp.probe.prober import MAX_TOKENS, Prober
from autointerp.probe.result import ProbeResult, RankBy, Ranked, Ranking, TextActivations

__all__ = ["MAX_TOKENS", "ProbeResult", "Prober", "RankBy", "Ranked", "Ranking", "TextActivations"]
