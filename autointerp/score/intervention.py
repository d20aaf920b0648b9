"""Intervention: does the explanation tell what the latent makes the model write?"""

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import numpy as np

from autointerp.errors import Failure, UserError
from autointerp.llm.cancel import CancelToken
from autointerp.llm.client import Client
from autointerp.llm.errors import BudgetExceeded, Cancelled, LLMError
from autointerp.llm.messages import ChatReply, ChatRequest, Usage
from autointerp.models.effect import Effect
from autointerp.records import Explanation, Metric
from autointerp.registry import KL
from autointerp.sampling import distinct_prompts, one_line
from autointerp.score.judges.served import ServedTextModel
from autointerp.score.options import ScoreOptions
from autointerp.score.plan import NO_NEGATIVES, Item, Plan, Verdict, Verdicts
from autointerp.score.prompts import intervention as prompt
from autointerp.score.registry import TEXT_MODEL
from autointerp.score.resampling import Resamples
from autointerp.score.resources import Effects, LikelihoodJudge, LogProbs, Resources
from autointerp.score.scorer import Heldout, Scorer, shuffled

N_NEW = 8
"""Tokens that are written after a prompt, as in the paper."""
_ROOM = 512
"""Tokens that the examples of the task, a passage and an explanation need together."""


class Intervention(Scorer):
    """Mean over prompts of log p(explanation | prompt and what the model writes with the latent raised) less the same for what
    it writes as it is: in nats, summed over the explanation's tokens and the closing quotation mark.

    A prompt is an activating window up to its first activating token; windows that are cut to the same tokens give one prompt,
    asked and counted once: what is written after it depends on it alone, so that a second time would tell nothing more.
    `effects` raises the latent so far that the next token's distribution moves by `kl` nats in the mean over the prompts;
    `text_model` tells how likely the explanation is. Models with a short context are asked without the examples of the task;
    `prompt_version` tells.

    Source: intervention scoring in arXiv 2410.13928, appendix G.
    """

    name: ClassVar[str] = "intervention"
    metric: ClassVar[Metric] = "nats"
    needs_negatives: ClassVar[bool] = False
    judge_name = "language model"

    def __init__(
        self,
        text_model: LikelihoodJudge,
        effects: Effects,
        *,
        kl: float = KL.default,
        cancel: CancelToken | None = None,
        resamples: Resamples | None = None,
    ):
        super().__init__(resamples=resamples)
        self.text_model, self.effects, self.kl, self.cancel = text_model, effects, kl, cancel
        self.model = text_model.name
        # Decided by the model alone, so that all explanations it scores are asked about in the same way.
        self._short = text_model.max_tokens is not None and text_model.max_tokens < _ROOM
        self.prompt_version = prompt.SHORT_VERSION if self._short else prompt.VERSION

    def plan(self, heldout: Heldout, seed: int) -> Plan:
        items = [Item(window, True) for window in distinct_prompts(heldout.activating)]
        return Plan(
            shuffled(items, np.random.default_rng(seed)),
            heldout.latent_max,
            NO_NEGATIVES,
            seed,
            of=heldout.of,
        )

    def answers(self, explanations: Sequence[Explanation], plan: Plan) -> Iterator[Verdicts]:
        """What is written is the same for all of them, and a local judge reads it once."""
        assert plan.of is not None
        prompts = [item.window.example.token_ids.tolist() for item in plan.items]
        try:
            effect, key = self.effects.effect(
                *plan.of, prompts, kl=self.kl, n_new=N_NEW, seed=plan.seed, cancel=self.cancel
            )
            texts = [explanation.text for explanation in explanations]
            differences = self.differences(effect, texts)
            for _ in texts:
                if self.cancel is not None:
                    self.cancel.check()
                values, usage = next(differences)
                yield Verdicts(
                    tuple(
                        Verdict(value=value, reply_ref=key)
                        if np.isfinite(value)
                        else Verdict(error="the model gave no finite probability", reply_ref=key)
                        for value in values
                    ),
                    usage,
                )
        except (Cancelled, BudgetExceeded):
            raise
        except UserError as error:
            spent = error.usage if isinstance(error, LLMError) else None
            yield Verdicts(tuple(Verdict() for _ in prompts), spent or Usage(), failure=Failure.of(error))

    def requests(
        self, explanations: Sequence[str], plan: Plan, kept: Callable[[ChatRequest], ChatReply | None]
    ) -> list[ChatRequest]:
        """What the model will write is not known yet: dots stand for it."""
        if not isinstance(self.text_model, ServedTextModel):
            return []
        prefixes = [self._entry(item.window.text + " ..." * N_NEW) for item in plan.items] * 2
        return [
            request
            for explanation in explanations
            for request in self.text_model.requests(prefixes, closed(explanation))
        ]

    def differences(self, effect: Effect, explanations: Sequence[str]) -> Iterator[LogProbs]:
        """Of each explanation, raised less clean for each prompt."""
        texts = [each.prompt + each.raised for each in effect.prompts]
        texts += [each.prompt + each.clean for each in effect.prompts]
        n = len(effect.prompts)
        for values, usage in self.text_model.log_probs_after(
            list(map(self._entry, texts)), list(map(closed, explanations)), cancel=self.cancel
        ):
            yield LogProbs(
                [raised - clean for raised, clean in zip(values[:n], values[n:], strict=True)], usage
            )

    def _entry(self, passage: str) -> str:
        prefix = prompt.SHORT_PREFIX if self._short else prompt.PREFIX
        return prefix + prompt.ENTRY.format(passage=one_line(passage).strip())


def build(
    options: ScoreOptions, resources: Resources, client: Client | None, cancel: CancelToken
) -> Intervention:
    """Raises UserError."""
    if options.value(TEXT_MODEL.name) == "llm":
        assert client is not None
        text_model: LikelihoodJudge = ServedTextModel(client)
    else:
        text_model = resources.text_model()
    return Intervention(
        text_model,
        resources.effects(),
        kl=options.value(KL.name),
        cancel=cancel,
        resamples=resources.resamples,
    )


def closed(explanation: str) -> str:
    """The explanation on one line, with the quotation mark that ends it."""
    return " ".join(explanation.split()) + prompt.END
