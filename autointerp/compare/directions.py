"""Which latents of one coder another one has: matched by the directions they read (encoder) and write (decoder).

Cosines mean something within one space. Two encoders share one where both read the same tensor, two decoders where both write
it; outputs as wide as the model, of whatever module, are all added to the residual stream, and so lie in one space too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from autointerp.compare import corpus
from autointerp.compare.facts import facts_of, with_facts
from autointerp.errors import UserError
from autointerp.pipeline.resources import Resources
from autointerp.probe import recorded
from autointerp.types import Progress, ProgressCallback

if TYPE_CHECKING:
    from torch import Tensor

    from autointerp.compare.matching import Matched
    from autointerp.models.coders.coder import SparseCoder
    from autointerp.models.hooks import Tap

PARTS = ("encoder", "decoder")
QUICK_LATENTS = 3072
"""Two coders of up to so many latents each are matched in about a second."""


@dataclass(frozen=True)
class Side:
    """One coder's latents by one kind of direction. `partner` Int64[ndarray, " n"]: the other's latent assigned to each, -1 for
    none, and `cosine` with it (NaN for none); `nearest` and `nearest_cosine`: the other's latent with the largest.
    `floor`: mean largest cosine of random directions with the other's latents."""

    partner: NDArray[np.int64]
    cosine: NDArray[np.float32]
    nearest: NDArray[np.int64]
    nearest_cosine: NDArray[np.float32]
    floor: float


@dataclass(frozen=True)
class Part:
    """Two coders matched by one kind of direction, seen from each."""

    method: str
    sides: tuple[Side, Side]


@dataclass(frozen=True)
class Directions:
    """Two coders matched by their directions. `parts`: by "encoder" and "decoder", where both have them in one space; `absent`:
    why not, as a sentence, where they have not. Without any part, they cannot be matched."""

    coders: tuple[str, str]
    parts: Mapping[str, Part]
    absent: Mapping[str, str]

    def turned(self) -> "Directions":
        """The same with the second coder first."""
        parts = {name: Part(part.method, (part.sides[1], part.sides[0])) for name, part in self.parts.items()}
        return Directions((self.coders[1], self.coders[0]), parts, self.absent)


def is_quick(resources: Resources, coders: Sequence[str], parameters: Mapping[str, Any]) -> bool:
    """See `registry`."""
    return all(resources.store.coder(name).info.n_latents <= QUICK_LATENTS for name in coders)


def compute(
    resources: Resources, coders: Sequence[str], parameters: Mapping[str, Any], progress: ProgressCallback
) -> pa.Table:
    """See `registry`: the table that `read` reads, of two coders as `in_order` has them. `parameters`: "exact_up_to", the
    number of latents up to which the assignment is exact."""
    from autointerp.compare.matching import EXACT_LATENTS, match

    first, second = coders
    if first == second:
        raise UserError(f"{first} cannot be matched with itself: give two coders.")
    store = resources.store
    corpus.need(store.coder(name).info for name in coders)
    progress(Progress("load weights", 0, 3, "files"))
    subject = recorded.load_subject(store)
    loaded = []
    for name in (first, second):
        progress(Progress("load weights", 1 + len(loaded), 3, "files"))
        loaded.append(recorded.load_coder(store.coder(name).info, subject))
    progress(Progress("load weights", 3, 3, "files"))
    exact_up_to = int(parameters.get("exact_up_to", EXACT_LATENTS))
    n = loaded[0].n_latents
    parts: dict[str, Matched] = {}
    absent: dict[str, str] = {}
    for part in PARTS:
        reason = why_apart(part, loaded[0], loaded[1], subject.d_model)
        if reason is not None:
            absent[part] = f"No {part} cosines: {reason}"
            continue
        a, b = (_rows(part, coder) for coder in loaded)
        assert a is not None
        assert b is not None
        stage = f"match by {part}"
        parts[part] = match(
            a, b, exact_up_to=exact_up_to,
            done=lambda rows, stage=stage: progress(Progress(stage, rows, n, "latents")),
        )  # fmt: skip
    return _table(parts, absent, [coder.n_latents for coder in loaded])


def why_apart(part: str, first: "SparseCoder", second: "SparseCoder", d_model: int) -> str | None:
    """Why two coders' directions of this kind have no cosines, as the end of a sentence; `None` where they have."""
    for coder in (first, second):
        if _rows(part, coder) is None:
            return f"{coder.kind.replace('_', ' ')} {coder.hookpoint} has no {part} directions."
    taps = [(coder.tap if part == "encoder" else coder.target, coder) for coder in (first, second)]
    spaces = [_space(tap, _width(part, coder), d_model) for tap, coder in taps]
    if spaces[0] == spaces[1]:
        return None
    verb = "read" if part == "encoder" else "write"
    return f"they {verb} different spaces, {spaces[0]} and {spaces[1]}."


def _rows(part: str, coder: "SparseCoder") -> "Tensor | None":
    return coder.W_enc if part == "encoder" else coder.W_dec


def _width(part: str, coder: "SparseCoder") -> int:
    rows = _rows(part, coder)
    return 0 if rows is None else rows.shape[1]


def _space(tap: "Tap | None", width: int, d_model: int) -> str:
    if tap is not None and tap.side == "output" and width == d_model:
        return "the residual stream"
    return f"{tap}, {width} wide"


def _table(parts: Mapping[str, "Matched"], absent: Mapping[str, str], sizes: Sequence[int]) -> pa.Table:
    """One row for each latent of the first coder, then of the second."""
    from autointerp.compare.matching import from_second

    columns: dict[str, NDArray] = {}
    for part, matched in parts.items():
        sides = (
            (matched.partner, matched.cosine, matched.there),
            (*from_second(matched, sizes[1]), matched.back),
        )
        columns |= {
            f"{part}_partner": np.concatenate([partner for partner, _, _ in sides]).astype(np.int32),
            f"{part}_cosine": np.concatenate([cosine for _, cosine, _ in sides]),
            f"{part}_nearest": np.concatenate([near.index for _, _, near in sides]).astype(np.int32),
            f"{part}_nearest_cosine": np.concatenate([near.cosine for _, _, near in sides]),
        }
    facts = {
        "sizes": list(sizes),
        "absent": dict(absent),
        "method": {part: matched.method for part, matched in parts.items()},
        "floors": {part: matched.floors for part, matched in parts.items()},
    }
    return with_facts(pa.table(columns or {"none": np.zeros(0)}), facts)


def in_order(first: str, second: str) -> tuple[str, str]:
    """The order in which two coders are matched and kept, whichever way they are looked at."""
    return (first, second) if first <= second else (second, first)


def read(table: pa.Table, coders: tuple[str, str]) -> Directions:
    """What `compute` gave for these coders in their order for matching; here the first of `coders` comes first."""
    facts = facts_of(table)
    n = facts["sizes"][0]
    parts = {}
    for part, method in facts["method"].items():
        first, second = (
            Side(
                partner=table[f"{part}_partner"].to_numpy()[half],
                cosine=table[f"{part}_cosine"].to_numpy()[half],
                nearest=table[f"{part}_nearest"].to_numpy()[half],
                nearest_cosine=table[f"{part}_nearest_cosine"].to_numpy()[half],
                floor=floor,
            )
            for half, floor in zip((slice(n), slice(n, None)), facts["floors"][part], strict=True)
        )
        parts[part] = Part(method, (first, second))
    kept = Directions(in_order(*coders), parts, facts["absent"])
    return kept if kept.coders == coders else kept.turned()
