"""How far an explanation can be trusted: scorers, judges, metrics.

    Detection, Fuzzing    a judge answers yes or no       balanced accuracy (and AUROC where it grades)
    Embedding             cosine with the explanation     AUROC
    Surprisal             likelihood under a local model  AUROC
    Simulation            token-wise predictions          correlation

Pure: an explanation and held-out windows in, `Score` out; the caller draws the windows and stores what comes.
Protocol `held-out` throughout; `autointerp.score.delphi` holds the reference's.
"""

from autointerp.score.classify import Detection, Fuzzing
from autointerp.score.compare import Difference, difference
from autointerp.score.embedding import Embedder, Embedding
from autointerp.score.judges import Judge, LLMJudge, OfflineJudge, Shown
from autointerp.score.plan import Item, Plan, Verdict, Verdicts
from autointerp.score.resampling import Resamples
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
    "LLMJudge",
    "OfflineJudge",
    "Plan",
    "Resamples",
    "Scorer",
    "Shown",
    "Simulation",
    "Surprisal",
    "TextModel",
    "Verdict",
    "Verdicts",
    "difference",
]
