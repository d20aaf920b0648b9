"""Which positions of a text are cached: those of text, not those of tokens that only hold documents together."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autointerp.models.subject import ROLES, SubjectModel


def separator(tokenizer: Any) -> int | None:
    """The id put before each document: the tokenizer's BOS, else its EOS, CLS or SEP; `None` when it has no such token."""
    ids = (getattr(tokenizer, f"{role}_token_id", None) for role in ROLES)
    return next((token for token in ids if isinstance(token, int)), None)


def masked_ids(subject: SubjectModel, joined_by: int | None, *, skip_bos: bool) -> NDArray[np.int64]:
    """Ids that are no text, ascending: padding, and with `skip_bos` what begins, ends or joins documents (`joined_by` among
    them)."""
    borders = subject.border_ids | (set() if joined_by is None else {joined_by})
    padding = (set() if subject.padding_id is None else {subject.padding_id}) - borders
    return np.array(sorted(padding | borders if skip_bos else padding), dtype=np.int64)


def position_mask(ids: Tensor, masked: NDArray[np.integer]) -> Tensor:
    """Positions that are cached: all but those of `masked` ids. Bool[Tensor, "batch ctx_len"]."""
    return ~torch.isin(ids, torch.from_numpy(masked).to(ids.device))
