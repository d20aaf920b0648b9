"""What makes scores comparable."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autointerp.records import Score
from autointerp.store.annotations.summary import CONFIG_DIGITS


@dataclass(frozen=True, slots=True)
class ScoreKind:
    """What makes two scores comparable: who asked what, who answered, under which protocol and negatives, and everything else
    that shaped them. `config`: the first digits of the configuration's hash; `settings`: the configuration."""

    scorer: str
    judge: str
    protocol: str
    negatives: str
    model: str | None = None
    config: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def base(self) -> tuple[str | None, ...]:
        """The kind but for its configuration."""
        return (self.scorer, self.judge, self.protocol, self.negatives, self.model)

    @property
    def key(self) -> str:
        """The kind as one word, for addresses: `detection~offline~held-out~random~@65d8f6a24c0e`."""
        return "~".join([*(part for part in self.base if part is not None), f"@{self.config}"])

    def has_key(self, key: str | None) -> bool:
        """Whether `key` is the kind's: whole, or without a configuration, as in addresses of earlier releases."""
        return key is not None and (key == self.key or self.key.startswith(f"{key}~@"))


def kind_of(score: Score) -> ScoreKind:
    """The kind of a score."""
    return ScoreKind(
        score.scorer,
        score.judge,
        score.protocol,
        score.negatives,
        score.model,
        score.config_hash[:CONFIG_DIGITS],
        score.config,
    )


def current_key(key: str | None) -> str | None:
    """A `ScoreKind.key`, such as an address of an earlier release holds, in today's words: `held-out` was `ours`."""
    return key and key.replace("~ours~", "~held-out~")
