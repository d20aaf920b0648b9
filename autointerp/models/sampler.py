"""Choosing the next token, alike for continuations that differ by an edit alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autointerp.errors import BadActivations, UserError
from autointerp.models.edits import Passes

OnToken = Callable[[int], None]
"""Told after every new token how many there are. An exception from it ends the generation."""


@dataclass(frozen=True)
class Sampling:
    """`n_samples` texts of `n_new` tokens at most for each prompt and factor. `temperature` 0 takes the likeliest token.
    `by_prompt`: whether every prompt has random numbers of its own, for means over prompts."""

    n_new: int
    temperature: float = 1.0
    seed: int = 0
    n_samples: int = 1
    by_prompt: bool = False

    def __post_init__(self) -> None:
        if self.n_new < 1 or self.n_samples < 1:
            raise UserError(
                f"{self.n_new} new tokens and {self.n_samples} samples: at least 1 of each is needed"
            )
        if not 0 <= self.temperature < float("inf"):
            raise UserError(f"temperature is {self.temperature}; 0 (the likeliest token) or more is needed")


class Sampler:
    """A logits processor that chooses the next token by the Gumbel trick and notes what it was chosen from.

    Rows are ordered by prompt and factor, then by sample.
    """

    def __init__(
        self,
        sampling: Sampling,
        n_groups: int,
        passes: Passes,
        on_token: OnToken,
        factors: Sequence[float] = (),
        ends: Sequence[int] = (),
        prompts: Sequence[Sequence[int]] = (),
    ):
        self._sampling, self._n_groups, self._passes, self._on_token = sampling, n_groups, passes, on_token
        self._factors = factors
        self._ends = torch.tensor(ends, dtype=torch.long)
        self._ended: Tensor | None = None
        seeds = [(sampling.seed * 1_000_003 + sample) % 2**63 for sample in range(sampling.n_samples)]
        if sampling.by_prompt:
            seeds = [mixed(seed, prompt) for prompt in prompts for seed in seeds]
        self._random = [np.random.default_rng(seed) for seed in seeds]
        self._chosen: list[Tensor] = []
        self._log_probs: list[Tensor] = []
        self._begin = passes.n_known
        self.first = torch.empty(0)
        """Float32[Tensor, "rows vocab"]: log probabilities of the token after the prompt."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self._passes.n_known = input_ids.shape[1] + 1
        log_probs = torch.log_softmax(scores.float(), dim=-1)
        bad = ~torch.isfinite(log_probs.max(dim=-1).values)
        if bool(bad.any()):
            self._refuse(int(bad.nonzero()[0]))
        if not self._chosen:
            self.first = log_probs.clone()
        values = log_probs
        if self._sampling.temperature > 0:
            vocab = scores.shape[-1]
            n_samples = self._sampling.n_samples
            # numpy's are several times faster to draw than torch's; in float64 none is 0.
            drawn = np.stack([-np.log(random.standard_exponential(vocab)) for random in self._random])
            noise = torch.from_numpy(drawn).float().to(scores.device).view(-1, 1, n_samples, vocab)
            noise = noise.expand(-1, self._n_groups // len(noise), -1, -1).reshape(scores.shape)
            values = log_probs / self._sampling.temperature + noise
        chosen = values.argmax(dim=-1)
        of_chosen = log_probs.gather(1, chosen[:, None])[:, 0]
        ended = torch.zeros_like(chosen, dtype=torch.bool) if self._ended is None else self._ended
        self._chosen.append(chosen.masked_fill(ended, -1))
        self._log_probs.append(of_chosen.masked_fill(ended, 0.0))
        self._ended = ended | torch.isin(chosen, self._ends.to(chosen.device))
        self._on_token(len(self._chosen))
        only = torch.full_like(scores, -torch.inf)
        return only.scatter_(1, chosen[:, None], 0.0)

    def _refuse(self, row: int) -> None:
        if self._factors:
            factor = self._factors[row // self._sampling.n_samples % len(self._factors)]
            if factor != 0:
                raise BadActivations(
                    f"A strength of {factor:g} makes the model give NaN or infinity. Choose a smaller one."
                )
        raise BadActivations("The model gives NaN or infinity on this prompt. Check its weights.")

    def result(self) -> tuple[Tensor, Tensor]:
        """Ids and log probabilities, [rows, n]; -1 and 0 after the end of a text."""
        return torch.stack(self._chosen, 1), torch.stack(self._log_probs, 1)


def mixed(seed: int, prompt: Sequence[int]) -> int:
    """A seed of this prompt's own."""
    return int(np.random.SeedSequence([seed, *prompt]).generate_state(1, np.uint64)[0] >> np.uint64(1))
