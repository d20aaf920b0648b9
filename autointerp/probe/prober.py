"""`Prober`: a store's subject model and coders, loaded once, on typed text.

A text is treated as caching treats a document: one separator token before it, cut into rows of the store's context length,
no token added at a row's border; positions that caching leaves out are zero; values are rounded as stored. A row's
activations thus equal what the store holds for the same row, up to the last digit of a float16 (matrix products over batches
of another size may differ in the last bit of a float32). The model runs in the dtype that the store records, else in float32.
"""

import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from autointerp.errors import BadActivations, CorpusError, UserError
from autointerp.models.threads import threads_for
from autointerp.probe import recorded
from autointerp.probe.result import ProbeResult, RankBy, Ranking, TextActivations, rank
from autointerp.store import Store
from autointerp.store.coders.half import MAX_HALF, decode, encode_positive
from autointerp.types import CoderInfo, Progress, ProgressCallback, no_progress

if TYPE_CHECKING:
    import torch

    from autointerp.models.coders.coder import SparseCoder
    from autointerp.models.hooks import Tap
    from autointerp.models.subject import SubjectModel

MAX_TOKENS = 1024
CHARS_PER_TOKEN = 64
"""A text is cut to this many characters per token before it is tokenized."""
BATCH_ROWS = 32


