"""Surprisal: does the explanation make the activating texts more likely under a language model?"""

import copy
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from autointerp.errors import Failure, UserError
from autointerp.llm.cancel import CancelToken
from autointerp.llm.client import Client
from autointerp.models.threads import threads_for
from autointerp.records import Explanation, Metric
from autointerp.score.options import ScoreOptions
from autointerp.score.plan import Plan, Verdict, Verdicts
from autointerp.score.prompts import surprisal as prompt
from autointerp.score.resampling import Resamples
from autointerp.score.resources import Likelihoods, LogProbs, Resources
from autointerp.score.scorer import Heldout, Scorer, simple_plan

if TYPE_CHECKING:
    import torch


MAX_NEUTRAL = 20_000
"""Texts whose log-probability without an explanation is kept."""
_ROOM = 512
"""Tokens that the examples of the task, an explanation and a text need together."""


class Surprisal(Scorer):
    """AUROC of log p(text | explanation) - log p(text | neutral description), activating against not.

    Models with a short context are asked without the examples of the task; `prompt_version` tells.

    Source: surprisal scoring in arXiv 2410.13928.
    """

    name: ClassVar[str] = "surprisal"
    metric: ClassVar[Metric] = "auroc"
    judge_name = "language model"

    def __init__(self, model: Likelihoods, *, resamples: Resamples | None = None):
        super().__init__(resamples=resamples)
        self.text_model = model
        self.model = model.name
        # Decided by the model alone, so that all explanations it scores are asked about in the same way.
        self._short = model.max_tokens is not None and model.max_tokens < _ROOM
        self.prompt_version = prompt.SHORT_VERSION if self._short else prompt.VERSION
        self._neutral: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def plan(self, heldout: Heldout, seed: int) -> Plan:
        return simple_plan(heldout, seed)

    def answer(self, explanation: Explanation, plan: Plan) -> Verdicts:
        texts = [_excerpt(item.window.text) for item in plan.items]
        try:
            given = self.text_model.log_probs(self._entry(explanation.text), texts)
            neutral = self._neutral_log_probs(texts)
        except UserError as error:
            return Verdicts(tuple(Verdict() for _ in texts), failure=Failure.of(error))
        values = [a - b for a, b in zip(given, neutral, strict=True)]
        return Verdicts(
            tuple(
                Verdict(value=value)
                if np.isfinite(value)
                else Verdict(error="the model gave no finite probability")
                for value in values
            )
        )

    def _neutral_log_probs(self, texts: Sequence[str]) -> list[float]:
        """The same for every explanation, so the latest are kept. Other threads may drop any of them at any time."""
        distinct = dict.fromkeys(texts)
        kept = {text: value for text in distinct if (value := self._neutral.get(text)) is not None}
        missing = [text for text in distinct if text not in kept]
        if missing:
            values = self.text_model.log_probs(self._entry(prompt.NEUTRAL), missing)
            new = dict(zip(missing, values, strict=True))
            kept |= new
            with self._lock:
                self._neutral.update(new)
        with self._lock:
            while len(self._neutral) > MAX_NEUTRAL:
                self._neutral.popitem(last=False)
        return [kept[text] for text in texts]

    def _entry(self, explanation: str) -> str:
        prefix = prompt.SHORT_PREFIX if self._short else prompt.PREFIX
        return prefix + prompt.ENTRY.format(explanation=" ".join(explanation.split()))


def build(
    options: ScoreOptions, resources: Resources, client: Client | None, cancel: CancelToken
) -> Surprisal:
    """Raises UserError."""
    return Surprisal(resources.text_model(), resamples=resources.resamples)


def _excerpt(text: str) -> str:
    return text if text[:1].isspace() else f" {text}"


