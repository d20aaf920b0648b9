"""`Steerer`: a store's subject model, continuing prompts with latents changed (arXiv 2410.13928, appendix G)."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from autointerp.errors import BadActivations, UserError
from autointerp.models.threads import threads_for
from autointerp.probe import Prober
from autointerp.steering.options import SteeringOptions
from autointerp.steering.result import (
    Continuation,
    DirectEffect,
    DirectLogit,
    NextToken,
    Steered,
    SteeringResult,
)
from autointerp.store import CoderStore, Store
from autointerp.types import Progress, ProgressCallback, TokenLogit, no_progress

if TYPE_CHECKING:
    from torch import Tensor

    from autointerp.models.continuations import Continuations, Continuer, Prompts
    from autointerp.models.sampler import Sampling

N_TOKENS = 10
"""How many of the next tokens are listed, raised and lowered."""
SMALL = 1e9
"""Multiplications a new token below which one CPU thread does the work: on a busy machine, two wait for each other (SmolLM2, 20
tokens at two strengths: 2.8 s of processor time with one thread, 15 to 50 s with two)."""
MAX_PROMPT = 4096
"""Tokens of a prompt."""
MAX_POSITIONS = 16_384
"""Tokens of all texts that are written at once. The cache of each takes memory: 46 KB in SmolLM2, ten times that in a model of
7 billion weights."""


class _Strength(NamedTuple):
    """`factor`: of the edit; `failed`: why there is none."""

    asked: float | None
    factor: float | None
    failed: str | None = None


class Steerer:
    """Uses the model and coders of a `Prober`, one at a time with it. Safe to share between threads."""

    def __init__(self, store: Store, prober: Prober):
        self._store, self._prober = store, prober
        self._continuers: dict[tuple[str, str], Continuer] = {}

    def steer(
        self,
        coder: str,
        prompt: str,
        options: SteeringOptions,
        *,
        progress: ProgressCallback = no_progress,
    ) -> SteeringResult:
        """Continue `prompt` by the model as it is and at each strength. What `progress` raises ends it (stages: "load model",
        "load coder <name>", "find strengths", "continue").

        A strength that cannot be had (a KL that none reaches, NaN) is a `Steered` with its reason; the others are there.

        Raises UserError: no language-model head, a coder without a decoder, a prompt that is empty or too long for the model, a
        module that has no effect on the next token; UnknownName; ModelLoadError; CoderLoadError.
        """
        opened = self._store.coder(coder)
        for latent in options.latents:
            opened.check_latent(latent)
        if not prompt:
            raise UserError("The prompt is empty. Give a text to continue.")
        with self._prober.loaded(coder, progress) as (key, subject, loaded):
            from autointerp.models.continuations import Continuer

            if key not in self._continuers:
                self._continuers = {key: Continuer(subject, loaded)}
            ids, n_added = self._prober.document_ids(subject, prompt, MAX_PROMPT)
            rows = options.n_samples * (1 + len(options.strengths))
            weights = sum(weight.numel() for weight in subject.model.parameters())
            with threads_for(rows * weights, small=SMALL):
                run = _Run(self._store, opened, self._continuers[key], ids, n_added, options, progress)
                return run.result()


class _Run:
    """One call of `Steerer.steer`."""

    def __init__(
        self,
        store: Store,
        coder: CoderStore,
        continuer: "Continuer",
        ids: Sequence[int],
        n_added: int,
        options: SteeringOptions,
        progress: ProgressCallback,
    ):
        from autointerp.models.edits import Edit, in_multiples

        self.store, self.coder, self.continuer, self.options = store, coder, continuer, options
        self.ids, self.n_added, self.progress = tuple(ids), n_added, progress
        largest = coder.table().columns["max_activation"]
        self.maxima = tuple(float(largest[latent]) for latent in options.latents)
        ones = (1.0,) * len(options.latents)
        raised_by: tuple[float, ...] | None = ones
        if options.zero:
            raised_by = None
        elif options.unit == "maximum" or (options.unit == "kl" and len(options.latents) > 1):
            raised_by = in_multiples(self.maxima, options.latents)
        self.edit: Edit = Edit(options.latents, raised_by)
        self.start = (
            None if options.start == "last" else min(n_added, len(ids) - 1)
        )  # what was put before the text is no text
        self.prompts: Prompts = continuer.prompts([self.ids], options.n_new)[0]
        self._clean: Tensor | None = None

    def result(self) -> SteeringResult:
        strengths = self._strengths()
        clean, steered = self._continue(strengths)
        return SteeringResult(
            coder=self.coder.info.coder,
            options=self.options,
            prompt_ids=self.ids,
            prompt_texts=tuple(self.store.decode(self.ids)),
            n_added=self.n_added,
            maxima=self.maxima,
            clean=clean,
            steered=steered,
            direct=tuple(map(self._direct, self.options.latents)),
            logit_unit=self.coder.info.logit_unit,
        )

    def _direct(self, latent: int) -> DirectEffect:
        vocabulary = self.store.vocabulary()

        def logits(tokens: Sequence[TokenLogit]) -> tuple[DirectLogit, ...]:
            return tuple(DirectLogit(each.token, vocabulary.text(each.token), each.value) for each in tokens)

        raised, lowered = self.coder.promoted(latent)
        return DirectEffect(latent, logits(raised), logits(lowered))

    def _strengths(self) -> list[_Strength]:
        from autointerp.models.strength import KLNotReached, find_strength

        if self.options.zero:
            return [_Strength(None, 1.0)]
        if self.options.unit != "kl":
            return [_Strength(strength, strength) for strength in self.options.strengths]
        strengths = []
        measured: dict[float, float] = {}
        for at, target in enumerate(self.options.strengths):
            self.progress(Progress("find strengths", at, len(self.options.strengths), "strengths"))
            try:
                strengths.append(
                    _Strength(target, find_strength(lambda xs: self._kls(xs, measured), target).strength)
                )
            except (KLNotReached, BadActivations) as error:
                strengths.append(_Strength(target, None, str(error)))
        return strengths

    def _kls(self, strengths: Sequence[float], measured: dict[float, float]) -> list[float]:
        """KL of the token after the prompt, in nats, at each strength; those measured are kept in `measured`."""
        import torch

        from autointerp.models.sampler import Sampling
        from autointerp.models.strength import mean_kl

        once = Sampling(1, temperature=0.0)
        if self._clean is None:
            self._clean = self._run([0.0], once).first
        new = [strength for strength in strengths if strength not in measured]
        if new:
            first = torch.cat([self._clean, self._run(new, once).first], 1)
            measured |= dict(zip(new, mean_kl(first), strict=True))
        return [measured[strength] for strength in strengths]

    def _continue(
        self, strengths: Sequence[_Strength]
    ) -> tuple[tuple[Continuation, ...], tuple[Steered, ...]]:
        from autointerp.models.sampler import Sampling

        options = self.options
        sampling = Sampling(options.n_new, options.temperature, options.seed, options.n_samples)

        def report(n: int) -> None:
            self.progress(Progress("continue", n, options.n_new, "tokens"))

        usable = [strength.factor for strength in strengths if strength.factor is not None]
        failed: dict[float, str] = {}
        try:
            run = self._run([0.0, *usable], sampling, report)
        except BadActivations:  # one by one, to see which
            good = []
            for factor in usable:
                try:
                    self._run([0.0, factor], sampling, report)
                    good.append(factor)
                except BadActivations as error:
                    failed[factor] = str(error)
            usable = good
            run = self._run([0.0, *usable], sampling, report)
        self._check_effect(run, usable)
        clean = self._texts(run, 0)
        steered = []
        for strength in strengths:
            reason = strength.failed or (None if strength.factor is None else failed.get(strength.factor))
            added = self._added(strength.factor)
            if strength.factor is None or reason is not None:
                steered.append(Steered(strength.asked, added, None, failed=reason))
                continue
            steered.append(self._steered(run, 1 + usable.index(strength.factor), strength.asked, added))
        return clean, tuple(steered)

    def _check_effect(self, run: "Continuations", factors: Sequence[float]) -> None:
        """UserError where raising the latents leaves every probability as it is."""
        if self.edit.holds_at_zero or not factors or bool((run.first[0, 1:] != run.first[0, :1]).any()):
            return
        features = "feature" if len(self.options.latents) == 1 else "features"
        names = ", ".join(map(str, self.options.latents))
        raise UserError(
            f"Raising {features} {names} of {self.coder.info.coder} does not change what the model predicts at all: what "
            f"{self.coder.info.hookpoint} writes does not reach the next token, or the decoder directions are zero."
        )

    def _steered(
        self, run: "Continuations", at: int, asked: float | None, added: tuple[float, ...]
    ) -> Steered:
        from autointerp.models.strength import kl_divergence

        before, after = run.first[0, 0], run.first[0, at]
        change = after.exp() - before.exp()
        order = change.argsort(descending=True)
        vocabulary = len(self.store.vocabulary())
        known = order[order < vocabulary]
        return Steered(
            asked, added, float(kl_divergence(before, after)),
            raised=self._next(before, after, known[:N_TOKENS].tolist(), 1),
            lowered=self._next(before, after, known.flip(0)[:N_TOKENS].tolist(), -1),
            continuations=self._texts(run, at),
        )  # fmt: skip

    def _next(
        self, before: "Tensor", after: "Tensor", ids: Sequence[int], sign: int
    ) -> tuple[NextToken, ...]:
        """Those of `ids` whose probability changes in the direction of `sign`."""
        pairs = [(token, float(before[token].exp()), float(after[token].exp())) for token in ids]
        moved = [(token, old, new) for token, old, new in pairs if (new - old) * sign > 0]
        vocabulary = self.store.vocabulary()
        return tuple(NextToken(token, vocabulary.text(token), old, new) for token, old, new in moved)

    def _texts(self, run: "Continuations", at: int) -> tuple[Continuation, ...]:
        ids, log_probs = run.ids[0, at], run.log_probs[0, at]
        clean = log_probs if at == 0 else self.continuer.clean_log_probs(self.prompts, ids)
        made = []
        for row, values, as_is in zip(ids, log_probs, clean, strict=True):
            n = int((row >= 0).sum())
            kept = row[:n].tolist()
            texts = self.store.decode([*self.ids, *kept])[
                len(self.ids) :
            ]  # a character may begin in the prompt
            made.append(
                Continuation(
                    tuple(kept), tuple(texts), tuple(values[:n].tolist()),
                    tuple((values - as_is)[:n].tolist()),
                )
            )  # fmt: skip
        return tuple(made)

    def _added(self, factor: float | None) -> tuple[float, ...]:
        if factor is None or self.edit.raised_by is None:
            return ()
        return tuple(factor * by for by in self.edit.raised_by)

    def _run(
        self, factors: Sequence[float], sampling: "Sampling", report: Callable[[int], None] = lambda _: None
    ) -> "Continuations":
        """As many factors at a time as memory is for."""
        from autointerp.models.continuations import side_by_side

        positions = sampling.n_samples * (len(self.ids) + sampling.n_new)
        width = max(1, MAX_POSITIONS // positions)
        runs = [
            self.continuer.run(
                self.prompts, self.edit, factors[at : at + width], sampling, start=self.start, on_token=report
            )
            for at in range(0, len(factors), width)
        ]
        return side_by_side(runs)
