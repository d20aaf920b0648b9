"""Who answers the scorers' questions. A judge sees the explanation and the texts as shown, never the truth.

LLMJudge      a language model
OfflineJudge  word matching, no model; always labelled "offline"
"""

from autointerp.score.judges.base import Judge, Shown, Task
from autointerp.score.judges.llm import LLMJudge
from autointerp.score.judges.offline import OfflineJudge

__all__ = ["Judge", "LLMJudge", "OfflineJudge", "Shown", "Task"]
