"""What the lists of judged examples are called, with what is said beside: by metric, and where marks are judged."""

TITLES: dict[str, dict[str, tuple[str, str]]] = {
    "balanced_accuracy": {
        "fp": ("False positives", "non-activating, answered yes"),
        "fn": ("False negatives", "activating, answered no"),
        "tp": ("True positives", "activating, answered yes"),
        "tn": ("True negatives", "non-activating, answered no"),
    },
    "marks": {
        "fp": ("False positives", "wrong tokens marked, answered yes"),
        "fn": ("False negatives", "right tokens marked, answered no"),
        "tp": ("True positives", "right tokens marked, answered yes"),
        "tn": ("True negatives", "wrong tokens marked, answered no"),
    },
    "auroc": {
        "fp": ("Ranked above at least half of the activating examples", "non-activating; highest first"),
        "fn": ("Ranked below at least half of the non-activating examples", "activating; lowest first"),
        "tp": ("Activating, ranked above most non-activating examples", "lowest first"),
        "tn": ("Non-activating, ranked below most activating examples", "highest first"),
    },
    "triplet_auroc": {
        "fp": ("Non-activating, more similar to activating examples", "highest Δ first"),
        "fn": ("Activating, no more similar to the other activating examples", "lowest Δ first"),
        "tp": ("Activating, more similar to the other activating examples", "lowest Δ first"),
        "tn": ("Non-activating, no more similar to activating examples", "highest Δ first"),
    },
}
