"""The address of the Probe page."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from autointerp.probe import RankBy
from autointerp.ui.shared.probing import MAX_CHARS
from autointerp.ui.shared.state import choice, number, whole

RANKS: dict[RankBy, str] = {"max": "Maximum", "sum": "Sum", "token": "One token"}
SCALES = {"activation": "Activation", "share": "Share of maximum"}
PAGE = 30
MAX_ROWS = 300


@dataclass(frozen=True)
class ProbeState:
    """`coders`: names as given, `None` for the page's own choice. `token`: a position in the text, `None` when none is chosen.
    `scale`: `None` for the one that suits the number of coders. `density`: in percent. `rows`: how many to show. `steer`: the
    features to steer with, as typed; `of`: their coder."""

    text: str
    coders: list[str] | None
    rank: RankBy
    scale: str | None
    token: int | None
    density: float | None
    rows: int
    steer: str = ""
    of: str | None = None

    @staticmethod
    def parse(params: Mapping[str, str]) -> "ProbeState":
        coders = params.get("coders")
        rows = whole(params.get("rows")) or PAGE
        return ProbeState(
            text=params.get("text", "")[:MAX_CHARS],
            coders=None
            if coders is None
            else [name for name in dict.fromkeys(coders.split(",")) if name][:100],
            rank=cast(RankBy, choice(params.get("rank"), {**RANKS}, "max")),
            scale=choice(params.get("scale"), SCALES, "") or None,
            token=whole(params.get("token")),
            density=number(params.get("density")),
            rows=min(max(rows, 1), MAX_ROWS),
            steer=params.get("steer", "")[:200],
            of=params.get("of"),
        )
