"""How well a coder stands in for its target, context by context, and how much of what it writes goes past its latents.

All coders of a store are measured on the same contexts, so that two of one hookpoint can be compared within each context: texts
differ far more in how hard they are to predict than coders do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autointerp.compare.facts import facts_of, with_facts
from autointerp.errors import UserError
from autointerp.pipeline.resources import Resources
from autointerp.probe import recorded
from autointerp.types import Fidelity, Progress, ProgressCallback

if TYPE_CHECKING:
    from autointerp.models.coders.coder import SparseCoder
    from autointerp.models.subject import SubjectModel
    from autointerp.store import Store

Float = NDArray[np.float64]
SKIP_BYTES = 256 << 20
"""Of outputs kept to centre them."""
BATCH = 8
"""Contexts that the model runs on at once."""


@dataclass(frozen=True)
class Measurement:
    """What `compute` measured of one coder. `contexts`: see `caching.fidelity.Measured`, with "context", its number in the
    corpus. `skip_percentiles`: 0th to 100th, of the tokens' shares; `skip_above`, `skip_below`: per context the sums whose
    ratio is the share over all tokens; `None` without a skip path. See `skip_shares`."""

    fidelity: Fidelity
    contexts: Mapping[str, Float]
    skip_percentiles: Float | None = None
    skip_above: Float | None = None
    skip_below: Float | None = None


def is_quick(resources: Resources, coders: Sequence[str], parameters: Mapping[str, Any]) -> bool:
    """See `registry`: never, the model runs several times over some ten thousand tokens."""
    return False


def compute(
    resources: Resources, coders: Sequence[str], parameters: Mapping[str, Any], progress: ProgressCallback
) -> pa.Table:
    """See `registry`: the table that `read` reads, of one coder. Raises UserError for a coder that stands in for nothing."""
    from autointerp.caching.fidelity import N_TOKENS, measure_contexts, sampled_contexts

    (name,) = coders
    store, info = resources.store, resources.store.coder(name).info
    progress(Progress("load model", 0, 1, "models"))
    subject = recorded.load_subject(store)
    coder = recorded.load_coder(info, subject)
    if coder.target is None:
        raise UserError(
            f"{name} reconstructs no tensor, so it has no error: {info.absent.get('fidelity', '')}"
        )
    masked = recorded.masked_ids(subject, info)
    measured = measure_contexts(subject, {name: coder}, store, masked=masked, progress=progress)[name]
    contexts = sampled_contexts(store.n_contexts, store.ctx_len, N_TOKENS)
    columns: dict[str, Any] = {"context": contexts, **measured.contexts}
    facts: dict[str, Any] = {"fidelity": asdict(measured.fidelity)}
    progress(Progress("skip path", 0, 1, "coders"))
    if (shares := skip_shares(subject, coder, store, contexts, masked)) is not None:
        by_token, columns["skip_above"], columns["skip_below"] = shares
        facts["skip_percentiles"] = np.percentile(by_token, np.arange(101)).tolist()
    return with_facts(pa.table(columns), facts)


def read(table: pa.Table) -> Measurement:
    """What `compute` gave."""
    facts = facts_of(table)
    columns = {name: table[name].to_numpy().astype(np.float64) for name in table.column_names}
    percentiles = facts.get("skip_percentiles")
    return Measurement(
        Fidelity(**facts["fidelity"]),
        {name: column for name, column in columns.items() if not name.startswith("skip_")},
        None if percentiles is None else np.array(percentiles, dtype=np.float64),
        columns.get("skip_above"),
        columns.get("skip_below"),
    )


def skip_shares(
    subject: "SubjectModel",
    coder: "SparseCoder",
    store: "Store",
    contexts: NDArray[np.integer],
    masked: NDArray[np.integer],
) -> tuple[Float, Float, Float] | None:
    """The share of a coder's output that comes from its skip path; `None` for one without.

    With s what the skip path writes and y the whole output, both less their means over the tokens: <s, y> / <y, y>, of each
    token, and over tokens the sum above over the sum below, which come per context. Centred as FVU is, so that the bias and
    a constant part of either path do not count. The latents' share, formed alike, and this one add up to 1; of a token it may
    be below 0 or above 1, where the two paths work against each other.

    `None` too where the output is the same for all tokens. Tokens at its mean are left out of the shares by token. Contexts
    beyond `SKIP_BYTES` of outputs have sums of NaN.
    """
    import torch

    from autointerp.caching.masking import position_mask

    skips, outputs, owners = [], [], []
    n = min(len(contexts), max(BATCH, SKIP_BYTES // (8 * store.ctx_len * (coder.d_out or 1))))
    with torch.inference_mode():
        for start in range(0, n, BATCH):
            rows = contexts[start : min(n, start + BATCH)]
            ids = torch.from_numpy(store.tokens[rows].astype(np.int64)).to(subject.device)
            mask = position_mask(ids, masked)
            x = subject.read([coder.tap], ids)[coder.tap][mask].float()
            skip = coder.skip(x)
            if skip is None:
                return None
            skips.append(skip)
            outputs.append(coder.decode(coder.encode(x), x))
            owners.append(torch.arange(start, start + len(rows)).repeat_interleave(mask.sum(1).cpu()))
        s, y, owner = torch.cat(skips), torch.cat(outputs), torch.cat(owners).numpy()
        s, y = s - s.mean(0), y - y.mean(0)
        above, below = ((side * y).sum(1).double().cpu().numpy() for side in (s, y))
    if not below.sum() > 0:
        return None
    sums = np.full((2, len(contexts)), np.nan)
    for row, values in zip(sums, (above, below), strict=True):
        row[:n] = np.bincount(owner, values, minlength=n)
    apart = below > 1e-12 * below.mean()
    return above[apart] / below[apart], sums[0], sums[1]
