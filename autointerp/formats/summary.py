"""`Summary`: what an import or export took, what it left out, and why."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class LeftOut:
    """Something that was not taken: how many, `None` where that is not known or makes no sense, and why, as a sentence."""

    what: str
    reason: str
    n: int | None = None


@dataclass
class Summary:
    """`path`: the store that was imported into, or the file or folder that was written. `taken`: how many of each thing,
    named in the plural. `known`: how many of them were there already, and stayed as they were. `notes`: what a reader has to
    know, as sentences."""

    format: str
    path: str
    taken: dict[str, int] = field(default_factory=dict)
    known: dict[str, int] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def take(self, what: str, n: int = 1, *, known: int = 0) -> None:
        """Counts `n` more, of which `known` were there already."""
        self.taken[what] = self.taken.get(what, 0) + n
        if known:
            self.known[what] = self.known.get(what, 0) + known

    def leave(self, what: str, reason: str, n: int | None = None) -> None:
        """Counts `n` more that are left out for this reason."""
        for i, left in enumerate(self.left_out):
            if (left.what, left.reason) == (what, reason):
                total = None if n is None or left.n is None else left.n + n
                self.left_out[i] = LeftOut(what, reason, total)
                return
        self.left_out.append(LeftOut(what, reason, n))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "format": self.format,
            "path": self.path,
            "taken": self.taken,
            "known": self.known,
            "left_out": [vars(left) for left in self.left_out],
            "notes": self.notes,
        }
