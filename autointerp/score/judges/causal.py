"""How likely texts are, by a local causal language model."""

import copy
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from autointerp.errors import UserError
from autointerp.llm.cancel import CancelToken
from autointerp.models.threads import threads_for
from autointerp.models.trials import trial
from autointerp.score.resources import LogProbs

LOGIT_BYTES = 256 << 20
"""Most memory for the logits of one pass, where whole texts have to be run."""
CLOSE = 1e-2
"""Of the spread of the logits, how much a copied cache may change them (half precision rounds)."""
NO_TOKENS = "The language model's tokenizer made no tokens from the prompt."


@dataclass(frozen=True)
class _Read:
    """Prefixes of which the model has read equally many tokens. `rows`: their places among those asked for; `rests`: their
    tokens that are still to be read; `last` Float32[Tensor, "rows vocab"]: log probabilities of the token after those read.
    Where the model's cache cannot be copied there is none, and nothing has been read."""

    rows: list[int]
    rests: list[list[int]]
    cache: Any = None
    last: Tensor | None = None


class CausalTextModel:
    """A causal language model from transformers. Loads nothing itself: pass the loaded model and its tokenizer.

    A prefix is run once for all texts after it, and what several begin with once for all. A model whose cache cannot be copied
    (recurrent states) runs every prefix with its text. Padding stands at the end of a row only, where a causal model does not
    see it: before a text it would take up places in the window of local attention. `batch`: texts run at once.
    """

    def __init__(self, model: Any, tokenizer: Any, *, name: str, batch: int = 16):
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._name = name
        self._batch = batch
        self._parameters = inspect.signature(self._model.forward).parameters
        self._copies_cache: bool | None = None
        weights = sum(weight.numel() for weight in self._model.parameters())
        self._weights = (
            weights - self._model.get_input_embeddings().weight.numel()
        )  # looked up, not multiplied

    @property
    def name(self) -> str:
        return self._name

    @property
    def max_tokens(self) -> int | None:
        return getattr(self._model.config, "max_position_embeddings", None)

    def log_probs(
        self, prefix: str, texts: Sequence[str], *, cancel: CancelToken | None = None
    ) -> list[float]:
        """Raises: UserError: when prefix and text do not fit the model's context; Cancelled."""
        head = self._ids(prefix, special=True)
        bodies = [self._ids(text, special=False) for text in texts]
        longest = max(map(len, bodies), default=0)
        if not head:
            raise UserError(NO_TOKENS)
        if self.max_tokens is not None and len(head) + longest > self.max_tokens:
            raise UserError(
                f"The explanation with its prompt has {len(head)} tokens and the longest text {longest}: more than the "
                f"{self.max_tokens} that {self._name} can read. Use a model with a longer context, or shorten the explanation."
            )
        return [values[0] for values in self._sums([head], bodies, cancel)]

    def log_probs_after(
        self, prefixes: Sequence[str], texts: Sequence[str], *, cancel: CancelToken | None = None
    ) -> Iterator[LogProbs]:
        """Raises: UserError: when a text with the longest prefix does not fit the model's context; Cancelled."""
        heads = [self._ids(prefix, special=True) for prefix in prefixes]
        bodies = [self._ids(text, special=False) for text in texts]
        if not all(heads):
            raise UserError(NO_TOKENS)
        longest = max(map(len, heads), default=0)
        n_fit = 0
        while n_fit < len(bodies) and (
            self.max_tokens is None or longest + len(bodies[n_fit]) <= self.max_tokens
        ):
            n_fit += 1
        yield from map(LogProbs, self._sums(heads, bodies[:n_fit], cancel))
        if n_fit < len(bodies):
            raise UserError(
                f"The longest passage with its prompt has {longest} tokens and the explanation {len(bodies[n_fit])}: more than "
                f"the {self.max_tokens} that {self._name} can read. Choose shorter examples, or shorten the explanation."
            )

    @torch.no_grad()
    def _sums(
        self, heads: list[list[int]], bodies: list[list[int]], cancel: CancelToken | None
    ) -> list[list[float]]:
        """Of each body, after each head: the sum of its tokens' log probabilities."""
        distinct = list(dict.fromkeys(map(tuple, heads)))
        order = sorted((i for i, body in enumerate(bodies) if body), key=lambda i: len(bodies[i]))
        if not order or not distinct:
            return [[0.0] * len(heads) for _ in bodies]
        sums = [dict.fromkeys(distinct, 0.0) for _ in bodies]
        width = max(map(len, distinct)) + len(bodies[order[-1]])
        check = (cancel or CancelToken()).check
        with threads_for(self._batch * width * self._weights):
            n_rows = self._batch
            if not self._can_copy():
                vocab = self._model.get_input_embeddings().weight.shape[0]
                n_rows = min(n_rows, max(1, LOGIT_BYTES // (4 * vocab * width)))
            for read in self._read(list(map(list, distinct)), n_rows, check):
                at_once = max(1, n_rows // len(read.rows))
                for begin in range(0, len(order), at_once):
                    check()
                    some = order[begin : begin + at_once]
                    values = iter(self._after(read, [bodies[i] for i in some]))
                    for row in read.rows:
                        for i in some:
                            sums[i][distinct[row]] = next(values)
        return [[of_body[tuple(head)] for head in heads] for of_body in sums]

    def _read(self, heads: list[list[int]], n_rows: int, check: Callable[[], None]) -> Iterator[_Read]:
        """Read prefixes, those of similar length at once, as far as the shortest reaches. What all begin with is read once,
        leaving each at least one token of its own. `check` is called before each pass."""
        order = sorted(range(len(heads)), key=lambda i: len(heads[i]))
        batches = [order[at : at + n_rows] for at in range(0, len(order), n_rows)]
        if not self._can_copy():
            yield from (_Read(rows, [heads[row] for row in rows]) for rows in batches)
            return
        shared, n_shared = None, min(_n_shared(heads), min(map(len, heads)) - 1) if len(heads) > 1 else 0
        if n_shared:
            shared, _ = self._run([heads[0][:n_shared]])
        for rows in batches:
            check()
            n = len(heads[rows[0]])
            cache, last = self._run([heads[row][n_shared:n] for row in rows], shared)
            yield _Read(rows, [heads[row][n:] for row in rows], cache, last)

    def _run(self, rows: list[list[int]], before: Any = None) -> tuple[Any, Tensor]:
        """The cache after rows of equal length, which go on from the cache of one row `before`, and log probabilities
        Float32[Tensor, "rows vocab"] of the next token."""
        cache = None if before is None else _copied(before, len(rows))
        output = self._forward(torch.tensor(rows, device=self._device), cache, n_logits=1)
        return output.past_key_values, torch.log_softmax(output.logits[:, -1].float(), -1)

    def _after(self, read: _Read, bodies: list[list[int]]) -> list[float]:
        """log p of each body after each prefix: all bodies of the first, then of the next."""
        rows = [(rest, body) for rest in read.rests for body in bodies]
        shape = len(rows), max(len(rest) + len(body) for rest, body in rows)
        ids = torch.zeros(shape, dtype=torch.long)
        counted = torch.zeros(shape, dtype=torch.bool)
        for number, (rest, body) in enumerate(rows):
            end = len(rest) + len(body)
            ids[number, :end] = torch.tensor([*rest, *body])
            counted[number, len(rest) : end] = True
        ids, counted = ids.to(self._device), counted.to(self._device)
        log_probs = torch.zeros(shape, device=self._device)
        if read.last is not None:  # what has been read predicts the first token, each token the next one
            log_probs[:, :1] = read.last.repeat_interleave(len(bodies), 0).gather(1, ids[:, :1])
        if shape[1] > 1:
            cache = None if read.cache is None else _copied(read.cache, len(bodies))
            logits = self._forward(ids[:, :-1], cache, keeps=False).logits.float()
            log_probs[:, 1:] = logits.gather(2, ids[:, 1:, None])[:, :, 0] - logits.logsumexp(-1)
        return torch.where(counted, log_probs, 0.0).double().sum(dim=1).tolist()

    def _forward(self, ids: Tensor, cache: Any = None, *, n_logits: int = 0, keeps: bool = True) -> Any:
        """`n_logits`: only those of the last positions, where the model can; 0: all. `keeps`: whether the cache is wanted."""
        given: dict[str, Any] = {}
        if "use_cache" in self._parameters:
            given["use_cache"] = keeps or cache is not None
        if cache is not None:
            given["past_key_values"] = cache
        if n_logits and "logits_to_keep" in self._parameters:
            given["logits_to_keep"] = n_logits
        return self._model(input_ids=ids, **given)

    def _can_copy(self) -> bool:
        """Whether going on from copies of a cache gives what a whole pass gives; tried once."""
        if self._copies_cache is None:
            vocab = self._model.get_input_embeddings().weight.shape[0]
            tokens = [token % vocab for token in range(1, 7)]
            copies = False
            with trial():
                _, whole = self._run([tokens])
                _, copied = self._run([tokens[3:]] * 2, self._run([tokens[:3]])[0])
                copies = float((copied - whole).abs().max()) <= CLOSE * float(whole.std())
            self._copies_cache = copies
        return self._copies_cache

    @property
    def _device(self) -> torch.device:
        return next(self._model.parameters()).device

    def _ids(self, text: str, *, special: bool) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=special)["input_ids"])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name!r})"


def _copied(cache: Any, n: int) -> Any:
    """Caches grow in place, so that each use takes a copy; of every row n."""
    made = copy.deepcopy(cache)
    if n > 1:
        made.batch_repeat_interleave(n)
    return made


def _n_shared(rows: Sequence[list[int]]) -> int:
    """How many tokens all rows begin with."""
    first, last = min(rows), max(rows)
    return next(
        (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last))
    )
