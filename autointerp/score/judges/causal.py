"""How likely texts are, by a local causal language model."""

import copy
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from autointerp.errors import UserError
from autointerp.models.threads import threads_for
from autointerp.score.resources import LogProbs

KEPT_BYTES = 1 << 30
"""What the prefixes that were read last may take in memory."""
LOGIT_BYTES = 256 << 20
"""What the logits of one pass may take where whole texts have to be run."""
CLOSE = 1e-2
"""Of the spread of the logits, how much a copied cache or padding may change them (half precision rounds)."""

NO_TOKENS = "The language model's tokenizer made no tokens from the prompt."


@dataclass(frozen=True)
class _Read:
    """Prefixes that the model has read. `rows`: their places among those asked for. `cache` holds the keys and values of n
    positions; `mask` Bool[Tensor, "rows n"]: which of them are tokens; `last` Float32[Tensor, "rows vocab"]: log probabilities
    of the next token. Where the model's cache cannot be copied there is none, and whole texts are run."""

    rows: list[int]
    ids: list[list[int]]
    cache: Any = None
    mask: Tensor | None = None
    last: Tensor | None = None


class CausalTextModel:
    """A causal language model from transformers. Loads nothing itself: pass the loaded model and its tokenizer.

    A prefix is run once for all texts after it, and what several begin with once for all. Those of the last call are kept, up
    to `KEPT_BYTES`: another text after the same prefixes, such as the floor's explanation, costs only its own tokens. A model
    whose cache cannot be copied (recurrent states) runs every prefix with its text. `batch`: texts run at once.
    """

    def __init__(self, model: Any, tokenizer: Any, *, name: str, batch: int = 16):
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._name = name
        self._batch = batch
        self._takes = inspect.signature(self._model.forward).parameters
        self._copies_cache: bool | None = None
        self._hides_padding: bool | None = None
        self._kept: tuple[list[list[int]], list[_Read]] = ([], [])
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

    @property
    def _device(self) -> torch.device:
        return next(self._model.parameters()).device

    @torch.no_grad()
    def log_probs(self, prefix: str, texts: Sequence[str]) -> list[float]:
        """Raises: UserError: when prefix and text do not fit the model's context."""
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
        values = [0.0] * len(bodies)
        if not longest:
            return values
        with threads_for(self._batch * longest * self._weights):
            [read] = self._read([head])
            for rows in self._batches(bodies):
                for row, value in zip(rows, self._after(read, [bodies[row] for row in rows]), strict=True):
                    values[row] = value
        return values

    @torch.no_grad()
    def log_probs_after(self, prefixes: Sequence[str], text: str) -> LogProbs:
        """Raises: UserError: when prefix and text do not fit the model's context."""
        body = self._ids(text, special=False)
        heads = [self._ids(prefix, special=True) for prefix in prefixes]
        values = [0.0] * len(heads)
        if not heads or not body:
            return LogProbs(values)
        if not all(heads):
            raise UserError(NO_TOKENS)
        longest = max(map(len, heads))
        if self.max_tokens is not None and longest + len(body) > self.max_tokens:
            raise UserError(
                f"The longest passage with its prompt has {longest} tokens and the explanation {len(body)}: more than the "
                f"{self.max_tokens} that {self._name} can read. Choose shorter examples, or shorten the explanation."
            )
        with threads_for(self._batch * (longest + len(body)) * self._weights):
            for read in self._read_once(heads):
                for row, value in zip(read.rows, self._after(read, [body] * len(read.rows)), strict=True):
                    values[row] = value
        return LogProbs(values)

    def _read_once(self, heads: list[list[int]]) -> Iterator[_Read]:
        """As `_read`; kept where that is not too much."""
        kept, reads = self._kept
        if kept == heads:
            yield from reads
            return
        self._kept, reads, size = ([], []), [], 0
        for read in self._read(heads):
            size += _n_bytes(read.cache)
            reads = [*reads, read] if size <= KEPT_BYTES else []
            yield read
        if size <= KEPT_BYTES:
            self._kept = (heads, reads)

    def _read(self, heads: list[list[int]]) -> Iterator[_Read]:
        """Run prefixes, a batch at a time. What all begin with is run once, but for one token at least of each."""
        if not self._can_copy():
            for rows in self._batches(heads):
                yield _Read(rows, [heads[row] for row in rows])
            return
        n_shared = min(_n_shared(heads), min(map(len, heads)) - 1)
        shared = self._run([heads[0][:n_shared]], None, 1) if n_shared else None
        rests = [head[n_shared:] for head in heads]
        for rows in self._batches(rests, equal=not self._can_pad(rests, shared)):
            cache, mask, last = self._run([rests[row] for row in rows], shared, len(rows))
            yield _Read(rows, [heads[row] for row in rows], cache, mask, last)

    def _run(
        self, rows: list[list[int]], before: tuple[Any, Tensor, Tensor] | None, repeats: int
    ) -> tuple[Any, Tensor, Tensor]:
        """Rows, after copies of what was run `before`: the cache, which of its positions are tokens, and log probabilities of
        the next token. Shorter rows have their padding before them, so that all end at the same place."""
        ids, mask = self._padded(rows, left=True)
        cache = None
        if before is not None:
            cache = _copied(before[0], repeats)
            mask = torch.cat([before[1].repeat_interleave(repeats, 0), mask], 1)
        output = self._forward(ids, mask, cache, n_logits=1)
        return output.past_key_values, mask, torch.log_softmax(output.logits[:, -1].float(), -1)

    def _after(self, read: _Read, bodies: list[list[int]]) -> list[float]:
        """log p of each body after the prefix that was read; a single prefix stands for all."""
        if not any(bodies):
            return [0.0] * len(bodies)
        if read.mask is None or read.last is None:
            return self._whole(read.ids * (len(bodies) // len(read.ids)), bodies)
        repeats = len(bodies) // len(read.ids)
        ids, is_token = self._padded(bodies, left=False)
        predicted = read.last.repeat_interleave(repeats, 0)[:, None]
        if ids.shape[1] > 1:  # the prefix predicts the first token, each token the next one
            mask = torch.cat([read.mask.repeat_interleave(repeats, 0), is_token[:, :-1]], 1)
            output = self._forward(ids[:, :-1], mask, _copied(read.cache, repeats))
            predicted = torch.cat([predicted, torch.log_softmax(output.logits.float(), -1)], 1)
        return _sums(predicted, ids, is_token)

    def _whole(self, heads: list[list[int]], bodies: list[list[int]]) -> list[float]:
        """As `_after`, each prefix with its body in one pass."""
        values: list[float] = []
        vocab = self._model.get_input_embeddings().weight.shape[0]
        width = max(map(len, heads)) + max(map(len, bodies))
        at_once = max(1, LOGIT_BYTES // (4 * vocab * width))
        for begin in range(0, len(heads), at_once):
            pairs = list(zip(heads[begin : begin + at_once], bodies[begin : begin + at_once], strict=True))
            ids, mask = self._padded([[*head, *body] for head, body in pairs], left=False)
            logits = self._forward(ids, mask, None, keeps=False).logits[:, :-1].float()
            counted = torch.zeros_like(mask)
            for row, (head, body) in enumerate(pairs):
                counted[row, len(head) : len(head) + len(body)] = True
            values += _sums(torch.log_softmax(logits, -1), ids[:, 1:], counted[:, 1:])
        return values

    def _forward(
        self, ids: Tensor, mask: Tensor, cache: Any, *, n_logits: int = 0, keeps: bool = True
    ) -> Any:
        """`mask`: of what the cache holds and of `ids`. `n_logits`: only those of the last positions, where the model can."""
        given: dict[str, Any] = {"use_cache": keeps} if "use_cache" in self._takes else {}
        if cache is not None:
            given["past_key_values"] = cache
        if not bool(mask.all()):
            given["attention_mask"] = mask.long()
            if "position_ids" in self._takes:
                given["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        if n_logits and "logits_to_keep" in self._takes:
            given["logits_to_keep"] = n_logits
        return self._model(input_ids=ids, **given)

    def _can_copy(self) -> bool:
        """Whether going on from copies of a cache gives what a whole pass gives; tried once."""
        if self._copies_cache is None:
            vocab = self._model.get_input_embeddings().weight.shape[0]
            tokens = [token % vocab for token in range(1, 7)]
            self._copies_cache = False
            try:
                _, _, alone = self._run([tokens], None, 1)
                _, _, copied = self._run([tokens[3:]] * 2, self._run([tokens[:3]], None, 1), 2)
                self._copies_cache = _same(copied, alone.expand(2, -1))
            except (AttributeError, TypeError, ValueError, RuntimeError, IndexError, NotImplementedError):
                pass
        return self._copies_cache

    def _can_pad(self, rows: list[list[int]], before: Any) -> bool:
        """Whether the shortest row gives the same with padding before it as alone; tried once."""
        short, long = min(rows, key=len), max(rows, key=len)
        if len(short) == len(long):
            return True
        if self._hides_padding is None:
            _, _, alone = self._run([short], before, 1)
            try:
                _, _, padded = self._run([short, long], before, 2)
                self._hides_padding = _same(padded[:1], alone)
            except (TypeError, ValueError, RuntimeError, IndexError):
                self._hides_padding = False
        return self._hides_padding

    def _batches(self, rows: list[list[int]], equal: bool = False) -> Iterator[list[int]]:
        """Places of rows that are run together: of similar length, for little padding, or of equal length."""
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        lengths = sorted({len(row) for row in rows}) if equal else [None]
        for length in lengths:
            some = [i for i in order if length is None or len(rows[i]) == length]
            yield from (some[at : at + self._batch] for at in range(0, len(some), self._batch))

    def _padded(self, rows: list[list[int]], *, left: bool) -> tuple[Tensor, Tensor]:
        """Int64[Tensor, "rows width"], and which of them are tokens."""
        width = max(map(len, rows))
        ids = torch.zeros((len(rows), width), dtype=torch.long)
        mask = torch.zeros((len(rows), width), dtype=torch.bool)
        for number, row in enumerate(rows):
            at = slice(width - len(row), width) if left else slice(len(row))
            ids[number, at] = torch.tensor(row, dtype=torch.long)
            mask[number, at] = True
        return ids.to(self._device), mask.to(self._device)

    def _ids(self, text: str, *, special: bool) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=special)["input_ids"])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name!r})"


def _sums(predicted: Tensor, ids: Tensor, counted: Tensor) -> list[float]:
    """Of each row, the sum over the counted tokens. `predicted` [rows n vocab]: log probabilities at the places of `ids`."""
    chosen = predicted.gather(2, ids[:, :, None])[:, :, 0]
    return torch.where(counted, chosen, 0.0).double().sum(dim=1).tolist()


def _copied(cache: Any, repeats: int) -> Any:
    """Caches grow in place, so that each use takes a copy."""
    made = copy.deepcopy(cache)
    if repeats > 1:
        made.batch_repeat_interleave(repeats)
    return made


def _n_bytes(cache: Any) -> int:
    layers = getattr(cache, "layers", ())
    return sum(t.nbytes for layer in layers for t in vars(layer).values() if isinstance(t, Tensor))


def _same(a: Tensor, b: Tensor) -> bool:
    return float((a - b).abs().max()) <= CLOSE * float(b.std())


def _n_shared(rows: Sequence[list[int]]) -> int:
    """How many tokens all rows begin with."""
    first, last = min(rows), max(rows)
    return next(
        (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last))
    )
