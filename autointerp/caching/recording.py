"""One coder's side of a caching run: what fires is written as it comes; at the end, its file is finished."""

import math
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autointerp.caching.logits import promoted_tokens, used_ids
from autointerp.caching.masking import masked_ids
from autointerp.caching.neighbours import Cofiring, Neighbours, nearest_by_cosine
from autointerp.models.coders.coder import Firing, SparseCoder
from autointerp.models.direct_path import DirectPath
from autointerp.models.subject import SubjectModel
from autointerp.store import CoderWriter, Store
from autointerp.types import CoderInfo, Fidelity, Progress, ProgressCallback, Relation

COMFORTABLE = (2.0**-2, 2.0**9)
"""First maxima in this range are stored as they are: float16 has 7 more binary digits above and 14 below."""


def first_scale(largest: float) -> float:
    """A power of two that brings the first batch's maximum into the comfortable range of float16.

    Generous on both sides: later batches may be 128 times larger (beyond that the writer rescales what it has), and
    activations down to a millionth of the maximum keep all their digits.
    """
    low, high = COMFORTABLE
    if largest <= 0 or low <= largest <= high:
        return 1.0
    return 2.0 ** math.ceil(math.log2(largest / high))


class Recording:
    """A context manager: leaving it before `finish` removes what was written."""

    def __init__(
        self,
        store: Store,
        name: str,
        coder: SparseCoder,
        subject: SubjectModel,
        *,
        skip_bos: bool = True,
        neighbours: bool = True,
        path: DirectPath | str | None = None,
        max_active: int | None = None,
        overwrite: bool = False,
    ):
        """`path`: to the logits, or why there is none; `None` if promoted tokens are not wanted. `max_active`: how many
        activations of a token are stored, the largest; all by default."""
        self.store, self.name, self.coder, self.subject = store, name, coder, subject
        self._skip_bos, self._overwrite = skip_bos, overwrite
        self.masked = masked_ids(subject, store.meta["tokenizer"].get("separator"), skip_bos=skip_bos)
        self._path = path
        self._max_active, self._n_left_out = max_active, 0
        self._live = np.zeros(coder.n_latents, dtype=bool)
        self._writer: CoderWriter | None = None
        self._cofiring: Cofiring | None = None
        if neighbours:
            self._cofiring = Cofiring(coder.n_latents)

    def add(self, firing: Firing) -> None:
        """What fires in the next batch, in corpus order."""
        if self._max_active is not None:
            n = len(firing.latent)
            firing = firing.largest(self._max_active)
            self._n_left_out += n - len(firing.latent)
        if not len(firing.latent):
            return
        if self._cofiring is not None:
            self._cofiring.add(firing.latent, firing.token)
        self._live[firing.latent] = True
        self._open(float(firing.activation.max())).append(*firing)

    def _open(self, largest: float = 0.0) -> CoderWriter:
        """The file's writer, made when the first batch that fires shows the scale of the activations."""
        if self._writer is None:
            coder = self.coder
            self._writer = CoderWriter(
                self.store,
                self.name,
                kind=coder.kind,
                hookpoint=coder.hookpoint,
                n_latents=coder.n_latents,
                k=coder.k,
                d_in=coder.d_in,
                source=coder.source,
                config={
                    **coder.config,
                    "weights": coder.checksum(),
                    "side": coder.tap.side,
                    "skip_bos": self._skip_bos,
                    "masked_ids": self.masked.tolist(),
                    **({} if self._max_active is None else {"max_active": self._max_active}),
                    **({"logit_unit": "slope"} if isinstance(self._path, DirectPath) else {}),
                    "absent": self._absent(),
                },
                scale=first_scale(largest),
                overwrite=self._overwrite,
            )
        return self._writer

    def _absent(self) -> dict[str, str]:
        """Why figures that other coders have are missing here."""
        coder, absent = self.coder, {}
        if coder.target is None:
            absent["fidelity"] = "The coder has no decoder."
        if isinstance(self._path, str):
            absent["promoted_tokens"] = self._path
        if coder.W_dec is None:
            absent["decoder"] = "The coder's latents have no decoder directions."
        if coder.W_enc is None:
            absent["encoder"] = "The coder's latents have no encoder directions."
        return absent

    def finish(
        self, position_counts: NDArray[np.int64], fidelity: Fidelity | None, progress: ProgressCallback
    ) -> CoderInfo:
        """Promoted tokens, neighbours, statistics, file. `position_counts` Int64[ndarray, " ctx_len"]: contexts cached at each
        position. Progress stages carry the coder's name."""

        def named(report: Progress) -> None:
            progress(Progress(f"{report.stage} {self.name}", report.done, report.total, report.unit))

        tokens = None
        if isinstance(self._path, DirectPath):
            used = used_ids(self.store, self.subject.vocab_size)
            tokens = promoted_tokens(self.subject, self.coder, self._path, used, progress=named)
        return self._open().finish(
            n_tokens=int(position_counts.sum()),
            position_counts=position_counts,
            logits=tokens,
            neighbours=self._neighbours(named),
            cofiring_share=self._cofiring.share if self._cofiring else None,
            fidelity=fidelity,
            config=self._notes(),
            progress=named,
        )

    def _notes(self) -> dict[str, list[str]]:
        """The coder's notes, and what was left out."""
        notes = list(self.coder.config.get("notes", []))
        if self._max_active is not None:
            n = self._n_left_out
            share = n / max(1, n + self._open().n_activations)
            notes.append(
                f"Only the {self._max_active:,} largest activations of each token are stored: {n:,} were left out "
                f"({share:.2%}). Feature statistics are of what is stored; L0, FVU and cross-entropy are of the whole coder."
            )
        return {"notes": notes} if notes else {}

    def _neighbours(self, progress: ProgressCallback) -> dict[Relation, Neighbours]:
        if self._cofiring is None:
            return {}
        W_enc, W_dec = self.coder.W_enc, self.coder.W_dec
        nearest: dict[Relation, Neighbours] = {"cofiring": self._cofiring.nearest()}
        progress(Progress("neighbours", 1, 3, "relations"))
        if W_dec is not None:
            nearest["decoder"] = nearest_by_cosine(W_dec, self._live)
        progress(Progress("neighbours", 2, 3, "relations"))
        if W_enc is not None:
            same = W_dec is not None and _parallel(W_enc, W_dec)
            nearest["encoder"] = nearest["decoder"] if same else nearest_by_cosine(W_enc, self._live)
        progress(Progress("neighbours", 3, 3, "relations"))
        return nearest

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.discard()


def _parallel(a: Tensor, b: Tensor) -> bool:
    """Whether each latent's two rows point the same way, as in a coder with tied weights: their neighbours are the same."""
    return a.shape == b.shape and bool((torch.cosine_similarity(a, b) > 1 - 1e-6).all())