class Prober:
    """The subject model and coders of one store, loaded when first needed and kept. Safe to share between threads: one
    runs at a time.

    Raises ModelLoadError or CoderLoadError where weights are missing, or are not those that the store was made from.
    """

    def __init__(self, store: Store, *, device: str = "cpu", trust_remote_code: bool = False):
        self._store = store
        self._device = device
        self._trust = trust_remote_code
        self._lock = threading.Lock()
        self._subject: SubjectModel | None = None
        self._coders: dict[tuple[str, str], SparseCoder] = {}
        """Without their decoders, but for those that were asked for with `loaded`."""

    def ready(self, coders: Sequence[str] | None = None) -> bool:
        """Whether `run` with these coders (all by default) would load nothing."""
        return self._subject is not None and all(
            recorded.key(info) in self._coders for info in self._infos(coders)
        )

    def load(
        self, coders: Sequence[str] | None = None, *, progress: ProgressCallback = no_progress
    ) -> dict[str, UserError]:
        """Load what `run` with these coders (all by default) needs. Stages: "load model", "load coder <name>".

        Returns, by coder, why those that cannot be used cannot; raises ModelLoadError when nothing can be run at all.
        """
        failed: dict[str, UserError] = {}
        for info in self._infos(coders):
            with self._lock:
                self._load([], progress)
                try:
                    self._load([info], progress)
                except UserError as error:
                    failed[info.coder] = error
        return failed

    def run(
        self,
        text: str,
        coders: Sequence[str] | None = None,
        *,
        max_tokens: int = MAX_TOKENS,
        progress: ProgressCallback = no_progress,
    ) -> ProbeResult:
        """Run the model on `text` and encode it with `coders` (all by default).

        A text longer than the context length is run as several rows; beyond `max_tokens` (separator included) it is cut. Lone
        surrogates, which no tokenizer takes, become U+FFFD. A special token's name in the text stays text, as in caching; for
        older stores, which took it for the token, it is the token.

        Raises CorpusError for a text without tokens, UnknownName for an unknown coder, BadActivations for NaN or infinity.
        """
        if max_tokens < 1:
            raise UserError(f"max_tokens is {max_tokens}; at least 1 is needed")
        infos = self._infos(coders)
        if not text:
            raise UserError("the text is empty")
        clean, n_replaced = re.subn("[\ud800-\udfff]", "\ufffd", text)
        looked_at = clean[: CHARS_PER_TOKEN * max_tokens]
        with self._lock:
            subject = self._load(infos, progress)
            ids, n_added = self._tokenize(subject, looked_at)
            cut = len(ids) > max_tokens or len(looked_at) < len(clean)
            kept = ids[:max_tokens]
            return self._run(subject, kept, infos, n_added=n_added, cut=cut, n_replaced=n_replaced)

    def run_ids(
        self,
        token_ids: Iterable[int],
        coders: Sequence[str] | None = None,
        *,
        progress: ProgressCallback = no_progress,
    ) -> ProbeResult:
        """`run` for token ids as they are, in rows of the store's context length; nothing is put before them.

        Raises CorpusError for an id outside the vocabulary.
        """
        infos = self._infos(coders)
        ids = np.asarray(list(token_ids), dtype=np.int64)
        if not len(ids):
            raise UserError("no token ids")
        with self._lock:
            return self._run(self._load(infos, progress), ids, infos, n_added=0, cut=False, n_replaced=0)

    def rank(
        self,
        result: ProbeResult,
        by: RankBy = "max",
        *,
        token: int | None = None,
        max_density: float | None = None,
        relative: bool = False,
        limit: int | None = None,
    ) -> Ranking:
        """See `autointerp.probe.result.rank`; `relative`: values as shares of each latent's maximum in the corpus."""
        tables = {name: self._store.coder(name).table().columns for name in result.coders}
        return rank(
            result,
            by=by,
            token=token,
            max_density=max_density,
            densities={name: table["density"] for name, table in tables.items()},
            maxima={name: table["max_activation"] for name, table in tables.items()} if relative else None,
            limit=limit,
        )

    def latent(self, result: ProbeResult, coder: str, latent: int) -> NDArray[np.float32]:
        """One latent's activation on every token of the text, Float32[ndarray, " tokens"], zero where it does not activate."""
        return result.coders[coder].of(self._store.coder(coder).check_latent(latent))

    @contextmanager
    def loaded(
        self, coder: str, progress: ProgressCallback = no_progress
    ) -> Iterator[tuple[tuple[str, str], "SubjectModel", "SparseCoder"]]:
        """Within, the model and a coder with its decoder, and what tells the coder's weights from others; nothing else runs
        them meanwhile."""
        [info] = self._infos([coder])
        at = recorded.key(info)
        with self._lock:
            subject = self._load([info], progress)
            if self._coders[at].target is not None and self._coders[at].W_dec is None:
                self._coders[at] = recorded.load_coder(info, subject)
            yield at, subject, self._coders[at]

    def document_ids(self, subject: "SubjectModel", text: str, max_tokens: int) -> tuple[list[int], int]:
        """The ids that caching would make of a text's first row, however long, and how many it puts before the text. Raises
        UserError for a text without tokens, or with more than `max_tokens`."""
        clean = re.sub("[\ud800-\udfff]", "\ufffd", text)
        ids, n_added = self._tokenize(subject, clean, in_rows=False)
        if len(ids) > max_tokens:
            raise UserError(
                f"The text has {len(ids):,} tokens; at most {max_tokens:,} are accepted. Shorten it."
            )
        return ids.tolist(), n_added

    def before_text(self, subject: "SubjectModel") -> list[int]:
        """The ids that caching puts before a text that begins a row."""
        before, row_start = self._added(subject)
        return before if row_start is None or before[:1] == [row_start] else [row_start, *before]

    def _added(self, subject: "SubjectModel") -> tuple[list[int], int | None]:
        """What caching puts before a document, and what it puts before every row."""
        from autointerp.caching.masking import separator

        made = self._store.meta["tokenizer"]
        start, row_start = made.get("separator", separator(subject.tokenizer)), made.get("row_start")
        return [] if start is None else [int(start)], None if row_start is None else int(row_start)

    def _infos(self, coders: Sequence[str] | None) -> list[CoderInfo]:
        if coders is None:
            return self._store.coders()
        return [self._store.coder(name).info for name in dict.fromkeys(coders)]

    def _load(self, infos: Sequence[CoderInfo], progress: ProgressCallback) -> "SubjectModel":
        if self._subject is None:
            progress(Progress("load model", 0, 1, "models"))
            self._subject = recorded.load_subject(
                self._store, device=self._device, trust_remote_code=self._trust
            )
            progress(Progress("load model", 1, 1, "models"))
        for info in infos:
            if recorded.key(info) not in self._coders:
                stage = f"load coder {info.coder}"
                progress(Progress(stage, 0, 1, "coders"))
                for stale in [key for key in self._coders if key[0] == info.coder]:
                    del self._coders[stale]
                coder = recorded.load_coder(info, self._subject)
                coder.W_dec = None  # only the encoder is used; half of the memory
                self._coders[recorded.key(info)] = coder
                progress(Progress(stage, 1, 1, "coders"))
        return self._subject

    def _tokenize(
        self, subject: "SubjectModel", text: str, *, in_rows: bool = True
    ) -> tuple[NDArray[np.int64], int]:
        """The ids that caching would make of a document, and how many it puts before the text. `in_rows`: with what begins
        every row of the store's context length; else as one row."""
        from autointerp.caching.tokenize import encode, with_row_starts

        made = self._store.meta["tokenizer"]
        [ids] = encode(subject.tokenizer, [text], as_text=made.get("special_as_text", False))
        if not ids:
            raise CorpusError("the text has no tokens")
        before, row_start = self._added(subject)
        whole = np.asarray([*before, *ids], dtype=np.int64)
        if row_start is None:
            return whole, len(before)
        length = self._store.ctx_len if in_rows else len(whole) + 1
        return with_row_starts(whole, length, row_start), len(self.before_text(subject))

    def _run(
        self,
        subject: "SubjectModel",
        ids: NDArray[np.int64],
        infos: Sequence[CoderInfo],
        *,
        n_added: int,
        cut: bool,
        n_replaced: int,
    ) -> ProbeResult:
        subject.check_ids(ids)
        texts = tuple(self._store.decode(ids))
        coders = {info.coder: self._coders[recorded.key(info)] for info in infos}
        weights = sum(weight.numel() for weight in subject.base.parameters())
        weights += sum(coder.n_latents * coder.d_in for coder in coders.values())
        with threads_for(len(ids) * weights):
            vectors = self._read(subject, ids, list(dict.fromkeys(coder.tap for coder in coders.values())))
            activations = {
                info.coder: _encode(subject, coders[info.coder], info, ids, vectors) for info in infos
            }
        return ProbeResult(ids, texts, self._store.ctx_len, n_added, cut, n_replaced, activations)

    def _read(
        self, subject: "SubjectModel", ids: NDArray[np.int64], taps: Sequence["Tap"]
    ) -> dict["Tap", "torch.Tensor"]:
        """What each tap holds on every token, Float32[Tensor, "tokens width"]; whole rows first, the shorter last one alone."""
        import torch

        if not taps:
            return {}
        size = self._store.ctx_len
        n_whole = len(ids) // size * size
        rows = torch.from_numpy(ids[:n_whole].reshape(-1, size)).to(subject.device)
        batches = [rows[start : start + BATCH_ROWS] for start in range(0, len(rows), BATCH_ROWS)]
        if n_whole < len(ids):
            batches.append(torch.from_numpy(ids[None, n_whole:]).to(subject.device))
        parts: dict[Tap, list[torch.Tensor]] = {tap: [] for tap in taps}
        with torch.inference_mode():
            for batch in batches:
                for tap, tensor in subject.read(taps, batch).items():
                    parts[tap].append(tensor.reshape(-1, tensor.shape[-1]).float())
        return {tap: torch.cat(tensors) for tap, tensors in parts.items()}


