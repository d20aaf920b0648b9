"""How far an explanation can be trusted: scorers, judges, metrics.

    Detection, Fuzzing    a judge answers yes or no       balanced accuracy (and AUROC where it grades)
    Embedding             cosine with the explanation     AUROC
    Surprisal             likelihood under a local model  AUROC
    Simulation            token-wise predictions          correlation

Pure: explanation text and held-out windows in, `ScoreResult` out; the caller draws the windows and stores the result.
Protocol `ours` throughout; `autointerp.score.delphi` holds the reference's.
"""

from autointerp.score.classify import Detection, Fuzzing
from autointerp.score.compare import Difference, difference
from autointerp.score.embedding import Embedder, Embedding
from autointerp.score.judges import Judge, LLMJudge, OfflineJudge, Shown
from autointerp.score.resampling import Resamples
from autointerp.score.results import Item, JudgedItem, Plan, ScoreResult, Verdict, Verdicts
from autointerp.score.scorer import Heldout, Scorer
from autointerp.score.simulation import Simulation
from autointerp.score.surprisal import CausalTextModel, Surprisal, TextModel

__all__ = [
    "CausalTextModel",
    "Detection",
    "Difference",
    "Embedder",
    "Embedding",
    "Fuzzing",
    "Heldout",
    "Item",
    "Judge",
    "JudgedItem",
    "LLMJudge",
    "OfflineJudge",
    "Plan",
    "Resamples",
    "ScoreResult",
    "Scorer",
    "Shown",
    "Simulation",
    "Surprisal",
    "TextModel",
    "Verdict",
    "Verdicts",
    "difference",
]
