"""What the path without any language model costs per latent: `pattern` explanations, then detection and fuzzing by the offline
judge, each with the floor of another explanation and a bootstrap interval.

    python benchmarks/bench_offline.py STORE [--coder NAME] [--latents 200] [--rounds 3]

Milliseconds of processor time in one process, by stage; beside each the ratio to reading and sampling in the same run, which
a busy machine changes little. Annotations go to a temporary folder, in one transaction per batch of 32 latents. Goal: the
whole at most 12 ms per latent on the demo, with 40 + 40 windows explained and 30 + 30 judged.
"""

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from autointerp.explain.explainer import Evidence
from autointerp.explain.options import ExplainOptions
from autointerp.explain.pattern import PatternExplainer
from autointerp.records import Explanation, Record
from autointerp.sampling import build_groups, make_windows, split_contexts
from autointerp.score.classify import Detection, Fuzzing
from autointerp.score.judges.offline import OfflineJudge
from autointerp.score.scorer import Heldout
from autointerp.store import Store
from autointerp.store.annotations import Annotations

GOAL_MS = 12.0
BATCH = 32
STAGES = ("read", "split", "sample", "decode", "explain", "detection", "fuzzing", "write")


class Clock:
    """Processor time per stage, in seconds."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        started = time.process_time()
        yield
        self.spent[stage] += time.process_time() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("store", type=Path)
    parser.add_argument("--coder")
    parser.add_argument("--latents", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()

    store = Store.open(args.store)
    coder = store.coder(args.coder or store.coders()[0].coder)
    live = coder.table().live
    latents = np.random.default_rng(0).permutation(live)[: args.latents].tolist()
    background = np.random.default_rng(5).integers(store.n_contexts, size=300)
    judge = OfflineJudge([store.decode(store.tokens[row][:32]) for row in background])
    totals = []
    for round_ in range(args.rounds):
        with tempfile.TemporaryDirectory() as folder, Annotations(folder) as annotations:
            clock = run(store, coder, latents, judge, annotations)
        n = len(latents)
        base = sum(clock.spent[stage] for stage in ("read", "split", "sample"))
        whole = sum(clock.spent.values())
        totals.append(whole / n * 1e3)
        parts = "  ".join(f"{stage} {clock.spent[stage] / n * 1e3:.2f}" for stage in STAGES)
        print(
            f"round {round_ + 1}: {parts}  | ms per latent: {totals[-1]:.2f}, {whole / base:.2f} x reading and sampling"
        )
    best = min(totals)
    print(f"{coder.name}: {len(latents)} latents, best round {best:.2f} ms per latent (goal {GOAL_MS:.0f})")
    return 0 if best <= GOAL_MS else 1


def run(store: Store, coder, latents: list[int], judge: OfflineJudge, annotations: Annotations) -> Clock:
    """Everything for `latents` once."""
    clock = Clock()
    explainer = PatternExplainer(ExplainOptions(n_examples=100, n_contrast=100))
    detection, fuzzing = Detection(judge), Fuzzing(judge)
    waiting: list[Record] = []
    floor = Explanation(
        coder=coder.name, latent=0, text='The word "other", right after "each".', explainer="person"
    )
    annotations.add(floor)
    for at, latent in enumerate(latents):
        rng = np.random.default_rng([latent, 1])
        with clock("read"):
            acts = coder.activations(latent)
            maximum = float(acts.activation.max())
        with clock("split"):
            split = split_contexts(acts, n_contexts=store.n_contexts, ctx_len=store.ctx_len, rng=rng)
        with clock("sample"):
            shown = build_groups(
                acts, store.tokens, rng=rng, n_top=0, n_random=0, n_per_quantile=4, n_non_activating=40, n_hard=0,
                contexts=split.explain,
            )  # fmt: skip
            kept = build_groups(
                acts, store.tokens, rng=rng, n_top=0, n_random=0, n_per_quantile=3, n_non_activating=30, n_hard=0,
                contexts=split.heldout,
            )  # fmt: skip
        with clock("decode"):
            groups = [
                make_windows(group[kind], store.decode)
                for group in (shown, kept)
                for kind in ("quantiles", "non_activating")
            ]
        with clock("explain"):
            explained = explainer.explain(
                Evidence(coder.name, latent, groups[0], maximum, groups[1]), seed=latent
            )
        with clock("detection"):
            scored = [
                detection.run(explained, Heldout(groups[2], groups[3], maximum), seed=latent, floor=floor)
            ]
        with clock("fuzzing"):
            scored += [
                fuzzing.run(explained, Heldout(groups[2], groups[3], maximum), seed=latent, floor=floor)
            ]
        waiting += [explained, *scored]
        if at % BATCH == BATCH - 1 or at == len(latents) - 1:
            with clock("write"):
                annotations.add(*waiting)
            waiting = []
        floor = explained if explained.status == "ok" else floor
    return clock


if __name__ == "__main__":
    sys.exit(main())
