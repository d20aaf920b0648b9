"""Contexts through the model and its coders, a batch at a time: what fires, and where. The same in any process."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autointerp.caching.masking import position_mask
from autointerp.errors import BadActivations
from autointerp.models.coders.coder import Firing, SparseCoder
from autointerp.models.hooks import Tap
from autointerp.models.subject import SubjectModel


@dataclass(frozen=True)
class Batch:
    """`n_contexts` of the corpus. `firing`: what fires, by the coder's name; token indices count through the corpus.
    `position_counts` Int64[ndarray, " ctx_len"]: contexts cached at each position."""

    n_contexts: int
    firing: dict[str, Firing]
    position_counts: NDArray[np.int64]


class Reader:
    """`masked` Int64[ndarray, " n"]: ids whose positions are left out."""

    def __init__(self, subject: SubjectModel, coders: Mapping[str, SparseCoder], masked: NDArray[np.int64]):
        self._subject, self._masked = subject, masked
        self._by_tap: dict[Tap, dict[str, SparseCoder]] = {}
        for name, coder in coders.items():
            self._by_tap.setdefault(coder.tap, {})[name] = coder

    @torch.inference_mode()
    def read(self, rows: NDArray[np.integer], first_context: int) -> Batch:
        """Token ids `rows` Int[ndarray, "n ctx_len"], the corpus' rows from `first_context` on, in one forward pass. Raises
        BadActivations where the model or a coder gives NaN or infinity, CorpusError for ids that the model does not know."""
        rows = np.asarray(rows, dtype=np.int64)
        ctx_len = rows.shape[1]
        self._subject.check_ids(rows)
        ids = torch.from_numpy(rows).to(self._subject.device)
        mask = position_mask(ids, self._masked)
        kept = mask.cpu().numpy()
        token = np.flatnonzero(kept) + first_context * ctx_len
        whole = len(token) == kept.size
        firing = {}
        for tap, activations in self._subject.read(list(self._by_tap), ids).items():
            x = activations.reshape(-1, activations.shape[-1]) if whole else activations[mask]
            x = x.float()
            _check_finite(x, tap, token, ctx_len)
            for name, coder in self._by_tap[tap].items():
                firing[name] = fire(name, coder, x, token, ctx_len)
        return Batch(len(rows), firing, kept.sum(0))

    def read_all(self, tokens: NDArray[np.integer], first_context: int, batch_size: int) -> Iterator[Batch]:
        """`read`, `batch_size` contexts at a time."""
        for start in range(0, len(tokens), batch_size):
            yield self.read(tokens[start : start + batch_size], first_context + start)


def fire(name: str, coder: SparseCoder, x: Tensor, token: NDArray[np.int64], ctx_len: int) -> Firing:
    """What of the coder called `name` fires on the tap's vectors Float32[Tensor, "n d_in"] at these token indices, ascending.
    Raises BadActivations."""
    acts = coder.encode(x)
    row = acts.first_not_finite()
    if row is not None:
        raise BadActivations(
            f"coder {name!r} on {coder.tap} gives NaN or infinity in context {token[row] // ctx_len}, position "
            f"{token[row] % ctx_len}. Check that it was trained on this hookpoint of this model."
        )
    return acts.firing(token)


def _check_finite(x: Tensor, tap: Tap, token: NDArray[np.int64], ctx_len: int) -> None:
    # The sum is finite unless an element is not, or it overflows: only then every element is looked at.
    if bool(torch.isfinite(x.sum())) or bool((finite := torch.isfinite(x).all(dim=1)).all()):
        return
    first = int(token[int((~finite).nonzero()[0])])
    raise BadActivations(
        f"{tap} of the subject model is NaN or infinite in context {first // ctx_len}, position {first % ctx_len}. Check the "
        "model's weights, or load it in a wider dtype (float32)."
    )
