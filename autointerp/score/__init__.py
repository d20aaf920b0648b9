"""How far an explanation can be trusted: scorers, judges, metrics.

    Detection, Fuzzing    a judge answers yes or no       balanced accuracy (and AUROC where it grades)
    Embedding             cosine with the explanation     AUROC
    Surprisal             likelihood under a local model  AUROC
    Simulation            token-wise predictions          correlation

Pure: an explanation and held-out windows in, `Score` out; the caller draws the windows and stores what comes.
Protocol `held-out` throughout; `autointerp.score.delphi` holds the reference's.
"""