def _encode(
    subject: "SubjectModel",
    coder: "SparseCoder",
    info: CoderInfo,
    ids: NDArray[np.int64],
    vectors: dict["Tap", "torch.Tensor"],
) -> TextActivations:
    import torch

    from autointerp.caching.masking import position_mask

    mask = position_mask(torch.from_numpy(ids), recorded.masked_ids(subject, info))
    kept = mask.numpy()
    position = np.flatnonzero(kept)
    with torch.inference_mode():
        acts = coder.encode(vectors[coder.tap][mask.to(subject.device)])
    row = acts.first_not_finite()
    if row is not None:
        raise BadActivations(
            f"coder {info.coder!r} gives NaN or infinity on token {position[row]} of this text. Check the weights of "
            f"{subject.name} and of the coder."
        )
    firing = acts.firing(position)
    if (most := info.config.get("max_active")) is not None:
        firing = firing.largest(most)
    latent, position, activation = firing
    return TextActivations(position, latent, as_stored(activation, info.scale), ~kept)


def as_stored(activation: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    """Rounded to the float16 that the store would hold; what is too large for one as it is (the corpus set the scale)."""
    fits = activation <= MAX_HALF * scale
    rounded = activation.copy()
    rounded[fits] = decode(encode_positive(activation[fits], scale), scale)
    return rounded
