"""What intervention scoring takes per latent: tuning the strength and writing after the prompts, then asking how likely the
explanation is and that of the floor.

    python benchmarks/bench_intervention.py STORE [--coder NAME] [--latents 20] [--n-examples 30] [--kl 1]

Seconds of wall-clock time in one process, by stage, and latents per minute. Annotations go to a temporary folder.
"""

import argparse
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from autointerp.pipeline.examples import select_heldout
from autointerp.pipeline.resources import Resources
from autointerp.records import Explanation
from autointerp.sampling import up_to_first
from autointerp.score.intervention import N_NEW, Intervention
from autointerp.score.options import ScoreOptions
from autointerp.store import Store
from autointerp.store.annotations import Annotations

TEXT = "words and phrases of one family in texts on a common subject"
STAGES = ("select", "raise and write", "judge")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("store", type=Path)
    parser.add_argument("--coder")
    parser.add_argument("--latents", type=int, default=20)
    parser.add_argument("--n-examples", type=int, default=30)
    parser.add_argument("--kl", type=float, default=1.0)
    args = parser.parse_args()

    store = Store.open(args.store)
    coder = store.coder(args.coder or store.coders()[0].coder)
    options = ScoreOptions(scorer="intervention", n_examples=args.n_examples, extra={"kl": args.kl}).check()
    spent: dict[str, list[float]] = {stage: [] for stage in STAGES}
    with tempfile.TemporaryDirectory() as folder, Annotations(Path(folder)) as annotations:
        resources = Resources(store, annotations)
        effects = resources.effects()
        scorer = Intervention(resources.text_model(), effects)
        for latent in coder.table().live[: args.latents + 1].tolist():  # the first loads the models
            explanation = Explanation(coder=coder.info.coder, latent=latent, text=TEXT, explainer="bench")
            times = [time.perf_counter()]
            heldout = select_heldout(resources, explanation, options)
            prompts = [up_to_first(window).example.token_ids.tolist() for window in heldout.activating]
            times.append(time.perf_counter())
            effect, _ = effects.effect(
                coder.info.coder, latent, prompts, kl=args.kl, n_new=N_NEW, seed=options.seed
            )
            times.append(time.perf_counter())
            list(scorer.differences(effect, [TEXT, TEXT[::-1]]))  # the floor's is as long
            times.append(time.perf_counter())
            for stage, (start, end) in zip(STAGES, pairwise(times), strict=True):
                spent[stage].append(end - start)
    total = 0.0
    for stage in STAGES:
        median = statistics.median(spent[stage][1:])
        total += median
        print(f"{stage:16} {median:8.3f} s")
    print(f"{'latents a minute':16} {60 / total:8.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
