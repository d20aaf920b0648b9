"""Which language model to ask: a small frozen record that converts to JSON and back."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from autointerp.errors import UnknownName, UserError
from autointerp.llm.endpoints import base_url, identity


@dataclass(frozen=True, kw_only=True)
class LLMOptions:
    """Which language model to ask, and how much at most. Never holds an API key.

    `base_url`: of any OpenAI-compatible server, or a name in `autointerp.llm.ENDPOINTS`. `max_tokens`, `max_cost`: the budget
    of one job. `prices`: per million tokens, as `PriceTable.parse` takes them. `key_ref` names a key that this process holds in
    memory; without one the key comes from the environment.
    """

    model: str
    base_url: str = "openai"
    max_in_flight: int = 16
    timeout: float = 120.0
    max_tokens: int | None = None
    max_cost: float | None = None
    prices: Mapping[str, Any] = field(default_factory=dict)
    key_ref: str | None = None

    def identity(self) -> dict[str, Any]:
        """Server and model."""
        return {"model": self.model, "endpoint": identity(base_url(self.base_url))}

    def check(self) -> Self:
        """Raises UserError for settings that cannot work."""
        if not self.model.strip():
            raise UserError("No language model chosen. Choose one that the server offers.")
        if not 1 <= self.max_in_flight <= 1024 or not self.timeout > 0:
            raise UserError(
                f"Requests in flight must be 1 to 1,024 and the timeout above 0 s, got {self.max_in_flight} and {self.timeout}."
            )
        self.identity()
        return self

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Raises UnknownName."""
        names = sorted(each.name for each in fields(cls))
        for name in data:
            if name not in names:
                raise UnknownName("option", name, names)
        return cls(**data)


def check_llm(llm: LLMOptions | None, *, needed: bool, by: str) -> None:
    """Raises UserError where `by` needs a language model and has none, or one whose settings cannot work."""
    if not needed:
        return
    if llm is None:
        raise UserError(
            f"{by} needs a language model, and none is chosen. Choose a model and its server (Settings page; --llm and "
            "--base-url), or use one that needs none: the pattern explainer, the offline judge."
        )
    llm.check()
