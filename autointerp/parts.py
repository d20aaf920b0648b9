"""What an explanation says, as data kept beside its sentence. The `pattern` explainer states it; the offline judge uses it."""

from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

Form = Literal["word", "text", "piece", "kind", "any"]
"""A whole word, any text (signs, several words), a piece of words, a kind of token by its name, or any token at all."""
Hedge = Literal["", "often", "sometimes"]


@dataclass(frozen=True)
class Named:
    """Things of one form that the latent responds to, the most important first. `examples`: words that hold the pieces, or
    members of the kind."""

    form: Form
    texts: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Parts:
    """`named`: what the latent responds to, the most important first; `hedge`: how often, "" for nearly always. `before`: what
    stands right before it, one of these; `context`: words of the texts it is found in."""

    named: tuple[Named, ...] = ()
    hedge: Hedge = ""
    before: tuple[str, ...] = ()
    context: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        named = [{"form": n.form, "texts": [*n.texts], "examples": [*n.examples]} for n in self.named]
        return {"named": named, "hedge": self.hedge, "before": [*self.before], "context": [*self.context]}

    @classmethod
    def from_json(cls, data: Any) -> Self | None:
        """What `to_json` gave; `None` for anything else, such as what another version states."""
        try:
            named = [Named(n["form"], tuple(n["texts"]), tuple(n["examples"])) for n in data["named"]]
            parts = cls(tuple(named), data["hedge"], tuple(data["before"]), tuple(data["context"]))
        except (KeyError, TypeError):
            return None
        known = parts.hedge in get_args(Hedge) and all(named.form in get_args(Form) for named in parts.named)
        return parts if known else None