class CausalTextModel:
    """A local causal language model from transformers. Loads nothing itself: pass the loaded model and its tokenizer.

    The prefix is run once; each batch continues from a *copy* of its key-value cache, because caches grow in place. `batch`:
    texts run at once.
    """

    def __init__(self, model: Any, tokenizer: Any, *, name: str, batch: int = 16):
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._name = name
        self._batch = batch

    @property
    def name(self) -> str:
        return self._name

    @property
    def max_tokens(self) -> int | None:
        return getattr(self._model.config, "max_position_embeddings", None)

    def log_probs(self, prefix: str, texts: Sequence[str]) -> list[float]:
        """Raises: UserError: when prefix and text do not fit the model's context."""
        import torch

        head = self._ids(prefix, special=True)
        bodies = [self._ids(text, special=False) for text in texts]
        self._check_length(len(head), max((len(body) for body in bodies), default=0))
        device = next(self._model.parameters()).device
        order = sorted(
            range(len(bodies)), key=lambda i: len(bodies[i])
        )  # similar lengths together: little padding
        values = [0.0] * len(bodies)
        with torch.no_grad():
            start = self._model(input_ids=torch.tensor([head], device=device), use_cache=True)
            last = torch.log_softmax(start.logits[0, -1].float(), dim=-1)
            for begin in range(0, len(order), self._batch):
                rows = order[begin : begin + self._batch]
                sums = self._continue(
                    start.past_key_values, last, len(head), [bodies[i] for i in rows], device
                )
                for i, value in zip(rows, sums, strict=True):
                    values[i] = value
        return values

    def log_probs_after(self, prefixes: Sequence[str], text: str) -> LogProbs:
        """What all prefixes begin with is run once. Raises: UserError: when prefix and text do not fit the model's context."""
        import torch

        body = self._ids(text, special=False)
        heads = [self._ids(prefix, special=True) for prefix in prefixes]
        if not heads or not body:
            return LogProbs([0.0] * len(heads))
        longest = max(map(len, heads))
        if self.max_tokens is not None and longest + len(body) > self.max_tokens:
            raise UserError(
                f"The longest passage with its prompt has {longest} tokens and the explanation {len(body)}: more than the "
                f"{self.max_tokens} that {self._name} can read. Choose shorter examples, or shorten the explanation."
            )
        shared = _shared(heads)
        # At least one token of each prefix is left, so that all rows have something to go on from.
        shared = min(shared, min(map(len, heads)) - 1)
        device = next(self._model.parameters()).device
        rows = [[*head[shared:], *body] for head in heads]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        values = [0.0] * len(rows)
        weights = sum(weight.numel() for weight in self._model.parameters())
        weights -= self._model.get_input_embeddings().weight.numel()  # looked up, not multiplied
        with torch.no_grad(), threads_for(self._batch * len(rows[order[-1]]) * weights):
            past = None
            if shared:
                head = torch.tensor([heads[0][:shared]], device=device)
                past = self._model(input_ids=head, use_cache=True).past_key_values
            for begin in range(0, len(order), self._batch):
                some = order[begin : begin + self._batch]
                sums = self._of_ends(past, shared, [rows[i] for i in some], len(body), device)
                for i, value in zip(some, sums, strict=True):
                    values[i] = value
        return LogProbs(values)

    def _of_ends(self, past: Any, n_past: int, rows: list[list[int]], n: int, device: Any) -> list[float]:
        """Of the last `n` tokens of each row, which goes on from `past`."""
        import torch

        width = max(map(len, rows))
        ids = torch.zeros((len(rows), width), dtype=torch.long, device=device)
        mask = torch.zeros((len(rows), n_past + width), dtype=torch.long, device=device)
        for row, tokens in enumerate(rows):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : n_past + len(tokens)] = 1
        given: dict[str, Any] = {}
        if past is not None:
            cache = copy.deepcopy(past)
            cache.batch_repeat_interleave(len(rows))
            given = {"past_key_values": cache, "use_cache": True}
        logits = self._model(input_ids=ids, attention_mask=mask, **given).logits
        lengths = torch.tensor(list(map(len, rows)), device=device)
        at = lengths[:, None] - n + torch.arange(n, device=device)  # places of the text's tokens
        before = (at - 1)[:, :, None].expand(-1, -1, logits.shape[-1])
        log_probs = torch.log_softmax(logits.gather(1, before).float(), dim=-1)
        chosen = log_probs.gather(2, ids.gather(1, at)[:, :, None])[:, :, 0]
        return chosen.double().sum(dim=1).tolist()

    def _continue(
        self, past: Any, last: "torch.Tensor", n_head: int, bodies: list[list[int]], device: Any
    ) -> list[float]:
        import torch

        width = max(map(len, bodies))
        if width == 0:
            return [0.0] * len(bodies)
        ids = torch.zeros((len(bodies), width), dtype=torch.long, device=device)
        mask = torch.zeros((len(bodies), width), dtype=torch.long, device=device)
        for row, body in enumerate(bodies):
            ids[row, : len(body)] = torch.tensor(body, dtype=torch.long)
            mask[row, : len(body)] = 1
        cache = copy.deepcopy(past)
        cache.batch_repeat_interleave(len(bodies))
        attention = torch.cat(
            [torch.ones((len(bodies), n_head), dtype=torch.long, device=device), mask], dim=1
        )
        logits = self._model(
            input_ids=ids, attention_mask=attention, past_key_values=cache, use_cache=True
        ).logits.float()
        # The prefix predicts the first token, each token the next one; padding on the right predicts nothing that counts.
        predicted = torch.cat(
            [last.expand(len(bodies), 1, -1), torch.log_softmax(logits[:, :-1], dim=-1)], dim=1
        )
        chosen = predicted.gather(2, ids[:, :, None])[:, :, 0] * mask
        return [float(value) for value in chosen.double().sum(dim=1)]

    def _ids(self, text: str, *, special: bool) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=special)["input_ids"])

    def _check_length(self, n_head: int, n_body: int) -> None:
        if n_head == 0:
            raise UserError("The language model's tokenizer made no tokens from the prompt.")
        limit = self.max_tokens
        if limit is not None and n_head + n_body > limit:
            raise UserError(
                f"The explanation with its prompt has {n_head} tokens and the longest text {n_body}: more than the {limit} "
                f"that {self._name} can read. Use a model with a longer context, or shorten the explanation."
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name!r})"


def _shared(rows: Sequence[list[int]]) -> int:
    """How many tokens all rows begin with."""
    first, last = min(rows), max(rows)
    return next(
        (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last))
    )
