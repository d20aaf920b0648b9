"""Continuing prompts with and without an edit of a coder's latents, many at once.

All continuations of a prompt share what they have in common. Its tokens before the first edited position are run once, and
their key-value cache is copied. Its edited tokens are run once without the edit: the layers before the edited one (that one too
where its output is what is edited) give at every strength what they gave then. Both are tried on the model first; one whose
cache has not an entry for each layer that can be copied (recurrent states: Mamba, RWKV), or whose layers pass on more than
they return, runs whole passes. `transformers`' own `generate` runs the model, with its usual habits (sampling filters,
penalties) switched off. Random numbers depend on the seed, the sample's number and the place alone (and, where asked, on the
prompt), so that continuations with different factors differ by what the edit does to the model, not by luck.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from autointerp.errors import BadActivations, CorpusError
from autointerp.models.coders.coder import SparseCoder
from autointerp.models.edits import Edit, Passes, check_editable, editing
from autointerp.models.hooks import Tap, hooked
from autointerp.models.resume import CleanPass, layers_unchanged, recording, resuming
from autointerp.models.sampler import OnToken, Sampler, Sampling
from autointerp.models.subject import SubjectModel
from autointerp.models.trials import trial

CLOSE = 1e-2
"""Of the spread of the logits, how much a cache or padding may change them (half precision rounds)."""

TRIED = 4
"""Tokens on which the model's cache is tried."""

MAX_PROMPTS = 64
"""Prompts that are run together; each as often as it is continued."""


@dataclass(frozen=True)
class Continuations:
    """Of p prompts at f factors, s samples each. `ids` Int64[Tensor, "p f s n"], -1 after the end of a text; `log_probs`
    Float32[Tensor, "p f s n"]: of each token, as the model with the edit gives it; `first` Float32[Tensor, "p f vocab"]: log
    probabilities of the token after the prompt."""

    ids: Tensor
    log_probs: Tensor
    first: Tensor


def side_by_side(runs: Sequence[Continuations]) -> Continuations:
    """Of the same prompts and samples at the factors of each, one after the other."""
    longest = max(run.ids.shape[-1] for run in runs)

    def to(run: Tensor, value: float) -> Tensor:
        return torch.nn.functional.pad(run, (0, longest - run.shape[-1]), value=value)

    return Continuations(
        torch.cat([to(run.ids, -1) for run in runs], 1),
        torch.cat([to(run.log_probs, 0.0) for run in runs], 1),
        torch.cat([run.first for run in runs], 1),
    )


@dataclass(eq=False)
class Prompts:
    """Rows of token ids, as given, and side by side with padding before them."""

    rows: list[list[int]]
    ids: Tensor
    mask: Tensor
    _caches: dict[int, Any] = field(default_factory=dict)
    _clean: dict[int, CleanPass] = field(default_factory=dict)

    @property
    def width(self) -> int:
        return self.ids.shape[1]


