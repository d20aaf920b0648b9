"""What a person chooses when steering. Imports no torch."""

import math
from dataclasses import dataclass
from typing import Literal

from autointerp.errors import UserError

Unit = Literal["activation", "maximum", "kl"]
UNITS: dict[Unit, str] = {
    "activation": "Activation",
    "maximum": "Multiples of the maximum",
    "kl": "Target KL",
}
"""What strengths are given in: the activation added; that as a multiple of each latent's maximum in the corpus; or the KL
divergence (nats) by which the next token's distribution is to move."""
Start = Literal["last", "prompt"]
STARTS: dict[Start, str] = {"last": "From the prompt's last token", "prompt": "From the prompt's first token"}
PAPER_KLS = (0.1, 0.33, 1.0, 3.0)
"""The targets of arXiv 2410.13928."""
MAX_STRENGTHS, MAX_NEW, MAX_SAMPLES, MAX_LATENTS = 8, 200, 8, 32
MAX_STRENGTH = 1e6


@dataclass(frozen=True)
class SteeringOptions:
    """`latents` of one coder are raised together by each of `strengths`, in `unit`; with `zero` they are held at zero instead,
    and there is no strength. `start`: the first token whose activation is changed; all after it are changed too. `n_new` tokens
    at most, `n_samples` continuations each; a `temperature` of 0 takes the likeliest token."""

    latents: tuple[int, ...]
    strengths: tuple[float, ...] = (1.0,)
    unit: Unit = "maximum"
    zero: bool = False
    start: Start = "last"
    n_new: int = 20
    n_samples: int = 1
    temperature: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises UserError."""
        if not 1 <= len(self.latents) <= MAX_LATENTS:
            raise UserError(f"{len(self.latents)} latents: give 1 to {MAX_LATENTS}.")
        twice = next((latent for at, latent in enumerate(self.latents) if latent in self.latents[:at]), None)
        if twice is not None:
            raise UserError(f"latent {twice} is given twice: give each once.")
        if self.unit not in UNITS:
            raise UserError(f"unit {self.unit!r}: accepted are {', '.join(UNITS)}.")
        if self.start not in STARTS:
            raise UserError(f"start {self.start!r}: accepted are {', '.join(STARTS)}.")
        for name, value, low, high in (
            ("new tokens", self.n_new, 1, MAX_NEW), ("samples", self.n_samples, 1, MAX_SAMPLES),
            ("seed", self.seed, 0, 2**63 - 1),
        ):  # fmt: skip
            if not low <= value <= high:
                raise UserError(f"{name}: {value:,}; {low} to {high:,} are accepted.")
        if not 0 <= self.temperature <= 10:
            raise UserError(f"temperature {self.temperature:g}: 0 (the likeliest token) to 10 are accepted.")
        if not self.zero:
            self._check_strengths()

    def _check_strengths(self) -> None:
        if not 1 <= len(self.strengths) <= MAX_STRENGTHS:
            raise UserError(f"{len(self.strengths)} strengths: give 1 to {MAX_STRENGTHS}.")
        for strength in self.strengths:
            if not math.isfinite(strength) or abs(strength) > MAX_STRENGTH or strength == 0:
                raise UserError(
                    f"strength {strength:g}: give a number other than 0, up to {MAX_STRENGTH:,.0f} either way."
                )
            if self.unit == "kl" and strength < 0:
                raise UserError(f"target KL {strength:g}: a KL divergence is positive.")
