"""`Effects`: what raising a latent does after prompts in which it fires, as intervention scoring needs it (arXiv 2410.13928,
appendix G)."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from autointerp.models.effect import Continued, Effect, Rise
from autointerp.models.threads import threads_for
from autointerp.probe import Prober
from autointerp.store import Store
from autointerp.types import Progress, ProgressCallback, no_progress

if TYPE_CHECKING:
    from torch import Tensor

    from autointerp.models.continuations import Continuations, Continuer
    from autointerp.models.sampler import Sampling

N_RISES = 10
"""How many of the tokens that rise in the mean are kept."""
N_RISES_OF_PROMPT = 5
MAX_ROWS = 128
"""Prompts times strengths that are run at once: memory for a cache and the logits of each."""


class Effects:
    """Uses the model and coders of a `Prober`, one at a time with it. Safe to share between threads."""

    def __init__(self, store: Store, prober: Prober):
        self._store, self._prober = store, prober
        self._continuers: dict[tuple[str, str], Continuer] = {}

    def effect(
        self,
        coder: str,
        latent: int,
        prompts: Sequence[Sequence[int]],
        *,
        kl: float,
        n_new: int,
        seed: int,
        progress: ProgressCallback = no_progress,
    ) -> Effect:
        """Raise the latent from the last token of each prompt on, by the strength at which the mean KL divergence of the next
        token over all prompts is `kl` nats; one continuation of `n_new` tokens at temperature 1 without and with it.

        `prompts`: token ids; what caching puts before a text is put before them. A token that ends a text is left out of what
        is written. What `progress` raises ends it (stages: "load model", "load coder <name>", "find strengths", "continue").

        Raises UserError (no language-model head; KLNotReached; a prompt too long), CoderLoadError (no decoder),
        ModelLoadError, BadActivations.
        """
        self._store.coder(coder).check_latent(latent)
        with self._prober.loaded(coder, progress) as (key, subject, loaded):
            from autointerp.models.continuations import Continuer

            if key not in self._continuers:
                self._continuers = {key: Continuer(subject, loaded)}
            start = self._prober.before_text(subject)
            rows = [[*([] if list(row[: len(start)]) == start else start), *map(int, row)] for row in prompts]
            weights = sum(weight.numel() for weight in subject.base.parameters())
            with threads_for(MAX_ROWS * weights):
                run = _Run(self._store, self._continuers[key], latent, rows, n_new, seed, progress)
                return run.result([list(row) for row in prompts], kl)


class _Run:
    """One call of `Effects.effect`."""

    def __init__(
        self,
        store: Store,
        continuer: "Continuer",
        latent: int,
        rows: list[list[int]],
        n_new: int,
        seed: int,
        progress: ProgressCallback,
    ):
        from autointerp.models.edits import Edit
        from autointerp.models.sampler import Sampling

        self.store, self.continuer, self.rows, self.progress = store, continuer, rows, progress
        self.edit = Edit((latent,), (1.0,))
        self.sampling = Sampling(n_new, temperature=1.0, seed=seed, by_prompt=True)
        self.groups = continuer.prompts(rows, n_new)
        self.order = _order(rows, [row for group in self.groups for row in group.rows])

    def result(self, prompts: Sequence[Sequence[int]], kl: float) -> Effect:
        import torch

        from autointerp.models.strength import find_strength, kl_divergence

        tuned = find_strength(self._kls(), kl)
        runs = self._run([0.0, tuned.strength], self.sampling)
        ids = [row for run in runs for row in run.ids[:, :, 0].cpu()]
        first = torch.cat([run.first for run in runs])[self.order].cpu()
        divergence = kl_divergence(first[:, 0], first[:, 1])
        rise = (first[:, 1].exp() - first[:, 0].exp())[:, : len(self.store.vocabulary())]
        continued = tuple(
            Continued(
                self._text(prompt),
                self._continuation(row, ids[at][0]),
                self._continuation(row, ids[at][1]),
                float(divergence[i]),
                self._rises(rise[i], N_RISES_OF_PROMPT),
            )
            for i, (prompt, row, at) in enumerate(zip(prompts, self.rows, self.order, strict=True))
        )
        return Effect(tuned.strength, float(divergence.mean()), continued, self._rises(rise.mean(0), N_RISES))

    def _kls(self) -> Callable[[Sequence[float]], list[float]]:
        """The mean KL over the prompts, of several strengths; those measured are kept."""
        from autointerp.models.sampler import Sampling
        from autointerp.models.strength import kl_divergence

        once = Sampling(1, temperature=0.0)
        clean = [run.first for run in self._run([0.0], once)]
        measured: dict[float, float] = {}
        width = max(1, MAX_ROWS // len(self.rows))

        def kls(strengths: Sequence[float]) -> list[float]:
            new = [strength for strength in strengths if strength not in measured]
            for at in range(0, len(new), width):
                some = new[at : at + width]
                self.progress(
                    Progress("find strengths", len(measured), len(measured) + len(new), "strengths")
                )
                sums = sum(
                    kl_divergence(before, run.first).sum(0)
                    for before, run in zip(clean, self._run(some, once), strict=True)
                )
                measured.update(zip(some, (sums / len(self.rows)).tolist(), strict=True))  # type: ignore[union-attr]
            return [measured[strength] for strength in strengths]

        return kls

    def _run(self, factors: Sequence[float], sampling: "Sampling") -> "list[Continuations]":
        """Of each group of prompts."""

        def report(n: int) -> None:
            self.progress(Progress("continue", n, sampling.n_new, "tokens"))

        return [
            self.continuer.run(group, self.edit, factors, sampling, on_token=report) for group in self.groups
        ]

    def _continuation(self, row: list[int], new: "Tensor") -> str:
        from autointerp.models.continuations import ends

        left_out = {-1, *ends(self.continuer.subject)}
        kept = [token for token in new.tolist() if token not in left_out]
        return "".join(self.store.decode([*row, *kept])[len(row) :])  # a character may begin in the prompt

    def _text(self, ids: Sequence[int]) -> str:
        return "".join(self.store.decode(ids))

    def _rises(self, rise: "Tensor", n: int) -> tuple[Rise, ...]:
        vocabulary = self.store.vocabulary()
        top = rise.topk(min(n, len(rise)))
        return tuple(
            Rise(vocabulary.text(token), by)
            for by, token in zip(top.values.tolist(), top.indices.tolist(), strict=True)
            if by > 0
        )


def _order(rows: Sequence[Sequence[int]], grouped: Sequence[Sequence[int]]) -> list[int]:
    """Where each row is among those that are run; equal ones may stand for each other."""
    place = {tuple(row): at for at, row in enumerate(grouped)}
    return [place[tuple(row)] for row in rows]