class Continuer:
    """Continues prompts under edits of one coder. Not thread-safe."""

    def __init__(self, subject: SubjectModel, coder: SparseCoder):
        """Raises UserError or CoderLoadError where latents of this coder cannot be edited."""
        check_editable(subject, coder)
        self.subject, self.coder = subject, coder
        assert coder.target is not None
        self._unchanged = layers_unchanged(subject, [coder.tap, coder.target])
        self._can_resume: dict[bool, bool] = {}
        self._uses_cache: bool | None = None
        self._copies_cache: bool | None = None
        self._hides_padding: bool | None = None

    def prompts(self, rows: Sequence[Sequence[int]], n_new: int) -> list[Prompts]:
        """Prompts that are run together, `MAX_PROMPTS` at most: in their order, or those of equal length where this model reads
        padding as text.

        Raises CorpusError: an empty prompt, an id outside the vocabulary, or one that does not fit the model's context with
        `n_new` tokens more.
        """
        limit = self.subject.max_ctx_len
        for row in rows:
            if not row:
                raise CorpusError("the prompt is empty")
            if min(row) < 0 or max(row) >= self.subject.vocab_size:
                raise CorpusError(
                    f"the prompt holds ids outside the vocabulary of {self.subject.name} (0 to {self.subject.vocab_size - 1})"
                )
            if limit is not None and len(row) + n_new > limit:
                raise CorpusError(
                    f"the prompt has {len(row):,} tokens, and with {n_new} new ones that is more than the {limit:,} that "
                    f"{self.subject.name} can take. Shorten the prompt, or ask for fewer new tokens."
                )
        lengths = sorted({len(row) for row in rows})
        together = [rows]
        if len(lengths) > 1 and not self._reads_no_padding(rows):
            together = [[row for row in rows if len(row) == length] for length in lengths]
        return [
            self._padded(some[at : at + MAX_PROMPTS])
            for some in together
            for at in range(0, len(some), MAX_PROMPTS)
        ]

    def run(
        self,
        prompts: Prompts,
        edit: Edit,
        factors: Sequence[float],
        sampling: Sampling,
        *,
        start: int | None = None,
        on_token: OnToken = lambda _: None,
    ) -> Continuations:
        """Continue every prompt at every factor; 0 is the model as it is. `start`: the first edited position of each prompt, by
        default its last token; new tokens are edited too.

        Raises BadActivations where the edit makes the model give NaN or infinity.
        """
        n, f, s = len(prompts.rows), len(factors), sampling.n_samples
        padding = prompts.width - prompts.mask.sum(1)
        starts = torch.full_like(padding, prompts.width - 1) if start is None else padding + start
        repeats = f * s
        by_row = torch.tensor([factor for factor in factors for _ in range(s)], dtype=torch.float32)
        passes = Passes(prompts.width)
        sampler = Sampler(
            sampling, n * f, passes, on_token, [float(x) for x in factors], ends(self.subject), prompts.rows
        )
        keeps_state = self._keeps_state()
        with torch.inference_mode():
            cache = self._cache(prompts, int(starts.min()), repeats)
            with self._resuming(prompts, int(starts.min()), repeats, cache), editing(
                self.subject, self.coder, edit,
                by_row.repeat(n).to(self.subject.device), starts.repeat_interleave(repeats), passes,
            ):  # fmt: skip
                self._generate(prompts, repeats, sampling.n_new, sampler, cache, use_cache=keeps_state)
        ids, log_probs = sampler.result()
        shape = (n, f, s, ids.shape[1])
        first = sampler.first.view(n, f, s, -1)[:, :, 0]
        return Continuations(ids.view(shape), log_probs.view(shape), first)

    def clean_log_probs(self, prompt: Prompts, continuations: Tensor) -> Tensor:
        """Of each token of `continuations` Int64[Tensor, "rows n"] of a single prompt, the log probability by the model as it
        is, Float32[Tensor, "rows n"]; 0 after a text's end."""
        rows, n = continuations.shape
        new = continuations.clamp(min=0)
        with torch.inference_mode():
            clean = next(iter(prompt._clean.values()), None)
            if clean is not None and self._copies_caches(prompt):
                return self._clean_log_probs(clean, prompt, continuations, new)
            cache = self._cache(prompt, prompt.width - 1, rows)
            whole = torch.cat([prompt.ids.repeat(rows, 1), new], dim=1)
            inputs: dict[str, Any] = {"input_ids": whole[:, :-1]}
            if cache is not None:
                inputs = {"input_ids": whole[:, prompt.width - 1 : -1], "past_key_values": cache}
                inputs["attention_mask"] = torch.ones_like(whole[:, :-1])
            logits = self.subject.model(**inputs).logits[:, -n:].float()
            chosen = torch.log_softmax(logits, dim=-1).gather(2, new[:, :, None])[:, :, 0]
        return torch.where(continuations >= 0, chosen, 0.0)

    def _clean_log_probs(
        self, clean: CleanPass, prompt: Prompts, continuations: Tensor, new: Tensor
    ) -> Tensor:
        """As `clean_log_probs`, from the cache after the whole prompt."""
        rows, n = new.shape
        log_probs = clean.first.expand(rows, -1)[:, None]
        if n > 1:
            cache = copy.deepcopy(clean.cache)
            cache.batch_repeat_interleave(rows)
            mask = torch.ones(rows, prompt.width + n - 1, dtype=torch.long, device=new.device)
            made = self.subject.model(input_ids=new[:, :-1], past_key_values=cache, attention_mask=mask)
            log_probs = torch.cat([log_probs, torch.log_softmax(made.logits.float(), -1)], 1)
        return torch.where(continuations >= 0, log_probs.gather(2, new[:, :, None])[:, :, 0], 0.0)

    @contextmanager
    def _resuming(self, prompts: Prompts, n: int, repeats: int, cache: Any) -> Iterator[None]:
        """Within, `_generate` on `prompts` from their n-th position on runs no layer that the edit does not change, where that
        gives what whole passes give (tried once)."""
        several = prompts.width - n > 1
        if not self._unchanged or not self._keeps_state() or (n > 0 and cache is None):
            yield
            return
        if several not in self._can_resume:
            self._can_resume[several] = self._try_resuming(prompts, n)
        if not self._can_resume[several]:
            yield
            return
        with resuming(self.subject, self._unchanged, self._clean(prompts, n), repeats):
            yield

    def _clean(self, prompts: Prompts, n: int) -> CleanPass:
        """The clean pass over the positions from the n-th on; run once."""
        if n not in prompts._clean:
            clean = CleanPass(len(prompts.rows), n_read=prompts.width - n)
            sampler = self._sampler(Sampling(1, temperature=0.0), prompts)
            with recording(self.subject, self._unchanged, clean):
                self._generate(prompts, 1, 1, sampler, self._cache(prompts, n, 1))
            clean.first = sampler.first
            prompts._clean[n] = clean
        return prompts._clean[n]

    def _try_resuming(self, prompts: Prompts, n: int) -> bool:
        """Whether two tokens after the prompt are given as by whole passes, with the target changed."""
        target = self.coder.target
        assert target is not None

        def change(_: Tap, x: Tensor) -> Tensor:
            return x + x.float().std().to(x.dtype) * torch.linspace(
                -1, 1, x.shape[-1], device=x.device, dtype=x.dtype
            )

        made = []
        # What is added for the trial may be too much for a model that the edit is not: BadActivations.
        with suppress(BadActivations), trial():
            clean = self._clean(prompts, n)
            for resumed in (False, True):
                sampler = self._sampler(Sampling(2, temperature=0.0), prompts, 2)
                with ExitStack() as stack:
                    if resumed:
                        stack.enter_context(resuming(self.subject, self._unchanged, clean, 2))
                    stack.enter_context(hooked(self.subject.base, [target], change))
                    self._generate(prompts, 2, 2, sampler, self._cache(prompts, n, 2))
                made.append((sampler.first, *sampler.result()))
        if len(made) < 2:
            prompts._clean.clear()
            return False
        (first, ids, log_probs), (again, same_ids, same) = made
        close = (
            float((log_probs - same).abs().max()) <= CLOSE * float(first.std())
            if len(ids[0]) == len(same_ids[0])
            else False
        )
        if _same(again, first) and torch.equal(ids, same_ids) and close:
            return True
        prompts._clean.clear()
        return False

    def _padded(self, rows: Sequence[Sequence[int]]) -> Prompts:
        width = max(map(len, rows))
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for number, row in enumerate(rows):
            ids[number, width - len(row) :] = torch.tensor(row)
            mask[number, width - len(row) :] = 1
        device = self.subject.device
        return Prompts([list(row) for row in rows], ids.to(device), mask.to(device))

    def _generate(
        self,
        prompts: Prompts,
        repeats: int,
        n_new: int,
        sampler: Sampler,
        cache: Any = None,
        *,
        use_cache: bool = True,
    ) -> None:
        from transformers.generation.logits_process import LogitsProcessorList

        given: dict[str, Any] = {} if cache is None else {"past_key_values": cache}
        with _plain_generation(self.subject):
            self.subject.model.generate(  # type: ignore[operator]
                input_ids=prompts.ids.repeat_interleave(repeats, 0),
                attention_mask=prompts.mask.repeat_interleave(repeats, 0),
                max_new_tokens=n_new,
                use_cache=use_cache,
                logits_processor=LogitsProcessorList([sampler]),
                **given,
            )

    def _cache(self, prompts: Prompts, n: int, repeats: int) -> Any:
        """A copy of the cache of the first n positions, `repeats` times for each prompt; `None` where it cannot be used."""
        if n < 1 or not self._keeps_state() or not self._copies_caches(prompts):
            return None
        if n not in prompts._caches:
            prompts._caches[n] = self._prefilled(prompts, n)
        made = copy.deepcopy(prompts._caches[n])
        if repeats > 1:
            made.batch_repeat_interleave(repeats)
        return made

    def _prefilled(self, prompts: Prompts, n: int) -> Any:
        mask = prompts.mask[:, :n]
        inputs: dict[str, Any] = {"input_ids": prompts.ids[:, :n], "use_cache": True}
        if not bool(mask.all()):
            inputs["attention_mask"] = mask
            inputs["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)
        return getattr(self.subject.base(**inputs), "past_key_values", None)  # no logits needed

    def _copies_caches(self, prompts: Prompts) -> bool:
        """Whether going on from a copied cache gives the logits of a whole pass; tried once, on these prompts."""
        if self._copies_cache is None:
            whole, copies = self._next_logits(prompts, None), False
            with trial():
                cache = copy.deepcopy(self._prefilled(prompts, prompts.width - 1))
                cache.batch_repeat_interleave(2)
                copies = _same(self._next_logits(prompts, cache, 2)[::2], whole)
            self._copies_cache = copies
        return self._copies_cache

    def _reads_no_padding(self, rows: Sequence[Sequence[int]]) -> bool:
        """Whether the shortest row gives the same logits with padding before it as alone; tried once."""
        if self._hides_padding is None:
            short, long, hides = min(rows, key=len), max(rows, key=len), False
            with trial():
                padded = self._next_logits(self._padded([short, long]), None)[:1]
                hides = _same(padded, self._next_logits(self._padded([short]), None))
            self._hides_padding = hides
        return self._hides_padding

    def _keeps_state(self) -> bool:
        """Whether the model's cache or recurrent state gives what whole passes give, on a few tokens of two rows; tried once.
        (RWKV's in transformers 5.23 does not: it mixes the rows of a batch.)"""
        if self._uses_cache is None:
            self._uses_cache = True
            tokens = [token % self.subject.vocab_size for token in range(1, 2 * TRIED + 1)]
            rows = self._padded([tokens[:TRIED], tokens[TRIED:]])
            sampler = self._sampler(Sampling(TRIED, temperature=0.0), rows)
            with torch.inference_mode():
                self._generate(rows, 1, TRIED, sampler)
                ids, log_probs = sampler.result()
                whole = self.subject.model(input_ids=torch.cat([rows.ids, ids.clamp(min=0)], 1)[:, :-1])
                logits = torch.log_softmax(whole.logits[:, -ids.shape[1] :].float(), -1)
            expected = logits.gather(2, ids.clamp(min=0)[:, :, None])[:, :, 0]
            off = torch.where(ids >= 0, (expected - log_probs).abs(), 0.0).max()
            self._uses_cache = float(off) <= CLOSE * float(logits.std())
        return self._uses_cache

    def _next_logits(self, prompts: Prompts, cache: Any, repeats: int = 1) -> Tensor:
        sampler = self._sampler(Sampling(1, temperature=0.0), prompts, repeats)
        with torch.inference_mode():
            self._generate(prompts, repeats, 1, sampler, cache)
        return sampler.first

    def _sampler(self, sampling: Sampling, prompts: Prompts, repeats: int = 1) -> Sampler:
        return Sampler(sampling, len(prompts.rows) * repeats, Passes(prompts.width), lambda _: None)


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and float((a - b).abs().max()) <= CLOSE * float(b.std())


def ends(subject: SubjectModel) -> list[int]:
    """Ids that end a text."""
    model: Any = subject.model
    eos = getattr(model.generation_config, "eos_token_id", None)
    return [] if eos is None else [eos] if isinstance(eos, int) else list(eos)


@contextmanager
def _plain_generation(subject: SubjectModel) -> Iterator[None]:
    """Within, `generate` takes what its logits processor chose, and nothing from the model's own generation settings."""
    from transformers.generation.configuration_utils import GenerationConfig

    model: Any = subject.model
    before = model.generation_config
    pad = before.pad_token_id if getattr(before, "pad_token_id", None) is not None else 0
    model.generation_config = GenerationConfig(
        do_sample=False, num_beams=1, eos_token_id=before.eos_token_id, pad_token_id=pad, bos_token_id=before.bos_token_id
    )  # fmt: skip
    try:
        yield
    finally:
        model.generation_config = before
