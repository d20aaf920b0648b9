"""What can be chosen when explaining: a small frozen record that turns into JSON and back."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Self

from autointerp.errors import UserError
from autointerp.explain.registry import (
    ACTIVATIONS,
    DRAW,
    EXPLAINERS,
    HELDOUT_FRACTION,
    MAX_TOKENS,
    N_CONTRAST,
    N_EXAMPLES,
    PROTOCOL,
    REASONING,
    SAMPLING,
    SPLIT_SEED,
    ExplainerEntry,
)
from autointerp.llm.options import LLMOptions, check_llm
from autointerp.records import Protocol
from autointerp.registry import CENTRE, SEED, WINDOW, Chosen
from autointerp.types import N_QUANTILES


@dataclass(frozen=True, kw_only=True)
class ExplainOptions(Chosen):
    """How to explain; `autointerp.explain.registry` says what each option means and which explainers take it.

    `sampling`: which held-in activating examples are shown; `n_examples` of them, `n_contrast` non-activating ones, windows of
    `window` tokens. `split_seed` and `heldout_fraction` decide which contexts the explainer may see; leave them alone to keep
    explanations of one latent comparable. `protocol` "delphi" decides all but the number and length of examples, as the
    reference does. `extra`: options of one explainer alone.
    """

    explainer: str = "pattern"
    protocol: Protocol = PROTOCOL.default
    sampling: str = SAMPLING.default
    n_examples: int = N_EXAMPLES.default
    n_contrast: int = N_CONTRAST.default
    window: int = WINDOW.default
    activations: bool = ACTIVATIONS.default
    reasoning: bool = REASONING.default
    max_tokens: int | None = MAX_TOKENS.default
    centre: bool = CENTRE.default
    seed: int = SEED.default
    split_seed: int = SPLIT_SEED.default
    heldout_fraction: float = HELDOUT_FRACTION.default
    llm: LLMOptions | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def entry(self) -> ExplainerEntry:
        """Raises UnknownName."""
        return EXPLAINERS.find(self.explainer)

    @property
    def needs_llm(self) -> bool:
        return "llm" in self.entry.needs

    def identity(self) -> Mapping[str, Any]:
        """Everything that shapes the explanation, the version of its prompt or method included; its hash tells whether work has
        been done already. Where the answers come from counts, how many at a time does not."""
        return self._identity

    @cached_property  # asked for several times per latent
    def _identity(self) -> dict[str, Any]:
        identity = self.to_dict() | {"llm": self.llm.identity() if self.llm and self.needs_llm else None}
        identity = {name: value for name, value in identity.items() if name not in self.extra}
        for option in (ACTIVATIONS, REASONING, MAX_TOKENS):
            if not self.uses(option):
                del identity[option.name]
        if self.protocol == "delphi":
            for option in DRAW:
                del identity[option.name]
        else:
            del identity["protocol"]  # as before there was a choice
            if not self.centre:
                del identity["centre"]  # likewise
        return {**identity, **self.extra_identity(), "version": self.entry.version(self)}

    def check(self) -> Self:
        """Raises UserError."""
        self.check_options(EXPLAINERS)
        if self.protocol == "delphi":
            self._check_delphi()
        if not 0 < self.heldout_fraction < 1:
            raise UserError(f"held-out fraction {self.heldout_fraction}: it must lie between 0 and 1.")
        check_llm(self.llm, needed=self.needs_llm, by=f"The explainer “{self.explainer}”")
        return self

    def _check_delphi(self) -> None:
        takers = EXPLAINERS.users(PROTOCOL)
        if self.explainer not in takers:
            raise UserError(f"The delphi protocol is available only for the explainers {', '.join(takers)}.")
        changed = [option for option in DRAW if self.value(option.name) != option.default]
        if changed:
            raise UserError(
                "The delphi protocol fixes which examples are drawn and where windows are cut: leave out "
                f"{', '.join(option.option_string for option in changed)}."
            )
        if self.n_examples < N_QUANTILES:
            raise UserError(
                f"The delphi protocol draws equally many examples from each of {N_QUANTILES} deciles: ask for {N_QUANTILES} or "
                f"more, not {self.n_examples}."
            )

    def to_dict(self) -> dict[str, Any]:
        data = asdict(self)
        return data.pop("extra") | data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Raises UnknownName for an option that neither the record nor the explainer knows."""
        known = cls.sorted_out(data, EXPLAINERS.find(data.get("explainer", cls.explainer)))
        if known.get("llm"):
            known["llm"] = LLMOptions.from_dict(known["llm"])
        return cls(**known)
