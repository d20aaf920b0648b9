"""What intervention scoring takes per latent: tuning the strength and writing after the prompts, then asking how likely the
explanation is and that of the floor.

    python benchmarks/bench_intervention.py STORE [--coder NAME] [--latents 20] [--n-examples 30] [--kl 1]

Wall and processor time in one process by stage, in seconds (medians over latents drawn at random), and latents per minute. The
store's own model judges an explanation of twelve words and a floor of the same words in another order. Annotations go to a
temporary folder.
"""

import argparse
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

from autointerp.errors import UserError
from autointerp.pipeline.examples import select_heldout
from autointerp.pipeline.resources import Resources
from autointerp.records import Explanation
from autointerp.score.intervention import N_NEW, Intervention
from autointerp.score.options import ScoreOptions
from autointerp.store import Store
from autointerp.store.annotations import Annotations

TEXT = "words and phrases of one family in texts on a common subject"
FLOOR = "texts and words of a common family in phrases on one subject"
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
    wall: dict[str, list[float]] = {stage: [] for stage in STAGES}
    processor: dict[str, list[float]] = {stage: [] for stage in STAGES}
    live = coder.table().live
    drawn = np.random.default_rng(0).permutation(live)[: args.latents + 1]  # the first loads the models
    with tempfile.TemporaryDirectory() as folder, Annotations(Path(folder)) as annotations:
        resources = Resources(store, annotations)
        effects = resources.effects()
        scorer = Intervention(resources.text_model(), effects)
        for latent in drawn.tolist():
            explanation = Explanation(coder=coder.info.coder, latent=latent, text=TEXT, explainer="bench")
            times = [now()]
            plan = scorer.plan(select_heldout(resources, explanation, options), options.seed)
            prompts = [item.window.example.token_ids.tolist() for item in plan.items]
            times.append(now())
            try:
                if not prompts:
                    raise UserError("no held-out example")
                effect, _ = effects.effect(
                    coder.info.coder, latent, prompts, kl=args.kl, n_new=N_NEW, seed=options.seed
                )
                times.append(now())
                list(scorer.differences(effect, [TEXT, FLOOR]))
            except UserError as error:
                print(f"latent {latent} left out: {error}")
                continue
            times.append(now())
            for stage, (start, end) in zip(STAGES, pairwise(times), strict=True):
                wall[stage].append(end[0] - start[0])
                processor[stage].append(end[1] - start[1])
    print(f"{'':16} {'wall':>8} {'processor':>10}")
    for stage in STAGES:
        medians = [statistics.median(spent[stage][1:]) for spent in (wall, processor)]
        print(f"{stage:16} {medians[0]:8.2f} {medians[1]:10.2f}")
    whole = statistics.median(map(sum, list(zip(*wall.values(), strict=True))[1:]))
    print(f"{'all':16} {whole:8.2f}\n{'latents a minute':16} {60 / whole:8.1f}")
    return 0


def now() -> tuple[float, float]:
    """Wall and processor time."""
    return time.perf_counter(), time.process_time()


if __name__ == "__main__":
    sys.exit(main())
