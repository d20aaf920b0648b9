"""What judges have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from autointerp.llm.messages import ChatRequest
from autointerp.records import Explanation
from autointerp.score.plan import Verdicts

Task = Literal["detection", "fuzzing"]


@dataclass(frozen=True)
class Shown:
    """A text as put before a judge: its tokens, and which of them are marked (`None`: nothing is marked in this task)."""

    texts: tuple[str, ...]
    marks: tuple[int, ...] | None = None


class Judge(Protocol):
    """Answers yes-or-no questions about texts. `name` labels every score and answer of it."""

    @property
    def name(self) -> str: ...

    @property
    def model(self) -> str | None: ...

    def prompt_version(self, task: Task) -> str | None: ...

    def requests(self, task: Task, explanation: str, shown: Sequence[Shown]) -> list[ChatRequest]:
        """What `judge` would send to a language model; empty where none is asked."""
        ...

    def judge(self, task: Task, explanation: Explanation, shown: Sequence[Shown]) -> Verdicts:
        """One verdict per text, in order."""
        ...
